"""Verdicts: what is concluded about one item (a row with its window, an image, a recording). Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from faultwise.contracts.findings import Measure

__all__ = ["FaultSet", "Status", "TellApart", "Verdict"]

Status = Literal["named", "several", "unknown", "undecided"]


@dataclass(frozen=True, slots=True)
class FaultSet:
    """Labels that stay possible. `coverage` is None while nothing is promised about the set."""

    labels: tuple[str, ...]
    coverage: float | None = None
    note: str = (
        "No coverage is promised, because it was not calibrated on whole runs: these are the labels that make up "
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
    counts: rows, or runs with any alarm. `false_alarm_interval` (low, high) is what is promised of the rate of new runs
    like those of the calibration, with 95% confidence; None where nothing is.

    A monitor of normal rows knows no probabilities: `probability` is NaN, `probabilities` is empty, and `statistics`
    says how many times its alarm limit each statistic (T2, SPE, ...) is.

    `status` says what the verdict may be taken for, where the fit was calibrated: one label is "named"; "several"
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
    false_alarm_interval: tuple[float, float] | None = None
    statistics: dict[str, float] = field(default_factory=dict)
    status: Status = "named"
    p_known: float | None = None
    tell_apart: tuple[TellApart, ...] = ()

    @property
    def normal_is_likelier(self) -> bool:
        """Whether the score raises an alarm although the row is more probably normal than not: the threshold lies low
        where normal rows and faults are far apart.
        """
        if not self.detected or not self.probabilities or self.fault_score is None or self.threshold is None:
            return False
        return self.threshold < self.fault_score < 0.5
