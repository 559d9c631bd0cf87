"""All figures of detection in time for a classified table: `alarms` and `alarm_load` put together, debounces compared.

Rows are taken as they come in operation: windows reach over an onset, and rows without a full window are waited for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.evaluate.alarm_load import alarm_load
from faultwise.evaluate.alarms import DEFAULT, Debounce, detection
from faultwise.tables.evaluate.row_time import minutes_per_row
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.reading.table import Table
from faultwise.verdicts.stretches import stretches

__all__ = ["alarm_figures", "check_detects"]

_BESIDE = (Debounce(1, 1), Debounce(2, 3), Debounce(3, 5), Debounce(6, 10))
_COMPARED = (
    "false_alarms",
    "false_alarms_per_day",
    "episode_recall",
    "chance_recall",
    "delay_samples",
    "delay_samples_restricted",
    "delay_min",
    "delay_min_restricted",
)


def check_detects(fitted: Fitted, name: object) -> None:
    """Raise UserError for a run (of this name) whose verdicts raise no alarms."""
    if fitted.ensemble.detector.normal is None:
        raise UserError(
            f"`{name}` names faults and knows no normal, so no row is an alarm: fit with --normal LABEL, or with "
            "--normal-only."
        )
    if fitted.ensemble.language_only:
        raise UserError(f"`{name}` has only the language model, which scores few rows: fit with another expert.")


def alarm_figures(
    table: Table,
    lines: pd.DataFrame,
    verdict: str,
    normal: str | None,
    minutes: float | None = None,
    debounce: Debounce = DEFAULT,
    assets: int = 1,
) -> tuple[dict[str, object], list[str]]:
    """Return the figures of `alarms.detection`, `alarm_load` (None without a time) and those of other `debounces`, and
    notes.

    `lines` has `row` (from 1) and `label` of every classified row, as `TableModel.label_rows` gives them, and `verdict`
    is the label that means normal there; `normal` is the one that means normal in the table, None where it has no
    labels: all rows are then counted as normal operation. `minutes` is the time of a row, by default that of the time
    column. Raises UserError and DataError as these functions do.
    """
    rows = len(table.frame)
    labels = np.full(rows, "normal") if normal is None else table.y
    healthy = np.ones(rows, bool) if normal is None else labels == normal
    runs = stretches(table.runs)
    at = lines["row"].to_numpy() - 1
    classified, flags = np.zeros(rows, bool), np.zeros(rows, bool)
    classified[at], flags[at] = True, lines["label"].to_numpy() != verdict
    notes: list[str] = []
    if minutes is None:
        minutes, notes = minutes_per_row(table)
    if minutes is None:
        notes = [f"{note} All figures are by row: give the time of a row with --minutes." for note in notes]
    notes += _notes(normal, healthy, runs[classified], debounce)
    tried = {
        one: detection(flags, labels, runs, normal or "normal", minutes, one, classified)
        for one in dict.fromkeys([*_BESIDE, debounce])
    }
    load = None
    if minutes is not None:
        load = alarm_load(flags[classified], runs[classified], minutes, debounce, assets, healthy[classified])
    figures = {
        "source": Path(table.source).name,
        "rows": rows,
        "judged_rows": int(classified.sum()),
        "labelled": normal is not None,
        "normal": normal,
        "debounce": str(debounce),
        "minutes_per_row": minutes,
        **tried[debounce],
        "alarm_load": load,
        "debounces": [{"debounce": str(one), **{key: its[key] for key in _COMPARED}} for one, its in tried.items()],
    }
    return figures, notes


def _notes(normal: str | None, healthy: np.ndarray, runs: np.ndarray, debounce: Debounce) -> list[str]:
    """Return notes on missing labels, and on runs (of classified rows) that are too short for an alarm."""
    notes = []
    if normal is None:
        notes.append("There are no labels: all rows are counted as normal operation, so every alarm is a false one.")
    elif not healthy.any():
        notes.append(f"No row is labelled `{normal}`: false alarms and alarm load cannot be computed.")
    sizes = np.unique(runs, return_counts=True)[1]
    short = int((sizes < debounce.k).sum())
    if short:
        notes.append(
            f"{short:,} of {len(sizes):,} runs have fewer than {debounce.k} classified rows and can raise no alarm: "
            "choose another --debounce, or fit with --group COL."
        )
    return notes
