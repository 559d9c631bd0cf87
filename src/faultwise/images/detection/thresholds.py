"""A threshold on scores from good examples alone, with the false-alarm rate that so many of them can promise.

The threshold is an order statistic of the scores of held-out examples (split conformal prediction): of a new good
example, exchangeable with these, the chance to lie above the k-th of n is (n + 1 - k) / (n + 1), on average over such
draws. For one draw the true rate follows a beta law; `confidence` is the chance that it keeps the requested rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, betabinom

from faultwise.contracts.errors import UserError

__all__ = ["Threshold", "alarms_at_most", "images_needed"]

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Threshold:
    """`value`: scores above are alarms. `promised`: false-alarm rate on average (None: nothing is promised).

    `requested` is the rate that was asked for, `confidence` the chance that one draw of `examples` keeps it.
    """

    value: float
    requested: float
    promised: float | None
    confidence: float
    examples: int
    note: str

    @classmethod
    def of(cls, scores: np.ndarray, rate: float, held_out: bool = True) -> Threshold:
        """Return the threshold for scores (examples,) of good ones and a requested rate between 0 and 1.

        Without `held_out` examples (they, or their like, were learnt from) the highest score is the threshold, and
        nothing is promised. Raises UserError for no scores, scores that are no numbers, or another rate.

        >>> threshold = Threshold.of(np.arange(99.0), 0.05)
        >>> threshold.value, threshold.promised
        (94.0, 0.05)
        """
        scores = np.sort(np.asarray(scores, float).ravel())
        n = len(scores)
        if not 0 < rate < 1:
            raise UserError(f"The false-alarm rate is {rate:g}: expected between 0 and 1.")
        if not n or not np.isfinite(scores).all():
            raise UserError(
                "A threshold needs scores of good examples that are numbers: give one good example at least."
            )
        if not held_out:
            note = (
                "The threshold is the highest score that good images reach, each compared with the others (one alone: "
                "with parts of it, brighter and darker): they are too few to hold some out, so no rate is promised."
            )
            return cls(float(scores[-1]), rate, None, 0.0, n, note)
        k = min(n, math.ceil((n + 1) * (1 - rate) - 1e-9))
        promised = (n + 1 - k) / (n + 1)
        confidence = float(beta.cdf(rate, n + 1 - k, k))
        return cls(float(scores[k - 1]), rate, promised, confidence, n, _note(n, rate, promised, confidence))


def _note(n: int, rate: float, promised: float, confidence: float) -> str:
    """Return what so many held-out images promise, in a sentence."""
    if promised > rate + 1e-9:
        return (
            f"{n} held-out good images can promise no less than {promised:.1%} false alarms; {rate:.1%} were "
            f"requested, which takes {math.ceil(1 / rate) - 1} of them."
        )
    average = f"On average over draws like these {n} good images, at most {promised:.1%} of good ones give an alarm"
    needed = images_needed(rate)
    if n >= needed:
        return f"{average}; for one draw {rate:.1%} holds with a chance of {confidence:.0%}."
    return (
        f"{average}. To be 95% sure of {rate:.1%} for one draw takes {needed} held-out images and a higher threshold."
    )


def images_needed(rate: float, confidence: float = _CONFIDENCE) -> int:
    """Return how many held-out good examples can promise a rate with a confidence, at the least.

    >>> [images_needed(rate) for rate in (0.1, 0.05, 0.01)]
    [29, 59, 299]
    """
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def alarms_at_most(threshold: Threshold, new: int, confidence: float = _CONFIDENCE) -> int:
    """Return how many alarms among `new` good examples are within what is promised, with a chance of `confidence`.

    Raises UserError for a threshold that promises nothing.
    """
    if threshold.promised is None:
        raise UserError("The threshold promises nothing, so no number of alarms can be expected.")
    k = threshold.examples + 1 - round(threshold.promised * (threshold.examples + 1))
    return int(betabinom.ppf(confidence, new, threshold.examples + 1 - k, k))
