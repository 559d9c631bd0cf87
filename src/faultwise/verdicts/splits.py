"""Split rows into training and held-out ones without letting a run sit on both sides.

Whole runs are held out where that is possible. The other two kinds exist for data that do not allow it;
their notes say what they cost. Cross-validation and metrics live in `evaluate`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.verdicts.stretches import stretches

__all__ = ["split"]

_TRIES = 300


def split(
    y: np.ndarray, groups: np.ndarray | None, kind: str, fraction: float, seed: int, gap: int = 0
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the positions of training rows, those of held-out rows (both ascending), and sentences.

    `y` holds labels and `groups` runs (text), shape (rows,); `fraction` (between 0 and 1) is held out. Kinds:

    - "group": whole runs, every class on both sides. Runs are stratified by the rarest class they contain
      (the one in the fewest runs): a run that starts normal and then fails counts as its fault.
    - "block": the last part of every stretch of one run and label. No training row lies within `gap` rows of
      a held-out row of the same run, so windows of `gap` + 1 rows share nothing.
    - "row": single rows at random, stratified.

    The same seed gives the same split. Raises DataError when the kind does not fit the data.
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
        train, held, notes = _by_block(y, groups, fraction, gap)
    elif kind == "row":
        held, notes = _by_row(y, fraction, seed)
        train = ~held
    else:
        raise DataError(f"`{kind}` is no kind of split; expected group, block or row: pass one to --split.")
    return np.flatnonzero(train), np.flatnonzero(held), notes


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
    if (spread < 2).any():
        raise DataError(
            f"Whole runs cannot be held out: {listing(labels[spread < 2])} occurs in one run only, expected two "
            "runs of every class at least: pass --split block, or add runs."
        )
    rarity = np.where(within, spread, len(runs) + 1)
    strata = [np.flatnonzero(rarity.argmin(axis=1) == label) for label in range(len(labels))]
    for attempt in range(_TRIES):
        chosen = _draw_runs(strata, len(runs), fraction, np.random.default_rng([seed, attempt]), attempt > 0)
        if within[chosen].any(axis=0).all() and within[~chosen].any(axis=0).all():
            held = chosen[codes]
            share = held.mean()
            note = f"Held out {int(chosen.sum())} of {len(runs)} runs whole ({share:.0%} of the rows)."
            return held, [note]
    raise DataError(
        f"No way was found to hold out whole runs with all of {listing(labels)} on both sides, because runs "
        "share classes: pass --split block, or add runs."
    )


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


def _by_block(
    y: np.ndarray, groups: np.ndarray | None, fraction: float, gap: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    runs = np.zeros(len(y), dtype=np.int64) if groups is None else pd.factorize(np.asarray(groups))[0]
    ids = stretches(runs, y)
    held = np.zeros(len(y), dtype=bool)
    near = np.zeros(len(y), dtype=bool)
    for run in range(int(runs.max()) + 1):
        where = np.flatnonzero(runs == run)
        starts = np.flatnonzero(np.r_[True, np.diff(ids[where]) != 0])
        ends = np.r_[starts[1:], len(where)]
        last_held = -gap - 1
        for start, end in zip(starts, ends, strict=True):
            # Rows that the held-out end of the stretch before (gap) and the own gap leave for training.
            room = (end - gap) - max(start, last_held + gap + 1)
            size = min(max(1, round(fraction * (end - start))), room - 1)
            if size < 1:
                continue
            held[where[end - size : end]] = True
            near[where[max(0, end - size - gap) : end + gap]] = True
            last_held = end - 1
    train = ~held & ~near
    both = set(y[train]) & set(y[held])
    missing = [label for label in dict.fromkeys(y) if label not in both]
    if missing:
        raise DataError(
            f"The stretches of {listing(missing)} are too short to be cut in two with {gap} rows between; expected "
            f"more than {2 * gap + 1} rows in one: use a smaller window, or add rows."
        )
    dropped = int((~train & ~held).sum())
    notes = [
        f"Held out the last part of every stretch of one run and label ({held.mean():.0%} of the rows, {dropped} "
        "between dropped). This is optimistic: the same runs are on both sides."
    ]
    if groups is None:
        notes.append("No column names the run: all rows were taken as one run in time order.")
    return train, held, notes


def _by_row(y: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    held = np.zeros(len(y), dtype=bool)
    for label in sorted(set(y), key=str):
        where = np.flatnonzero(y == label)
        if len(where) < 2:
            raise DataError(
                f"The class `{label}` has a single row; expected two at least, one for each side: drop this "
                "row or merge it into another class."
            )
        count = int(np.clip(round(fraction * len(where)), 1, len(where) - 1))
        held[rng.permutation(where)[:count]] = True
    return held, [
        "Warning: rows were held out at random. Where rows follow each other in time, neighbours are nearly "
        "equal and leak into the held-out rows: the result is then too good. Hold out runs with --group COL."
    ]
