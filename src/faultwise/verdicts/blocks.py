"""Blocks in time: the last part of every stretch of one run and label is held out, with a gap before what is learnt.

One continuous record without runs is cut more strictly: where a label comes in several stretches (events), the later
ones are held out whole, because rows of one event resemble each other however far apart they are. Whole runs are held
out in `splits`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.verdicts.stretches import stretches

__all__ = ["by_block", "near"]

_GAP = 10  # rows dropped beside held-out ones of a continuous record at least, if its stretches are ten times as long
_MOST_OF_A_CLASS = 0.5  # held out with a whole stretch at most


def by_block(
    y: np.ndarray, groups: np.ndarray | None, fraction: float, gap: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return masks (rows,) of training and of held-out rows, and notes; `y` (rows,) are labels, `groups` (rows,) runs.

    A class whose stretches are too short for both sides is a training class only. Raises DataError where held-out
    rows of fewer than two classes are left.
    """
    runs = np.zeros(len(y), dtype=np.int64) if groups is None else pd.factorize(np.asarray(groups))[0]
    ids = stretches(runs, y)
    if groups is None:
        gap = max(gap, min(_GAP, int(np.median(np.bincount(ids))) // 10))
    held, whole = np.zeros(len(y), dtype=bool), 0
    for run in range(int(runs.max()) + 1):
        where = np.flatnonzero(runs == run)
        starts = np.flatnonzero(np.r_[True, np.diff(ids[where]) != 0])
        ends = np.r_[starts[1:], len(where)]
        later = _later_stretches(y[where[starts]], ends - starts, fraction) if groups is None else set()
        whole += len(later)
        for start, end in _held_parts(y[where[starts]], starts, ends, later, fraction, gap):
            held[where[start:end]] = True
    train, held = _with_every_class(y, runs, held, gap)
    judged = set(y[held])
    if len(judged) < min(2, len(set(y))):
        short = [label for label in dict.fromkeys(y) if label not in judged]
        raise DataError(
            f"The stretches of {listing(short)} are too short to be cut in two with {gap} rows between; expected "
            f"more than {2 * gap + 1} rows in one: use a smaller window, or add rows."
        )
    return train, held, _notes(train, held, groups is None, whole, gap)


def _notes(train: np.ndarray, held: np.ndarray, one_record: bool, whole: int, gap: int) -> list[str]:
    dropped = int((~train & ~held).sum())
    share = f"{held.mean():.0%} of the rows, {dropped} between dropped"
    if not whole:
        notes = [
            f"Held out the last part of every stretch of one run and label ({share}). This is optimistic: the same "
            "runs are on both sides."
        ]
    else:
        notes = [
            f"Held out {whole} later stretches of one label whole, and the last part of a label's only stretch "
            f"({share}). This is optimistic: one record is on both sides."
        ]
    if one_record:
        notes.append(
            f"No column names the run: all rows were taken as one run in time order, cut into blocks with {gap} rows "
            "between them. If every row is a separate measurement, pass --split row."
        )
    return notes


def _later_stretches(labels: np.ndarray, sizes: np.ndarray, fraction: float) -> set[int]:
    """Return which stretches are held out whole: the last of each label that has several, about `fraction` of them."""
    chosen: set[int] = set()
    for label in dict.fromkeys(labels):
        mine = np.flatnonzero(labels == label)
        count = max(1, round(fraction * len(mine)))
        while len(mine) > 1 and count:
            part = mine[-count:]
            if count < len(mine) and sizes[part].sum() <= _MOST_OF_A_CLASS * sizes[mine].sum():
                chosen |= set(part.tolist())
                break
            count -= 1
    return chosen


def _held_parts(
    labels: np.ndarray, starts: np.ndarray, ends: np.ndarray, whole: set[int], fraction: float, gap: int
) -> list[tuple[int, int]]:
    """Return first and last position (exclusive) of what is held out of one run's stretches, those of `whole` whole."""
    parts = []
    uncut = {labels[number] for number in whole}
    last_held = -gap - 1
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        size = end - start
        if labels[number] in uncut and number not in whole:
            continue
        if number not in whole:
            # Rows that the held-out end of the stretch before (gap) and the own gap leave for training.
            room = (end - gap) - max(start, last_held + gap + 1)
            size = min(max(1, round(fraction * size)), room - 1)
        if size >= 1:
            parts.append((end - size, end))
            last_held = end - 1
    return parts


def near(mask: np.ndarray, runs: np.ndarray, gap: int) -> np.ndarray:
    """Return a mask of the rows (rows,) that lie within `gap` rows of a marked one of the same run, it included.

    >>> near(np.array([False, True, False, False]), np.array([0, 0, 1, 0]), 1).tolist()
    [True, True, False, True]
    """
    made = np.zeros(len(mask), dtype=bool)
    for run in np.unique(runs):
        where = np.flatnonzero(runs == run)
        counts = np.r_[0, np.cumsum(mask[where])]
        at = np.arange(len(where))
        made[where] = counts[np.minimum(at + gap + 1, len(where))] > counts[np.maximum(at - gap, 0)]
    return made


def _with_every_class(y: np.ndarray, runs: np.ndarray, held: np.ndarray, gap: int) -> tuple[np.ndarray, np.ndarray]:
    """Return training and held-out rows: a class that would be missing from training takes its rows back."""
    while True:
        train = ~held & ~near(held, runs, gap)
        lacking = set(y) - set(y[train])
        if not lacking:
            return train, held
        held = held & ~near(np.isin(y, list(lacking)), runs, gap)
