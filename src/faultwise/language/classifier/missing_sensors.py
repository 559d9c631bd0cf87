"""How sure to be when variables are lost: a temperature that rises with the share of them.

A judge that learnt with variables hidden still says too much of what is left, because rows of a run resemble each other
and its teachers saw all variables. So its probabilities are flattened by what held-out rows, with variables hidden,
show: log temperature = `base` + `more` x share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from faultwise.verdicts.fusion import apply_temperature

__all__ = ["Doubt"]

_WIDEST = float(np.log(100.0))  # of the temperature's logarithm, either way


@dataclass(frozen=True, slots=True)
class Doubt:
    """`loss` is the log loss on the rows that it was fitted on, flattened; 0 before that."""

    base: float = 0.0
    more: float = 0.0
    loss: float = 0.0

    @classmethod
    def fit(cls, p: np.ndarray, codes: np.ndarray, shares: np.ndarray) -> Doubt:
        """Fit on probabilities p (rows, classes), true columns (rows,) and shares of variables hidden (rows,).

        >>> p = np.array([[0.99, 0.01]] * 20)
        >>> right = np.array([0] * 19 + [1])
        >>> wrong = np.array([0, 1] * 10)
        >>> shares = np.repeat([0.0, 0.5], 20)
        >>> doubt = Doubt.fit(np.vstack([p, p]), np.r_[right, wrong], shares)
        >>> doubt.apply(p[:2], np.array([0.0, 0.5]))[:, 0].round(1).tolist()
        [0.9, 0.6]
        """

        def loss(at: np.ndarray) -> float:
            q = cls(float(at[0]), float(at[1])).apply(p, shares)
            # A little weight against extremes: few rows must not make it certain of anything.
            return float(-np.log(q[np.arange(len(codes)), codes] + 1e-12).mean() + 1e-3 * (at**2).sum())

        found = minimize(loss, np.zeros(2), method="Nelder-Mead")
        made = cls(float(found.x[0]), max(0.0, float(found.x[1])))
        q = made.apply(p, shares)
        return cls(made.base, made.more, float(-np.log(q[np.arange(len(codes)), codes] + 1e-12).mean()))

    def apply(self, p: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return probabilities (rows, classes), flattened by what the shares (rows,) of variables lost ask for."""
        temperature = np.exp(np.clip(self.base + self.more * shares, -_WIDEST, _WIDEST))[:, None]
        return apply_temperature(p, temperature)
