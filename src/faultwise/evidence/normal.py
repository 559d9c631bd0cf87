"""What normal looks like: mean, spread and central range of each feature over the normal training rows.

Without a normal class the band describes all training rows, and the report states that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

__all__ = ["NormalBand"]


@dataclass(slots=True)
class NormalBand:
    """Per feature (in feature order): mean, standard deviation, and the central 99% of the normal rows."""

    mean: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    rows: int = 0
    of_normal: bool = True

    def fit(self, X: pd.DataFrame, of_normal: bool) -> NormalBand:
        """Learn from features X (rows, features)."""
        values = X.to_numpy(dtype=float)
        self.mean, self.spread = values.mean(axis=0).tolist(), values.std(axis=0).tolist()
        low, high = np.quantile(values, [0.005, 0.995], axis=0)
        self.low, self.high = low.tolist(), high.tolist()
        self.rows, self.of_normal = len(values), of_normal
        return self

    @property
    def varied(self) -> np.ndarray:
        """Tell for each feature whether the normal rows ever varied in it, so that sigmas mean something."""
        return np.asarray(np.array(self.spread) > 1e-12 * np.maximum(1.0, np.abs(self.mean)))

    def deviations(self, values: np.ndarray) -> np.ndarray:
        """Return signed sigmas, same shape as values (..., features); 0 where normal never varied."""
        known = self.varied
        return np.asarray(np.where(known, (values - self.mean) / np.where(known, self.spread, 1.0), 0.0))

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `NormalBand(**state)` takes back."""
        return asdict(self)
