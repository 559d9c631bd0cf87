"""Which rows of a table are explained, and one line per run."""

from __future__ import annotations

import numpy as np
import pandas as pd

from faultwise.contracts.diagnosis import RunSummary
from faultwise.tables.fit.predicting import Judgements

__all__ = ["decisive_rows", "run_summaries"]


def decisive_rows(judgements: Judgements, normal: str | None, cases: int) -> np.ndarray:
    """Return the positions of the rows to explain, one per run, the most flagged runs first.

    Of a run's longest flagged stretch it is the last row whose fault score reaches the stretch's median: where a fault
    has ended, the last windows hold hardly any of it.
    """
    flagged = np.zeros(len(judgements.labels), bool) if normal is None else judgements.labels != normal
    frame = pd.DataFrame({"run": judgements.runs, "flagged": flagged, "at": np.arange(len(flagged))})
    chosen = []
    for _, rows in frame.groupby("run", sort=False):
        marks, positions = rows["flagged"].to_numpy(), rows["at"].to_numpy()
        last = int(positions[-1])
        if judgements.scores is not None and marks.any():
            ids = np.cumsum(np.diff(marks.astype(int), prepend=0) == 1) * marks
            stretch = positions[ids == np.bincount(ids[marks]).argmax()]
            scores = judgements.scores[stretch]
            last = int(stretch[scores >= np.median(scores)][-1])
        chosen.append((-int(marks.sum()), last))
    return np.array([at for _, at in sorted(chosen, key=lambda pair: pair[0])[:cases]])


def run_summaries(
    judgements: Judgements, normal: str | None, times: np.ndarray | None, monitored: bool
) -> list[RunSummary]:
    """Return a line per run: how many rows were classified and flagged, and the label given most often to those."""
    made = []
    likely = np.full(len(judgements.p), np.nan) if monitored else judgements.p.max(axis=1)
    frame = pd.DataFrame({"run": judgements.runs, "label": judgements.labels, "p": likely})
    for run, rows in frame.groupby("run", sort=False):
        flagged = rows if normal is None else rows[rows["label"] != normal]
        counted = (flagged if len(flagged) else rows)["label"].value_counts()
        label = str(counted.index[0])
        first = None if normal is None or flagged.empty else int(judgements.place[flagged.index[0]])
        at = None if first is None or times is None else str(times[judgements.features.rows[flagged.index[0]]])
        probability = float(rows.loc[rows["label"] == label, "p"].mean())
        made.append(
            RunSummary(
                run=str(run),
                rows=int(judgements.place[rows.index[-1]]),
                judged=len(rows),
                flagged=0 if normal is None else len(flagged),
                label=label,
                probability=probability,
                first_flag=first,
                first_flag_time=at,
            )
        )
    return made
