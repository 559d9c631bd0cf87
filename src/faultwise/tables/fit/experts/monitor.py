"""Monitoring without fault labels: limits, T2 and SPE of a principal component model of the normal rows.

T2 (Hotelling) sums squared scores over their variances: unusual combinations along directions that normal rows use.
SPE (also Q) is the squared residual: what those directions cannot explain (Jackson and Mudholkar 1979). The third
statistic is the largest single deviation in sigmas. Each is divided by its limit, the quantile at `LIMIT` of normal
rows; the largest of the three ratios is the index.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from faultwise.contracts.errors import DataError, RunFolderError
from faultwise.contracts.experts import ExpertContext

__all__ = ["ABNORMAL", "MONITOR", "NORMAL", "STATISTICS", "Monitor", "index_of", "monitor"]

MONITOR = "monitor"
ABNORMAL, NORMAL = "abnormal", "normal"
STATISTICS = ("T2", "SPE", "largest deviation")
LIMIT = 0.99
_EXPLAINED = 0.99  # share of the variance that the components keep (0.9 left SPE with directions that T2 sees better)
_FEWEST = 10


def index_of(p: np.ndarray) -> np.ndarray:
    """Return how many times the limit a monitor's P(abnormal) stands for: p / (1 - p)."""
    return np.asarray(p / np.maximum(1 - p, 1e-12))


class Monitor:
    """An expert that knows normal rows only. Its `predict_proba` is index / (1 + index): a score, no probability.

    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame(rng.normal(size=(500, 3)), columns=["a", "b", "c"]).assign(d=lambda f: f.a + f.b)
    >>> made = Monitor().fit(X, np.repeat("normal", 500), np.zeros(500))
    >>> broken = pd.DataFrame({"a": [1.0], "b": [1.0], "c": [0.0], "d": [0.0]})  # d no longer follows a and b
    >>> made.statistics(broken).iloc[0].idxmax()
    'SPE'
    """

    def __init__(self) -> None:
        self.name = MONITOR
        self.classes_ = np.array([ABNORMAL, NORMAL])
        self._state: dict[str, np.ndarray] = {}

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Monitor:
        """Learn from X (rows, features), whose labels y (rows,) must all be `NORMAL`. Raises DataError."""
        if set(y) != {NORMAL}:
            raise DataError("The monitor learns from normal rows alone: fit with --normal-only instead of --experts.")
        values = X.to_numpy(dtype=float)
        if len(values) < _FEWEST:
            raise DataError(
                f"{len(values)} normal rows with a full window; expected {_FEWEST} at least: give more rows."
            )
        center, scale = values.mean(axis=0), values.std(axis=0)
        # A feature that normal rows hardly vary in would turn rounding into sigmas.
        scale = np.where(scale > 1e-9 * np.maximum(1.0, np.abs(center)), scale, 1.0)
        scaled = (values - center) / scale
        variance, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
        # Rows that never varied have no direction at all; a tiny variance then makes any change an alarm.
        variance, directions = np.maximum(variance[::-1], 1e-12), directions[:, ::-1]
        kept = int(np.searchsorted(np.cumsum(variance) / variance.sum(), _EXPLAINED)) + 1
        # At least one direction must stay over for the residual, and none that rounding made.
        kept = max(1, min(kept, X.shape[1] - 1, int((variance > 1e-9 * variance[0]).sum())))
        self._state = {
            "center": center,
            "scale": scale,
            "directions": np.ascontiguousarray(directions[:, :kept]),
            "variance": variance[:kept].copy(),
            "limits": np.ones(len(STATISTICS)),
        }
        raw = self.statistics(X).to_numpy()
        self._state["limits"] = np.maximum(np.quantile(raw, LIMIT, axis=0), 1e-12)
        return self

    def statistics(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return T2, SPE and the largest deviation of each row, each divided by its limit; shape (rows, 3)."""
        state = self._ready()
        scaled, scores, residual = self._projected(X)
        t2 = (scores**2 / state["variance"]).sum(axis=1)
        made = np.column_stack([t2, (residual**2).sum(axis=1), np.abs(scaled).max(axis=1)])
        return pd.DataFrame(made / state["limits"], columns=list(STATISTICS))

    def parts(self, X: pd.DataFrame) -> dict[str, np.ndarray]:
        """Return each feature's part of T2 and of SPE, in units of the limit, shape (rows, features).

        Parts add up to the statistic: those of SPE are squared residuals, those of T2 are Nomikos's complete
        decomposition (1996), which may be negative for features that speak against.
        """
        state = self._ready()
        scaled, scores, residual = self._projected(X)
        along = (scores / state["variance"]) @ state["directions"].T
        return {"T2": scaled * along / state["limits"][0], "SPE": residual**2 / state["limits"][1]}

    def _projected(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scaled values (rows, features), their scores (rows, components), and what the scores leave over."""
        state = self._ready()
        scaled = (X.to_numpy(dtype=float) - state["center"]) / state["scale"]
        scores = scaled @ state["directions"]
        return scaled, scores, scaled - scores @ state["directions"].T

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return scores of shape (rows, 2): index / (1 + index) for abnormal, the rest for normal."""
        score = 1 - 1 / (1 + self.statistics(X).to_numpy().max(axis=1))
        return np.column_stack([score, 1 - score])

    def save(self, folder: Path) -> None:
        """Write `monitor.safetensors` and `expert.json`."""
        save_file(
            {name: np.ascontiguousarray(part) for name, part in self._ready().items()}, folder / "monitor.safetensors"
        )
        state = {"statistics": STATISTICS, "components": len(self._state["variance"]), "limit": LIMIT}
        (folder / "expert.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> Monitor:
        """Read what `save` wrote."""
        self._state = load_file(folder / "monitor.safetensors")
        return self

    def _ready(self) -> dict[str, np.ndarray]:
        if not self._state:
            raise RunFolderError("The monitor was neither fitted nor loaded.")
        return self._state


def monitor(context: ExpertContext) -> Monitor:
    """Factory for the plug-in door."""
    return Monitor()
