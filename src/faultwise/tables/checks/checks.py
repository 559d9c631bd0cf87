"""A report on a table before anything is trained on it: what it holds, and what prevents training.

`check` only reports; `training_problems` refuses what cannot be learnt from. Nothing is changed or left out here: flags
(`--ignore`) and the encoders decide about that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.checks.leaks.target_leakage import ONE_TO_ONE, leaking_columns
from faultwise.tables.reading.table import Table, label_text

__all__ = ["DataReport", "check", "training_problems"]

# A text column with more distinct values than this share of its rows names rows instead of describing them.
_IDENTIFIER_SHARE = 0.9
_FEWEST_ROWS = 10


@dataclass(frozen=True)
class DataReport:
    """What was found in a table. Shares are 0 to 1; counts are rows; names are columns in file order.

    `identifiers` name rows instead of measuring, `one_to_one` are columns that give the label one to one.
    """

    source: str
    rows: int
    numeric: list[str]
    categorical: list[str]
    missing: dict[str, float]
    all_missing: list[str]
    constant: list[str]
    infinite: dict[str, int]
    duplicate_rows: int
    identifiers: list[str]
    one_to_one: list[str]
    unlabelled: int
    classes: dict[str, int]
    class_runs: dict[str, int]
    runs: int
    notes: list[str]

    def to_dict(self) -> dict[str, object]:
        """Return the fields as plain values, ready for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return what was found in short sentences; those that ask for a decision name the flag."""
        return [*self._of_columns(), *self._of_rows(), *self._of_classes(), *self.notes]

    def _of_columns(self) -> list[str]:
        columns = len(self.numeric) + len(self.categorical)
        lines = [
            f"{self.rows} rows, {columns} measured columns: {len(self.numeric)} numeric, "
            f"{len(self.categorical)} categorical."
        ]
        if self.runs:
            lines.append(f"{self.runs} runs.")
        gaps = {name: share for name, share in self.missing.items() if 0 < share < 1}
        if gaps:
            worst = max(gaps, key=lambda name: gaps[name])
            share = f"{gaps[worst]:.1%}"
            lines.append(f"{len(gaps)} columns have gaps; the worst is `{worst[:60]}` ({share} missing).")
        if self.all_missing:
            lines.append(f"Empty columns: {listing(self.all_missing)}: they will be left out.")
        if self.constant:
            lines.append(f"Columns with a single value: {listing(self.constant)}: they hold no information.")
        return lines + [f"`{name[:60]}` has {count} infinite values." for name, count in self.infinite.items()]

    def _of_rows(self) -> list[str]:
        lines = []
        if self.duplicate_rows:
            lines.append(f"{self.duplicate_rows} rows repeat an earlier row, value for value.")
        if self.identifiers:
            lines.append(
                f"Names or times of rows, not measurements: {listing(self.identifiers)}: pass "
                f"{_ignore_flags(self.identifiers)}, or --time COL."
            )
        if self.one_to_one:
            lines.append(
                f"{listing(self.one_to_one)}: such a column gives the label one to one. Unless it is known before the "
                f"fault is, pass {_ignore_flags(self.one_to_one)}."
            )
        return lines

    def _of_classes(self) -> list[str]:
        lines = []
        if self.classes:
            counts = [
                f"{label[:40]}: {count}" + (f" in {_runs(self.class_runs[label])}" if self.runs > 0 else "")
                for label, count in self.classes.items()
            ]
            more = f"; ... ({len(counts) - 24} more)" if len(counts) > 24 else ""
            lines.append(f"{len(counts)} classes (rows) {'; '.join(counts[:24])}{more}.")
        if self.unlabelled:
            lines.append(f"{self.unlabelled} rows have no label: a fit leaves them out.")
        if len(self.classes) == 1:
            lines.append("There is only one class, so there is nothing to distinguish.")
        single = [label for label, count in self.classes.items() if count == 1]
        if single and len(self.classes) > 1:
            lines.append(f"Classes with a single row: {listing(single)}: they are learnt from, and cannot be judged.")
        return lines


def check(table: Table) -> DataReport:
    """Return a report on a table; bad data raise nothing, they are reported."""
    frame, features = table.X, table.features
    numeric = [name for name in features if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    missing = {name: float(frame[name].isna().mean()) if len(frame) else 0.0 for name in features}
    distinct = {name: int(frame[name].nunique()) for name in features}
    labels = None if table.roles.target is None else label_text(table.frame[table.roles.target])
    classes: dict[str, int] = {}
    class_runs: dict[str, int] = {}
    if labels is not None:
        classes = {str(name): int(count) for name, count in labels.value_counts().items()}
        if table.groups is not None:
            pairs = pd.DataFrame({"label": labels.to_numpy(), "run": table.groups}).dropna().drop_duplicates()
            class_runs = {str(name): int(count) for name, count in pairs["label"].value_counts().items()}
    kept = features + ([table.roles.target] if table.roles.target else [])
    return DataReport(
        source=table.source,
        rows=len(frame),
        numeric=numeric,
        categorical=[name for name in features if name not in set(numeric)],
        missing=missing,
        all_missing=[name for name in features if len(frame) and missing[name] == 1.0],
        constant=[name for name in features if distinct[name] == 1 and missing[name] == 0 and len(frame) > 1],
        infinite=_infinite(frame, numeric),
        duplicate_rows=int(table.frame[kept].duplicated().sum()) if features else 0,
        identifiers=[name for name in features if _identifies(frame[name], distinct[name])],
        one_to_one=[name for name, why in leaking_columns(table).items() if why == ONE_TO_ONE and not missing[name]],
        unlabelled=0 if labels is None else int(labels.isna().sum()),
        classes=classes,
        class_runs=class_runs,
        runs=0 if table.groups is None else len(set(table.groups)),
        notes=list(table.notes),
    )


def training_problems(table: Table, *, labelled: bool = True) -> list[str]:
    """Refuse what cannot be trained on; return sentences about lesser problems.

    Raises DataError for no rows, no usable column and, where `labelled`, missing labels, a single class, or
    classes of a single row each. Training on normal rows alone (`labelled=False`) needs no labels.
    """
    if len(table.frame) == 0:
        raise DataError(f"`{table.source}` has no rows; expected some to train on: check the source.")
    empty = [name for name in table.features if table.frame[name].isna().all()]
    usable = [name for name in table.features if name not in set(empty) and table.frame[name].nunique() > 1]
    if not usable:
        raise DataError(
            f"`{table.source}` has no column that holds information (measured columns: "
            f"{listing(table.features) or 'none'}, each empty or with a single value): check the roles and "
            "--ignore."
        )
    notes = [f"Left out because they are empty: {listing(empty)}."] if empty else []
    if not labelled:
        return notes
    labels, counts = np.unique(table.y.astype(str), return_counts=True)
    if len(labels) == 1:
        raise DataError(
            f"`{table.source}` has only the class `{labels[0]}` in `{table.roles.target}`; expected two at "
            "least: add rows of another class, or train on normal rows alone with --normal-only."
        )
    if counts.max() == 1:
        raise DataError(
            f"`{table.source}` has a single row of each of its {len(labels)} labels in `{table.roles.target}`; "
            "expected several rows of a class: pass the column of the fault with --target, or merge classes."
        )
    return notes


def _ignore_flags(names: list[str]) -> str:
    return " ".join(f"--ignore {name!r}" for name in names[:4])


def _runs(count: int) -> str:
    return f"{count} run" if count == 1 else f"{count} runs"


def _infinite(frame: pd.DataFrame, numeric: list[str]) -> dict[str, int]:
    counts = {name: int(np.isinf(frame[name].to_numpy(dtype=float, na_value=np.nan)).sum()) for name in numeric}
    return {name: count for name, count in counts.items() if count}


def _identifies(values: pd.Series, distinct: int) -> bool:
    """Serial numbers and time stamps: nearly every text differs, or whole numbers count the rows."""
    present = values.dropna()
    if len(present) < _FEWEST_ROWS:
        return False
    if pd.api.types.is_numeric_dtype(values.dtype):
        steps = np.diff(present.to_numpy(dtype=float))
        return bool(distinct == len(present) and (steps == 1).all())
    return distinct > _IDENTIFIER_SHARE * len(present)
