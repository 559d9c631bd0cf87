"""Small plots of one variable over its run, and how every chart becomes SVG or PNG: matplotlib's object interface.

In these plots only numbers are drawn, so no text of the data gets into the SVG except, escaped, as its accessible name.
Colours are CSS variables with the light theme as fallback: inside a page all charts follow dark mode. Bars and
tables are plain HTML and not made here. matplotlib is imported when something is drawn; pyplot is never used.
"""

from __future__ import annotations

import html
import io
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.diagnosis import Series
from faultwise.contracts.findings import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

__all__ = [
    "COLOURS",
    "drawn_png",
    "drawn_svg",
    "figure_svg",
    "plain_axes",
    "series_figure",
    "series_points",
    "series_svg",
]

# Those of the light theme, by the names that `style.css` has for them.
COLOURS = {"ink": "#1b2026", "muted": "#59636e", "rule": "#c9cfd6", "band": "#dbe7f3"}
COLOURS |= {"mark": "#f3d9a4", "out": "#b3261e", "accent": "#1d5fa6", "bar": "#9db9d6"}
_SETTINGS: dict[RcKeyType, object] = {"svg.hashsalt": "faultwise", "svg.fonttype": "none", "path.simplify": True}
_SETTINGS |= {"text.usetex": False, "font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"]}
# rc_context changes settings for the whole process; a web server draws in several threads.
_LOCK = threading.Lock()


def series_points(series: Series, most: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Return positions and values, each of shape (points,), thinned to about `most` points.

    Values that are not finite become NaN, a gap. Thinning keeps the lowest and the highest value of every
    stretch, so that no spike is lost.
    """
    x = np.asarray(series.positions, dtype=float)
    y = np.asarray(series.values, dtype=float)
    # Beyond this size matplotlib's own arithmetic overflows; no sensor measures it.
    y = np.where(np.isfinite(y) & (np.abs(y) < 1e100), y, np.nan)
    if len(x) <= most:
        return x, y
    keep: set[int] = set()
    for stretch in np.array_split(np.arange(len(x)), most // 3):
        part = y[stretch]
        gap = np.isnan(part)
        if gap.any():
            keep.add(int(stretch[gap.argmax()]))
        if not gap.all():
            keep |= {int(stretch[np.nanargmin(part)]), int(stretch[np.nanargmax(part)])}
    order = sorted(keep)
    return x[order], y[order]


def series_figure(series: Series, interval: Interval | None) -> Figure:
    """Draw a series against its normal band, an interval shaded, what leaves the band in a second colour."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    x, y = series_points(series)
    figure = Figure(figsize=(4.7, 1.75), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    if interval is not None:
        first, last = interval.first - 0.5, interval.last + 0.5
        axes.axvspan(first, last, color=COLOURS["mark"], lw=0, zorder=1.5, alpha=0.7)
    _draw_values(axes, x, y, _finite(series.normal_low), _finite(series.normal_high))
    axes.margins(x=0.01, y=0.12)
    plain_axes(axes, 10.5, pad=2)
    axes.tick_params(axis="y", length=0, pad=3)
    for axis, bins in ((axes.xaxis, 6), (axes.yaxis, 4)):
        axis.set_major_locator(MaxNLocator(bins, integer=axis is axes.xaxis))
        axis.set_major_formatter(ScalarFormatter(useOffset=False, useMathText=False))
    return figure


def _finite(limit: float | None) -> float | None:
    return limit if limit is not None and np.isfinite(limit) else None


def _draw_values(axes: Axes, x: np.ndarray, y: np.ndarray, low: float | None, high: float | None) -> None:
    if low is not None and high is not None:
        axes.axhspan(low, high, color=COLOURS["band"], lw=0, zorder=1)
    for limit in (low, high):
        if limit is not None:
            axes.axhline(limit, color=COLOURS["muted"], lw=0.7, dashes=(3, 2), zorder=2)
    # A lone reading between gaps has no line; a dot keeps it visible.
    lonely = ~np.isnan(y) & np.isnan(np.r_[np.nan, y[:-1]]) & np.isnan(np.r_[y[1:], np.nan])
    axes.plot(x, y, color=COLOURS["ink"], lw=1.1, zorder=3)
    axes.plot(x[lonely], y[lonely], ls="", marker="o", ms=2, mew=0, color=COLOURS["ink"], zorder=3)
    with np.errstate(invalid="ignore"):
        outside = (y < (-np.inf if low is None else low)) | (y > (np.inf if high is None else high))
    if outside.any():
        # The neighbours come along, so that one single reading outside shows as a spike.
        near = outside | np.r_[False, outside[:-1]] | np.r_[outside[1:], False]
        axes.plot(x, np.where(near, y, np.nan), color=COLOURS["out"], lw=1.5, zorder=4)


def plain_axes(axes: Axes, size: float, pad: float = 3) -> None:
    """Leave of axes the lower line, with ticks whose labels have this size and distance, both in points."""
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(COLOURS["rule"])
    axes.tick_params(colors=COLOURS["muted"], labelsize=size, length=3, width=0.6, pad=pad)


def figure_svg(figure: Figure, key: str, title: str) -> str:
    """Write a figure as SVG to be put into HTML: the same figure always gives the same text.

    `key` (letters and digits) keeps ids apart when a page holds several plots; `title` is the accessible
    name and is escaped.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Inside a page the style block would apply to the whole page, and metadata holds addresses.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' (?:xmlns(?::xlink)?|version)="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{key}-", svg)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name}, {colour})")
    svg = re.sub(r"\n\s*", "\n", re.sub(r"<defs>\s*</defs>", "", svg))
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(title)}"', 1).strip()


def series_svg(series: Series, interval: Interval | None, key: str, title: str) -> str:
    """Draw one series and return its SVG; safe to call from several threads."""
    return drawn_svg(lambda: series_figure(series, interval), key, title)


def drawn_svg(draw: Callable[[], Figure], key: str, title: str) -> str:
    """Draw a figure and return its SVG as `figure_svg` does; safe to call from several threads."""
    import matplotlib

    with _LOCK, matplotlib.rc_context(_SETTINGS):
        return figure_svg(draw(), key, title)


def drawn_png(draw: Callable[[], Figure], dpi: int) -> bytes:
    """Draw a figure and return it as PNG on white; safe to call from several threads."""
    import matplotlib

    buffer = io.BytesIO()
    with _LOCK, matplotlib.rc_context(_SETTINGS):
        draw().savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
