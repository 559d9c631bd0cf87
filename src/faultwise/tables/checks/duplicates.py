"""Runs and rows that occur twice, within a table or in two of them, as leaks: `copies` and `twins` with names on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.checks.duplicated_runs import copied_runs
from faultwise.tables.checks.leak_words import SHARED, TWINS, Leak, copy_leak, twin_leak
from faultwise.tables.checks.near_duplicates import Places, Twins, places, scaled, twin_rows
from faultwise.tables.checks.overlap import row_hashes
from faultwise.tables.reading.table import Table

__all__ = ["Doubles", "find_doubles"]

_EXAMPLES = 4
_FEWEST_ROWS = 10  # of a run must have twins in one other run to call it a copy, and half of its rows
_EXACT = 1e-12


@dataclass
class Doubles:
    """What was found and looked for; what could not be checked, with the reason; positions of rows of the first table
    that have a twin in an earlier run or in the other table.
    """

    leaks: list[Leak] = field(default_factory=list)
    looked_for: list[str] = field(default_factory=list)
    not_checked: dict[str, str] = field(default_factory=dict)
    positions: list[np.ndarray] = field(default_factory=list)


@dataclass(frozen=True)
class _Stack:
    """Rows of one or two tables below each other: columns in common, hashes, runs as numbers and as text, number of the
    table, row numbers in it; whether a column names runs.
    """

    frame: pd.DataFrame
    hashes: np.ndarray
    runs: np.ndarray
    names: np.ndarray
    side: np.ndarray
    number: np.ndarray
    named: bool

    def pair(self, first: int, second: int) -> tuple[int, int]:
        """Row numbers of two positions."""
        return int(self.number[first]), int(self.number[second])


def find_doubles(table: Table, against: Table | None = None) -> Doubles:
    """Find runs and rows that occur twice in a table, or in it and in `against`.

    Raises DataError when the tables have no measured column in common.
    """
    stack = _stacked(table, against)
    found = Doubles()
    copied: set[tuple[int, int]] = set()
    if stack.named or against is not None:
        across = "" if against is None else ", also across the two sources"
        found.looked_for.append(f"runs that are copies of each other{across}")
        copied = _copies(stack, found)
    else:
        found.not_checked[SHARED] = "no column names the run: pass --group COL"
    if stack.named and stack.runs.max() == 0:
        found.not_checked[TWINS] = "all rows are of one run"
        return found
    measured = [name for name in stack.frame.columns if not _is_clock(stack.frame[name], stack.runs)]
    values, floor, measuring = scaled(stack.frame[measured])
    if measuring < 2:
        found.not_checked[TWINS] = "fewer than two columns have values enough to tell rows apart"
        return found
    place = places(stack.runs if stack.named else None, len(values), values)
    twins = twin_rows(values, floor, place if stack.named else Places(stack.runs, place.at, place.reach))
    if twins.reason:
        found.not_checked[TWINS] = twins.reason
        return found
    found.looked_for.append(f"rows {'of different runs ' * stack.named}that agree but for rounding or a little noise")
    _twins(stack, twins, copied, found)
    return found


def _stacked(table: Table, against: Table | None) -> _Stack:
    tables = [table] if against is None else [table, against]
    columns = [name for name in table.features if all(name in one.features for one in tables)]
    if not columns:
        raise DataError(
            f"`{tables[0].source}` and `{tables[-1].source}` have no measured column in common; the first has "
            f"{listing(table.features)}, the second {listing(tables[-1].features)}: check the sources."
        )
    side = np.repeat(np.arange(len(tables)), [len(one.frame) for one in tables])
    names = np.concatenate([one.runs for one in tables])
    return _Stack(
        frame=pd.concat([one.frame[columns] for one in tables], ignore_index=True),
        hashes=np.concatenate([row_hashes(one, columns) for one in tables]),
        runs=pd.DataFrame({"side": side, "name": names}).groupby(["side", "name"], sort=False).ngroup().to_numpy(),
        names=names,
        side=side,
        number=np.concatenate([one.row_numbers for one in tables]),
        named=any(one.groups is not None for one in tables),
    )


def _is_clock(values: pd.Series, runs: np.ndarray) -> bool:
    """Tell whether a column rises from row to row in every run, as a clock or a counter does."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return False
    steps = pd.Series(values.to_numpy(dtype=float, na_value=np.nan)).groupby(runs).diff().dropna()
    return bool(len(steps) > len(values) / 2 and (steps > 0).all())


def _copies(stack: _Stack, found: Doubles) -> set[tuple[int, int]]:
    """Word copied runs and return them as pairs of run numbers."""
    copied = set()
    for copy in copied_runs(stack.hashes, stack.runs):
        if stack.side[copy.example[0]] == 1:
            continue  # both lie in the other source, which is not the one that is checked
        copied.add((copy.first, copy.second))
        _told(stack, copy.first, copy.second, copy.shared, copy.of, copy.example, "value for value", found)
    return copied


def _told(
    stack: _Stack, one: int, other: int, shared: int, of: int, example: tuple[int, int], how: str, found: Doubles
) -> None:
    first, second = example
    across = bool(stack.side[first] != stack.side[second])
    found.positions.append(np.flatnonzero(stack.runs == (one if across else other)))
    names = (str(stack.names[first]), str(stack.names[second]))
    found.leaks.append(copy_leak(names, across, shared, of, stack.pair(first, second), how))


def _twins(stack: _Stack, twins: Twins, copied: set[tuple[int, int]], found: Doubles) -> None:
    """Word twin rows: where they make up a run, as a copied run."""
    first, second = twins.pairs.T
    between = pd.MultiIndex.from_arrays([stack.runs[first], stack.runs[second]])
    rest = (stack.side[first] == 0) & ~between.isin(copied)
    if stack.named:
        sizes = np.bincount(stack.runs)
        for pair, count in between[rest].value_counts().items():
            one, other = (int(run) for run in pair)
            of = int(min(sizes[one], sizes[other]))
            if count < max(_FEWEST_ROWS, of / 2):
                continue
            mine = np.asarray(between == pair)
            rest &= ~mine
            nearest = int(np.flatnonzero(mine)[0])
            how = _noise(float(np.median(twins.apart[mine])))
            _told(stack, one, other, int(count), of, (int(first[nearest]), int(second[nearest])), how, found)
    for across in (False, True):
        some = rest & ((stack.side[first] != stack.side[second]) == across)
        if not some.any():
            continue
        found.positions.append(np.unique(first[some] if across else second[some]))
        examples = [stack.pair(int(a), int(b)) for a, b in twins.pairs[some][:_EXAMPLES]]
        mine = np.unique(twins.pairs[some])
        share = float((stack.side[mine] == 0).sum() / (stack.side == 0).sum())
        apart = float(np.median(twins.apart[some]))
        found.leaks.append(
            twin_leak(int(some.sum()), share, _noise(apart), twins.by_chance, examples, stack.named, across)
        )


def _noise(apart: float) -> str:
    return "value for value" if apart < _EXACT else f"but for noise of {apart:.1g} standard deviations"
