"""What a verdict may promise, learnt from runs that neither the experts nor their fusion have seen.

Three things rest on such runs: the alarm threshold, the fault sets, and the limit beyond which a row is unlike anything
known. Nothing here chooses an expert or changes a probability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from faultwise.contracts.records import Standing
from faultwise.verdicts.conformal import FaultSets, PValues, most_coverage, strangeness
from faultwise.verdicts.ensemble import Ensemble, Labelled
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["STANDINGS", "Calibration", "Stand", "calibrate", "standings"]

STANDINGS: tuple[Standing, ...] = ("named", "several", "unknown", "undecided")
_TOO_MANY = 0.5  # of the known labels: a set larger than this helps nobody


@dataclass(frozen=True, slots=True)
class Stand:
    """How verdicts stand: fault sets `members` (rows, classes), how usual a row's distance to the known classes is,
    `p_known` (rows,), and `standing` (rows,), one of STANDINGS.
    """

    members: np.ndarray
    p_known: np.ndarray
    standing: np.ndarray


@dataclass(slots=True)
class Calibration:
    """Fault sets and novelty with the p-values they rest on.

    `coverage` is asked for over all runs or, with `per` "class", within each class; `novel_rate` is the share of rows
    of known classes that may be called unknown. `runs_by_class` counts the calibration runs with rows of a class.
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
        """The coverage that holds: the one asked for, or the largest that so few runs can promise."""
        fewest = min(self.runs_by_class.values(), default=0) if self.per == "class" else self.runs
        return min(self.coverage, most_coverage(fewest))

    def note(self) -> str:
        """Say what is promised, and what cannot be."""
        few = min(self.runs_by_class.values(), default=0)
        unit = "of each class" if self.per == "class" else "of all classes together"
        said = (
            f"Fault sets hold the true label in {_percent(self.promised)} of rows {unit}, for new runs like the "
            f"{self.runs} that they were calibrated on."
        )
        if self.promised < self.coverage:
            said += (
                f" {_percent(self.coverage)} was asked for: {self._too_few(few if self.per == 'class' else self.runs)}"
            )
        elif self.per == "all" and most_coverage(few) < self.coverage:
            said += f" Class by class that is not promised: {self._too_few(few)}"
        if 1 / (self.runs + 1) > self.novel_rate + 1e-12:
            needed = int(np.ceil(1 / self.novel_rate - 1 - 1e-9))
            said += f" Nothing can be called unknown at a rate of {self.novel_rate:g}: that needs {needed} runs."
        return said

    def _too_few(self, few: int) -> str:
        needed = int(np.ceil(self.coverage / (1 - self.coverage) - 1e-9))
        which = "the fewest calibration runs of a class" if few < self.runs else "the calibration runs"
        return f"{which} are {few}, which can promise {_percent(most_coverage(few))} at most; it needs {needed}."

    def stand(self, p: np.ndarray, classes: np.ndarray, labels: np.ndarray, strange: np.ndarray) -> Stand:
        """Return how verdicts stand: probabilities p (rows, classes), `labels` and novelty scores `strange` (rows,)."""
        members, p_known = self.members(p, classes, labels), self.novel(strange)
        return Stand(members, p_known, standings(members, p_known, self.novel_rate))

    def members(self, p: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which labels stay possible, shape (rows, classes); the verdict's own label always does."""
        return self.sets.members(strangeness(p, classes, labels), classes, self.coverage, self.per == "class")

    def to_dict(self) -> dict[str, Any]:
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
    """Set the ensemble's thresholds by calibration rows, and return what sets and novelty rest on, with a note on the
    thresholds: None where no row is normal, and they stay as they were.

    The language model is not asked: it would take minutes, and few rows of a diagnosis are scored by it. Its fused
    verdicts use the sets of the others.
    """
    classical = [name for name in ensemble.experts if name != LANGUAGE_MODEL]
    p = {name: ensemble.ask(name, data.X) for name in classical}
    fused = ensemble.fuse({name: q for name, q in p.items() if name in ensemble.fusion.weights_without})
    note = ensemble.set_thresholds(p, fused, data.y) if (data.y == ensemble.detector.normal).any() else None
    strange = strangeness(fused, ensemble.classes, ensemble.detector.decide(fused, ensemble.classes))
    sets = FaultSets().fit(strange, data.y, ensemble.classes, data.groups, seed)
    novel = PValues().fit(novelty.scores(data.X), data.groups, seed)
    counts = {str(label): len(set(data.groups[data.y == label])) for label in ensemble.classes}
    return Calibration(sets, novel, coverage, per, novel_rate, counts), note


def _percent(share: float) -> str:
    """Write a share as a percentage, rounded down: 94.7% is not the 95% that was asked for."""
    return f"{np.floor(1000 * share + 1e-9) / 10:g}%"


def standings(members: np.ndarray, p_known: np.ndarray, novel_rate: float) -> np.ndarray:
    """Return how each verdict stands, shape (rows,): one of STANDINGS.

    "unknown" comes before all else: what resembles no known class is no matter of choosing between them.

    >>> sets = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]], bool)
    >>> standings(sets, np.array([0.5, 0.5, 0.5, 0.01]), 0.05).tolist()
    ['named', 'several', 'undecided', 'unknown']
    """
    size = members.sum(axis=1)
    most = max(2, int(_TOO_MANY * members.shape[1]))
    unlike = p_known <= novel_rate + 1e-12  # the mean of many equal p-values may differ from them in its last digit
    made = np.select([unlike, size > most, size > 1], ["unknown", "undecided", "several"], "named")
    return np.asarray(made)
