"""Other tables joined to a record: every row gets what was known at its time, and nothing that came later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.shapes.as_of import count_before, interval_of, last_at
from faultwise.tables.reading.shapes.axes import Axis, axis_of, is_time, span_text
from faultwise.tables.reading.shapes.kinds import KINDS, Base, Plan, plan_of
from faultwise.tables.reading.shapes.long_form import time_column
from faultwise.tables.reading.shapes.names import ASSET, named
from faultwise.tables.reading.shapes.reshaping import Known
from faultwise.tables.reading.table import Table, label_text

__all__ = ["joined"]

_LONGEST = 100  # spans: "a long time ago", also where nothing is known of an event
_HOUR = 3600.0


@dataclass
class _Made:
    columns: dict[str, pd.Series]
    notes: list[str]
    units: dict[str, str]


def joined(
    table: Table, others: Mapping[str, pd.DataFrame], max_age: str | None = None, known: Known | None = None
) -> Table:
    """Return the table with columns of other tables, by their name, and a note for each that says what it was taken as.

    What was recognised for the fit's source (`known`) holds for later files. Raises DataError for tables that have
    nothing in common with the rows, and where a table of the fit is not there.
    """
    base = _base(table)
    earlier = _earlier(known, others)
    frame, notes, about = table.frame, list(table.notes), table.about
    plans = []
    for name, other in others.items():
        if earlier is not None and name not in earlier:
            notes.append(f"`{name}` was not used: the fit had no such table.")
            continue
        plan = plan_of(other, name, base, max_age) if earlier is None else earlier[name]
        made = _made(other, plan, base)
        columns = {_free(frame, column, plan.name): values for column, values in made.columns.items()}
        frame = pd.concat([frame, pd.DataFrame(columns, index=frame.index)], axis=1)
        plans.append(replace(plan, columns=tuple(columns)))
        notes += [_summary(name, plan, list(columns)), *made.notes]
        units = {column: Variable(unit=unit) for column, unit in made.units.items()}
        about = About(variables=units).merged(about)
    if not plans:
        return replace(table, notes=tuple(notes))
    recognised = {**table.recognised, "joined": [plan.to_dict() for plan in plans]}
    roles = replace(table.roles, time=table.roles.time or (base.time if any(plan.time for plan in plans) else None))
    return replace(table, frame=frame, roles=roles, notes=tuple(notes), about=about, recognised=recognised)


def _base(table: Table) -> Base:
    frame, roles = table.frame, table.roles
    time = roles.time or time_column(frame)
    axis = None if time is None else axis_of(frame[time])
    if axis is not None and not np.isfinite(axis.values).any():
        axis = None
    asset = roles.group or next(iter(named(frame.columns, ASSET)), None)
    of = np.zeros(len(frame), int) if asset is None else pd.factorize(frame[asset])[0]
    step = float("nan") if axis is None else interval_of(axis.values, of)
    return Base(frame, axis, asset, roles.target, time, step if np.isfinite(step) else 1.0)


def _earlier(known: Known | None, others: Mapping[str, pd.DataFrame]) -> dict[str, Plan] | None:
    """Return the plan of the fit for each of these tables, by its name or else by its columns; None for a fit."""
    stored = (known or {}).get("joined")
    if not isinstance(stored, list):
        return None
    plans = [Plan.from_dict(raw) for raw in stored]
    found = {plan.name: plan for plan in plans if plan.name in others}
    for plan in plans:
        free = (name for name in others if name not in found and plan.needs <= set(others[name].columns))
        name = plan.name if plan.name in others else next(free, None)
        if name is None:
            raise DataError(
                f"The run was fitted with `{plan.name}` joined ({KINDS[plan.kind]}), and no table like it was given: "
                "pass it with --join, or put it beside the rows as it was for the fit."
            )
        lacks = [column for column in (*plan.needs, *plan.values) if column not in others[name].columns]
        if lacks:
            raise DataError(f"`{name}` lacks {listing(lacks)}, which the fit's `{plan.name}` had: export them, too.")
        found[name] = plan
    return found


def _free(frame: pd.DataFrame, column: str, name: str) -> str:
    """Return a name that no column has: the column's own, or with the table's name before it."""
    return column if column not in frame.columns else f"{Path(name).stem}: {column}"


def _made(other: pd.DataFrame, plan: Plan, base: Base) -> _Made:
    """Return the columns that a table gives to the rows."""
    rows = base.frame
    if plan.asset:
        names = label_text(rows[plan.base]) if plan.base in rows.columns else pd.Series([None] * len(rows))
        codes, known = pd.factorize(pd.concat([names, label_text(other[plan.asset])], ignore_index=True))
        assets, of = codes[: len(rows)], codes[len(rows) :]
        absent = list(known[np.setdiff1d(of[of >= 0], assets)])
        without = list(known[np.setdiff1d(assets[assets >= 0], of)])
    else:
        assets, of, absent, without = np.zeros(len(rows), int), np.zeros(len(other), int), [], []
    if plan.asset and not np.isin(of, assets[assets >= 0]).any():
        raise DataError(
            f"No `{plan.asset}` of `{plan.name}` ({listing(absent, 3)}) is a `{plan.base}` of the rows "
            f"({listing(without, 3)}): look for different spellings."
        )
    of = np.where(of < 0, -2, of)  # a line without an asset serves none
    if plan.kind == "attributes":
        made = _attributes(other, plan, base, assets, of)
    else:
        made = _timed(other, plan, base, assets, of)
    if absent:
        made.notes.append(f"`{plan.name}` has lines of assets without rows, which were not used: {listing(absent, 5)}.")
    if without and plan.kind in ("attributes", "slow"):
        made.notes.append(f"`{plan.name}` has no line for {listing(without, 5)}: their values are missing.")
    return made


def _attributes(other: pd.DataFrame, plan: Plan, base: Base, assets: np.ndarray, of: np.ndarray) -> _Made:
    made = _Made({}, [], {})
    line = dict(zip(of.tolist(), range(len(of)), strict=True))
    if len(line) < len(of[of >= 0]):
        raise DataError(f"`{plan.name}` has several lines for one `{plan.asset}`; expected one: remove the others.")
    at = np.array([line.get(asset, -1) for asset in assets.tolist()])
    for column in plan.values:
        values = other[column]
        if not is_time(values):
            made.columns[column] = _at(values, at)
            continue
        # A date is a number once it is a time passed, and known only to rows after it.
        dates = np.append(axis_of(values).values, np.nan)[at]
        if base.axis is None or not base.axis.dated:
            made.notes.append(f"`{column}` of `{plan.name}` holds dates, and the rows have none: left out.")
        elif (dates > base.axis.values).any():
            count = len(np.unique(assets[dates > base.axis.values]))
            made.notes.append(
                f"`{column}` of `{plan.name}` was left out, because it looks ahead: it is a date later than some rows "
                f"of their asset ({count} assets)."
            )
        else:
            made.columns[f"time since {column}"] = pd.Series((base.axis.values - dates) / _HOUR)
            made.units[f"time since {column}"] = "h"
    return made


def _timed(other: pd.DataFrame, plan: Plan, base: Base, assets: np.ndarray, of: np.ndarray) -> _Made:
    if base.axis is None:
        raise DataError(f"`{plan.name}` has times, but the rows it is joined to have none: pass --time COL.")
    axis = axis_of(other[plan.time])
    if axis.dated != plan.dated or base.axis.dated != plan.dated:
        raise DataError(f"`{plan.name}` and the rows must both have {'dates' if plan.dated else 'numbers'} as times.")
    known = np.isfinite(axis.values) & (of >= 0)
    usable, stamps, of = other[known], axis.values[known], of[known]
    if not (last_at(base.axis.values, assets, stamps, of) >= 0).any():
        raise DataError(
            f"No line of `{plan.name}` lies at or before a row of its asset, so none was known in time: look at "
            f"`{plan.time}`, and for another time zone or format."
        )
    measured = _slow if plan.kind == "slow" else _events
    made = measured(usable, plan, base.axis, assets, stamps, of)
    latest = pd.Series(base.axis.values).groupby(assets).max()
    late = int((stamps > latest.reindex(of).to_numpy(dtype=float, na_value=np.inf)).sum())
    if late:
        made.notes.append(f"{late:,} lines of `{plan.name}` are later than every row of their asset and serve none.")
    if not known.all() and (timeless := int((~np.isfinite(axis.values)).sum())):
        made.notes.append(f"{timeless:,} lines of `{plan.name}` have no time that can be read and were left out.")
    return made


def _slow(other: pd.DataFrame, plan: Plan, axis: Axis, assets: np.ndarray, stamps: np.ndarray, of: np.ndarray) -> _Made:
    made = _Made({}, [], {})
    for column in plan.values:
        there = other[column].notna().to_numpy()
        at = last_at(axis.values, assets, stamps[there], of[there])
        found = at >= 0
        age = np.full(len(at), np.inf)
        age[found] = axis.values[found] - stamps[there][at[found]]
        made.columns[column] = _at(other[column][there], np.where(age <= (plan.span or np.inf), at, -1))
    return made


def _events(
    other: pd.DataFrame, plan: Plan, axis: Axis, assets: np.ndarray, stamps: np.ndarray, of: np.ndarray
) -> _Made:
    made = _Made({}, [], {})
    texts = label_text(other[plan.code]).to_numpy(object) if plan.code else np.full(len(other), plan.name, object)
    longest, unit = _LONGEST * plan.span, _HOUR if plan.dated else 1.0
    for code in plan.codes or (plan.name,):
        mine = texts == code
        name = code if plan.code else Path(plan.name).stem
        if plan.kind == "events":
            counts = count_before(axis.values, assets, stamps[mine], of[mine], plan.span, strictly=plan.strictly)
            made.columns[f"{name} in the last {span_text(plan.span, plan.dated)}"] = pd.Series(counts)
        at = last_at(axis.values, assets, stamps[mine], of[mine], strictly=plan.strictly)
        since = np.full(len(at), longest)
        since[at >= 0] = np.minimum(axis.values[at >= 0] - stamps[mine][at[at >= 0]], longest)
        made.columns[f"time since {name}"] = pd.Series(since / unit)
        if plan.dated:
            made.units[f"time since {name}"] = "h"
    return made


def _at(values: pd.Series, at: np.ndarray) -> pd.Series:
    """Return the values at these positions (rows,), missing where they are -1."""
    if pd.api.types.is_numeric_dtype(values.dtype):
        if (at >= 0).all():
            return values.iloc[at].reset_index(drop=True)
        return pd.Series(np.append(values.to_numpy(dtype=float, na_value=np.nan), np.nan)[at])
    words = np.array([*values.astype(object).where(values.notna(), None), None], dtype=object)
    return pd.Series(words[at], dtype="str")


def _summary(name: str, plan: Plan, columns: list[str]) -> str:
    keys = " and ".join(f"`{key}`" for key in (plan.asset, plan.time) if key)
    span = span_text(plan.span, plan.dated)
    what = {
        "attributes": "columns",
        "slow": f"the last value known at each row, {f'up to an age of {span}' if plan.span else 'of any age'}:",
        "events": f"for each `{plan.code or name}` the count in the last {span} and the time since:",
        "maintenance": f"for each `{plan.code or name}` the time since:",
    }[plan.kind]
    strictly = " Each counts only after the time it carries." if plan.strictly else ""
    return f"`{name}` was joined on {keys} as {KINDS[plan.kind]}: {what} {listing(columns, 6)}.{strictly}"
