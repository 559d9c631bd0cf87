"""Names of files: endings of tables, natural order. Files are told apart by their names alone, nothing is opened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

__all__ = ["PARQUET", "R_DATA", "TABLES", "TEXT", "ending", "natural", "tables_among"]

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
    """Return the names that are tables, in natural order (run2 before run10); a readme.txt beside others is none."""
    tables = [name for name in names if ending(name, TABLES) and not name.startswith(".") and (folder / name).is_file()]
    if any(not ending(name, _PLAIN_TEXT) for name in tables):
        tables = [name for name in tables if not ending(name, _PLAIN_TEXT)]
    return sorted(tables, key=natural)


def natural(name: str) -> list[int | str]:
    """Return what to sort names by, so that numbers in them count as numbers.

    >>> sorted(["part10", "Part2"], key=natural)
    ['Part2', 'part10']
    """
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]
