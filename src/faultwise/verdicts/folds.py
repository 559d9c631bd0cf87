"""Several splits that together hold every run out once, so that what is fitted on held-out rows sees all runs.

A threshold for rare false alarms that rests on one quarter of the runs varies five-fold with the draw (measured on
simulated TEP); a threshold that rests on all runs does not. What may be held out is decided in `splits`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from faultwise.verdicts.splits import split

__all__ = ["Fold", "folds"]

Fold = tuple[np.ndarray, np.ndarray]


def folds(
    y: np.ndarray, groups: np.ndarray | None, kind: str, count: int, seed: int, gap: int = 0
) -> tuple[list[Fold], list[str]]:
    """Return (training, held-out) positions of each fold, and sentences.

    "group" holds out whole runs, "row" single rows; "block" gives one fold only, its last part of 1/(count+1).
    Where `count` folds with every class in each training part cannot be had, one split serves. Raises
    DataError as `split` does.

    >>> made, notes = folds(np.repeat(["a", "b"], 8), np.repeat(np.arange(8), 2), "group", 2, seed=0)
    >>> [len(held) for _, held in made]
    [8, 8]
    """
    fraction = 1 / (count + 1) if kind == "block" else 1 / count
    train, held, notes = split(y, groups, kind, fraction, seed, gap)
    if kind == "block" or count < 2:
        return [(train, held)], notes
    strata = pd.factorize(y)[0]
    if kind == "group":
        frame = pd.DataFrame({"y": y, "g": groups})
        runs_of = frame.drop_duplicates().groupby("y").size()
        # A run counts as its rarest class: one that starts normal and then fails counts as its fault.
        frame["rarity"] = frame["y"].map(runs_of)
        rarest = frame.sort_values("rarity", kind="stable").groupby("g")["y"].first()
        strata = pd.factorize(frame["g"].map(rarest))[0]
        count = min(count, int(frame["g"].nunique()))
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    else:
        splitter = StratifiedKFold(min(count, int(np.bincount(strata).min())), shuffle=True, random_state=seed)
    made = [(t, h) for t, h in splitter.split(strata, strata, groups if kind == "group" else None)]
    classes = set(y)
    if all(set(y[t]) == classes and len(h) for t, h in made):
        words = "runs whole" if kind == "group" else "rows"
        warnings = notes if kind == "row" else []
        return made, [
            f"Held out {words} in {len(made)} folds: each is predicted once without having been learnt from.",
            *warnings,
        ]
    return [(train, held)], notes
