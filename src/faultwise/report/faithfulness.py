"""Deletion and sufficiency of findings as a chart, and as a page, a picture or JSON.

What is drawn was computed by `evaluate.faithfulness`; nothing is computed here. matplotlib is imported when something
is drawn.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faultwise.errors import UserError
from faultwise.report.plots import drawn_svg
from faultwise.report.save import write_atomic
from faultwise.report.values import clean, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["ENDINGS", "check_ending", "faithfulness_figure", "said", "save_faithfulness"]

ENDINGS = (".html", ".png", ".json")
_MOST_LABELS = 40
_INK, _MUTED, _RULE, _BAND = "#1b2026", "#59636e", "#c9cfd6", "#dbe7f3"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --paper: #fff; --ink: #1b2026; --muted: #59636e; --rule: #c9cfd6; --band: #dbe7f3; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #14171b; --ink: #e4e7eb; --muted: #a2abb6; --rule: #343b44; --band: #22344a; }}
}}
body {{ margin: 0 auto; padding: 28px 24px 56px; max-width: 900px; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }}
svg {{ width: 100%; height: auto; }} svg text {{ font-family: inherit !important; }}
.wide {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ padding: 4px 14px 4px 0; text-align: right; border-bottom: 1px solid var(--rule); }}
th:first-child {{ text-align: left; }} tbody th {{ overflow-wrap: anywhere; min-width: 7ch; }}
.small {{ font-size: 13px; color: var(--muted); }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{said}</p>
{chart}
<div class="wide"><table>
<thead><tr>{head}</tr></thead>
<tbody>
{rows}
</tbody></table></div>
{notes}
</body>
</html>
"""
_COLUMNS = {
    "verdicts": "verdicts",
    "probability": "probability",
    "fall_cited": "fall, cited deleted",
    "fall_uncited": "fall, others deleted",
    "stays_cited": "left, cited kept alone",
    "stays_uncited": "left, others kept alone",
}


def check_ending(path: Path) -> None:
    """Raise UserError for a file that no such result is written to, or a folder that is not there."""
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"`{path}` has no known ending: use one of {', '.join(ENDINGS)}.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"There is no folder `{path.parent}` to write `{path.name}` to: create it first.")


def said(result: Mapping[str, Any]) -> str:
    """Return the result in two sentences."""
    deletion, kept, count = result["deletion"], result["sufficiency"], result["config"]["cited"]
    ratio = deletion["ratio"]
    return (
        f"Deleting the first {count} cited variables lowers the probability of {result['verdicts']} right verdicts by "
        f"{_points(deletion['cited'])} points, deleting {count} others by {_points(deletion['uncited'])}: a ratio of "
        f"{_ratio(ratio)}. Kept alone, the cited ones hold {percent(kept['cited']['mean'])} of the probability, others "
        f"{percent(kept['uncited']['mean'])}."
    )


def faithfulness_figure(result: Mapping[str, Any]) -> Figure:
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


def _panel(axes: Axes, pairs: list[tuple[float, float]], whole: Mapping[str, Any], title: str, words: str) -> None:
    """Draw one panel; `pairs` are the cited and the uncited figure of each label, `whole` those of all verdicts."""
    axes.patch.set_visible(False)
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
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_RULE)
    axes.tick_params(colors=_MUTED, labelsize=9, length=3, width=0.6)
    axes.tick_params(axis="y", length=0)


def save_faithfulness(result: Mapping[str, Any], path: Path) -> Path:
    """Write the result in the kind that the ending names (.html, .png, .json), whole or not at all.

    Raises UserError for another ending and for a place that cannot be written to.
    """
    check_ending(path)
    kind = path.suffix.lower()
    if kind == ".json":
        return write_atomic(path, json.dumps(result, indent=1, allow_nan=False) + "\n")
    if kind == ".html":
        return write_atomic(path, _page(result))
    buffer = io.BytesIO()
    faithfulness_figure(result).savefig(buffer, format="png", dpi=160, facecolor="white")
    return write_atomic(path, buffer.getvalue())


def _page(result: Mapping[str, Any]) -> str:
    title = "Do the findings carry the verdicts?"
    chart = drawn_svg(lambda: faithfulness_figure(result), "faithfulness", said(result))
    rows = [
        f'<tr><th scope="row">{html.escape(clean(label))}</th>'
        + "".join(f"<td>{line[key] if key == 'verdicts' else format(line[key], 'z.3f')}</td>" for key in _COLUMNS)
        + "</tr>"
        for label, line in result["by_label"].items()
    ]
    notes = [
        f'<p class="small">{html.escape(clean(note))}</p>' for note in (Path(result["source"]).name, *result["notes"])
    ]
    head = "".join(f'<th scope="col">{words}</th>' for words in ("label", *_COLUMNS.values()))
    return _PAGE.format(
        title=title,
        said=html.escape(said(result)),
        chart=chart,
        head=head,
        rows="\n".join(rows),
        notes="\n".join(notes),
    )


def _ratio(ratio: Mapping[str, Any], of: str = "95% over runs: ") -> str:
    mean, low, high = (None if ratio[key] is None else number(round(ratio[key], 1)) for key in ("mean", "low", "high"))
    return f"{mean}" if low is None else f"{mean} ({of}{low} to {high})"


def _points(figure: Mapping[str, Any]) -> str:
    return f"{100 * figure['mean']:.1f}"
