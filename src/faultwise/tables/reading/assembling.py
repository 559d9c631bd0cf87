"""From rows with roles to rows that can be learnt from: the steps that files and rows in memory share."""

from __future__ import annotations

from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.ordering import ordered

__all__ = ["assembled"]


def assembled(table: Table, how: TableReading) -> Table:
    """Return the table as it was asked for, in time order. Raises DataError or UserError."""
    return ordered(table)
