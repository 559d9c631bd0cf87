"""All experts of a fit together: fitted, compared on validation rows, fused, refitted on everything.

Experts that hardly count in the fusion stay in the run for comparison, but a diagnosis does not ask them. The
language model is tuned once, on the training rows only, because tuning it twice would double the wait.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise.contracts import Expert
from faultwise.data.drawing import draw_evenly
from faultwise.errors import UserError
from faultwise.experts.detection import Detector
from faultwise.experts.fusion import Fusion
from faultwise.experts.registry import LANGUAGE_MODEL, ExpertContext, make

__all__ = ["Ensemble", "Labelled", "aligned"]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Encoded rows with labels and runs: X (rows, features), y (rows,), groups (rows,)."""

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray

    def joined(self, other: Labelled) -> Labelled:
        """Return both parts as one."""
        return Labelled(
            pd.concat([self.X, other.X], ignore_index=True),
            np.concatenate([self.y, other.y]),
            np.concatenate([self.groups, other.groups]),
        )


def aligned(p: np.ndarray, own: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return probabilities with the columns of `classes`; a class the expert never saw gets zero."""
    made = np.zeros((len(p), len(classes)))
    made[:, np.searchsorted(classes, own)] = p
    return made


@dataclass
class Ensemble:
    """Experts, their fusion and the detector; `measured` has per expert its validation predictions' timing."""

    classes: np.ndarray
    detector: Detector
    experts: dict[str, Expert] = field(default_factory=dict)
    fusion: Fusion = field(default_factory=lambda: Fusion(capped=LANGUAGE_MODEL))
    seconds: dict[str, float] = field(default_factory=dict)

    def fit(
        self,
        train: Labelled,
        held: Labelled,
        names: Sequence[str],
        context: ExpertContext,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, list[str]]:
        """Fit, compare and fuse; returns held-out probabilities by expert, the mask of rows that the language
        model scored, and notes. Raises UserError when no expert is left.
        """
        notes: list[str] = []
        codes = np.searchsorted(self.classes, held.y)
        scored = np.zeros(len(held.y), bool)
        scored[draw_evenly(held.y, held.groups, context.language.score_rows, context.seed)] = True
        experts = {name: make(name, context) for name in names}
        p: dict[str, np.ndarray] = {}
        for name in self._watched(names, "fitting", context.progress):
            started = time.monotonic()
            expert = experts[name].fit(train.X, train.y, train.groups)
            self.seconds[name] = time.monotonic() - started
            p[name] = self._predict(expert, held.X, scored if name == LANGUAGE_MODEL else None)
            if not np.isfinite(p[name]).all():
                raise UserError(f"The expert `{name}` gave probabilities that are not numbers: leave it out.")
        self.fusion.fit(p, codes, scored)
        self.fusion.drop_light()
        fused = self.fusion.mix(p, scored)
        if self.detector.normal is not None:
            normal = held.y == self.detector.normal
            scores = self.detector.scores(fused, self.classes)
            if scores is not None and normal.any():
                notes += [note for note in [self.detector.fit(scores[normal])] if note]
        everything = train.joined(held)
        for name in self._watched([n for n in names if n != LANGUAGE_MODEL], "refitting", context.progress):
            experts[name] = make(name, context).fit(everything.X, everything.y, everything.groups)
        self.experts = experts
        return p, scored, notes

    @property
    def uses_language_model(self) -> bool:
        """Whether the language model takes part in the fusion."""
        return LANGUAGE_MODEL in self.fusion.weights

    def by_expert(
        self, X: pd.DataFrame, scored: np.ndarray | None = None, everyone: bool = False
    ) -> dict[str, np.ndarray]:
        """Return probabilities (rows, classes) of each expert that counts in the fusion, or of `everyone`.

        The language model scores the rows of the mask `scored` only (none without a mask); its other rows
        are uniform and must be fused with the same mask.
        """
        asked = self.experts if everyone else {*self.fusion.weights, *self.fusion.weights_without}
        silent = scored is None or not scored.any()
        return {
            name: self.ask(name, X, scored if name == LANGUAGE_MODEL else None)
            for name in self.experts
            if name in asked and not (name == LANGUAGE_MODEL and silent)
        }

    def fuse(self, p: Mapping[str, np.ndarray], scored: np.ndarray | None = None) -> np.ndarray:
        """Return fused probabilities (rows, classes) of what `by_expert` gave."""
        return self.fusion.mix(p, scored)

    def classical(self, X: pd.DataFrame) -> np.ndarray:
        """Return fused probabilities without the language model; with it where nothing else is kept."""
        if not self.fusion.weights_without:
            everything = np.ones(len(X), bool)
            return self.fuse(self.by_expert(X, everything), everything)
        return self.fuse(self.by_expert(X))

    def ask(self, name: str, X: pd.DataFrame, scored: np.ndarray | None = None) -> np.ndarray:
        """Return one expert's probabilities (rows, classes); rows outside the mask are uniform."""
        return self._predict(self.experts[name], X, scored)

    def _predict(self, expert: Expert, X: pd.DataFrame, scored: np.ndarray | None) -> np.ndarray:
        if scored is None:
            return aligned(expert.predict_proba(X), expert.classes_, self.classes)
        p = np.full((len(X), len(self.classes)), 1 / len(self.classes))
        p[scored] = aligned(expert.predict_proba(X[scored]), expert.classes_, self.classes)
        return p

    @staticmethod
    def _watched(names: Sequence[str], what: str, progress: bool) -> Any:
        bar = tqdm(names, disable=not progress, file=sys.stderr, leave=False)
        for name in bar:
            bar.set_description(f"{what} {name}")
            yield name
