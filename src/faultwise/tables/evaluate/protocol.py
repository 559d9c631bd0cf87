"""Judging a fitted run on labelled rows it has never seen: every expert and the fused verdict, same rows.

The language model is judged on the rows it scores; how many those are stands in its `rows`.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from faultwise.contracts.errors import DataError, listing
from faultwise.evaluate.metrics import metrics, recall_by_class
from faultwise.tables.checks.overlap import row_hashes
from faultwise.tables.fit.experts.monitor import ABNORMAL, NORMAL
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.settings import FitSettings
from faultwise.tables.fit.training import Fitted, normal_label
from faultwise.tables.reading.table import Table
from faultwise.verdicts.registry import LANGUAGE_MODEL
from faultwise.verdicts.stretches import stretches

__all__ = ["evaluate_table", "leaderboard", "normal_in", "seen_again"]


def evaluate_table(fitted: Fitted, table: Table, score_rows: int = 128, seed: int = 0) -> dict[str, Any]:
    """Return metrics per expert under `experts`, of the fused verdict under `verdict`, and by class.

    Windows never cross an onset here, because labels say where it is. Raises DataError for rows without a
    full window or labels none of which was trained.
    """
    ensemble = fitted.ensemble
    y = table.y
    groups = table.groups
    runs = table.runs
    made = fitted.encoder.transform(table.X, stretches(runs, y))
    if not len(made.rows):
        raise DataError(f"`{table.source}` has no stretch of {fitted.encoder.window} samples with one label.")
    named = truth = y[made.rows].astype(str)
    if fitted.monitored:
        truth = np.where(truth == normal_in(fitted, table), NORMAL, ABNORMAL).astype(str)
    if ensemble.language_only:  # the language model alone: only what it scores is judged
        few = np.sort(np.random.default_rng(seed).permutation(len(truth))[: max(1, score_rows)])
        made = Features(made.frame.iloc[few].reset_index(drop=True), made.rows[few], made.notes)
        truth, score_rows = truth[few], len(few)
    unknown = sorted(set(truth) - set(ensemble.classes))
    if len(unknown) == len(set(truth)):
        raise DataError(
            f"`{table.source}` is labelled {listing(unknown)}; this run knows {listing(ensemble.classes)}: "
            "pass the column that holds such labels with --target."
        )
    rng = np.random.default_rng(seed)
    scored = np.zeros(len(truth), bool)
    if LANGUAGE_MODEL in ensemble.experts:
        scored[rng.permutation(len(truth))[:score_rows]] = True
    normal = ensemble.detector.normal
    inside = None if groups is None else groups[made.rows]
    figures: dict[str, dict[str, Any]] = {}
    everyone: dict[str, np.ndarray] = {}
    for name in ensemble.experts:
        rows = scored if name == LANGUAGE_MODEL else np.ones(len(truth), bool)
        if not rows.any():
            continue
        started = time.perf_counter()
        p = ensemble.ask(name, made.frame, rows if name == LANGUAGE_MODEL else None)
        seconds = time.perf_counter() - started
        labels = ensemble.classes[p[rows].argmax(axis=1)]
        where = None if inside is None else inside[rows]
        figures[name] = metrics(truth[rows], labels, p[rows], ensemble.classes, normal, where)
        figures[name]["rows_per_s"] = round(rows.sum() / max(seconds, 1e-9), 1)
        everyone[name] = p
    fused = ensemble.fuse(everyone, scored)
    labels = ensemble.detector.decide(fused, ensemble.classes)
    verdict = metrics(truth, labels, fused, ensemble.classes, normal, inside)
    return {
        "source": table.source,
        "rows": len(truth),
        "rows_without_full_window": len(y) - len(truth),
        "labels_never_trained": unknown,
        "experts": figures,
        "verdict": verdict | _promises(fitted, made, fused, labels, truth),
        "chosen": fitted.record.get("chosen"),
        "recall_by_class": {
            "verdict": recall_by_class(truth, labels),
            **({"detected": _detected_by_label(named, labels)} if fitted.monitored else {}),
            **{
                name: recall_by_class(truth, ensemble.classes[p.argmax(axis=1)])
                for name, p in everyone.items()
                if name == fitted.record.get("chosen")
            },
        },
        "notes": [*table.notes, *made.notes, *_not_judged(fitted, runs, len(truth)), *seen_again(fitted, table)],
    }


def _promises(
    fitted: Fitted, made: Features, fused: np.ndarray, labels: np.ndarray, truth: np.ndarray
) -> dict[str, float]:
    """Return how often fault sets hold the truth, their mean size, and the shares of verdicts that name nothing."""
    calibration, classes = fitted.calibration, fitted.ensemble.classes
    if calibration is None or fitted.novelty is None:
        return {}
    stand = calibration.stand(fused, classes, labels, fitted.novelty.scores(made.frame))
    known = np.isin(truth, classes)
    held = stand.members[known, np.searchsorted(classes, truth[known])].sum() / len(truth)
    shares = {"abstained": "undecided", "unknown": "unknown", "several": "several"}
    return {
        "coverage": float(held),
        "set_size": float(stand.members.sum(axis=1).mean()),
        **{key: float((stand.standing == name).mean()) for key, name in shares.items()},
    }


def _not_judged(fitted: Fitted, runs: np.ndarray, judged: int) -> list[str]:
    """Say how many rows have no figure because their window is not full, or reaches over a change of label."""
    window = fitted.encoder.window
    possible = len(fitted.encoder.full(stretches(runs)))
    if window == 1 or judged >= possible or fitted.ensemble.language_only:
        return []
    return [f"{possible - judged} windows that reach over a change of label were not judged: no one label is right."]


def normal_in(fitted: Fitted, table: Table) -> str:
    """Return the label that means normal in a labelled table; a monitor of normal rows has another word for it.

    Raises DataError for a monitor that was fitted without labels, where neither the table nor its companion tells.
    """
    if not fitted.monitored:
        return str(fitted.ensemble.detector.normal)
    labels = set(table.y.astype(str))
    normal = fitted.record.get("label_of_normal") or normal_label(labels, FitSettings(), table.about.normal)[0]
    if normal is None:
        raise DataError(f"`{table.source}`: which of {listing(sorted(labels))} is normal? Say it in --about.")
    return str(normal)


def _detected_by_label(named: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Return the share of each label's rows that the monitor called abnormal."""
    return {str(name): float((labels[named == name] == ABNORMAL).mean()) for name in sorted(set(named))}


def seen_again(fitted: Fitted, table: Table) -> list[str]:
    """Return a sentence that says how many rows of the table were in the fit, and none if there are none."""
    again = int(np.isin(row_hashes(table, fitted.encoder.learnt.used), fitted.seen).sum())
    if not again:
        return []
    return [f"Leak: {again:,} of {len(table.frame):,} rows were in the fit, value for value: the figures flatter it."]


def leaderboard(evaluated: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row per expert and one for the verdict, best mean recall first."""
    keys = (
        "mean_recall",
        "mean_recall_low",
        "mean_recall_high",
        "accuracy",
        "macro_f1",
        "log_loss",
        "fdr",
        "far",
    )
    rows = []
    for name, figures in [*evaluated["experts"].items(), ("fused verdict", evaluated["verdict"])]:
        mark = " (chosen on validation)" if name == evaluated.get("chosen") else ""
        picked = {key: figures.get(key) for key in keys if figures.get(key) is not None}
        rows.append({"expert": name + mark, **picked, "rows": figures["rows"]})
    return sorted(rows, key=lambda row: -row["mean_recall"])
