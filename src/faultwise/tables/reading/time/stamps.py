"""A column of times into seconds: dates in words, epoch numbers, serial days of spreadsheets, or counted units.

What a column is, is found once (`kind_of`) and then holds for its later pieces (`seconds`). Times with an offset are
converted to UTC; times without one are taken as written.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.tables.reading.time.spans import UNITS, unit_of

__all__ = ["Kind", "kind_of", "says_order", "seconds"]

# Numbers in these ranges are seconds (and thousandths ...) since 1970 for the years 1990 to 2100.
_EPOCH = (6.3e8, 4.2e9)
_SCALES = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_SERIAL = (25_000.0, 75_000.0)  # days since 1899-12-30 for the years 1968 to 2105
_SERIAL_START = -2_209_161_600.0  # 1899-12-30 in seconds since 1970
_DATED = re.compile(r"date|time|stamp|zeit|datum|uhr", re.IGNORECASE)
_HEADER_UNIT = re.compile(r"(?:\[|\(|_|\s|^)([a-zA-Z]+)[\])]?\s*$")
_CLOCK = re.compile(r"\s*(\d{1,2}):(\d{2})(?::(\d{2}(?:[.,]\d+)?))?\s*")
_DAY_FIRST = re.compile(r"^\s*(\d{1,2})[./-](\d{1,2})[./-](?:\d{4}|\d{2})\b")
_MOST_UNREAD = 0.5
_MOST_SINGLE = 2000  # texts that are read one by one, a millisecond each


@dataclass(frozen=True, slots=True)
class Kind:
    """How a column of times is written. `form` is dates, clock (times of day), epoch, serial or numbers; `unit` are
    the seconds of one unit of its numbers (None: nothing tells); `day_first` tells how 03/04/2026 is meant.
    """

    form: str
    unit: float | None = 1.0
    day_first: bool = False

    def words(self) -> str:
        """Return what the column was taken to be, in words."""
        if self.form == "epoch":
            name = {1.0: "seconds", 1e-3: "milliseconds", 1e-6: "microseconds", 1e-9: "nanoseconds"}[self.unit or 1.0]
            return f"{name} since 1970"
        if self.form == "clock":
            return "times of day"
        if self.form == "serial":
            return "serial days of a spreadsheet"
        if self.form == "numbers":
            unit = next((name for name, size in UNITS.items() if size == self.unit), None)
            return f"numbers in {unit}" if unit else "numbers of an unknown unit"
        return "dates, the day first" if self.day_first else "dates"


def kind_of(values: pd.Series, name: str = "") -> Kind | None:
    """Return how a column of times is written, None where it cannot be understood as times.

    >>> kind_of(pd.Series(["2026-01-31 10:00", "2026-01-31 10:01"])), kind_of(pd.Series([1.7e12, 1.7e12 + 5]))
    (Kind(form='dates', unit=1.0, day_first=False), Kind(form='epoch', unit=0.001, day_first=False))
    >>> kind_of(pd.Series([0, 1, 2]), "time [min]"), kind_of(pd.Series(["a", "b"]))
    (Kind(form='numbers', unit=60.0, day_first=False), None)
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return Kind("dates")
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return _numeric(values.to_numpy(dtype=float, na_value=np.nan), name)
    known = values.dropna().astype(str)
    if known.empty:
        return None
    numbers = pd.to_numeric(known, errors="coerce").to_numpy(dtype=float)
    if np.isfinite(numbers).mean() > _MOST_UNREAD:
        return _numeric(numbers, name)
    sample = known.drop_duplicates().iloc[:_MOST_SINGLE]
    numbers = pd.to_numeric(sample, errors="coerce").to_numpy(dtype=float)
    if np.isfinite(numbers).mean() > _MOST_UNREAD:  # numbers in a column that was read as text
        return _numeric(numbers, name)
    if sample.map(lambda text: _CLOCK.fullmatch(text) is not None).mean() > _MOST_UNREAD:
        return Kind("clock")
    kind = Kind("dates", day_first=_day_first(known) is True)
    return kind if np.isnan(_dates(sample, kind.day_first)).mean() <= _MOST_UNREAD else None


def seconds(values: pd.Series, kind: Kind) -> np.ndarray:
    """Return times in seconds (dates: since 1970), shape (rows,), NaN for what cannot be read."""
    if kind.form == "dates":
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_datetime64_any_dtype(values.dtype):
            return np.full(len(values), np.nan)
        return _dates(values, kind.day_first)
    if kind.form == "clock":
        return np.array([_of_day(str(one)) for one in values], dtype=float)
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    if kind.form == "serial":
        return np.asarray(np.round(_SERIAL_START + numbers * 86400.0, 3))
    return np.asarray(numbers * (kind.unit or 1.0))


def _of_day(text: str) -> float:
    """Return the seconds since midnight of a time of day, NaN for another text."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return float("nan")
    return 3600.0 * int(found[1]) + 60.0 * int(found[2]) + float((found[3] or "0").replace(",", "."))


def _numeric(numbers: np.ndarray, name: str) -> Kind | None:
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return None
    low, high = float(known.min()), float(known.max())
    for scale in _SCALES.values():
        if low >= _EPOCH[0] * scale and high <= _EPOCH[1] * scale:
            return Kind("epoch", 1 / scale)
    unit = _unit_in(name)
    if unit is None and _DATED.search(name) and low >= _SERIAL[0] and high <= _SERIAL[1] and (known % 1 != 0).any():
        return Kind("serial", 86400.0)
    return Kind("numbers", unit)


def _unit_in(name: str) -> float | None:
    """Return the seconds of the unit that a header names at its end: `time [min]`, `t_ms`, `hours`."""
    found = _HEADER_UNIT.search(name)
    unit = unit_of(found[1]) if found else None
    return None if unit is None or name in ("m", "d", "w") else UNITS[unit]


def says_order(values: pd.Series) -> bool:
    """Tell whether dates such as 31/01/2026 say themselves which number is the day."""
    return _day_first(values.dropna().astype(str)) is not None


def _day_first(known: pd.Series) -> bool | None:
    """Tell whether dates such as 31/01/2026 put the day first: one number above 12 decides, dots mean days first; None
    where neither is there.
    """
    sample = known.drop_duplicates().iloc[:5000]
    parts = sample.str.extract(_DAY_FIRST.pattern).dropna()
    if parts.empty:
        return False
    first, second = parts[0].astype(int), parts[1].astype(int)
    if (first > 12).any() or (second > 12).any():
        return bool((first > 12).sum() >= (second > 12).sum())
    return True if sample.str.contains(r"^\s*\d{1,2}\.\d{1,2}\.", regex=True).mean() > 0.5 else None


def _dates(values: pd.Series, day_first: bool) -> np.ndarray:
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return _since_1970(values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values)
    texts = values.astype(object).where(values.notna(), None)
    codes, distinct = pd.factorize(np.array([None if one is None else str(one).strip() for one in texts], object))
    if not len(distinct):
        return np.full(len(values), np.nan)
    return np.where(codes >= 0, _parsed(pd.Series(distinct, dtype=object), day_first)[codes], np.nan)


def _parsed(texts: pd.Series, day_first: bool) -> np.ndarray:
    """Read distinct texts: in ISO's way, then in the way of the first one that is left, then one by one."""
    made = _since_1970(pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None))
    for form in (None, "mixed"):
        left = np.flatnonzero(np.isnan(made))[: None if form is None else _MOST_SINGLE]
        if len(left):
            with warnings.catch_warnings():  # pandas warns where it cannot infer a format
                warnings.simplefilter("ignore")
                rest = pd.to_datetime(texts.iloc[left], errors="coerce", utc=True, dayfirst=day_first, format=form)
            made[left] = _since_1970(rest.dt.tz_localize(None))
    return made


def _since_1970(stamps: pd.Series) -> np.ndarray:
    # Not nanoseconds, which end in 2262: an open end is often written as the year 9999.
    made = stamps.to_numpy(dtype="datetime64[us]").astype("int64").astype(float) / 1e6
    return np.where(stamps.isna().to_numpy(), np.nan, made)
