"""Look-ahead columns: they hold another variable's later value, the label of later rows, or the time left to a fault.

Rows are taken to be in time order within their run. Data cannot show which of two columns was shifted: "A is B three
samples later" and "B is A three samples earlier" are the same, unless the ends of the runs show it. Not found are
values smoothed over later samples, and shifted columns of few values (a command and its feedback look just like that).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

__all__ = ["FEWEST_RUNS", "MOST_LAG", "LookAhead", "countdowns", "later_labels", "later_values"]

MOST_LAG = 50
FEWEST_RUNS = 3
_RUNS, _ROWS = 60, 2000  # that are compared: runs, and rows of each
_FEWEST_ROWS, _FEWEST_VALUES = 20, 20
# Shares of the variance left unexplained: by a later value, by a later label, by the time left.
_OF_VALUE, _OF_LABEL, _OF_TIME = 1e-3, 0.02, 1e-3
_BETTER = 0.1  # than without the shift
_ONE_WAY = 0.95  # of the moves of a countdown, once averaged over runs
_MOST_RUNS_SHOW = 0.8
_TINY = 1e-12
Item = TypeVar("Item")


@dataclass(frozen=True)
class LookAhead:
    """A column that depends on later rows, by `kind`: it is the value of the column `of` ("value") or the label
    ("label") `samples` later, or the time left until `of` ("event").

    `unexplained` is the share of its variance that differs, `runs` how many were compared. `shown`: the ends of the
    runs prove which of two columns was shifted.
    """

    kind: str
    column: str
    of: str
    samples: int
    unexplained: float
    runs: int
    shown: bool = False


def later_values(frame: pd.DataFrame, runs: list[np.ndarray]) -> list[LookAhead]:
    """Return columns that equal another column's value 1 to 50 samples later (but for unit and little noise).

    `runs` are the positions of the rows of each run, in time order. The better of several shifts counts, and it must be
    ten times as good as none. Columns that the first rows of the runs prove to be delayed are not reported.
    """
    names = [
        str(name)
        for name in frame.columns
        if pd.api.types.is_numeric_dtype(frame[name].dtype) and frame[name].nunique() >= _FEWEST_VALUES
    ]
    pieces = [run[:_ROWS] for run in _spread(runs) if len(run) >= _FEWEST_ROWS]
    if len(names) < 2 or not pieces:
        return []
    values = frame[names].to_numpy(dtype=float, na_value=np.nan)
    left = np.full((MOST_LAG + 1, len(pieces), len(names), len(names)), np.nan, np.float32)
    for at, run in enumerate(pieces):
        for lag in range(min(MOST_LAG, len(run) - _FEWEST_ROWS) + 1):
            left[lag, at] = _unexplained(values[run[: len(run) - lag]], values[run[lag:]])
    compared = np.isfinite(left).sum(axis=1)
    by_lag = np.where(compared * 2 >= np.maximum(compared[0], 1), _median(left), np.inf)
    best = by_lag[1:].argmin(axis=0) + 1
    least = np.take_along_axis(by_lag, best[None], axis=0)[0]
    clear = (least <= _OF_VALUE) & (least <= _BETTER * by_lag[0]) & (by_lag[0] > _OF_VALUE)
    np.fill_diagonal(clear, False)
    found = []
    for column, of in zip(*np.nonzero(clear), strict=True):
        lag = int(best[column, of])
        if _held(values[:, of], runs, lag, first=True) >= _MOST_RUNS_SHOW:
            continue  # the other one is delayed
        shown = _held(values[:, column], runs, lag, first=False) >= _MOST_RUNS_SHOW
        count = int(compared[lag, column, of])
        found.append(LookAhead("value", names[column], names[of], lag, float(least[column, of]), count, shown))
    return found


def later_labels(frame: pd.DataFrame, labels: np.ndarray, runs: list[np.ndarray]) -> list[LookAhead]:
    """Return columns that change as the label does, but 1 to 50 samples before it, in nearly all runs with a change.

    `labels` are numbers, shape (rows,). In each run the label counts as "as in the first row" or not.
    """
    changing = [run for run in runs if len(run) >= _FEWEST_ROWS and (labels[run] != labels[run[0]]).any()]
    pieces = _spread(changing)
    if len(pieces) < FEWEST_RUNS or not len(frame.columns):
        return []
    values = np.stack([_numbers(frame[name]) for name in frame.columns], axis=1)
    left = np.full((MOST_LAG + 1, len(pieces), values.shape[1]), np.nan)
    for at, run in enumerate(pieces):
        changed = (labels[run] != labels[run[0]]).astype(float)[:, None]
        for lag in range(min(MOST_LAG, len(run) - _FEWEST_ROWS) + 1):
            left[lag, at] = _unexplained(values[run[: len(run) - lag]], changed[lag:], either=True)[:, 0]
    compared = np.isfinite(left).sum(axis=1)
    by_lag = np.where(compared >= _MOST_RUNS_SHOW * len(pieces), _median(left), np.inf)
    best = by_lag[1:].argmin(axis=0) + 1
    found = []
    for at, name in enumerate(map(str, frame.columns)):
        lag = int(best[at])
        if by_lag[lag, at] <= min(_OF_LABEL, _BETTER * by_lag[0, at]) and by_lag[0, at] > _OF_VALUE:
            found.append(LookAhead("label", name, "the label", lag, float(by_lag[lag, at]), int(compared[lag, at])))
    return found


def countdowns(frame: pd.DataFrame, runs: list[np.ndarray], events: list[int], of: str) -> list[LookAhead]:
    """Return columns that give the number of samples left until an event.

    `events` holds the place of the event in each run (its length for the end). A column counts when the time left
    explains it and the time passed does not, or when it falls evenly to the event and rests from then on.
    """
    names = [str(name) for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    chosen = _spread(list(range(len(runs))))
    if len(chosen) < FEWEST_RUNS or not names:
        return []
    values = frame[names].to_numpy(dtype=float, na_value=np.nan)
    before = np.concatenate([runs[at][: events[at]][-_ROWS:] for at in chosen])
    left = np.concatenate([np.arange(events[at], 0, -1)[-_ROWS:] for at in chosen])
    passed = np.concatenate([np.arange(events[at])[-_ROWS:] for at in chosen])
    by_left, enough = _within(values[before], left)
    by_passed, _ = _within(values[before], passed)
    found = {}
    for at in np.flatnonzero((by_left <= _OF_TIME) & (by_left <= _BETTER * by_passed)):
        means = pd.Series(values[before[enough], at]).groupby(left[enough]).mean().to_numpy()
        steps = np.diff(means[np.isfinite(means)])
        if abs(steps.sum()) >= _ONE_WAY * np.abs(steps).sum():
            found[names[at]] = float(by_left[at])
    whole = np.concatenate([runs[at] for at in chosen])
    rest = np.concatenate([np.maximum(events[at] - np.arange(len(runs[at])), 0) for at in chosen])
    if (rest == 0).mean() > 0.05:
        even = _unexplained(values[whole], rest[:, None].astype(float), either=True)[:, 0]
        for at in np.flatnonzero(even <= _OF_TIME):
            found.setdefault(names[at], float(even[at]))
    return [LookAhead("event", name, of, 0, share, len(chosen)) for name, share in found.items()]


def _spread(items: list[Item]) -> list[Item]:
    """Return at most 60 of them, evenly spread."""
    return [items[at] for at in np.unique(np.linspace(0, len(items) - 1, min(len(items), _RUNS)).astype(int))]


def _unexplained(now: np.ndarray, later: np.ndarray, either: bool = False) -> np.ndarray:
    """Return 1 - r^2 between columns of `now` (rows, a) and `later` (rows, b), shape (a, b); 1 where they run against
    each other (unless `either`), not a number where one of them does not move.
    """
    a, b = _standard(now), _standard(later)
    r = a.T @ b
    r[~a.any(axis=0)] = np.nan
    r[:, ~b.any(axis=0)] = np.nan
    r = r if either else np.maximum(r, 0)
    return np.asarray(np.clip(1 - r**2, 0, 1))


def _standard(values: np.ndarray) -> np.ndarray:
    """Centre columns and give them length 1; gaps count as the mean, columns that do not move as 0."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0).sum(axis=0) / count
    centred = np.where(known, values - mean, 0)
    length = np.linalg.norm(centred, axis=0)
    moving = length > _TINY * (np.abs(mean) + 1) * np.sqrt(len(values))
    return np.asarray(np.where(moving, centred / np.where(moving, length, 1), 0))


def _median(values: np.ndarray) -> np.ndarray:
    """Median over axis 1, not-a-numbers left out; infinite where there is nothing else."""
    filled = np.where(np.isfinite(values), values, np.inf)
    filled.sort(axis=1)
    middle = np.maximum(np.isfinite(values).sum(axis=1) - 1, 0) // 2
    return np.asarray(np.take_along_axis(filled, middle[:, None], axis=1)[:, 0])


def _held(values: np.ndarray, runs: list[np.ndarray], lag: int, first: bool) -> float:
    """Return the share of runs in which the first (last) `lag` values are missing, or all equal to the next one though
    the column moves elsewhere: the trace that shifting leaves.
    """
    traces = []
    for run in runs:
        if len(run) < _FEWEST_ROWS + lag:
            continue
        ordered = values[run] if first else values[run][::-1]
        end, inner = ordered[:lag], ordered[lag:]
        moving = float((np.diff(inner) == 0).mean()) < 0.5
        traces.append(bool(np.isnan(end).all() or (moving and (end == inner[0]).all())))
    return float(np.mean(traces)) if traces else 0.0


def _within(values: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share of each column's variance within rows of equal key, shape (columns,), 1 where it does not move;
    and which rows have a key that three rows share.
    """
    counts = np.bincount(keys)
    enough = counts[keys] >= FEWEST_RUNS
    values, keys = values[enough], keys[enough]
    shares = np.ones(values.shape[1])
    if len(np.unique(keys)) < _FEWEST_ROWS:
        return shares, enough
    for at in range(values.shape[1]):
        known = np.isfinite(values[:, at])
        column, key = values[known, at], keys[known]
        if len(column) < _FEWEST_ROWS or np.ptp(column) <= _TINY * (abs(column[0]) + 1):
            continue
        number = np.bincount(key)
        mean = np.bincount(key, column) / np.maximum(number, 1)
        shares[at] = float(np.mean((column - mean[key]) ** 2) / column.var())
    return shares, enough


def _numbers(values: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.to_numpy(dtype=float, na_value=np.nan)
    return np.asarray(pd.factorize(values)[0], dtype=float)
