"""Split rows into training and held-out ones without letting a run sit on both sides.

Whole runs are held out where that is possible. The other two kinds exist for data that do not allow it;
their notes say what they cost. Cross-validation and metrics live in `evaluate`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.verdicts.blocks import by_block

__all__ = ["always_training", "not_judged", "split"]

_TRIES = 300


def split(
    y: np.ndarray, groups: np.ndarray | None, kind: str, fraction: float, seed: int, gap: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the positions of training rows, those of held-out rows (both ascending), and sentences.

    `y` holds labels and `groups` runs (text), shape (rows,); `fraction` (between 0 and 1) is held out. Kinds:

    - "group": whole runs, as many classes as possible on both sides. Runs are stratified by the rarest class they
      contain (the one in the fewest runs): a run that starts normal and then fails counts as its fault.
    - "block": the last part of every stretch of one run and label, or without runs whole later stretches where a
      class has several (see `blocks`). No training row lies within `gap` rows of a held-out row of the same run, so
      windows of `gap` + 1 rows share nothing.
    - "row": single rows at random, stratified.

    Every class is among the training rows; one that has too few runs or rows for both sides is there alone, and a
    note names it. The same seed gives the same split. Raises DataError when the kind does not fit the data, or nothing
    could be judged.
    """
    y = np.asarray(y, dtype=object)
    if len(y) == 0 or (groups is not None and len(groups) != len(y)):
        found = "no rows" if len(y) == 0 else f"{len(y)} labels and {len(groups) if groups is not None else 0} runs"
        raise DataError(f"Found {found} to split; expected one label (and run) for each of some rows.")
    if not 0 < fraction < 1:
        raise DataError(f"The fraction to hold out is {fraction}; expected more than 0 and less than 1.")
    if gap < 0:
        raise DataError(f"The gap between training and held-out rows is {gap}; expected 0 or more.")
    if kind == "group":
        if groups is None:
            raise DataError(
                "Whole runs cannot be held out, because no column says which run a row belongs to: pass "
                "--group COL, or, if every row really is a separate measurement, --split row."
            )
        held, notes = _by_group(y, np.asarray(groups, dtype=object), fraction, seed)
        train = ~held
    elif kind == "block":
        train, held, notes = by_block(y, groups, fraction, gap)
        notes += not_judged(y, held, "rows")
    elif kind == "row":
        held, notes = _by_row(y, fraction, seed)
        train = ~held
    else:
        raise DataError(f"`{kind}` is no kind of split; expected group, block or row: pass one to --split.")
    return np.flatnonzero(train), np.flatnonzero(held), notes


def always_training(y: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return a mask of the rows (rows,) of runs that hold a class which occurs in no other run.

    >>> always_training(np.array(list("aabab")), np.array(list("11122"))).tolist()
    [False, False, False, False, False]
    >>> always_training(np.array(list("aabaa")), np.array(list("11122"))).tolist()
    [True, True, True, False, False]
    """
    frame = pd.DataFrame({"y": y, "g": groups})
    runs_of = frame.drop_duplicates().groupby("y").size()
    forced = frame["g"][frame["y"].map(runs_of) < 2].unique()
    return np.asarray(frame["g"].isin(forced))


def not_judged(y: np.ndarray, held: np.ndarray, unit: str) -> list[str]:
    """Return a note on the classes of y (rows,) that no held-out row has; `held` are positions or a mask.

    >>> not_judged(np.array(["a", "b", "a"]), np.array([2]), "rows")
    ['Too few rows: `b` is learnt from, but could not be held out, so no figure says how well it is recognised.']
    """
    classes, kept = list(dict.fromkeys(y)), set(y[held])
    missing = [label for label in classes if label not in kept]
    if not missing:
        return []
    verb, pronoun = ("is", "it is") if len(missing) == 1 else ("are", "they are")
    return [
        f"Too few {unit}: {listing(missing, 12)} {verb} learnt from, but could not be held out, so no figure says how "
        f"well {pronoun} recognised."
    ]


def _by_group(y: np.ndarray, groups: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, list[str]]:
    codes, runs = pd.factorize(groups)
    marks, labels = pd.factorize(y)
    # within[r, c]: does run r contain class c?
    within = np.zeros((len(runs), len(labels)), dtype=bool)
    within[codes, marks] = True
    spread = within.sum(axis=0)
    if len(runs) < 2:
        raise DataError(
            f"All rows belong to one run (`{runs[0]}`); expected two at least to hold one out: pass --split block."
        )
    free = ~within[:, spread < 2].any(axis=1)
    judged = within[free].any(axis=0) & (spread > 1)
    if judged.sum() < min(2, len(labels)):
        raise DataError(
            f"Whole runs cannot be held out: {listing(labels[spread < 2])} occurs in one run only, and beside these "
            "runs there are none of two classes; expected two runs of a class at least: pass --split block, or add "
            "runs."
        )
    rarity = np.where(within, spread, len(runs) + 1)
    strata = [np.flatnonzero((rarity.argmin(axis=1) == label) & free) for label in range(len(labels))]
    best: np.ndarray | None = None
    most = min(2, len(labels)) - 1  # figures of one class alone are worth nothing
    for attempt in range(_TRIES):
        chosen = _draw_runs(strata, len(runs), fraction, np.random.default_rng([seed, attempt]), attempt > 0)
        found = int(within[chosen].any(axis=0).sum())
        if found > most and within[~chosen].any(axis=0).all():
            best, most = chosen, found
            if found >= judged.sum():
                break
    if best is None:
        raise DataError(
            f"No way was found to hold out whole runs so that {listing(labels)} stay among the others, because runs "
            "share classes: pass --split block, or add runs."
        )
    held = best[codes]
    note = f"Held out {int(best.sum())} of {len(runs)} runs whole ({held.mean():.0%} of the rows)."
    return held, [note, *not_judged(y, held, "runs")]


def _draw_runs(
    strata: list[np.ndarray], count: int, fraction: float, rng: np.random.Generator, retry: bool
) -> np.ndarray:
    chosen = np.zeros(count, dtype=bool)
    for runs in strata:
        if len(runs) == 1:
            # Its classes occur in other runs too; which side it belongs on is found by trying.
            chosen[runs] = retry and rng.random() < 0.5
        elif len(runs) > 1:
            most = int(np.clip(round(fraction * len(runs)), 1, len(runs) - 1))
            if retry:
                most = int(rng.integers(1, len(runs)))
            chosen[rng.permutation(runs)[:most]] = True
    return chosen


def _by_row(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), dtype=bool)
    for label in sorted(set(y), key=str):
        where = np.flatnonzero(y == label)
        if len(where) > 1:  # the only row of a class is learnt from
            count = int(np.clip(round(fraction * len(where)), 1, len(where) - 1))
            held[rng.permutation(where)[:count]] = True
    if not held.any():
        raise DataError(
            f"Each of {listing(sorted(set(y), key=str))} has a single row, so none can be held out; expected two rows "
            "of a class at least: merge classes, or add rows."
        )
    return held, [
        "Warning: rows were held out at random. Where rows follow each other in time, neighbours are nearly "
        "equal and leak into the held-out rows: the result is then too good. Hold out runs with --group COL.",
        *not_judged(y, held, "rows"),
    ]
