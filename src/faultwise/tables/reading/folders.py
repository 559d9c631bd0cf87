"""Tables of a folder or a pattern: their runs by name, a name for the column of runs, the check that columns agree."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.paths import TABLES, ending, natural

__all__ = ["files_of", "free_name", "run_names", "same_columns"]


def files_of(pattern: Path) -> tuple[Path, list[str]]:
    """Return the folder that a pattern such as `runs/*/data.csv` starts from, and the tables that match, by their names
    in it and in natural order. Raises DataError where there are none.
    """
    parts = pattern.parts
    first = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:first])
    found = [name for name in glob.glob(str(Path(*parts[first:])), root_dir=base) if (base / name).is_file()]
    tables = sorted((name for name in found if ending(name, TABLES)), key=natural)
    if not tables:
        what = f"{len(found)} files ({listing(sorted(found), 3)}), none of them a table" if found else "no file"
        raise DataError(f"The pattern `{pattern}` matches {what}: check it, and put it in quotes.")
    return base, tables


def run_names(tables: list[str]) -> list[str]:
    """Return the run that each file of a folder is: its name without ending, if that tells the files apart."""
    stems = [name[: -len(ending(name, TABLES))] for name in tables]
    return stems if len(set(stems)) == len(stems) else tables


def free_name(columns: Iterable[object]) -> str:
    """Return a name for the column of runs that no column has."""
    taken = {str(name) for name in columns}
    return next(name for name in ("run", "file", "source file", "run of file") if name not in taken)


def same_columns(folder: Path | str, first: str, expected: Iterable[str], name: str, found: Iterable[str]) -> None:
    """Check that two files of a folder have the same columns, in any order. Raises DataError."""
    expected, found = list(expected), list(found)
    lacks = [column for column in expected if column not in found]
    more = [column for column in found if column not in expected]
    if lacks or more:
        parts = [f"lacks {listing(lacks, 4)}"] * bool(lacks) + [f"has {listing(more, 4)} more"] * bool(more)
        raise DataError(
            f"`{Path(folder) / name}` {' and '.join(parts)} beside `{first}`; expected the same columns in every file "
            "of the folder: read them one by one, or move the others out."
        )
