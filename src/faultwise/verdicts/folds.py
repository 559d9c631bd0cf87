"""Several splits that together hold every run out once, so that what is fitted on held-out rows sees all runs.

A threshold for rare false alarms that rests on one quarter of the runs varies five-fold with the draw (measured on
simulated TEP); a threshold that rests on all runs does not. What may be held out is decided in `splits`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from faultwise.verdicts.splits import always_training, not_judged, split

__all__ = ["Fold", "folds"]

Fold = tuple[np.ndarray, np.ndarray]


def folds(
    y: np.ndarray, groups: np.ndarray | None, kind: str, count: int, seed: int, gap: int = 0
) -> tuple[list[Fold], list[str]]:
    """Return (training, held-out) positions of each fold, and sentences.

    "group" holds out whole runs, "row" single rows; "block" gives one fold only, its last part of 1/(count+1).
    Where `count` folds with every class in each training part cannot be had, one split serves. A class that occurs in
    one run (one row) only is a training class in every fold, and a note says so. Raises DataError as `split` does.

    >>> made, notes = folds(np.repeat(["a", "b"], 8), np.repeat(np.arange(8), 2), "group", 2, seed=0)
    >>> [len(held) for _, held in made]
    [8, 8]
    """
    fraction = 1 / (count + 1) if kind == "block" else 1 / count
    train, held, notes = split(y, groups, kind, fraction, seed, gap)
    if kind == "block" or count < 2:
        return [(train, held)], notes
    words, unit = ("runs whole", "runs") if kind == "group" else ("rows", "rows")
    made = _of_runs(y, np.asarray(groups), count, seed) if kind == "group" else _of_rows(y, count, seed)
    classes = set(y)
    if made and all(set(y[t]) == classes and len(h) for t, h in made):
        warned = [] if kind == "group" else notes[:1]
        return made, [
            f"Held out {words} in {len(made)} folds: each is predicted once without having been learnt from.",
            *warned,
            *not_judged(y, np.concatenate([h for _, h in made]), unit),
        ]
    return [(train, held)], notes


def _of_runs(y: np.ndarray, groups: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Return folds of whole runs; those with a class that occurs nowhere else train in each."""
    always = always_training(y, groups)
    free = np.flatnonzero(~always)
    frame = pd.DataFrame({"y": y[free], "g": groups[free]})
    runs_of = frame.drop_duplicates().groupby("y").size()
    # A run counts as its rarest class: one that starts normal and then fails counts as its fault.
    frame["rarity"] = frame["y"].map(runs_of)
    rarest = frame.sort_values("rarity", kind="stable").groupby("g")["y"].first()
    strata = pd.factorize(frame["g"].map(rarest))[0]
    count = min(count, int(frame["g"].nunique()), int(np.bincount(strata).max()))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # a class in fewer runs than folds is held out in some of them
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        return _with(always, free, splitter.split(strata, strata, groups[free]))


def _of_rows(y: np.ndarray, count: int, seed: int) -> list[Fold]:
    """Return folds of rows; the only row of a class trains in each."""
    counts = pd.Series(y).map(pd.Series(y).value_counts()).to_numpy()
    always = counts < 2
    free = np.flatnonzero(~always)
    strata = pd.factorize(y[free])[0]
    splitter = StratifiedKFold(min(count, int(np.bincount(strata).min())), shuffle=True, random_state=seed)
    return _with(always, free, splitter.split(strata, strata))


def _with(always: np.ndarray, free: np.ndarray, parts: Iterable[Fold]) -> list[Fold]:
    own = np.flatnonzero(always)
    return [(np.sort(np.concatenate([free[train], own])), free[held]) for train, held in parts]
