"""Arrays and dataframes that people pass in, made into pandas frames with text names. Files are read elsewhere.

Dataframes of other libraries (polars, Arrow, DuckDB relations, Modin, ...) come in through narwhals; the order of rows
is kept, and a lazy frame is collected. The index of a pandas frame is no column.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

__all__ = ["as_frame", "has_names", "is_frame", "unused_name"]

# What pandas calls columns of Python objects that are numbers, such as decimals of a database.
_NUMBERS = ("decimal", "floating", "integer", "integer-na", "mixed-integer-float")


def is_frame(X: object) -> bool:
    """Return whether X is a dataframe of some library: pandas, polars (lazy too), Arrow, DuckDB, ..."""
    if isinstance(X, pd.DataFrame):
        return True
    if isinstance(X, np.ndarray | list | tuple):
        return False
    import narwhals as nw

    return isinstance(nw.from_native(X, pass_through=True), nw.DataFrame | nw.LazyFrame)


def has_names(X: object) -> bool:
    """Return whether X is a dataframe whose columns have names of their own: a pandas frame may have numbers only."""
    if isinstance(X, pd.DataFrame):
        return all(isinstance(name, str) for name in X.columns)
    return is_frame(X)


def as_frame(X: object) -> pd.DataFrame:
    """Return X (rows, variables) as a pandas frame with names that are text. Raises DataError, also for several levels
    of names.

    >>> as_frame([[1, 2], [3, 4]]).columns.tolist()
    ['x0', 'x1']
    """
    if isinstance(X, pd.DataFrame):
        if X.columns.nlevels > 1:
            levels = f"{X.columns.nlevels} levels of column names, such as {X.columns[0]!r}"
            join = 'X.columns = [" ".join(map(str, name)) for name in X.columns]'
            raise DataError(f"X has {levels}; expected one name for each column: join them first with `{join}`.")
        frame = X.rename(columns=str)
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique()
            raise DataError(f"X has several columns named {listing(twice)}: rename them.")
    elif is_frame(X):
        frame = _collected(X)
    else:
        frame = _from_array(X)
    if frame.shape[1] == 0:
        raise DataError(
            f"X has 0 feature(s) (shape={frame.shape}) while a minimum of 1 is required: give measured columns."
        )
    return _plain_numbers(frame)


def unused_name(frame: pd.DataFrame, name: str) -> str:
    """Return a name that no column has: `name`, or with underscores before it."""
    while name in frame.columns:
        name = f"_{name}"
    return name


def _collected(X: object) -> pd.DataFrame:
    import narwhals as nw

    native: IntoFrame = X  # type: ignore[assignment]
    frame = nw.from_native(native)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    return frame.to_pandas()


def _from_array(X: object) -> pd.DataFrame:
    if hasattr(X, "toarray"):
        raise DataError(
            "X is a sparse matrix, and sparse input is not supported: pass X.toarray(), an array (rows, variables)."
        )
    values = np.asarray(X)
    if values.ndim != 2:
        raise DataError(
            f"X has {values.ndim} dimensions, expected 2: (rows, variables). Reshape your data: X.reshape(-1, 1) for "
            "one variable, X.reshape(1, -1) for one row."
        )
    if np.iscomplexobj(values):
        raise DataError("Complex data not supported: X holds complex numbers. Pass their real and imaginary parts.")
    return pd.DataFrame(values, columns=[f"x{at}" for at in range(values.shape[1])])


def _plain_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Make numbers of columns of Python objects that are numbers; other columns stay."""
    objects = [name for name, kind in zip(frame.columns, frame.dtypes, strict=True) if kind.kind == "O"]
    numbers = [name for name in objects if pd.api.types.infer_dtype(frame[name], skipna=True) in _NUMBERS]
    if not numbers:
        return frame
    made = frame.copy(deep=False)
    for name in numbers:
        made[name] = pd.Series(pd.to_numeric(frame[name]).to_numpy(dtype=float, na_value=np.nan), index=frame.index)
    return made
