"""Times of events beside those of rows, as numbers that can be compared, and spans such as `24h` in their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.spans import seconds_of
from faultwise.tables.reading.time.stamps import Kind, kind_of, says_order, seconds

__all__ = ["Clock", "clock", "row_clock", "shown_time", "span_of"]

_NUMBER = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Clock:
    """Times `values` (rows,), NaN where missing: in seconds where their `kind` tells the unit, else as they are."""

    values: np.ndarray
    kind: Kind

    @property
    def known(self) -> bool:
        """Whether the values are seconds."""
        return self.kind.unit is not None

    @property
    def stamps(self) -> bool:
        """Whether the values are moments of a calendar."""
        return self.kind.form in ("dates", "epoch", "serial")


def clock(values: pd.Series, like: Kind | None = None) -> Clock | None:
    """Read a column of times; bare numbers, and dates such as 03/04/2026, are `like` those of the rows. None where it
    cannot be understood.

    >>> clock(pd.Series([0.5, 1.0], name="time_h")).values.tolist()
    [1800.0, 3600.0]
    >>> clock(pd.Series(["2024-01-01 00:00", "2024-01-01 00:01"])).values.tolist()
    [1704067200.0, 1704067260.0]
    """
    kind = kind_of(values, str(values.name))
    if kind is None:
        return None
    if like is not None and kind.form == like.form == "numbers" and None in (kind.unit, like.unit):
        kind = like
    if like is not None and kind.form == like.form == "dates" and not says_order(values):
        kind = replace(kind, day_first=like.day_first)
    return Clock(seconds(values, kind), kind)


def row_clock(table: Table) -> Clock | None:
    """Read the times of a table's rows; a unit that the companion states counts. None without a column of times."""
    name = table.roles.time
    if name is None:
        return None
    known = table.about.variables.get(name)
    values = table.frame[name]
    return clock(values.rename(f"{name} [{known.unit}]") if known is not None and known.unit else values)


def span_of(text: str, kind: Kind, flag: str) -> float:
    """Return a span such as `24h` as a length on a clock of this kind; a bare number counts units of its column.

    Raises UserError.

    >>> span_of("1.5h", Kind("numbers", 60.0), "--before"), span_of("30", Kind("numbers", None), "--before")
    (5400.0, 30.0)
    """
    bare = _NUMBER.fullmatch(text)
    if bare is None:
        length = seconds_of(text, flag)
        if kind.unit is None:
            raise UserError(
                f"{flag} {text} cannot be compared with the times of the rows, whose unit is not known: name it in the "
                f"header (such as `time [h]`), or give {flag} as a bare number in that unit."
            )
        return length
    number = float(bare[1].replace(",", "."))
    if kind.form != "numbers" or number <= 0:
        raise UserError(f"{flag} is `{text}`: write a number with a unit, such as 30min, 24h or 7d.")
    return number * (kind.unit or 1.0)


def shown_time(value: float, times: Clock) -> str:
    """Write one time of a clock as people do.

    >>> shown_time(1704067200.0, Clock(np.empty(0), Kind("dates")))
    '2024-01-01 00:00'
    """
    if times.stamps:
        return str(pd.Timestamp(round(value), unit="s")).removesuffix(":00")
    return f"{value / (times.kind.unit or 1.0):g}"
