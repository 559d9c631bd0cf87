"""All experts of a fit together: compared on rows held out in folds, fused, then fitted on everything.

Experts with a very small weight in the fusion stay in the run for comparison, but a diagnosis does not use them. The
language model is tuned once, on the first fold's training rows: tuning it for each fold would multiply the wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError, closest, listing
from faultwise.contracts.experts import DrawsRows, Expert, ExpertContext, takes_weights
from faultwise.contracts.progress import ProgressBar
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.drawing import draw_alike, draw_evenly
from faultwise.verdicts.folds import Fold
from faultwise.verdicts.fusion import Fusion, cross_fused, parts_of, selected
from faultwise.verdicts.registry import LANGUAGE_MODEL, ROW_ENCODER, make

__all__ = ["Ensemble", "Labelled", "Validation", "aligned"]


class _Weighted(Protocol):
    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, sample_weight: np.ndarray) -> Expert:
        """Learn from weighted rows."""
        ...


@dataclass(frozen=True, slots=True)
class Labelled:
    """Encoded rows with labels and runs: X (rows, features), y (rows,), groups (rows,), perhaps weights (rows,)."""

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    weights: np.ndarray | None = None

    def learnt(self, expert: Expert, rows: np.ndarray | None = None) -> Expert:
        """Return an expert fitted on all rows, or on those of a fold, with their weights if it takes them.

        In a fold classes have the shares that they have in the fit on all rows: drawn from fewer rows they would have
        others, and scores of the final expert other heights than those that its threshold rests on.
        """
        if rows is None:
            rows = np.arange(len(self.y))
        elif isinstance(expert, DrawsRows):
            rows = draw_alike(self.y, self.groups, expert.draw(self.X, self.y, self.groups), rows, seed=0)
        parts = (self.X.iloc[rows], self.y[rows], self.groups[rows])
        if self.weights is None or not takes_weights(expert):
            return expert.fit(*parts)
        return cast(_Weighted, expert).fit(*parts, sample_weight=self.weights[rows])


@dataclass
class Validation:
    """Predictions on held-out rows: positions `rows`, probabilities `p` by expert (rows, classes), the mask `scored` of
    rows that the language model has scored, the `fused` probabilities, those `without` the language model, and a `note`
    where few rows set the threshold.
    """

    rows: np.ndarray
    p: dict[str, np.ndarray]
    scored: np.ndarray
    fused: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    without: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    note: str = ""


class _WithoutSensors(Protocol):
    """What a language model that can classify with missing sensors offers beyond `Expert`."""

    classes_: np.ndarray
    encoder_is_better: bool

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return class probabilities by the language model, shape (rows, classes)."""
        ...

    def quick_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return class probabilities by its encoder of rows alone, shape (rows, classes)."""
        ...


def aligned(p: np.ndarray, own: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return probabilities with the columns of `classes`; a class the expert never saw gets zero."""
    made = np.zeros((len(p), len(classes)))
    made[:, np.searchsorted(classes, own)] = p
    return made


@dataclass
class Ensemble:
    """Experts, their fusion and the detector; `seconds` has each expert's time for fitting all folds.

    `alone` has the threshold of each classical expert for use without the others (see `only`).
    """

    classes: np.ndarray
    detector: Detector
    experts: dict[str, Expert] = field(default_factory=dict)
    fusion: Fusion = field(default_factory=lambda: Fusion(capped=LANGUAGE_MODEL))
    seconds: dict[str, float] = field(default_factory=dict)
    alone: dict[str, float | None] = field(default_factory=dict)

    def fit(self, data: Labelled, folds: Sequence[Fold], names: Sequence[str], context: ExpertContext) -> Validation:
        """Fit on each fold's training rows, predict its held-out rows, fuse, then fit on all rows.

        Raises UserError when an expert's probabilities are not numbers.
        """
        rows = np.unique(np.concatenate([held for _, held in folds]))
        p = {name: np.full((len(data.y), len(self.classes)), 1 / len(self.classes)) for name in names}
        classical = [name for name in names if name != LANGUAGE_MODEL]
        for number, (train, held) in enumerate(folds, start=1):
            for name in _with_bar(classical, f"fold {number}/{len(folds)}", context.progress):
                _, p[name][held] = self._fitted(name, context, data, train, held)
        for name in _with_bar(classical, "all rows", context.progress):
            self.experts[name] = data.learnt(make(name, context))
        # The language model comes last: once torch's threads exist, scikit-learn's boosting can crawl beside them.
        scored = np.zeros(len(data.y), bool)
        if LANGUAGE_MODEL in names:
            train, held = folds[0]
            most = context.language.score_rows
            drawn = held[draw_evenly(data.y[held], data.groups[held], most, context.seed)]
            scored[drawn] = True
            self.experts[LANGUAGE_MODEL], p[LANGUAGE_MODEL][drawn] = self._fitted(
                LANGUAGE_MODEL, context, data, train, drawn
            )
            if not classical:  # the other held-out rows have no prediction
                rows = drawn
        p = {name: q[rows] for name, q in p.items()}
        made = Validation(rows, p, scored[rows])
        parts = parts_of(_fold_of(rows, folds), data.groups[rows], data.y[rows])
        self._fuse(made, np.searchsorted(self.classes, data.y[rows]), parts, context.seed)
        made.note = self.set_thresholds({name: p[name] for name in classical}, made.fused, data.y[rows])
        return made

    def _fuse(self, made: Validation, codes: np.ndarray, parts: np.ndarray, seed: int) -> None:
        """Choose and weigh the experts; `made.fused` gets probabilities by weights that were fitted without the row's
        part, but where the language model has a say: there the weights are those of all rows. One part alone cannot be
        divided: its rows are fused by weights that they helped to fit.
        """
        free = {name: q for name, q in made.p.items() if name != LANGUAGE_MODEL}
        chosen = selected(free, codes, parts, seed) if free else ()
        self.fusion.fit(made.p, codes, made.scored, chosen)
        self.fusion.drop_light()
        made.fused = self.fuse(made.p, made.scored)
        names = list(self.fusion.weights_without)
        if not names:
            return
        several = len(np.unique(parts)) > 1
        made.without = cross_fused(names, free, codes, parts) if several else self.fusion.mix(free)
        if several:
            silent = ~made.scored if LANGUAGE_MODEL in self.fusion.weights else np.ones(len(codes), bool)
            made.fused[silent] = made.without[silent]

    def set_thresholds(
        self, p: Mapping[str, np.ndarray], fused: np.ndarray, y: np.ndarray, runs: np.ndarray | None = None
    ) -> str:
        """Set the thresholds of the fused verdict and of each expert in `p` by those rows whose label y is normal.

        `p` and `fused` are probabilities (rows, classes) by experts that have not learnt these rows; with `runs`
        (rows,) no run counts for more rows than the median run. Returns a note, empty when the rows are enough.
        """
        healthy = y == self.detector.normal
        of_healthy = None if runs is None else runs[healthy]
        scores = self.detector.scores(fused, self.classes)
        note = "" if scores is None else self.detector.fit(scores[healthy], of_healthy)
        for name, q in p.items():
            detector = replace(self.detector)
            scores = detector.scores(self._alone(name).mix({name: q}), self.classes)
            if scores is not None:
                detector.fit(scores[healthy], of_healthy)
            self.alone[name] = detector.threshold
        return note

    def only(self, name: str) -> Ensemble:
        """Return this ensemble with one expert alone, calibrated by its own temperature and with its own threshold.

        Raises UserError for an expert that the fit did not have, and for the language model, which is too slow.
        """
        if name not in self.alone:
            near = closest(name, self.alone)
            hint = f"did you mean `{near}`?" if near else "choose one of these."
            if not self.alone:
                raise UserError(f"This run has one expert only, so `{name}` cannot be chosen: leave --expert out.")
            raise UserError(f"`{name}` cannot be used alone in this run; {listing(self.alone, 20)} can: {hint}")
        fusion = self._alone(name)
        detector = replace(self.detector, threshold=self.alone[name], interval=None)
        return Ensemble(self.classes, detector, {name: self.experts[name]}, fusion, alone=self.alone)

    def _alone(self, name: str) -> Fusion:
        weights = {name: 1.0}
        return Fusion({name: self.fusion.temperatures[name]}, weights, weights, capped=LANGUAGE_MODEL)

    def _fitted(
        self, name: str, context: ExpertContext, data: Labelled, train: np.ndarray, held: np.ndarray
    ) -> tuple[Expert, np.ndarray]:
        """Return an expert fitted on the rows `train` and its probabilities for the rows `held`."""
        started = time.monotonic()
        expert = data.learnt(make(name, context), train)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started
        p = self._aligned(expert, data.X.iloc[held])
        if not np.isfinite(p).all():
            raise UserError(f"The expert `{name}` gave probabilities that are not numbers: leave it out.")
        return expert, p

    @property
    def uses_language_model(self) -> bool:
        """Whether the language model takes part in the fusion."""
        return LANGUAGE_MODEL in self.fusion.weights

    @property
    def language_only(self) -> bool:
        """Whether the language model is the only expert, so that only rows that it scores have a verdict."""
        return not self.fusion.weights_without

    def by_expert(self, X: pd.DataFrame, scored: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return probabilities (rows, classes) of each expert that counts in the fusion.

        The language model scores the rows of the mask `scored` only (none without a mask); its other rows
        are uniform and must be fused with the same mask.
        """
        counting = {*self.fusion.weights, *self.fusion.weights_without}
        silent = scored is None or not scored.any()
        return {
            name: self.predict(name, X, scored if name == LANGUAGE_MODEL else None)
            for name in self.experts
            if name in counting and not (name == LANGUAGE_MODEL and silent)
        }

    def fuse(self, p: Mapping[str, np.ndarray], scored: np.ndarray | None = None) -> np.ndarray:
        """Return fused probabilities (rows, classes) of what `by_expert` or `with_missing` returned."""
        if ROW_ENCODER in p:
            return p.get(LANGUAGE_MODEL, p[ROW_ENCODER])
        return self.fusion.mix(p, scored)

    def counts_language_model(self, missing: bool) -> bool:
        """Whether scores of the language model change a verdict, with all sensors or with some `missing`."""
        return not self.encoder_is_better if missing else self.uses_language_model

    def classical(self, X: pd.DataFrame) -> np.ndarray:
        """Return fused probabilities without the language model; with it where nothing else is kept."""
        if self.language_only:
            everything = np.ones(len(X), bool)
            return self.fuse(self.by_expert(X, everything), everything)
        return self.fuse(self.by_expert(X))

    @property
    def takes_missing(self) -> bool:
        """Whether the language model was fitted so that it can classify rows with missing sensors."""
        return bool(getattr(self.experts.get(LANGUAGE_MODEL), "takes_missing", False))

    @property
    def encoder_is_better(self) -> bool:
        """Whether the encoder of rows did better than the language model with missing sensors (see `with_missing`)."""
        expert = self.experts.get(LANGUAGE_MODEL)
        return expert is not None and bool(cast(_WithoutSensors, expert).encoder_is_better)

    def with_missing(self, X: pd.DataFrame, scored: np.ndarray) -> dict[str, np.ndarray]:
        """Return probabilities (rows, classes) for rows X (rows, features) with NaN for missing sensors.

        The language model's encoder of rows classifies all rows, and the model behind it those of the mask `scored`,
        unless the encoder did better in the fit. The other experts take no part: they have learnt nothing of rows
        without a sensor. These probabilities are calibrated already (see `language.classifier.missing_sensors`).
        """
        expert = cast(_WithoutSensors, self.experts[LANGUAGE_MODEL])
        p = {ROW_ENCODER: aligned(expert.quick_proba(X), expert.classes_, self.classes)}
        if scored.any() and not self.encoder_is_better:
            p[LANGUAGE_MODEL] = p[ROW_ENCODER].copy()
            p[LANGUAGE_MODEL][scored] = aligned(expert.predict_proba(X[scored]), expert.classes_, self.classes)
        return p

    def predict(self, name: str, X: pd.DataFrame, scored: np.ndarray | None = None) -> np.ndarray:
        """Return one expert's probabilities (rows, classes); rows outside the mask are uniform."""
        if scored is None:
            return self._aligned(self.experts[name], X)
        p = np.full((len(X), len(self.classes)), 1 / len(self.classes))
        p[scored] = self._aligned(self.experts[name], X[scored])
        return p

    def _aligned(self, expert: Expert, X: pd.DataFrame) -> np.ndarray:
        return aligned(expert.predict_proba(X), expert.classes_, self.classes)


def _fold_of(rows: np.ndarray, folds: Sequence[Fold]) -> np.ndarray:
    """Return the fold that holds each of these rows out, shape (rows,)."""
    return np.array(np.select([np.isin(rows, held) for _, held in folds], list(range(len(folds))), 0))


def _with_bar(names: Sequence[str], what: str, progress: bool) -> Iterator[str]:
    with ProgressBar(total=len(names), desc=what, disable=not progress) as bar:
        for name in names:
            bar.describe(f"{what} {name}")
            yield name
            bar.update()
