"""Failures as a forecast: rows within a span before a failure get its label, and what cannot be known is left out.

Left out are the rows from a failure to the end of its repair, and those so near the end of the record that a failure
after it would have to be announced there. How well failures are announced is judged in `tables.evaluate.horizon`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.labels.clock import span_of
from faultwise.tables.reading.labels.events import Events
from faultwise.tables.reading.labels.failures import Failures
from faultwise.tables.reading.labels.marking import Marked, outside, rows_by_asset

__all__ = ["announced", "judged_rows"]

_GAP = 20  # usual steps: a longer pause after a failure is its repair


def announced(events: Events, runs: np.ndarray, normal: str, before: str) -> tuple[Marked, Failures]:
    """Label the rows within the span `before` each failure; return them and the failures.

    Raises UserError for what is no span, and DataError for one longer than the record or without any row.
    """
    times = events.times
    horizon = span_of(before, times.kind, "--before")
    of = rows_by_asset(runs, times.values)
    longest = max((float(at[-1] - at[0]) for _, at in of.values()), default=0.0)
    if horizon >= longest:
        raise DataError(
            f"--before {before} is longer than the record of any asset, so nothing would be normal: choose a shorter "
            "span, or read more rows."
        )
    made = Marked(np.full(len(runs), normal, dtype=object), ~np.isfinite(times.values))
    failures = Failures(events.assets, events.starts, events.faults, horizon, 1.0 if times.known else None)
    missed: list[int] = []
    repaired = unknown = guessed = 0
    for asset, (rows, at) in of.items():
        mine = np.flatnonzero(events.assets == asset)
        ahead = at > at[-1] - horizon
        for number, inside in judged_rows(failures, mine, at):
            made.add(rows[inside], str(events.faults[number]), normal)
            ahead &= ~inside
            if not inside.any():
                missed.append(number)
        down = np.zeros(len(rows), bool)
        for number in mine.tolist():
            start, end = events.starts[number], events.ends[number]
            if np.isnan(end):
                guessed += 1
                end = _resumed(at, start, horizon)
            down |= (at >= start) & (at < end)
        made.out[rows[down | ahead]] = True
        repaired += int(down.sum())
        unknown += int((ahead & ~down).sum())
    made.notes += outside(events, missed)
    made.notes += _notes(made, before, (len(events.starts) - len(missed), repaired, unknown, guessed), normal)
    return made, failures


def judged_rows(failures: Failures, mine: np.ndarray, times: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each failure of one asset (`mine`, positions in order of time) with a mask of the rows that announce it.

    `times` (rows,) are those of the asset's rows, in the unit of the failures. A row announces the next failure only.
    """
    last = -np.inf
    for at, number in enumerate(mine):
        time = failures.times[number]
        if at and time > failures.times[mine[at - 1]]:
            last = failures.times[mine[at - 1]]
        yield int(number), (times >= max(time - failures.horizon, last)) & (times < time)


def _resumed(times: np.ndarray, start: float, horizon: float) -> float:
    """Return when an asset is taken to run again: after the first pause within a horizon, else after a horizon."""
    steps = np.diff(times)
    usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
    later = np.flatnonzero((times[1:] > start) & (times[:-1] < start + horizon) & (steps > _GAP * usual))
    return float(times[later[0] + 1]) if len(later) and usual else start + horizon


def _notes(made: Marked, before: str, counts: tuple[int, int, int, int], normal: str) -> list[str]:
    announced_failures, repaired, unknown, guessed = counts
    before = before if before.strip()[-1:].isalpha() else f"{before} units of time"
    kept = ~made.out
    labelled = int((made.y[kept] != normal).sum())
    notes = [
        f"{labelled:,} rows within {before} before {announced_failures} failures have the failure as their label; "
        f"{int(kept.sum()) - labelled:,} rows are `{normal}`."
    ]
    if repaired:
        how = ""
        if guessed:
            how = f" ({guessed} without a stated end: up to the next pause of the record, or for {before})"
        notes.append(f"{repaired:,} rows from a failure to the end of its repair were left out{how}.")
    if unknown:
        notes.append(
            f"{unknown:,} rows less than {before} before the end of their record were left out: whether a failure "
            "followed is not known."
        )
    return notes
