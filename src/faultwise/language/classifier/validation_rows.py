"""Validation rows of the language model: held out of its own training rows, whole runs where there are several."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.verdicts.drawing import draw_evenly

__all__ = ["FEWEST_ROWS", "MOST_ROWS", "affordable", "held_out"]

FEWEST_ROWS, MOST_ROWS = 24, 200
_SHARE = 0.1  # of the rows
_MOST_TOKENS = 12_000  # long prompts: an evaluation must not cost more than the training between two of them


def held_out(y: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """Return a mask (rows,) of validation rows: whole runs where every class has several, else rows.

    Raises UserError where no class has two rows.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    held = np.zeros(len(y), bool)
    counts = np.unique(y, return_counts=True)[1]
    if counts.max() < 2:
        raise UserError(
            f"The language model needs two training rows of one class at least, one to learn from and one to stop on; "
            f"there are {len(y)} rows of {len(counts)} classes: give more rows, or leave it out with --no-lm."
        )
    runs = pd.DataFrame({"y": y, "g": groups}).drop_duplicates().groupby("y").size()
    # By the median: one class of a single row must not make half of all rows validation rows.
    folds = max(2, min(round(1 / _SHARE), int(np.median(counts))))
    whole = runs.min() >= 2 and len(np.unique(groups)) < len(y)
    if whole:
        folds = max(2, min(folds, int(runs.min())))
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups)
    else:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)
    with warnings.catch_warnings():  # a class with fewer rows than folds is held out in some of them
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        held[next(iter(parts))[1]] = True
    unlearnt = np.setdiff1d(y, y[~held])  # classes whose only runs, or only row, were held out
    held[np.isin(y, unlearnt)] = False
    if not held.any():
        held[np.flatnonzero(y == pd.Series(y).value_counts().index[0])[0]] = True
    return held


def affordable(codes: np.ndarray, tokens: int, seed: int) -> np.ndarray:
    """Return positions of as many validation rows, evenly over the classes `codes` (rows,), as an evaluation can
    afford; `tokens` are those of the longest row.
    """
    most = min(MOST_ROWS, max(FEWEST_ROWS, _MOST_TOKENS // tokens))
    return draw_evenly(codes, np.arange(len(codes)), most, seed)
