"""A source read piece by piece, so that its size does not matter: Parquet, text, Arrow, JSON, SQLite, or a folder.

What comes out are frames with the columns and the run column that `read_source` gives. Small sources are read whole and
handed out in pieces; larger ones are never held in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faultwise.contracts.errors import DataError
from faultwise.contracts.paths import PACKED, PARQUET, TEXT, ZIPPED, ending, is_pattern, tables_among
from faultwise.tables.reading.benchmarks.benchmarks import Layout, recognise
from faultwise.tables.reading.benchmarks.rieth import rieth_files
from faultwise.tables.reading.folders import files_of, free_name, run_names, same_columns
from faultwise.tables.reading.formats.formats import read_file
from faultwise.tables.reading.formats.pieces import about_cells, read_pieces
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.parquet import column_notes, read_parquet_batches
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.shapes.reshaping import Known
from faultwise.tables.reading.table import Roles, Table, run_text
from faultwise.tables.reading.text.delimited_batches import read_delimited_batches

__all__ = ["Batches", "cut", "fingerprint", "is_large", "open_batches", "rows_up_to"]

# Numbers take 8 bytes in memory and about as many characters in a text file; gzip saves most of them.
_LARGE_CELLS = 40_000_000
_LARGE_TEXT = {"plain": 256 << 20, "gz": 48 << 20}


@dataclass
class Batches:
    """Pieces of a source with the same `columns`. `roles` are those the format itself gives; `numbers` (rows,) has the
    rows' numbers in the source where they are not 1, 2, 3, ...

    Iterate it as often as needed; `done` is the share of the source that the running iteration has read, 0 to 1.
    """

    roles: Roles
    columns: list[str]
    notes: tuple[str, ...] = ()
    layout: Layout | None = None
    done: float = 0.0
    numbers: np.ndarray | None = None
    _pieces: Callable[[], Iterator[tuple[float, pd.DataFrame]]] = field(default=lambda: iter(()), repr=False)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        self.done = 0.0
        for share, frame in self._pieces():
            self.done = share
            yield frame
        self.done = 1.0


def is_large(source: str | Path) -> bool:
    """Return whether reading a source at once would take more than a few hundred megabytes of memory."""
    path = Path(source)
    if path.is_dir() or is_pattern(path):
        return sum(map(_cells, _tables(path))) > _LARGE_CELLS
    return path.is_file() and _cells(path) > _LARGE_CELLS


def open_batches(
    source: str | Path,
    rows: int,
    *,
    part: str = "",
    as_text: Collection[str] = (),
    group: str | None = None,
    how: TableReading | None = None,
    known: Known | None = None,
) -> Batches:
    """Open a source for reading in pieces of about `rows` rows. Raises DataError as `read_source` does.

    Columns in `as_text` are not turned into numbers. In a folder each file is a run, unless `group` names the runs.
    `how` and `known` are those of `read_source`.
    """
    path = Path(source)
    several = path.is_dir() or is_pattern(path)
    files = _tables(path, part) if several else [path]
    sheet = None if how is None else how.sheet
    if not files or (how is not None and how.query is not None) or not is_large(path):
        return cut(read_source(path, part=part, as_text=as_text, how=how, known=known), rows)
    if (how is not None and how.join) or set(known or ()) & {"long", "joined"}:
        raise DataError(
            f"`{source}` is too large to be read at once, and its rows have to be put together from several lines or "
            "tables: give a file of fewer rows."
        )
    names = _names(files[0], sheet)
    layouts = [recognise(names, one.name) for one in files]
    arranged = layouts[0]
    named = Roles() if arranged is None else arranged.roles
    columns = list(arranged.apply(_first(files[0], as_text, sheet)).columns) if arranged is not None else names
    by_file = free_name(columns) if several and named.group is None and group not in columns else None
    runs = run_names([one.name for one in files])
    remarks = [note for one in files if ending(one.name, PARQUET) for note in column_notes(one)]

    def read() -> Iterator[tuple[float, pd.DataFrame]]:
        for number, (one, layout) in enumerate(zip(files, layouts, strict=True)):
            if number:
                same_columns(path, files[0].name, names, one.name, _names(one, sheet))
            for share, frame in _of_file(one, rows, as_text, layout, sheet):
                if by_file is not None:
                    frame.insert(0, by_file, runs[number])
                yield (number + share) / len(files), frame

    return Batches(
        named if by_file is None else replace(named, group=by_file),
        columns if by_file is None else [by_file, *columns],
        (*dict.fromkeys(remarks), *(() if arranged is None else arranged.notes)),
        arranged,
        _pieces=read,
    )


def cut(table: Table, rows: int) -> Batches:
    """Return a table in pieces of `rows` rows."""
    frame = table.frame

    def pieces() -> Iterator[tuple[float, pd.DataFrame]]:
        for start in range(0, len(frame), rows):
            yield min(1.0, (start + rows) / len(frame)), frame.iloc[start : start + rows].reset_index(drop=True)

    return Batches(table.roles, list(frame.columns), table.notes, numbers=table.numbers, _pieces=pieces)


def fingerprint(source: str | Path) -> list[list[str | int]]:
    """Return name, size and time of change of every file of a source: what a resumed command must find unchanged."""
    path = Path(source)
    if is_pattern(path):
        files = _tables(path)
    else:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [[one.name, one.stat().st_size, one.stat().st_mtime_ns] for one in files if one.is_file()]


def rows_up_to(
    source: str | Path,
    row: int,
    most: int,
    roles: Roles,
    *,
    part: str = "",
    as_text: Collection[str] = (),
    how: TableReading | None = None,
) -> Table:
    """Return the last `most` rows of one run up to and with `row` (from 1), with their numbers in the source.

    `roles` are those wanted; what the source does not have is left out. Raises DataError when there is no such row.
    """
    batches = open_batches(source, max(most, 10_000), part=part, as_text=as_text, group=roles.group, how=how)
    here = set(batches.columns)
    group = roles.group if roles.group in here else batches.roles.group
    roles = Roles(None, group, roles.time if roles.time in here else None, tuple(n for n in roles.ignored if n in here))
    read, run = 0, None
    for frame in batches:
        if row <= read + len(frame):
            run = None if group is None else run_text(frame[group])[row - read - 1]
            break
        read += len(frame)
    else:
        raise DataError(f"Row {row} was asked for; `{source}` has rows 1 to {read}.")
    kept: list[pd.DataFrame] = []
    numbers = np.empty(0, int)
    read = before = 0
    for frame in batches:
        upto = frame.iloc[: row - read]
        mine = np.arange(len(upto)) if group is None else np.flatnonzero(run_text(upto[group]) == run)
        numbers = np.concatenate([numbers, read + mine + 1])
        kept = [pd.concat([*kept, upto.iloc[mine]]).iloc[-most:]]
        before, numbers = before + max(0, len(numbers) - most), numbers[-most:]
        read += len(frame)
        if read >= row:
            break
    name = Path(source).stem if run is None else str(run)
    note = f"Only the {len(numbers):,} rows of `{name[:40]}` up to row {row:,} were used."
    frame = kept[0].reset_index(drop=True)
    return Table(frame, roles, str(source), (note,), numbers=numbers, before={name: before})


def _tables(folder: Path, part: str = "") -> list[Path]:
    """Return the tables of a folder or a pattern; of a known benchmark those of one part only."""
    if is_pattern(folder):
        base, found = files_of(folder)
        return [base / name for name in found]
    names = sorted(entry.name for entry in folder.iterdir())
    readable = [name for end in (PARQUET, TEXT) for name in names if ending(name, end)]
    return [folder / name for name in rieth_files(readable, part, None) or tables_among(folder, names)]


def _cells(path: Path) -> int:
    """Return about how many numbers a file holds."""
    if ending(path.name, PARQUET):
        try:
            found = pq.read_metadata(path)
        except (pa.ArrowException, OSError, ValueError):
            return 0  # reading it will raise the error
        return int(found.num_rows * found.num_columns)
    if not ending(path.name, TEXT):
        return about_cells(path)
    most = _LARGE_TEXT["gz" if ending(path.name, (*PACKED, *ZIPPED)) else "plain"]
    return int(path.stat().st_size / most * _LARGE_CELLS)


def _first(path: Path, as_text: Collection[str], sheet: str | None) -> pd.DataFrame:
    return next(frame for _, frame in _of_file(path, 100, as_text, None, sheet))


def _names(path: Path, sheet: str | None) -> list[str]:
    return [str(name) for name in _first(path, (), sheet).columns]


def _of_file(
    path: Path, rows: int, as_text: Collection[str], layout: Layout | None, sheet: str | None
) -> Iterator[tuple[float, pd.DataFrame]]:
    if ending(path.name, PARQUET):
        pieces = _parquet(path, rows, as_text)
    elif ending(path.name, TEXT):
        pieces = _text(path, rows, as_text)
    else:
        pieces = read_pieces(path, rows, as_text, sheet) if about_cells(path) else _whole(path, as_text, sheet)
    for share, frame in pieces:
        yield share, frame if layout is None else layout.apply(frame)


def _whole(path: Path, as_text: Collection[str], sheet: str | None) -> Iterator[tuple[float, pd.DataFrame]]:
    yield 1.0, read_file(path, as_text, sheet).frame


def _text(path: Path, rows: int, as_text: Collection[str]) -> Iterator[tuple[float, pd.DataFrame]]:
    batches = read_delimited_batches(path, rows, as_text=as_text)
    for frame in batches:
        yield batches.done, frame


def _parquet(path: Path, rows: int, as_text: Collection[str]) -> Iterator[tuple[float, pd.DataFrame]]:
    read, total = 0, max(1, pq.read_metadata(path).num_rows)
    for frame in read_parquet_batches(path, rows, as_text=as_text):
        read += len(frame)
        yield read / total, frame
