"""Conformal p-values calibrated on whole runs: what fault sets and novelty rest on.

Rows of a run resemble each other, so runs are taken to be exchangeable, and not rows. A p-value is averaged
over many draws of one calibration row per run, each an ordinary split-conformal p-value: in the limit the
hierarchical one of Lee, Barber and Willett, "Distribution-free inference with hierarchical data" (2023). It
holds for a row drawn from a new run that is like the calibration runs; with K runs no coverage above K / (K + 1) can be
guaranteed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faultwise.verdicts.drawing import draw_one_per_run

__all__ = ["FaultSets", "PValues", "most_coverage", "nonconformity", "runs_for"]

_DRAWS = 100
_GRID = 500


def most_coverage(runs: int) -> float:
    """Return the largest coverage that so many calibration runs can guarantee.

    >>> most_coverage(9), most_coverage(0)
    (0.9, 0.0)
    """
    return runs / (runs + 1)


def runs_for(coverage: float) -> int:
    """Return how many calibration runs can guarantee a coverage, at the least.

    >>> runs_for(0.9), runs_for(0.95)
    (9, 19)
    """
    return int(np.ceil(coverage / (1 - coverage) - 1e-9))


@dataclass(slots=True)
class PValues:
    """p-values of nonconformity scores (larger conforms less) as a falling step function; JSON-ready.

    `p[i]` holds for scores above `steps[i]`, up to and with the next step; it is the highest there, so that a coarse
    step function never excludes a score that the exact one would not.

    >>> p = PValues().fit(np.array([0.1, 0.2, 0.3]), np.array(["a", "b", "c"]))
    >>> p(np.array([0.0, 0.2, 0.9])).tolist(), p.runs
    ([1.0, 0.75, 0.25], 3)
    """

    steps: list[float] = field(default_factory=list)
    p: list[float] = field(default_factory=list)
    runs: int = 0

    def fit(self, scores: np.ndarray, runs: np.ndarray, seed: int = 0) -> PValues:
        """Learn from calibration rows: scores and runs, shape (rows,)."""
        scores = np.asarray(scores, dtype=float)
        grid = np.unique(scores)
        if len(grid) > _GRID:
            grid = np.unique(np.quantile(grid, np.linspace(0, 1, _GRID)))
        draws = draw_one_per_run(runs, _DRAWS, seed)
        # The mean over draws of (1 + scores that are no smaller) / (1 + runs), just above each step.
        drawn = np.sort(scores[draws], axis=None)
        no_smaller = (drawn.size - np.searchsorted(drawn, grid, side="right")) / len(draws)
        self.runs = draws.shape[1]
        self.steps, self.p = grid.tolist(), ((1 + no_smaller) / (1 + self.runs)).tolist()
        return self

    def conforming(self, scores: np.ndarray, coverage: float) -> np.ndarray:
        """Return which scores conform at a coverage, or at the largest one that the runs allow, in the scores' shape.

        Without any run every score conforms.
        """
        if not self.runs:
            return np.ones(np.shape(scores), bool)
        return np.asarray(self(scores) > 1 - min(coverage, most_coverage(self.runs)) + 1e-12)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Return the p-value of each score, in the scores' shape."""
        at = np.searchsorted(np.array(self.steps), scores, side="left")
        return np.asarray(np.r_[1.0, self.p][at])


def nonconformity(p: np.ndarray, classes: np.ndarray, verdict: np.ndarray) -> np.ndarray:
    """Return the nonconformity of each label, shape (rows, classes): one minus its probability (Sadinle, Lei and
    Wasserman 2019, the smallest sets on average), but 0 for the verdict's own label, which therefore is in every set.

    The verdict detects before it names and is not always the likeliest label. Adding its label to finished sets would
    make them larger than necessary: they would hold the true label more often than the coverage requires.
    """
    made = 1 - p
    made[np.arange(len(p)), np.searchsorted(classes, verdict.astype(str))] = 0.0
    return np.asarray(made)


@dataclass(slots=True)
class FaultSets:
    """Sets of labels that hold the true one with the requested coverage, over all runs or within each class."""

    over_all: PValues = field(default_factory=PValues)
    by_class: dict[str, PValues] = field(default_factory=dict)

    def fit(self, scores: np.ndarray, y: np.ndarray, classes: np.ndarray, runs: np.ndarray, seed: int = 0) -> FaultSets:
        """Learn from calibration rows: nonconformity `scores` (rows, classes), true labels y and runs (rows,)."""
        of_truth = scores[np.arange(len(y)), np.searchsorted(classes, y)]
        self.over_all = PValues().fit(of_truth, runs, seed)
        self.by_class = {
            str(label): PValues().fit(of_truth[y == label], runs[y == label], seed)
            for label in classes
            if (y == label).any()
        }
        return self

    def members(self, scores: np.ndarray, classes: np.ndarray, coverage: float, per_class: bool = False) -> np.ndarray:
        """Return which labels stay possible by their nonconformity `scores`, shape (rows, classes).

        Where there are too few calibration runs (of a class) for the coverage, the largest that they allow is used;
        a label without calibration runs stays in every set.
        """
        if not per_class:
            return self.over_all.conforming(scores, coverage)
        without_runs = PValues()
        found = [
            self.by_class.get(str(label), without_runs).conforming(scores[:, at], coverage)
            for at, label in enumerate(classes)
        ]
        return np.column_stack(found)

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> FaultSets:
        """Read what `dataclasses.asdict` gave."""
        return cls(PValues(**state["over_all"]), {k: PValues(**v) for k, v in state["by_class"].items()})
