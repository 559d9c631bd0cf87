"""The report of a comparison: one self-contained HTML file that needs no network and no JavaScript.

`render_page` gathers everything into plain rows and the template words them in the frame of `pages`.
No figure is computed here beyond shares of a confusion matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from faultwise.report import values
from faultwise.report.pages.comparison import COSTS, cost, shown
from faultwise.report.pages.comparison_plots import DASHES, SERIES, ranking_svg, risk_svg
from faultwise.report.rendering import rendered
from faultwise.report.values import Record
from faultwise.runs.files import write_atomic

__all__ = ["render_page", "save_page"]

_MOST_LABELS = 40  # of a matrix that can still be looked at
_NUMBERED = 24  # labels up to which cells have numbers
_CONFUSIONS = 10
_DARK = ("#82b4ee", "#f0a070", "#7fcf9f", "#c3a2ea", "#d9c25a", "#f08fbb", "#63cbd4", "#a2abb6")
_SPLITS = {
    "group": "halves of whole runs",
    "row": "halves of rows drawn at random",
    "block": "the last third of every stretch",
}


def save_page(record: Record, path: Path) -> Path:
    """Write the report of a finished record, whole or not at all. Raises UserError as `write_atomic` does."""
    return write_atomic(path, render_page(record))


def render_page(record: Record) -> str:
    """Return the report of a record of the protocol `runs` as one HTML document.

    `results` are those to be shown, `fits_left` counts what an interrupted comparison has not run.
    """
    return rendered("comparison.html.j2", _page(record))


def _page(record: Record) -> dict[str, object]:
    from markupsafe import Markup

    lines, config = record["summary"], record["config"]
    best, confusion = lines[0], _in_order(record["confusion"])
    key = record["ranked_by"]
    splits = {
        line["expert"]: [one["figures"][key] for one in record["results"] if one["expert"] == line["expert"]]
        for line in lines
    }
    curves = {line["expert"]: record["curves"][line["expert"]] for line in lines}
    # What experts cost has bars of its own.
    cells = [{head: cell for head, cell in row.items() if head not in COSTS.values()} for row in shown(record)]
    reach = "" if best[f"{key}_low"] is None else f" ({best[f'{key}_low']:.3f} to {best[f'{key}_high']:.3f})"
    left = record.get("fits_left", 0)
    return {
        "light": SERIES,
        "dark": _DARK,
        "source": record["source"],
        "best": best["expert"],
        "title": f"{values.clean(best['expert'])} comes out best: mean recall {best[key]:.3f}{reach}",
        "lead": record["remarks"],
        "facts": _facts(record),
        "left": f"{left} fits have not been run yet: these are figures of the others." if left else "",
        "ranking": Markup(ranking_svg(lines, splits, key)),
        "risk": Markup(risk_svg(curves)),
        "legend": _legend(lines),
        "columns": list(cells[0]),
        "rows": [list(row.values()) for row in cells],
        "labels": confusion["labels"],
        "matrix": _matrix(confusion),
        "confusions": _confusions(confusion),
        "costs": _costs(lines),
        "notes": [*record["caveats"], *record["notes"]],
        "provenance": values.flatten(
            {**config, **{name: record[name] for name in ("data_hash", "commit", "machine", "ratio")}}
        ),
    }


def _legend(lines: Sequence[Record]) -> list[dict[str, object]]:
    return [
        {
            "name": line["expert"],
            "colour": place % len(SERIES),
            "dashes": DASHES[place % len(DASHES)] or "none",
            "width": 3 if place == 0 else 2,
            "area": f"{line['aurc']:.4f}",
        }
        for place, line in enumerate(lines)
    ]


def _facts(record: Record) -> str:
    config, lines = record["config"], record["summary"]
    splits = max(line["splits"] for line in lines)
    rows = [one["test_rows"] for one in record["results"]]
    window = "single rows" if config["window"] == 1 else f"windows of {config['window']} samples"
    most = f"{min(rows):,}" if min(rows) == max(rows) else f"{min(rows):,} to {max(rows):,}"
    return (
        f"{len(lines)} {'expert' if len(lines) == 1 else 'experts'}, {len(config['labels'])} labels, {window}. "
        f"{splits} {'split' if splits == 1 else 'splits'}, the same for all: {_SPLITS[config['split']]}; "
        f"{most} rows judged in each, none of them learnt from."
    )


def _in_order(confusion: Record) -> dict[str, object]:
    """Return the matrix with labels that are numbers in the order of numbers: 2 before 10."""
    labels, rows = confusion["labels"], confusion["rows"]
    order = sorted(range(len(labels)), key=lambda at: (len(labels[at]) if labels[at].isdecimal() else 0, labels[at]))
    return {"labels": [labels[at] for at in order], "rows": [[rows[row][at] for at in order] for row in order]}


def _matrix(confusion: Record) -> list[tuple[str, list[dict[str, str]]]]:
    """Return the cells of each label's row; nothing for more labels than can be looked at."""
    labels = confusion["labels"]
    if len(labels) > _MOST_LABELS:
        return []
    made = []
    for place, (label, counts) in enumerate(zip(labels, confusion["rows"], strict=True)):
        whole = sum(counts)
        cells = []
        for at, count in enumerate(counts):
            share = count / whole if whole else 0.0
            text = f"{100 * share:.0f}" if share >= 0.005 and len(labels) <= _NUMBERED else ""
            cells.append(
                {
                    "kind": ("same" if at == place else "other") + (" strong" if share > 0.55 else ""),
                    "share": f"{100 * share:.1f}%",
                    "text": text,
                    "title": f"{values.clean(label)} predicted as {values.clean(labels[at])}: {count} of {whole}",
                }
            )
        made.append((label, cells))
    return made


def _confusions(confusion: Record) -> list[dict[str, object]]:
    """Return the pairs of labels that are confused most, by their share of the label's rows."""
    labels, rows = confusion["labels"], confusion["rows"]
    found = [
        {"label": label, "predicted": labels[at], "share": count / sum(counts), "rows": f"{count:,} of {sum(counts):,}"}
        for place, (label, counts) in enumerate(zip(labels, rows, strict=True))
        for at, count in enumerate(counts)
        if at != place and count
    ]
    return sorted(found, key=lambda one: -one["share"])[:_CONFUSIONS]


def _costs(lines: Sequence[Record]) -> list[dict[str, object]]:
    blocks: list[dict[str, object]] = []
    for key, head, words in (
        ("fit_s", "Fitting, seconds", "One split, median; shorter is better"),
        ("rows_per_s", "Predicting, rows a second", "Median; longer is better"),
        ("peak_rss_mb", "Memory, MiB", "Peak beyond what was held before, median"),
    ):
        known = [line[key] for line in lines if line[key] is not None]
        if known:
            most = max(known) or 1.0
            rows = [
                {
                    "name": line["expert"],
                    "value": cost(line[key]),
                    "width": f"{100 * (line[key] or 0.0) / most:.2f}%",
                    "best": place == 0,
                }
                for place, line in enumerate(lines)
            ]
            blocks.append({"head": head, "words": words, "rows": rows})
    return blocks
