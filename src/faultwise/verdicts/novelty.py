"""How unlike every known class a row is: minus twice the log-density of the class that explains it best.

From which distance on a row counts as unknown is decided by p-values on calibration runs (`calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.covariance import ledoit_wolf

from faultwise.verdicts.drawing import draw_evenly

__all__ = ["Novelty"]

_MOST_ROWS = 30_000
_CHUNK = 5_000
_OWN = 0.5  # share of a class's own covariance: 0.3 to 0.8 find about the same on simulated runs, 0 much less
_MOST_CELLS = 40_000_000  # classes x features x features: above it all classes share one covariance


@dataclass(slots=True)
class Novelty:
    """One Gaussian per class on window features, used for outliers: regularised discriminant analysis (Friedman 1989)
    as in Lee et al., "A simple unified framework for detecting out-of-distribution samples" (2018).

    A class's covariance is halfway between its own and the pooled one, which is shrunk after Ledoit and Wolf (2004).
    Measures that are `logged` (features,) are deviations, above zero, and enter as logarithms above `floor`
    (features,): tenfold and a tenth are then equally far. `scale` (features,) are the deviations within classes,
    `centres` (classes, features) the class means divided by them, `whiten` (classes or 1, features, features) makes
    scaled features of a class uncorrelated, and `volume` (classes or 1,) is the log-determinant of its covariance.
    """

    logged: np.ndarray
    floor: np.ndarray
    scale: np.ndarray
    centres: np.ndarray
    whiten: np.ndarray
    volume: np.ndarray

    @classmethod
    def fit(cls, frame: pd.DataFrame, y: np.ndarray, logged: np.ndarray, seed: int = 0) -> Novelty:
        """Learn from encoded rows (rows, features) and labels y (rows,)."""
        X = frame.to_numpy()
        if len(X) > _MOST_ROWS:
            drawn = draw_evenly(y, np.zeros(len(y), int), _MOST_ROWS, seed)  # every class must be drawn
            X, y = X[drawn], y[drawn]
        floor = 1e-3 * np.median(np.abs(X), axis=0).astype(float) + 1e-9
        made = cls(logged, floor, np.ones(X.shape[1]), *(np.empty(0),) * 3)
        Z = made._prepared(X)
        labels, codes = np.unique(y, return_inverse=True)
        means = np.array([Z[codes == code].mean(axis=0) for code in range(len(labels))])
        within = Z - means[codes]
        scale = within.std(axis=0)
        scale[scale < 1e-9] = 1.0  # a constant feature: whatever it does later counts in its own unit
        within /= scale
        pooled, _ = ledoit_wolf(within, assume_centered=True)
        covariances = [pooled]
        if len(labels) * Z.shape[1] ** 2 <= _MOST_CELLS:
            of_class = [within[codes == code] for code in range(len(labels))]
            covariances = [_OWN * (rows.T @ rows) / len(rows) + (1 - _OWN) * pooled for rows in of_class]
        whiten = np.array([np.linalg.cholesky(np.linalg.inv(covariance)) for covariance in covariances])
        volume = np.array([np.linalg.slogdet(covariance)[1] for covariance in covariances])
        # Half the precision is plenty, and half the size of a run folder's largest file.
        return cls(logged, floor, scale, means / scale, whiten.astype(np.float32), volume)

    def scores(self, frame: pd.DataFrame) -> np.ndarray:
        """Return how far each encoded row is from the class that explains it best, shape (rows,)."""
        X = frame.to_numpy()
        found = np.full(len(X), np.inf)
        for start in range(0, len(X), _CHUNK):
            rows = self._prepared(X[start : start + _CHUNK]) / self.scale
            nearest = found[start : start + _CHUNK]
            for at, centre in enumerate(self.centres):
                one = min(at, len(self.whiten) - 1)
                distance = (((rows - centre) @ self.whiten[one]) ** 2).sum(axis=1) + self.volume[one]
                np.minimum(nearest, distance, out=nearest)
        return found

    def means(self, at: int) -> np.ndarray:
        """Return the means of class `at` in the features' own units, geometric ones where logged; shape (features,)."""
        means = self.centres[at] * self.scale
        return np.asarray(np.where(self.logged, np.exp(np.where(self.logged, means, 0.0)) - self.floor, means))

    def _prepared(self, X: np.ndarray) -> np.ndarray:
        values = np.asarray(X, dtype=float)
        return np.asarray(np.where(self.logged, np.log(np.maximum(values, 0.0) + self.floor), values))
