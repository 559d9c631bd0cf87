"""Several faults at once in one row: the row counts as the rarest of them, and the others stand beside it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing
from faultwise.tables.reading.table import Table

__all__ = ["with_several"]

_BETWEEN = re.compile(r"\s*[;|+,&/]\s*")


def with_several(table: Table, known: Sequence[str] = ()) -> Table:
    """Return a table in which a label such as `leak;wear` is two faults: one as the row's label, the other in `also`.

    A label is cut where each of its parts is a label by itself somewhere in the table, or `known` from a fit; one that
    is known as a whole is not.
    """
    y = table.y
    counts = pd.Series(y).value_counts()
    single = {*map(str, counts.index), *known}
    parts = {str(label): _parts(str(label), single) for label in counts.index if label not in known}
    compound = {label: part for label, part in parts.items() if len(part) > 1}
    if not compound and table.also is None:
        return table
    also = np.empty(len(y), dtype=object)
    made = y.copy()
    for at, label in enumerate(y):
        own = (*compound.get(label, (label,)), *(() if table.also is None else table.also[at]))
        first = min(own, key=lambda one: counts.get(one, 0))
        made[at], also[at] = first, tuple(one for one in dict.fromkeys(own) if one != first)
    several = int(sum(map(bool, also)))
    if not several:
        return replace(table, also=None)
    which = f" ({listing(list(compound), 4)})" if compound else ""
    note = (
        f"{several:,} rows have several faults at once{which}: each is learnt as the rarest of them, and a verdict "
        "counts as right if it names one of them."
    )
    frame = table.frame.assign(**{str(table.roles.target): pd.Series(made, index=table.frame.index, dtype=object)})
    return replace(table, frame=frame, also=also, notes=(*table.notes, note))


def _parts(label: str, single: Collection[str]) -> tuple[str, ...]:
    parts = tuple(dict.fromkeys(part for part in _BETWEEN.split(label) if part))
    return parts if len(parts) > 1 and all(part in single for part in parts) else (label,)
