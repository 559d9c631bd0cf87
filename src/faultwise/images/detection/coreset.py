"""A few points that leave no other far away: farthest-first order, made quick by looking within clusters.

Plain greedy selection (Sener and Savarese 2018; PatchCore, Roth et al. 2022) looks at all points for each one taken.
Here the points are first cut into clusters, each is put into farthest-first order by itself, and those with the
largest radii of all are taken, so that every cluster is covered equally finely. Nothing of images is known here.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["farthest_first", "spread_out"]

_CLUSTER = 1_500  # points; the work grows with their number times this
_ROUNDS = 4  # of moving the clusters' centres: they need not be the best ones
_SAME = 1e-6  # of a squared length: rounding of single precision
_SAMPLE = 64  # points a cluster to find the centres from


def spread_out(
    points: np.ndarray, count: int, seed: int = 0, step: Callable[[int], object] | None = None
) -> np.ndarray:
    """Return the positions (count,) of points (n, dimensions; float32) that cover the others.

    All positions where `count` is n or more. `step` is called with the number of points that were put in order.

    >>> spread_out(np.array([[0.0], [0.1], [5.0], [5.1], [9.0]], np.float32), 3).tolist()
    [0, 2, 4]
    """
    if count >= len(points):
        return np.arange(len(points))
    rng = np.random.default_rng(seed)
    # Every cluster gives its first point, so there are to be fewer clusters than points that may be taken.
    of = _clusters(points, max(1, min(round(len(points) / _CLUSTER), count // 4)), rng)
    radii = np.zeros(len(points), np.float32)
    for cluster in np.unique(of):
        members = np.flatnonzero(of == cluster)
        order, radius = farthest_first(points[members], min(len(members), count))
        radii[members[order]] = radius
        if step is not None:
            step(len(members))
    return np.sort(np.argsort(-radii, kind="stable")[:count])


def farthest_first(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `count` positions, each the farthest from those before it, and how far that was (first: infinite).

    Points that lie on chosen ones come last, in their own order.
    """
    squares = np.einsum("ij,ij->i", points, points)
    order, radii = np.zeros(count, np.int64), np.full(count, np.inf, np.float32)
    centre = points.mean(axis=0)
    at = int((squares - 2 * points @ centre).argmin())
    nearest = np.full(len(points), np.inf, np.float32)
    for turn in range(count):
        order[turn] = at
        distances = squares + squares[at] - 2 * (points @ points[at])
        np.minimum(nearest, np.maximum(distances, 0), out=nearest)  # rounding makes distances of duplicates negative
        nearest[at] = -1  # taken
        if turn + 1 < count:
            at = int(nearest.argmax())
            if nearest[at] <= _SAME * (squares[at] + 1):  # only duplicates are left, which cover nothing more
                left = np.flatnonzero(nearest >= 0)
                order[turn + 1 :] = left[: count - turn - 1]
                radii[turn + 1 :] = 0
                break
            radii[turn + 1] = np.sqrt(float(nearest[at]))
    return order, radii


def _clusters(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return the number of the cluster of each point, by a few rounds of k-means."""
    if count == 1:
        return np.zeros(len(points), np.int64)
    some = points[rng.choice(len(points), min(len(points), _SAMPLE * count), replace=False)]
    centres = some[rng.choice(len(some), count, replace=False)]
    for _ in range(_ROUNDS):
        of = _nearest(some, centres)
        sums = np.zeros_like(centres)
        np.add.at(sums, of, some)
        counts = np.bincount(of, minlength=count)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return _nearest(points, centres)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = np.einsum("ij,ij->i", centres, centres)
    parts = np.array_split(points, len(points) // 20_000 + 1)
    return np.concatenate([(squares - 2 * part @ centres.T).argmin(axis=1) for part in parts])
