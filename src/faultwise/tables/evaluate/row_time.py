"""How much time passes from one row to the next, read off a column of times: minutes, or nothing where it is unsure.

Time stamps need nothing else. Numbers need a unit, from the companion, the header (`time [s]`) or the
column's name (`hour`, `time_s`): a sample's number is no time and is not used as one.
"""

from __future__ import annotations

import re

import numpy as np

from faultwise.tables.reading.table import Table
from faultwise.verdicts.stretches import stretches

__all__ = ["minutes_per_row"]

_UNITS = {
    "ms": 1 / 60_000,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1 / 60),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 1.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 60.0),
    **dict.fromkeys(("d", "day", "days"), 1440.0),
}


def minutes_per_row(table: Table) -> tuple[float | None, list[str]]:
    """Return the median step of the time column within runs, in minutes, and notes; None where it is not known.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"run": [1, 1, 1, 2, 2], "hour": [0.0, 0.05, 0.10, 7.0, 7.05], "flow": 1.0})
    >>> from faultwise.tables.reading.table import Roles
    >>> made = minutes_per_row(Table(frame, Roles(group="run", time="hour")))
    >>> round(made[0], 6), made[1]
    (3.0, [])
    """
    name = table.roles.time
    if name is None:
        return None, ["No time column is known to this run."]
    found, unit = table.stamps, _unit(table, name)
    if found is None:
        return None, [f"`{name[:60]}` could not be understood as times."]
    kind, numbers = found
    if kind.form != "numbers":
        numbers, unit = numbers / 60, 1.0
    elif unit is not None:  # what the companion states wins over the header
        numbers = numbers / (kind.unit or 1.0)
    if unit is None:
        return None, [f"The numbers in `{name[:60]}` have no unit of time that is known (h, min, s, ...)."]
    ids = stretches(table.runs)
    order = np.argsort(ids, kind="stable")
    steps = np.diff(numbers[order])[np.diff(ids[order]) == 0]
    steps = steps[np.isfinite(steps) & (steps > 0)]
    if not len(steps):
        return None, [f"The times in `{name[:60]}` do not rise within any run."]
    step = float(np.median(steps))
    irregular = float((np.abs(steps - step) > 0.01 * step).mean())
    notes = []
    if irregular > 0.05:
        notes.append(
            f"{irregular:.0%} of the steps in `{name[:60]}` are not the usual {step * (unit or 1):g} min: times are "
            "counted in rows of that length."
        )
    return step * (unit or 1.0), notes


def _unit(table: Table, name: str) -> float | None:
    """Return the minutes of a column's unit: what is stated of it, else the last word of its name."""
    known = table.about.variables.get(name)
    stated = (known.unit or "").strip().lower() if known else ""
    words = re.findall(r"[a-z]+", name.lower())
    return _UNITS.get(stated, _UNITS.get(words[-1]) if words else None)
