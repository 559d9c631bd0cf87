"""A comparison of experts as a table: JSON to go on from, CSV for spreadsheets, Markdown for documents.

What is compared and what the figures can bear is `evaluate`'s business; nothing is computed here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from faultwise.report import values
from faultwise.report.markdown import escape
from faultwise.report.values import Record
from faultwise.runs.files import check_place, write_atomic
from faultwise.runs.tables import write_csv

__all__ = ["COSTS", "ENDINGS", "cost", "save_comparison", "shown"]

ENDINGS = (".json", ".csv", ".md")


def shown(record: Record) -> list[dict[str, str]]:
    """Return the lines of a record's `summary` as cells for people: means, intervals, and what else it has.

    >>> shown({"protocol": "thesis", "summary": [{"expert": "knn", "seeds": 2, "train": 1.0, "train_low": 1.0,
    ...        "train_high": 1.0, "test": 0.7, "test_low": 0.61, "test_high": 0.79}]})
    [{'expert': 'knn', 'seeds': '2', 'train': '1.000', '95%': '1.000-1.000', 'test': '0.700', '95% ': '0.610-0.790'}]
    """
    return [(_of_runs if record["protocol"] == "runs" else _of_thesis)(line) for line in record["summary"]]


def _of_thesis(line: Record) -> dict[str, str]:
    cells = {"expert": str(line["expert"]), "seeds": str(line["seeds"])}
    for part, head in (("train", "95%"), ("test", "95% ")):
        cells[part], cells[head] = f"{line[part]:.3f}", _interval(line, part)
    for part in ("train", "test"):
        if f"published_{part}" in line:
            figure = line[f"published_{part}"]
            cells[f"published {part}"] = values.DASH if figure is None else f"{figure:.3f}"
    return cells


# Heads of the figures that people see; the others are in the JSON and CSV files.
_FIGURES = {
    "accuracy": ("accuracy", 3),
    "macro_f1": ("macro-F1", 3),
    "pr_auc": ("PR-AUC", 3),
    "log_loss": ("log-loss", 3),
    "aurc": ("AURC", 4),
}
COSTS = {"fit_s": "fit s", "rows_per_s": "rows/s", "peak_rss_mb": "MiB"}


def _of_runs(line: Record) -> dict[str, str]:
    cells = {"expert": str(line["expert"]), "splits": str(line["splits"])}
    cells |= {"mean recall": f"{line['mean_recall']:.3f}", "95%": _interval(line, "mean_recall")}
    for key, (head, digits) in _FIGURES.items():
        cells[head] = values.DASH if line.get(key) is None else f"{line[key]:.{digits}f}"
    cells |= {head: cost(line[key]) for key, head in COSTS.items()}
    cells["p"] = values.DASH if line["p"] is None else f"{line['p']:.3f}" if line["p"] >= 0.001 else "<0.001"
    cells["against the best"] = line["against_best"].removesuffix(" from the best").removesuffix(" than the best")
    return cells


def cost(value: float | None) -> str:
    """Write seconds, rows a second or MiB with the digits that repeat from one run to the next.

    >>> cost(0.0021), cost(0.0213), cost(3.14159), cost(27.6), cost(54321.9), cost(None)
    ('<0.01', '0.02', '3.1', '28', '54,322', '–')
    """
    if value is None:
        return values.DASH
    if 0 < value < 0.005:
        return "<0.01"
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _interval(line: Record, key: str) -> str:
    low, high = line[f"{key}_low"], line[f"{key}_high"]
    return values.DASH if low is None else f"{low:.3f}-{high:.3f}"


def _remarks(record: Record) -> list[str]:
    return [*record.get("remarks", []), *record.get("caveats", []), *record["notes"]]


def save_comparison(record: Record, path: Path) -> Path:
    """Write a record (`summary`, `notes`, `source`, ...) in the format that the ending names, whole or not at all.

    Raises UserError for another ending and for a place that cannot be written to.
    """
    check_place(path, ENDINGS)
    if path.suffix.lower() == ".csv":
        return write_csv(pd.DataFrame(record["summary"]), path)
    if path.suffix.lower() == ".json":
        return write_atomic(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    cells = shown(record)
    head = list(cells[0])
    lines = [f"# Experts compared on {escape(record['source'])}", "", f"| {' | '.join(map(escape, head))} |"]
    lines += ["|---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(escape(cell) for cell in row.values())} |" for row in cells]
    lines += ["", *(f"- {escape(note, start=True)}" for note in _remarks(record))]
    return write_atomic(path, "\n".join(lines) + "\n")
