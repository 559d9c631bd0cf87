"""The pictures of the gallery, one function for each script, so that the scripts show the work and not the drawing.

Nothing is computed here but places on the paper; `drawing.save` writes what a function returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from sklearn.metrics import average_precision_score, precision_recall_curve

from drawing import ACCENT, BAND, INK, MARK, MUTED, OUT, RULE, canvas, plain
from faultwise.contracts.diagnosis import Case, Diagnosis
from faultwise.report.words import headline
from faultwise.tables.checks.sensors.sensor_check import SensorFault
from pump import FAULTS, UNITS

__all__ = [
    "KINDS",
    "alarms_chart",
    "comparison_chart",
    "expert_chart",
    "monitor_chart",
    "precision_chart",
    "sensors_chart",
    "stream_chart",
    "strips_chart",
    "verdict_chart",
]

# Of verdicts that stand differently, in the order of their codes.
KINDS = {"right name": ACCENT, "several, right one among them": "#a9c6e4", "unknown": "#e3a92f"}
KINDS |= {"right one excluded": OUT}
_STATES = dict(zip(("normal", *FAULTS), (RULE, ACCENT, "#b3541e", "#2b7a4b"), strict=True))


def verdict_chart(diagnosis: Diagnosis) -> Figure:
    """Draw the most telling sensors of the first case over its run, and how each sensor moved the verdict."""
    case, first = diagnosis.cases[0], diagnosis.runs[0].first_flag
    figure = canvas(9.2, 4.6, f"Minute {case.interval.last}: {headline(case.verdict)}")
    left, right = figure.subfigures(1, 2, width_ratios=(3, 2))
    panels = left.subplots(3, sharex=True)
    for axes, series in zip(panels, case.series, strict=False):
        axes.axvspan(case.interval.first, case.interval.last, color=MARK, lw=0, alpha=0.7)
        axes.axhspan(series.normal_low, series.normal_high, color=BAND, lw=0)
        axes.axvline(first, color=OUT, lw=1, dashes=(3, 2))
        axes.plot(series.positions, series.values, color=INK, lw=1.1)
        axes.margins(x=0.01)
        plain(axes, f"{series.label}, {series.unit}")
    words = "minute of the run (blue: 99% of normal; yellow: the window; red: first flagged)"
    panels[-1].set_xlabel(words, fontsize=9, color=MUTED)
    axes = plain(right.subplots(), "What moved it, log-odds")
    for place, one in enumerate(case.findings):
        axes.barh(place, one.contribution, color=ACCENT if one.contribution > 0 else OUT, height=0.6)
    axes.axvline(0, color=RULE, lw=0.8)
    axes.set_yticks(range(len(case.findings)), [f"{one.name}\n{one.measure}" for one in case.findings])
    axes.invert_yaxis()
    return figure


def strips_chart(lines: pd.DataFrame, faults: Mapping[str, str], new: str) -> Figure:
    """Draw a strip for each run of lines with run, hour, fault and kind, a place in KINDS; `new` was never learnt."""
    figure = canvas(9.2, 6.0, "One unseen run of each class, a verdict every three minutes")
    axes = plain(figure.subplots(), x="hours into the run (black: the fault sets in)")
    labels, colours = [], ListedColormap(list(KINDS.values()))
    for place, (run, rows) in enumerate(lines.groupby("run", sort=True)):
        hours, onset = rows["hour"].to_numpy(), rows.loc[rows["fault"] != "0", "hour"].min()
        edges, sides = np.r_[hours, hours[-1] + 0.05] - 0.025, [place - 0.38, place + 0.38]
        axes.pcolormesh(edges, sides, rows["kind"].to_numpy()[None], cmap=colours, vmin=0, vmax=len(KINDS) - 1)
        axes.plot([onset, onset], [place - 0.46, place + 0.46], color=INK, lw=1.6)
        fault = str(int(run[5:7]))
        told = re.sub(r" \(.*?\)|: .*", "", faults[fault])  # what stands in brackets and after a colon is too long
        labels.append(f"{'never seen in training' if fault == new else told}  {fault}")
    axes.set_yticks(range(len(labels)), labels, fontsize=7.5, color=MUTED)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    handles = [Patch(color=colour, label=kind) for kind, colour in KINDS.items()]
    figure.legend(handles=handles, loc="outside lower right", ncols=4, frameon=False, fontsize=9)
    return figure


def precision_chart(scores: Mapping[str, np.ndarray], truth: np.ndarray, title: str) -> Figure:
    """Draw precision against recall of each set of scores (rows,); the second one dashed."""
    figure = canvas(7.4, 4.2, title)
    names = {"x": "recall: share of failures found", "y": "precision: share of alarms that are failures"}
    axes = plain(figure.subplots(), **names)
    for (name, score), colour, dashes in zip(scores.items(), (ACCENT, OUT), ("-", "--"), strict=True):
        precision, recall, _ = precision_recall_curve(truth, score)
        label = f"{name}: PR-AUC {average_precision_score(truth, score):.2f}"
        axes.plot(recall, precision, color=colour, lw=1.8, ls=dashes, drawstyle="steps-post", label=label)
    axes.axhline(truth.mean(), color=RULE, lw=1)
    axes.annotate("a guess", (0.0, truth.mean()), (2, 3), textcoords="offset points", fontsize=8.5, color=MUTED)
    axes.set_ylim(0, 1.03)
    axes.legend(frameon=False, fontsize=9.5, labelcolor=INK, loc="lower left", bbox_to_anchor=(0, 0.08))
    return figure


def monitor_chart(lines: pd.DataFrame, case: Case, onset: int) -> Figure:
    """Draw a monitor's index over the run, one sensor beside it, and what makes up the first alarm."""
    figure = canvas(9.2, 5.0, f"First alarm, minute {case.interval.last}: {headline(case.verdict)}")
    left, right = figure.subfigures(1, 2, width_ratios=(5, 3))
    top, bottom = left.subplots(2, sharex=True, height_ratios=(3, 2))
    plain(top, "Largest of T2, SPE and deviation, times the limit (grey: wear begins)")
    top.plot(lines["row"], lines["times_limit"], color=INK, lw=1.2)
    top.axhline(1, color=OUT, lw=1, dashes=(3, 2))
    top.fill_between(lines["row"], 1, lines["times_limit"].clip(lower=1), color=OUT, alpha=0.25, lw=0)
    top.set_ylim(bottom=0)
    flow = next(series for series in case.series if series.variable == "flow")
    plain(bottom, "Flow, m3/h (blue: 99% of normal; yellow: a rule holds)", x="minute of the run")
    bottom.axhspan(flow.normal_low, flow.normal_high, color=BAND, lw=0)
    for row in lines.loc[lines["rules"] != "", "row"]:
        bottom.axvspan(row - 0.5, row + 0.5, color=MARK, lw=0)
    bottom.plot(flow.positions, flow.values, color=INK, lw=1.1)
    for axes in (top, bottom):
        axes.axvline(onset, color=MUTED, lw=1)
        axes.axvline(case.interval.last, color=OUT, lw=1)
        axes.margins(x=0.01)
    above, below = right.subplots(2, height_ratios=(3, 5))
    plain(above, "Statistics, times the limit")
    above.barh(list(case.verdict.statistics), list(case.verdict.statistics.values()), color=ACCENT, height=0.55)
    above.axvline(1, color=OUT, lw=1, dashes=(3, 2))
    plain(below, "What moved it, log-odds")
    found = [one for one in case.findings if one.kind == "variable"]
    words = [f"{one.variable}\n{one.deviation:+.1f} sigmas" for one in found]
    below.barh(words, [one.contribution for one in found], color=ACCENT, height=0.6)
    below.axvline(0, color=RULE, lw=0.8)
    for axes in (above, below):
        axes.invert_yaxis()
    return figure


def stream_chart(lines: pd.DataFrame, whole: pd.DataFrame, sizes: Sequence[int], onset: int) -> Figure:
    """Draw the probabilities of lines that came in pieces of these sizes, and those of the whole table as dots."""
    figure = canvas(9.2, 4.0, "A strainer clogs: probabilities, row by row")
    words = "minute of the run (black line: the fault sets in; marks above: where pieces end)"
    axes = plain(figure.subplots(), x=words)
    names = [f"p({label})" for label in _STATES]
    axes.stackplot(lines["row"], *(lines[name] for name in names), colors=_STATES.values(), labels=_STATES, lw=0)
    edges = whole[names].cumsum(axis=1).iloc[::3, :-1]
    axes.plot(whole["row"][::3], edges, ls="", marker="o", ms=2.6, mew=0, color=INK)
    axes.plot([], [], ls="", marker="o", ms=2.6, color=INK, label="the whole table at once")
    axes.axvline(onset, color=INK, lw=1.2)
    axes.vlines(np.cumsum(sizes), 1.01, 1.05, color=MUTED, lw=0.8)
    axes.set_xlim(lines["row"].min(), sum(sizes))
    axes.set_ylim(0, 1.06)
    figure.legend(frameon=False, fontsize=9, ncols=5, loc="outside lower center")
    return figure


def expert_chart(
    rows: pd.DataFrame, seen: np.ndarray, recall: Mapping[str, float], weights: Mapping[str, float]
) -> Figure:
    """Draw rows as measured, as the expert sees them (rows, 6), and the recall of each expert and of all together."""
    figure = canvas(9.2, 3.9, "Knowledge of the pump as an expert: the load is taken out")
    raw, known, worth = figure.subplots(1, 3)
    plain(raw, "As measured", x="flow, m3/h", y="suction, bar")
    plain(known, "As the expert sees it", x="flow at 2900 rpm, m3/h", y="suction loss per flow squared")
    for state, colour in _STATES.items():
        mine = (rows["state"] == state).to_numpy()
        raw.scatter(rows["flow"][mine], rows["suction"][mine], s=4, color=colour, lw=0, alpha=0.8)
        known.scatter(seen[mine, 0], seen[mine, 2], s=4, color=colour, lw=0, alpha=0.8)
        raw.scatter([], [], s=25, color=colour, label=state)
    plain(worth, "Mean recall on unseen runs")
    names = sorted(recall, key=lambda name: recall[name])
    colours = [ACCENT if name in weights else OUT if name == "fused" else MUTED for name in names]
    worth.barh(names, [recall[name] for name in names], height=0.55, color=colours)
    for place, name in enumerate(names):
        told = "all together" if name == "fused" else f"weight {weights.get(name, 0):.2f}"
        worth.text(0.03, place, told, va="center", fontsize=8, color="white")
    worth.set_xlim(0, 1)
    figure.legend(frameon=False, fontsize=9, ncols=4, loc="outside lower left", labelcolor=INK)
    return figure


def comparison_chart(record: Mapping[str, Any]) -> Figure:
    """Draw the record of a comparison: mean recall with intervals, and the error among the surest rows."""
    figure = canvas(9.2, 3.6, "Four experts on the same six halves")
    left, right = figure.subplots(1, 2)
    plain(left, "Mean recall with 95% interval", x="marks: the six halves; blue: the interval of the best")
    lines = record["summary"]
    left.axvspan(lines[0]["mean_recall_low"], lines[0]["mean_recall_high"], color=BAND, lw=0)
    for place, line in enumerate(lines):
        colour = ACCENT if place == 0 else MUTED if line["against_best"].startswith("worse") else INK
        halves = [one["figures"]["mean_recall"] for one in record["results"] if one["expert"] == line["expert"]]
        left.plot(halves, [place + 0.22] * len(halves), ls="", marker="|", color=MUTED, ms=6)
        left.plot([line["mean_recall_low"], line["mean_recall_high"]], [place, place], color=colour, lw=1.8)
        left.plot(line["mean_recall"], place, marker="o", color=colour)
    left.set_yticks(range(len(lines)), [f"{line['expert']}\n{line['against_best']}" for line in lines])
    left.set_ylim(len(lines) - 0.5, -0.5)
    plain(right, "Error among the surest rows", x="share of rows answered")
    spot = 0.0
    for name, curve in sorted(record["curves"].items(), key=lambda item: item[1][-1]):
        best = name == lines[0]["expert"]
        shares = (np.arange(len(curve)) + 1) / len(curve)
        right.plot(shares, curve, color=ACCENT if best else MUTED, lw=2 if best else 1)
        spot = max(curve[-1], spot + 0.02)  # names must not cover each other
        right.text(1.02, spot, name, fontsize=8, color=MUTED, va="center")
    right.set_ylim(bottom=0)
    return figure


def alarms_chart(result: Mapping[str, Any]) -> Figure:
    """Draw what `faultwise alarms` found: delays against false alarms for each debounce, and delays by fault."""
    figure = canvas(9.2, 3.6, f"{result['detected']} of {result['episodes']} faults raised an alarm")
    left, right = figure.subplots(1, 2)
    plain(left, "K of the last N rows flagged", x="false alarms per day of normal operation", y="median delay, minutes")
    tried = result["debounces"]
    false, delay = ([one[key] for one in tried] for key in ("false_alarms_per_day", "delay_min"))
    left.plot(false, delay, color=MUTED, lw=1)
    for one, *at in zip(tried, false, delay, strict=True):
        left.plot(*at, marker="o", ms=8, color=ACCENT if one["debounce"] == result["debounce"] else INK)
        words = f"{one['debounce']}  by chance {one['chance_recall']:.0%}"
        left.annotate(words, at, (8, 6), textcoords="offset points", fontsize=9, color=INK)
    left.set_xlim(0, 1.5 * max(false))
    left.set_ylim(0, 1.2 * max(delay))
    plain(right, f"{result['debounce']}: median delay by fault (bar), mean (mark)", x="minutes after the onset")
    for place, one in enumerate(result["by_fault"].values()):
        right.barh(place, one["delay_min"], height=0.55, color=ACCENT)
        right.plot(one["delay_min_restricted"], place, marker="|", ms=16, mew=2, color=INK)
    right.set_yticks(range(len(result["by_fault"])), list(result["by_fault"]))
    right.invert_yaxis()
    return figure


def sensors_chart(cases: Sequence[tuple[str, str, pd.DataFrame, list[SensorFault]]], since: int) -> Figure:
    """Draw each case (what was done, the sensor, rows, accusations): the sensor over the run, accused rows shaded."""
    figure = canvas(9.2, 5.6, f"What was broken from minute {since} on, and what the check says")
    panels = figure.subplots(len(cases), 1, sharex=True)
    for axes, (what, variable, rows, faults) in zip(panels, cases, strict=True):
        said = ", ".join(f"{fault.variable} {fault.kind}" for fault in faults) or "no sensor is broken"
        plain(axes, f"{what} ({variable}, {UNITS[variable]})  →  {said}")
        for fault in faults:
            axes.axvspan(fault.first - 0.5, fault.last + 0.5, color=MARK, lw=0)
        axes.axvline(since, color=MUTED, lw=1)
        axes.plot(range(1, len(rows) + 1), rows[variable], color=INK, lw=1.1)
        axes.margins(x=0.01)
    panels[-1].set_xlabel("minute of the run (yellow: rows of the accusation)", fontsize=9.5, color=MUTED)
    return figure
