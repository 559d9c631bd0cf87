"""What in a table would make a validation score lie: runs and rows that occur twice, answers, looks into the future.

It finds and words; nothing is changed or left out. Rows are found by `doubles`, columns by `answers` and `foresight`;
what the leaks do to a score is measured by `evaluate.leakage`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.duplicates import find_doubles
from faultwise.tables.checks.leak_words import ANSWERS, FUTURE, Leak, ahead_leak, answer_leak
from faultwise.tables.checks.look_ahead import FEWEST_RUNS, MOST_LAG, Ahead, countdowns, later_labels, later_values
from faultwise.tables.checks.near_duplicates import in_order, scaled
from faultwise.tables.checks.target_leakage import almost_answers, answer_columns
from faultwise.tables.reading.table import Table, run_text

__all__ = ["LeakReport", "find_leaks"]

_MOST_COLUMNS = 300


@dataclass(frozen=True)
class LeakReport:
    """The leaks of a table, high ones first; what was looked for; what could not be checked, with the reason.

    `doubled` are positions of rows that have a twin in an earlier run or in the other source, shape (rows found,).
    """

    source: str
    against: str | None
    rows: int
    leaks: tuple[Leak, ...]
    looked_for: tuple[str, ...]
    not_checked: dict[str, str]
    doubled: np.ndarray = field(default_factory=lambda: np.zeros(0, int))

    @property
    def columns(self) -> list[str]:
        """The columns that leak, each once."""
        return list(dict.fromkeys(name for leak in self.leaks for name in leak.columns))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; of `doubled` only the number."""
        made = {name: value for name, value in vars(self).items() if name != "doubled"}
        return made | {"leaks": [asdict(leak) for leak in self.leaks], "doubled_rows": len(self.doubled)}


def find_leaks(table: Table, against: Table | None = None, normal: str | None = None) -> LeakReport:
    """Look a table over for leaks; with `against`, also for what both tables share.

    `normal` is the label that means normal, so that flags of faults of any kind are found. Raises DataError for tables
    without rows or without a measured column in common.
    """
    for one in filter(None, (table, against)):
        if one.frame.empty or not one.features:
            what = "rows" if one.frame.empty else "measured columns"
            raise DataError(f"`{one.source}` has no {what}; expected some to check: see the file and the roles.")
    doubles = find_doubles(table, against)
    looked_for, not_checked = doubles.looked_for, doubles.not_checked
    ahead = _ahead(table, looked_for, not_checked)
    answers = []
    if table.roles.target is None:
        not_checked[ANSWERS] = "no column holds the label: pass --target COL"
    else:
        looked_for.append("columns that give the label away, wholly or but for a few rows")
        certain, almost = answer_columns(table, normal), almost_answers(table, normal)
        told = {one.column for one in ahead if one.kind == "label"}
        answers = [answer_leak(name, why, True) for name, why in certain.items()]
        answers += [answer_leak(name, why, False) for name, why in almost.items() if name not in told]
    leaks = [*doubles.leaks, *answers, *(ahead_leak(one) for one in ahead)]
    return LeakReport(
        source=table.source,
        against=None if against is None else against.source,
        rows=len(table.frame),
        leaks=tuple(sorted(leaks, key=lambda leak: leak.severity != "high")),
        looked_for=tuple(looked_for),
        not_checked=not_checked,
        doubled=np.unique(np.concatenate([np.zeros(0, int), *doubles.positions])),
    )


def _ahead(table: Table, looked_for: list[str], not_checked: dict[str, str]) -> list[Ahead]:
    """Find columns that know of later rows, each once; say what was looked for and what could not be."""
    runs = _runs(table)
    if runs is None:
        not_checked[FUTURE] = (
            "no column names the run, and rows that follow each other are not alike, so they are in no order of time: "
            "pass --group COL"
        )
        return []
    frame = table.X.iloc[:, :_MOST_COLUMNS]
    if len(table.features) > _MOST_COLUMNS:
        not_checked[FUTURE] = f"only the first {_MOST_COLUMNS} of {len(table.features):,} columns were looked at"
    found = _of_events(table, frame, runs, looked_for, not_checked)
    looked_for.append(f"columns that are another one's value 1 to {MOST_LAG} samples later")
    # What counts down, or knows the label, is ahead of anything that follows the label.
    seen = {one.column for one in found}
    found += [one for one in later_values(frame, runs) if not {one.column, one.of} & seen]
    return list({one.column: one for one in reversed(found)}.values())[::-1]


def _runs(table: Table) -> list[np.ndarray] | None:
    """Return the positions of each run's rows; None where rows are in no order of time."""
    if table.groups is None:
        return [np.arange(len(table.frame))] if in_order(scaled(table.X)[0]) else None
    return [np.asarray(where) for where in pd.Series(table.groups).groupby(table.groups, sort=False).indices.values()]


def _of_events(
    table: Table, frame: pd.DataFrame, runs: list[np.ndarray], looked_for: list[str], not_checked: dict[str, str]
) -> list[Ahead]:
    """Find columns that know of later labels, of the time left to a change of label, or to the end of the run."""
    found: list[Ahead] = []
    target = table.roles.target
    labels = np.zeros(len(frame), int) if target is None else pd.factorize(run_text(table.frame[target]))[0]
    changing = [run for run in runs if (labels[run] != labels[run[0]]).any()]
    if len(changing) >= FEWEST_RUNS:
        looked_for.append("columns that are the label of later rows, or count down to its change")
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
