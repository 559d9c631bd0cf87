"""Which column of a table of events plays which role: by its name, by the record's names, and by what it holds."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.labels.clock import clock
from faultwise.tables.reading.table import label_text

__all__ = ["EventColumns", "event_columns", "plain_name"]

_ASSET = (
    "asset", "machine", "unit", "equipment", "device", "engine", "run", "batch", "turbine", "pump", "motor", "tag",
    "object", "station", "line", "vehicle", "plant",
)  # fmt: skip
_START = ("start", "from", "begin", "onset", "began", "since")
_POINT = (
    "time", "timestamp", "datetime", "date", "when", "occurred", "ts", "cycle", "failuretime", "eventtime",
    "failuredate", "eventdate",
)  # fmt: skip
_END = ("end", "to", "until", "till", "stop", "finish", "ended", "repaired", "restored", "cleared", "closed")
_LENGTH = ("duration", "downtime", "lasted", "length")
_FAULT = (
    "fault", "failure", "label", "faulttype", "failuretype", "failuremode", "faultcode", "failurecode", "mode",
    "code", "type", "class", "cause", "category", "event", "eventtype", "description", "component",
)  # fmt: skip
_NUMBERED = ("", "id", "name", "no", "nr", "number", "code", "tag")


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Names of the columns of a table of events; None where there is none."""

    asset: str | None
    start: str
    end: str | None
    duration: str | None
    fault: str | None

    def note(self) -> str:
        """Return the roles in words."""
        named = [("asset", self.asset), ("start", self.start), ("end", self.end), ("duration", self.duration)]
        return ", ".join(f"{role} `{name[:40]}`" for role, name in [*named, ("fault", self.fault)] if name is not None)


def plain_name(name: object) -> str:
    """Return a name without case, brackets and separators.

    >>> plain_name("Machine_ID [-]"), plain_name("start time (UTC)")
    ('machineid', 'starttime')
    """
    return re.sub(r"[^a-z0-9]", "", re.sub(r"[\[(].*?[\])]", "", str(name).lower()))


def event_columns(
    frame: pd.DataFrame,
    source: str,
    assets: Collection[str],
    group: str | None = None,
    time: str | None = None,
    target: str | None = None,
) -> EventColumns:
    """Recognise the columns of a table of events beside a record with these `assets` and names of its run and time.

    `target` names the column of the fault. Raises DataError where it is not there, or no column says when.
    """
    if target is not None and target not in frame.columns:
        raise DataError(f"`{source}` has no column `{target}`; it has {listing(frame.columns)}: pass --target COL.")
    free = [str(name) for name in frame.columns if name != target]
    start, end, duration = _times(frame, free, time)
    if start is None:
        raise DataError(
            f"`{source}` has no column that says when an event was; it has {listing(frame.columns)}: expected one such "
            "as `start` or `time`, with times like those of the rows."
        )
    free = [name for name in free if name not in (start, end, duration)]
    asset = _asset(frame, free, assets, group)
    fault = target or _fault(frame, [name for name in free if name != asset])
    return EventColumns(asset, start, end, duration, fault)


def _times(frame: pd.DataFrame, free: list[str], time: str | None) -> tuple[str | None, str | None, str | None]:
    """Return the columns of start, end and duration."""
    start = _named(free, _START, prefix=True) or _named(free, [*([plain_name(time)] if time else []), *_POINT])
    end = _named([name for name in free if name != start], _END, prefix=True)
    duration = _named([name for name in free if name not in (start, end)], _LENGTH, prefix=True)
    if start is not None:
        return start, end, duration
    stamps = [name for name in free if name not in (end, duration) and _is_stamps(frame[name])]
    if not stamps:
        return None, end, duration
    if end is None and len(stamps) > 1:
        first, second = (clock(frame[name]) for name in stamps[:2])
        assert first is not None
        assert second is not None
        if not (second.values < first.values).any():
            end = stamps[1]
    return stamps[0], end, duration


def _named(names: Iterable[str], known: Iterable[str], prefix: bool = False) -> str | None:
    """Return the first column with a known name, or (`prefix`) one that begins or ends with it; the order of `known`
    decides.
    """
    plain = {plain_name(name): name for name in reversed(list(names))}
    known = list(known)
    for word in known:
        if word in plain:
            return plain[word]
    if prefix:
        for word in (word for word in known if len(word) > 2):
            for short, name in plain.items():
                if short.startswith(word) or short.endswith(word):
                    return name
    return None


def _is_stamps(values: pd.Series) -> bool:
    if pd.api.types.is_numeric_dtype(values.dtype):
        return False
    found = clock(values)
    return found is not None and found.stamps


def _asset(frame: pd.DataFrame, free: list[str], assets: Collection[str], group: str | None) -> str | None:
    words = [*([plain_name(group)] if group else []), *(word + more for word in _ASSET for more in _NUMBERED)]
    order = {word: at for at, word in reversed(list(enumerate(words)))}
    named = sorted((name for name in free if plain_name(name) in order), key=lambda name: order[plain_name(name)])
    known = {asset.casefold() for asset in assets}
    texts = [name for name in free if name not in named and not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    for name in [*named, *texts]:
        values = {str(value).casefold() for value in label_text(frame[name]).dropna().unique()}
        if values and 2 * len(values & known) >= len(values):
            return name
    return named[0] if named else None


def _fault(frame: pd.DataFrame, free: list[str]) -> str | None:
    found = _named(free, _FAULT, prefix=True)
    if found is not None:
        return found
    texts = [name for name in free if not pd.api.types.is_numeric_dtype(frame[name].dtype)]
    return texts[0] if len(texts) == 1 else None
