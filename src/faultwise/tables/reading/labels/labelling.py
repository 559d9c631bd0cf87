"""The labels of a table as they are learnt from and judged by: from events, merged, filled, without unlabelled rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.tables.reading.labels.clock import row_clock
from faultwise.tables.reading.labels.events import read_events
from faultwise.tables.reading.labels.found_runs import found_runs, with_found_runs
from faultwise.tables.reading.labels.horizon import announced
from faultwise.tables.reading.labels.marking import marked
from faultwise.tables.reading.labels.several import with_several
from faultwise.tables.reading.labels.unlabelled import filled_forward, without_label
from faultwise.tables.reading.labels.variants import merged_variants
from faultwise.tables.reading.memory.frames import unused_name
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.table import Table, label_text

__all__ = ["with_labels"]

_NORMAL = "normal"  # the label of rows outside all events


def with_labels(table: Table, how: TableReading, normal: str | None = None, known: Sequence[str] = ()) -> Table:
    """Return a table whose rows all have a label, where it has labels at all; notes say what was done.

    `normal` is the label of rows outside all events; spellings in `known` win over variants of them. Raises DataError
    and UserError for events that cannot be used, and where no row has a label.
    """
    normal, runs = normal or table.about.normal, found_runs(table)
    if how.events is not None:
        table = _with_events(table, how, normal or _NORMAL)
    elif how.before is not None:
        raise UserError("--before says how long before a failure its rows begin: pass the failures with --events FILE.")
    name = table.roles.target
    if name is None:
        return table
    y = label_text(table.frame[name])
    notes: list[str] = []
    if how.variants == "merge":
        y, notes = merged_variants(y, [*([normal] if normal else []), *known, *table.about.faults])
    if how.fill_labels == "forward":
        y, more = filled_forward(y, table.runs, _order(table))
        notes += more
    out, more = without_label(y, table.runs, table.source, name)
    table = replace(table, frame=table.frame.assign(**{name: y}), notes=(*table.notes, *notes, *more))
    return with_found_runs(with_several(_without(table, out), known), runs)


def _with_events(table: Table, how: TableReading, normal: str) -> Table:
    """Return the table with a column of labels from a table of events, as its target."""
    assert how.events is not None
    events = read_events(how.events, table, how.target)
    runs = table.runs
    if how.before is None:
        made, failures = marked(events, runs, normal), None
    else:
        made, failures = announced(events, runs, normal, how.before)
    roles, frame = table.roles, table.frame
    name = unused_name(frame, "fault")
    ignored = roles.ignored if roles.target is None else (*roles.ignored, roles.target)
    # What the reader says of a sheet of events holds no more.
    notes = [*(note for note in table.notes if "Pass it with --events" not in note), *events.notes, *made.notes]
    if roles.target is not None:
        notes.append(f"The labels in `{roles.target}` were not used: the events give the labels.")
    also = None
    if made.also:
        also = np.empty(len(frame), dtype=object)
        for at in range(len(frame)):
            also[at] = made.also.get(at, ())
    table = replace(
        table,
        frame=frame.assign(**{name: pd.Series(made.y, index=frame.index, dtype=object)}),
        roles=replace(roles, target=name, ignored=ignored),
        notes=tuple(notes),
        failures=failures,
        also=also,
    )
    return _without(table, made.out)


def _without(table: Table, out: np.ndarray) -> Table:
    """Leave the rows of a mask (rows,) out; the others keep their numbers in the source."""
    return table.keeping(~out) if out.any() else table


def _order(table: Table) -> np.ndarray:
    """Return the positions of rows in order of time, or as they come where there is no time."""
    found = row_clock(table)
    rows = np.arange(len(table.frame))
    return rows if found is None else np.argsort(np.nan_to_num(found.values, nan=np.inf), kind="stable")
