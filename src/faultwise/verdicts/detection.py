"""Detect first, then name: the threshold on the fault score that gives a chosen false-alarm rate.

Normal itself is hard to recognise as one of many classes. A row is therefore first classified as normal or not, with
a false-alarm rate that people choose, and only then the fault is named. The rate holds for validation rows; which one
new runs may have is found in `false_alarms`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.verdicts.false_alarms import even_weights

__all__ = ["Detector"]


@dataclass(slots=True)
class Detector:
    """Threshold on P(not normal). Without a normal class every row is only named.

    `interval` is what is promised of the false-alarm rate on new runs, None where nothing is.
    """

    normal: str | None = None
    false_alarm_rate: float = 0.02
    threshold: float | None = None
    interval: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.interval is not None:
            self.interval = (self.interval[0], self.interval[1])  # JSON knows lists only
        if not 0 < self.false_alarm_rate < 1:
            raise UserError(
                f"The false-alarm rate is {self.false_alarm_rate:g}: choose a number between 0 and 1, such as 0.02."
            )

    def fit(self, scores: np.ndarray, runs: np.ndarray | None = None) -> str:
        """Set the threshold from the fault scores (rows,) of validation rows that are normal.

        With `runs` (rows,) the rate is kept twice: over all rows, and where no run counts for more rows than the median
        run, because one long quiet run would decide alone. Returns a note, empty when the rows are enough for the rate.
        Without rows there is no threshold.
        """
        self.interval = None
        if not len(scores):
            self.threshold = None
            return (
                f"No row labelled `{self.normal}` could be held out, so there is no alarm threshold: each row gets its "
                "likeliest label. Add normal runs, or pass --split block."
            )
        every = [np.ones(len(scores))] + ([] if runs is None else [even_weights(runs)])
        self.threshold = max(_quantile(scores, weights, 1 - self.false_alarm_rate) for weights in every)
        if len(scores) * self.false_alarm_rate < 5:
            return (
                f"The threshold for a false-alarm rate of {self.false_alarm_rate:g} rests on only "
                f"{len(scores)} normal validation rows."
            )
        return ""

    def scores(self, p: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
        """Return the fault score of each row, or None without a normal class."""
        if self.normal is None:
            return None
        return np.asarray(1 - p[:, list(classes).index(self.normal)])

    def decide(self, p: np.ndarray, classes: np.ndarray, forced: np.ndarray | None = None) -> np.ndarray:
        """Return the label of each row: normal unless its score is above the threshold, else the likeliest fault.

        `forced` (rows,) marks rows that are no longer normal whatever their score is, because a rule holds.
        """
        scores = self.scores(p, classes)
        if scores is None or self.threshold is None:
            return np.asarray(classes[p.argmax(axis=1)])
        faults = np.where(classes == self.normal, -1.0, p)
        # ">" on a tie with the highest normal score would hide faults that saturate at the same score.
        detected = scores > self.threshold
        if forced is not None:
            detected |= forced
        return np.asarray(np.where(detected, classes[faults.argmax(axis=1)], self.normal))


def _quantile(values: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Return the quantile of weighted values (rows,); with equal weights numpy's by the method "higher"."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    reached = (total - weights[order]) / np.maximum(total[-1] - weights[order], 1e-12)
    at = int(np.searchsorted(np.maximum.accumulate(reached), share - 1e-12))
    return float(values[order][min(at, len(values) - 1)])
