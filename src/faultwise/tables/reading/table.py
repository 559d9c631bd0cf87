"""A table with roles: which column is the target, the group (run), the time, which are ignored.

Values are never changed here: `readers` reads, and the encoders make numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.about import About
from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.labels import label_of
from faultwise.tables.reading.labels.failures import Failures
from faultwise.tables.reading.time.stamps import Kind, kind_of, seconds

__all__ = ["Roles", "Table", "label_text", "require_columns", "run_text", "time_text"]

_FRACTION = re.compile(r"[+-]?\d+\.\d+")
_NOISY = 14  # characters: a shorter number is as somebody wrote it


@dataclass(frozen=True, slots=True)
class Roles:
    """Names of the columns that are not measurements."""

    target: str | None = None
    group: str | None = None
    time: str | None = None
    ignored: tuple[str, ...] = ()
    weight: str | None = None


def label_text(values: pd.Series) -> pd.Series:
    """Return labels as text: 4, 4.0 and "4" are one label; truth values are "True" or "False"; missing stays missing.

    >>> label_text(pd.Series([4.0, None, "leak ", True])).tolist()
    ['4', None, 'leak', 'True']
    """

    # Each distinct value once: a target has few of them and may have millions of rows. Mixed columns keep True and 1
    # apart, which have the same hash, and are converted one by one.
    mixed = values.dtype == object and len({type(value) for value in values}) > 1
    if mixed:
        return pd.Series([label_of(value) for value in values], index=values.index, dtype=object)
    codes, distinct = pd.factorize(values)
    texts = np.array([*(label_of(value) for value in distinct), None], dtype=object)
    return pd.Series(texts[codes], index=values.index, dtype=object)


def run_text(values: pd.Series) -> np.ndarray:
    """Return runs as text, shape (rows,); rows without a run form one of their own."""
    return np.asarray(label_text(values).fillna("(no run)").to_numpy(dtype=object))


def time_text(values: pd.Series) -> np.ndarray:
    """Return times as text, shape (rows,), each on its own, so that a piece of a column gives what the whole gives.

    Numbers are written as people do, without what binary fractions add to them.

    >>> time_text(pd.Series(pd.to_datetime(["2026-11-21 00:00"]))).tolist(), time_text(pd.Series([3.0])).tolist()
    (['2026-11-21 00:00:00'], ['3'])
    >>> time_text(pd.Series([7.050000190734863, 0.1 + 0.2])).tolist(), time_text(pd.Series(["7.0500001907"])).tolist()
    (['7.05', '0.3'], ['7.0500001907'])
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return np.array([str(value) for value in values], dtype=object)
    codes, texts = pd.factorize(label_text(values).fillna("").to_numpy(dtype=object))
    return np.array([_without_noise(str(text)) for text in texts], dtype=object)[codes]


def _without_noise(text: str) -> str:
    """Return a number without the digits that its storage added: in 32 bits 7.05 is 7.050000190734863."""
    if len(text) < _NOISY or not _FRACTION.fullmatch(text):
        return text
    value, short = float(text), str(np.float32(text))
    if len(short) < _NOISY and float(np.float32(text)) == value:
        return short
    return f"{value:.15g}" if len(f"{value:.15g}") < len(text) - 1 else text


@dataclass(frozen=True)
class Table:
    """Rows of an asset with roles, notes from reading, and what is known about the variables.

    `split` is the kind of split that the source itself needs ("" for none). A table cut out of a larger source holds
    the numbers of its rows there (`numbers`, ascending, from 1) and how many rows of each run came before (`before`).
    `recognised` holds, as JSON, what later files must be read with to have the same columns (see `shapes`);
    `beside` are tables of the source that are still to be joined to the rows. `failures` are those that its labels
    announce; `also` (rows,) has the further faults of rows with several at once.
    """

    frame: pd.DataFrame
    roles: Roles = field(default_factory=Roles)
    source: str = "table"
    notes: tuple[str, ...] = ()
    about: About = field(default_factory=About)
    split: str = ""
    numbers: np.ndarray | None = None
    before: Mapping[str, int] = field(default_factory=dict)
    recognised: Mapping[str, object] = field(default_factory=dict)
    beside: Mapping[str, pd.DataFrame] = field(default_factory=dict, compare=False)
    failures: Failures | None = None
    also: np.ndarray | None = None

    @property
    def features(self) -> list[str]:
        """Names of the measured columns, in file order."""
        skip = {self.roles.target, self.roles.group, self.roles.time, self.roles.weight, *self.roles.ignored}
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
        return run_text(self.frame[self.roles.group])

    @cached_property
    def stamps(self) -> tuple[Kind, np.ndarray] | None:
        """How the time column is written, and the time of each row in seconds, shape (rows,); None where there is no
        column of times that can be understood.
        """
        name = self.roles.time
        if name is None or name not in self.frame.columns:
            return None
        kind = kind_of(self.frame[name], name)
        return None if kind is None else (kind, seconds(self.frame[name], kind))

    @property
    def weights(self) -> np.ndarray | None:
        """Weight of each row in a fit, shape (rows,), or None."""
        return None if self.roles.weight is None else self.frame[self.roles.weight].to_numpy(dtype=float)

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
        return time_text(self.frame[self.roles.time])

    def rows(self, where: np.ndarray) -> Table:
        """Return the rows where a boolean mask holds, or at the given positions."""
        index = np.flatnonzero(where) if where.dtype == bool else where
        numbers, also = (None if one is None else one[index] for one in (self.numbers, self.also))
        return replace(self, frame=self.frame.iloc[index].reset_index(drop=True), numbers=numbers, also=also)

    def keeping(self, where: np.ndarray) -> Table:
        """Return the rows where a boolean mask holds; they keep their numbers in the source."""
        return replace(self, numbers=self.row_numbers).rows(where)

    @property
    def row_numbers(self) -> np.ndarray:
        """Number of each row in the source, from 1, shape (rows,)."""
        return np.arange(1, len(self.frame) + 1) if self.numbers is None else self.numbers

    def up_to(self, row: int, most: int) -> Table:
        """Return the last `most` rows of the run of row number `row`, up to and with it."""
        run = self.runs[row - 1]
        mine = np.flatnonzero(self.runs[:row] == run)
        kept = mine[-most:]
        note = f"Only the {len(kept):,} rows of `{str(run)[:40]}` up to row {row:,} were used."
        frame = self.frame.iloc[kept].reset_index(drop=True)
        before = {str(run): len(mine) - len(kept)}
        return replace(self, frame=frame, numbers=kept + 1, before=before, notes=(*self.notes, note))

    def hash(self) -> str:
        """Return a SHA-256 over column names and values: the fingerprint of the data."""
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
