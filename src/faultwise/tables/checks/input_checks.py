"""What is asked of incoming rows before a verdict is given: are the sensors sound, are the data like those of training?

The two checks are `sensors` and `shift`; here they are fitted once, on as many whole runs as are quickly looked at, and
put into findings and notes. They change no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.records import Finding, Interval
from faultwise.evidence.about import About, Variable
from faultwise.tables.checks.drift import drift_of_data, summary_of
from faultwise.tables.checks.sensors import SensorCheck

__all__ = ["Incoming"]

_MOST_ROWS = 100_000
_FEWEST_ROWS = 50  # below it a distribution says little
_NAMED = 3


@dataclass(slots=True)
class Incoming:
    """The checks of incoming rows, learnt from training rows; `sensors` is None where rows have no order in time."""

    summary: dict[str, Any] = field(default_factory=dict)
    sensors: SensorCheck | None = None

    @classmethod
    def fit(cls, X: pd.DataFrame, runs: np.ndarray | None, normal: np.ndarray | None, seed: int = 0) -> Incoming:
        """Learn from raw rows X (rows, variables); `runs` (rows,) are given where rows follow each other in time, and
        `normal` (rows,) marks the normal ones.
        """
        numbers = X.select_dtypes("number").astype(float)
        if numbers.empty or numbers.isna().all(axis=None):
            return cls()
        summary = summary_of(numbers)
        if runs is None or not (numbers.nunique() > 1).any():
            return cls(summary)
        names = np.random.default_rng(seed).permutation(pd.unique(runs))
        sizes = pd.Series(runs).value_counts()[names].cumsum()
        kept = np.isin(runs, names[: max(1, int((sizes <= _MOST_ROWS).sum()))])
        sound = None if normal is None or not normal[kept].any() else normal[kept]
        return cls(summary, SensorCheck().fit(numbers[kept], runs[kept], sound))

    def suspects(self, X: pd.DataFrame, run: str, about: About, before: int = 0) -> tuple[Finding, ...]:
        """Return a finding for each sensor of a run's rows X, up to the judged one, that looks broken.

        `before` counts the rows of the run that were read and are not here.
        """
        if self.sensors is None:
            return ()
        made: list[Finding] = []
        numbers = _numbers(X, self.sensors.columns)
        for fault in self.sensors.check(numbers, np.full(len(X), run)):
            known = about.variables.get(fault.variable, Variable())
            last = numbers[fault.variable].iloc[fault.last - 1]
            made.append(
                Finding(
                    id=f"S{len(made) + 1}",
                    expert="sensors",
                    variable=fault.variable,
                    measure="value",
                    value=None if pd.isna(last) else float(last),
                    normal_low=None,
                    normal_high=None,
                    deviation=None,
                    direction="unusual",
                    contribution=0.0,
                    interval=Interval(run, fault.first + before, fault.last + before),
                    name=known.name,
                    unit=known.unit,
                    description=known.description,
                    sensor=fault.sentence,
                )
            )
        return tuple(made)

    def note(self, X: pd.DataFrame) -> str:
        """Say which variables of X (rows, variables) are distributed unlike training; empty if none is."""
        if len(X) < _FEWEST_ROWS or not self.summary:
            return ""
        here = {name: known for name, known in self.summary.items() if name in X.columns}
        shifted = [shift for shift in drift_of_data(here, _numbers(X, here)) if shift.shifted]
        if not shifted:
            return ""
        most = "; ".join(f"`{one.variable}` {one.psi:.1f} (limit {one.limit:.2f})" for one in shifted[:_NAMED])
        return (
            f"{len(shifted)} of {len(self.summary)} variables are distributed unlike in training, by a fault or "
            f"because the plant has changed. Population stability index: {most}."
        )

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return arrays and the JSON part of the state."""
        arrays, told = ({}, None) if self.sensors is None else self.sensors.to_arrays()
        return arrays, {"summary": self.summary, "sensors": told}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> Incoming:
        """Read what `state` gave."""
        if told["sensors"] is None:
            return cls(told["summary"])
        return cls(told["summary"], SensorCheck.from_arrays(dict(arrays), told["sensors"]))


def _numbers(X: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the named columns as numbers; texts among them are missing, as they are for the experts."""
    return pd.DataFrame({name: pd.to_numeric(X[name], errors="coerce").astype(float) for name in names})
