"""The two charts of a comparison as SVG: the ranking of experts, and risk by coverage.

Drawn as `plots` draws; names of experts are written as plain text, never as formulas. Bars and the confusion matrix are
HTML and not made here. Nothing is computed but places on the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.report import values
from faultwise.report.plots import COLOURS, drawn_svg, plain_axes
from faultwise.report.values import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DASHES", "SERIES", "ranking_figure", "ranking_svg", "risk_figure", "risk_svg"]

_INK, _MUTED, _RULE, _BAND, _ACCENT = (COLOURS[name] for name in ("ink", "muted", "rule", "band", "accent"))
_STEPS = (1, 2, 2.5, 5, 10)
# Colours of the lines in the light theme, in the order of the experts; the page has others for the dark one. Lines
# differ in their dashes, too.
SERIES = ("#1d5fa6", "#b3541e", "#2b7a4b", "#7a4fa3", "#8a6d00", "#a8326b", "#0f7c86", "#59636e")
DASHES = ("", "7 3", "2 2", "8 3 2 3", "5 2", "1 3", "10 4", "3 5")


def ranking_figure(lines: Sequence[Record], splits: Mapping[str, Sequence[float]], key: str) -> Figure:
    """Draw the mean and interval of figure `key` of each expert, best on top, over the values of the single splits.

    The band is the best one's interval.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2, 0.7 + 0.44 * len(lines)), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    best = lines[0]
    if best[f"{key}_low"] is not None:
        axes.axvspan(best[f"{key}_low"], best[f"{key}_high"], color=_BAND, lw=0, zorder=1)
    for place, line in enumerate(lines):
        worse = line["against_best"].startswith("worse")
        colour = _ACCENT if place == 0 else _MUTED if worse else _INK
        single = splits[line["expert"]]
        axes.plot(single, [place + 0.24] * len(single), ls="", marker="|", ms=4.5, mew=0.8, color=_MUTED, zorder=2)
        low, high = line[f"{key}_low"], line[f"{key}_high"]
        if low is not None:
            axes.plot([low, high], [place, place], color=colour, lw=1.6, solid_capstyle="butt", zorder=3)
            axes.plot([low, high], [place, place], ls="", marker="|", ms=7, mew=1.6, color=colour, zorder=3)
        axes.plot([line[key]], [place], ls="", marker="o", ms=6.5, mew=0, color=colour, zorder=4)
    axes.set_yticks(range(len(lines)), [values.clean(line["expert"], 32) for line in lines], parse_math=False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    axes.grid(axis="x", color=_RULE, lw=0.5, zorder=0)
    plain_axes(axes, 10.5)
    axes.tick_params(axis="y", length=0, labelcolor=_INK)
    return figure


def risk_figure(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the error among the most confident share of the rows, a line per expert in the order given."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    for place, curve in reversed(list(enumerate(curves.values()))):
        colour, dashes = SERIES[place % len(SERIES)], DASHES[place % len(DASHES)]
        # Every further round of the colours is drawn thinner.
        width = (2.2 if place == 0 else 1.4) / (1 + place // len(SERIES))
        style = (0, tuple(map(float, dashes.split()))) if dashes else "-"
        shares = np.arange(1, len(curve) + 1) / len(curve)
        axes.plot(shares, curve, color=colour, lw=width, ls=style, zorder=3 + (place == 0))
    axes.set_xlim(0, 1.005)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    highest = max((max(curve) for curve in curves.values()), default=0.0)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if highest > 0.05 else 1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=_STEPS))
    axes.grid(axis="y", color=_RULE, lw=0.5, zorder=0)
    axes.set_xlabel("share of rows answered, the most confident first", fontsize=10.5, color=_MUTED)
    axes.set_ylabel("error among them", fontsize=10.5, color=_MUTED)
    plain_axes(axes, 10.5)
    return figure


def ranking_svg(lines: Sequence[Record], splits: Mapping[str, Sequence[float]], key: str) -> str:
    """Return `ranking_figure` as SVG for a page."""
    figures = "; ".join(
        f"{values.clean(line['expert'])} {line[key]:.3f}"
        + ("" if line[f"{key}_low"] is None else f" ({line[f'{key}_low']:.3f} to {line[f'{key}_high']:.3f})")
        for line in lines
    )
    title = f"{key.replace('_', ' ')} of each expert with its 95% interval: {figures}"
    return _themed(drawn_svg(lambda: ranking_figure(lines, splits, key), "ranking", title))


def risk_svg(curves: Mapping[str, Sequence[float]]) -> str:
    """Return `risk_figure` as SVG for a page."""
    half = "; ".join(f"{values.clean(name)} {curve[len(curve) // 2 - 1]:.1%}" for name, curve in curves.items())
    title = f"Error by the share of rows answered; among the most confident half: {half}"
    return _themed(drawn_svg(lambda: risk_figure(curves), "risk", title))


def _themed(svg: str) -> str:
    """Let the page's theme choose the colours of lines; those that are among `COLOURS` follow it already."""
    for place, colour in enumerate(SERIES):
        svg = svg.replace(f": {colour}", f": var(--series-{place}, {colour})")
    return svg
