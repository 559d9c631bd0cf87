"""From rows with roles to rows that can be learnt from: the steps that files and rows in memory share."""

from __future__ import annotations

from dataclasses import replace

from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.shapes.joining import joined
from faultwise.tables.reading.shapes.reshaping import Known
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.ordering import ordered

__all__ = ["assembled"]


def assembled(table: Table, how: TableReading, known: Known | None = None) -> Table:
    """Return the table as it was asked for, with the tables beside it joined, in time order.

    `known` is what was recognised of the fit's source, for later files. Raises DataError or UserError.
    """
    if table.beside or (known or {}).get("joined"):
        table = replace(joined(table, table.beside, how.max_age, known), beside={})
    return ordered(table)
