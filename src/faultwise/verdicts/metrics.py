"""The metric names of every result file, in one place. Fractions, not percent.

`fdr` is the fault detection rate (share of fault rows classified as a fault), `far` the false-alarm rate (share of
normal rows classified as a fault). Intervals are 95% and resample whole runs, because rows
of a run are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score, recall_score

from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["Figures", "figures_by_expert", "leaderboard", "metrics", "recall_by_class", "run_interval"]


class Figures(TypedDict):
    """Figures of the predictions of one expert, or of the fused verdict, on labelled rows.

    Those that are not required are added where they are known: `mean_recall_low` and `_high` with runs, `fdr` and `far`
    with a normal class, `aurc` in comparisons, `rows_per_s` and the last six (of calibrated verdicts) in evaluations;
    `set_f1` where rows have several faults at once.
    """

    rows: int
    accuracy: float
    balanced_accuracy: float
    mean_recall: float
    macro_f1: float
    pr_auc: float | None
    log_loss: float | None
    mean_recall_low: NotRequired[float | None]
    mean_recall_high: NotRequired[float | None]
    fdr: NotRequired[float | None]
    far: NotRequired[float | None]
    aurc: NotRequired[float]
    rows_per_s: NotRequired[float]
    coverage: NotRequired[float]
    set_size: NotRequired[float]
    set_f1: NotRequired[float]
    abstained: NotRequired[float]
    unknown: NotRequired[float]
    several: NotRequired[float]


def metrics(
    y: np.ndarray,
    predicted: np.ndarray,
    p: np.ndarray,
    classes: np.ndarray,
    normal: str | None = None,
    groups: np.ndarray | None = None,
) -> Figures:
    """Return the figures of predictions (rows,) and probabilities p (rows, classes).

    Rows with a label that `classes` does not have count as wrong in every rate and are left out of
    `log_loss` and `pr_auc`.
    """
    present = np.array(sorted(set(y)))
    known = np.isin(y, classes)
    codes = np.searchsorted(classes, y[known])
    truth = np.maximum(p[known][np.arange(len(codes)), codes], 1e-12)
    mean_recall = float(recall_score(y, predicted, labels=present, average="macro", zero_division=0))
    areas = [
        average_precision_score(y == label, p[:, list(classes).index(label)])
        for label in present
        if label in classes and label != normal
    ]
    made: Figures = {
        "rows": len(y),
        "accuracy": float((y == predicted).mean()),
        "balanced_accuracy": mean_recall,
        "mean_recall": mean_recall,
        "macro_f1": float(f1_score(y, predicted, labels=present, average="macro", zero_division=0)),
        "pr_auc": float(np.mean(areas)) if areas else None,
        "log_loss": float(-np.log(truth).mean()) if len(truth) else None,
    }
    if groups is not None:
        made["mean_recall_low"], made["mean_recall_high"] = run_interval(y, predicted, groups)
    if normal is not None:
        fault, flagged = y != normal, predicted != normal
        made["fdr"] = float(flagged[fault].mean()) if fault.any() else None
        made["far"] = float(flagged[~fault].mean()) if (~fault).any() else None
    return made


def recall_by_class(y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the recall of each class present."""
    return {str(label): float((predicted[y == label] == label).mean()) for label in sorted(set(y))}


def run_interval(
    y: np.ndarray, predicted: np.ndarray, groups: np.ndarray, draws: int = 400, seed: int = 0
) -> tuple[float | None, float | None]:
    """Return a 95% bootstrap interval of the mean recall over runs drawn anew within each class.

    None twice when a class has only one run: it says nothing about other runs.
    """
    frame = pd.DataFrame({"y": y, "g": groups, "right": (y == predicted).astype(float)})
    cells = frame.groupby(["y", "g"])["right"].agg(["sum", "size"]).reset_index()
    if cells.groupby("y").size().min() < 2:
        return None, None
    rng = np.random.default_rng(seed)
    recalls = []
    for _, runs in cells.groupby("y"):
        right, size = runs["sum"].to_numpy(), runs["size"].to_numpy()
        drawn = rng.integers(0, len(runs), (draws, len(runs)))
        recalls.append(right[drawn].sum(1) / size[drawn].sum(1))
    low, high = np.quantile(np.mean(recalls, axis=0), [0.025, 0.975])
    return float(low), float(high)


def figures_by_expert(
    p: Mapping[str, np.ndarray],
    scored: np.ndarray,
    y: np.ndarray,
    classes: np.ndarray,
    normal: str | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, Figures]:
    """Return the figures of each expert's likeliest labels; p maps experts to probabilities (rows, classes). The
    language model is judged on the rows of the mask `scored`.
    """
    made = {}
    for name, q in p.items():
        rows = scored if name == LANGUAGE_MODEL else np.ones(len(q), bool)
        runs = None if groups is None else groups[rows]
        made[name] = metrics(y[rows], classes[q[rows].argmax(axis=1)], q[rows], classes, normal, runs)
    return made


def leaderboard(evaluated: Mapping[str, Any]) -> list[dict[str, Any]]:
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
