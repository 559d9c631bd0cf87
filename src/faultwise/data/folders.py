"""Which files of a folder are tables, told by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["PARQUET", "R_DATA", "TABLES", "TEXT", "ending", "tables_among"]

TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
R_DATA = (".rdata", ".rda")
TABLES = (*TEXT, *PARQUET, *R_DATA)
_PLAIN_TEXT = (".txt", ".txt.gz")


def ending(name: str, endings: tuple[str, ...]) -> str:
    """Return the ending that a name has, "" for none of them.

    >>> ending("Log.CSV.GZ", TEXT), ending("log.xlsx", TABLES)
    ('.csv.gz', '')
    """
    return next((name[len(name) - len(end) :].lower() for end in endings if name.lower().endswith(end)), "")


def tables_among(folder: Path, names: Iterable[str]) -> list[str]:
    """Return the names that are tables, in natural order (run2 before run10); readme.txt beside others is none."""
    tables = [name for name in names if ending(name, TABLES) and not name.startswith(".") and (folder / name).is_file()]
    if any(not ending(name, _PLAIN_TEXT) for name in tables):
        tables = [name for name in tables if not ending(name, _PLAIN_TEXT)]
    return sorted(tables, key=lambda name: [int(t) if t.isdecimal() else t.lower() for t in re.split(r"(\d+)", name)])
