"""Give a freshly read table its usual shape: a row per time, a column per variable."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

import pandas as pd

from faultwise.tables.reading.cleaning import clean
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.shapes.axes import axis_of, span_of
from faultwise.tables.reading.shapes.long_form import LongForm, forced_form, long_form
from faultwise.tables.reading.shapes.pivot import pivoted
from faultwise.tables.reading.table import Roles, Table

__all__ = ["Known", "long_note", "reshaped"]

# What was recognised of the fit's source, as JSON; and under "columns" the variables of the fit.
Known = Mapping[str, object]


def reshaped(
    table: Table,
    how: TableReading,
    named: Roles,
    again: Callable[[Collection[str]], pd.DataFrame] | None = None,
    known: Known | None = None,
) -> tuple[Table, list[str]]:
    """Return a table with a row per time, and which columns are gone; a table of that shape comes back unchanged.

    `named` are the roles that the user named, `again` reads the rows once more with some columns as text, and `known`
    is what was recognised of the source of the fit. Raises DataError.
    """
    named = _as_before(named, table.frame.columns, known or {})
    form = _form(table, how, named, known or {})
    if form is None:
        return table, []
    ages = _ages(known or {})
    dated = axis_of(table.frame[form.time]).dated
    limit = None if how.max_age is None else span_of(how.max_age, dated)
    texts = None if again is None else again([form.value])[form.value]
    labels = (named.target, named.group)
    made = pivoted(table.frame, form, texts, labels, limit, ages)
    frame, notes = clean(made.frame, as_text=[name for name in labels if name is not None])
    text_values = f"`{form.value[:60]}`: "  # of the column before it was taken apart
    earlier = [note for note in table.notes if text_values not in note]
    group = named.group or table.roles.group or (form.assets[0] if form.assets else None)
    columns = {"target": named.target, "group": group, "time": named.time or form.time}
    long = {"tag": form.tag, "value": form.value, "ages": made.ages, "columns": columns}
    return (
        replace(
            table,
            frame=frame,
            roles=replace(table.roles, time=named.time or form.time, group=group),
            notes=(*earlier, *made.notes, *notes),
            about=made.about.merged(table.about),
            recognised={**table.recognised, "long": long},
        ),
        made.gone,
    )


def _as_before(named: Roles, columns: Collection[str] | pd.Index, known: Known) -> Roles:
    """Return roles with those of the fit's lines where a later file has their columns and nothing else was named."""
    earlier = known.get("long")
    before = earlier.get("columns") if isinstance(earlier, Mapping) else None
    if not isinstance(before, Mapping):
        return named
    there = {role: str(name) for role, name in before.items() if name in columns}
    target, group, time = (getattr(named, role) or there.get(role) for role in ("target", "group", "time"))
    return replace(named, target=target, group=group, time=time)


def long_note(table: Table, how: TableReading, named: Roles) -> str:
    """Return a sentence on rows in memory that look like lines of measurements; empty where they do not."""
    form = _form(table, how, named, {})
    if form is None:
        return ""
    return (
        f"The rows look like one line per measurement (tag `{form.tag}`, value `{form.value}`), and were taken as they "
        "are: pivot them first, to a row per time and a column per tag, or fit on a file of them."
    )


def _form(table: Table, how: TableReading, named: Roles, known: Known) -> LongForm | None:
    frame, group = table.frame, named.group or table.roles.group
    if [name.lower() for name in how.long] == ["none"]:
        return None
    if how.long:
        return forced_form(frame, how.long, named.time, group, named.target, table.source)
    earlier = known.get("long")
    if isinstance(earlier, Mapping):
        names = (str(earlier["tag"]), str(earlier["value"]))
        there = set(names) <= set(frame.columns)
        return forced_form(frame, names, named.time, group, named.target, table.source) if there else None
    form = long_form(frame, named.time, group, named.target)
    wanted = known.get("columns")
    if form is not None and isinstance(wanted, list):
        tags = set(frame[form.tag].dropna().astype(str))
        return form if len(tags & set(wanted)) > len(set(map(str, frame.columns)) & set(wanted)) else None
    return form


def _ages(known: Known) -> Mapping[str, float] | None:
    earlier = known.get("long")
    ages = earlier.get("ages") if isinstance(earlier, Mapping) else None
    return {str(name): float(age) for name, age in ages.items()} if isinstance(ages, Mapping) else None
