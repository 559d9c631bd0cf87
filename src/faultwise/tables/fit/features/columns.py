"""Table columns as numbers: what each column was in training, and the same numbers at diagnosis.

Numeric columns keep their unit; gaps take the training median. Text columns become one 0/1 column per
category seen in training. Constant and all-missing columns are left out and said. Nothing is scaled here:
experts that need it scale for themselves. State is plain JSON, so a run folder can show it.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, closest, listing

__all__ = ["ColumnEncoder", "note_of_empty"]

# More categories than this are an identifier or free text: of no use to a classifier, and a memory hazard.
MOST_CATEGORIES = 50
_DIGITS = re.compile(r"\d+")
_LARGEST = 1e30  # far below where float32, which classifiers get, would make infinities of it


@dataclass(slots=True)
class ColumnEncoder:
    """Learns columns from training rows; `transform` gives float64 of shape (rows, len(names)).

    >>> rows = pd.DataFrame({"flow": [1.0, 2.0, None], "state": ["on", "off", "on"], "idle": [0, 0, 0]})
    >>> encoder = ColumnEncoder().fit(rows)
    >>> encoder.names
    ['flow', 'state=off', 'state=on']
    >>> values, notes = encoder.transform(pd.DataFrame({"flow": [None, 3], "state": ["broken", "on"], "idle": 0}))
    >>> values.tolist(), notes
    ([[1.5, 0.0, 0.0], [3.0, 0.0, 1.0]], ['`state`: 1 row holds a category never seen in training (`broken`).'])
    """

    medians: dict[str, float] = field(default_factory=dict)
    categories: dict[str, list[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of the encoded columns: numeric ones first, then `column=category`."""
        return [*self.medians, *(f"{column}={c}" for column, cats in self.categories.items() for c in cats)]

    @property
    def used(self) -> list[str]:
        """The source columns that enter at all."""
        return [*self.medians, *self.categories]

    @property
    def variables(self) -> list[str]:
        """The source column of each encoded column."""
        return [*self.medians, *(column for column, cats in self.categories.items() for _ in cats)]

    def fit(self, X: pd.DataFrame) -> ColumnEncoder:
        """Learn kinds, medians and categories. Raises DataError when nothing usable is left."""
        self.medians, self.categories, self.left_out = {}, {}, {}
        for column in map(str, X.columns):
            values = X[column]
            known = values.dropna()
            if known.empty:
                self.left_out[column] = "it holds no value"
            elif pd.api.types.is_numeric_dtype(values):
                numbers = _finite(values)
                if np.nanmin(numbers) == np.nanmax(numbers):
                    self.left_out[column] = "it is constant"
                else:
                    self.medians[column] = float(np.nanmedian(numbers))
            else:
                cats = sorted(set(known.astype(str)))
                if len(cats) == 1:
                    self.left_out[column] = "it is constant"
                elif len(cats) > MOST_CATEGORIES:
                    self.left_out[column] = f"it holds {len(cats)} different texts, like an identifier"
                else:
                    self.categories[column] = cats
        if not self.medians and not self.categories:
            raise DataError(
                f"No usable column is left of {listing(X.columns)}: all are constant, empty or identifiers."
            )
        return self

    def left_out_notes(self) -> list[str]:
        """Say which columns were left out, a sentence for each reason."""
        return [
            f"Left out, because {why}: {listing(n for n, w in self.left_out.items() if w == why)}."
            for why in dict.fromkeys(self.left_out.values())
        ]

    def check(self, X: pd.DataFrame) -> list[str]:
        """Compare columns with training; raise DataError for missing ones, return notes on the others."""
        needed = self.used
        missing = [column for column in needed if column not in X.columns]
        extra = self._unknown(X)
        if missing:
            hints = [f"`{near}` looks like `{name}`" for name in missing[:3] if (near := closest(name, extra))]
            hint = f" Perhaps renamed: {'; '.join(hints)}." if hints else ""
            raise DataError(
                f"{len(missing)} of {len(needed)} columns used in training are missing: {listing(missing)}."
                f"{hint} Rename or add them, or fit again without them."
            )
        if extra:
            return [f"{len(extra)} columns unknown from training were ignored: {listing(extra)}."]
        return []

    def _unknown(self, X: pd.DataFrame) -> list[str]:
        known = {*self.used, *self.left_out}
        return [str(column) for column in X.columns if column not in known]

    def missing(self, X: pd.DataFrame) -> list[str]:
        """Return the columns of training that are absent from X (rows, columns) or hold no value there at all. One that
        another column may be, renamed, is not missing.

        >>> encoder = ColumnEncoder().fit(pd.DataFrame({"flow": [1.0, 2.0], "level": [1.0, 3.0], "pump": [0.0, 1.0]}))
        >>> encoder.missing(pd.DataFrame({"flow": [None], "Level": [2.0]}))
        ['flow', 'pump']
        """
        extra = self._unknown(X)
        known = {_DIGITS.sub("#", name) for name in self.used}
        # xmeas_41 is no misspelt xmeas_2: sensors that differ in a number only are different ones.
        extra = [name for name in extra if _DIGITS.sub("#", name) not in known]
        here = {name: bool(X[name].notna().any()) for name in self.used if name in X.columns}
        return [name for name in self.used if not here.get(name, closest(name, extra) is not None)]

    def transform(self, X: pd.DataFrame, strict: bool = True) -> tuple[np.ndarray, list[str]]:
        """Return float64 numbers of shape (rows, len(names)) and notes. Raises DataError as `check` does, and, if
        `strict`, for a numeric column that holds nothing but text: in a piece of a few rows that is just bad cells.
        """
        notes = self.check(X)
        numeric = X[list(self.medians)]
        if all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in numeric.dtypes):  # the fast way
            numbers = numeric.to_numpy(dtype=float)
            empty = [name for name, none in zip(self.medians, np.isnan(numbers).all(axis=0), strict=True) if none]
            empty += [name for name in self.categories if X[name].isna().all()]
            notes += [note_of_empty(name) for name in empty if strict and len(X)]
        else:
            notes += [note_of_empty(name) for name in self.used if strict and len(X) and X[name].isna().all()]
            columns = [_numbers(X[column], column, strict, notes) for column in self.medians]
            numbers = np.column_stack(columns) if columns else np.empty((len(X), 0))
        finite = _within(numbers)
        parts = [np.where(np.isnan(finite), np.array(list(self.medians.values())), finite)]
        for column, cats in self.categories.items():
            texts = X[column].astype(object).where(X[column].notna(), None)
            codes = pd.Index(cats, dtype=object).get_indexer(
                pd.Index([None if t is None else str(t) for t in texts], dtype=object)
            )
            unseen = (codes == -1) & texts.notna().to_numpy()
            if unseen.any():
                count = int(unseen.sum())
                found = listing(pd.unique(texts[unseen]), 3)
                rows = "1 row holds" if count == 1 else f"{count} rows hold"
                notes.append(f"`{column}`: {rows} a category never seen in training ({found}).")
            parts.append((codes[:, None] == np.arange(len(cats))).astype(float))
        return np.concatenate(parts, axis=1), notes

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON state that `ColumnEncoder(**state)` takes back."""
        return asdict(self)


def note_of_empty(column: str) -> str:
    """Say what becomes of a column without any value."""
    return f"`{column}` holds no value at all: its training median, or no category, stands in for it."


def _numbers(values: pd.Series, column: str, strict: bool, notes: list[str]) -> np.ndarray:
    """Return the numbers of a column that was numeric in training, NaN for texts, which `notes` are told."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype=float, na_value=np.nan)
    numbers = pd.to_numeric(values, errors="coerce")
    unread = numbers.isna() & values.notna()
    if strict and unread.all() and len(values):
        raise DataError(
            f"`{column}` was numeric in training and holds only text now "
            f"({listing(values[unread].unique(), 3)}): give numbers."
        )
    if unread.any():
        found = listing(values[unread].unique(), 3)
        notes.append(f"`{column}`: {int(unread.sum())} texts ({found}) in a numeric column, taken as missing.")
    return numbers.to_numpy(dtype=float, na_value=np.nan)


def _finite(values: pd.Series) -> np.ndarray:
    """Return numbers with NaN for what no sensor measures."""
    return _within(values.to_numpy(dtype=float, na_value=np.nan))


def _within(numbers: np.ndarray) -> np.ndarray:
    """Return numbers with NaN for what no sensor measures: infinities, and sentinels such as -1.7e308."""
    return np.where(np.abs(numbers) > _LARGEST, np.nan, numbers)
