"""The formats that are read, by the ending of a file's name, and the reading of one file of any of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.contracts.paths import (
    ARFF,
    ARROW,
    HDF5,
    JSON,
    LABVIEW,
    MATLAB,
    PARQUET,
    R_DATA,
    SQLITE,
    TDMS,
    WORKBOOKS,
    ZIPPED,
    ending,
)
from faultwise.tables.reading.cleaning import clean, unique_names
from faultwise.tables.reading.formats.contents import Contents
from faultwise.tables.reading.parquet import read_parquet
from faultwise.tables.reading.r_data import read_r_data
from faultwise.tables.reading.table import Roles
from faultwise.tables.reading.text.delimited import read_delimited
from faultwise.tables.reading.text.unpacking import zip_member

__all__ = ["FileTable", "holds_tables", "open_contents", "read_all", "read_file"]

# Endings, and the function that opens such a file: `Path -> Contents`.
_OPENERS: tuple[tuple[tuple[str, ...], str], ...] = (
    (WORKBOOKS, "spreadsheets.workbooks:open_workbook"),
    (TDMS, "tdms:open_tdms"),
    (MATLAB, "matlab:open_matlab"),
    (HDF5, "hdf5:open_hdf5"),
    (ARROW, "arrow:open_arrow"),
    (JSON, "json_lines:open_json"),
    (ARFF, "arff:open_arff"),
    (LABVIEW, "labview:open_labview"),
    (SQLITE, "sqlite:open_sqlite"),
)


@dataclass(frozen=True, slots=True)
class FileTable:
    """The table of one file: numbers and text, what was noticed, and the roles that the format itself gives."""

    frame: pd.DataFrame
    notes: list[str]
    roles: Roles = field(default_factory=Roles)


def _opener(path: Path) -> Callable[[Path], Contents] | None:
    name = zip_member(path) if ending(path.name, (*JSON, *ZIPPED)) == ".zip" else path.name
    found = next((opener for endings, opener in _OPENERS if ending(name, endings)), None)
    if found is None:
        return None
    module, _, function = found.partition(":")
    made: Callable[[Path], Contents] = getattr(importlib.import_module(f"{__package__}.{module}"), function)
    return made


def holds_tables(path: Path) -> bool:
    """Return whether a file is of a format that may hold several tables, by its name."""
    return any(ending(path.name, endings) for endings, _ in _OPENERS)


def open_contents(path: Path) -> Contents:
    """Return the tables of a file by name, to be read when wanted. Raises DataError, UserError without an extra."""
    opener = _opener(path)
    if opener is None:
        raise DataError(f"`{path}` is of a kind that holds one table only.")
    return opener(path)


def read_all(path: str | Path, *, as_text: Collection[str] = ()) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Return every table of a file by name, and notes. Raises DataError where one cannot be read."""
    contents = open_contents(Path(path))
    frames: dict[str, pd.DataFrame] = {}
    notes = list(contents.notes)
    for name, part in contents.parts.items():
        frame, found = part.read(as_text)
        frames[name] = _finished(contents.path, frame, as_text, found)
        notes += found
    return frames, notes


def read_file(path: Path, as_text: Collection[str] = (), sheet: str | None = None) -> FileTable:
    """Read the table of one file: of several the one named `sheet`, or the largest, with a note.

    Raises DataError when it cannot be read or has no such table, UserError where an extra is missing.
    """
    opener = _opener(path)
    if opener is not None:
        contents = opener(path)
        name, notes = contents.chosen(sheet)
        part = contents.parts[name]
        frame, found = part.read(as_text)
        frame = _finished(path, frame, as_text, found)
        words = contents.words if len(contents.parts) == 1 else f"{contents.words}, {contents.noun} `{name[:60]}`"
        here = set(frame.columns)
        time, group = (one if one in here else None for one in (part.time, part.group))
        return FileTable(frame, [f"{words}.", *contents.notes, *notes, *found], Roles(None, group, time))
    if sheet is not None:
        raise DataError(f"`{path}` holds one table, and --sheet names `{sheet[:60]}`: leave --sheet out.")
    if ending(path.name, PARQUET):
        return FileTable(*read_parquet(path, as_text=as_text))
    if ending(path.name, R_DATA):
        return FileTable(*read_r_data(path, as_text=as_text))
    return FileTable(*read_delimited(path, as_text=as_text))


def _finished(path: Path, frame: pd.DataFrame, as_text: Collection[str], notes: list[str]) -> pd.DataFrame:
    """Return a raw frame with unique names, and numbers and text only; what that changed is added to `notes`."""
    if frame.empty:
        raise DataError(
            f"`{path}` has {len(frame)} rows and {len(frame.columns)} columns; expected at least one of each: check "
            "how it was written."
        )
    names, _, renamed = unique_names(frame.columns)
    cleaned, changed = clean(frame.set_axis(names, axis=1).reset_index(drop=True), as_text=as_text)
    notes += [*renamed, *changed]
    return cleaned
