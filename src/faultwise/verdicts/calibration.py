"""Calibration of verdicts on runs that neither the experts nor their fusion have learnt from.

Three things rest on such runs: the alarm threshold, the coverage of fault sets, and the p-value below which a row
counts as unknown. Nothing here chooses an expert or changes a probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import numpy as np

from faultwise.contracts.verdicts import Status
from faultwise.verdicts.conformal import FaultSets, PValues, most_coverage, nonconformity, runs_for
from faultwise.verdicts.ensemble import Ensemble, Labelled
from faultwise.verdicts.false_alarms import RunRate, rate_on_new_runs
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["STATUSES", "Calibration", "SetJudgements", "calibrate", "calibrated_on", "statuses"]

STATUSES: tuple[Status, ...] = get_args(Status)
_TOO_MANY = 0.5  # share of the known labels: a larger set decides nothing


@dataclass(frozen=True, slots=True)
class SetJudgements:
    """What calibration adds to verdicts: fault sets `members` (rows, classes; boolean), the p-value `p_known` (rows,)
    of each row's distance to the known classes, and the verdict's `status` (rows,), one of STATUSES.
    """

    members: np.ndarray
    p_known: np.ndarray
    status: np.ndarray

    def figures(self, truth: np.ndarray, classes: np.ndarray) -> dict[str, float]:
        """Return how often sets hold the `truth` (rows,), how large they are, and how often each status is given."""
        known = np.isin(truth, classes)
        held = self.members[known, np.searchsorted(classes, truth[known])].sum() / len(truth)
        return {
            "coverage": float(held),
            "set_size": float(self.members.sum(axis=1).mean()),
            "abstained": float((self.status == "undecided").mean()),
            "unknown": float((self.status == "unknown").mean()),
            "several": float((self.status == "several").mean()),
        }


@dataclass(slots=True)
class Calibration:
    """Fault sets and novelty with the p-values they rest on.

    `coverage` is the requested one, over all runs or, with `per` "class", within each class; `novel_rate` is the share
    of rows of known classes that may be classified as unknown. `runs_by_class` counts the calibration runs with rows
    of a class.
    """

    sets: FaultSets
    novel: PValues
    coverage: float = 0.9
    per: str = "all"
    novel_rate: float = 0.05
    runs_by_class: dict[str, int] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many calibration runs there are."""
        return self.sets.over_all.runs

    @property
    def promised(self) -> float:
        """The coverage that holds: the requested one, or the largest that so few runs can guarantee."""
        fewest = min(self.runs_by_class.values(), default=0) if self.per == "class" else self.runs
        return min(self.coverage, most_coverage(fewest))

    def note(self) -> str:
        """Return in words what the calibration guarantees, and what it cannot."""
        few = min(self.runs_by_class.values(), default=0)
        unit = "of each class" if self.per == "class" else "of all classes together"
        text = (
            f"Fault sets hold the true label in {_percent(self.promised)} of rows {unit}, for new runs like the "
            f"{self.runs} that they were calibrated on."
        )
        if self.promised < self.coverage:
            runs = few if self.per == "class" else self.runs
            text += f" {_percent(self.coverage)} was requested: {self._too_few(runs)}"
        elif self.per == "all" and most_coverage(few) < self.coverage:
            text += f" This does not hold for each class by itself: {self._too_few(few)}"
        if 1 / (self.runs + 1) > self.novel_rate + 1e-12:
            needed = int(np.ceil(1 / self.novel_rate - 1 - 1e-9))
            text += f" No row can be classified as unknown at a rate of {self.novel_rate:g}: that needs {needed} runs."
        return text

    def _too_few(self, few: int) -> str:
        fewest = f"the fewest calibration runs of a class are {few}, which"
        which = fewest if few < self.runs else f"the {few} calibration runs"
        return f"{which} guarantee {_percent(most_coverage(few))} at most; it needs {runs_for(self.coverage)}."

    def judgements(
        self, p: np.ndarray, classes: np.ndarray, labels: np.ndarray, distances: np.ndarray
    ) -> SetJudgements:
        """Return fault sets and status of verdicts with probabilities p (rows, classes), `labels` (rows,) and
        `distances` (rows,) to the known classes, as `Novelty.scores` gives them.
        """
        members, p_known = self.members(p, classes, labels), self.novel(distances)
        return SetJudgements(members, p_known, statuses(members, p_known, self.novel_rate))

    def members(self, p: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which labels stay possible, shape (rows, classes); the verdict's own label always does."""
        return self.sets.members(nonconformity(p, classes, labels), classes, self.coverage, self.per == "class")

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `from_dict` takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` gave."""
        rest = {key: value for key, value in state.items() if key not in ("sets", "novel")}
        return cls(FaultSets.from_dict(state["sets"]), PValues(**state["novel"]), **rest)


def calibrate(
    ensemble: Ensemble, data: Labelled, novelty: Novelty, coverage: float, per: str, novel_rate: float, seed: int
) -> tuple[Calibration, str | None]:
    """Set the ensemble's thresholds on calibration rows; return the calibration of sets and novelty, and a note on the
    thresholds (None where no row is normal, so that they stay unchanged).

    The language model takes no part: it would need minutes, and few rows of a diagnosis are scored by it. Verdicts that
    it contributes to use the sets of the other experts.
    """
    classical = [name for name in ensemble.experts if name != LANGUAGE_MODEL]
    p = {name: ensemble.predict(name, data.X) for name in classical}
    fused = ensemble.fuse({name: q for name, q in p.items() if name in ensemble.fusion.weights_without})
    promise = (coverage, per, novel_rate)
    made, rate, few = calibrated_on(ensemble, data, p, fused, novelty.scores(data.X), promise, seed)
    if rate is None:
        return made, None
    ensemble.detector.interval = rate.interval
    return made, " ".join(filter(None, (few, rate.note())))


def calibrated_on(
    ensemble: Ensemble,
    data: Labelled,
    p: Mapping[str, np.ndarray],
    fused: np.ndarray,
    distances: np.ndarray,
    promise: tuple[float, str, float],
    seed: int,
) -> tuple[Calibration, RunRate | None, str]:
    """Set the ensemble's thresholds by what is said of calibration rows; return the calibration of sets and novelty,
    the false-alarm rate that new runs may have (None without normal rows), and a note, empty where rows are enough.

    `p` by expert and `fused` are probabilities (rows, classes), `distances` (rows,) those to the known classes: by
    parts that have not learnt these rows. `promise` has coverage, what it holds per, and the rate of unknown rows.
    """
    detector, rate, few = ensemble.detector, None, ""
    normal = data.y == detector.normal
    if normal.any():
        few = ensemble.set_thresholds(p, fused, data.y, data.groups)
        alarms = detector.decide(fused, ensemble.classes)[normal] != detector.normal
        rate = rate_on_new_runs(alarms, data.groups[normal], detector.false_alarm_rate)
    scores = nonconformity(fused, ensemble.classes, detector.decide(fused, ensemble.classes))
    sets = FaultSets().fit(scores, data.y, ensemble.classes, data.groups, seed)
    novel = PValues().fit(distances, data.groups, seed)
    counts = {str(label): len(set(data.groups[data.y == label])) for label in ensemble.classes}
    return Calibration(sets, novel, *promise, counts), rate, few


def _percent(share: float) -> str:
    """Write a share as a percentage, rounded down: 94.7% must not be shown as 95%."""
    return f"{np.floor(1000 * share + 1e-9) / 10:g}%"


def statuses(members: np.ndarray, p_known: np.ndarray, novel_rate: float) -> np.ndarray:
    """Return the status of each verdict, shape (rows,): one of STATUSES.

    "unknown" comes first: between known classes there is nothing to choose for a row that resembles none of them.

    >>> sets = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    >>> statuses(sets, np.array([0.5, 0.5, 0.5, 0.01]), 0.05).tolist()
    ['named', 'several', 'undecided', 'unknown']
    """
    size = members.sum(axis=1)
    most = max(2, int(_TOO_MANY * members.shape[1]))
    unlike = p_known <= novel_rate + 1e-12  # the mean of many equal p-values may differ from them in its last digit
    made = np.select([unlike, size > most, size > 1], ["unknown", "undecided", "several"], "named")
    return np.asarray(made)
