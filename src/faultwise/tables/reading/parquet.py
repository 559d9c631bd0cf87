"""Read one Parquet file into a data frame of numbers and text.

It reads one file with flat columns. It takes no partitioned folders apart, unpacks no nested columns, and
restores no pandas index: rows are numbered from 0. An index that pandas stored under a name is a column as any other,
one without a name is left out: it numbers the rows as they were before some were taken away, and so gives the place of
a row in the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.cleaning import clean, unique_names

__all__ = ["column_notes", "kept_columns", "opened", "read_parquet", "read_parquet_batches", "refuse_nested"]

_BUFFER = 1 << 18
# What pandas calls an index without a name in a file, level by level.
_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(path: str | Path, *, as_text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Read a Parquet file; return the frame and sentences about what was noticed.

    Columns in `as_text` (labels, runs) are not turned into numbers. Raises DataError when the file is absent,
    may not be read, is truncated or no Parquet, has no rows, or has nested or binary columns (named).
    """
    path = Path(path)
    with opened(path) as file:
        names, kept, notes = _columns(file, path)
        frame = file.read().rename_columns(names).select(kept).to_pandas(ignore_metadata=True)
    frame, cleaned = clean(frame, as_text=as_text)
    return frame, ["Parquet.", *notes, *cleaned]


def read_parquet_batches(path: str | Path, rows: int, *, as_text: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield frames of about `rows` rows and the columns of `read_parquet`. Memory does not grow with the file, nor with
    its row groups.

    Raises DataError as `read_parquet` does, in the middle if that is where the file is broken.
    """
    path = Path(path)
    # Buffered reading, because a file may be one row group of millions of rows.
    with opened(path, buffer_size=_BUFFER) as file:
        names, kept, _ = _columns(file, path)
        for groups in _groups(file.metadata, rows):
            for batch in file.iter_batches(rows, row_groups=groups):
                read = batch.rename_columns(names).select(kept).to_pandas(ignore_metadata=True)
                yield clean(read, as_text=as_text)[0]


def column_notes(path: str | Path) -> list[str]:
    """Return notes on the columns of a file, without reading its rows. Raises DataError."""
    path = Path(path)
    with opened(path) as file:
        return _columns(file, path)[2]


def _columns(file: pq.ParquetFile, path: Path) -> tuple[list[str], list[str], list[str]]:
    """Return unique names of all columns, those of them that are read, and sentences about both."""
    names, kept, notes = kept_columns(file.schema_arrow.names)
    if not file.metadata.num_rows or not kept:
        raise DataError(
            f"`{path}` has {file.metadata.num_rows} rows and {len(kept)} columns; expected at least one of "
            "each: check how it was written."
        )
    return names, kept, notes


def kept_columns(stored: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return unique names of all columns of a file, those of them that are read, and sentences about both."""
    names, _, notes = unique_names(stored)
    index = [name for name in names if _INDEX.fullmatch(name)]
    kept = [name for name in names if name not in index]
    if index:
        notes.append(
            f"The index without a name that pandas stored ({listing(index)}) was left out: if it holds information, "
            "name it when writing the file."
        )
    return names, kept, notes


def _groups(metadata: pq.FileMetaData, rows: int) -> Iterator[list[int]]:
    """Yield row groups, enough of them for `rows` rows: iter_batches keeps the buffers of all it has been through."""
    together: list[int] = []
    count = 0
    for number in range(metadata.num_row_groups):
        together.append(number)
        count += metadata.row_group(number).num_rows
        if count >= rows:
            yield together
            together, count = [], 0
    if together:
        yield together


@contextmanager
def opened(path: Path, buffer_size: int = 0) -> Iterator[pq.ParquetFile]:
    """Open a file of flat columns; whatever goes wrong until it is closed is a DataError that names the file."""
    if not path.is_file():
        what = "is a folder or a device" if path.exists() else "does not exist"
        raise DataError(f"`{path}` {what}; expected a Parquet file: check the path.")
    try:
        # A ParquetFile takes no folders apart: a folder named `fault=4` on the way does not become a column.
        with pq.ParquetFile(path, buffer_size=buffer_size) as file:
            refuse_nested(file.schema_arrow, path)
            yield file
    except DataError:
        raise
    except PermissionError:
        raise DataError(f"`{path}` may not be read (no permission): change its rights or copy it.") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        reason = (str(error).splitlines() or ["unreadable"])[0][:160]
        raise DataError(
            f"`{path}` is not a readable Parquet file ({reason}): it may be cut off or be another format; "
            "write it again, or rename it to what it is."
        ) from None


def refuse_nested(schema: pa.Schema, path: Path) -> None:
    """Raise DataError that names columns of lists, structures or bytes."""

    def kind(field: pa.Field) -> bool:
        inner = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        return bool(
            pa.types.is_nested(inner)
            or pa.types.is_binary(inner)
            or pa.types.is_large_binary(inner)
            or pa.types.is_fixed_size_binary(inner)
        )

    refused = [f"{field.name} ({field.type})" for field in schema if kind(field)]
    if refused:
        raise DataError(
            f"`{path}` has nested or binary columns: {listing(refused)}; expected numbers and text: "
            "flatten or leave out these columns when writing the file."
        )
