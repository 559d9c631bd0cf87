"""What alarms mean for an operator, before anything is deployed: the load against the guideline values.

ANSI/ISA-18.2-2016 and EEMUA 191 count alarms per operator: about 150 a day (1 in 10 minutes) are very likely
acceptable, about 300 a day (2 in 10 minutes) the most that can be managed; more than 10 in 10 minutes is a flood, and
less than 1% of the 10-minute intervals should be one. Only the history's own alarms are counted: what faults, other
alarm systems and common causes (a lost utility hits all assets at once) add comes on top.
"""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.evaluate.alarms import DEFAULT, MINUTES_A_DAY, Debounce, FalseAlarms, exposure, predicted_false_alarms

__all__ = ["ACCEPTABLE_A_DAY", "FLOOD", "FLOOD_SHARE", "INTERVAL", "MANAGEABLE_A_DAY", "AlarmLoad", "alarm_load"]

ACCEPTABLE_A_DAY, MANAGEABLE_A_DAY = 150, 300
INTERVAL = 10.0  # minutes
FLOOD = 10  # alarms in an interval that are no flood yet
FLOOD_SHARE = 0.01
_SHORTEST = 60.0  # minutes of history
_DRAWS = 200


class AlarmLoad(TypedDict):
    """The alarm load of one operator; see `alarm_load`."""

    assets: int
    history: FalseAlarms
    alarms_per_day: float | None
    alarms_per_day_low: float | None
    alarms_per_day_high: float | None
    alarms_per_10_min: float | None
    alarms_per_10_min_low: float | None
    alarms_per_10_min_high: float | None
    flood_share: float | None
    flood_share_low: float | None
    flood_share_high: float | None
    assets_acceptable: int | None
    grade: str | None


def alarm_load(
    flags: np.ndarray,
    runs: np.ndarray,
    minutes: float,
    debounce: Debounce = DEFAULT,
    assets: int = 1,
    counted: np.ndarray | None = None,
    seed: int = 0,
) -> AlarmLoad:
    """Return the load of one operator who watches `assets` assets like the one that flags (rows,) were recorded on.

    `runs`, `minutes`, `counted` are those of `alarms.predicted_false_alarms`. Each asset repeats the recorded alarms,
    run after run, from a moment of its own drawn at random; `flood_share` is the share of 10-minute intervals with
    more than 10 alarms that is to be expected then. It needs no drawing: at random shifts the alarms of an interval are
    a sum of independent counts, so their distribution is the recorded one convolved with itself. Intervals (95%, `_low`
    and `_high`) come from whole runs drawn anew; None with one run. `assets_acceptable` is how many assets stay within
    150 alarms a day, None without alarms. `grade` is `acceptable`, `manageable` or `too many`, by alarms a day.

    All are None with less than an hour of history. Raises UserError for fewer than one asset, and for minutes that are
    not above 0.
    """
    if assets < 1:
        raise UserError(f"{assets} assets have no alarm load: give 1 or more.")
    rate = predicted_false_alarms(flags, runs, minutes, debounce, counted, seed)
    raised, rows = exposure(flags, runs, debounce, counted)
    enough, alarms = bool(rows.sum() * minutes >= _SHORTEST), rate["alarms"] > 0
    a_day = [_many(assets, rate[end]) if enough else None for end in ("per_day", "low", "high")]
    per_interval = [None if value is None else value * INTERVAL / MINUTES_A_DAY for value in a_day]
    floods = _flood_interval(raised, rows, minutes, assets, seed) if enough and alarms else (None, None)
    return {
        "assets": assets,
        "history": rate,
        "alarms_per_day": a_day[0],
        "alarms_per_day_low": a_day[1],
        "alarms_per_day_high": a_day[2],
        "alarms_per_10_min": per_interval[0],
        "alarms_per_10_min_low": per_interval[1],
        "alarms_per_10_min_high": per_interval[2],
        "flood_share": _flood_share(raised, rows, minutes, assets) if enough else None,
        "flood_share_low": floods[0],
        "flood_share_high": floods[1],
        "assets_acceptable": math.floor(ACCEPTABLE_A_DAY / rate["per_day"]) if enough and rate["per_day"] else None,
        "grade": None if a_day[0] is None else _grade(a_day[0]),
    }


def _many(assets: int, rate: float | None) -> float | None:
    return None if rate is None else assets * rate


def _grade(alarms_a_day: float) -> str:
    if alarms_a_day <= ACCEPTABLE_A_DAY:
        return "acceptable"
    return "manageable" if alarms_a_day <= MANAGEABLE_A_DAY else "too many"


def _flood_interval(
    raised: list[np.ndarray], rows: np.ndarray, minutes: float, assets: int, seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95% interval of the share of floods over whole runs drawn anew; None twice with one run."""
    if len(rows) < 2:
        return None, None
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(_DRAWS):
        drawn = rng.integers(0, len(rows), len(rows))
        shares.append(_flood_share([raised[run] for run in drawn], rows[drawn], minutes, assets))
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def _flood_share(raised: list[np.ndarray], rows: np.ndarray, minutes: float, assets: int) -> float:
    """Return P(more than 10 alarms of all assets in 10 minutes), runs joined end to end to a ring."""
    begins = np.cumsum(rows) - rows
    times = np.concatenate([at + begin for at, begin in zip(raised, begins, strict=True)]) * minutes
    one = _counts(times, float(rows.sum() * minutes))
    return float(max(0.0, 1.0 - _summed(one, assets).sum()))


def _counts(times: np.ndarray, length: float) -> np.ndarray:
    """Return P(0), ..., P(10) of the alarms in 10 minutes that begin at any moment of a ring of `length` minutes.

    Exact: the count over the beginning of the interval is a step function, whose steps are measured. `length` must be
    above 10 minutes.
    """
    enter = (times - INTERVAL) % length  # an alarm is in the intervals that begin in [enter, time)
    level = np.count_nonzero(enter > times)
    places = np.r_[enter, times]
    order = np.argsort(places, kind="stable")
    steps = np.r_[np.ones(len(times), int), np.full(len(times), -1)][order]
    levels = np.r_[level, level + np.cumsum(steps)]
    widths = np.diff(np.r_[0.0, places[order], length])
    return np.bincount(levels, weights=widths, minlength=FLOOD + 1)[: FLOOD + 1] / length


def _summed(one: np.ndarray, assets: int) -> np.ndarray:
    """Return P(0), ..., P(10) of a sum of `assets` independent counts, by squaring."""
    total = np.zeros(FLOOD + 1)
    total[0] = 1.0
    while assets:
        if assets % 2:
            total = np.convolve(total, one)[: FLOOD + 1]
        one = np.convolve(one, one)[: FLOOD + 1]
        assets //= 2
    return total
