"""Names of files: endings of tables, natural order. Files are told apart by their names alone, nothing is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "ARFF",
    "ARROW",
    "HDF5",
    "JSON",
    "LABVIEW",
    "MATLAB",
    "PACKED",
    "PARQUET",
    "R_DATA",
    "SQLITE",
    "TABLES",
    "TDMS",
    "TEXT",
    "WORKBOOKS",
    "ZIPPED",
    "ending",
    "is_pattern",
    "natural",
    "tables_among",
]

PACKED = (".gz", ".bz2", ".xz", ".zst")
ZIPPED = (".zip",)
_PACKINGS = ("", *PACKED, *ZIPPED)
TEXT = tuple(kind + packing for packing in _PACKINGS for kind in (".csv", ".tsv", ".txt"))
PARQUET = (".parquet", ".pq")
R_DATA = (".rdata", ".rda")
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
TDMS = (".tdms",)
MATLAB = (".mat",)
HDF5 = (".h5", ".hdf5", ".hdf")
ARROW = (".feather", ".arrow", ".ipc")
JSON = tuple(kind + packing for packing in _PACKINGS for kind in (".jsonl", ".ndjson", ".json"))
ARFF = (".arff",)
LABVIEW = (".lvm",)
SQLITE = (".sqlite", ".sqlite3", ".db", ".db3")
TABLES = (
    *(*TEXT, *PARQUET, *R_DATA, *WORKBOOKS, *TDMS, *MATLAB, *HDF5, *ARROW, *JSON, *ARFF, *LABVIEW, *SQLITE),
    *ZIPPED,
)
_PLAIN_TEXT = tuple(".txt" + packing for packing in _PACKINGS)
# In a folder these are settings, boxes of images or archives, and none of its tables: they are named one by one.
_NOT_IN_FOLDERS = (*(".json" + packing for packing in _PACKINGS), *ZIPPED)
_PREVIEWS = "thumbs.db"


def ending(name: str, endings: tuple[str, ...]) -> str:
    """Return the ending that a name has, "" for none of them.

    >>> ending("Log.CSV.GZ", TEXT), ending("log.docx", TABLES)
    ('.csv.gz', '')
    """
    return next((name[len(name) - len(end) :].lower() for end in endings if name.lower().endswith(end)), "")


def tables_among(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names that are tables, in natural order (run2 before run10); a readme.txt beside others is none."""
    tables = [name for name in names if _is_table(name) and (folder / name).is_file()]
    if any(not ending(name, _PLAIN_TEXT) for name in tables):
        tables = [name for name in tables if not ending(name, _PLAIN_TEXT)]
    return sorted(tables, key=natural)


def _is_table(name: str) -> bool:
    found = ending(name, TABLES)
    # Excel keeps a lock file `~$name.xlsx` beside a workbook that is open.
    hidden = name.startswith((".", "~$")) or name.lower() == _PREVIEWS
    return bool(found) and found not in _NOT_IN_FOLDERS and not hidden


def is_pattern(source: str | Path) -> bool:
    """Return whether a source is a pattern of names, such as `data/*.xlsx`, and no file or folder of that name.

    >>> is_pattern("runs/*.csv"), is_pattern("runs")
    (True, False)
    """
    return any(letter in str(source) for letter in "*?[") and not os.path.exists(source)


def natural(name: str) -> list[int | str]:
    """Return what to sort names by, so that numbers in them count as numbers.

    >>> sorted(["part10", "Part2"], key=natural)
    ['Part2', 'part10']
    """
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]
