"""Which sources are texts: a table with a column of prose and hardly any measurements, a folder of notes, strings."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.contracts.modality import Items
from faultwise.contracts.paths import JSON, PARQUET, TEXT, WORKBOOKS, ending

__all__ = ["NOTES", "notes_in", "prose_columns", "why_texts"]

NOTES = (".txt", ".md")
_ROWS, _SMALL = 300, 8 << 20  # rows that are looked at; bytes of a file that is read whole for that
_WORD = re.compile(r"[^\W\d_]{2,}")
_FILE = re.compile(r"\S\.[a-zA-Z][a-zA-Z0-9]{1,4}\s*$")  # a name of a file
_PROSE, _DISTINCT, _FEWEST = 0.4, 0.1, 5  # share of cells with two words or more, share of distinct cells, cells
_MOST_MEASURED = 3  # columns of numbers with decimals: work orders have hours and costs, sensor tables have more


def why_texts(source: object) -> str | None:
    """Return why a source is one of texts, None for others."""
    while isinstance(source, Items):
        source = source.X
    if isinstance(source, str | Path):
        path = Path(source)
        if path.is_dir():
            notes = notes_in(path)
            return f"it is a folder of {len(notes)} notes" if notes else None
        frame = _beginning(path)
        return None if frame is None else _why(frame)
    if isinstance(source, pd.DataFrame):
        return _why(source.head(_ROWS))
    if isinstance(source, list | tuple | pd.Series) and len(source):
        some = [one for one in source[:_ROWS] if isinstance(one, str)]
        if len(some) == len(source[:_ROWS]) and not all(_is_file(one) for one in some[:5]):
            return "it holds strings"
    return None


def _is_file(text: str) -> bool:
    return len(text) < 300 and "\n" not in text and Path(text).exists()


def notes_in(folder: Path) -> list[Path]:
    """Return the notes of a folder and of the folders in it, if that is all there is but for hidden files."""
    files = [one for one in sorted(folder.glob("*")) if not one.name.startswith(".")]
    inner = [one for part in files if part.is_dir() for one in sorted(part.glob("*")) if not one.name.startswith(".")]
    every = [one for one in [*files, *inner] if one.is_file()]
    if len(every) < 2 or any(one.suffix.lower() not in NOTES for one in every):
        return []
    sample = [one.read_text(encoding="utf-8", errors="replace")[:2000] for one in every[:20]]
    return every if sum(len(_WORD.findall(text)) >= 2 for text in sample) > len(sample) / 2 else []


def prose_columns(frame: pd.DataFrame) -> dict[str, float]:
    """Return the columns whose cells are mostly two words or more, and mostly different, with their words a cell.

    >>> frame = pd.DataFrame({"note": [f"seal {c} leaks" for c in "abcdefgh"], "mode": ["leak", "wear"] * 4, "n": 1.5})
    >>> prose_columns(frame)
    {'note': 2.0}
    """
    made = {}
    for at, name in enumerate(frame.columns):  # a name may occur twice
        column = frame.iloc[:, at]
        cells = [str(cell) for cell in column.dropna().head(_ROWS)] if _is_text(column) else []
        counts = [0 if _FILE.search(cell) else len(_WORD.findall(cell[:2000])) for cell in cells]
        several = sum(count > 1 for count in counts)
        if len(cells) >= _FEWEST and several >= _PROSE * len(cells) and len(set(cells)) >= _DISTINCT * len(cells):
            made[str(name)] = sum(counts) / len(counts)
    return made


def _why(frame: pd.DataFrame) -> str | None:
    prose = prose_columns(frame)
    measured = [
        name for name in frame.columns if pd.api.types.is_float_dtype(frame[name]) and _has_decimals(frame[name])
    ]
    if not prose or len(measured) > _MOST_MEASURED:
        return None
    return f"its column `{max(prose, key=lambda name: prose[name])}` holds sentences"


def _has_decimals(values: pd.Series) -> bool:
    known = values.dropna()
    return bool((known % 1 != 0).any())


def _is_text(values: pd.Series) -> bool:
    return bool(pd.api.types.is_string_dtype(values) or values.dtype == object)


def _beginning(path: Path) -> pd.DataFrame | None:
    """Return the first rows of a file, None for one that is of another kind, large or broken."""
    with contextlib.suppress(UserError, OSError):
        if ending(path.name, TEXT):
            from faultwise.tables.reading.text.delimited_batches import read_delimited_batches

            with read_delimited_batches(path, _ROWS) as batches:
                return next(iter(batches), None)
        if ending(path.name, (*JSON, *PARQUET, *WORKBOOKS)) and path.is_file() and path.stat().st_size <= _SMALL:
            from faultwise.tables.reading.formats.formats import read_file

            return read_file(path).frame.head(_ROWS)
    return None
