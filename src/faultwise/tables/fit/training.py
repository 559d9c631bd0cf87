"""From a labelled table to fitted parts: split, windows, experts, fusion, threshold, normal band.

What is computed here once is what `tables.model` uses and `storage` writes. Nothing is read from or written to disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from faultwise import hub
from faultwise.contracts.errors import HubError
from faultwise.contracts.experts import ExpertContext
from faultwise.evidence.normal import NormalBand
from faultwise.language.classifier import curves
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.checks.input_checks import InputChecks
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.fit.fitted import REFERENCE_ROWS, Fitted
from faultwise.tables.fit.preparing import normal_label, prepared, split_kind
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.fit.window_choice import choose_window
from faultwise.tables.reading.table import Table
from faultwise.verdicts.calibration import Calibration, calibrate
from faultwise.verdicts.cross_calibration import CrossFitted, cross_calibrate, no_promise
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.ensemble import Ensemble, Labelled, Validation
from faultwise.verdicts.folds import Fold
from faultwise.verdicts.metrics import figures_by_expert, metrics
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import LANGUAGE_MODEL, make

__all__ = ["fit_table", "without_effect"]


# Which settings of the language model count with which input.
_USED_BY_INPUT = {
    "tokens": ("tokens",),
    "short": ("digits", "features", "missing_rate"),
    "statistics": ("features", "missing_rate"),
    "thesis": ("column_names", "normalise", "missing_rate"),
}


def fit_table(table: Table, settings: TableSettings, progress: bool = False) -> Fitted:
    """Fit everything on a labelled table. Raises DataError or UserError before any expensive work."""
    words = {column: words for column, known in table.about.variables.items() if (words := known.words())}
    context = ExpertContext(settings.seed, progress, settings.language, words)
    for name in settings.experts:
        make(name, context)  # a misspelt name should not surface after minutes of fitting the others
    notes = [*training_problems(table), *check(table).lines()]
    normal, note = normal_label(set(table.y), settings, table.about.normal)
    notes += filter(None, (note, without_effect(settings)))
    kind = split_kind(settings, table)
    settings, tried = choose_window(table, settings, kind, notes, progress)
    encoder, data, splits, held_out = prepared(table, settings, kind, notes)
    _have_language_model(settings)
    ensemble = Ensemble(np.array(sorted(set(table.y)), dtype=str), Detector(normal, settings.false_alarm_rate))
    validation = ensemble.fit(data, splits, settings.experts, context)
    logged = np.array([measure in ("spread", "jitter") for _, measure in encoder.origin])
    novelty = Novelty.fit(data.X, data.y, logged, settings.seed)
    # Before the threshold is set anew: that one belongs to the final experts, and these rows to those of the folds.
    figures = _figures(validation, data, ensemble, kind)
    calibration = _calibrated(ensemble, held_out, novelty, settings, validation.note, notes)
    if held_out is None and settings.calibration is None and not ensemble.language_only:
        calibration = _cross_calibrated(ensemble, validation, data, splits, logged, settings, kind, notes)
    healthy = data.X[data.y == normal] if normal is not None else data.X
    record = _record(table, ensemble, kind, len(data.y), len(validation.rows))
    record |= {
        "calibration_rows": 0 if calibration is None else len((held_out or data).y),
        "calibration_runs": 0 if calibration is None else calibration.runs,
        "windows_tried": tried,
        **figures,
    }
    notes += _logged_language_model(ensemble, record)
    sound = None if normal is None else table.y == normal
    used, runs = encoder.learnt.used, None if kind == "row" else table.runs
    return Fitted(
        encoder=encoder,
        ensemble=ensemble,
        band=NormalBand().fit(healthy, normal is not None),
        reference=healthy.sample(min(REFERENCE_ROWS, len(healthy)), random_state=settings.seed).reset_index(drop=True),
        seen=np.unique(row_hashes(table, used)),
        notes=notes,
        record=record,
        novelty=novelty,
        calibration=calibration,
        inputs=InputChecks.fit(table.X[used], runs, sound, settings.seed),
    )


def _calibrated(
    ensemble: Ensemble,
    held_out: Labelled | None,
    novelty: Novelty,
    settings: TableSettings,
    validation_note: str,
    notes: list[str],
) -> Calibration | None:
    """Calibrate on the runs held out for that, if there are any; sentences are added to `notes`."""
    if held_out is None:
        notes += [validation_note] if validation_note else []
        return None
    promise = (settings.coverage, settings.coverage_per, settings.novel_rate)
    calibration, threshold_note = calibrate(ensemble, held_out, novelty, *promise, settings.seed)
    notes.append(calibration.note())
    note = validation_note if threshold_note is None else threshold_note
    notes += [note] if note else []
    return calibration


def _cross_calibrated(
    ensemble: Ensemble,
    validation: Validation,
    data: Labelled,
    splits: list[Fold],
    logged: np.ndarray,
    settings: TableSettings,
    kind: str,
    notes: list[str],
) -> Calibration | None:
    """Calibrate on all runs, each as predicted by its fold, where folds hold out runs; notes are added to `notes`."""
    if kind != "group":
        notes += [no_promise(ensemble.detector.normal)] if kind == "block" else []
        return None
    made = CrossFitted.of(validation, data, splits, logged, settings.seed)
    promise = (settings.coverage, settings.coverage_per, settings.novel_rate)
    whole = len(data.y) < settings.most_rows  # else rows were drawn
    calibration, sentences = cross_calibrate(ensemble, data, made, promise, settings.seed, whole)
    notes += [one for one in sentences if one not in notes]
    return calibration


def _record(table: Table, ensemble: Ensemble, kind: str, rows: int, held_out: int) -> dict[str, Any]:
    return {
        "data_hash": table.hash(),
        "source": table.source,
        "rows": len(table.y),
        "labels": ensemble.classes.tolist(),
        "normal": ensemble.detector.normal,
        "split": kind,
        "train_rows": rows,
        "held_out_rows": held_out,
        "seconds": {name: round(value, 2) for name, value in ensemble.seconds.items()},
    }


def _logged_language_model(ensemble: Ensemble, record: dict[str, Any]) -> list[str]:
    """Put the language model's training log into the record, if it took part; return what to know about it."""
    language = ensemble.experts.get(LANGUAGE_MODEL)
    if language is None:
        return []
    log = getattr(language, "log", {})  # one of somebody else's may keep none
    record["language_model"] = log and {"classes": len(ensemble.classes), **log}
    return curves.warnings(record["language_model"])


def without_effect(settings: TableSettings) -> str:
    """Return a sentence on settings of the language model that were changed and do nothing with its input and method.

    >>> from faultwise.contracts.settings import changed
    >>> without_effect(changed(TableSettings(lm=True), {"language.digits": 2, "language.tokens": 4}))
    'These settings have no effect, because rows reach the language model as tokens: language.digits.'
    """
    if LANGUAGE_MODEL not in settings.experts:
        return ""
    own, default = settings.language, TableSettings().language
    used = {*_USED_BY_INPUT[own.input], *(("examples",) if own.method == "context" else ())}
    known = {name for names in _USED_BY_INPUT.values() for name in names} | {"examples"}
    idle = [f"language.{one}" for one in sorted(known - used) if getattr(own, one) != getattr(default, one)]
    if not idle:
        return ""
    where = "as tokens" if own.input == "tokens" else f"in the text `{own.input}`"
    return f"These settings have no effect, because rows reach the language model {where}: {', '.join(idle)}."


def _have_language_model(settings: TableSettings) -> None:
    """Fetch the language model before anything expensive, so that a missing one costs no minutes."""
    if LANGUAGE_MODEL in settings.experts:
        try:
            hub.resolve(settings.language.model)
        except HubError as error:
            raise HubError(f"{error} Or fit without the language model: --no-lm.") from error


def _figures(validation: Validation, data: Labelled, ensemble: Ensemble, kind: str) -> dict[str, Any]:
    """Figures on the held-out rows; the fused verdict's are slightly flattered, being fitted there."""
    classes, normal = ensemble.classes, ensemble.detector.normal
    y = data.y[validation.rows]
    groups = data.groups[validation.rows] if kind == "group" else None
    figures = figures_by_expert(validation.p, validation.scored, y, classes, normal, groups)
    labels = ensemble.detector.decide(validation.fused, classes)
    verdict = metrics(y, labels, validation.fused, classes, normal, groups)
    classical = [name for name in figures if name != LANGUAGE_MODEL]
    best = max(classical, key=lambda name: figures[name]["mean_recall"], default=None)
    return {"validation": {"experts": figures, "verdict": verdict}, "chosen": best}
