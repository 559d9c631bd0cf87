"""Verdicts of texts: labels, sets of labels, and where none can be given."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from faultwise.contracts.verdicts import FaultSet, Verdict
from faultwise.texts.fitting import FittedTexts, framed
from faultwise.verdicts.calibration import SetJudgements
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["TextJudgements", "judged", "text_verdict"]

_MASS = 0.9
_EMPTY = "the text is empty"


@dataclass(frozen=True)
class TextJudgements:
    """What was concluded about texts: probabilities `p` (texts, classes) and `by_expert`, `labels` (texts,), the mask
    `scored` of those that the language model scored, sets where the fit was calibrated, and the mask `empty`.
    """

    p: np.ndarray
    labels: np.ndarray
    by_expert: dict[str, np.ndarray]
    scored: np.ndarray
    sets: SetJudgements | None
    empty: np.ndarray


def judged(fitted: FittedTexts, texts: list[str], score_rows: int) -> TextJudgements:
    """Classify texts as they were written; the language model scores `score_rows` of them at most, spread evenly."""
    ensemble, cleaned = fitted.ensemble, [fitted.cleaner(text) for text in texts]
    X, scored = framed(cleaned), np.zeros(len(texts), bool)
    if ensemble.uses_language_model and score_rows:
        scored[np.linspace(0, len(texts) - 1, min(score_rows, len(texts))).astype(int)] = True
    p = {name: ensemble.predict(name, X) for name in ensemble.experts if name != LANGUAGE_MODEL}
    if scored.any():
        p[LANGUAGE_MODEL] = ensemble.predict(LANGUAGE_MODEL, X, scored)
    fused = ensemble.fuse(p, scored if scored.any() else None)
    labels = ensemble.detector.decide(fused, ensemble.classes)
    sets = None
    if fitted.calibration is not None and texts:
        distances = 1 - fitted.likeness.to_known(cleaned).max(axis=1)
        sets = fitted.calibration.judgements(fused, ensemble.classes, labels, distances)
    empty = np.array([not text.strip() for text in texts], bool)
    return TextJudgements(fused, labels, p, scored, sets, empty)


def text_verdict(fitted: FittedTexts, made: TextJudgements, at: int) -> Verdict:
    """Return the verdict of one text."""
    ensemble, p = fitted.ensemble, made.p[at]
    detector, label = ensemble.detector, str(made.labels[at])
    order = np.argsort(-p, kind="stable")
    probabilities = {str(ensemble.classes[one]): float(p[one]) for one in order}
    scores = detector.scores(p[None], ensemble.classes)
    known = fitted.codes.descriptions
    if made.sets is None:
        mass = np.cumsum(p[order])
        labels = tuple(str(ensemble.classes[one]) for one in order[: int(np.searchsorted(mass, _MASS)) + 1])
        fault_set = FaultSet(labels)
    else:
        members = [str(ensemble.classes[one]) for one in order if made.sets.members[at, one]]
        promised = None if fitted.calibration is None else fitted.calibration.promised
        fault_set = FaultSet(tuple(members), promised, "")
    empty = bool(made.empty[at])
    return Verdict(
        label=None if empty else label,
        probability=float("nan") if empty else probabilities[label],
        probabilities={} if empty else probabilities,
        detected=None if scores is None or empty else label != detector.normal,
        fault_score=None if scores is None or empty else float(scores[0]),
        threshold=detector.threshold,
        false_alarm_rate=None if scores is None else detector.false_alarm_rate,
        fault_set=fault_set,
        reason=_EMPTY if empty else _group_reason(fitted, p, label, fault_set.labels),
        label_description=known.get(label) or None,
        label_descriptions={one: known[one] for one in fault_set.labels if known.get(one)},
        by_expert={
            name: dict(zip(ensemble.classes.tolist(), map(float, q[at]), strict=True))
            for name, q in made.by_expert.items()
            if name != LANGUAGE_MODEL or made.scored[at]
        },
        status="named" if made.sets is None else made.sets.status[at],
        p_known=None if made.sets is None else float(made.sets.p_known[at]),
    )


def _group_reason(fitted: FittedTexts, p: np.ndarray, label: str, possible: tuple[str, ...]) -> str:
    """Say which wider label is sure where the label itself is not."""
    parents = fitted.codes.parents
    if len(possible) < 2 or label not in parents:
        return ""
    mass: defaultdict[str, float] = defaultdict(float)
    for one, share in zip(fitted.classes, p, strict=True):
        mass[parents.get(str(one), "")] += float(share)
    group = parents[label]
    if mass[group] < _MASS:
        return ""
    return f"It belongs to {group} ({mass[group]:.0%}); which label of it is not sure."
