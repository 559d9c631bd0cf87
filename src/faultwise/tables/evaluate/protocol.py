"""Evaluation of a fitted run on labelled rows that it has not learnt from: every expert and the fused verdict.

All are evaluated on the same rows, except the language model, on those that it scores; its `rows` is their number.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import numpy as np

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.fit.experts.monitor import ABNORMAL, NORMAL
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.preparing import normal_label
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.metrics import Figures, metrics, recall_by_class
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["TableEvaluation", "evaluate_table", "normal_in", "seen_again"]


class TableEvaluation(TypedDict):
    """What `evaluate_table` returns; `recall_by_class` has the verdict's recalls and those of the chosen expert,
    `horizon` the figures of a forecast.
    """

    source: str
    rows: int
    rows_without_full_window: int
    labels_never_trained: list[str]
    experts: dict[str, Figures]
    verdict: Figures
    chosen: str | None
    recall_by_class: dict[str, dict[str, float]]
    notes: list[str]
    horizon: NotRequired[dict[str, Any]]


@dataclass(frozen=True)
class _Rows:
    """Rows with a full window of one label: features, labels of the file, labels that are compared, runs, and the
    further faults of rows with several at once.
    """

    features: Features
    labels: np.ndarray
    truth: np.ndarray
    runs: np.ndarray | None
    also: np.ndarray | None = None

    def judged(self, labels: np.ndarray) -> np.ndarray:
        """Return the true labels (rows,); where a label names another fault of the row, that one."""
        if self.also is None:
            return self.truth
        right = [label in also for label, also in zip(labels, self.also, strict=True)]
        return np.where(right, labels, self.truth)

    def sets(self, classes: np.ndarray) -> np.ndarray:
        """Return the true faults of each row, shape (rows, classes)."""
        made = self.truth[:, None] == classes
        if self.also is not None:
            made |= np.array([[name in also for name in classes] for also in self.also])
        return np.asarray(made)


def evaluate_table(fitted: Fitted, table: Table, score_rows: int = 128, seed: int = 0) -> TableEvaluation:
    """Return metrics per expert under `experts`, of the fused verdict under `verdict`, and by class.

    Windows never cross an onset here, because labels say where it is. The language model scores `score_rows` rows.
    Raises DataError for rows without a full window or labels none of which was trained.
    """
    ensemble = fitted.ensemble
    rows = _rows(fitted, table, score_rows, seed)
    truth, unknown = rows.truth, sorted(set(rows.truth) - set(ensemble.classes))
    if len(unknown) == len(set(truth)):
        raise DataError(
            f"`{table.source}` is labelled {listing(unknown)}; this run knows {listing(ensemble.classes)}: "
            "pass the column that holds such labels with --target."
        )
    scored = np.zeros(len(truth), bool)
    if LANGUAGE_MODEL in ensemble.experts:
        most = len(truth) if ensemble.language_only else score_rows
        scored[np.random.default_rng(seed).permutation(len(truth))[:most]] = True
    figures, p = _by_expert(fitted, rows, scored)
    fused = ensemble.fuse(p, scored)
    labels = ensemble.detector.decide(fused, ensemble.classes)
    verdict = metrics(rows.judged(labels), labels, fused, ensemble.classes, ensemble.detector.normal, rows.runs)
    _add_calibrated(verdict, fitted, rows, fused, labels)
    chosen = fitted.record.get("chosen")
    recalls = {"verdict": recall_by_class(rows.judged(labels), labels)}
    if fitted.monitored:
        recalls["detected"] = _detected_by_label(rows.labels, labels)
    if chosen in p:
        recalls[chosen] = recall_by_class(truth, ensemble.classes[p[chosen].argmax(axis=1)])
    notes = [*table.notes, *rows.features.notes, *_not_evaluated(fitted, table, len(truth))]
    return {
        "source": table.source,
        "rows": len(truth),
        "rows_without_full_window": len(table.y) - len(truth),
        "labels_never_trained": unknown,
        "experts": figures,
        "verdict": verdict,
        "chosen": chosen,
        "recall_by_class": recalls,
        "notes": [*notes, *seen_again(fitted, table)],
    }


def _rows(fitted: Fitted, table: Table, score_rows: int, seed: int) -> _Rows:
    """Return the rows that are evaluated; with the language model alone those that it scores. Raises DataError."""
    pieces, at = fitted.encoder.laid_out(table, table.y)
    made = fitted.encoder.transform(table.X, pieces, at=at)
    if not len(made.rows):
        raise DataError(f"`{table.source}` has no stretch of {fitted.encoder.words()} with one label.")
    labels = truth = table.y[made.rows].astype(str)
    if fitted.monitored:
        truth = np.where(truth == normal_in(fitted, table), NORMAL, ABNORMAL).astype(str)
    if fitted.ensemble.language_only:
        few = np.sort(np.random.default_rng(seed).permutation(len(truth))[: max(1, score_rows)])
        made = Features(made.frame.iloc[few].reset_index(drop=True), made.rows[few], made.notes)
        labels, truth = labels[few], truth[few]
    also = None if table.also is None or fitted.monitored else table.also[made.rows]
    return _Rows(made, labels, truth, None if table.groups is None else table.groups[made.rows], also)


def _by_expert(fitted: Fitted, rows: _Rows, scored: np.ndarray) -> tuple[dict[str, Figures], dict[str, np.ndarray]]:
    """Return figures and probabilities (rows, classes) by expert; the language model has those of the mask `scored`."""
    ensemble, truth = fitted.ensemble, rows.truth
    figures: dict[str, Figures] = {}
    probabilities: dict[str, np.ndarray] = {}
    for name in ensemble.experts:
        mask = scored if name == LANGUAGE_MODEL else np.ones(len(truth), bool)
        if not mask.any():
            continue
        started = time.perf_counter()
        p = ensemble.predict(name, rows.features.frame, mask if name == LANGUAGE_MODEL else None)
        seconds = time.perf_counter() - started
        labels = ensemble.classes[p[mask].argmax(axis=1)]
        runs = None if rows.runs is None else rows.runs[mask]
        named = np.full(len(truth), "", dtype=object)
        named[mask] = labels
        judged = rows.judged(named)[mask]
        figures[name] = metrics(judged, labels, p[mask], ensemble.classes, ensemble.detector.normal, runs)
        figures[name]["rows_per_s"] = round(mask.sum() / max(seconds, 1e-9), 1)
        probabilities[name] = p
    return figures, probabilities


def _add_calibrated(figures: Figures, fitted: Fitted, rows: _Rows, fused: np.ndarray, labels: np.ndarray) -> None:
    """Add how often fault sets hold the truth, their mean size, and the shares of verdicts that are not named; where
    rows have several faults at once, also how well sets agree with theirs.
    """
    calibration, classes, truth = fitted.calibration, fitted.ensemble.classes, rows.judged(labels)
    if rows.also is not None:
        figures["set_f1"] = _set_f1(rows.sets(classes), labels[:, None] == classes)
    if calibration is None or fitted.novelty is None:
        return
    found = calibration.judgements(fused, classes, labels, fitted.novelty.scores(rows.features.frame))
    if rows.also is not None:
        figures["set_f1"] = _set_f1(rows.sets(classes), found.members)
    figures.update(found.figures(truth, classes))  # type: ignore[typeddict-item]


def _set_f1(true: np.ndarray, found: np.ndarray) -> float:
    """Return the F1 of two sets of labels, shape (rows, classes), the mean over rows."""
    both, sizes = (true & found).sum(axis=1), true.sum(axis=1) + found.sum(axis=1)
    return float((2 * both / np.maximum(sizes, 1)).mean())


def _not_evaluated(fitted: Fitted, table: Table, evaluated: int) -> list[str]:
    """Return a note on the rows that are not evaluated because their window reaches over a change of label."""
    possible = len(fitted.encoder.full(*fitted.encoder.laid_out(table)))
    if fitted.encoder.window == 1 or evaluated >= possible or fitted.ensemble.language_only:
        return []
    missing = possible - evaluated
    return [f"{missing} windows that reach over a change of label were not evaluated: they have no single label."]


def normal_in(fitted: Fitted, table: Table) -> str:
    """Return the label that means normal in a labelled table; verdicts of a monitor use another word for it.

    Raises DataError for a monitor that was fitted without labels, where neither the table nor its companion names it.
    """
    if not fitted.monitored:
        return str(fitted.ensemble.detector.normal)
    labels = set(table.y.astype(str))
    normal = fitted.record.get("label_of_normal") or normal_label(labels, TableSettings(), table.about.normal)[0]
    if normal is None:
        raise DataError(
            f"`{table.source}`: which of {listing(sorted(labels))} is normal? Name it in the file of --about."
        )
    return str(normal)


def _detected_by_label(named: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the share of each label's rows that the monitor classified as abnormal."""
    return {str(name): float((labels[named == name] == ABNORMAL).mean()) for name in sorted(set(named))}


def seen_again(fitted: Fitted, table: Table) -> list[str]:
    """Return a sentence that says how many rows of the table were in the fit, and none if there are none."""
    again = int(np.isin(row_hashes(table, fitted.encoder.learnt.used), fitted.seen).sum())
    if not again:
        return []
    return [f"Leak: {again:,} of {len(table.frame):,} rows were in the fit, value for value: the figures are too good."]
