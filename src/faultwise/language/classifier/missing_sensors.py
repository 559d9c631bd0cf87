"""Calibration for missing sensors: a temperature that rises with the share of variables that are missing.

A classifier that was trained with variables hidden is still overconfident from those that remain, because rows of a run
resemble each other and its teachers had all variables. So its probabilities are flattened as far as validation rows,
with variables hidden, show: log temperature = `base` + `slope` x share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from faultwise.verdicts.fusion import apply_temperature

__all__ = ["MissingSensorTemperature"]

_WIDEST = float(np.log(100.0))  # bound of the temperature's logarithm, in either direction


@dataclass(frozen=True, slots=True)
class MissingSensorTemperature:
    """`loss` is the log loss (nats) of the flattened probabilities on the rows that it was fitted on; 0 before that."""

    base: float = 0.0
    slope: float = 0.0
    loss: float = 0.0

    @classmethod
    def fit(cls, p: np.ndarray, codes: np.ndarray, shares: np.ndarray) -> MissingSensorTemperature:
        """Fit on probabilities p (rows, classes), true columns (rows,) and shares of variables hidden (rows,).

        >>> p = np.array([[0.99, 0.01]] * 20)
        >>> right = np.array([0] * 19 + [1])
        >>> wrong = np.array([0, 1] * 10)
        >>> shares = np.repeat([0.0, 0.5], 20)
        >>> temperature = MissingSensorTemperature.fit(np.vstack([p, p]), np.r_[right, wrong], shares)
        >>> temperature.apply(p[:2], np.array([0.0, 0.5]))[:, 0].round(1).tolist()
        [0.9, 0.6]
        """

        def loss(at: np.ndarray) -> float:
            q = cls(float(at[0]), float(at[1])).apply(p, shares)
            # A small penalty on extremes: few rows must not make it certain of anything.
            return float(-np.log(q[np.arange(len(codes)), codes] + 1e-12).mean() + 1e-3 * (at**2).sum())

        found = minimize(loss, np.zeros(2), method="Nelder-Mead")
        fitted = cls(float(found.x[0]), max(0.0, float(found.x[1])))
        q = fitted.apply(p, shares)
        return cls(fitted.base, fitted.slope, float(-np.log(q[np.arange(len(codes)), codes] + 1e-12).mean()))

    def apply(self, p: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Return probabilities (rows, classes), flattened by the temperatures of the shares (rows,) of missing
        variables.
        """
        temperature = np.exp(np.clip(self.base + self.slope * shares, -_WIDEST, _WIDEST))[:, None]
        return apply_temperature(p, temperature)
