"""A limit on scores from good examples alone, with the false-alarm rate that so many of them can promise.

The limit is an order statistic of scores of examples that took no part in learning (split conformal prediction): of a
new good example, exchangeable with these, the chance to lie above the k-th of n is (n + 1 - k) / (n + 1), on average
over such draws. For one draw the true rate follows a beta law; `sure` is the chance that it keeps the promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta, betabinom

from faultwise.contracts.errors import UserError

__all__ = ["GoodLimit", "alarms_at_most", "images_needed"]

_SURE = 0.95


@dataclass(frozen=True, slots=True)
class GoodLimit:
    """`value`: scores above are alarms. `promised`: false-alarm rate on average (None: nothing is promised)."""

    value: float
    asked: float
    promised: float | None
    sure: float
    examples: int
    note: str

    @classmethod
    def of(cls, scores: np.ndarray, rate: float, held_out: bool = True) -> GoodLimit:
        """Return the limit for scores (examples,) of good ones and an asked rate between 0 and 1.

        Without `held_out` examples (they, or their like, were learnt from) the highest score is the limit, and nothing
        is promised. Raises UserError for no scores, scores that are no numbers, or another rate.

        >>> limit = GoodLimit.of(np.arange(99.0), 0.05)
        >>> limit.value, limit.promised
        (94.0, 0.05)
        """
        scores = np.sort(np.asarray(scores, float).ravel())
        n = len(scores)
        if not 0 < rate < 1:
            raise UserError(f"The false-alarm rate is {rate:g}: expected between 0 and 1.")
        if not n or not np.isfinite(scores).all():
            raise UserError("A limit needs scores of good examples that are numbers: give one good example at least.")
        if not held_out:
            note = (
                "The limit is the highest score that good images reach, each compared with the others (one alone: with "
                "parts of it, brighter and darker): they are too few to set some aside, so no rate is promised."
            )
            return cls(float(scores[-1]), rate, None, 0.0, n, note)
        k = min(n, math.ceil((n + 1) * (1 - rate) - 1e-9))
        promised = (n + 1 - k) / (n + 1)
        sure = float(beta.cdf(rate, n + 1 - k, k))
        if promised > rate + 1e-9:
            note = (
                f"{n} good images set aside can promise no less than {promised:.1%} false alarms; {rate:.1%} were "
                f"asked for: that takes {math.ceil(1 / rate) - 1} of them."
            )
        else:
            note = (
                f"On average over draws like these {n} good images, at most {promised:.1%} of good ones give an alarm"
            )
            needed = images_needed(rate)
            note += (
                f"; for one draw {rate:.1%} holds with a chance of {sure:.0%}."
                if n >= needed
                else f". To be 95% sure of {rate:.1%} for one draw takes {needed} images set aside and a higher limit."
            )
        return cls(float(scores[k - 1]), rate, promised, sure, n, note)


def images_needed(rate: float, sure: float = _SURE) -> int:
    """Return how many good examples set aside can promise a rate with a confidence of `sure`, at the least.

    >>> [images_needed(rate) for rate in (0.1, 0.05, 0.01)]
    [29, 59, 299]
    """
    return math.ceil(math.log(1 - sure) / math.log(1 - rate))


def alarms_at_most(limit: GoodLimit, new: int, sure: float = _SURE) -> int:
    """Return how many alarms among `new` good examples are within what the promise allows, with a chance of `sure`.

    Raises UserError for a limit that promises nothing.
    """
    if limit.promised is None:
        raise UserError("The limit promises nothing, so no number of alarms can be expected.")
    k = limit.examples + 1 - round(limit.promised * (limit.examples + 1))
    return int(betabinom.ppf(sure, new, limit.examples + 1 - k, k))
