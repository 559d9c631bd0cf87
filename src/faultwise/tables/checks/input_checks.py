"""Checks of the rows that come in before a verdict: are the sensors sound, are the values distributed as in training?

The two checks are `sensors.sensor_check` and `data_drift`. Here they are fitted once, on as many whole runs as can be
checked quickly, and their results become findings and notes. They change no verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, Variable
from faultwise.contracts.findings import Interval, SensorFinding
from faultwise.tables.checks.data_drift import TrainingSummary, drift_of_data, summary_of
from faultwise.tables.checks.sensors.sensor_check import SensorCheck, SensorCheckState, SensorFault

__all__ = ["InputChecks", "InputChecksState"]

_MOST_ROWS = 100_000
_FEWEST_ROWS = 50  # below it a distribution shows little
_NAMED = 3
InputChecksState = Mapping[str, object]  # what JSON holds of the checks: `summary` and `sensors`


@dataclass(slots=True)
class InputChecks:
    """The checks of incoming rows, learnt from training rows; `sensors` is None where rows have no order in time."""

    summary: TrainingSummary = field(default_factory=dict)
    sensors: SensorCheck | None = None

    @classmethod
    def fit(cls, X: pd.DataFrame, runs: np.ndarray | None, normal: np.ndarray | None, seed: int = 0) -> InputChecks:
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

    def sensor_findings(self, X: pd.DataFrame, run: str, about: About, before: int = 0) -> tuple[SensorFinding, ...]:
        """Return a finding for each sensor that looks broken in the rows X of a run, up to the judged one.

        `before` counts the earlier rows of the run that X does not hold.
        """
        if self.sensors is None:
            return ()
        numbers = _numbers(X, self.sensors.columns)
        faults = self.sensors.check(numbers, np.full(len(X), run))
        return tuple(_finding(number, fault, run, numbers, about, before) for number, fault in enumerate(faults, 1))

    def drift_note(self, X: pd.DataFrame) -> str:
        """Return a sentence about the variables of X (rows, variables) that are distributed unlike training, or ""."""
        if len(X) < _FEWEST_ROWS or not self.summary:
            return ""
        here = {name: known for name, known in self.summary.items() if name in X.columns}
        shifted = [shift for shift in drift_of_data(here, _numbers(X, here)) if shift.shifted]
        if not shifted:
            return ""
        most = "; ".join(f"`{one.variable}` {one.psi:.1f} (limit {one.limit:.2f})" for one in shifted[:_NAMED])
        return (
            f"{len(shifted)} of {len(self.summary)} variables are distributed differently than in training, because of "
            f"a fault or because the plant has changed. Population stability index: {most}."
        )

    def state(self) -> tuple[dict[str, np.ndarray], InputChecksState]:
        """Return the state as arrays (for safetensors) and as a mapping for JSON."""
        if self.sensors is None:
            return {}, {"summary": self.summary, "sensors": None}
        arrays, sensors = self.sensors.to_arrays()
        return arrays, {"summary": self.summary, "sensors": sensors}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], state: Mapping[str, object]) -> InputChecks:
        """Build the checks from what `state` returned."""
        summary: TrainingSummary = state["summary"]  # type: ignore[assignment]
        sensors: SensorCheckState | None = state["sensors"]  # type: ignore[assignment]
        return cls(summary, None if sensors is None else SensorCheck.from_arrays(arrays, sensors))


def _finding(
    number: int, fault: SensorFault, run: str, numbers: pd.DataFrame, about: About, before: int
) -> SensorFinding:
    known = about.variables.get(fault.variable, Variable())
    last = numbers[fault.variable].iloc[fault.last - 1]
    return SensorFinding(
        id=f"S{number}",
        expert="sensors",
        variable=fault.variable,
        measure="value",
        value=None if pd.isna(last) else float(last),
        normal_low=None,
        normal_high=None,
        direction="unusual",
        interval=Interval(run, fault.first + before, fault.last + before),
        sensor=fault.sentence,
        name=known.name,
        unit=known.unit,
        description=known.description,
    )


def _numbers(X: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return the named columns as numbers; texts among them are missing, as they are for the experts."""
    return pd.DataFrame({name: pd.to_numeric(X[name], errors="coerce").astype(float) for name in names})
