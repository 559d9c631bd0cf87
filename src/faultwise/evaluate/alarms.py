"""Detection in time: from flagged rows to alarms, how late they come, and how many of them are false.

A *flag* is a row whose verdict is not normal. An *alarm* is raised when K of the last N classified rows of a run are
flagged (`Debounce`) and cleared when fewer are; each raise is one alarm, and no state crosses runs. A *fault episode*
is a stretch of rows of one run with one faulty label; its first row is the onset. Rows of a run are taken to be in time
order.

Whether a verdict names the right fault is measured by `metrics`, the load of an operator by `alarm_load`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from faultwise.contracts.errors import DataError, UserError
from faultwise.verdicts.stretches import stretches

__all__ = [
    "DEFAULT",
    "MINUTES_A_DAY",
    "Alarms",
    "Debounce",
    "FalseAlarms",
    "detection",
    "exposure",
    "predicted_false_alarms",
    "raise_alarms",
]

MINUTES_A_DAY = 1440.0
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Debounce:
    """An alarm is standing while at least `k` of the last `n` rows are flagged; with 1 of 1 every flag is one.

    >>> Debounce.read("3/5")
    Debounce(k=3, n=5)
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.k <= self.n:
            raise UserError(
                f"A debounce of {self} can never raise an alarm: write K/N with K from 1 to N, such as 3/5."
            )

    def __str__(self) -> str:
        return f"{self.k}/{self.n}"

    @classmethod
    def read(cls, text: str) -> Debounce:
        """Read K/N. Raises UserError for anything else, and where K is not between 1 and N."""
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text, flags=re.ASCII)
        if not found:
            raise UserError(f"A debounce of `{text}` is not understood: write K/N, such as 3/5 (3 of the last 5 rows).")
        return cls(int(found[1]), int(found[2]))


# A lone flag raises nothing: on simulated Tennessee Eastman runs that halves the false alarms and costs a row of delay.
DEFAULT = Debounce(2, 3)


class FalseAlarms(TypedDict):
    """Alarms in normal operation per machine-day, with their interval; see `predicted_false_alarms`."""

    per_day: float | None
    low: float | None
    high: float | None
    machine_days: float
    alarms: int
    runs: int


@dataclass(frozen=True, slots=True)
class Alarms:
    """What a debounce makes of flags, each of shape (rows,): an alarm is `standing`, it was `raised` here, and it
    could have been (`ready`: from the K-th row of a run on).
    """

    standing: np.ndarray
    raised: np.ndarray
    ready: np.ndarray


def raise_alarms(flags: np.ndarray, runs: np.ndarray, debounce: Debounce) -> Alarms:
    """Return the alarms of flags (rows,) in runs (rows,), whose rows may be interleaved. Raises DataError.

    While a run has fewer than N rows, K flags among those it has are enough. A run that begins in alarm raises it.

    >>> flags, runs = np.array([0, 1, 1, 0, 0, 1, 1], bool), np.array(list("aaaaabb"))
    >>> alarms = raise_alarms(flags, runs, Debounce(2, 3))
    >>> alarms.standing.astype(int).tolist(), alarms.raised.astype(int).tolist()
    ([0, 0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0, 1])
    """
    flags = np.asarray(flags, bool)
    if flags.shape != np.shape(runs):
        raise DataError(f"Found flags of shape {flags.shape} and runs of shape {np.shape(runs)}; expected one per row.")
    ids = stretches(runs)
    order = np.argsort(ids, kind="stable")
    at = np.arange(len(flags))
    begins = np.r_[True, np.diff(ids[order]) != 0][: len(flags)]
    first = np.maximum.accumulate(np.where(begins, at, 0))
    total = np.r_[0, np.cumsum(flags[order])]
    standing = total[at + 1] - total[np.maximum(at + 1 - debounce.n, first)] >= debounce.k
    raised = standing & ~(np.r_[False, standing][: len(flags)] & ~begins)
    ready = at - first + 1 >= debounce.k
    made = [np.empty(len(flags), bool) for _ in range(3)]
    for whole, part in zip(made, (standing, raised, ready), strict=True):
        whole[order] = part
    return Alarms(*made)


def exposure(
    flags: np.ndarray, runs: np.ndarray, debounce: Debounce, counted: np.ndarray | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return, per run, at which of its rows that count an alarm was raised (from 0), and how many rows count.

    Rows count that could have raised an alarm and are `counted` (rows,): all by default, the normal ones of a labelled
    table. Alarms raised on other rows are left out, but the debounce sees them.
    """
    alarms = raise_alarms(flags, runs, debounce)
    counts = alarms.ready if counted is None else alarms.ready & counted
    ids = stretches(runs)[counts]
    order = np.argsort(ids, kind="stable")
    cuts = np.flatnonzero(np.diff(ids[order])) + 1
    parts = np.split(alarms.raised[counts][order], cuts)
    parts = [part for part in parts if len(part)]
    return [np.flatnonzero(part) for part in parts], np.array([len(part) for part in parts], int)


def predicted_false_alarms(
    flags: np.ndarray,
    runs: np.ndarray,
    minutes: float,
    debounce: Debounce = DEFAULT,
    counted: np.ndarray | None = None,
    seed: int = 0,
) -> FalseAlarms:
    """Return the alarms to expect per machine-day (24 h of one asset) from flags (rows,) of normal operation.

    `minutes` is the time of a row; `runs` and `counted` are those of `exposure`. The rate is alarms over time, where
    only rows count that could have raised one, and a run that begins in alarm counts as one alarm: that is unbiased
    for new runs of such lengths, and too high for longer ones by what begins in alarm. `low` and `high` are a 95%
    percentile interval over whole runs drawn anew (Efron 1979), None with fewer than two runs; without any alarm
    `high` is the rule of three, 3 / machine-days (Hanley and Lippman-Hand 1983). `per_day` is None without rows.
    Raises UserError for minutes that are not above 0.
    """
    _check_minutes(minutes)
    raised, rows = exposure(flags, runs, debounce, counted)
    alarms = np.array([len(part) for part in raised], int)
    days = float(rows.sum() * minutes / MINUTES_A_DAY)
    made: FalseAlarms = {"per_day": None, "low": None, "high": None, "machine_days": days, "alarms": 0, "runs": 0}
    if not days:
        return made
    made |= {"per_day": float(alarms.sum() / days), "alarms": int(alarms.sum()), "runs": len(rows)}
    if not alarms.any():
        return made | {"low": 0.0, "high": 3.0 / days}
    if len(rows) > 1:
        rng = np.random.default_rng(seed)
        drawn = (rng.integers(0, len(rows), len(rows)) for _ in range(_DRAWS))
        rates = [alarms[some].sum() / (rows[some].sum() * minutes / MINUTES_A_DAY) for some in drawn]
        made["low"], made["high"] = map(float, np.quantile(rates, [0.025, 0.975]))
    return made


def detection(
    flags: np.ndarray,
    labels: np.ndarray,
    runs: np.ndarray,
    normal: str,
    minutes: float | None = None,
    debounce: Debounce = DEFAULT,
    classified: np.ndarray | None = None,
) -> dict[str, object]:
    """Return how well and how early flags (rows,) detect faults, over all and under `by_fault`.

    `labels` and `runs` (rows,) are those of all rows, `classified` (rows,) marks the rows that have a verdict (all by
    default): the others count for the delay, not for the rates. Keys (None where it cannot be computed):

    - `fdr`, `far`: share of faulty and of normal rows flagged. A fault's `far` is that of the runs it occurs in.
    - `episodes`, `detected`, `missed`, `episode_recall`. An episode is detected by the first alarm raised in it. An
      alarm that is standing at the onset is a false one (or an earlier fault's), and detects the episode only where it
      persists: from the row on at which the flags since the onset alone would raise it. `standing_at_onset` counts
      them.
    - `delay_samples`: rows from the onset to the detection, 0 for the onset itself; the median over detected episodes,
      with `_mean`. In `_restricted` missed episodes count as their whole length (restricted mean, Irwin 1949).
      `delay_min` is the same in minutes.
    - `arl1`: rows from the onset, counting it, until detection or the episode's end, per detected episode; `arl0`:
      normal rows per false alarm. Both are average run lengths (Page 1954), estimated with censoring.
    - `chance_recall`: the share of episodes in which false alarms alone, at `arl0`, would have raised one (as a Poisson
      process): a fault with no higher `episode_recall` was not detected.
    - `false_alarms`: alarms raised on normal rows; `false_alarms_per_day` (with `_low`, `_high`) and `machine_days` as
      in `predicted_false_alarms`.

    Raises DataError where lengths differ, UserError for minutes that are not above 0.
    """
    _check_minutes(1.0 if minutes is None else minutes)
    labels, runs = np.asarray(labels), np.asarray(runs)
    classified = np.ones(len(labels), bool) if classified is None else np.asarray(classified, bool)
    if not len(labels) == len(flags) == len(runs) == len(classified):
        raise DataError(f"Found {len(flags)} flags, {len(labels)} labels and {len(runs)} runs; expected one per row.")
    flags, healthy = np.asarray(flags, bool), labels == normal
    found = _episodes(flags, labels, runs, classified, debounce)
    found = {key: values[found["label"] != normal] for key, values in found.items()}
    of_classified = flags[classified], runs[classified]
    raised, rows = exposure(*of_classified, debounce, healthy[classified])
    alarms, normal_rows = sum(map(len, raised)), int(rows.sum())
    pace = alarms / normal_rows if normal_rows else None
    rate = None if minutes is None else predicted_false_alarms(*of_classified, minutes, debounce, healthy[classified])
    return {
        "fdr": _share(flags, classified & ~healthy),
        "far": _share(flags, classified & healthy),
        **_in_time(found, minutes, pace),
        "normal_rows": normal_rows,
        "false_alarms": alarms,
        "arl0": normal_rows / alarms if alarms else None,
        "by_fault": {
            str(label): _rates(flags, labels, runs, classified, normal, label) | _in_time(own, minutes, pace)
            for label, own in _by_label(found)
        },
        "machine_days": rate and rate["machine_days"],
        "false_alarms_per_day": rate and rate["per_day"],
        "false_alarms_per_day_low": rate and rate["low"],
        "false_alarms_per_day_high": rate and rate["high"],
    }


def _by_label(found: dict[str, np.ndarray]) -> Iterator[tuple[object, dict[str, np.ndarray]]]:
    for label in dict.fromkeys(found["label"].tolist()):
        yield label, {key: values[found["label"] == label] for key, values in found.items()}


def _rates(
    flags: np.ndarray, labels: np.ndarray, runs: np.ndarray, classified: np.ndarray, normal: str, label: object
) -> dict[str, object]:
    """Return the detection rate of one fault, and the false-alarm rate in the runs that it occurs in."""
    rows = labels == label
    beside = np.isin(runs, np.unique(runs[rows])) & (labels == normal)
    return {"fdr": _share(flags, classified & rows), "far": _share(flags, classified & beside)}


def _episodes(
    flags: np.ndarray, labels: np.ndarray, runs: np.ndarray, classified: np.ndarray, debounce: Debounce
) -> dict[str, np.ndarray]:
    """Return, per stretch of one label: label, length, rows until detection (the length where there is none),
    whether it was detected, and whether an alarm was standing when it began.
    """
    ids = stretches(runs, labels)
    order = np.argsort(ids, kind="stable")
    alarms = raise_alarms(flags[classified], runs[classified], debounce)
    raised, standing = np.zeros(len(ids), bool), np.zeros(len(ids), bool)
    raised[classified], standing[classified] = alarms.raised, alarms.standing
    found_by_flags = raised.copy()
    found_by_flags[classified] |= raise_alarms(
        flags[classified], ids[classified], debounce
    ).standing  # from this stretch's flags alone
    starts = np.flatnonzero(np.r_[True, np.diff(ids[order]) != 0][: len(ids)])
    lengths = np.diff(starts, append=len(ids))
    at = np.where(found_by_flags[order], np.arange(len(ids)), len(ids))
    first = np.minimum.reduceat(at, starts) if len(starts) else at
    detected = first < starts + lengths
    return {
        "label": labels[order][starts],
        "length": lengths,
        "delay": np.where(detected, first - starts, lengths),
        "detected": detected,
        "standing": (standing & ~raised)[order][starts],
    }


def _in_time(found: dict[str, np.ndarray], minutes: float | None, pace: float | None) -> dict[str, object]:
    """Summarise episodes; `pace` is the false alarms per row."""
    detected, delays = found["detected"], found["delay"]
    count, hits = len(detected), int(detected.sum())
    made: dict[str, object] = {
        "episodes": count,
        "detected": hits,
        "missed": count - hits,
        "episode_recall": hits / count if count else None,
        "chance_recall": None if pace is None or not count else float(0.0 - np.expm1(-pace * found["length"]).mean()),
        "standing_at_onset": int(found["standing"].sum()),
        "arl1": float((delays + detected).sum() / hits) if hits else None,
    }
    rows = {
        "": float(np.median(delays[detected])) if hits else None,
        "_mean": float(delays[detected].mean()) if hits else None,
        "_restricted": float(delays.mean()) if count else None,
    }
    made |= {f"delay_samples{key}": value for key, value in rows.items()}
    timed = {key: None if value is None or minutes is None else value * minutes for key, value in rows.items()}
    return made | {f"delay_min{key}": value for key, value in timed.items()}


def _share(flags: np.ndarray, where: np.ndarray) -> float | None:
    return float(flags[where].mean()) if where.any() else None


def _check_minutes(minutes: float) -> None:
    if not (np.isfinite(minutes) and minutes > 0):
        raise UserError(f"A row cannot last {minutes:g} minutes: give a number above 0.")
