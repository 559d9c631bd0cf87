"""The charts of a search as SVG: the course of it, what mattered, and the value by each parameter.

Drawn as `plots` draws. Nothing is computed but places on the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.report.plots import COLOURS, drawn_svg, plain_axes
from faultwise.report.values import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "importance_figure",
    "importance_svg",
    "progress_figure",
    "progress_svg",
    "slices_figure",
    "slices_svg",
]

_INK, _MUTED, _RULE, _BAR, _ACCENT = (COLOURS[name] for name in ("ink", "muted", "rule", "bar", "accent"))
_WORST = 90  # percent: poorer trials are drawn at the upper edge, or they would press all others to the lower one


def progress_figure(trials: Sequence[Record]) -> Figure:
    """Draw the value of each complete trial (dots), the best so far (line) and pruned trials (ticks at the top)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    complete = [one for one in trials if one["value"] is not None]
    numbers = [one["number"] for one in complete]
    values = np.array([one["value"] for one in complete], float)
    top = _top(values)
    axes.plot(numbers, np.minimum(values, top), ls="", marker="o", ms=4.5, mew=0, color=_MUTED, zorder=3)
    last = max((one["number"] for one in trials), default=0)
    best = np.minimum.accumulate(values)
    axes.step([*numbers, last], [*np.minimum(best, top), *best[-1:]], where="post", color=_ACCENT, lw=1.8, zorder=4)
    pruned = [one["number"] for one in trials if one["state"] == "pruned"]
    axes.plot(pruned, [top] * len(pruned), ls="", marker="|", ms=8, mew=1, color=COLOURS["out"], zorder=2)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", color=_RULE, lw=0.5, zorder=0)
    axes.set_xlabel("trial", fontsize=10.5, color=_MUTED)
    axes.set_ylabel("log loss", fontsize=10.5, color=_MUTED)
    plain_axes(axes, 10.5)
    return figure


def importance_figure(shares: Mapping[str, float]) -> Figure:
    """Draw the share of each parameter as a bar, the largest on top."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    names = sorted(shares, key=lambda name: -shares[name])
    figure = Figure(figsize=(5.2, 0.8 + 0.34 * len(names)), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.barh(range(len(names)), [shares[name] for name in names], height=0.6, color=_BAR, zorder=2)
    axes.set_yticks(range(len(names)), names, parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="x", color=_RULE, lw=0.5, zorder=0)
    plain_axes(axes, 10.5)
    axes.tick_params(axis="y", length=0, labelcolor=_INK)
    return figure


def slices_figure(trials: Sequence[Record], space: Record) -> Figure:
    """Draw the value of each complete trial by each parameter, three in a row; words are in the space's order."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    complete = [one for one in trials if one["value"] is not None]
    values = np.array([one["value"] for one in complete], float)
    best = int(values.argmin())
    lines = -(-len(space) // 3)
    figure = Figure(figsize=(9.6, 0.3 + 2.0 * lines), layout="constrained")
    figure.patch.set_visible(False)
    for place, (name, dimension) in enumerate(space.items()):
        axes = figure.add_subplot(lines, 3, place + 1)
        given = [one["params"][name] for one in complete]
        if isinstance(dimension, list):
            at = np.array([dimension.index(value) for value in given], float)
            axes.set_xticks(range(len(dimension)), [_word(value) for value in dimension], parse_math=False)
            axes.set_xlim(-0.5, len(dimension) - 0.5)
        else:
            at = np.array(given, float)
            if dimension["log"]:
                axes.set_xscale("log")
                axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
                axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            else:
                axes.xaxis.set_major_locator(MaxNLocator(4))
        shown = np.minimum(values, _top(values))
        axes.plot(at, shown, ls="", marker="o", ms=3.6, mew=0, color=_MUTED, zorder=2)
        axes.plot(at[best : best + 1], shown[best : best + 1], ls="", marker="o", ms=6, mew=0, color=_ACCENT, zorder=3)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="y", color=_RULE, lw=0.5, zorder=0)
        axes.set_title(name, fontsize=10, color=_INK, parse_math=False)
        plain_axes(axes, 9)
        axes.tick_params(axis="x", which="minor", length=0, labelbottom=False)
    return figure


def progress_svg(trials: Sequence[Record]) -> str:
    """Return `progress_figure` as SVG for a page."""
    values = [one["value"] for one in trials if one["value"] is not None]
    best = f"; best log loss {min(values):.4f}" if values else ""
    title = f"Log loss of {len(values)} complete of {len(trials)} trials in their order{best}"
    return drawn_svg(lambda: progress_figure(trials), "progress", title)


def importance_svg(shares: Mapping[str, float]) -> str:
    """Return `importance_figure` as SVG for a page."""
    words = "; ".join(f"{name} {shares[name]:.0%}" for name in sorted(shares, key=lambda name: -shares[name]))
    return drawn_svg(lambda: importance_figure(shares), "importance", f"Importance of the parameters: {words}")


def slices_svg(trials: Sequence[Record], space: Record) -> str:
    """Return `slices_figure` as SVG for a page."""
    title = f"Log loss of complete trials by {', '.join(space)}; the best trial's dot is larger"
    return drawn_svg(lambda: slices_figure(trials, space), "slices", title)


def _top(values: np.ndarray) -> float:
    """The upper edge: a little above all values that are not far worse than the most."""
    if not len(values):
        return 1.0
    low, high = float(values.min()), float(np.percentile(values, _WORST))
    return min(float(values.max()), high + 0.5 * (high - low)) + 0.08 * max(high - low, 1e-3)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
