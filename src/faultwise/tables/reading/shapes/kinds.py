"""What another table is beside a record: attributes of assets, events in time, maintenance, or slow measurements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.shapes.axes import Axis, axis_of, is_time, span_of
from faultwise.tables.reading.shapes.long_form import time_column
from faultwise.tables.reading.shapes.names import ASSET, END, FAILURE, MAINTENANCE, START, TIME, hints, named
from faultwise.tables.reading.table import label_text

__all__ = ["Base", "Plan", "are_events", "plan_of"]

KINDS = {
    "attributes": "attributes of assets",
    "events": "events in time",
    "maintenance": "maintenance",
    "slow": "slow measurements",
}
_CODE = (
    "code",
    "error",
    "event",
    "type",
    "component",
    "comp",
    "failure",
    "fault",
    "alarm",
    "message",
    "action",
    "activity",
)
_RECORDS = ("error", "alarm", "event", "log", "message", "warning")
_MOST_CODES, _MOST_NUMBERS = 200, 50
_DAY, _STEPS = "24h", 50
_INTERVALS = 3.0


@dataclass(frozen=True)
class Base:
    """The record that another table is joined to: its rows, their axis of time, and the columns of asset and target."""

    frame: pd.DataFrame
    axis: Axis | None
    asset: str | None
    target: str | None
    time: str | None
    step: float


@dataclass(frozen=True, slots=True)
class Plan:
    """How a table is joined, the same for later files. Spans are in seconds, or in the unit of times that are numbers.

    `asset` and `base` are the columns of the asset in the table and in the record, "" where there are none. `span` is
    that of counts, or the oldest age of a slow measurement; `strictly` uses events only after the time they carry.
    `columns` are those that it gave the record. A span of 0 sets no limit to the age.
    """

    name: str
    kind: str
    asset: str = ""
    base: str = ""
    time: str = ""
    code: str = ""
    codes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    span: float = 0.0
    dated: bool = True
    strictly: bool = False
    columns: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that `from_dict` reads."""
        return {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(self).items()}

    @classmethod
    def from_dict(cls, raw: Mapping[str, object]) -> Plan:
        """Read what `to_dict` made."""
        return cls(**{name: tuple(one) if isinstance(one, list) else one for name, one in raw.items()})  # type: ignore[arg-type]

    @property
    def needs(self) -> set[str]:
        """The columns that a table must have."""
        return {name for name in (self.asset, self.time, self.code) if name}


def are_events(frame: pd.DataFrame, name: str) -> bool:
    """Tell whether a table holds faults with their times: what gives rows their labels, and is no measurement."""
    spans = bool(named(frame.columns, START) and named(frame.columns, END))
    numbers = [one for one in frame.columns if pd.api.types.is_float_dtype(frame[one].dtype)]
    of_faults = hints(name, FAILURE) or any(hints(one, FAILURE) for one in frame.columns)
    return spans or (of_faults and not numbers and time_column(frame) is not None)


def plan_of(frame: pd.DataFrame, name: str, base: Base, max_age: str | None = None) -> Plan:
    """Return how a table is to be joined to a record. Raises DataError where the two have nothing in common."""
    if frame.empty:
        raise DataError(f"`{name}` has no rows, so there is nothing to join: check how it was exported.")
    asset, of_base = _assets(frame, base)
    one_each = asset is not None and not frame[asset].duplicated().any() and frame[asset].notna().all()
    several = base.asset is not None and base.frame[base.asset].nunique() > 1
    time = _time(frame, name, base)
    # A date such as that of installation is an attribute; what has a time was not known before it.
    timeless = time is None or not (time == base.time or named([time], (*TIME, *START, *END)))
    if one_each and timeless and not (time and _records(name)):
        values = tuple(str(one) for one in frame.columns if one not in (asset, base.target))
        if values:
            return Plan(name, "attributes", str(asset), str(of_base), values=values, dated=_dated(base))
    if time is None:
        raise DataError(_without_key(frame, name, base, asset))
    if asset is None and several and named(frame.columns, ASSET):
        raise DataError(_without_key(frame, name, base, asset))
    if base.axis is None:
        raise DataError(f"`{name}` has times in `{time}`, but the rows it is joined to have none: pass --time COL.")
    axis = axis_of(frame[time])
    if axis.dated != base.axis.dated:
        kinds = ("dates", "numbers") if axis.dated else ("numbers", "dates")
        raise DataError(
            f"`{name}` has {kinds[0]} in `{time}`, and the rows it is joined to have {kinds[1]} in `{base.time}`; "
            "expected the same kind of time in both: convert one of them."
        )
    return _in_time(frame, name, base, max_age, str(asset or ""), str(of_base or ""), time, axis)


def _in_time(
    frame: pd.DataFrame, name: str, base: Base, max_age: str | None, asset: str, of_base: str, time: str, axis: Axis
) -> Plan:
    used = {asset, time, base.target, *named(frame.columns, (*START, *END))}
    rest = [str(one) for one in frame.columns if one not in used and frame[one].notna().any()]
    code = _code(frame, rest, name)
    numbers = [one for one in rest if one != code and pd.api.types.is_numeric_dtype(frame[one].dtype)]
    if numbers and not (code and _records(name)):
        usual = _usual(frame, asset, axis)
        limit = _INTERVALS * usual if max_age is None else span_of(max_age, axis.dated)
        ends = named(frame.columns, END)
        known = ends[0] if ends and named(frame.columns, START) else time  # what was measured is known when it is over
        return Plan(
            name, "slow", asset, of_base, known, values=tuple(rest), span=limit if np.isfinite(limit) else 0.0,
            dated=axis.dated,
        )  # fmt: skip
    words = [name, code or "", time]
    repaired = any(hints(one, MAINTENANCE) for one in words)
    failed = any(hints(one, FAILURE) for one in words)
    span = span_of(_DAY, True) if axis.dated else _STEPS * base.step
    codes = () if code is None else tuple(label_text(frame[code]).value_counts().index[:_MOST_NUMBERS])
    kind = "maintenance" if repaired and not failed else "events"
    return Plan(name, kind, asset, of_base, time, code or "", codes, (), span, axis.dated, failed)


def _assets(frame: pd.DataFrame, base: Base) -> tuple[str | None, str | None]:
    """Return the columns of the asset in a table and in the record: by name, else by their values."""
    if base.asset is not None:
        if base.asset in frame.columns:
            return base.asset, base.asset
        mine = set(label_text(base.frame[base.asset]).dropna())
        for name in [*named(frame.columns, ASSET), *map(str, frame.columns)]:
            theirs = set(label_text(frame[name]).dropna()) if not is_time(frame[name]) else set()
            integral = not pd.api.types.is_float_dtype(frame[name].dtype)
            if theirs and integral and len(theirs & mine) > 0.5 * min(len(theirs), len(mine)):
                by_name = name in named(frame.columns, ASSET)
                if by_name or not pd.api.types.is_numeric_dtype(frame[name].dtype):
                    return name, base.asset
        # What is measured of a machine may be split into runs: then both name the machine.
    shared = [name for name in named(frame.columns, ASSET) if name in base.frame.columns]
    return (shared[0], shared[0]) if shared else (None, None)


def _time(frame: pd.DataFrame, name: str, base: Base) -> str | None:
    starts, ends = named(frame.columns, START), named(frame.columns, END)
    if starts and ends:  # a repair is known when it is over, anything else when it begins
        return ends[0] if hints(name, MAINTENANCE) else starts[0]
    if base.time in frame.columns:
        return base.time
    return time_column(frame)


def _records(name: str) -> bool:
    return hints(name, _RECORDS) or hints(name, MAINTENANCE) or hints(name, FAILURE)


def _code(frame: pd.DataFrame, rest: list[str], name: str) -> str | None:
    """Return the column that says what happened, None where there is none."""
    found = []
    for one in rest:
        distinct, numeric = frame[one].nunique(), pd.api.types.is_numeric_dtype(frame[one].dtype)
        by_name = hints(one, _CODE)
        whole = numeric and by_name and _records(name) and pd.api.types.is_integer_dtype(frame[one].dtype)
        if distinct <= (_MOST_NUMBERS if numeric else _MOST_CODES) and (whole or not numeric):
            found.append((not by_name, distinct, one))
    return min(found)[2] if found else None


def _usual(frame: pd.DataFrame, asset: str, axis: Axis) -> float:
    from faultwise.tables.reading.shapes.as_of import interval_of

    of = pd.factorize(frame[asset])[0] if asset else np.zeros(len(frame), int)
    known = np.isfinite(axis.values)
    return interval_of(axis.values[known], of[known])


def _dated(base: Base) -> bool:
    return base.axis is None or base.axis.dated


def _without_key(frame: pd.DataFrame, name: str, base: Base, asset: str | None) -> str:
    if asset is not None:
        return (
            f"`{name}` has several lines for one `{asset}` and no column of times; expected one line for each, or a "
            "time in every line: add the time at which each line was true."
        )
    own = f", and the rows are of several `{base.asset}`" if base.asset else ""
    return (
        f"`{name}` has no column in common with the rows it is joined to{own}: it has {listing(frame.columns)}; "
        "expected the asset, the time, or both: add them, name the rows' own with --group and --time, or leave the "
        "table out (of a workbook choose one with --sheet NAME)."
    )
