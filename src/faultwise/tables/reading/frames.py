"""Arrays and frames that people pass in, made into frames with text names. Files are read elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing

__all__ = ["as_frame", "unused_name"]


def as_frame(X: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    """Return X (rows, variables) as a frame with names that are text. Raises DataError, also for
    several levels of names."""
    if isinstance(X, pd.DataFrame):
        if X.columns.nlevels > 1:
            levels = f"{X.columns.nlevels} levels of column names, such as {X.columns[0]!r}"
            join = 'X.columns = [" ".join(map(str, name)) for name in X.columns]'
            raise DataError(f"X has {levels}; expected one name for each column: join them first with `{join}`.")
        frame = X.rename(columns=str)
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique()
            raise DataError(f"X has several columns named {listing(twice)}: rename them.")
        return frame
    values = np.asarray(X)
    if values.ndim != 2:
        raise DataError(f"X has {values.ndim} dimensions, expected 2: (rows, variables).")
    return pd.DataFrame(values, columns=[f"x{at}" for at in range(values.shape[1])])


def unused_name(frame: pd.DataFrame, name: str) -> str:
    """Return a name that no column has: `name`, or with underscores before it."""
    while name in frame.columns:
        name = f"_{name}"
    return name
