"""How well failures are announced: found or missed, how long before, and how many alarms came in normal time.

Judged per failure and per asset, as rows come in operation: windows reach over the beginning of a horizon. An alarm is
a row whose label is not normal; alarms without a normal row between them are one. Intervals (95%) draw assets anew,
because failures of an asset resemble each other; of one asset its failures are drawn, and false alarms have none. The
interval of the share that was missed is never narrower than the exact one for as many independent failures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from faultwise.tables.reading.labels.clock import row_clock
from faultwise.tables.reading.labels.failures import Failures
from faultwise.tables.reading.labels.horizon import judged_rows
from faultwise.tables.reading.labels.marking import rows_by_asset
from faultwise.tables.reading.table import Table

__all__ = ["horizon_figures", "horizon_sentences"]

_DRAWS = 400


@dataclass
class _Asset:
    """What was seen of one asset: the lead of each judged failure (NaN: missed), false alarms, and normal time."""

    leads: list[float]
    false_alarms: int
    normal_time: float


def horizon_figures(table: Table, lines: pd.DataFrame, normal: str, seed: int = 0) -> dict[str, Any]:
    """Return the figures of a forecast on a table with `failures`.

    `lines` has `row` (from 1, of the table) and `label` of every classified row, as `TableModel.label_rows` gives them.
    `lead_time_h` is the median time from the first alarm within the horizon to the failure, `missed` counts failures
    without one, `false_alarms_per_day` is per day of normal time of an asset; None where they cannot be computed.
    """
    failures = table.failures
    assert failures is not None
    times = row_clock(table)
    assert times is not None
    judged, alarm = np.zeros(len(table.frame), bool), np.zeros(len(table.frame), bool)
    at = lines["row"].to_numpy() - 1
    judged[at], alarm[at] = True, lines["label"].to_numpy() != normal
    healthy = table.y == normal
    # Pauses make runs of one asset's record; its failures are of the asset.
    whole = not set(failures.assets) & set(table.runs)
    runs = np.full(len(judged), failures.assets[0], dtype=object) if whole else table.runs
    assets = [
        _asset(failures, name, rows, moments, judged[rows], alarm[rows], healthy[rows])
        for name, (rows, moments) in rows_by_asset(runs, times.values).items()
    ]
    return _figures(assets, failures, seed)


def _asset(
    failures: Failures,
    name: str,
    rows: np.ndarray,
    times: np.ndarray,
    judged: np.ndarray,
    alarm: np.ndarray,
    healthy: np.ndarray,
) -> _Asset:
    leads = []
    for number, inside in judged_rows(failures, np.flatnonzero(failures.assets == name), times):
        if (inside & judged).any():
            first = np.flatnonzero(inside & alarm)[:1]
            leads.append(float(failures.times[number] - times[first[0]]) if len(first) else np.nan)
    seen = np.flatnonzero(judged)
    begins = alarm[seen] & ~np.r_[False, alarm[seen][:-1]]
    steps = np.diff(times)
    step = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    return _Asset(leads, int((begins & healthy[seen]).sum()), float((judged & healthy).sum()) * step)


def _figures(assets: list[_Asset], failures: Failures, seed: int) -> dict[str, Any]:
    hours = None if failures.unit is None else failures.unit / 3600
    leads = np.array([lead for asset in assets for lead in asset.leads], dtype=float)
    made: dict[str, Any] = {
        "failures": len(leads),
        "assets": len(assets),
        "missed": int(np.isnan(leads).sum()),
        "missed_share": float(np.isnan(leads).mean()) if len(leads) else None,
        "lead_time": _median(leads),
        "horizon": failures.horizon,
    }
    made["lead_time_h"] = None if hours is None or made["lead_time"] is None else made["lead_time"] * hours
    made["horizon_h"] = None if hours is None else failures.horizon * hours
    days = None if hours is None else sum(asset.normal_time for asset in assets) * hours / 24
    made["normal_days"] = days
    made["false_alarms"] = sum(asset.false_alarms for asset in assets)
    made["false_alarms_per_day"] = made["false_alarms"] / days if days else None
    return {**made, **_intervals(assets, leads, hours, seed)}


def _intervals(assets: list[_Asset], leads: np.ndarray, hours: float | None, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    missed, medians, rates = [], [], []
    for _ in range(_DRAWS if len(leads) > 1 or len(assets) > 1 else 0):
        if len(assets) > 1:
            drawn = [assets[at] for at in rng.integers(0, len(assets), len(assets))]
            some = np.array([lead for asset in drawn for lead in asset.leads], dtype=float)
            time = sum(asset.normal_time for asset in drawn) * (hours or 0) / 24
            rates += [sum(asset.false_alarms for asset in drawn) / time] if time else []
        else:
            some = leads[rng.integers(0, len(leads), len(leads))]
        if len(some):
            missed.append(float(np.isnan(some).mean()))
            lead = _median(some)
            medians += [lead * hours] if lead is not None and hours is not None else []
    made: dict[str, Any] = {}
    for name, values in (("missed_share", missed), ("lead_time_h", medians), ("false_alarms_per_day", rates)):
        made |= {f"{name}_low": None, f"{name}_high": None}
        if not values:
            continue
        low, high = (float(np.quantile(values, share)) for share in (0.025, 0.975))
        if name == "missed_share":  # where none was missed, drawing anew never misses one
            exact = binomtest(int(np.isnan(leads).sum()), len(leads)).proportion_ci(method="exact")
            low, high = min(low, float(exact.low)), max(high, float(exact.high))
        made |= {f"{name}_low": low, f"{name}_high": high}
    return made


def _median(leads: np.ndarray) -> float | None:
    found = leads[np.isfinite(leads)]
    return float(np.median(found)) if len(found) else None


def horizon_sentences(figures: dict[str, Any]) -> list[str]:
    """Return the figures of `horizon_figures` in words."""
    count = figures["failures"]
    if not count:
        return ["No failure has a classified row in its horizon, so the forecast cannot be judged."]
    found = count - figures["missed"]
    text = f"{found} of {count} failures of {figures['assets']} assets were announced"
    text += f" (missed {figures['missed_share']:.0%}{_between(figures, 'missed_share', '.0%')})"
    if figures["lead_time_h"] is not None:
        text += f", half of these {figures['lead_time_h']:.3g} h before or earlier{_between(figures, 'lead_time_h')}"
    elif figures["lead_time"] is not None:
        text += f", half of these {figures['lead_time']:.3g} units of the time column before or earlier"
    made = [f"{text}."]
    rate = figures["false_alarms_per_day"]
    if rate is not None:
        between = _between(figures, "false_alarms_per_day")
        made.append(
            f"{figures['false_alarms']} false alarms in {figures['normal_days']:.3g} days of normal operation of an "
            f"asset: {rate:.3g} per day{between}."
        )
    else:
        made.append(f"{figures['false_alarms']} false alarms in normal rows.")
    return made


def _between(figures: dict[str, Any], name: str, form: str = ".3g") -> str:
    low, high = figures[f"{name}_low"], figures[f"{name}_high"]
    if low is None:
        return ""
    inner = f"95% interval {low:{form}} to {high:{form}}"
    return f"; {inner}" if name == "missed_share" else f" ({inner})"
