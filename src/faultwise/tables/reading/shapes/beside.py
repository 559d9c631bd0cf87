"""Tables of one source that are not alike: the one with the most rows is the record, the others are joined to it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing
from faultwise.tables.reading.benchmarks.benchmarks import recognise
from faultwise.tables.reading.cleaning import clean
from faultwise.tables.reading.folders import free_name, run_names, same_columns
from faultwise.tables.reading.shapes.kinds import are_events
from faultwise.tables.reading.shapes.long_form import time_column
from faultwise.tables.reading.shapes.names import ASSET, TIME, named
from faultwise.tables.reading.table import Roles, Table

__all__ = ["split_up", "together"]

_ALIKE = 0.5  # of the measured columns: tables that share as many are pieces of one record, and should share all


def together(
    read: Mapping[str, pd.DataFrame],
    noted: Mapping[str, list[str]],
    source: str,
    labels: Collection[str] = (),
    group: str | None = None,
    what: str = "folder of {} tables",
) -> Table:
    """Return the tables of one source as one: those with the same columns are runs, the others lie beside them.

    `noted` are sentences with the tables that each is about, `labels` the columns that stay text, `group` the column of
    runs where the user named one. Raises DataError.
    """
    tables, beside, joins = split_up(read, source, (group,))
    frames = [read[name] for name in tables]
    whole, mixed = clean(pd.concat(frames, ignore_index=True), as_text=labels)
    notes = joins or [f"A {what.format(len(tables))} with the same columns."]
    notes += [text if len(of) == len(read) else f"{text} (in {listing(of, 3)})" for text, of in noted.items()]
    notes += mixed
    known = recognise(whole.columns)
    single = bool(joins) and len(tables) == 1
    if single or group is not None or (known is not None and known.roles.group is not None):
        return Table(frame=whole, source=source, notes=tuple(notes), beside=beside)
    free = free_name(whole.columns)
    names_of_rows = np.repeat(np.array(run_names(tables), dtype=object), [len(frame) for frame in frames])
    whole.insert(0, free, pd.Series(names_of_rows, dtype="str"))
    each = "file" if "folder" in what else "sheet"
    notes.append(f"Each {each} is a run: its name is in the new column `{free}`.")
    return Table(frame=whole, roles=Roles(group=free), source=source, notes=tuple(notes), beside=beside)


def split_up(
    frames: Mapping[str, pd.DataFrame], source: str, keys: tuple[str | None, ...] = ()
) -> tuple[list[str], dict[str, pd.DataFrame], list[str]]:
    """Return the names of the tables that hold the record, the others that are to be joined to it, and sentences.

    Tables with the same columns are pieces of one. `keys` are columns that the user named as time or asset. A table of
    faults with their times is left for --events. Raises DataError for tables that differ in some of the columns alone.
    """
    kinds: dict[frozenset[str], list[str]] = {}
    for name, frame in frames.items():
        kinds.setdefault(frozenset(map(str, frame.columns)), []).append(name)
    if len(kinds) == 1:
        return list(frames), {}, []
    sizes = {columns: sum(len(frames[name]) for name in names) for columns, names in kinds.items()}
    largest = max(sizes, key=lambda columns: (sizes[columns], len(columns)))
    record, others, notes = kinds[largest], {}, []
    for columns, names in kinds.items():
        if columns == largest:
            continue
        first, other = frames[record[0]].columns, frames[names[0]].columns
        keyless = time_column(frames[record[0]]) is None and not named(first, ASSET) and not {*keys} & largest
        own = {*named({*largest, *columns}, (*TIME, *ASSET)), *keys}
        if keyless or len(largest & columns - own) > _ALIKE * min(len(largest - own), len(columns - own)):
            same_columns(source, record[0], first, names[0], other)
        whole = pd.concat([frames[name] for name in names], ignore_index=True)
        if are_events(whole, names[0]):
            notes.append(
                f"{listing(names, 3)} holds faults and their times, which label rows and are no measurements: it was "
                "not joined. Pass it with --events."
            )
        else:
            others[names[0]] = whole
    return record, others, [f"The rows are those of {listing(record, 5)}; other tables are joined to them.", *notes]
