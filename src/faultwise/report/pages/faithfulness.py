"""Deletion and sufficiency of findings as a chart, and as a page, a picture or JSON.

What is drawn was computed by `evaluate.faithfulness`; nothing is computed here. matplotlib is imported when something
is drawn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.report.plots import COLOURS, drawn_png, drawn_svg, plain_axes
from faultwise.report.rendering import rendered
from faultwise.report.values import Record, clean, number, percent
from faultwise.runs.files import check_place, write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ENDINGS", "faithfulness_figure", "save_faithfulness", "summary"]

ENDINGS = (".html", ".png", ".json")
_MOST_LABELS = 40
_INK, _MUTED, _RULE, _BAND = (COLOURS[name] for name in ("ink", "muted", "rule", "band"))
_COLUMNS = {
    "verdicts": "verdicts",
    "probability": "probability",
    "fall_cited": "fall, cited deleted",
    "fall_uncited": "fall, others deleted",
    "stays_cited": "left, cited kept alone",
    "stays_uncited": "left, others kept alone",
}


def summary(result: Record) -> str:
    """Return the result in two sentences."""
    deletion, kept, count = result["deletion"], result["sufficiency"], result["config"]["cited"]
    ratio = deletion["ratio"]
    return (
        f"Deleting the first {count} cited variables lowers the probability of {result['verdicts']} right verdicts by "
        f"{_points(deletion['cited'])} points, deleting {count} others by {_points(deletion['uncited'])}: a ratio of "
        f"{_ratio(ratio)}. Kept alone, the cited ones hold {percent(kept['cited']['mean'])} of the probability, others "
        f"{percent(kept['uncited']['mean'])}."
    )


def faithfulness_figure(result: Record) -> Figure:
    """Draw deletion and sufficiency side by side: a line per label, cited and uncited as dots, all with intervals."""
    from matplotlib.figure import Figure

    labels = list(result["by_label"])[:_MOST_LABELS]
    figure = Figure(figsize=(7.6, 1.9 + 0.215 * (len(labels) + 1)), layout="constrained")
    figure.patch.set_visible(False)
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0.06})
    lines = [result["by_label"][label] for label in labels]
    falls = [(line["fall_cited"], line["fall_uncited"]) for line in lines]
    shares = [
        (line["stays_cited"] / line["probability"], line["stays_uncited"] / line["probability"]) for line in lines
    ]
    _panel(left, falls, result["deletion"], "Deletion", "fall of the verdict's probability")
    _panel(right, shares, result["sufficiency"], "Sufficiency", "share of the probability that stays")
    ratio = result["deletion"]["ratio"]
    left.set_title(f"ratio {_ratio(ratio, '')}", loc="right", fontsize=9, color=_MUTED)
    # Labels are the user's text: dollar signs in it are no formula.
    names = ["all", *(clean(label, 24) for label in labels)]
    left.set_yticks(range(len(names)), names, parse_math=False)
    left.set_ylim(len(names) - 0.4, -0.6)
    left.set_ylabel("label of the verdict", color=_MUTED, fontsize=9)
    count = result["config"]["cited"]
    meanings = {"cited": f"the {count} cited variables", "uncited": f"{count} others", "interval": "95% over runs"}
    marks, found = left.get_legend_handles_labels()
    figure.legend(
        marks, [meanings[name] for name in found], loc="outside lower center", ncols=3,
        frameon=False, fontsize=9, labelcolor=_INK, handletextpad=0.4,
    )  # fmt: skip
    return figure


def _panel(axes: Axes, pairs: list[tuple[float, float]], whole: Record, title: str, words: str) -> None:
    """Draw one panel; `pairs` are the cited and the uncited figure of each label, `whole` those of all verdicts."""
    axes.axhspan(-0.5, 0.5, color=_BAND, lw=0, zorder=0)
    axes.axvline(0, color=_RULE, lw=0.8, zorder=1)
    means = (whole["cited"]["mean"], whole["uncited"]["mean"])
    for place, (cited, uncited) in enumerate([means, *pairs]):
        axes.plot([cited, uncited], [place, place], color=_RULE, lw=1.4, zorder=2)
    rows = range(len(pairs) + 1)
    axes.plot([means[0], *(pair[0] for pair in pairs)], rows, "o", ms=5.5, color=_INK, label="cited", zorder=4)
    others = [means[1], *(pair[1] for pair in pairs)]
    axes.plot(others, rows, "o", ms=5.5, mfc="none", mew=1.2, color=_MUTED, label="uncited", zorder=3)
    for part, colour in (("cited", _INK), ("uncited", _MUTED)):
        low, high = whole[part]["low"], whole[part]["high"]
        if low is not None:
            name = "interval" if part == "cited" else "_"  # one of them is enough in the legend
            axes.plot([low, high], [0, 0], color=colour, lw=2.4, solid_capstyle="butt", zorder=3.5, label=name)
    axes.set_title(title, loc="left", fontsize=11, color=_INK)
    axes.set_xlabel(words, fontsize=9, color=_MUTED)
    everything = [0.0, 1.0, *means, *(figure for pair in pairs for figure in pair)]
    axes.set_xlim(min(everything) - 0.04, max(everything) + 0.03)
    plain_axes(axes, 9)
    axes.tick_params(axis="y", length=0)


def save_faithfulness(result: Record, path: Path) -> Path:
    """Write the result in the format that the ending names (.html, .png, .json), whole or not at all.

    Raises UserError for another ending and for a place that cannot be written to.
    """
    check_place(path, ENDINGS)
    ending = path.suffix.lower()
    if ending == ".json":
        return write_atomic(path, json.dumps(result, indent=1, allow_nan=False) + "\n")
    if ending == ".html":
        return write_atomic(path, _page(result))
    return write_atomic(path, drawn_png(lambda: faithfulness_figure(result), 160))


def _page(result: Record) -> str:
    from markupsafe import Markup

    page = {
        "title": "Do the findings carry the verdicts?",
        "source": Path(result["source"]).name,
        "summary": summary(result),
        # Trusted markup: our drawing, its labels escaped there.
        "chart": Markup(drawn_svg(lambda: faithfulness_figure(result), "faithfulness", summary(result))),
        "columns": ["label", *_COLUMNS.values()],
        "rows": [
            [label, *(line[key] if key == "verdicts" else format(line[key], "z.3f") for key in _COLUMNS)]
            for label, line in result["by_label"].items()
        ],
        "notes": result["notes"],
    }
    return rendered("faithfulness.html.j2", page)


def _ratio(ratio: Record, of: str = "95% over runs: ") -> str:
    mean, low, high = (None if ratio[key] is None else number(round(ratio[key], 1)) for key in ("mean", "low", "high"))
    return f"{mean}" if low is None else f"{mean} ({of}{low} to {high})"


def _points(figure: Record) -> str:
    return f"{100 * figure['mean']:.1f}"
