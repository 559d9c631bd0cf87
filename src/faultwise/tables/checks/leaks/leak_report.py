"""What in a table would make a validation score too good: duplicated runs and rows, columns that give the label away or
depend on later rows.

It finds and describes; nothing is changed or left out. Rows are found by `duplicates`, columns by `target_leakage` and
`look_ahead`; `tables.evaluate.leakage` measures what the leaks do to a score.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.leaks.duplicates import find_duplicates
from faultwise.tables.checks.leaks.look_ahead import (
    FEWEST_RUNS,
    MOST_LAG,
    LookAhead,
    countdowns,
    later_labels,
    later_values,
)
from faultwise.tables.checks.leaks.near_duplicates import in_order, scaled
from faultwise.tables.checks.leaks.target_leakage import leaking_columns, nearly_leaking_columns
from faultwise.tables.checks.leaks.wording import LOOK_AHEAD, TARGET_LEAKAGE, Leak, look_ahead_leak, target_leak
from faultwise.tables.reading.table import Table, run_text

__all__ = ["LeakReport", "find_leaks"]

_MOST_COLUMNS = 300


@dataclass(frozen=True)
class LeakReport:
    """The leaks of a table, high ones first; what was looked for; what could not be checked, with the reason.

    `duplicates` are positions of rows that have a duplicate in an earlier run or in the other source, shape (rows
    found,).
    """

    source: str
    against: str | None
    rows: int
    leaks: tuple[Leak, ...]
    looked_for: tuple[str, ...]
    not_checked: dict[str, str]
    duplicates: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def columns(self) -> list[str]:
        """The columns that leak, each once."""
        return list(dict.fromkeys(name for leak in self.leaks for name in leak.columns))

    def to_dict(self) -> dict[str, object]:
        """Return plain values, ready for JSON; of `duplicates` only the number."""
        made = {name: value for name, value in vars(self).items() if name != "duplicates"}
        return made | {"leaks": [asdict(leak) for leak in self.leaks], "duplicate_rows": len(self.duplicates)}


def find_leaks(table: Table, against: Table | None = None, normal: str | None = None) -> LeakReport:
    """Check a table for leaks; with `against`, also for what both tables share.

    `normal` is the label that means normal, so that flags of faults of any kind are found. Raises DataError for tables
    without rows or without a measured column in common.
    """
    for one in filter(None, (table, against)):
        if one.frame.empty or not one.features:
            what = "rows" if one.frame.empty else "measured columns"
            raise DataError(f"`{one.source}` has no {what}; expected some to check: see the file and the roles.")
    duplicates = find_duplicates(table, against)
    looked_for, not_checked = duplicates.looked_for, duplicates.not_checked
    ahead = _look_ahead(table, looked_for, not_checked)
    targets = []
    if table.roles.target is None:
        not_checked[TARGET_LEAKAGE] = "no column holds the label: pass --target COL"
    else:
        looked_for.append("columns that give the label away, wholly or but for a few rows")
        certain, almost = leaking_columns(table, normal), nearly_leaking_columns(table, normal)
        named = {one.column for one in ahead if one.kind == "label"}
        targets = [target_leak(name, why, True) for name, why in certain.items()]
        targets += [target_leak(name, why, False) for name, why in almost.items() if name not in named]
    leaks = [*duplicates.leaks, *targets, *(look_ahead_leak(one) for one in ahead)]
    return LeakReport(
        source=table.source,
        against=None if against is None else against.source,
        rows=len(table.frame),
        leaks=tuple(sorted(leaks, key=lambda leak: leak.severity != "high")),
        looked_for=tuple(looked_for),
        not_checked=not_checked,
        duplicates=np.unique(np.concatenate([np.zeros(0, int), *duplicates.positions])),
    )


def _look_ahead(table: Table, looked_for: list[str], not_checked: dict[str, str]) -> list[LookAhead]:
    """Find columns that depend on later rows, each once; add what was looked for and what could not be checked."""
    runs = _runs(table)
    if runs is None:
        not_checked[LOOK_AHEAD] = (
            "no column names the run, and consecutive rows are not alike, so the rows are not in time order: "
            "pass --group COL"
        )
        return []
    frame = table.X.iloc[:, :_MOST_COLUMNS]
    if len(table.features) > _MOST_COLUMNS:
        not_checked[LOOK_AHEAD] = f"only the first {_MOST_COLUMNS} of {len(table.features):,} columns were checked"
    found = _of_events(table, frame, runs, looked_for, not_checked)
    looked_for.append(f"columns that hold another column's value of 1 to {MOST_LAG} samples later")
    # A countdown, or a column ahead of the label, is also ahead of every column that follows the label.
    seen = {one.column for one in found}
    found += [one for one in later_values(frame, runs) if not {one.column, one.of} & seen]
    return list({one.column: one for one in reversed(found)}.values())[::-1]


def _runs(table: Table) -> list[np.ndarray] | None:
    """Return the positions of each run's rows; None where rows are not in time order."""
    if table.groups is None:
        return [np.arange(len(table.frame))] if in_order(scaled(table.X)[0]) else None
    return [np.asarray(where) for where in pd.Series(table.groups).groupby(table.groups, sort=False).indices.values()]


def _of_events(
    table: Table, frame: pd.DataFrame, runs: list[np.ndarray], looked_for: list[str], not_checked: dict[str, str]
) -> list[LookAhead]:
    """Find columns that depend on later labels, on the time left to a change of label, or to the end of the run."""
    found: list[LookAhead] = []
    target = table.roles.target
    labels = np.zeros(len(frame), int) if target is None else pd.factorize(run_text(table.frame[target]))[0]
    changing = [run for run in runs if (labels[run] != labels[run[0]]).any()]
    if len(changing) >= FEWEST_RUNS:
        looked_for.append("columns that hold the label of later rows or count down to its change")
        onsets = [int(np.argmax(labels[run] != labels[run[0]])) for run in changing]
        found += later_labels(frame, labels, changing)
        found += countdowns(frame, changing, onsets, "the change of label")
    else:
        why = "there is no label" if target is None else f"fewer than {FEWEST_RUNS} runs hold a change of label"
        not_checked["labels of later rows, countdown to a fault"] = why
    if len({len(run) for run in runs}) >= FEWEST_RUNS:
        looked_for.append("columns that count down to the end of the run")
        found += countdowns(frame, runs, [len(run) for run in runs], "the end of the run")
    else:
        not_checked["countdown to the end of the run"] = (
            f"the runs have fewer than {FEWEST_RUNS} different lengths, so time left cannot be told from time passed"
        )
    return found
