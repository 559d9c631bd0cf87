"""How sensors move together, and whether one of them drifts away alone.

A stretch is cut into blocks, which are replaced by their means. Each variable is predicted from the others (now, one
and two blocks ago, and at the start of the stretch) by ridge regression learnt on clean rows, machine faults included.
A second model estimates how uncertain that prediction is, since relations hold less well while a machine fault moves
the plant. A ramp of unknown start is then looked for in each variable's residual (generalised likelihood ratio;
residuals are correlated in time). Reported is the variable whose ramp, when removed, leaves the least behind in the
others: contribution by reconstruction (Alcala and Qin, Automatica 45, 2009), with each variable left out of its own
prediction.

It finds one drifting sensor per stretch, and none that drifts at the same pace as every variable that could show it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

__all__ = ["FEWEST_BLOCKS", "Drift", "DriftModel", "blocks_of", "limit_at"]

FEWEST_BLOCKS = 8
_LAGS = 2  # blocks back that take part in the prediction
_RIDGE = 0.01  # of the variance of a normal row
_FOLDS = 4
_TURNS = 2  # of regression, variance, regression with the variance as weight
_OUTLIER = 16.0  # squared residuals count at most this many times their expected value
_CANDIDATES = 3
_SHORTEST = 4  # blocks that a ramp lasts at least
_LARGEST = 1e3  # normal spreads; beyond, squares would hide everything else
_QUIET = 0.6  # least that the others' ramps are taken for: their largest three in a clean stretch are near 1


@dataclass(frozen=True, slots=True)
class Drift:
    """The variable that drifts most in a stretch: its number, score (1 is the limit), first block, units per block."""

    variable: int
    score: float
    start: int
    slope: float


def blocks_of(values: np.ndarray, size: int) -> np.ndarray:
    """Return means of `size` rows each, shape (stretches, blocks, variables), of (stretches, rows, variables).

    Rows that do not fill a block are left out at the end; missing values are left out of the mean.
    """
    n, rows, p = values.shape
    count = rows // size
    parts = values[:, : count * size].reshape(n, count, size, p)
    known = np.isfinite(parts)
    total = np.where(known, parts, 0.0).sum(axis=2)
    number = known.sum(axis=2)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def limit_at(scores: np.ndarray, rate: float) -> float:
    """Return the score that at most a share `rate` of new clean stretches passes, by order statistic."""
    rank = min(int(np.ceil((len(scores) + 1) * (1 - rate))), len(scores))
    return float(np.sort(scores)[rank - 1])


@dataclass(slots=True)
class _Relations:
    """Prediction of each variable from the others: center (inputs,), weights (p, inputs), variance (p, 4)."""

    center: np.ndarray
    weights: np.ndarray
    variance: np.ndarray

    def residual(self, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return residuals and their expected variance, both of the shape of `blocks`."""
        p = blocks.shape[-1]
        inputs = _inputs(blocks) - self.center
        found = inputs[..., :p] - inputs @ self.weights.T
        return found, (_unrest(inputs, self.weights, p) * self.variance).sum(axis=-1)


def _inputs(blocks: np.ndarray) -> np.ndarray:
    """Return what predictions are made of, shape (stretches, blocks, 4 p): now, 1 and 2 blocks ago, at the start."""
    at = np.arange(blocks.shape[1])
    back = [blocks[:, np.maximum(at - lag, 0)] for lag in range(_LAGS + 1)]
    start = np.repeat(blocks[:, :2].mean(axis=1, keepdims=True), blocks.shape[1], axis=1)
    return np.concatenate([*back, start], axis=2)


def _unrest(inputs: np.ndarray, weights: np.ndarray, p: int) -> np.ndarray:
    """Return what a prediction's variance grows with, shape (..., p, 4).

    One; the squared parts that the prediction is made of; and how far the others lie from normal and how fast they
    change, squared.
    """
    squares = np.minimum(inputs**2, _LARGEST**2)
    change = np.minimum((inputs[..., :p] - inputs[..., _LAGS * p : (_LAGS + 1) * p]) ** 2, _LARGEST**2)

    def others(part: np.ndarray) -> np.ndarray:
        return np.asarray((part.sum(axis=-1, keepdims=True) - part) / max(p - 1, 1))

    parts = squares @ (weights**2).T
    return np.stack([np.ones_like(parts), parts, others(squares[..., :p]), others(change)], axis=-1)


def _learn(blocks: np.ndarray) -> _Relations:
    """Fit predictions and their variances to clean blocks (stretches, blocks, p), in turns."""
    p = blocks.shape[-1]
    inputs = _inputs(blocks)[:, _LAGS:].reshape(-1, (_LAGS + 2) * p)
    center = np.median(inputs, axis=0)
    inputs = inputs - center
    calm = 1 / (1 + (inputs**2).mean(axis=1))
    weight = np.repeat(calm[:, None], p, axis=1)
    weights, variance = np.zeros((p, inputs.shape[1])), np.zeros((p, 4))
    for turn in range(_TURNS):
        shared = _moments(inputs, calm) if turn == 0 else None
        for j in range(p):
            moments = _moments(inputs, weight[:, j]) if shared is None else shared
            used = np.ones(inputs.shape[1], dtype=bool)
            used[[lag * p + j for lag in range(_LAGS + 1)]] = False
            kept = moments[np.ix_(used, used)] + _RIDGE * np.eye(int(used.sum()))
            weights[j, used] = np.linalg.solve(kept, moments[used, j])
        squared = (inputs[:, :p] - inputs @ weights.T) ** 2
        unrest = _unrest(inputs, weights, p)
        for j in range(p):
            variance[j], expected = _variance(squared[:, j], unrest[:, j], calm)
            weight[:, j] = 1 / expected
    return _Relations(center, weights, variance)


def _moments(inputs: np.ndarray, weight: np.ndarray) -> np.ndarray:
    scaled = inputs * np.sqrt(weight / weight.mean())[:, None]
    return np.asarray(scaled.T @ scaled / len(scaled))


def _variance(squared: np.ndarray, unrest: np.ndarray, calm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit squared residuals (rows,) by non-negative parts of `unrest` (rows, 4); return parts and fitted variance."""
    from scipy.optimize import nnls

    typical = max(float(np.median(squared)), 1e-9)
    expected = np.median(squared * calm) / 0.45 / calm + 1e-9  # 0.45: median of a squared standard normal
    found = np.zeros(unrest.shape[1])
    for _ in range(3):
        left = unrest / expected[:, None]
        size = np.sqrt((left**2).sum(axis=0)) + 1e-12
        found = nnls(left / size, np.minimum(squared / expected, _OUTLIER))[0] / size
        found[0] = max(found[0], 0.05 * typical)
        expected = unrest @ found
    return found, expected


@dataclass(slots=True)
class DriftModel:
    """Finds the one sensor that drifts. Values are in normal spreads, blocks as `blocks_of` cuts them.

    `memory` (p, lags) is the autocovariance of each variable's standardised residual; `usual` (p,) and `alone` (p,) are
    what clean stretches reach, before and after the others' unrest is divided out; `limit` is over both.
    """

    relations: _Relations = field(default_factory=lambda: _Relations(*(np.zeros(0) for _ in range(3))))
    memory: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    usual: np.ndarray = field(default_factory=lambda: np.zeros(0))
    alone: np.ndarray = field(default_factory=lambda: np.zeros(0))
    limit: float = 1.0
    _shapes: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def fit(self, blocks: np.ndarray, runs: np.ndarray, rate: float) -> DriftModel:
        """Learn from clean blocks (stretches, blocks, p); `runs` (stretches,) are never split between folds.

        `rate` is the share of clean stretches that may be reported. Limits rest on stretches of runs that their
        relations had not seen.
        """
        blocks = _filled(np.clip(blocks, -_LARGEST, _LARGEST))
        fold = np.unique(runs, return_inverse=True)[1] % _FOLDS
        if len(np.unique(fold)) < 2:  # one run only: its stretches take the place of runs
            fold = np.arange(len(blocks)) * _FOLDS // len(blocks)
        folds = [fold == k for k in np.unique(fold)]
        models = [_learn(blocks[~test]) for test in folds]
        residual = np.zeros_like(blocks)
        for model, test in zip(models, folds, strict=True):
            found, variance = model.residual(blocks[test])
            residual[test] = found / np.sqrt(variance)
        count, p = blocks.shape[1], blocks.shape[2]
        cut = np.clip(residual, -4, 4)
        self.memory = np.array(
            [[(cut[:, lag:, j] * cut[:, : count - lag, j]).mean() for lag in range(count)] for j in range(p)]
        )
        self.usual, self.alone, self.limit = np.ones(p), np.ones(p), 1.0
        self._shapes = {}
        self.usual = np.maximum(np.quantile(np.abs(self._ramps(residual)).max(axis=1), 0.95, axis=0), 1e-6)
        scores = np.zeros((len(blocks), p))
        for model, test in zip(models, folds, strict=True):
            self.relations = model
            scores[test] = self._scores(blocks[test], np.zeros((int(test.sum()), p), dtype=bool))[0]
        self.alone = np.maximum(np.quantile(scores, 0.99, axis=0), 0.8)
        self.limit = limit_at((scores / self.alone).max(axis=1), rate)
        self.relations = _learn(blocks)
        return self

    def strongest(self, blocks: np.ndarray, excluded: np.ndarray) -> Drift | None:
        """Return the variable that drifts most in one stretch (blocks, p), whatever its score, or None without any.

        `excluded` (p,) are variables that cannot be checked; blocks without a value are predicted from the others.
        """
        given = np.clip(blocks, -_LARGEST, _LARGEST)[None]
        values, unknown = _filled(given), ~np.isfinite(given)
        for _ in range(2 if unknown.any() else 0):
            values = np.where(unknown, values - self.relations.residual(values)[0], values)
        scores, starts, slopes = self._scores(values, excluded[None])
        scores /= self.alone * self.limit
        best = int(scores[0].argmax())
        if scores[0, best] <= 0:
            return None
        return Drift(best, float(scores[0, best]), int(starts[0, best]), float(slopes[0, best]))

    def _scores(self, blocks: np.ndarray, excluded: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return score, first block and slope of the candidates, each (stretches, p); 0 for the other variables."""
        found, variance = self.relations.residual(blocks)
        residual = found / np.sqrt(variance)
        ramps, precision, _ = self._shape(blocks.shape[1])
        signed = self._ramps(residual)
        height = np.where(excluded, 0.0, np.abs(signed).max(axis=1) / self.usual)
        score, start, slope = np.zeros_like(height), np.zeros(height.shape, dtype=int), np.zeros_like(height)
        here = np.arange(len(blocks))
        for j in np.argsort(-height, axis=1)[:, :_CANDIDATES].T:
            start[here, j] = np.abs(signed[here, :, j]).argmax(axis=1)
            ramp = ramps[start[here, j]]
            seen = np.einsum("nt,nts->ns", ramp / np.sqrt(variance[here, :, j]), precision[j])
            slope[here, j] = (seen * residual[here, :, j]).sum(axis=1) / np.maximum(
                (seen * ramp / np.sqrt(variance[here, :, j])).sum(axis=1), 1e-12
            )
            corrected = blocks.copy()
            corrected[here, :, j] -= slope[here, j][:, None] * ramp
            left, expected = self.relations.residual(corrected)
            rest = np.abs(self._ramps(left / np.sqrt(expected))).max(axis=1) / self.usual
            rest = np.where(excluded, 0.0, rest)
            rest[here, j] = 0.0
            unrest = np.sort(rest, axis=1)[:, -_CANDIDATES:].mean(axis=1)
            score[here, j] = height[here, j] / np.maximum(unrest, _QUIET)
        return score, start + 1, slope

    def _ramps(self, residual: np.ndarray) -> np.ndarray:
        """Return the signed likelihood ratio of a ramp from each start, shape (stretches, starts, p)."""
        _, _, filters = self._shape(residual.shape[1])
        return np.asarray(np.einsum("pot,ntp->nop", filters, residual))

    def _shape(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return, for stretches of `count` blocks, ramps (starts, count), precisions (p, count, count) and filters."""
        if count not in self._shapes:
            at = np.arange(count)
            ramps = np.array([np.maximum(0.0, at - start + 0.5) for start in range(1, count - _SHORTEST + 1)])
            apart = np.minimum(np.abs(np.subtract.outer(at, at)), self.memory.shape[1] - 1)
            values, vectors = np.linalg.eigh(self.memory[:, apart])
            values = np.maximum(values, 0.05 * np.maximum(self.memory[:, :1], 1e-6))
            precision = (vectors / values[:, None, :]) @ vectors.transpose(0, 2, 1)
            seen = ramps @ precision
            size = np.sqrt(np.einsum("pot,ot->po", seen, ramps))
            self._shapes[count] = (ramps, precision, seen / size[..., None])
        return self._shapes[count]

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the state that `from_arrays` takes back."""
        parts = {**asdict(self.relations), "memory": self.memory, "usual": self.usual, "alone": self.alone}
        return {**parts, "limit": np.array([self.limit])}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> DriftModel:
        """Build the model from what `to_arrays` returned."""
        relations = _Relations(*(arrays[name] for name in ("center", "weights", "variance")))
        return cls(relations, arrays["memory"], arrays["usual"], arrays["alone"], float(arrays["limit"][0]))


def _filled(blocks: np.ndarray) -> np.ndarray:
    """Fill blocks without a value by the one before, else the one after, else normal (0)."""
    if np.isfinite(blocks).all():
        return blocks
    made = blocks.copy()
    for at in range(1, made.shape[1]):
        made[:, at] = np.where(np.isfinite(made[:, at]), made[:, at], made[:, at - 1])
    for at in range(made.shape[1] - 2, -1, -1):
        made[:, at] = np.where(np.isfinite(made[:, at]), made[:, at], made[:, at + 1])
    return np.where(np.isfinite(made), made, 0.0)
