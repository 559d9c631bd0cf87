"""Number the uninterrupted stretches of a table: contiguous rows of one run, and of one label.

Nothing is sorted and times are not read: rows are taken to be in time order within their run, in the order of the
file. Windows and block splits are cut along these stretches.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError

__all__ = ["in_stretches", "stretches"]

_CHANGES = 0.5  # of those that independent labels would have


def stretches(groups: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
    """Return an integer id for each row, shape (rows,), the same for all rows of one stretch.

    `groups` is the run of each row, shape (rows,). Rows of several runs may be interleaved: a run's rows
    belong together all the same. With `labels`, shape (rows,), a change of label within a run starts a new
    stretch, also when the label returns to an earlier one. Ids count from 0, run after run in order of first
    appearance. Raises DataError when the lengths differ.

    >>> stretches(np.array(["a", "b", "a", "b"])).tolist()
    [0, 1, 0, 1]
    >>> stretches(np.array(["a", "a", "a"]), np.array(["0", "4", "0"])).tolist()
    [0, 1, 2]
    """
    rows = len(groups)
    if labels is not None and len(labels) != rows:
        raise DataError(f"Found {rows} runs and {len(labels)} labels; expected one of each per row.")
    if rows == 0:
        return np.zeros(0, dtype=np.int64)
    runs = pd.factorize(np.asarray(groups), use_na_sentinel=False)[0]
    order = np.argsort(runs, kind="stable")
    starts = np.ones(rows, dtype=bool)
    starts[1:] = np.diff(runs[order]) != 0
    if labels is not None:
        marks = pd.factorize(np.asarray(labels), use_na_sentinel=False)[0]
        starts[1:] |= np.diff(marks[order]) != 0
    ids = np.empty(rows, dtype=np.int64)
    ids[order] = np.cumsum(starts) - 1
    return ids


def in_stretches(labels: np.ndarray) -> bool:
    """Whether labels (rows,) stay the same from row to row far more often than labels in random order would.

    >>> in_stretches(np.array(list("aaaabbbbaaaa"))), in_stretches(np.array(list("abaababbabab")))
    (True, False)
    """
    if len(labels) < 2:
        return False
    marks = pd.factorize(np.asarray(labels), use_na_sentinel=False)[0]
    shares = np.bincount(marks) / len(marks)
    expected = float((1 - (shares**2).sum()) * (len(marks) - 1))
    return bool((np.diff(marks) != 0).sum() < _CHANGES * expected)
