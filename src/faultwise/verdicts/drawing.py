"""Drawing fewer rows than there are: evenly over classes and, within a class, the same share of every run; or one row
per run.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["draw_alike", "draw_evenly", "draw_one_per_run"]


def draw_evenly(y: np.ndarray, groups: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Return at most `most` sorted positions: as many of each class (one short of rows leaves its share to the others),
    and about the same share of each of its runs.

    As many rows of each run would nearly leave out whole normal runs beside many short normal pieces before a fault:
    on simulated Tennessee Eastman runs, 64% of the rows of new normal runs were then false alarms.

    >>> y = np.array(["ok"] * 8 + ["leak"] * 2)
    >>> picked = draw_evenly(y, np.zeros(10, dtype=int), most=6, seed=0)
    >>> [int((y[picked] == label).sum()) for label in ("ok", "leak")]
    [4, 2]
    """
    if len(y) <= most:
        return np.arange(len(y))
    frame = _by_turn(y, groups, seed)
    frame["in_class"] = frame.groupby("y").cumcount()
    return np.sort(frame.sort_values("in_class", kind="stable")["at"].to_numpy()[:most])


def draw_alike(y: np.ndarray, groups: np.ndarray, drawn: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Return as many of the positions `rows`, of a fold, as classes allow that keep the shares they have in `drawn`.

    >>> y = np.array(["ok"] * 80 + ["leak"] * 20)
    >>> drawn = draw_evenly(y, np.arange(100), most=30, seed=0)
    >>> rows = draw_alike(y, np.arange(100), drawn, np.arange(0, 100, 2), seed=0)
    >>> [int((y[rows] == label).sum()) for label in ("ok", "leak")]
    [10, 10]
    """
    if len(drawn) == len(y):
        return rows
    share = pd.Series(y[drawn]).value_counts() / pd.Series(y).value_counts()
    there = pd.Series(y[rows]).value_counts()
    wanted = (share.reindex(there.index).fillna(0) * there).astype(float)
    more = max(1.0, min(1 / share.reindex(there.index).max(), len(drawn) / wanted.sum()))
    frame = _by_turn(y[rows], groups[rows], seed)
    most = np.ceil(frame["y"].map(more * wanted).to_numpy(float) - 1e-9)
    kept = frame.groupby("y").cumcount().to_numpy() < np.maximum(1, most)
    return np.sort(rows[frame["at"].to_numpy()[kept]])


def _by_turn(y: np.ndarray, groups: np.ndarray, seed: int) -> pd.DataFrame:
    """Return rows in the order in which they are drawn within their class: a row's turn is the share of its run that
    comes before it, from a random start, so that a run of a single row has the chance of any other row.
    """
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"y": y, "g": groups, "at": np.arange(len(y))}).sample(frac=1, random_state=rng)
    of_run = frame.groupby(["y", "g"])
    start = rng.random(of_run.ngroups)[of_run.ngroup()]
    frame["turn"] = (of_run.cumcount() + start) / of_run["at"].transform("size")
    return frame.sort_values("turn", kind="stable")


def draw_one_per_run(runs: np.ndarray, times: int, seed: int) -> np.ndarray:
    """Return the positions of one random row of each run, drawn `times` times; shape (times, runs).

    >>> draw_one_per_run(np.array(["a", "b"]), 2, seed=0).tolist()
    [[0, 1], [0, 1]]
    """
    rng = np.random.default_rng(seed)
    of_run = pd.Series(runs).groupby(runs, sort=True).indices
    return np.column_stack([rng.choice(np.asarray(where), times) for where in of_run.values()])
