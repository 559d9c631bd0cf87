"""The words every room uses: what was observed, what was found, what was concluded.

Experts emit probabilities, evidence emits `Finding`s, fusion computes the `Verdict`, language only words what
was found. Nothing here computes: these are records, and the `Expert` protocol.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

__all__ = [
    "Case",
    "Diagnosis",
    "Expert",
    "FaultSet",
    "Finding",
    "Interval",
    "Observation",
    "RunSummary",
    "Sentence",
    "Series",
    "Standing",
    "TellApart",
    "Verdict",
]

Direction = Literal["high", "low", "within", "missing", "unusual"]
Measure = Literal["value", "mean", "spread", "jitter", "slope", "change", "category"]

Standing = Literal["named", "several", "unknown", "undecided"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one run, by row position within the run (both ends included) and, if known, by time."""

    run: str
    first: int
    last: int
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What one asset left behind over one interval: rows of variables, shape (samples, variables)."""

    interval: Interval
    values: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Finding:
    """One checkable statement about one variable over one interval.

    `deviation` is in standard deviations of the normal rows, signed. `normal_low` and `normal_high` hold the
    central 99% of the normal rows. `contribution` is how far the variable moved the log-odds of the
    verdict's label, in nats: positive speaks for the verdict. All three concern `measure` of the variable:
    its value, or its mean, spread (standard deviation), jitter (standard deviation of the changes from sample
    to sample) or slope (units per sample) over the interval.

    A finding of one of the user's rules carries it as `rule`: the normal range is then what the rule allows (of the
    value or, with measure "change", of its change over the interval), and `contribution` is 0: nothing was weighed.
    One of a sensor that looks broken over the interval says so as `sensor`.
    """

    id: str
    expert: str
    variable: str
    measure: Measure
    value: float | str | None
    normal_low: float | None
    normal_high: float | None
    deviation: float | None
    direction: Direction
    contribution: float
    interval: Interval
    name: str | None = None
    unit: str | None = None
    description: str | None = None
    rule: str | None = None
    sensor: str | None = None


@dataclass(frozen=True, slots=True)
class FaultSet:
    """Labels that stay possible. `coverage` is None while nothing is promised about the set."""

    labels: tuple[str, ...]
    coverage: float | None = None
    note: str = (
        "No coverage is promised, because no runs were set aside to calibrate it: these are the labels that make up "
        "90% of the probability."
    )


@dataclass(frozen=True, slots=True)
class TellApart:
    """A measure of a variable by which two possible labels differ: what to look at, or to measure, next.

    `usual` holds what training rows of `first` and `second` have on average, `value` what was found here (None where
    the variable was not measured). `distance` is how far the averages lie apart, in standard deviations within a class.
    """

    first: str
    second: str
    variable: str
    measure: Measure
    value: float | None
    usual: tuple[float, float]
    distance: float
    name: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is concluded about one row (with its window).

    `fault_score` is the fused probability that the row is not normal; above `threshold` (chosen for
    `false_alarm_rate` on validation rows) a fault is `detected`, and then named. `label` is None when
    nothing can be said; `reason` then says why. Without a normal class in training `detected`,
    `threshold` and `false_alarm_rate` are None and the label is only a name. `false_alarm_per` says what the rate
    counts: rows, or runs with any alarm.

    A monitor of normal rows knows no probabilities: `probability` is NaN, `probabilities` is empty, and `statistics`
    says how many times its alarm limit each statistic (T2, SPE, ...) is.

    `standing` says what the verdict may be taken for, where the fit was calibrated: one label is "named"; "several"
    stay possible (`fault_set`, and `tell_apart` what would separate them); the row is "unknown", because it resembles
    no known class (`p_known` is the share of rows of known classes that lie as far out); or "undecided": so many labels
    stay possible that it helps nobody. `label` is the nearest known one all the same, and `reason` says what stands in
    its way.
    """

    label: str | None
    probability: float
    probabilities: dict[str, float]
    detected: bool | None
    fault_score: float | None
    threshold: float | None
    false_alarm_rate: float | None
    fault_set: FaultSet
    reason: str = ""
    label_description: str | None = None
    label_descriptions: dict[str, str] = field(default_factory=dict)
    by_expert: dict[str, dict[str, float]] = field(default_factory=dict)
    false_alarm_per: str = "row"
    statistics: dict[str, float] = field(default_factory=dict)
    standing: Standing = "named"
    p_known: float | None = None
    tell_apart: tuple[TellApart, ...] = ()


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a narrative and the ids of the findings that carry it; `()` only for the verdict."""

    text: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """One variable over the run around a case, for plots: positions and values of equal length."""

    variable: str
    label: str
    unit: str | None
    positions: tuple[int, ...]
    values: tuple[float, ...]
    normal_low: float | None
    normal_high: float | None


@dataclass(frozen=True, slots=True)
class Case:
    """One diagnosed row with everything needed to check the verdict."""

    run: str
    row: int
    interval: Interval
    verdict: Verdict
    findings: tuple[Finding, ...]
    narrative: tuple[Sentence, ...]
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line per run: how many rows were judged and flagged, and the label given most often to those."""

    run: str
    rows: int
    judged: int
    flagged: int
    label: str | None
    probability: float
    first_flag: int | None
    first_flag_time: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that one `diagnose` call says: overview by run, cases in detail, notes, provenance."""

    source: str
    runs: tuple[RunSummary, ...]
    cases: tuple[Case, ...]
    notes: tuple[str, ...]
    provenance: dict[str, Any]
    leaderboard: tuple[dict[str, Any], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts and lists, ready for JSON."""
        return asdict(self)


@runtime_checkable
class Expert(Protocol):
    """What a classifier must offer to take part in the fusion.

    `fit` takes features X of shape (rows, features) as a named, purely numeric DataFrame without missing
    values, labels y of shape (rows,) as strings, and groups of shape (rows,). `predict_proba` returns shape
    (rows, classes) with columns in the order of `classes_`, each row adding up to one. `save` writes into an
    empty folder without pickle; the class is built anew by its plug-in name and `load` reads the folder.
    """

    name: str
    classes_: np.ndarray

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Expert:
        """Learn from labelled rows."""
        ...

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return class probabilities, shape (rows, classes)."""
        ...

    def save(self, folder: Any) -> None:
        """Write everything `load` needs into `folder`."""
        ...

    def load(self, folder: Any) -> Expert:
        """Read what `save` wrote."""
        ...
