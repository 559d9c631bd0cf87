"""The course of a language model's tuning as two small charts: loss and accuracy by step.

Drawn as `plots` draws: only numbers get into the SVG, colours follow the page. What the figures mean is decided in
`language.classifier.curves`, and the legend is HTML and not made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.report.plots import COLOURS, drawn_svg, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curve_figure", "curve_svgs", "drawable"]

_INK, _MUTED, _RULE, _ACCENT = (COLOURS[name] for name in ("ink", "muted", "rule", "accent"))
_DASHES, _DOTS = (0, (4, 2)), (0, (1, 2))


def drawable(curves: object) -> bool:
    """Whether there are two evaluations or more, with a figure on validation rows among them."""
    if not isinstance(curves, Mapping):
        return False
    step = _array(curves.get("step"))
    known = [~np.isnan(_array(curves.get(name), len(step))) for name in ("log_loss", "accuracy")]
    return len(step) > 1 and bool(np.any(known))


def curve_figure(
    step: Sequence[float | None],
    training: Sequence[float | None],
    validation: Sequence[float | None],
    best: float | None = None,
    shares: bool = False,
    chance: float | None = None,
) -> Figure:
    """Draw one figure (evaluations,) on training rows (dashed) and validation rows against the step; None is a gap.

    `best` is the step of the best evaluation, `chance` the height of a dotted line; `shares` are drawn from 0 to 1.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    x = _array(step)
    figure = Figure(figsize=(4.7, 2.5), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    if best is not None:
        axes.axvline(best, color=_RULE, lw=1.0, zorder=1)
    if chance is not None:
        axes.axhline(chance, color=_MUTED, lw=1.2, ls=_DOTS, zorder=2)
    # A dot at every evaluation: between gaps there is no line.
    y = _array(training, len(x))
    axes.plot(x, y, color=_MUTED, lw=1.4, ls=_DASHES, marker="o", ms=2.6, mew=0, zorder=3)
    y = _array(validation, len(x))
    axes.plot(x, y, color=_ACCENT, lw=1.8, marker="o", ms=3.6, mew=0, zorder=4)
    if best is not None and len(at := np.flatnonzero((x == best) & ~np.isnan(y))):
        axes.plot(x[at[:1]], y[at[:1]], ls="", marker="o", ms=8, mew=1.6, mfc="none", mec=_INK, zorder=5)
    _scale_values(axes, shares)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(ScalarFormatter(useOffset=False, useMathText=False))
    axes.grid(axis="y", color=_RULE, lw=0.5, zorder=0)
    plain_axes(axes, 10.5)
    axes.tick_params(axis="y", length=0)
    return figure


def _scale_values(axes: Axes, shares: bool) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter, ScalarFormatter

    axes.margins(x=0.03, y=0.08)
    if shares:
        # The best marker and a curve at 0% or 100% must not be cut.
        axes.set_ylim(-0.03, 1.05)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    else:
        axes.set_ylim(bottom=min(0.0, *axes.get_ylim()))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False, useMathText=False))


def curve_svgs(log: Mapping[str, object], key: str = "lm") -> tuple[str, str]:
    """Return the charts of loss and of accuracy of a `language.classifier.curves.summary`, as SVG for a page.

    `key` (letters and digits) keeps their ids apart from others. The summary has to be `drawable`.
    """
    curves, best, chance = log["curves"], _number(log.get("best_step")), _number(log.get("chance"))
    assert isinstance(curves, Mapping)
    at = {name: curves.get(name) or [] for name in ("step", "loss", "log_loss", "train_accuracy", "accuracy")}
    loss = drawn_svg(
        lambda: curve_figure(at["step"], at["loss"], at["log_loss"], best),
        f"{key}loss",
        f"Loss by step: {_ends('training', at['loss'])}; {_ends('validation', at['log_loss'])}",
    )
    accuracy = drawn_svg(
        lambda: curve_figure(at["step"], at["train_accuracy"], at["accuracy"], best, True, chance),
        f"{key}accuracy",
        f"Accuracy by step: {_ends('training', at['train_accuracy'])}; {_ends('validation', at['accuracy'])}",
    )
    return loss, accuracy


def _ends(name: str, figures: Sequence[float | None]) -> str:
    known = _array(figures)
    known = known[~np.isnan(known)]
    return f"{name} from {known[0]:.2f} to {known[-1]:.2f}" if len(known) else f"{name} unknown"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _array(figures: object, length: int | None = None) -> np.ndarray:
    """Return floats (evaluations,), NaN for what is missing or too large to be drawn; [] or NaN if there is nothing."""
    try:
        given = figures if isinstance(figures, Iterable) else ()
        made = np.array([np.nan if value is None else value for value in given], dtype=float)
    except (TypeError, ValueError, OverflowError):
        made = np.empty(0)
    made = np.where(np.isfinite(made) & (np.abs(made) < 1e100), made, np.nan)
    if length is not None:
        made = np.append(made[:length], np.full(max(0, length - len(made)), np.nan))
    return made
