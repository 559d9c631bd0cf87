"""Spans of time as people write them: `10min`, `24h`, `1.5 d` into seconds, and seconds into words."""

from __future__ import annotations

import re

from faultwise.contracts.errors import UserError

__all__ = ["UNITS", "is_span", "seconds_of", "span_text", "unit_of"]

UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NAMES = {
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
}
_SPAN = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*([a-zA-Z]+)\s*")


def unit_of(word: str) -> str | None:
    """Return the short name of a unit of time (`hours`: `h`), None for a word that is none."""
    return _NAMES.get(word.strip().lower())


def is_span(text: str) -> bool:
    """Tell whether a text is a number with a unit of time."""
    found = _SPAN.fullmatch(text)
    return bool(found and unit_of(found[2]))


def seconds_of(text: str, name: str = "The span") -> float:
    """Return a span in seconds. Raises UserError for anything else, with an example.

    >>> seconds_of("10min"), seconds_of("1.5 h"), seconds_of("2 days")
    (600.0, 5400.0, 172800.0)
    """
    found = _SPAN.fullmatch(text)
    unit = unit_of(found[2]) if found else None
    if found is None or unit is None:
        raise UserError(f"{name} is `{text}`: write a number with a unit, such as 30s, 10min, 24h or 7d.")
    value = float(found[1].replace(",", ".")) * UNITS[unit]
    if value <= 0:
        raise UserError(f"{name} is `{text}`: it must be longer than nothing, such as 10min.")
    return value


def span_text(seconds: float) -> str:
    """Return a span in the largest unit that gives a number of one or more.

    >>> span_text(600), span_text(0.25), span_text(5400), span_text(172800)
    ('10 min', '0.25 s', '1.5 h', '2 d')
    """
    unit = next((one for one in ("d", "h", "min") if seconds >= UNITS[one]), "s")
    return f"{seconds / UNITS[unit]:.4g} {unit}"
