"""The chart of detection in time: per fault how late the first alarm comes, and how many of its rows are flagged.

Labels of faults are data: they are cleaned, never read as formulas, and escaped by matplotlib's SVG writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from faultwise.report.plots import COLOURS, drawn_png, drawn_svg, plain_axes
from faultwise.report.values import Record, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MOST_FAULTS", "alarms_figure", "alarms_png", "alarms_svg"]

MOST_FAULTS = 60
_INK, _RULE, _OUT, _BAR, _ACCENT = (COLOURS[name] for name in ("ink", "rule", "out", "bar", "accent"))


def alarms_figure(result: Record) -> Figure:
    """Draw the faults of a result, top down, up to 60: dots for median delays (log), bars for rows flagged.

    A hollow dot has missed episodes, a cross has no detected one. A line marks the share of normal rows flagged.
    """
    from matplotlib.figure import Figure

    faults = list(result["by_fault"].items())[:MOST_FAULTS]
    figure = Figure(figsize=(8.4, 1.15 + 0.25 * len(faults)), layout="constrained")
    figure.patch.set_visible(False)
    late, often = figure.subplots(1, 2, sharey=True, width_ratios=(4, 3))
    _draw_delays(late, [one for _, one in faults], result["minutes_per_row"])
    _draw_shares(often, [one["fdr"] or 0.0 for _, one in faults], result["far"])
    late.set_yticks(range(len(faults)), [clean(label, 24) for label, _ in faults])
    late.set_ylim(len(faults) - 0.4, -0.6)
    for axes in (late, often):
        plain_axes(axes, 9, pad=2)
        axes.tick_params(axis="y", length=0, pad=6)
        axes.grid(axis="x", color=_RULE, lw=0.4, zorder=0)
    for text in late.get_yticklabels():
        text.set_parse_math(False)
        text.set_color(_INK)
    return figure


def _draw_delays(late: Axes, faults: Sequence[Record], minutes: float | None) -> None:
    """Draw the median delay of each fault, in minutes where a row is known to last some, else in rows."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    unit, key, least = ("rows", "delay_samples", 1.0) if minutes is None else ("min", "delay_min", float(minutes))
    delays = [one[key] for one in faults]
    longest = max([least, *(delay for delay in delays if delay is not None)])
    edge = 5 * longest  # where crosses are drawn
    for y, (delay, one) in enumerate(zip(delays, faults, strict=True)):
        if delay is None:
            late.plot(edge, y, ls="", marker="x", ms=6, mew=1.4, color=_OUT, zorder=4)
            continue
        fill = "none" if one["missed"] else _ACCENT
        late.plot(delay, y, ls="", marker="o", ms=6.5, mew=1.4, mec=_ACCENT, mfc=fill, zorder=4)
    # Linear up to one row, so that an alarm at the onset itself, 0, has its place.
    late.set_xscale("symlog", linthresh=least, linscale=0.4)
    late.set_xlim(-0.35 * least, edge * 1.6 if None in delays else longest * 1.6)
    late.axvline(0, color=_RULE, lw=0.8, zorder=1)
    ticks = [0.0] + [tick for tick in _TICKS[unit] if least <= tick <= longest * 1.5]
    late.set_xticks([*ticks, edge] if None in delays else ticks)
    words = {edge: "none"}
    late.xaxis.set_major_formatter(FuncFormatter(lambda x, _: words.get(x, _tick(x, unit))))
    late.xaxis.set_minor_locator(NullLocator())
    known = "" if unit == "min" else ", rows"
    missed = " (hollow: some missed)" if any(one["missed"] and one["detected"] for one in faults) else ""
    late.set_title(f"Median delay to the first alarm{known}{missed}", loc="left", fontsize=10, color=_INK)


def _draw_shares(often: Axes, shares: Sequence[float], normal: float | None) -> None:
    """Draw which share of each fault's rows is flagged, over that of normal rows."""
    from matplotlib.ticker import PercentFormatter

    often.barh(range(len(shares)), shares, height=0.62, color=_BAR, zorder=2)
    often.set_xlim(0, 1)
    often.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    title = "Rows flagged" + ("" if normal is None else " (dashed: normal)")
    often.set_title(title, loc="left", fontsize=10, color=_INK)
    if normal is not None:
        often.axvline(normal, color=_OUT, lw=1.2, dashes=(3, 2), zorder=3)


_TICKS: dict[str, tuple[float, ...]] = {
    "rows": tuple(base * 10.0**power for power in range(8) for base in (1, 3)),
    "min": (1 / 60, 0.1, 0.5, 3, 10, 30, 120, 480, 1440, 7200, 43200),
}


def _tick(value: float, unit: str) -> str:
    """Return a tick in a unit that people would choose: 30 s, 10 min, 3 h, 7 d."""
    if value == 0 or unit == "rows":
        return f"{value:,.0f}"
    for size, name in ((1440.0, "d"), (60.0, "h"), (1.0, "min")):
        if value >= size:
            return f"{value / size:g} {name}"
    return f"{value * 60:g} s"


def alarms_png(result: Record) -> bytes:
    """Return the chart as PNG on white."""
    return drawn_png(lambda: alarms_figure(result), 150)


def alarms_svg(result: Record) -> str:
    """Return the chart as SVG for a page."""
    title = "Per fault: median delay to the first alarm, and share of rows flagged; the table has the figures."
    return drawn_svg(lambda: alarms_figure(result), "alarms", title)
