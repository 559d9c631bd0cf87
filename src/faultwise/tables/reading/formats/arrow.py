"""Read Feather files and Arrow IPC files and streams."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import clean
from faultwise.tables.reading.formats.contents import Contents, Part, allowed_size, parsing
from faultwise.tables.reading.parquet import kept_columns, refuse_nested

__all__ = ["arrow_size", "open_arrow", "read_arrow_batches"]

_KIND = "a Feather or Arrow file"


def open_arrow(path: Path) -> Contents:
    """Return the one table of a Feather or Arrow file. Raises DataError as `read_parquet` does."""

    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        with _opened(path) as (reader, _rows):
            names, kept, notes = kept_columns(reader.schema.names)
            table = pa.Table.from_batches(_batches(reader, path), reader.schema)
            return table.rename_columns(names).select(kept).to_pandas(ignore_metadata=True), notes

    return Contents(path, "Feather (Arrow)", "table", {path.stem: Part(1, read)})


def arrow_size(path: Path) -> int:
    """Return about how many cells a file holds, without converting its rows. Raises DataError."""
    with _opened(path) as (reader, rows):
        return (rows() or path.stat().st_size // 8) * len(reader.schema.names)


def read_arrow_batches(path: Path, rows: int, as_text: Collection[str] = ()) -> Iterator[tuple[float, pd.DataFrame]]:
    """Yield the share that is read, and frames of at most `rows` rows with all columns. Raises DataError."""
    with _opened(path) as (reader, count):
        names, kept, _ = kept_columns(reader.schema.names)
        total, read = max(1, count()), 0
        for batch in _batches(reader, path):
            for start in range(0, batch.num_rows, rows):
                piece = batch.slice(start, rows).rename_columns(names).select(kept)
                read += piece.num_rows
                yield read / total, clean(piece.to_pandas(), as_text=as_text)[0]


def _batches(reader: object, path: Path) -> Iterator[pa.RecordBatch]:
    number = getattr(reader, "num_record_batches", None)
    found = reader if number is None else (reader.get_batch(at) for at in range(number))  # type: ignore[attr-defined]
    for batch in found:  # type: ignore[attr-defined]
        allowed_size(batch.nbytes, "a batch of rows", path)
        batch.validate(full=True)  # else a damaged file reads beyond the end of its buffers
        yield batch


@contextmanager
def _opened(path: Path):  # type: ignore[no-untyped-def]
    """Open a file or a stream and yield a reader of its batches, and what counts its rows."""
    with parsing(path, _KIND), pa.memory_map(str(path)) as source:
        start = source.read(6)
        source.seek(0)
        if start[:4] == b"FEA1":
            raise DataError(
                f"`{path}` is a Feather file of version 1, which is no longer read: write it again with "
                "`to_feather` of a current pandas."
            )
        if start == b"ARROW1":
            reader = pa.ipc.open_file(source)
            rows = lambda: sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))  # noqa: E731
        else:
            reader = pa.ipc.open_stream(source)
            rows = lambda: 0  # noqa: E731
        refuse_nested(reader.schema, path)
        yield reader, rows
