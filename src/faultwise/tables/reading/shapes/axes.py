"""Times and spans as numbers, so that tables can be put in one order: seconds for dates, else the file's own unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.tables.reading.time.spans import UNITS, seconds_of
from faultwise.tables.reading.time.stamps import kind_of, seconds

__all__ = ["Axis", "axis_of", "is_time", "span_of", "span_text"]

_DATED = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}:\d{2}")
_NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Axis:
    """Times as numbers, shape (rows,), NaN where there is none; `dated` for dates, whose numbers are seconds."""

    values: np.ndarray
    dated: bool

    def rows(self, where: np.ndarray) -> Axis:
        """Return the times at these positions."""
        return Axis(self.values[where], self.dated)


def axis_of(values: pd.Series) -> Axis:
    """Return times as numbers: dates and the like in seconds, other numbers (also as text) unchanged.

    >>> axis_of(pd.Series(["2026-01-01 00:00", "2026-01-01 00:01", None])).values[:2].tolist()
    [1767225600.0, 1767225660.0]
    """
    nothing = Axis(np.full(len(values), np.nan), False)
    if pd.api.types.is_bool_dtype(values.dtype):
        return nothing
    if not pd.api.types.is_datetime64_any_dtype(values.dtype) and not pd.api.types.is_numeric_dtype(values.dtype):
        numbers = pd.to_numeric(values, errors="coerce")
        values = numbers if numbers.notna().mean() > 0.5 * values.notna().mean() else values
    kind = kind_of(values, str(values.name or ""))
    if kind is None:
        return nothing
    if kind.form == "numbers":
        return Axis(values.to_numpy(dtype=float, na_value=np.nan), False)
    return Axis(seconds(values, kind), True)


def is_time(values: pd.Series) -> bool:
    """Tell whether nearly all values of a column are dates."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if pd.api.types.is_numeric_dtype(values.dtype) or values.isna().all():
        return False
    some = values.dropna().iloc[:2000].astype(str)
    if some.str.contains(_DATED).mean() <= _NEARLY_ALL:
        return False
    axis = axis_of(some)
    return axis.dated and bool(np.isfinite(axis.values).mean() > _NEARLY_ALL)


def span_of(text: str, dated: bool) -> float:
    """Return a span such as `8h` in seconds; beside times that are numbers, a plain number in their unit.

    >>> span_of("8h", True), span_of("2.5", False)
    (28800.0, 2.5)

    Raises UserError for any other text.
    """
    if not dated and re.fullmatch(r"\s*\d+(?:\.\d+)?\s*", text):
        return float(text)
    return seconds_of(text, "--max-age")


def span_text(span: float, dated: bool) -> str:
    """Return a span in words.

    >>> span_text(28800, True), span_text(5.0, False)
    ('8 h', '5 units of time')
    """
    if not dated:
        return f"{span:.6g} units of time"
    least = {"d": 2 * UNITS["d"], "h": UNITS["h"], "min": UNITS["min"]}
    unit = next((name for name, low in least.items() if span >= low and _even(span, name)), "s")
    return f"{span / UNITS[unit]:.4g} {unit}"


def _even(span: float, unit: str) -> bool:
    return abs(span / UNITS[unit] * 10 - round(span / UNITS[unit] * 10)) < 1e-9
