"""Runs and rows that occur twice, within a table or in two of them, as leaks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.checks.leaks.duplicated_runs import duplicated_runs
from faultwise.tables.checks.leaks.near_duplicates import (
    NearDuplicates,
    RowPositions,
    near_duplicates,
    row_positions,
    scaled,
)
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.checks.leaks.wording import (
    DUPLICATED_RUNS,
    NEAR_DUPLICATES,
    Leak,
    duplicated_run_leak,
    near_duplicate_leak,
)
from faultwise.tables.reading.table import Table

__all__ = ["Duplicates", "find_duplicates"]

_EXAMPLES = 4
_FEWEST_ROWS = 10  # near-duplicate rows that two runs must have, and half of their rows, to be duplicated runs
_EXACT = 1e-12


@dataclass
class Duplicates:
    """What was found and looked for; what could not be checked, with the reason; `positions` of rows of the first table
    that have a duplicate in an earlier run or in the other table.
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


def find_duplicates(table: Table, against: Table | None = None) -> Duplicates:
    """Find runs and rows that occur twice in a table, or in it and in `against`.

    Raises DataError when the tables have no measured column in common.
    """
    stack = _stacked(table, against)
    found = Duplicates()
    known: set[tuple[int, int]] = set()
    if stack.named or against is not None:
        across = "" if against is None else ", also across the two sources"
        found.looked_for.append(f"runs that are duplicates of each other{across}")
        known = _add_duplicated_runs(stack, found)
    else:
        found.not_checked[DUPLICATED_RUNS] = "no column names the run: pass --group COL"
    if stack.named and stack.runs.max() == 0:
        found.not_checked[NEAR_DUPLICATES] = "all rows are of one run"
        return found
    measured = [name for name in stack.frame.columns if not _is_clock(stack.frame[name], stack.runs)]
    values, floor, measuring = scaled(stack.frame[measured])
    if measuring < 2:
        found.not_checked[NEAR_DUPLICATES] = "fewer than two columns have enough different values to tell rows apart"
        return found
    place = row_positions(stack.runs if stack.named else None, len(values), values)
    place = place if stack.named else RowPositions(stack.runs, place.at, place.reach)
    near = near_duplicates(values, floor, place)
    if near.reason:
        found.not_checked[NEAR_DUPLICATES] = near.reason
        return found
    found.looked_for.append(f"rows {'of different runs ' * stack.named}that agree but for rounding or a little noise")
    _add_near_duplicates(stack, near, known, found)
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


def _add_duplicated_runs(stack: _Stack, found: Duplicates) -> set[tuple[int, int]]:
    """Add runs that are equal value for value; return them as pairs of run numbers."""
    pairs = set()
    for one in duplicated_runs(stack.hashes, stack.runs):
        if stack.side[one.example[0]] == 1:
            continue  # both lie in the other source, which is not the one that is checked
        pairs.add((one.first, one.second))
        _add_run(stack, one.first, one.second, one.shared, one.of, one.example, "value for value", found)
    return pairs


def _add_run(
    stack: _Stack, one: int, other: int, shared: int, of: int, example: tuple[int, int], how: str, found: Duplicates
) -> None:
    first, second = example
    across = bool(stack.side[first] != stack.side[second])
    found.positions.append(np.flatnonzero(stack.runs == (one if across else other)))
    names = (str(stack.names[first]), str(stack.names[second]))
    found.leaks.append(duplicated_run_leak(names, across, shared, of, stack.pair(first, second), how))


def _add_near_duplicates(stack: _Stack, near: NearDuplicates, known: set[tuple[int, int]], found: Duplicates) -> None:
    """Add rows that are nearly equal: as a duplicated run where they make up a run, else as pairs of rows.

    Pairs of runs in `known` were found before.
    """
    first, second = near.pairs.T
    between = pd.MultiIndex.from_arrays([stack.runs[first], stack.runs[second]])
    rest = (stack.side[first] == 0) & ~between.isin(known)
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
            how = _noise(float(np.median(near.apart[mine])))
            _add_run(stack, one, other, int(count), of, (int(first[nearest]), int(second[nearest])), how, found)
    for across in (False, True):
        some = rest & ((stack.side[first] != stack.side[second]) == across)
        if some.any():
            _add_rows(stack, near, some, across, found)


def _add_rows(stack: _Stack, near: NearDuplicates, some: np.ndarray, across: bool, found: Duplicates) -> None:
    """Add the pairs where `some` (pairs,) holds."""
    first, second = near.pairs.T
    found.positions.append(np.unique(first[some] if across else second[some]))
    examples = [stack.pair(int(a), int(b)) for a, b in near.pairs[some][:_EXAMPLES]]
    mine = np.unique(near.pairs[some])
    share = float((stack.side[mine] == 0).sum() / (stack.side == 0).sum())
    how = _noise(float(np.median(near.apart[some])))
    found.leaks.append(near_duplicate_leak(int(some.sum()), share, how, near.by_chance, examples, stack.named, across))


def _noise(apart: float) -> str:
    return "value for value" if apart < _EXACT else f"but for noise of {apart:.1g} standard deviations"
