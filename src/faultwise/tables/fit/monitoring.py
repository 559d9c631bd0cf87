"""Fitting without fault labels: a monitor of normal rows, and a threshold for a chosen rate of false alarms.

The rate can be meant by row (the share of normal rows above the threshold) or by run (the share of normal runs with any
row above it). Both are read off rows that the monitor was not fitted on. By run it is the order statistic of the
runs' highest scores that split conformal prediction uses (Vovk et al. 2005): with n runs, a new normal run
exceeds the k-th smallest with a probability of at most 1 - k / (n + 1), if it is exchangeable with them.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold

from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.contracts.progress import tracked
from faultwise.evidence.normal import NormalBand
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.checks.rules import Rules, from_limits
from faultwise.tables.fit.experts.monitor import ABNORMAL, MONITOR, NORMAL, Monitor
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.fitted import REFERENCE_ROWS, Fitted
from faultwise.tables.fit.preparing import normal_label
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.fusion import Fusion
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["fit_normal", "run_threshold"]

_CHUNK = 50_000


def fit_normal(table: Table, settings: TableSettings, rules: Rules | None = None, progress: bool = False) -> Fitted:
    """Fit on the normal rows of a table; without a target all rows are taken to be normal, which a note says.

    `rules` and the operating limits of the companion are checked on every row of a diagnosis. Raises DataError.
    """
    measured = replace(table, roles=replace(table.roles, target=None))  # labels do not matter here
    notes = [*training_problems(table, labelled=False), *check(measured).lines()]
    here = {name: known for name, known in table.about.variables.items() if name in table.features}
    rules = from_limits(replace(table.about, variables=here)).merged(rules or Rules())
    rules.check(table.frame.columns)
    labels, normal = _labels(table, settings, notes)
    is_normal = np.ones(len(table.frame), bool) if labels is None else np.asarray(labels == normal)
    runs = table.runs
    encoder = encoder_of(settings.window, table).fit(table.X.loc[is_normal])
    pieces, at = encoder.laid_out(table, labels)
    notes += encoder.learnt.left_out_notes()
    rows = encoder.full(pieces, at)
    rows = rows[is_normal[rows]]
    if not len(rows):
        raise DataError(
            f"`{table.source}` has no normal stretch of {encoder.words()}: use a smaller --window, or longer runs."
        )
    scores = _held_out_scores(table, encoder, (pieces, at), rows, runs[rows], settings, progress)
    detector = Detector(NORMAL, settings.false_alarm_rate)
    if settings.false_alarm_per == "run":
        detector.threshold, note = run_threshold(scores, runs[rows], settings.false_alarm_rate)
    else:
        note = detector.fit(scores)
    notes += [note] if note else []
    drawn = rows[draw_evenly(np.zeros(len(rows)), runs[rows], settings.most_rows, settings.seed)]
    made = encoder.transform(table.X, pieces, drawn, at=at)
    notes += made.notes
    monitor = Monitor().fit(made.frame, np.full(len(drawn), NORMAL), runs[drawn])
    weights = {MONITOR: 1.0}
    fusion = Fusion({MONITOR: 1.0}, weights, weights, capped=LANGUAGE_MODEL)
    ensemble = Ensemble(np.array([ABNORMAL, NORMAL]), detector, {MONITOR: monitor}, fusion)
    notes += _rule_notes(rules, table, pieces, rows, runs)
    record = _record(table, settings, normal, runs[rows], scores, detector, len(drawn))
    reference = made.frame.sample(min(REFERENCE_ROWS, len(made.frame)), random_state=settings.seed)
    seen = np.unique(row_hashes(table, encoder.learnt.used))
    band = NormalBand().fit(made.frame, True)
    return Fitted(encoder, ensemble, band, reference.reset_index(drop=True), seen, notes, record, rules)


def _record(
    table: Table,
    settings: TableSettings,
    normal: str | None,
    runs: np.ndarray,
    scores: np.ndarray,
    detector: Detector,
    drawn: int,
) -> dict[str, Any]:
    """Return what a manifest tells: `runs` and `scores` (rows,) are those of the held-out normal rows."""
    alarms = scores > (detector.threshold or 0.0)
    in_runs = pd.Series(alarms).groupby(runs).any()
    return {
        "data_hash": table.hash(),
        "source": table.source,
        "rows": len(table.frame),
        "labels": [ABNORMAL, NORMAL],
        "normal": NORMAL,
        "normal_only": True,
        "label_of_normal": normal,
        "false_alarm_per": settings.false_alarm_per,
        "split": "group" if len(set(runs)) > 1 else "block",
        "train_rows": drawn,
        "held_out_rows": len(runs),
        "chosen": MONITOR,
        "validation": {
            "rows": len(runs),
            "runs": len(in_runs),
            "far": float(alarms.mean()),
            "far_by_run": float(in_runs.mean()),
        },
    }


def _rule_notes(rules: Rules, table: Table, pieces: np.ndarray, rows: np.ndarray, runs: np.ndarray) -> list[str]:
    """Say which rules hold in normal rows: the threshold's rate of false alarms does not count them."""
    fired = rules.fired(table.frame, pieces)[rows]
    return [
        f"The rule `{rule.name}` holds in {int(held.sum()):,} normal rows of {len(set(runs[rows][held])):,} runs: "
        "these alarms come on top of the chosen rate."
        for rule, held in zip(rules.rules, fired.T, strict=True)
        if held.any()
    ]


def run_threshold(scores: np.ndarray, runs: np.ndarray, rate: float) -> tuple[float, str]:
    """Return the threshold that at most `rate` of normal runs exceed anywhere, and a note where runs are too few.

    `scores` and `runs` have shape (rows,).

    >>> run_threshold(np.arange(99.0), np.arange(99), rate=0.01)
    (98.0, '')
    """
    highest = np.sort(pd.Series(scores).groupby(runs).max().to_numpy())
    count = len(highest)
    at = math.ceil((count + 1) * (1 - rate) - 1e-9)
    if at <= count:
        return float(highest[at - 1]), ""
    needed = math.ceil(1 / rate - 1e-9) - 1
    return float(highest[-1]), (
        f"A false-alarm rate of {rate:g} by run needs {needed} normal runs; there are {count}. The threshold is the "
        f"highest score of them all, which about one new normal run in {count + 1} exceeds."
    )


def _labels(table: Table, settings: TableSettings, notes: list[str]) -> tuple[np.ndarray | None, str | None]:
    """Return the labels and the one that means normal; None twice where the table has no target."""
    if table.roles.target is None:
        notes.append(
            "There are no labels: all rows are taken to be normal. Rows of a fault among them hide that fault."
        )
        return None, None
    labels = table.y
    normal, note = normal_label(set(labels), settings, table.about.normal)
    if normal is None:
        raise UserError(
            f"Which label means normal? The labels are {listing(sorted(set(labels)))}: pass --normal LABEL."
        )
    count = int((labels == normal).sum())
    notes += [note] if note else []
    notes.append(
        f"{count:,} of {len(labels):,} rows are labelled `{normal}` and are used; the others are not looked at."
    )
    return labels, normal


def _held_out_scores(
    table: Table,
    encoder: WindowEncoder,
    laid_out: tuple[np.ndarray, np.ndarray | None],
    rows: np.ndarray,
    runs: np.ndarray,
    settings: TableSettings,
    progress: bool,
) -> np.ndarray:
    """Return the score of each of `rows` by a monitor that was not fitted on its run (or, with one run, its block)."""
    names, (pieces, at) = np.unique(runs), laid_out
    gap = 0
    if len(names) > 1:
        order = np.random.default_rng(settings.seed).permutation(len(names))
        parts = order[np.searchsorted(names, runs)]
    else:
        parts, gap = np.arange(len(rows)) * settings.folds // len(rows), encoder.window - 1
    folds = min(settings.folds, len(np.unique(parts)))
    if folds < 2:
        raise DataError(f"{len(rows)} normal rows are too few to hold some out: give more rows.")
    scores = np.empty(len(rows))
    splits = list(GroupKFold(folds).split(rows, groups=parts))
    for train, held in tracked(splits, desc="monitor", disable=not progress):
        if gap:  # windows of the held-out block must share no row with training
            train = train[(rows[train] < rows[held].min() - gap) | (rows[train] > rows[held].max() + gap)]
        drawn = rows[train][draw_evenly(np.zeros(len(train)), runs[train], settings.most_rows, settings.seed)]
        made = encoder.transform(table.X, pieces, drawn, at=at)
        monitor = Monitor().fit(made.frame, np.full(len(made.rows), NORMAL), made.rows)
        for start in range(0, len(held), _CHUNK):
            some = held[start : start + _CHUNK]
            frame = encoder.transform(table.X, pieces, rows[some], at=at).frame
            scores[some] = monitor.predict_proba(frame)[:, 0]
    return scores
