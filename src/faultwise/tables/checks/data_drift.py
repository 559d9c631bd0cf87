"""Data drift: how far incoming rows are distributed differently from those of training, variable by variable.

The measure is the population stability index over the training deciles, PSI = sum of (now - before) ln(now / before),
missing values being a bin of their own; above 0.25 a shift is called large (Siddiqi, Credit Risk Scorecards, 2006). Few
rows, and rows that resemble the one before, differ that much by chance: the limit is then raised to the 99.9% quantile
that chance gives to as many independent rows (PSI times rows is close to chi-squared).

It compares one variable at a time, and does not say why a variable shifted or whether that matters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing

__all__ = ["PSI_LIMIT", "Shift", "TrainingSummary", "drift_of_data", "summary_of"]

PSI_LIMIT = 0.25
_RARE = 1e-3  # a share below counts as this much: an empty bin would be infinitely far
_CHANCE = 0.999
_MOST_ALIKE = 0.98  # correlation of neighbouring rows that is allowed for


class _Distribution(TypedDict):
    edges: list[float]
    shares: list[float]
    median: float | None


TrainingSummary = dict[str, _Distribution]  # by variable; JSON can hold it


@dataclass(frozen=True, slots=True)
class Shift:
    """One variable: its index, the limit for it, and medians before and now (None without a value)."""

    variable: str
    psi: float
    limit: float
    shifted: bool
    median_before: float | None
    median_now: float | None
    sentence: str


def summary_of(X: pd.DataFrame) -> TrainingSummary:
    """Return what `drift_of_data` needs to know of training rows X (rows, variables): ready for JSON.

    Columns that are not numeric are passed over. Raises DataError without rows or without a numeric column.
    """
    numeric = [name for name in X.columns if pd.api.types.is_numeric_dtype(X[name])]
    if len(X) == 0 or not numeric:
        raise DataError(
            f"Found {len(X)} rows and no numeric column among {listing(X.columns)}; expected some of both."
            if not numeric
            else "There are no rows to summarise: give training rows."
        )
    made: TrainingSummary = {}
    for name in numeric:
        values = _finite(X[name])
        known = values[np.isfinite(values)]
        edges = np.unique(np.quantile(known, np.arange(1, 10) / 10)) if len(known) else np.zeros(1)
        if len(edges) == 1:  # one value: at it, below it, above it
            edges = np.array([edges[0], np.nextafter(edges[0], np.inf)])
        made[str(name)] = {
            "edges": edges.tolist(),
            "shares": _shares(values, edges).tolist(),
            "median": float(np.median(known)) if len(known) else None,
        }
    return made


def drift_of_data(train_summary: TrainingSummary, X: pd.DataFrame) -> list[Shift]:
    """Return how far each variable of X (rows, variables; rows in time order) has shifted, the most shifted first.

    Variables are ranked by index over limit. Raises DataError for missing columns, texts, and X without rows.
    """
    missing = [name for name in train_summary if name not in X.columns]
    texts = [n for n in train_summary if n in X.columns and not pd.api.types.is_numeric_dtype(X[n])]
    if missing or texts:
        what, names = ("missing", missing) if missing else ("not numeric", texts)
        raise DataError(f"Columns known from training are {what}: {listing(names)}: rename, add or convert them.")
    if len(X) == 0:
        raise DataError("There are no rows to compare with training: give at least one.")
    found = [_shift(name, before, _finite(X[name])) for name, before in train_summary.items()]
    return sorted(found, key=lambda shift: -shift.psi / shift.limit)


def _shift(name: str, before: _Distribution, values: np.ndarray) -> Shift:
    """Compare one variable with its training."""
    from scipy.stats import chi2

    known = values[np.isfinite(values)]
    then, now = np.array(before["shares"]), _shares(values, np.array(before["edges"]))
    a, b = np.maximum(then, _RARE), np.maximum(now, _RARE)
    psi = float(((b - a) * np.log(b / a)).sum())
    chance = float(chi2.ppf(_CHANCE, max(len(then) - 1, 1))) / _independent(values)
    limit = max(PSI_LIMIT, chance)
    median = float(np.median(known)) if len(known) else None
    word = "has shifted" if psi > limit else "is distributed as in training"
    medians = f"median {_number(median)} now, {_number(before['median'])} in training"
    sentence = f"`{name}` {word}: index {psi:.2f}, limit {limit:.2f}; {medians}."
    return Shift(name, psi, limit, psi > limit, before["median"], median, sentence)


def _number(value: float | None) -> str:
    return "without a value" if value is None else f"{value:.4g}"


def _independent(values: np.ndarray) -> float:
    """Return how many independent rows these count for, as an autoregression of order one has it."""
    known = values[np.isfinite(values)]
    if len(known) < 3 or np.ptp(known) == 0:
        return float(len(values))
    centred = known - known.mean()
    alike = np.clip((centred[1:] * centred[:-1]).sum() / (centred**2).sum(), 0.0, _MOST_ALIKE)
    return float(max(len(values) * (1 - alike) / (1 + alike), 1.0))


def _shares(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the share of values in each bin, and last that of missing ones."""
    known = np.isfinite(values)
    bins = np.where(known, np.searchsorted(edges, np.where(known, values, 0.0), side="right"), len(edges) + 1)
    return np.bincount(bins, minlength=len(edges) + 2) / len(values)


def _finite(values: pd.Series) -> np.ndarray:
    numbers = values.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)
