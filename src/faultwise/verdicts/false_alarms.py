"""Which false-alarm rate new runs may have: an interval from the rates of whole runs, and how many runs would do.

Rows of a run are alike, so ten thousand rows of six runs tell what six runs tell. The alarms of each run are taken
as beta-binomial: every run has a false-alarm rate of its own, and correlated rows only make these rates vary more. The
interval of the mean over runs is that of the profile likelihood, with Student's t in place of the normal law because
there are few runs. It holds for new runs that are like these, on average over them, and for no single run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import betaln, stdtrit

__all__ = ["FEWEST_RUNS", "RunRate", "alarm_stretches", "even_weights", "rate_interval", "rate_on_new_runs"]

FEWEST_RUNS = 10
# Called a 95% interval: the threshold is chosen on the same runs, and runs that look even by luck are promised more
# readily. In simulations 95% of the promised intervals hold with this confidence (`bench/few_runs.py`).
_CONFIDENCE = 0.99
_USEFUL = 4.0  # an interval that ends above this many times the odds of the requested rate promises nothing useful
_EVEN = 4.0  # from so many runs, effectively, false alarms must come: what rests on one or two is luck
_MEANS = np.r_[0.0, np.geomspace(1e-5, 0.5, 150), np.linspace(0.5, 0.999, 30)[1:]]
_ALIKE = 1 / (1 + np.exp(-np.linspace(-9, 6, 46)))  # correlation of the rows of a run
_SECONDS_A_DAY, _MINUTES_A_DAY = 86_400, 1_440


@dataclass(frozen=True, slots=True)
class RunRate:
    """The false-alarm rate on new runs: `low` to `high` with 95% confidence, from so many `runs` with normal rows.

    `requested` is the rate that the threshold was chosen for. With one run there is no interval: 0 to 1. `alarming` is
    the effective number of runs that the false alarms come from: 1 where one run has all, infinite without any.
    """

    requested: float
    runs: int
    low: float
    high: float
    alarming: float = math.inf

    @property
    def stated(self) -> bool:
        """Whether the interval can be promised: it is narrow enough, and rests on the alarms of several runs."""
        return self.runs > 1 and self.high <= _at_odds(_USEFUL, self.requested) and self.alarming >= _EVEN

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval where it is promised, else None."""
        return (self.low, self.high) if self.stated else None

    @property
    def runs_needed(self) -> int:
        """About how many such runs would narrow the interval enough to promise it."""
        if self.runs < 2:
            return FEWEST_RUNS
        wide = max(_logit(self.high) - _logit(self.requested), 0.0) * math.sqrt(self.runs) / _t(self.runs)
        needed = max(FEWEST_RUNS, self.runs + 1, math.ceil(self.runs * min(_EVEN / self.alarming, _EVEN)))
        while needed < 100_000 and wide * _t(needed) / math.sqrt(needed) > math.log(_USEFUL):
            needed += max(1, needed // 50)
        return needed

    def note(self) -> str:
        """Return in one or two sentences what is promised for new runs, or how many runs a promise would take."""
        rate = f"{self.requested:.2g}" if self.requested < 0.001 else f"{self.requested:.1%}"
        if self.stated:
            return (
                f"Between {self.low:.1%} and {self.high:.1%} of the normal rows of new runs like these {self.runs} "
                f"will raise a false alarm (95% interval); {rate} was requested."
            )
        if self.runs < 2:
            return (
                "No false-alarm rate is promised for new runs, because all normal rows that were predicted belong to "
                f"one run: {rate} was requested, and a promise needs at least {FEWEST_RUNS} runs with normal rows."
            )
        uneven = ", with most false alarms in very few of them" if self.alarming < _EVEN else ""
        return (
            f"No false-alarm rate is promised for new runs: {rate} was requested, and the {self.runs} runs with "
            f"normal rows allow anything from {self.low:.1%} to {self.high:.1%} (95% interval){uneven}. "
            f"About {self.runs_needed} runs like them are needed."
        )

    def widened(self, other: RunRate | None) -> RunRate:
        """Return this rate with an interval that begins no later than that of `other`."""
        return self if other is None else replace(self, low=min(self.low, other.low))


def rate_on_new_runs(alarms: np.ndarray, runs: np.ndarray, requested: float) -> RunRate:
    """Return what the alarms (rows,) on normal rows of `runs` (rows,) tell about the rate on new runs."""
    by_run = pd.Series(np.asarray(alarms, float)).groupby(np.asarray(runs))
    raised, rows = by_run.sum().to_numpy(), by_run.size().to_numpy(float)
    low, high = rate_interval(raised, rows) if len(rows) > 1 else (0.0, 1.0)
    alarming = float(raised.sum() ** 2 / (raised**2).sum()) if raised.any() else math.inf
    return RunRate(requested, len(rows), round(low, 5), round(high, 5), alarming)


def rate_interval(alarms: np.ndarray, rows: np.ndarray, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Return the interval of the mean rate over runs with `alarms` (runs,) among their `rows` (runs,), two at least.

    >>> low, high = rate_interval(np.array([2, 3, 1, 2, 4, 2] * 4), np.full(24, 100.0))
    >>> round(low, 3), round(high, 3)
    (0.016, 0.032)
    >>> round(rate_interval(np.zeros(24), np.full(24, 100.0))[1], 2)  # no run had one, but the next one may
    0.15
    """
    pairs, counts = np.unique(np.column_stack([alarms, rows]), axis=0, return_counts=True)
    means, spread = np.maximum(_MEANS, 1e-9)[:, None], (1 - _ALIKE) / _ALIKE
    a, b = means * spread, (1 - means) * spread
    likelihood = np.zeros_like(a)
    for (k, n), count in zip(pairs, counts, strict=True):
        likelihood += count * (betaln(k + a, n - k + b) - betaln(a, b))
    profile = likelihood.max(axis=1)
    within = np.flatnonzero(profile >= profile.max() - _t(len(rows), confidence) ** 2 / 2)
    high = 1.0 if within[-1] == len(_MEANS) - 1 else float(_MEANS[within[-1]])  # the grid ends below 1
    return float(_MEANS[within[0]]), high


def even_weights(runs: np.ndarray) -> np.ndarray:
    """Return weights of rows by which no run counts for more rows than the median run; shape (rows,).

    >>> even_weights(np.array(list("aabbcccc"))).tolist()
    [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    """
    _, codes, rows = np.unique(runs, return_inverse=True, return_counts=True)
    return np.asarray((np.minimum(rows, np.median(rows)) / rows)[codes])


def alarm_stretches(alarms: np.ndarray, runs: np.ndarray) -> str:
    """Return in a sentence how the false alarms (rows,) on all rows of `runs` (rows,) come: one by one or together.

    Rows of a run follow each other. Empty without a false alarm.
    """
    alarms = np.asarray(alarms, bool)
    flagged = int(alarms.sum())
    if not flagged:
        return ""
    follows = np.r_[False, alarms[:-1] & (runs[1:] == runs[:-1])]
    begun = int((alarms & ~follows).sum())
    per_row = begun / len(alarms)
    return (
        f"The {flagged:,} false alarms among {len(alarms):,} normal rows came in {begun:,} "
        f"{'stretch' if begun == 1 else 'stretches'} of {flagged / begun:.1f} rows on average: that is "
        f"{per_row * _SECONDS_A_DAY:,.0f} alarms per machine-day with a row every second, "
        f"{per_row * _MINUTES_A_DAY:,.1f} with a row every minute."
    )


def _t(runs: int, confidence: float = _CONFIDENCE) -> float:
    return float(stdtrit(runs - 1, 0.5 + confidence / 2))  # scipy.stats takes half a second to import


def _logit(rate: float) -> float:
    rate = min(max(rate, 1e-9), 1 - 1e-9)
    return math.log(rate / (1 - rate))


def _at_odds(times: float, rate: float) -> float:
    return times * rate / (1 - rate + times * rate)
