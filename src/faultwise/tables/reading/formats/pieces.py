"""Formats beside text and Parquet that are read piece by piece, so that a file need not fit into memory.

These are Feather and Arrow files, JSON lines and SQLite databases. The others are read whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.contracts.paths import ARROW, JSON, SQLITE, ending
from faultwise.tables.reading.cleaning import Cleaner, unique_names
from faultwise.tables.reading.formats.arrow import arrow_size, read_arrow_batches
from faultwise.tables.reading.formats.contents import parsing
from faultwise.tables.reading.formats.json_lines import framed, records_of
from faultwise.tables.reading.formats.sqlite import open_sqlite, sqlite_batches
from faultwise.tables.reading.text.delimited_batches import TextSource

__all__ = ["about_cells", "read_pieces"]

_LINES = tuple(name for name in JSON if not name.startswith(".json") or name.startswith(".jsonl"))
# Bytes for each number, about. JSON repeats the names of columns in every line; packed files are a tenth of that.
_BYTES = {".sqlite": 8, ".jsonl": 20, "packed": 2}


def about_cells(path: Path) -> int:
    """Return about how many numbers a file holds that can be read in pieces, 0 for other formats."""
    if ending(path.name, ARROW):
        try:
            return arrow_size(path)
        except DataError:
            return 0  # reading it will raise the error
    if ending(path.name, SQLITE):
        return path.stat().st_size // _BYTES[".sqlite"]
    if found := ending(path.name, _LINES):
        return path.stat().st_size // _BYTES[".jsonl" if found in (".jsonl", ".ndjson") else "packed"]
    return 0


def read_pieces(
    path: Path, rows: int, as_text: Collection[str] = (), sheet: str | None = None
) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yield the share of a file that is read, and frames of about `rows` rows with the same columns.

    The first piece decides which columns are text. Raises DataError, in the middle if that is where the file is broken.
    """
    if ending(path.name, ARROW):
        yield from read_arrow_batches(path, rows, as_text)
        return
    raw = _of_sqlite(path, rows, sheet) if ending(path.name, SQLITE) else _of_lines(path, rows)
    cleaner = Cleaner(as_text=as_text)
    columns: list[str] = []
    for share, frame in raw:
        names, _, _ = unique_names(frame.columns)
        frame = frame.set_axis(names, axis=1)
        columns = columns or names
        more = [name for name in names if name not in columns]
        if more:
            raise DataError(
                f"`{path}` has the column `{more[0][:60]}` only after {share:.0%} of its rows; expected every column "
                "in the first rows of a file of this size: give the first record all of them."
            )
        cleaned, _ = cleaner.clean(frame.reindex(columns=columns))
        yield share, cleaned.astype(dict.fromkeys(cleaned.columns[cleaned.dtypes != "str"], "float64"))


def _of_sqlite(path: Path, rows: int, sheet: str | None) -> Iterator[tuple[float, pd.DataFrame]]:
    contents = open_sqlite(path)
    name, _ = contents.chosen(sheet)
    read, total = 0, contents.parts[name].rows
    binary: list[str] | None = None
    for frame in sqlite_batches(path, name, rows):
        read += len(frame)
        if binary is None:
            binary = [str(column) for column in frame if any(isinstance(cell, bytes) for cell in frame[column])]
        yield read / max(total, read), frame.drop(columns=binary)


def _of_lines(path: Path, rows: int) -> Iterator[tuple[float, pd.DataFrame]]:
    source = TextSource(path, None)
    try:
        with parsing(path, "a file of JSON lines"):
            held: list[dict[str, object]] = []
            first = 1
            for block in source.blocks():
                lines = block.split("\n")
                for record in records_of(lines, path, first):
                    held.append(record)
                    if len(held) == rows:
                        yield source.done, framed(iter(held))
                        held = []
                first += len(lines) - 1
            if held:
                yield 1.0, framed(iter(held))
    finally:
        source.close()
