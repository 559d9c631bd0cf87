"""Rows as short text: a tag and one or two digits per scaled feature ("A4 B0 C9"), without names.

A 52-variable row in the thesis's sentence is over 500 tokens; in this text each feature is two. The features
that separate the classes best on the *training* rows are kept. Tags are our own letters, which the model can
look up by content: with them it learnt in half the steps it needed for digits alone. What was not measured (NaN) is
written "?". No column name, cell text or label enters the text, so none of them can instruct the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from faultwise.contracts.errors import UserError

__all__ = ["ShortText", "digits", "outer", "strengths", "tag"]


@dataclass(slots=True)
class ShortText:
    """Digits of features scaled between their outer training quantiles.

    >>> X = pd.DataFrame({"flow": np.arange(100.0), "flat": 1.0})
    >>> text = ShortText(most=5).fit(X, np.repeat(["a", "b"], 50))
    >>> text.write(pd.DataFrame({"flow": [0.0, 50.0, 99.0, np.nan]}))
    ['A0', 'A5', 'A9', 'A?']
    """

    digits: int = 1
    most: int = 12
    features: list[str] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> ShortText:
        """Choose features by a linear classifier's coefficients and learn their range. Raises UserError."""
        if self.digits not in (1, 2):
            raise UserError(f"{self.digits} digits per variable were requested: choose 1 or 2.")
        values = X.to_numpy(dtype=float)
        low, high = outer(values)
        strength = strengths(values, y, high > low)
        usable = np.flatnonzero(high > low)
        chosen = np.sort(usable[np.argsort(-strength[usable], kind="stable")[: self.most]])
        self.features = [str(X.columns[at]) for at in chosen]
        self.low, self.high = low[chosen].tolist(), high[chosen].tolist()
        return self

    def write(self, X: pd.DataFrame) -> list[str]:
        """Return one text per row."""
        values = X[self.features].to_numpy(dtype=float)
        cells = digits(values, np.array(self.low), np.array(self.high), self.digits)
        tags = [tag(at) for at in range(len(self.features))]
        return [" ".join(f"{t}{c}" for t, c in zip(tags, row, strict=True)) for row in cells]

    def answers(self, classes: Sequence[str]) -> list[str]:
        """Return the text of each class's answer: its number, never the name of a fault."""
        return [str(at) for at in range(len(classes))]

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `ShortText(**state)` takes back."""
        return asdict(self)


def outer(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outer quantiles of each column of values (rows, features), equal where nothing varies."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
        # 1% outer quantiles keep one outlier from squeezing all other rows into one digit.
        low, high = np.nanquantile(values, [0.01, 0.99], axis=0)
    return np.nan_to_num(low), np.nan_to_num(high)


def strengths(values: np.ndarray, y: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Return how much each feature of values (rows, features) contributes to separating the classes y (rows,), 0
    outside the mask `usable`.

    Raises UserError where nothing is usable.
    """
    if not usable.any():
        raise UserError("No variable changes over the training rows, so there is nothing to write: check the columns.")
    known = values[:, usable]
    known = np.where(np.isnan(known), np.nanmedian(known, axis=0), known)
    # Coefficients, not one-by-one tests: on TEP six variables chosen this way separate faults 0, 1, 4, 5
    # completely where the 26 with the largest F leave a tenth undecided, because some only help together.
    classifier = LogisticRegression(max_iter=300).fit(StandardScaler().fit_transform(known), y)
    made = np.zeros(values.shape[1])
    made[usable] = np.abs(classifier.coef_).max(axis=0)
    return made


def digits(values: np.ndarray, low: np.ndarray, high: np.ndarray, count: int = 1) -> list[list[str]]:
    """Write values (rows, features) in `count` digits each, from `low` to `high` (features,); "?" for NaN.

    >>> digits(np.array([[0.0, 1e9], [np.nan, -1.0]]), np.zeros(2), np.ones(2), count=2)
    [['00', '99'], ['?', '00']]
    """
    levels = 10**count
    missing = np.isnan(values)
    cells = np.clip(np.floor((np.where(missing, low, values) - low) / (high - low) * levels), 0, levels - 1).astype(int)
    return [
        ["?" if gap else f"{cell:0{count}d}" for cell, gap in zip(row, gaps, strict=True)]
        for row, gaps in zip(cells.tolist(), missing.tolist(), strict=True)
    ]


def tag(at: int) -> str:
    """Return A to Z, then AA, AB, ...: a tag of our own, never a name that comes from data.

    >>> tag(0), tag(25), tag(26)
    ('A', 'Z', 'AA')
    """
    return chr(65 + at) if at < 26 else tag(at // 26 - 1) + chr(65 + at % 26)
