"""Read one Parquet file into a data frame of numbers and text.

It reads one file with flat columns. It takes no partitioned folders apart, unpacks no nested columns, and
restores no pandas index: rows are numbered from 0.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from faultwise.data.cleaning import clean, unique_names, without_counters
from faultwise.errors import DataError, listing

__all__ = ["opened", "read_parquet", "read_parquet_batches"]

_BUFFER = 1 << 18


def read_parquet(path: str | Path, *, as_text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Read a Parquet file; return the frame and sentences about what was noticed.

    Columns in `as_text` (labels, runs) are not turned into numbers. Raises DataError when the file is absent,
    may not be read, is truncated or no Parquet, has no rows, or has nested or binary columns (named).
    """
    path = Path(path)
    with opened(path) as file:
        table = file.read()
        names, _, notes = unique_names(table.column_names)
        frame = table.rename_columns(names).to_pandas(ignore_metadata=True)
    if frame.empty:
        raise DataError(
            f"`{path}` has {len(frame)} rows and {len(frame.columns)} columns; expected at least one of "
            "each: check how it was written."
        )
    frame, cleaned = clean(frame, as_text=as_text)
    index = [name for name in frame.columns if str(name).startswith("__index_level_")]
    frame, dropped = without_counters(frame, index)
    return frame, ["Parquet.", *notes, *cleaned, *dropped]


def read_parquet_batches(path: str | Path, rows: int, *, as_text: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """Yield frames of about `rows` rows. Memory does not grow with the file, nor with its row groups.

    Raises DataError as `read_parquet` does, in the middle if that is where the file is broken.
    """
    # Buffered reading, because a file may be one row group of millions of rows.
    with opened(Path(path), buffer_size=_BUFFER) as file:
        names, _, _ = unique_names(file.schema_arrow.names)
        index = [name for name in names if name.startswith("__index_level_")]
        for groups in _groups(file.metadata, rows):
            for batch in file.iter_batches(rows, row_groups=groups):
                frame, _ = clean(batch.rename_columns(names).to_pandas(), as_text=as_text)
                yield frame.drop(columns=index)


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
            _refuse_nested(file.schema_arrow, path)
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


def _refuse_nested(schema: pa.Schema, path: Path) -> None:
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
