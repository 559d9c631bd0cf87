"""A line per text as a file."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.texts.reading import Texts
from faultwise.texts.verdicts import TextJudgements

__all__ = ["csv_text", "write_lines"]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Return rows as CSV, cells with commas in quotes.

    >>> csv_text([("word", "for"), ("brg", "bearing, ball")])
    'word,for\\nbrg,"bearing, ball"\\n'
    """
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue()


def write_lines(
    texts: Texts, made: TextJudgements, classes: np.ndarray, out: Path, every: bool
) -> Mapping[str, object]:
    """Write `.parquet` or `.csv`, whole or not at all: row, text, label, probability, status, and with `every` the
    probability of each label. Empty texts have no label.
    """
    started = time.monotonic()
    labels = [None if empty else str(label) for label, empty in zip(made.labels, made.empty, strict=True)]
    frame = pd.DataFrame(
        {"row": texts.rows, "text": texts.texts, "label": labels, "probability": made.p.max(axis=1).round(4)}
    )
    if texts.names:
        frame.insert(0, "note", list(texts.names))
    if made.sets is not None:
        frame["status"] = made.sets.status
        members = [" | ".join(classes[one]) for one in made.sets.members]
        frame["possible"] = members
    if every:
        frame = pd.concat([frame, pd.DataFrame(made.p.round(4), columns=[f"p {label}" for label in classes])], axis=1)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=out.absolute().parent) as folder:
        file = Path(folder) / out.name
        if out.suffix == ".parquet":
            frame.to_parquet(file, index=False)
        else:
            frame.to_csv(file, index=False)
        os.replace(file, out)
    counts = Counter(label for label in labels if label is not None)
    judged = len(labels) - int(made.empty.sum())
    seconds = time.monotonic() - started
    return {"rows": len(labels), "judged": judged, "labels": dict(counts.most_common()), "seconds": round(seconds, 2)}
