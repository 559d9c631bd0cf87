"""Read a table of events: which asset, from when to when, which fault.

Every event that cannot be used is named in a note, or refused where nothing would be left. Rows get their labels in
`marking` and `horizon`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.formats.formats import holds_tables, read_all
from faultwise.tables.reading.labels.clock import Clock, clock, row_clock, shown_time, span_of
from faultwise.tables.reading.labels.columns import EventColumns, event_columns
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.shapes.kinds import are_events
from faultwise.tables.reading.table import Table, label_text
from faultwise.tables.reading.time.stamps import Kind

__all__ = ["Events", "read_events"]

_DAY = 86400.0


@dataclass(frozen=True)
class Events:
    """Events in order of their start: `assets` as the record spells them, `starts`, `ends` (NaN: not known), `faults`,
    each of shape (events,), in units of the record's `times`, a clock of its rows. `ended` says whether the file has
    ends at all.
    """

    source: str
    assets: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    faults: np.ndarray
    ended: bool
    times: Clock
    notes: tuple[str, ...]

    def name(self, at: int) -> str:
        """Return one event in words."""
        return f"`{self.faults[at]}` at {shown_time(self.starts[at], self.times)}"


def _sheet_of_events(path: str) -> str | None:
    """Return the sheet or table of a file that holds events, None where the file holds one table. Raises DataError."""
    if not Path(path).is_file() or not holds_tables(Path(path)):
        return None
    frames, _ = read_all(path)
    if len(frames) < 2:
        return None
    found = [name for name, frame in frames.items() if are_events(frame, name)]
    if len(found) != 1:
        which = f"{listing(found)} look like events" if found else "none looks like events"
        raise DataError(
            f"`{path}` holds {listing(frames, 8)}, and {which} (asset, start, end or duration, fault): give the events "
            "in a file of their own."
        )
    return found[0]


def read_events(path: str, table: Table, target: str | None = None) -> Events:
    """Read the events of a record's assets; `target` names the column of the fault. Raises DataError."""
    times = _record_times(table)
    assets = sorted(set(table.runs)) if table.groups is not None else []
    roles = table.roles
    how = TableReading(sheet=_sheet_of_events(path))
    found = read_source(path, how=how)
    if not len(found.frame):
        raise DataError(f"`{path}` holds no events; expected a row for each: check how it was exported.")
    columns = event_columns(found.frame, path, assets, roles.group, roles.time, target)
    words = [name for name in (columns.asset, columns.fault) if name is not None]
    frame = read_source(path, as_text=words, how=how).frame  # asset 007 is not asset 7
    starts = _column_times(frame, columns.start, times, path)
    ends = _ends(frame, columns, starts, times, path)
    faults = np.full(len(frame), "fault", dtype=object)
    if columns.fault is not None:
        faults = label_text(frame[columns.fault]).to_numpy(dtype=object)
    notes: list[str] = []
    usable = np.isfinite(starts) & pd.notna(faults)
    if not usable.all():
        rows = np.flatnonzero(~usable) + 1
        notes.append(f"{len(rows)} events without a time or a fault were left out (rows {listing(rows, 5)}).")
    _check_ends(path, starts, ends, faults, times)
    names, known, remark = _assets(frame, columns, table, path)
    notes += remark
    keep = np.flatnonzero(usable & known)
    if not len(keep):
        raise DataError(f"`{path}` has no event with a time and a fault: look at {columns.note()}.")
    keep = keep[np.argsort(starts[keep], kind="stable")]
    ended = columns.end is not None or columns.duration is not None
    notes.insert(0, f"Events were read from `{Path(path).name}`: {columns.note()}.")
    if columns.fault is None:
        notes.append(f"`{Path(path).name}` has no column of faults: all events are labelled `fault`.")
    return Events(path, names[keep], starts[keep], ends[keep], faults[keep], ended, times, tuple(notes))


def _record_times(table: Table) -> Clock:
    name = table.roles.time
    if name is None:
        raise DataError(
            f"`{table.source}` was read without times, so it cannot be seen which rows lie in an event: pass --time "
            f"COL; it has {listing(table.frame.columns)}."
        )
    found = row_clock(table)
    if found is None:
        raise DataError(f"The times in `{name}` of `{table.source}` cannot be read: write them like 2026-01-31 14:05.")
    return found


def _column_times(frame: pd.DataFrame, name: str, times: Clock, path: str) -> np.ndarray:
    """Return a column of times on the record's clock, NaN where missing."""
    found = clock(frame[name], times.kind)
    if found is None:
        if frame[name].isna().all():
            return np.full(len(frame), np.nan)
        raise DataError(f"The times in `{name}` of `{path}` cannot be read: write them like those of the rows.")
    if found.stamps != times.stamps:
        kinds = ("time stamps", "numbers")
        first, second = kinds if found.stamps else kinds[::-1]
        raise DataError(f"`{name}` of `{path}` holds {first}, and the rows have {second} as times: write both alike.")
    return found.values


def _ends(frame: pd.DataFrame, columns: EventColumns, starts: np.ndarray, times: Clock, path: str) -> np.ndarray:
    if columns.end is not None:
        ends = _column_times(frame, columns.end, times, path)
        return ends + _DAY if _whole_days(starts, ends, times) else ends
    if columns.duration is None:
        return np.full(len(frame), np.nan)
    values, name = frame[columns.duration], columns.duration
    if pd.api.types.is_numeric_dtype(values.dtype):
        # Hours, unless the header names another unit; beside rows of an unknown unit, that unit.
        found = clock(values, Kind("numbers", 3600.0 if times.known else None))
        return np.full(len(frame), np.nan) if found is None else np.asarray(starts + found.values)
    spans = [_span(str(value), times, name) if pd.notna(value) else np.nan for value in values]
    return np.asarray(starts + np.array(spans))


def _span(text: str, times: Clock, name: str) -> float:
    """Return a duration such as `3:30`, `1:02:30` or `2 h`."""
    if re.fullmatch(r"\d+(:[0-5]?\d){1,2}", text.strip()):
        parts = [int(part) for part in text.split(":")]
        return float(sum(part * size for part, size in zip(parts, (3600, 60, 1), strict=False)))
    return span_of(text, times.kind, f"`{name}`")


def _whole_days(starts: np.ndarray, ends: np.ndarray, times: Clock) -> bool:
    """Whether starts and ends are dates: an event from the 5th to the 7th includes the 7th."""
    both = np.r_[starts, ends]
    both = both[np.isfinite(both)]
    return bool(times.stamps and len(both) and (both % _DAY == 0).all())


def _check_ends(path: str, starts: np.ndarray, ends: np.ndarray, faults: np.ndarray, times: Clock) -> None:
    wrong = np.flatnonzero(ends < starts)
    if len(wrong):
        at = int(wrong[0])
        start, end = (shown_time(one[at], times) for one in (starts, ends))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise DataError(
            f"`{path}`, event {at + 1} (`{faults[at]}`) ends at {end}, before its start at {start}{more}: correct it."
        )


def _assets(
    frame: pd.DataFrame, columns: EventColumns, table: Table, path: str
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return the record's name of each event's asset, which events have one that is known, and notes."""
    own = [str(name) for name in dict.fromkeys(table.runs)]
    if columns.asset is None:
        if len(own) > 1:
            raise DataError(
                f"`{path}` does not say which asset an event belongs to, and the rows are of {len(own)}; it has "
                f"{listing(frame.columns)}: add a column such as `{table.roles.group}`."
            )
        return np.full(len(frame), own[0], dtype=object), np.ones(len(frame), bool), []
    texts = label_text(frame[columns.asset])
    if table.groups is None:
        several = [str(name) for name in texts.dropna().unique()]
        if len(several) > 1:
            raise DataError(
                f"`{path}` has events of {listing(several, 4)}, and the rows do not say which asset they belong to: "
                "pass --group COL, or give the events of this asset alone."
            )
        return np.full(len(frame), own[0], dtype=object), np.ones(len(frame), bool), []
    by_name = {name.casefold(): name for name in own}
    names = np.array([by_name.get(str(text).casefold()) for text in texts], dtype=object)
    known = pd.notna(names)
    unknown = list(dict.fromkeys(str(text) for text in texts[~known]))
    if not known.any():
        raise DataError(
            f"`{path}` has events of {listing(unknown, 4)}, none of which is among the assets of the rows "
            f"({listing(own, 4)}, in `{table.roles.group}`): write their names alike, or pass --group COL."
        )
    if not unknown:
        return names, known, []
    count = int((~known).sum())
    return names, known, [f"{count} events of assets without rows were left out: {listing(unknown, 5)}."]
