"""Rows for the sensor check: numbers without texts, the rows of each run, and where its stretches start."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing

__all__ = ["numbers_of", "require_same_length", "rows_by_run", "stretch_starts"]

_LARGEST = 1e30  # larger values are no measurements and count as missing


def numbers_of(X: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return float64 of shape (rows, columns), NaN for values too large to be measured. Raises DataError for texts."""
    named = X.set_axis(list(map(str, X.columns)), axis=1)[columns]
    texts = [name for name in columns if not pd.api.types.is_numeric_dtype(named[name])]
    if texts:
        raise DataError(f"Sensors must be numbers; these columns are not: {listing(texts)}: leave them out.")
    numbers = named.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.abs(numbers) > _LARGEST, np.nan, numbers)


def require_same_length(X: pd.DataFrame, other: np.ndarray, what: str) -> None:
    """Check that there is a row, and one entry of `other` (in words: `what`) per row. Raises DataError."""
    if len(other) != len(X) or len(X) == 0:
        raise DataError(f"Found {len(X)} rows and {len(other)} {what}; expected one of each per row, and a row.")


def rows_by_run(runs: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return each run and its rows, in order of first appearance."""
    codes, names = pd.factorize(np.asarray(runs), use_na_sentinel=False)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    return [(str(name), part) for name, part in zip(names, np.split(order, ends[:-1]), strict=True)]


def stretch_starts(rows: int, length: int) -> list[int]:
    """Return where stretches start: one after the other, the last one ending with the run."""
    starts = list(range(0, max(rows - length, 0) + 1, length))
    return starts if starts[-1] + length >= rows else [*starts, rows - length]
