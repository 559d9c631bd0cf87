"""Many experts, one calibrated probability.

Each expert's probabilities are sharpened or flattened by one temperature; a weighted mean joins them; one more
temperature calibrates the mean. Weights and temperatures are fitted on validation rows that no expert was
fitted on. The language model's weight is capped. A second set of weights, fitted without it, serves the rows
that it does not score.

Which experts are fused is decided the same way (`selected`): each expert alone and mixtures of the best two, three, ...
are fitted on all parts of the validation rows but one and judged on that one. Among those whose balanced accuracy is as
good as the best one's, the least log loss decides: where mixing does not help, one expert alone is the verdict.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar

__all__ = ["Fusion", "apply_temperature", "cross_fused", "fit_temperature", "mixture_weights", "parts_of", "selected"]

_FLOOR = 1e-4  # a probability of 0 must not overrule the other experts: forests give it to rare classes
LANGUAGE_CAP = 0.3
_ROWS = 6000  # validation rows that a selection looks at: more change nothing
_SINGLE, _MIXED = 3, 6  # candidates: so many experts alone, and mixtures of up to so many


def apply_temperature(p: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Return p (rows, classes) raised to 1/temperature, one or (rows, 1), and normalised; zeros are floored first."""
    logs = np.log(np.maximum(p, _FLOOR)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(p: np.ndarray, codes: np.ndarray) -> float:
    """Return the temperature with the least log loss (Guo et al. 2017), between 0.1 and 10.

    >>> overconfident = np.array([[0.99, 0.01]] * 10)
    >>> fit_temperature(overconfident, np.array([0] * 8 + [1] * 2)) > 2
    True
    """

    def loss(log_temperature: float) -> float:
        q = apply_temperature(p, float(np.exp(log_temperature)))
        # A prior of one row or so: few rows that are all right would sharpen without end.
        return float(-np.log(q[np.arange(len(codes)), codes] + 1e-12).mean() + log_temperature**2 / len(codes))

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10.0)), method="bounded")
    return float(np.exp(found.x))


def mixture_weights(likelihood: np.ndarray, cap: np.ndarray, rounds: int = 300) -> np.ndarray:
    """Return weights (experts,) of a mean of probabilities with the greatest likelihood, each below its cap.

    `likelihood` (rows, experts) is the probability each expert gave to the true label. Expectation
    maximisation, which climbs surely because the likelihood is concave in the weights.

    >>> mixture_weights(np.array([[0.9, 0.2], [0.8, 0.3]]), cap=np.array([1.0, 1.0])).round(2).tolist()
    [1.0, 0.0]
    >>> mixture_weights(np.array([[0.9, 0.2], [0.8, 0.3]]), cap=np.array([0.3, 1.0])).round(2).tolist()
    [0.3, 0.7]
    """
    weights = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(rounds):
        joint = likelihood * weights
        weights = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
        over = weights > cap
        if over.any() and not over.all():
            spare = 1 - cap[over].sum()
            weights = np.where(over, cap, weights / max(weights[~over].sum(), 1e-12) * spare)
    return np.asarray(weights)


@dataclass(slots=True)
class Fusion:
    """Temperatures and weights by expert; JSON-ready. `capped` names the expert that has the cap."""

    temperatures: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    weights_without: dict[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    capped: str = ""
    cap: float = LANGUAGE_CAP

    def fit(
        self,
        p: Mapping[str, np.ndarray],
        codes: np.ndarray,
        scored: np.ndarray | None = None,
        chosen: Collection[str] | None = None,
    ) -> Fusion:
        """Fit on validation rows: p maps experts to (rows, classes), codes (rows,) are the true columns.

        `scored` (rows,) marks the rows that the capped expert has scored; its other rows are not read. Of the others
        only those in `chosen` get a weight (all, if it is not given).
        """
        has_capped = self.capped in p
        scored = np.ones(len(codes), bool) if scored is None else scored
        self.temperatures, at = {}, {}
        for name, q in p.items():
            rows = scored if name == self.capped else np.ones(len(codes), bool)
            self.temperatures[name] = fit_temperature(q[rows], codes[rows])
            at[name] = apply_temperature(q, self.temperatures[name])[np.arange(len(codes)), codes]
        free = [name for name in p if name != self.capped and (chosen is None or name in chosen)]
        self.weights_without = self._weigh({name: at[name] for name in free})
        self.weights = dict(self.weights_without)
        if has_capped and free and scored.any():
            self.weights = self._weigh({name: at[name][scored] for name in [*free, self.capped]})
        elif has_capped and not free:
            self.weights = {self.capped: 1.0}
        self.temperature = 1.0
        mixed = self.mix(p, None if not has_capped else scored)
        self.temperature = fit_temperature(mixed, codes)
        return self

    def mix(self, p: Mapping[str, np.ndarray], scored: np.ndarray | None = None) -> np.ndarray:
        """Return fused, calibrated probabilities (rows, classes)."""
        first = next(iter(p.values()))
        used = {*self.weights, *self.weights_without}
        sharp = {name: apply_temperature(q, self.temperatures[name]) for name, q in p.items() if name in used}
        without = sum((w * sharp[n] for n, w in self.weights_without.items()), np.zeros_like(first))
        if not self.weights_without and self.capped not in p:
            return np.full_like(first, 1 / first.shape[1])
        if self.capped in p and self.capped in self.weights:
            fused = sum((w * sharp[n] for n, w in self.weights.items()), np.zeros_like(first))
            rows = np.ones(len(first), bool) if scored is None else scored
            without = np.where(rows[:, None], fused, without) if self.weights_without else fused
        return apply_temperature(without, self.temperature)

    def drop_light(self, least: float = 0.02) -> None:
        """Drop experts with weights below `least`, which cost time and change little."""
        for table in (self.weights, self.weights_without):
            light = [name for name, w in table.items() if w < least]
            for name in light if len(light) < len(table) else []:
                del table[name]
            total = sum(table.values())
            for name in table:
                table[name] /= total

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `Fusion(**state)` takes back."""
        return asdict(self)

    def _weigh(self, at: Mapping[str, np.ndarray]) -> dict[str, float]:
        if not at:
            return {}
        cap = np.array([self.cap if name == self.capped else 1.0 for name in at])
        weights = mixture_weights(np.column_stack(list(at.values())), cap)
        return dict(zip(at, weights.tolist(), strict=True))


def parts_of(fold: np.ndarray, runs: np.ndarray, y: np.ndarray, count: int = 3) -> np.ndarray:
    """Return the part of each validation row, shape (rows,): its fold; of a single fold, runs or pieces of runs.

    A label (rows,) that is in one run alone would be in one part alone, and be judged by weights that were fitted
    without it: then each run is cut into pieces.

    >>> parts_of(np.zeros(6, int), np.array(["a", "a", "b", "b", "c", "c"]), np.zeros(6)).tolist()
    [0, 0, 1, 1, 2, 2]
    >>> parts_of(np.zeros(6, int), np.repeat(["a", "b"], 3), np.repeat(["ok", "leak"], 3)).tolist()
    [0, 1, 2, 0, 1, 2]
    """
    if len(np.unique(fold)) > 1:
        return np.asarray(pd.factorize(fold)[0])
    codes = pd.factorize(runs)[0]
    if codes.max(initial=0) >= count - 1 and pd.Series(codes % count).groupby(y).nunique().min() > 1:
        return np.asarray(codes % count)
    place = pd.Series(codes).groupby(codes)
    return np.asarray(place.cumcount() * count // place.transform("size"))


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
    found: dict[tuple[str, ...], tuple[float, float]] = {(name,): alone[name] for name in order[:_SINGLE]}
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
