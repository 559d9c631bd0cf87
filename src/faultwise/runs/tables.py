"""Tables for spreadsheets: CSV in which no cell can start a formula.

Tables are read in `tables.reading`; this module formats nothing and rounds nothing.
"""

from __future__ import annotations

import csv
import io
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise.runs.files import write_atomic

__all__ = ["csv_text", "guarded", "write_csv", "write_table"]

# Spreadsheets run a cell that starts so, even from a CSV file; the wide forms count for some of them.
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def guarded(value: Any) -> Any:
    """Put an apostrophe before text that a spreadsheet would run; numbers and dates stay as they are.

    >>> guarded("=1+1"), guarded(-1.5), guarded("-1.5"), guarded("reactor")
    ("'=1+1", -1.5, "'-1.5", 'reactor')
    """
    if value is None or isinstance(value, Number | pd.Timestamp | pd.Timedelta | type(pd.NA) | type(pd.NaT)):
        return value
    text = str(value)
    return f"'{text}" if text.startswith(_STARTS) else text


def write_csv(frame: pd.DataFrame, path: str | Path, *, index: bool = False) -> Path:
    """Write `frame` as UTF-8 CSV, whole or not at all. Returns the path; raises UserError as `write_atomic` does."""
    return write_atomic(path, csv_text(frame, index=index))


def csv_text(frame: pd.DataFrame, *, index: bool = False, header: bool = True) -> str:
    """Return `frame` as CSV; text is quoted, missing values are empty. The frame is not changed.

    Cells, headers and index entries that are text and start with = + - @, a tab or a line break get a leading
    apostrophe.
    """
    safe = frame.copy()
    names = frame.columns.to_flat_index() if isinstance(frame.columns, pd.MultiIndex) else frame.columns
    safe.columns = pd.Index([guarded(name) for name in names], dtype=object)
    for position, dtype in enumerate(frame.dtypes):
        # By position, because names may occur twice. Dates have no text to guard.
        if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_datetime64_any_dtype(dtype)):
            column = [guarded(value) for value in frame.iloc[:, position].astype(object)]
            # The added None keeps numpy from guessing a shape out of nested values.
            safe.isetitem(position, np.array([*column, None], dtype=object)[:-1])
    if index:
        safe.index = pd.Index([guarded(entry) for entry in frame.index], dtype=object)
        safe.index.name = guarded(frame.index.name)
    # Quoted text also stays one cell in spreadsheets that split at semicolons.
    return str(safe.to_csv(index=index, header=header, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n"))


def write_table(frame: pd.DataFrame, path: Path) -> Path:
    """Write `.parquet` or `.csv` by suffix, atomically."""
    if path.suffix != ".parquet":
        return write_csv(frame, path)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return write_atomic(path, buffer.getvalue())
