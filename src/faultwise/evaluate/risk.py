"""Risk and coverage: the error of an expert on its most certain rows, when the others are left to a person.

Sources: El-Yaniv and Wiener, "On the foundations of noise-free selective classification" (JMLR 11, 2010); the area
(AURC) as in Geifman, Uziel and El-Yaniv (ICLR 2019). Nothing here knows experts or splits.
"""

from __future__ import annotations

import numpy as np

__all__ = ["at_shares", "aurc", "risk_curve"]


def risk_curve(uncertainty: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return the error among the 1, 2, ... n most confident rows, shape (n,).

    `uncertainty` (n,) is low where the expert is certain, `wrong` (n,) is boolean. Rows of equal uncertainty have no
    order: each position among them counts their mean, which is what a random order gives on average.

    >>> risk_curve(np.array([0.0, 0.2, 0.2]), np.array([False, True, False])).tolist()
    [0.0, 0.25, 0.3333333333333333]
    """
    _, tie, size = np.unique(uncertainty, return_inverse=True, return_counts=True)
    mean = np.bincount(tie, weights=np.asarray(wrong, dtype=float)) / size
    return np.asarray(np.cumsum(np.repeat(mean, size)) / np.arange(1, len(tie) + 1))


def aurc(curve: np.ndarray) -> float:
    """Return the area under a curve of `risk_curve`: its mean over all coverages, 0 at best."""
    return float(curve.mean())


def at_shares(curve: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return the error among the most confident `shares` (0 to 1) of the rows, at least one row, rounded up."""
    rows = np.ceil(np.round(shares * len(curve), 9)).astype(int)
    return np.asarray(curve[np.clip(rows, 1, len(curve)) - 1])
