"""Rows in time order within their run: sorted, repeated rows dropped, rows without a readable time left out; all said.

The order is the same whatever the order of the file was: by run, by time, and for equal times by content.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.paths import natural
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.clock import Clock
from faultwise.tables.reading.time.spans import span_text
from faultwise.tables.reading.time.stamps import Kind

__all__ = ["ordered"]

_DAY, _HOUR = 86400.0, 3600.0


def ordered(table: Table) -> Table:
    """Return the table in time order; unchanged without a time column, with a note where it cannot be understood.

    Row numbers stay those of the file. Raises DataError where most times cannot be read.
    """
    if table.roles.time is None:
        return table
    if table.stamps is None:
        note = f"`{table.roles.time}` could not be understood as times: rows are taken in the order of the file."
        return replace(table, notes=(*table.notes, note))
    kind, at = table.stamps
    notes: list[str] = []
    table, at = _readable(table, at, notes)
    at = _unwrapped(table.runs, at, kind, notes)
    order = _order(table, at)
    places = np.empty(len(order), int)
    places[order] = np.arange(len(order))
    backwards = sum(bool((np.diff(places[rows]) < 0).any()) for rows in _by_run(table.runs))
    if backwards:
        runs = len(set(table.runs))
        where = "" if runs == 1 else f" in {backwards} of {runs} runs"
        notes.append(f"Rows were not in time order{where}: sorted by `{table.roles.time}`.")
    numbers = table.row_numbers[order]
    same = bool((numbers == np.arange(1, len(order) + 1)).all())
    if not same:
        table = replace(table, frame=table.frame.iloc[order].reset_index(drop=True), numbers=numbers)
    table = _without_repeats(table, at[order], notes)
    return replace(table, notes=(*table.notes, *notes, *_sampling(table)))


def _readable(table: Table, at: np.ndarray, notes: list[str]) -> tuple[Table, np.ndarray]:
    unread = np.isnan(at)
    if not unread.any():
        return table, at
    name, count = table.roles.time, int(unread.sum())
    examples = listing(table.frame[name][unread].astype(str).unique(), 3)
    if count > len(at) / 2:
        raise DataError(f"{count} of {len(at)} values of `{name}` are no times ({examples}): name another --time COL.")
    rows = "1 row has" if count == 1 else f"{count} rows have"
    notes.append(f"{rows} no time in `{name}` that can be read ({examples}): left out.")
    return table.keeping(~unread), at[~unread]


def _unwrapped(runs: np.ndarray, at: np.ndarray, kind: Kind, notes: list[str]) -> np.ndarray:
    """Return times that go on where a clock went back: at midnight, or by an hour in autumn. Only the order of the file
    can tell that, so every other step of the run must go forward.
    """
    jump = _DAY if kind.form == "clock" else _HOUR if kind.form == "dates" else 0.0
    if not jump:
        return at
    made, found = at.copy(), 0
    for rows in _by_run(runs):
        steps = np.diff(at[rows])
        back = np.flatnonzero(steps < 0)
        fits = (steps[back] >= -jump) & ((kind.form == "clock") | (steps[back] > -jump - 1))
        usual = np.median(np.abs(steps)) if len(steps) else 0.0
        whole = kind.form == "clock" or (len(back) == 1 and bool((steps[back] + jump <= 10 * max(usual, 1.0)).all()))
        if len(back) and fits.all() and whole and len(back) <= max(1, len(rows) // 10):
            made[rows[1:]] += jump * np.cumsum(steps < 0)
            found += 1
    if found:
        what = "midnight passed" if kind.form == "clock" else "the clock went back by an hour (end of summer time)"
        notes.append(f"Times go back once or more in {found} {'run' if found == 1 else 'runs'}: {what}.")
    return made


def _by_run(runs: np.ndarray) -> list[np.ndarray]:
    codes = pd.factorize(runs)[0]
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _order(table: Table, at: np.ndarray) -> np.ndarray:
    """Return positions by run (in natural order) and time. Rows of one time stay as they are in a file that is in
    order, as those of a fast signal with stamps in whole seconds; else what was measured decides.
    """
    names = sorted(set(table.runs), key=natural)
    run = pd.Series(table.runs).map({name: place for place, name in enumerate(names)}).to_numpy()
    if all(bool((np.diff(at[rows]) >= 0).all()) for rows in _by_run(table.runs)):
        return np.lexsort((at, run))
    content = pd.util.hash_pandas_object(table.X, index=False).to_numpy()
    return np.lexsort((content, at, run))


def _without_repeats(table: Table, at: np.ndarray, notes: list[str]) -> Table:
    """Drop rows that repeat the row before in everything; say where stamps alone repeat."""
    if len(at) < 2:
        return table
    twice = np.r_[False, (np.diff(at) == 0) & (table.runs[1:] == table.runs[:-1])]
    if not twice.any():
        return table
    repeats = table.frame.duplicated().to_numpy() & twice
    others = int((twice & ~repeats).sum())
    if repeats.any():
        notes.append(f"{int(repeats.sum())} rows repeat another row of their run in everything: left out.")
    if others:
        notes.append(
            f"{others} rows have the same time as the row before in their run and other values: both were kept. Is a "
            "column of the machine or batch missing (--group COL)?"
        )
    return table.keeping(~repeats) if repeats.any() else table


def _sampling(table: Table) -> list[str]:
    """Say how often rows come, and where runs have gaps."""
    clock = Clock.of(table)
    if clock is None:
        return []
    gaps = _gap_count(table.runs, clock.gaps(table.runs, clock.seconds_in(table)))
    made = []
    if clock.mixed:
        made.append(
            f"The time between rows varies: {clock.span_text(clock.step)} to {clock.span_text(clock.gap / 5)}. A "
            "window by duration (--window 10min) treats all alike."
        )
    if gaps:
        limit = span_text(clock.gap) if clock.kind.unit is not None else f"{clock.gap:.4g}"
        made.append(f"{gaps} gaps of more than {limit} lie within runs: no window crosses them.")
    return made


def _gap_count(runs: np.ndarray, numbers: np.ndarray) -> int:
    pairs = pd.DataFrame({"run": runs, "gap": numbers}).drop_duplicates()
    return len(pairs) - pairs["run"].nunique()
