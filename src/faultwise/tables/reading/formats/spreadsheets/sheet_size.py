"""How far the cells of a workbook reach, before it is read: one cell far away makes its reader ask for gigabytes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from faultwise.contracts.errors import DataError

__all__ = ["refuse_wide_sheets"]

_MOST_CELLS = 30_000_000
_PIECE = 1 << 20
_OVERLAP = 200
# `r="AB12"` of a cell, `r="12"` of a row.
_REFERENCE = re.compile(rb'\br\s*=\s*["\'](?:([A-Za-z]{1,6})(\d{1,9})|(\d{1,9}))["\']')


def refuse_wide_sheets(path: Path) -> None:
    """Raise DataError where the cells of a sheet span more than fits into memory."""
    ending = path.suffix.lower()
    if ending not in (".xlsx", ".xlsm"):
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if "worksheets/" in member.lower() and member.lower().endswith(".xml"):
                with archive.open(member) as sheet:
                    _check(path, member, *_reach(sheet))


def _reach(sheet: IO[bytes]) -> tuple[int, int]:
    """Return the number of the last row and of the last column that a sheet's XML names."""
    rows = columns = 0
    for piece in _pieces(sheet):
        for letters, row, alone in _REFERENCE.findall(piece):
            rows = max(rows, int(row or alone))
            if letters:
                columns = max(columns, _column(letters))
    return rows, columns


def _pieces(sheet: IO[bytes]) -> Iterator[bytes]:
    held = b""
    while piece := sheet.read(_PIECE):
        yield held + piece
        held = piece[-_OVERLAP:]


def _column(letters: bytes) -> int:
    """Return the number of a column.

    >>> _column(b"A"), _column(b"AB")
    (1, 28)
    """
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - 64
    return number


def _check(path: Path, sheet: str, rows: int, columns: int) -> None:
    if rows * columns > _MOST_CELLS:
        raise DataError(
            f"`{path}`: the cells of `{Path(sheet).stem}` reach to row {rows:,} and column {columns:,}, which is more "
            f"than {_MOST_CELLS:,} cells: delete empty rows and columns at the end, or export the sheet as CSV."
        )
