"""From a labelled table to fitted parts: split, windows, experts, fusion, threshold, normal band.

What is computed here once is what `diagnoser` uses and `runs` stores. Nothing is read from or written to disk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from faultwise.data.checks import check, training_problems
from faultwise.data.drawing import draw_evenly
from faultwise.data.splits import split
from faultwise.data.stretches import stretches
from faultwise.data.table import Table
from faultwise.encoders.windows import WindowEncoder
from faultwise.errors import DataError, UserError, listing
from faultwise.evaluate.metrics import metrics
from faultwise.evidence.normal import NormalBand
from faultwise.experts.detection import Detector
from faultwise.experts.ensemble import Ensemble, Labelled
from faultwise.experts.registry import LANGUAGE_MODEL, ExpertContext
from faultwise.experts.settings import LanguageSettings
from faultwise.settings import FitSettings

__all__ = ["Fitted", "fit_table", "normal_label"]

_NORMAL_WORDS = ("0", "normal", "ok", "healthy", "good", "none", "no fault", "no failure", "no_fault", "false")
_REFERENCE_ROWS = 200
_MOST_HELD = 20_000


@dataclass
class Fitted:
    """Everything a diagnosis needs: encoder, ensemble, normal band, reference rows, and the record."""

    encoder: WindowEncoder
    ensemble: Ensemble
    band: NormalBand
    reference: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


def normal_label(labels: set[str], settings: FitSettings, about_normal: str | None) -> tuple[str | None, str]:
    """Return the label that means normal and a note on how it was found. Raises UserError if it is not there."""
    asked = settings.normal if settings.normal is not None else about_normal
    if asked is not None:
        if asked in labels:
            return asked, ""
        raise UserError(
            f"No row is labelled `{asked}`; the labels are {listing(sorted(labels))}: pass --normal LABEL."
        )
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
    training_problems(table)
    notes = [*table.notes, *check(table).lines()]
    y, groups = table.y, table.groups
    normal, note = normal_label(set(y), settings, table.about.normal)
    notes += [note] if note else []
    kind = _split_kind(settings, table)
    train, held, split_notes = split(
        y, groups, kind, settings.held_out, settings.seed, settings.window - 1 if kind == "block" else 0
    )
    if kind == "row" and settings.window > 1:
        raise UserError(
            "Windows over rows that were split one by one would overlap: pass --group COL or --window 1."
        )
    notes += split_notes
    runs = groups if groups is not None else np.arange(len(y)).astype(str)
    encoder = WindowEncoder(settings.window).fit(table.X.iloc[train])
    columns = encoder.columns
    if columns is not None:
        notes += [f"`{name}` was left out: {why}." for name, why in columns.left_out.items()]
    part = np.zeros(len(y), dtype=int)
    part[train], part[held] = 1, 2
    pieces = stretches(runs if settings.window > 1 else np.zeros(len(y), int), _joint(y, part))
    full = encoder.full(pieces)
    rows_train = _drawn(full[part[full] == 1], y, runs, settings.most_rows, settings.seed, "training", notes)
    rows_held = _drawn(full[part[full] == 2], y, runs, _MOST_HELD, settings.seed, "validation", notes)
    _every_class(y, rows_train, rows_held, settings.window)
    wanted = np.sort(np.concatenate([rows_train, rows_held]))
    made = encoder.transform(table.X, pieces, wanted)
    notes += made.notes
    is_train = np.isin(made.rows, rows_train)

    def labelled(mask: np.ndarray) -> Labelled:
        rows = made.rows[mask]
        return Labelled(made.frame[mask].reset_index(drop=True), y[rows], runs[rows])

    parts = labelled(is_train), labelled(~is_train)
    classes = np.array(sorted(set(y)), dtype=str)
    ensemble = Ensemble(classes, Detector(normal, settings.false_alarm_rate))
    context = ExpertContext(settings.seed, progress, language_settings(settings))
    p, scored, more = ensemble.fit(*parts, names=settings.experts, context=context)
    notes += more
    healthy = made.frame[y[made.rows] == normal] if normal is not None else made.frame
    band = NormalBand().fit(healthy, normal is not None)
    reference = healthy.sample(min(_REFERENCE_ROWS, len(healthy)), random_state=settings.seed)
    record = {
        "data_hash": table.hash(),
        "source": table.source,
        "rows": len(y),
        "labels": classes.tolist(),
        "normal": normal,
        "split": kind,
        "train_rows": len(rows_train),
        "held_out_rows": len(rows_held),
        "seconds": {name: round(value, 2) for name, value in ensemble.seconds.items()},
        **_validation(p, scored, parts[1], ensemble, kind),
    }
    language = ensemble.experts.get(LANGUAGE_MODEL)
    if language is not None:
        record["language_model"] = getattr(language, "log", {})
    return Fitted(encoder, ensemble, band, reference.reset_index(drop=True), notes, record)


def language_settings(settings: FitSettings) -> LanguageSettings:
    """Return the language model's part of the settings."""
    return LanguageSettings(
        model=settings.model,
        minutes=settings.lm_minutes,
        steps=settings.lm_steps,
        score_rows=settings.lm_score_rows,
        digits=settings.lm_digits,
        features=settings.lm_features,
    )


def _split_kind(settings: FitSettings, table: Table) -> str:
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


def _drawn(
    rows: np.ndarray, y: np.ndarray, runs: np.ndarray, most: int, seed: int, what: str, notes: list[str]
) -> np.ndarray:
    if len(rows) > most:
        notes.append(f"{most:,} of {len(rows):,} {what} rows were drawn evenly over classes and runs.")
    return rows[draw_evenly(y[rows], runs[rows], most, seed)]


def _every_class(y: np.ndarray, train: np.ndarray, held: np.ndarray, window: int) -> None:
    for rows, what in ((train, "training"), (held, "validation")):
        missing = sorted(set(y) - set(y[rows]))
        if missing:
            raise DataError(
                f"With windows of {window} samples no full window is left in the {what} part for "
                f"{listing(missing)}: use a smaller --window, longer runs, or leave these labels out."
            )


def _validation(
    p: dict[str, np.ndarray], scored: np.ndarray, held: Labelled, ensemble: Ensemble, kind: str
) -> dict[str, Any]:
    """Figures on the validation rows; the fused verdict's are slightly flattered, being fitted there."""
    classes, normal = ensemble.classes, ensemble.detector.normal
    groups = held.groups if kind == "group" else None
    figures = {}
    for name, q in p.items():
        rows = scored if name == LANGUAGE_MODEL else np.ones(len(q), bool)
        runs = None if groups is None else groups[rows]
        labels = classes[q[rows].argmax(axis=1)]
        figures[name] = metrics(held.y[rows], labels, q[rows], classes, normal, runs)
    fused = ensemble.fuse(p, scored)
    verdict = metrics(held.y, ensemble.detector.decide(fused, classes), fused, classes, normal, groups)
    classical = [name for name in figures if name != LANGUAGE_MODEL]
    best = max(classical, key=lambda name: figures[name]["mean_recall"], default=None)
    return {"validation": {"experts": figures, "verdict": verdict}, "chosen": best}
