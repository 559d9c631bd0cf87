"""Which experts are fused: a mixture counts only where it does better on rows that its weights were not fitted on.

The validation rows are cut into parts (the folds of the fit, else runs, else stretches). Each candidate - one expert
alone, or a mixture of the best two, three, ... - is fitted on all parts but one and judged on that one. Among those
whose balanced accuracy is as good as the best one's, the least log loss decides: where mixing does not help, one expert
alone is the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from faultwise.verdicts.fusion import Fusion

__all__ = ["cross_fused", "parts_of", "selected"]

_ROWS = 6000  # validation rows that a selection looks at: more change nothing
_SINGLE, _MIXED = 3, 6  # candidates: so many experts alone, and mixtures of up to so many


def parts_of(fold: np.ndarray, runs: np.ndarray, count: int = 3) -> np.ndarray:
    """Return the part of each validation row, shape (rows,): its fold; of a single fold, runs or pieces in order.

    >>> parts_of(np.zeros(6, int), np.array(["a", "a", "b", "b", "c", "c"])).tolist()
    [0, 0, 1, 1, 2, 2]
    """
    if len(np.unique(fold)) > 1:
        return np.asarray(pd.factorize(fold)[0])
    codes = pd.factorize(runs)[0]
    if codes.max(initial=0) >= count - 1:
        return np.asarray(codes % count)
    return np.arange(len(fold)) * count // max(1, len(fold))


def cross_fused(
    names: Sequence[str], p: Mapping[str, np.ndarray], codes: np.ndarray, parts: np.ndarray, capped: str = ""
) -> np.ndarray:
    """Return fused probabilities (rows, classes) of experts, each row's by weights fitted without its part.

    p maps experts to probabilities (rows, classes), codes (rows,) are the true columns.
    """
    own = {name: p[name] for name in names}
    made = np.zeros_like(next(iter(own.values())))
    for part in np.unique(parts):
        here = parts == part
        fitted = Fusion(capped=capped).fit({name: q[~here] for name, q in own.items()}, codes[~here])
        made[here] = fitted.mix({name: q[here] for name, q in own.items()})
    return made


def selected(p: Mapping[str, np.ndarray], codes: np.ndarray, parts: np.ndarray, seed: int = 0) -> tuple[str, ...]:
    """Return the experts to be fused, the best one first. Arguments are those of `cross_fused`.

    >>> rng = np.random.default_rng(0)
    >>> codes, guess = np.arange(300) % 2, rng.uniform(0.4, 0.6, 300)
    >>> good = np.where(codes == 1, 0.8, 0.2)
    >>> p = {"guess": np.c_[1 - guess, guess], "good": np.c_[1 - good, good]}
    >>> selected(p, codes, np.arange(300) % 3)
    ('good',)
    """
    if len(p) < 2 or len(np.unique(parts)) < 2:
        return tuple(p)
    rows = np.sort(np.random.default_rng(seed).permutation(len(codes))[:_ROWS])
    p, codes, parts = {name: q[rows] for name, q in p.items()}, codes[rows], parts[rows]
    alone = {name: _judged(cross_fused([name], p, codes, parts), codes) for name in p}
    order = sorted(p, key=lambda name: alone[name][1])
    found = {(name,): alone[name] for name in order[:_SINGLE]}
    best = max(p, key=lambda name: alone[name][0])
    found[(best,)] = alone[best]
    for count in range(2, min(len(order), _MIXED) + 1):
        mixture = tuple(order[:count])
        found[mixture] = _judged(cross_fused(mixture, p, codes, parts), codes)
    top = max(accuracy for accuracy, _ in found.values())
    good = [names for names, (accuracy, _) in found.items() if accuracy >= top - _noise(top, codes)]
    return min(good, key=lambda names: found[names][1])


def _judged(p: np.ndarray, codes: np.ndarray) -> tuple[float, float]:
    """Return balanced accuracy and log loss of probabilities (rows, classes)."""
    hits = p.argmax(axis=1) == codes
    accuracy = pd.Series(hits).groupby(codes).mean().mean()
    return float(accuracy), float(-np.log(p[np.arange(len(codes)), codes] + 1e-12).mean())


def _noise(accuracy: float, codes: np.ndarray) -> float:
    """Return half a standard error of a balanced accuracy: smaller differences are chance."""
    counts = np.bincount(codes)
    counts = counts[counts > 0]
    return float(0.5 * np.sqrt((accuracy * (1 - accuracy) / counts).sum()) / len(counts))
