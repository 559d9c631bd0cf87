"""The last value known at a time: rows get what was stamped at or before them, never what came later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

__all__ = ["count_before", "interval_of", "last_at"]


def last_at(
    times: np.ndarray,
    assets: np.ndarray,
    stamps: np.ndarray,
    of: np.ndarray,
    *,
    strictly: bool = False,
) -> np.ndarray:
    """Return for each row (rows,) the position of the last stamp of its asset at or before it, -1 where there is none.

    `times` and `stamps` are numbers, `assets` (rows,) and `of` (stamps,) whole numbers that name the asset. `strictly`
    takes stamps before the row's time only. Of equal stamps the last line counts.
    """
    found = np.full(len(times), -1)
    for own, mine in _by_asset(times, assets, stamps, of):
        at = np.searchsorted(stamps[own], times[mine], side="left" if strictly else "right") - 1
        found[mine[at >= 0]] = own[at[at >= 0]]
    return found


def interval_of(stamps: np.ndarray, of: np.ndarray) -> float:
    """Return the usual step between stamps (stamps,) of one asset (`of`), NaN where there is none."""
    order = np.lexsort((stamps, of))
    steps = np.diff(stamps[order])[np.diff(of[order]) == 0]
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else float("nan")


def count_before(
    times: np.ndarray, assets: np.ndarray, stamps: np.ndarray, of: np.ndarray, span: float, *, strictly: bool = False
) -> np.ndarray:
    """Return for each row (rows,) how many stamps of its asset lie within the span that ends at it.

    A stamp at the row's own time counts, unless `strictly`; one exactly a span before does not.
    """
    made = np.zeros(len(times), int)
    side: Literal["left", "right"] = "left" if strictly else "right"
    for own, mine in _by_asset(times, assets, stamps, of):
        upto = np.searchsorted(stamps[own], times[mine], side=side)
        made[mine] = upto - np.searchsorted(stamps[own], times[mine] - span, side=side)
    return made


def _by_asset(
    times: np.ndarray, assets: np.ndarray, stamps: np.ndarray, of: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each asset with stamps the positions of these, in the order of time, and those of its rows."""
    order = np.lexsort((np.arange(len(stamps)), stamps, of))
    order = order[np.isfinite(stamps[order])]
    rows = np.argsort(assets, kind="stable")
    rows = rows[np.isfinite(times[rows])]
    known, sorted_assets = of[order], assets[rows]
    for asset in np.unique(known):
        own = order[slice(*np.searchsorted(known, [asset, asset + 1]))]
        yield own, rows[slice(*np.searchsorted(sorted_assets, [asset, asset + 1]))]
