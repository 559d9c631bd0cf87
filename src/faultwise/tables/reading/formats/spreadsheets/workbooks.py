"""Read workbooks: `.xlsx`, `.xlsm`, `.xls`, `.xlsb` and `.ods`. No formula is computed and no macro is run.

A sheet is written out as text and read as a CSV file is, so that titles, units, empty rows and columns, numbers stored
as text and missing values come out as they do from the CSV file that the spreadsheet would export.
"""

from __future__ import annotations

import csv
import datetime
import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.formats.contents import Contents, Part, needed, parsing, refuse_bomb
from faultwise.tables.reading.formats.spreadsheets.sheet_size import refuse_wide_sheets
from faultwise.tables.reading.text.delimited import frame_of_text

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

__all__ = ["open_workbook"]

_KIND = "a workbook"
_MIDNIGHT = datetime.time()


def open_workbook(path: Path) -> Contents:
    """Return the sheets of a workbook that have rows; hidden ones too, which a note names.

    Raises DataError for what is no workbook, is protected by a password, or would unpack to gigabytes; UserError
    without the extra `excel`.
    """
    calamine = needed("python_calamine", path, _KIND, "excel")
    with parsing(path, _KIND):
        if path.suffix.lower() != ".xls":
            _check_container(path)
        refuse_wide_sheets(path)
        try:
            book = calamine.CalamineWorkbook.from_path(path)
        except calamine.PasswordError:
            raise _protected(path) from None
        parts: dict[str, Part] = {}
        empty, hidden = [], []
        for known in book.sheets_metadata:
            if "Sheet" not in str(known.typ).rpartition(".")[2] or "Chart" in str(known.typ):
                continue
            sheet = book.get_sheet_by_name(known.name)
            if sheet.height < 2:
                empty.append(known.name)
                continue
            if str(known.visible).rpartition(".")[2] != "Visible":
                hidden.append(known.name)
            parts[known.name] = Part(sheet.height, _reader(path, sheet))
    notes = [f"The workbook has hidden sheets: `{'`, `'.join(hidden)}`."] if hidden else []
    if not parts and empty:
        raise DataError(
            f"`{path}` has no sheet with a header and rows (`{empty[0][:60]}` is empty): check which file was exported."
        )
    return Contents(path, "Workbook", "sheet", parts, notes)


def _check_container(path: Path) -> None:
    """Refuse a file that is no zip archive, in the words of what it is instead."""
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise _protected(path)
    if not start.startswith(b"PK"):
        raise DataError(
            f"`{path}` ends in `{path.suffix}` but is no such workbook: it may be cut off, or text that was renamed; "
            "save it as .xlsx, or rename it to what it is."
        )
    refuse_bomb(path)


def _protected(path: Path) -> DataError:
    return DataError(
        f"`{path}` is protected by a password, or an old workbook under a new name: open it in the spreadsheet and "
        "save it as .xlsx without a password."
    )


def _reader(path: Path, sheet: CalamineSheet):  # type: ignore[no-untyped-def]
    def read(as_text: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        with parsing(path, _KIND):
            rows, notes = _one_header(sheet, sheet.to_python())
        frame, _, found = frame_of_text(_text(rows), path, as_text)
        return frame, [*notes, *found]

    return read


def _one_header(sheet: CalamineSheet, rows: Sequence[Sequence[object]]) -> tuple[Sequence[Sequence[object]], list[str]]:
    """Join a header of two rows, whose upper one has merged cells, into one row of names."""
    if len(rows) < 3:
        return rows, []
    ranges = getattr(sheet, "merged_cell_ranges", None) or []
    top = next((at for at, row in enumerate(rows) if sum(cell != "" for cell in row) > 1), len(rows))
    if top + 2 >= len(rows):
        return rows, []
    first_row, first_column = sheet.start or (0, 0)
    across = [
        (start[1] - first_column, end[1] - first_column)
        for start, end in ranges
        if start[0] - first_row == top and end[1] > start[1]
    ]
    names = rows[top + 1]
    if not across or not all(isinstance(cell, str) for cell in names) or sum(cell != "" for cell in names) < 2:
        return rows, []
    upper = list(rows[top])
    for start, end in across:
        upper[start : end + 1] = [upper[start]] * (end + 1 - start)
    joined: list[object] = [f"{above} {below}".strip() for above, below in zip(upper, names, strict=True)]
    return [joined, *rows[top + 2 :]], ["A header of two rows with merged cells was joined into one row of names."]


def _text(rows: Sequence[Sequence[object]]) -> str:
    """Return rows as text with tabs, in the marks and dates of a plain CSV file."""
    whole_days = _columns_of_days(rows)
    out = io.StringIO()
    out.write("sep=\t\n")
    writer = csv.writer(out, delimiter="\t", lineterminator="\n")
    for row in rows:
        writer.writerow([_cell(cell, at in whole_days) for at, cell in enumerate(row)])
    return out.getvalue().replace("\0", "")


def _columns_of_days(rows: Sequence[Sequence[object]]) -> set[int]:
    """Return the columns whose dates have no time of day."""
    timed = {
        at
        for row in rows
        for at, cell in enumerate(row)
        if isinstance(cell, datetime.datetime) and cell.time() != _MIDNIGHT
    }
    width = max(map(len, rows), default=0)
    return set(range(width)) - timed


def _cell(value: object, days: bool) -> str:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n")
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if days and value.time() == _MIDNIGHT else value.isoformat(" ")
    if isinstance(value, datetime.date):
        return value.isoformat() if days else f"{value.isoformat()} 00:00:00"
    if isinstance(value, datetime.timedelta):
        seconds = value.total_seconds()
        return f"{int(seconds // 3600)}:{int(seconds // 60 % 60):02}:{seconds % 60:05.2f}".removesuffix(".00")
    return "" if value is None else str(value)
