"""Columns of times as numbers that can be compared, and spans such as `24h`.

Order of rows, gaps and windows are not looked at here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError

__all__ = ["Clock", "clock", "shown_time", "span_of"]

_UNITS = {
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}
_SPAN = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*([a-z]*)\s*")
_DAY_FIRST = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})[./-]\d{2,4}")


@dataclass(frozen=True, slots=True)
class Clock:
    """Times `values` (rows,), NaN where missing; `unit` is their unit in seconds, None for numbers of unknown unit.

    Time `stamps` count seconds since 1970 in UTC.
    """

    values: np.ndarray
    unit: float | None
    stamps: bool = False


def clock(values: pd.Series, unit: str | None = None) -> Clock | None:
    """Read a column of times: numbers, in a unit that is stated or the last word of the column's name, or time stamps.

    Returns None where fewer than half of the values that are there can be read.

    >>> clock(pd.Series([0.5, 1.0], name="time_h")).unit
    3600.0
    >>> clock(pd.Series(["2024-01-01 00:00", "2024-01-01 00:01"])).values.tolist()
    [1704067200.0, 1704067260.0]
    """
    present = int(values.notna().sum())
    if not pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_datetime64_any_dtype(values.dtype):
        numbers = pd.to_numeric(values, errors="coerce")  # numbers that were read as text
        values = numbers if 2 * int(numbers.notna().sum()) > present else values
    if pd.api.types.is_numeric_dtype(values.dtype):
        words = re.findall(r"[a-z]+", str(values.name).lower())
        found = _UNITS.get((unit or "").strip().lower(), _UNITS.get(words[-1]) if words else None)
        return Clock(values.to_numpy(dtype=float, na_value=np.nan), found) if present else None
    codes, distinct = pd.factorize(values)
    stamps = _stamps(pd.Series(distinct))
    seconds = np.r_[(stamps - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1), np.nan].astype(float)[codes]
    return Clock(seconds, 1.0, stamps=True) if 2 * int(np.isfinite(seconds).sum()) > present else None


def _stamps(texts: pd.Series) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(texts.dtype):
        return pd.to_datetime(texts, utc=True)
    texts = texts.astype(str)
    made = pd.to_datetime(texts, errors="coerce", utc=True, format="ISO8601")
    if made.notna().all():
        return made
    dates = [match.groups() for text in texts if (match := _DAY_FIRST.match(text))]
    day_first = any(int(first) > 12 or mark == "." for first, mark, _ in dates)
    slow = pd.to_datetime(texts, errors="coerce", utc=True, format="mixed", dayfirst=day_first)
    # `mixed` takes bare numbers for years and words such as "now" for times.
    return slow.where(texts.str.contains(r"\d[./:T-]\d|[A-Za-z]{3}", regex=True))


def span_of(text: str, unit: float | None, stamps: bool, flag: str) -> float:
    """Return a span such as `24h` in units of a clock; a bare number is one of a numeric clock's own units already.

    Raises UserError.

    >>> span_of("1.5h", 60.0, False, "--before"), span_of("30", None, False, "--before")
    (90.0, 30.0)
    """
    match = _SPAN.fullmatch(text.lower())
    number = float(match[1].replace(",", ".")) if match else 0.0
    if match is None or number <= 0 or (match[2] and match[2] not in _UNITS):
        raise UserError(f"{flag} {text} is no span of time; expected a number and a unit, such as 30min, 24h or 7d.")
    if not match[2]:
        if stamps:
            raise UserError(f"{flag} {text} has no unit; expected one, such as 30min, 24h or 7d.")
        return number
    if unit is None:
        raise UserError(
            f"{flag} {text} cannot be compared with the times of the rows, whose unit is not known: name it in the "
            f"header (such as `time [h]`), or give {flag} as a bare number in that unit."
        )
    return number * _UNITS[match[2]] / unit


def shown_time(value: float, stamps: bool) -> str:
    """Write one time of a clock as people do.

    >>> shown_time(1704067200.0, True), shown_time(12.5, False)
    ('2024-01-01 00:00', '12.5')
    """
    if not stamps:
        return f"{value:g}"
    text = str(pd.Timestamp(round(value), unit="s"))
    return text.removesuffix(":00")
