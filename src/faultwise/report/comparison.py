"""A comparison of experts as a table: JSON to go on from, CSV for spreadsheets, Markdown for documents.

What is compared and what the figures can bear is `evaluate.thesis`' business; nothing is computed here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from faultwise.errors import UserError
from faultwise.report import values
from faultwise.report.markdown import escape
from faultwise.report.save import write_atomic
from faultwise.report.tables import write_csv

__all__ = ["ENDINGS", "check_ending", "save_comparison", "shown"]

ENDINGS = (".json", ".csv", ".md")


def check_ending(path: Path) -> None:
    """Raise UserError for a file that no comparison is written to."""
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"`{path}` has no known ending: use one of {', '.join(ENDINGS)}.")


def shown(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the lines of a summary as cells for people: means, intervals, published figures.

    >>> shown([{"expert": "knn", "seeds": 2, "train": 1.0, "train_low": 1.0, "train_high": 1.0,
    ...         "test": 0.7, "test_low": 0.61, "test_high": 0.79}])
    [{'expert': 'knn', 'seeds': '2', 'train': '1.000', '95%': '1.000-1.000', 'test': '0.700', '95% ': '0.610-0.790'}]
    """
    made = []
    for line in lines:
        cells = {"expert": str(line["expert"]), "seeds": str(line["seeds"])}
        for part, head in (("train", "95%"), ("test", "95% ")):
            low, high = line[f"{part}_low"], line[f"{part}_high"]
            cells[part] = f"{line[part]:.3f}"
            cells[head] = values.DASH if low is None else f"{low:.3f}-{high:.3f}"
        for part in ("train", "test"):
            if f"published_{part}" in line:
                figure = line[f"published_{part}"]
                cells[f"published {part}"] = values.DASH if figure is None else f"{figure:.3f}"
        made.append(cells)
    return made


def save_comparison(record: Mapping[str, Any], path: Path) -> Path:
    """Write a record (`summary`, `notes`, `source`, ...) in the kind that the ending names, whole or not at all.

    Raises UserError for another ending and for a place that cannot be written to.
    """
    check_ending(path)
    if path.suffix.lower() == ".csv":
        return write_csv(pd.DataFrame(record["summary"]), path)
    if path.suffix.lower() == ".json":
        return write_atomic(path, json.dumps(record, indent=1, allow_nan=False) + "\n")
    cells = shown(record["summary"])
    head = list(cells[0])
    lines = [f"# Experts compared on {escape(record['source'])}", "", f"| {' | '.join(map(escape, head))} |"]
    lines += ["|---|" + "---:|" * (len(head) - 1)]
    lines += [f"| {' | '.join(escape(cell) for cell in row.values())} |" for row in cells]
    lines += ["", *(f"- {escape(note, start=True)}" for note in record["notes"])]
    return write_atomic(path, "\n".join(lines) + "\n")
