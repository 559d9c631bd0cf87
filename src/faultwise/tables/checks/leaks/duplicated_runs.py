"""Runs that are duplicates of each other, value for value, though their names differ.

Compared are the rows that occur once in a run (equal consecutive rows count as one): states that come back again and
again are shared by nature. Duplicates with noise are found by `near_duplicates`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["DuplicatedRun", "duplicated_runs"]

_FEWEST_ROWS = 10
_SHARE = 0.5  # of the rows of the shorter run


@dataclass(frozen=True)
class DuplicatedRun:
    """Two runs (numbers), how many rows they share, of how many of the shorter one, and a pair of equal rows."""

    first: int
    second: int
    shared: int
    of: int
    example: tuple[int, int]


def duplicated_runs(hashes: np.ndarray, runs: np.ndarray) -> list[DuplicatedRun]:
    """Return the pairs of runs that share half of the shorter one's rows, and ten at least.

    `hashes` and `runs` (numbers) are of shape (rows,), rows of a run in their order. Each run is compared with the
    first one that has the same rows.
    """
    rows = pd.DataFrame({"hash": hashes, "run": runs, "row": np.arange(len(runs))})
    kept = rows[rows["hash"] != rows.groupby("run")["hash"].shift()]
    sizes = np.bincount(kept["run"])
    once = kept[~kept.duplicated(["run", "hash"], keep=False)].sort_values(["hash", "run"], kind="stable")
    once = once[once.duplicated("hash", keep=False)]
    leading = once.groupby("hash")[["run", "row"]].transform("first")
    pairs = pd.DataFrame({"first": leading["run"], "second": once["run"], "a": leading["row"], "b": once["row"]})
    pairs = pairs[pairs["first"] != pairs["second"]]
    found = []
    for _, same in pairs.groupby(["first", "second"]):
        first, second, a, b = (int(value) for value in same.sort_values("a").iloc[0])
        of = int(min(sizes[first], sizes[second]))
        if len(same) >= max(_FEWEST_ROWS, _SHARE * of):
            found.append(DuplicatedRun(first, second, len(same), of, (a, b)))
    return found
