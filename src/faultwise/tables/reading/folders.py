"""Which files of a folder are tables, told by their names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from faultwise.contracts.errors import DataError, listing

__all__ = [
    "PARQUET",
    "R_DATA",
    "TABLES",
    "TEXT",
    "ending",
    "free_name",
    "natural",
    "run_names",
    "same_columns",
    "tables_among",
]

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
    return sorted(tables, key=natural)


def natural(name: str) -> list[int | str]:
    """Return what to sort names by, so that numbers in them count as numbers.

    >>> sorted(["part10", "Part2"], key=natural)
    ['Part2', 'part10']
    """
    return [int(part) if part.isdecimal() else part.lower() for part in re.split(r"(\d+)", name)]


def run_names(tables: list[str]) -> list[str]:
    """Return the run that each file of a folder is: its name without ending, if that tells the files apart."""
    stems = [name[: -len(ending(name, TABLES))] for name in tables]
    return stems if len(set(stems)) == len(stems) else tables


def free_name(columns: Iterable[object]) -> str:
    """Return a name for the column of runs that no column has."""
    taken = {str(name) for name in columns}
    return next(name for name in ("run", "file", "source file", "run of file") if name not in taken)


def same_columns(folder: Path, first: str, expected: Iterable[str], name: str, found: Iterable[str]) -> None:
    """Check that two files of a folder have the same columns, in any order. Raises DataError."""
    expected, found = list(expected), list(found)
    lacks = [column for column in expected if column not in found]
    more = [column for column in found if column not in expected]
    if lacks or more:
        parts = [f"lacks {listing(lacks, 4)}"] * bool(lacks) + [f"has {listing(more, 4)} more"] * bool(more)
        raise DataError(
            f"`{folder / name}` {' and '.join(parts)} beside `{first}`; expected the same columns in every file "
            "of the folder: read them one by one, or move the odd ones out."
        )
