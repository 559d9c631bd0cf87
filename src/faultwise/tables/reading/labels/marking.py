"""Rows get the labels of the events they lie in; the others are normal. Forecasts are made in `horizon`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.labels.events import Events

__all__ = ["Marked", "marked", "outside", "rows_by_asset"]


@dataclass
class Marked:
    """Labels of rows (rows,), further labels of rows with several faults at once by position, rows to leave out
    (rows,; boolean), and notes.
    """

    y: np.ndarray
    out: np.ndarray
    also: dict[int, tuple[str, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, rows: np.ndarray, fault: str, normal: str) -> None:
        """Give rows a label; those that have another fault already keep it and get this one beside it."""
        free = self.y[rows] == normal
        self.y[rows[free]] = fault
        for at in rows[~free].tolist():
            known = (self.y[at], *self.also.get(at, ()))
            if fault not in known:
                self.also[at] = (*self.also.get(at, ()), fault)


def rows_by_asset(runs: np.ndarray, times: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the positions of each asset's rows in order of time, and their times; rows without a time are left out.

    >>> rows_by_asset(np.array(["a", "b", "a"]), np.array([2.0, 0.0, 1.0]))["a"][0].tolist()
    [2, 0]
    """
    timed = np.flatnonzero(np.isfinite(times))
    order = timed[np.lexsort((times[timed], runs[timed].astype(str)))]
    names, starts = np.unique(runs[order].astype(str), return_index=True)
    parts = np.split(order, starts[1:])
    return {str(name): (part, times[part]) for name, part in zip(names, parts, strict=True)}


def marked(events: Events, runs: np.ndarray, normal: str) -> Marked:
    """Label the rows from the start of each event up to its end, which they do not reach.

    Raises DataError for events without ends, and where no event covers a row.
    """
    if not events.ended:
        raise DataError(
            f"`{events.source}` says when faults came, not how long they lasted: pass --before SPAN (such as 24h) to "
            "learn what announces them, or add a column `end` or `duration`."
        )
    made = Marked(np.full(len(runs), normal, dtype=object), np.zeros(len(runs), bool))
    of = rows_by_asset(runs, events.times.values)
    missed, open_ended = [], 0
    for at, (asset, start, end, fault) in enumerate(
        zip(events.assets, events.starts, events.ends, events.faults, strict=True)
    ):
        rows, times = of.get(str(asset), (np.empty(0, int), np.empty(0)))
        first = int(np.searchsorted(times, start, "left"))
        last = len(times) if np.isnan(end) else int(np.searchsorted(times, end, "left"))
        if end == start:  # the row of that very moment
            last = int(np.searchsorted(times, end, "right"))
        if np.isnan(end):
            open_ended += 1
        if last <= first:
            missed.append(at)
        made.add(rows[first:last], str(fault), normal)
    made.notes += outside(events, missed)
    if open_ended:
        made.notes.append(f"{open_ended} events have no end: they last to the end of the record.")
    timeless = int((~np.isfinite(events.times.values)).sum())
    if timeless:
        made.out |= ~np.isfinite(events.times.values)
        made.notes.append(f"{timeless:,} rows without a time were left out: no event can be compared with them.")
    count = int((made.y != normal).sum())
    made.notes.append(
        f"{len(events.starts) - len(missed)} events gave {count:,} of {len(runs):,} rows their label; the others are "
        f"`{normal}`."
    )
    return made


def outside(events: Events, missed: list[int]) -> list[str]:
    """Return a note on events without any row. Raises DataError where that is all of them."""
    if not missed:
        return []
    shown = ", ".join(events.name(at) for at in missed[:3]) + (", ..." if len(missed) > 3 else "")
    if len(missed) == len(events.starts):
        raise DataError(
            f"None of the {len(missed)} events of `{events.source}` covers a row ({shown}): look at the times of both, "
            "and at their time zones."
        )
    return [f"{len(missed)} events cover no row and were left out: {shown}."]
