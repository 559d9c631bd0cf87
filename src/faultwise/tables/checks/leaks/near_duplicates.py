"""Rows of different runs that agree but for rounding or a little noise: far nearer to each other than rows usually are.

A pair is a candidate when its distance is a small part of the distance at which a row usually finds others, when
neither of the two is just as near to rows of its own run (a held state), and when it has few partners (many runs may
pass through one state by nature). There must be more candidates than chance would make of as many rows: near pairs of
independent rows become rare with the d-th power of the distance, d being the dimension that the rows fill (E. Levina,
P. Bickel: Maximum Likelihood Estimation of Intrinsic Dimension, 2004), and values on a grid cannot be told apart below
its step. Not found are near duplicates in data so slow that rows of one run are as near to each other, and rows that
occur in more than about four runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

__all__ = ["NearDuplicates", "RowPositions", "in_order", "near_duplicates", "row_positions", "scaled"]

# Where rows follow each other in time and no column names runs: so many on either side do not count as different ones.
_REACH = 50
_NEIGHBOURS = 16
_DIRECTIONS = 6  # of the principal components in which neighbours are searched; distances are then taken in full
_RANK = 5  # the usual distance is that to the fifth nearest stretch of other rows
_PARTNERS = 4
_LARGEST = 0.05  # of the usual distance
_LEVELS = np.array([0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 1e-4, 1e-5, 1e-6])
_FEWEST_PAIRS, _OVER_CHANCE = 3, 5.0
_FEWEST_VALUES = 20  # a column with fewer holds categories, not measurements
_SAMPLE, _AGAINST, _CHUNK = 400, 20_000, 20_000
_START = 20


@dataclass(frozen=True)
class RowPositions:
    """Where rows lie, each of shape (rows,): the run as a number, and the place in the run.

    Rows less than `reach` apart in a run count as neighbours in time.
    """

    run: np.ndarray
    at: np.ndarray
    reach: int

    def same(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Tell whether rows a and b (positions, broadcast) are so close in time that they are alike by nature."""
        return np.asarray((self.run[a] == self.run[b]) & (np.abs(self.at[a] - self.at[b]) <= self.reach))

    @property
    def stretch(self) -> np.ndarray:
        """Number of the stretch of neighbours in time that each row belongs to, shape (rows,)."""
        length = max(1, min(self.reach, _REACH))
        return np.asarray(pd.factorize(self.run * (int(self.at.max()) // length + 1) + self.at // length)[0])


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of near-duplicate rows, shape (pairs, 2), nearest first, first < second.

    `apart` (pairs,) is their mean difference per column in standard deviations, `by_chance` how many pairs chance would
    make, and `reason` why nothing could be looked for ("" if it could).
    """

    pairs: np.ndarray
    apart: np.ndarray
    by_chance: float = 0.0
    reason: str = ""


def row_positions(runs: np.ndarray | None, rows: int, values: np.ndarray) -> RowPositions:
    """Return where rows lie. With `runs` (rows,) a whole run counts as neighbours in time; without, 50 rows on either
    side if rows that follow each other are alike at all, else only the row itself. `values` is (rows, columns), scaled.
    """
    if runs is not None:
        codes = np.asarray(pd.factorize(runs)[0])
        at = pd.Series(codes).groupby(codes).cumcount().to_numpy()
        return RowPositions(codes, at, rows)
    return RowPositions(np.zeros(rows, int), np.arange(rows), _REACH if in_order(values) else 0)


def in_order(values: np.ndarray) -> bool:
    """Tell whether rows (rows, columns; scaled) that follow each other are nearer than rows at random."""
    if len(values) < 3 or not values.shape[1]:
        return False
    rng = np.random.default_rng(0)
    first = rng.integers(0, len(values) - 1, 2000)
    follow = np.abs(values[first] - values[first + 1]).mean(axis=1)
    random = np.abs(values[first] - values[rng.permutation(first)]).mean(axis=1)
    return bool(follow.mean() < 0.9 * random.mean())


def scaled(frame: pd.DataFrame) -> tuple[np.ndarray, float, int]:
    """Return the columns as numbers, shape (rows, columns), each over its spread (that of the middle half of the rows);
    the distance below which rounding hides everything; and how many columns measure (the others are categories).

    Texts become numbers by first appearance, gaps a value outside of the others. Columns of one value are left out, and
    those that name rows: texts that nearly all differ, whole numbers without gap or repetition, anything that rises or
    falls from row to row through the whole table.
    """
    columns, steps = [], []
    for name in frame.columns:
        series = frame[name]
        if pd.api.types.is_numeric_dtype(series.dtype):
            values = series.to_numpy(dtype=float, na_value=np.nan)
        else:
            values = pd.factorize(series.astype(str))[0].astype(float)
        known = np.isfinite(values)
        if known.sum() < 2 or np.ptp(values[known]) == 0:
            continue
        low, high = np.quantile(values[known], [0.25, 0.75])
        spread = (high - low) / 1.349 or values[known].std()
        values = np.where(known, values, values[known].max() + 10 * spread) / spread
        step, levels = _step(values)
        measures = levels >= _FEWEST_VALUES and pd.api.types.is_numeric_dtype(series.dtype)
        if _names_rows(series.to_numpy(dtype=float, na_value=np.nan) if measures else values, measures):
            continue
        columns.append(values)
        if measures:
            steps.append(step)
    made = np.stack(columns, axis=1) if columns else np.zeros((len(frame), 0))
    # The difference of two rounded values has the variance step^2 / 6.
    return made, float(np.sqrt(np.sum(np.square(steps)) / 6)) if steps else 0.0, len(steps)


def _names_rows(values: np.ndarray, numeric: bool) -> bool:
    distinct = len(np.unique(values))
    if distinct < _FEWEST_VALUES or distinct < 0.9 * len(values):
        return False
    moves = np.diff(values)
    counts = distinct == len(values) and np.ptp(values) < len(values) and (values == np.round(values)).all()
    return not numeric or counts or bool((moves > 0).all() or (moves < 0).all())


def _step(values: np.ndarray) -> tuple[float, int]:
    """Return the usual gap between the values that nine rows in ten have, most frequent first, and their number."""
    distinct, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    most = int(np.searchsorted(np.cumsum(counts[order]), 0.9 * len(values))) + 1
    kept = np.sort(distinct[order[:most]])
    return (float(np.median(np.diff(kept))) if len(kept) > 1 else 0.0), len(kept)


def near_duplicates(values: np.ndarray, floor: float, place: RowPositions) -> NearDuplicates:
    """Return the pairs of rows that are too near to be different measurements.

    `values` (rows, columns) and `floor` come from `scaled`, `place` from `row_positions`. For speed, neighbours are
    looked for among the 16 nearest in six principal directions, and the usual distance is taken from at most 20,000
    rows.
    """
    rows, width = values.shape
    none = NearDuplicates(np.zeros((0, 2), int), np.zeros(0))
    if rows < _RANK + 1:
        return replace(none, reason="there are too few rows")
    near, partner = _nearest(values, place)
    rng = np.random.default_rng(0)
    against = np.sort(rng.choice(rows, min(rows, _AGAINST), replace=False))
    sample = rng.choice(rows, min(rows, _SAMPLE), replace=False)
    usual = _usual(values, place, sample, against)
    known = np.isfinite(usual).all(axis=1) & (usual[:, 0] > 0)
    if known.sum() < min(50, rows // 2):
        return replace(none, reason="there are too few rows, or too many equal ones, to know how near rows usually are")
    typical = float(np.median(usual[known, -1]))
    dimension = float(1 / max(np.median(np.log(usual[known, -1:] / usual[known, :-1]).mean(axis=1)), 1e-3))
    candidates = np.flatnonzero((near < _LARGEST * typical) & (partner >= 0))
    own = np.full(rows, typical)
    some = candidates if len(candidates) <= 10 * _SAMPLE else rng.choice(candidates, 10 * _SAMPLE, replace=False)
    local = _usual(values, place, some, against)[:, -1]
    own[some] = np.minimum(np.where(np.isfinite(local), local, typical), typical)
    share = np.full(rows, np.inf)
    scored = candidates[own[candidates] > 0]
    share[scored] = near[scored] / own[scored]
    grid = floor / typical
    factor = rows * (_RANK - 1) * rows / len(against)
    for level in _LEVELS:
        pairs = _pairs(np.flatnonzero(share <= level), partner, place)
        chance = factor * min(1.0, np.hypot(level, grid)) ** dimension / 2
        if len(pairs) >= _FEWEST_PAIRS + _OVER_CHANCE * chance:
            apart = np.linalg.norm(values[pairs[:, 0]] - values[pairs[:, 1]], axis=1) / np.sqrt(width)
            order = np.argsort(apart, kind="stable")
            return NearDuplicates(pairs[order], apart[order], float(chance))
    return none


def _nearest(values: np.ndarray, place: RowPositions) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's distance to the nearest row that is no neighbour in time, and that row; infinite and -1 where
    none was met or the row is held: as near to its own neighbours in time, or to more than a few others.
    """
    from sklearn.neighbors import KDTree

    rows = len(values)
    centred = values - values.mean(axis=0)
    directions = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_DIRECTIONS]
    projected = centred @ directions
    count = min(_NEIGHBOURS, rows)
    found = KDTree(projected).query(projected, k=count, return_distance=False)
    near, partner = np.full(rows, np.inf), np.full(rows, -1)
    for start in range(0, rows, _CHUNK):
        mine = np.arange(start, min(start + _CHUNK, rows))
        others = found[mine]
        apart = np.stack([np.linalg.norm(values[mine] - values[others[:, k]], axis=1) for k in range(count)], axis=1)
        itself = others == mine[:, None]
        kin = place.same(mine[:, None], others)
        own = np.where(kin & ~itself, apart, np.inf).min(axis=1)
        apart = np.where(kin, np.inf, apart)
        best = apart.argmin(axis=1)
        least = apart[np.arange(len(mine)), best]
        alone = (apart <= 2 * least[:, None]).sum(axis=1) <= _PARTNERS
        kept = np.isfinite(least) & (least < 0.5 * own) & alone
        near[mine[kept]], partner[mine[kept]] = least[kept], others[np.arange(len(mine)), best][kept]
    return near, partner


def _usual(values: np.ndarray, place: RowPositions, rows: np.ndarray, against: np.ndarray) -> np.ndarray:
    """Return the distances of `rows` to their nearest five stretches of rows elsewhere, ascending, shape (rows, 5);
    infinite where there are fewer.
    """
    stretch = place.stretch[against]
    order = np.argsort(stretch, kind="stable")
    against, stretch = against[order], stretch[order]
    starts = np.flatnonzero(np.r_[True, np.diff(stretch) != 0])
    base = values[against]
    squares = np.einsum("ij,ij->i", base, base)
    made = np.full((len(rows), _RANK), np.inf)
    for start in range(0, len(rows), 500):
        mine = rows[start : start + 500]
        square = np.einsum("ij,ij->i", values[mine], values[mine])[:, None] + squares - 2 * values[mine] @ base.T
        square[place.same(mine[:, None], against)] = np.inf
        by_stretch = np.minimum.reduceat(square, starts, axis=1)
        rank = min(_RANK, by_stretch.shape[1])
        nearest = np.sort(np.partition(by_stretch, rank - 1, axis=1)[:, :rank], axis=1)
        made[start : start + 500, :rank] = np.sqrt(np.maximum(nearest, 0))
    return made


def _pairs(rows: np.ndarray, partner: np.ndarray, place: RowPositions) -> np.ndarray:
    """Return each pair once, without those that two runs share because they start from the same state."""
    pairs = np.stack([rows, partner[rows]], axis=1)
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    start = (place.run[pairs[:, 0]] != place.run[pairs[:, 1]]) & (place.at[pairs[:, 0]] == place.at[pairs[:, 1]])
    if not start.any():
        return pairs
    between = pd.Series(list(zip(place.run[pairs[:, 0]], place.run[pairs[:, 1]], strict=True)))
    many = between.groupby(between).transform("size").to_numpy() > 2 * _START
    return np.asarray(pairs[~(start & ~many & (place.at[pairs[:, 0]] < _START))])
