"""An expert that knows how a pump's readings belong together: it takes the load out, then tells classes apart.

One Gaussian per class on six numbers that hardly depend on speed. Everything else (calibration, weight in the fusion,
threshold, saving, findings) is done for it as for the experts that come along.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.experts import ExpertContext

__all__ = ["PumpBalance", "balances", "pump_balance"]

_READ = ("speed", "suction", "discharge", "flow", "power", "bearing", "vibration")


def balances(X: pd.DataFrame) -> np.ndarray:
    """Return flow, head and so on as they would be at 2900 rpm, from features such as `value(flow)`; (rows, 6)."""
    speed, suction, discharge, flow, power, bearing, vibration = (X[f"value({name})"].to_numpy(float) for name in _READ)
    share, rise = speed / 2900, discharge - suction
    loss, work = 1e4 * (1.6 - suction) / flow**2, 36 * power / (flow * rise)
    return np.column_stack(
        [flow / share, rise / share**2, loss, work, bearing - 26 * share**2, vibration - 0.9 * share]
    )


class PumpBalance:
    """Keeps the contract of `faultwise.contracts.records.Expert`; it need not inherit from anything."""

    def __init__(self) -> None:
        self.name = "pump-balance"  # the name of the entry point
        self.classes_ = np.empty(0, dtype=str)
        self.means, self.spreads = np.empty((0, 6)), np.empty((0, 6))

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> PumpBalance:
        """Learn mean and spread of each class; X has numbers only and no gaps, y is text."""
        seen, self.classes_ = balances(X), np.unique(y.astype(str))
        self.means = np.array([seen[y == label].mean(axis=0) for label in self.classes_])
        self.spreads = np.array([seen[y == label].std(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return a column for each of `classes_`; each row adds up to one."""
        far = (balances(X)[:, None] - self.means) / self.spreads
        likely = -0.5 * (far**2).sum(axis=2) - np.log(self.spreads).sum(axis=1)
        p = np.exp(likely - likely.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def save(self, folder: Path) -> None:
        """Write what `load` needs into an empty folder; no pickle, so that a run folder is safe to open."""
        state = {"classes": self.classes_.tolist(), "means": self.means.tolist(), "spreads": self.spreads.tolist()}
        (folder / "state.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> PumpBalance:
        """Read what `save` wrote."""
        state = json.loads((folder / "state.json").read_text())
        self.classes_ = np.array(state["classes"])
        self.means, self.spreads = np.array(state["means"]), np.array(state["spreads"])
        return self


def pump_balance(context: ExpertContext) -> PumpBalance:
    """Factory that the entry point names; `context` has the seed."""
    return PumpBalance()
