"""Rows without a label: left out of learning and judging, or filled forward where that is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.verdicts.stretches import stretches

__all__ = ["filled_forward", "without_label"]

_SPARSE = 0.5


def filled_forward(y: pd.Series, runs: np.ndarray, order: np.ndarray) -> tuple[pd.Series, list[str]]:
    """Return labels (rows,) that hold within their run until the next one, and a note; `order` (rows,) is that of time.

    >>> y = pd.Series([None, "leak", None, None], dtype=object)
    >>> filled_forward(y, np.array(["a", "a", "a", "b"]), np.arange(4))[0].tolist()
    [None, 'leak', 'leak', None]
    """
    sorted_labels = y.iloc[order].reset_index(drop=True)
    filled = sorted_labels.groupby(pd.Series(runs[order]), sort=False).ffill()
    values = np.empty(len(y), dtype=object)
    values[order] = filled.where(filled.notna(), None).to_numpy(dtype=object)
    made = pd.Series(values, index=y.index, dtype=object)
    count = int(made.notna().sum() - y.notna().sum())
    return made, [f"{count:,} rows without a label got the last label before them in their run."] if count else []


def without_label(y: pd.Series, runs: np.ndarray, source: str, target: str) -> tuple[np.ndarray, list[str]]:
    """Return a mask (rows,) of the rows without a label, and notes. Raises DataError where no row has one."""
    out = y.isna().to_numpy()
    if not out.any():
        return out, []
    if out.all():
        raise DataError(
            f"`{source}`: none of {len(out)} rows has a label in `{target}`: name another column with --target, or "
            "learn normal rows alone with --normal-only."
        )
    notes = [f"{int(out.sum()):,} of {len(out):,} rows have no label in `{target}`: left out."]
    if _only_first(out, y, runs):
        notes.append(
            "Most labels stand alone before rows without one. If a label holds until the next one, pass "
            "--fill-labels forward."
        )
    return out, notes


def _only_first(out: np.ndarray, y: pd.Series, runs: np.ndarray) -> bool:
    """Whether labels stand in single rows, each before unlabelled ones: perhaps only in the first row of an event."""
    if out.mean() <= _SPARSE:
        return False
    pieces = stretches(runs, y.fillna("").to_numpy())
    sizes = np.bincount(pieces[~out], minlength=int(pieces.max()) + 1)
    return bool(np.median(sizes[sizes > 0]) <= 1)
