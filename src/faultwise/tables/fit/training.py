"""From a labelled table to fitted parts: split, windows, experts, fusion, threshold, normal band.

What is computed here once is what `diagnoser` uses and `runs` stores. Nothing is read from or written to disk.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from faultwise import hub
from faultwise.contracts.errors import DataError, HubError, UserError, listing
from faultwise.evaluate.metrics import metrics
from faultwise.evidence.normal import NormalBand
from faultwise.language import curves
from faultwise.language.settings import LanguageSettings
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.checks.input_checks import Incoming
from faultwise.tables.checks.overlap import row_hashes
from faultwise.tables.checks.rules import Rules
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import FitSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.calibration import Calibration, calibrate
from faultwise.verdicts.conformal import most_coverage
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Ensemble, Labelled, Validation
from faultwise.verdicts.folds import Fold, folds
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import LANGUAGE_MODEL, ExpertContext, make
from faultwise.verdicts.splits import split
from faultwise.verdicts.stretches import stretches

__all__ = [
    "REFERENCE_ROWS",
    "Fitted",
    "every_class",
    "fit_table",
    "language_settings",
    "normal_label",
    "split_kind",
]

_CALIBRATION, _RUNS_TO_SET_ASIDE = 0.25, 8
_NORMAL_WORDS = ("0", "normal", "ok", "healthy", "good", "none", "no fault", "no failure", "no_fault", "false")
REFERENCE_ROWS = 200

# Which settings of the language model count with which way in.
_TEXT_FLAGS = {
    "tokens": ("tokens",),
    "short": ("digits", "features", "lost"),
    "statistics": ("features", "lost"),
    "thesis": ("names", "normalise", "lost"),
}


@dataclass
class Fitted:
    """Everything a diagnosis needs: encoder, ensemble, normal band, reference rows, and the record.

    Without `calibration` nothing is promised of fault sets, and nothing is called unknown.
    `seen` holds the sorted hashes of all rows of the fit, so that an evaluation can tell when it judges them again.
    """

    encoder: WindowEncoder
    ensemble: Ensemble
    band: NormalBand
    reference: pd.DataFrame
    seen: np.ndarray
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    novelty: Novelty | None = None
    calibration: Calibration | None = None
    incoming: Incoming = field(default_factory=Incoming)

    @property
    def monitored(self) -> bool:
        """Whether this was fitted on normal rows alone: scores are then no probabilities."""
        return bool(self.record.get("normal_only"))


def normal_label(labels: set[str], settings: FitSettings, about_normal: str | None) -> tuple[str | None, str]:
    """Return the label that means normal and a note on how it was found. Raises UserError if it is not there."""
    asked = settings.normal if settings.normal is not None else about_normal
    if asked is not None:
        if asked in labels:
            return asked, ""
        raise UserError(f"No row is labelled `{asked}`; the labels are {listing(sorted(labels))}: pass --normal LABEL.")
    for word in _NORMAL_WORDS:
        for label in sorted(labels):
            if label.lower() == word:
                return label, f"Label `{label}` is taken to mean normal; say otherwise with --normal LABEL."
    return (
        None,
        "No label means normal: faults are named, not detected. Name it with --normal LABEL if there is one.",
    )


def fit_table(table: Table, settings: FitSettings, progress: bool = False) -> Fitted:
    """Fit everything on a labelled table. Raises DataError or UserError before any expensive work."""
    words = {column: said for column, known in table.about.variables.items() if (said := known.words())}
    context = ExpertContext(settings.seed, progress, language_settings(settings), words)
    for name in settings.experts:
        make(name, context)  # a misspelt name should not surface after minutes of fitting the others
    notes = [*training_problems(table), *check(table).lines()]
    y = table.y
    normal, note = normal_label(set(y), settings, table.about.normal)
    notes += [note] if note else []
    notes += [idle] if (idle := idle_flags(settings)) else []
    kind = split_kind(settings, table)
    encoder, data, splits, aside = _prepared(table, settings, kind, notes)
    _have_language_model(settings)
    classes = np.array(sorted(set(y)), dtype=str)
    ensemble = Ensemble(classes, Detector(normal, settings.false_alarm_rate))
    validation = ensemble.fit(data, splits, settings.experts, context)
    logged = np.array([measure in ("spread", "jitter") for _, measure in encoder.origin])
    novelty = Novelty.fit(data.X, data.y, logged, settings.seed)
    # Before the threshold is set anew: that one belongs to the final experts, and these rows to those of the folds.
    figures = _figures(validation, data, ensemble, kind)
    calibration, said = None, validation.note
    if aside is not None:
        promise = (settings.coverage, settings.coverage_per, settings.novel_rate)
        calibration, threshold_note = calibrate(ensemble, aside, novelty, *promise, settings.seed)
        said = said if threshold_note is None else threshold_note
        notes.append(calibration.note())
    notes += [said] if said else []
    healthy = data.X[data.y == normal] if normal is not None else data.X
    band = NormalBand().fit(healthy, normal is not None)
    reference = healthy.sample(min(REFERENCE_ROWS, len(healthy)), random_state=settings.seed)
    record: dict[str, Any] = {
        "data_hash": table.hash(),
        "source": table.source,
        "rows": len(y),
        "labels": classes.tolist(),
        "normal": normal,
        "split": kind,
        "train_rows": len(data.y),
        "held_out_rows": len(validation.rows),
        "calibration_rows": 0 if aside is None else len(aside.y),
        "calibration_runs": 0 if calibration is None else calibration.runs,
        "seconds": {name: round(value, 2) for name, value in ensemble.seconds.items()},
        **figures,
    }
    language = ensemble.experts.get(LANGUAGE_MODEL)
    if language is not None:
        log = getattr(language, "log", {})  # one of somebody else's may keep none
        record["language_model"] = log and {"classes": len(classes), **log}
        notes += curves.warnings(record["language_model"])
    seen = np.unique(row_hashes(table, encoder.learnt.used))
    sound = None if normal is None else y == normal
    incoming = Incoming.fit(table.X[encoder.learnt.used], None if kind == "row" else table.runs, sound, settings.seed)
    return Fitted(
        encoder,
        ensemble,
        band,
        reference.reset_index(drop=True),
        seen,
        notes,
        record,
        novelty=novelty,
        calibration=calibration,
        incoming=incoming,
    )


def language_settings(settings: FitSettings) -> LanguageSettings:
    """Return the language model's part of the settings."""
    own = {field.name for field in fields(LanguageSettings)}
    given = {name.removeprefix("lm_"): value for name, value in asdict(settings).items() if name.startswith("lm_")}
    return LanguageSettings(model=settings.model, **{name: given[name] for name in given if name in own})


def _prepared(
    table: Table, settings: FitSettings, kind: str, notes: list[str]
) -> tuple[WindowEncoder, Labelled, list[Fold], Labelled | None]:
    """Encode the rows that take part, say which of them each fold holds out, and encode the calibration rows, if any;
    notes are added to `notes`.
    """
    y, groups = table.y, table.groups
    runs = groups if groups is not None else np.arange(len(y)).astype(str)
    fitting, aside = _set_aside(y, groups, kind, settings, notes)
    if kind == "row" and settings.window > 1:
        raise UserError("Windows over rows that were split one by one would overlap: pass --group COL or --window 1.")
    gap = settings.window - 1 if kind == "block" else 0
    inner, fold_notes = folds(
        y[fitting], None if groups is None else groups[fitting], kind, settings.folds, settings.seed, gap
    )
    by_row = [(fitting[train], fitting[held]) for train, held in inner]
    notes += fold_notes
    # Medians and categories are learnt from all rows of the fit, held-out ones included: they know no label.
    encoder = WindowEncoder(settings.window).fit(table.X)
    notes += encoder.learnt.left_out_notes()
    # A window must not reach from a block's training part into its held-out part.
    part = np.ones(len(y), dtype=int)
    if kind == "block":
        part[:] = 0
        part[by_row[0][0]], part[by_row[0][1]] = 1, 2
    pieces = stretches(runs if settings.window > 1 else np.zeros(len(y), int), _joint(y, part))
    full = encoder.full(pieces)
    full = full[part[full] > 0]
    kept = full[np.isin(full, aside)]
    full = full[np.isin(full, fitting)]
    every_class(y, full, settings.window)
    fewest = 10 * len(set(y))
    if len(full) > settings.most_rows and settings.most_rows < fewest:
        raise UserError(f"--most-rows is {settings.most_rows}: with {len(set(y))} labels choose {fewest} or more.")
    if len(full) > settings.most_rows:
        notes.append(f"{settings.most_rows:,} of {len(full):,} rows were drawn evenly over classes and runs.")
        full = full[draw_evenly(y[full], runs[full], settings.most_rows, settings.seed)]
    made = encoder.transform(table.X, pieces, full)
    notes += made.notes
    data = Labelled(made.frame, y[made.rows].astype(str), runs[made.rows])
    splits = [
        (np.flatnonzero(np.isin(made.rows, train)), np.flatnonzero(np.isin(made.rows, held))) for train, held in by_row
    ]
    if not len(kept):
        return encoder, data, splits, None
    if len(kept) > settings.most_rows:
        kept = np.sort(np.random.default_rng(settings.seed).permutation(kept)[: settings.most_rows])
    held_back = encoder.transform(table.X, pieces, kept)
    return encoder, data, splits, Labelled(held_back.frame, y[kept].astype(str), runs[kept])


def _set_aside(
    y: np.ndarray, groups: np.ndarray | None, kind: str, settings: FitSettings, notes: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the rows to fit on and of those of the calibration runs; a note is added to `notes`."""
    everything, nothing = np.arange(len(y)), np.empty(0, int)
    share = settings.calibration
    possible = kind == "group" and groups is not None and not set(settings.experts) <= {LANGUAGE_MODEL}
    if share is None and possible:
        runs_of = pd.DataFrame({"y": y, "g": groups}).drop_duplicates().groupby("y").size()
        share = _CALIBRATION if runs_of.min() >= _RUNS_TO_SET_ASIDE else 0.0
    if not share:
        return everything, nothing
    if not possible:
        raise UserError(
            "Promises are calibrated on whole runs, with an expert beside the language model: pass --group COL (and "
            "--split group) and another expert, or leave --calibration out."
        )
    fitting, aside, _ = split(y, groups, "group", share, settings.seed)
    assert groups is not None
    if settings.calibration is None:
        # Without enough of them for the coverage, the runs serve better for learning.
        pairs = pd.DataFrame({"y": y[aside], "g": groups[aside]}).drop_duplicates()
        fewest = pairs.groupby("y").size().min() if settings.coverage_per == "class" else pairs["g"].nunique()
        if most_coverage(int(fewest)) < settings.coverage:
            return everything, nothing
    notes.append(f"{len(set(groups[aside]))} runs were set aside to calibrate threshold, fault sets and novelty.")
    return fitting, aside


def idle_flags(settings: FitSettings) -> str:
    """Say which settings of the language model were changed and do nothing with its way in and its form.

    >>> idle_flags(FitSettings(lm_digits=2, lm_tokens=4))
    'Without effect, because rows reach the language model as tokens: --lm-digits.'
    """
    if LANGUAGE_MODEL not in settings.experts:
        return ""
    default = FitSettings()
    wanted = {*_TEXT_FLAGS[settings.lm_text], *(("examples",) if settings.lm_form == "context" else ())}
    known = {name for names in _TEXT_FLAGS.values() for name in names} | {"examples"}
    idle = [
        f"--lm-{name}"
        for name in sorted(known - wanted)
        if getattr(settings, f"lm_{name}") != getattr(default, f"lm_{name}")
    ]
    if not idle:
        return ""
    where = "as tokens" if settings.lm_text == "tokens" else f"in the text `{settings.lm_text}`"
    return f"Without effect, because rows reach the language model {where}: {', '.join(idle)}."


def _have_language_model(settings: FitSettings) -> None:
    """Fetch the language model before anything expensive, so that a missing one costs no minutes."""
    if LANGUAGE_MODEL in settings.experts:
        try:
            hub.resolve(settings.model)
        except HubError as error:
            raise HubError(f"{error} Or fit without the language model: --no-lm.") from error


def split_kind(settings: FitSettings, table: Table) -> str:
    """Return how rows are split: as the settings say, else as the data says, else by whole runs.

    Raises DataError where nothing says it and the table has no runs.
    """
    if settings.split != "auto":
        return settings.split
    if table.split:
        return table.split
    if table.roles.group is None:
        raise DataError(
            f"`{table.source}` was read without runs, so rows that belong together could land on both sides of "
            "the validation split: pass --group COL (the run, batch or machine of each row), or --split row if "
            "every row really is a separate measurement."
        )
    return "group"


def _joint(y: np.ndarray, part: np.ndarray) -> np.ndarray:
    return pd.MultiIndex.from_arrays([y, part]).factorize()[0]


def every_class(y: np.ndarray, rows: np.ndarray, window: int) -> None:
    """Check that every label of y (rows,) stands at one of these positions, those of rows with a full window.

    Raises DataError with the labels that are missing.
    """
    missing = sorted(set(y) - set(y[rows]))
    if missing:
        raise DataError(
            f"With windows of {window} samples no full window is left for {listing(missing)}: use a smaller "
            "--window, longer runs, or leave these labels out."
        )


def _figures(validation: Validation, data: Labelled, ensemble: Ensemble, kind: str) -> dict[str, Any]:
    """Figures on the held-out rows; the fused verdict's are slightly flattered, being fitted there."""
    classes, normal = ensemble.classes, ensemble.detector.normal
    y = data.y[validation.rows]
    groups = data.groups[validation.rows] if kind == "group" else None
    figures = {}
    for name, q in validation.p.items():
        rows = validation.scored if name == LANGUAGE_MODEL else np.ones(len(q), bool)
        runs = None if groups is None else groups[rows]
        labels = classes[q[rows].argmax(axis=1)]
        figures[name] = metrics(y[rows], labels, q[rows], classes, normal, runs)
    labels = ensemble.detector.decide(validation.fused, classes)
    verdict = metrics(y, labels, validation.fused, classes, normal, groups)
    classical = [name for name in figures if name != LANGUAGE_MODEL]
    best = max(classical, key=lambda name: figures[name]["mean_recall"], default=None)
    return {"validation": {"experts": figures, "verdict": verdict}, "chosen": best}
