"""Arrays of a file put side by side: which of them have as many rows, and what becomes of matrices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing
from faultwise.tables.reading.formats.contents import Part

__all__ = ["Column", "side_by_side", "spread", "with_integers"]

_MOST_COLUMNS = 5000
_INTEGER = r"\s*[+-]?\d{1,18}\s*"


@dataclass(frozen=True, slots=True)
class Column:
    """An array that has not been read yet, of shape (rows,) or (rows, columns)."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray | pd.Series]


def spread(arrays: Mapping[str, np.ndarray | pd.Series]) -> pd.DataFrame:
    """Return arrays of as many rows as a frame; a matrix `x` becomes the columns `x(1)`, `x(2)`, ...

    >>> spread({"t": np.zeros(2), "x": np.zeros((2, 2))}).columns.tolist()
    ['t', 'x(1)', 'x(2)']
    """
    made: dict[str, np.ndarray | pd.Series] = {}
    for name, values in arrays.items():
        if values.ndim == 1:
            made[name] = values
        elif values.shape[1] == 1:
            made[name] = np.asarray(values)[:, 0]
        else:
            made |= {f"{name}({at + 1})": np.asarray(values)[:, at] for at in range(values.shape[1])}
    return pd.DataFrame(made)


def side_by_side(columns: Mapping[str, Column], left_out: Collection[str] = ()) -> dict[str, Part]:
    """Return a table for each number of rows that arrays have, the longest first, named by its first array.

    Arrays that stand alone (a constant) or are too wide to be columns are left out and named in a note.
    """
    usable = {name: one for name, one in columns.items() if len(one.shape) < 2 or one.shape[1] <= _MOST_COLUMNS}
    by_rows: dict[int, list[str]] = {}
    for name, one in usable.items():
        by_rows.setdefault(one.shape[0], []).append(name)
    parts: dict[str, Part] = {}
    for rows in sorted(by_rows, reverse=True):
        names = by_rows[rows]
        if rows >= 2 or (len(by_rows) == 1 and rows):
            others = [name for name in columns if name not in names] + list(left_out)
            parts[names[0]] = Part(rows, _reader({name: usable[name] for name in names}, others))
    return parts


def _reader(columns: Mapping[str, Column], others: list[str]):  # type: ignore[no-untyped-def]
    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        rows = next(iter(columns.values())).shape[0]
        note = f"Only what has {rows:,} rows was read; left out: {listing(others, 6)}."
        return spread({name: one.read() for name, one in columns.items()}), [note] if others else []

    return read


def with_integers(texts: pd.Series) -> pd.Series:
    """Return a column of text as integers where every cell is one, as a CSV file of the same cells gives; else itself.

    >>> with_integers(pd.Series(["1", "20"])).tolist()
    [1, 20]
    """
    if texts.isna().any() or not texts.astype("str").str.fullmatch(_INTEGER).all():
        return texts
    return texts.astype("str").str.strip().astype("int64")
