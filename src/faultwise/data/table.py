"""A table with roles: which column is the target, the group (run), the time, which are ignored.

The table does not change values: reading is `readers`, numbers are `encoders`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.data.about import About
from faultwise.errors import DataError, closest, listing

__all__ = ["Roles", "Table", "label_text"]


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the columns that are not measurements."""

    target: str | None = None
    group: str | None = None
    time: str | None = None
    ignored: tuple[str, ...] = ()


def label_text(values: pd.Series) -> pd.Series:
    """Write labels as text, so that 4, 4.0 and "4" are one label; truth is "True" or "False"; missing stays missing.

    >>> label_text(pd.Series([4.0, None, "leak ", True])).tolist()
    ['4', None, 'leak', 'True']
    """

    def one(value: object) -> str | None:
        if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
            return None
        if isinstance(value, bool | np.bool_):
            return str(bool(value))
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        text = str(value).strip()
        if text.endswith(".0") and text[:-2].lstrip("-").isdigit():
            text = text[:-2]
        return text or None

    # Each distinct value once: a target has few of them and may have millions of rows. Mixed columns keep True and 1
    # apart, which hash alike, and go the long way.
    mixed = values.dtype == object and len({type(value) for value in values}) > 1
    if mixed:
        return pd.Series([one(value) for value in values], index=values.index, dtype=object)
    codes, distinct = pd.factorize(values)
    texts = np.array([*(one(value) for value in distinct), None], dtype=object)
    return pd.Series(texts[codes], index=values.index, dtype=object)


@dataclass(frozen=True)
class Table:
    """Rows of an asset with roles, what was noticed while reading, and what is known about the variables.

    `split` is the kind of split the source itself asks for ("" for none). A table cut out of a larger source knows how
    many rows came before it (`first_row`), in all and of each run (`before`).
    """

    frame: pd.DataFrame
    roles: Roles = field(default_factory=Roles)
    source: str = "table"
    notes: tuple[str, ...] = ()
    about: About = field(default_factory=About)
    split: str = ""
    first_row: int = 0
    before: Mapping[str, int] = field(default_factory=dict)

    @property
    def features(self) -> list[str]:
        """Names of the measured columns, in file order."""
        skip = {self.roles.target, self.roles.group, self.roles.time, *self.roles.ignored}
        return [str(name) for name in self.frame.columns if name not in skip]

    @property
    def X(self) -> pd.DataFrame:
        """The measured columns."""
        return self.frame[self.features]

    @cached_property
    def y(self) -> np.ndarray:
        """Labels as text, shape (rows,). Raises DataError without a target or with missing labels."""
        if self.roles.target is None:
            raise DataError(f"`{self.source}` was read without a target: pass --target COL.")
        labels = label_text(self.frame[self.roles.target])
        missing = int(labels.isna().sum())
        if missing:
            raise DataError(
                f"`{self.source}`: {missing} of {len(labels)} rows have no label in "
                f"`{self.roles.target}`: label or remove them."
            )
        return labels.to_numpy(dtype=object)

    @cached_property
    def groups(self) -> np.ndarray | None:
        """Run of each row as text, shape (rows,), or None without a group column."""
        if self.roles.group is None:
            return None
        return label_text(self.frame[self.roles.group]).fillna("(no run)").to_numpy(dtype=object)

    @property
    def runs(self) -> np.ndarray:
        """Run of each row as text, shape (rows,); without a group column all rows are one run."""
        groups = self.groups
        return np.full(len(self.frame), Path(self.source).stem, dtype=object) if groups is None else groups

    @property
    def times(self) -> np.ndarray | None:
        """Time of each row as text, or None."""
        if self.roles.time is None:
            return None
        return self.frame[self.roles.time].astype(str).to_numpy(dtype=object)

    def rows(self, where: np.ndarray) -> Table:
        """Return the rows where a boolean mask holds, or at the given positions."""
        index = np.flatnonzero(where) if where.dtype == bool else where
        return replace(self, frame=self.frame.iloc[index].reset_index(drop=True))

    def up_to(self, row: int, most: int) -> Table:
        """Return the last `most` rows up to and with `row` (from 1), which know how many rows came before them."""
        start = max(0, row - most)
        note = f"Only the {row - start:,} rows up to row {row:,} were looked at."
        return replace(
            self,
            frame=self.frame.iloc[start:row].reset_index(drop=True),
            first_row=start,
            before=dict(Counter(self.runs[:start].tolist())),
            notes=(*self.notes, note),
        )

    def hash(self) -> str:
        """Return a SHA-256 over column names and values: the recipe's fingerprint of the data."""
        digest = hashlib.sha256("\x1f".join(map(str, self.frame.columns)).encode())
        digest.update(pd.util.hash_pandas_object(self.frame, index=False).to_numpy().tobytes())
        return digest.hexdigest()


def require_columns(frame: pd.DataFrame, names: Iterable[tuple[str, str | None]], source: str) -> None:
    """Check that each (flag, column) exists; the error names the nearest column and the flag to pass."""
    for flag, name in names:
        if name is None or name in frame.columns:
            continue
        near = closest(name, frame.columns)
        hint = f"pass {flag} {near!r}" if near else f"pass {flag} with one of them"
        raise DataError(f"`{source}` has no column `{name}`; it has {listing(frame.columns)}: {hint}.")
