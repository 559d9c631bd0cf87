"""From labelled texts to fitted parts: cleaning, near duplicates, experts in folds, calibration, label issues."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.experts import ExpertContext
from faultwise.texts.cleaning import Cleaner, read_synonyms
from faultwise.texts.codes import Codes, read_codes
from faultwise.texts.experts.sentences import EMBEDDINGS, SENTENCE_MODEL
from faultwise.texts.experts.words import TEXT
from faultwise.texts.likeness import Likeness
from faultwise.texts.near_duplicates import groups_of
from faultwise.texts.reading import Texts
from faultwise.texts.settings import TextReading, TextSettings
from faultwise.verdicts.calibration import Calibration, calibrated_on
from faultwise.verdicts.conformal import most_coverage
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.ensemble import Ensemble, Labelled, Validation
from faultwise.verdicts.folds import folds
from faultwise.verdicts.metrics import figures_by_expert, metrics
from faultwise.verdicts.registry import LANGUAGE_MODEL, make

__all__ = ["FittedTexts", "context_of", "fit_texts", "framed"]

_SURE = 0.5  # of another label than the text's: the label may be wrong


@dataclass
class FittedTexts:
    """All parts of a fit on texts. `known` are the texts that were learnt from, `label_issues` those whose label the
    other texts contradict.
    """

    ensemble: Ensemble
    cleaner: Cleaner
    codes: Codes
    likeness: Likeness
    known: Texts
    calibration: Calibration | None
    notes: list[str]
    record: dict[str, Any]
    label_issues: list[dict[str, object]] = field(default_factory=list)

    @property
    def classes(self) -> np.ndarray:
        """The labels, ascending."""
        return self.ensemble.classes


def context_of(settings: TextSettings, progress: bool, codes: Codes | None = None) -> ExpertContext:
    """Return what text experts are told when they are made."""
    language = replace(settings.language, input="text")
    about = {} if codes is None else codes.descriptions
    return ExpertContext(settings.seed, progress, language, about, settings.sentence_model)


def framed(texts: list[str]) -> pd.DataFrame:
    """Return texts as what text experts take: one column."""
    return pd.DataFrame({TEXT: pd.Series(texts, dtype=object)})


def fit_texts(texts: Texts, settings: TextSettings, reading: TextReading, progress: bool = False) -> FittedTexts:
    """Fit on labelled texts. Raises DataError for fewer than two labels, or a code list that lacks one."""
    assert texts.labels is not None
    y = texts.labels.astype(str)
    if len(set(y)) < 2:
        raise DataError(
            f"All texts of `{texts.source}` have the label {listing(set(y))}: two labels at least are needed."
        )
    if settings.normal is not None and settings.normal not in set(y):
        raise DataError(f"No text is labelled `{settings.normal}`; the labels are {listing(sorted(set(y)))}.")
    codes = Codes() if reading.codes is None else read_codes(reading.codes)
    codes.check(y)
    context = context_of(settings, progress, codes)
    for name in settings.experts:
        make(name, context)
    given = None if reading.synonyms is None else read_synonyms(reading.synonyms)
    cleaner = Cleaner.fit(texts.texts, settings.cleaning, given)
    cleaned = [cleaner(text) for text in texts.texts]
    groups = groups_of(cleaned, None if texts.assets is None else [one or "" for one in texts.assets])
    notes = [*texts.notes, *_duplicates(groups, texts)]
    made, fold_notes = folds(y, groups, "group", settings.folds, settings.seed)
    notes += [note.replace("runs", "groups of texts") for note in fold_notes]
    data = Labelled(framed(cleaned), y, groups.astype(str))
    ensemble = Ensemble(np.unique(y).astype(str), Detector(settings.normal, settings.false_alarm_rate))
    validation = ensemble.fit(data, made, settings.experts, context)
    source = settings.sentence_model if {EMBEDDINGS, SENTENCE_MODEL} & set(settings.experts) else ""
    likeness = Likeness.fit(cleaned, source, settings.language.device, progress)
    calibration = _calibrated(ensemble, validation, data, likeness, settings, notes)
    record = _record(texts, ensemble, validation, data)
    issues = _label_issues(texts, validation, ensemble.classes)
    if issues:
        notes.append(
            f"The labels of {len(issues)} texts are contradicted by the other texts: label_issues.csv of the run "
            "folder lists them. Settle them in a table with the columns row and label, and fit again with --accepted."
        )
    return FittedTexts(ensemble, cleaner, codes, likeness, texts, calibration, notes, record, issues)


def _duplicates(groups: np.ndarray, texts: Texts) -> list[str]:
    same = len(groups) - len(set(groups))
    if texts.assets is not None:
        return [f"Texts of one asset are held out together: {len(set(groups)):,} groups."]
    if not same:
        return []
    return [f"{same} texts nearly repeat another one; such texts are learnt from or judged together."]


def _calibrated(
    ensemble: Ensemble,
    validation: Validation,
    data: Labelled,
    likeness: Likeness,
    settings: TextSettings,
    notes: list[str],
) -> Calibration | None:
    """Calibrate on the texts that folds held out, by experts that have not learnt them; sentences go to `notes`."""
    if ensemble.language_only:
        return None
    rows = validation.rows
    labelled = Labelled(data.X.iloc[rows], data.y[rows], data.groups[rows])
    p = {name: q for name, q in validation.p.items() if name != LANGUAGE_MODEL}
    distances = 1 - likeness.among(data.groups)[rows]
    promise = (settings.coverage, "all", settings.novel_rate)
    made, rate, few = calibrated_on(ensemble, labelled, p, validation.without, distances, promise, settings.seed)
    if rate is not None:
        ensemble.detector.interval = rate.interval
    notes += [few] if few else []
    if most_coverage(made.runs) < settings.coverage - 1e-9:
        notes.append(f"Sets of labels are not calibrated, because {made.runs} groups of texts are too few.")
        return None
    notes.append(
        f"Sets of labels hold the true one in {made.promised:.0%} of new texts like the {len(rows):,} that they were "
        "calibrated on, each by experts that had not learnt it."
    )
    return made


def _record(texts: Texts, ensemble: Ensemble, validation: Validation, data: Labelled) -> dict[str, Any]:
    classes, y = ensemble.classes, data.y[validation.rows]
    normal = ensemble.detector.normal
    figures = figures_by_expert(validation.p, validation.scored, y, classes, normal)
    labels = ensemble.detector.decide(validation.fused, classes)
    verdict = metrics(y, labels, validation.fused, classes, normal)
    best = max((name for name in figures if name != LANGUAGE_MODEL), key=lambda n: figures[n]["accuracy"], default=None)
    return {
        "source": texts.source,
        "column": texts.column,
        "rows": len(data.y),
        "labels": classes.tolist(),
        "normal": normal,
        "held_out_rows": len(validation.rows),
        "seconds": {name: round(value, 2) for name, value in ensemble.seconds.items()},
        "validation": {"experts": figures, "verdict": verdict},
        "chosen": best,
    }


def _label_issues(texts: Texts, validation: Validation, classes: np.ndarray) -> list[dict[str, object]]:
    """Return the texts for which the experts of the folds are surer of another label than the text's, surest first."""
    assert texts.labels is not None
    made: list[dict[str, object]] = []
    codes = np.searchsorted(classes, texts.labels[validation.rows].astype(str))
    for at, p, code in zip(validation.rows, validation.fused, codes, strict=True):
        other = int(p.argmax())
        if other != code and p[other] >= _SURE:
            made.append(
                {
                    "row": int(texts.rows[at]),
                    "text": texts.texts[at],
                    "label": str(classes[code]),
                    "probability": round(float(p[code]), 3),
                    "likelier": str(classes[other]),
                    "its probability": round(float(p[other]), 3),
                }
            )
    return sorted(made, key=lambda one: -float(str(one["its probability"])))
