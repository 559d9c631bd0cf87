"""The HTML report: one self-contained file that needs no network and no JavaScript.

The template has a macro for each kind of block. No verdict and no number is computed here, nothing is written to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from faultwise.contracts.diagnosis import Diagnosis
from faultwise.report.curve_plot import curve_svgs
from faultwise.report.diagnosis import PAGE, report_of
from faultwise.report.drawings import PictureBlock, Plot, Tuning
from faultwise.report.pictures import shown
from faultwise.report.plots import series_svg
from faultwise.report.rendering import rendered

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["render_html"]

_OPACITIES = (0.0, 0.4, 0.7, 1.0)  # as in style.css
_FIRST = 0.7


def render_html(diagnosis: Diagnosis) -> str:
    """Return the report as one HTML document; the same diagnosis always gives the same text.

    At most 50 cases (24 of several items, such as images) are shown in detail and 200 runs in the overview; the count
    of the rest is given.
    """
    report = report_of(diagnosis, PAGE)
    page = {
        "title": report.title,
        "report": report,
        "opacities": _OPACITIES,
        "first": _FIRST,
        "plot": _plot,
        "picture": _picture,
        "curves": _curves,
    }
    return rendered("report.html.j2", page)


# The only places where markup is trusted: SVG made of numbers, its title escaped there, and pictures as data.
def _plot(plot: Plot) -> Markup:
    from markupsafe import Markup

    return Markup(series_svg(plot.series, plot.interval, plot.key, plot.title))


def _picture(block: PictureBlock) -> Mapping[str, object]:
    from markupsafe import Markup

    made = shown(block.picture)
    whole = {"image": Markup(made.image), "overlay": Markup(made.overlay)}
    return {**whole, "high": made.high, "wide": made.wide, "width": made.width}


def _curves(block: Tuning) -> tuple[Markup, ...]:
    from markupsafe import Markup

    return tuple(map(Markup, curve_svgs(block.log)))
