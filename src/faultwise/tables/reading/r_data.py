"""Read the data frame of one RData file (`.RData`, `.rda`) into a data frame of numbers and text.

It reads a file that holds exactly one data frame. It runs nothing that a file may hold beside it (functions
stay data), and it has no pieces: the file is unpacked in memory as a whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import DataError, UserError, listing
from faultwise.tables.reading.cleaning import clean, unique_names

__all__ = ["read_r_data"]


def read_r_data(path: str | Path, *, as_text: Collection[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """Read the one data frame of an RData file; return it and sentences about what was noticed.

    Columns in `as_text` (labels, runs) are not turned into numbers; row names are left out. Raises DataError
    when the file is absent, may not be read, is cut off or no RData, or does not hold exactly one data frame
    with rows; UserError without the extra `rieth`. Source of the format: "R Internals", section 1.8.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder or a device" if path.exists() else "does not exist"
        raise DataError(f"`{path}` {what}; expected an RData file: check the path.")
    frame, name = _one_frame(path, _objects(path))
    if frame.empty:
        raise DataError(
            f"`{path}` has {len(frame)} rows and {len(frame.columns)} columns; expected at least one of each: "
            "check how it was saved."
        )
    names, _, notes = unique_names(frame.columns)
    frame = frame.set_axis(names, axis=1).reset_index(drop=True)
    frame, cleaned = clean(frame, as_text=as_text)
    return frame, [f"RData, data frame `{name[:60]}`.", *notes, *cleaned]


def _objects(path: Path) -> object:
    try:
        import rdata
    except ImportError:
        raise UserError(
            f"`{path}` is an RData file, and reading it needs the library rdata, which is not installed: "
            'pip install "faultwise[rieth]", or export it as CSV or Parquet.'
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about R classes it does not know: only the data frame is wanted
            return rdata.read_rda(path)
    except PermissionError:
        raise DataError(f"`{path}` may not be read (no permission): change its rights or copy it.") from None
    except MemoryError:
        raise DataError(
            f"`{path}` does not fit into memory, and RData cannot be read in pieces: convert it to Parquet with R "
            "(arrow::write_parquet) on a larger machine, or get a CSV edition."
        ) from None
    except Exception as error:  # a parser fed with broken bytes raises anything, from IndexError to zlib.error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120] or type(error).__name__
        raise DataError(
            f"`{path}` is not a readable RData file ({reason}): it may be cut off or be another format; fetch it "
            "again, or save it anew with R's save()."
        ) from None


def _one_frame(path: Path, objects: object) -> tuple[pd.DataFrame, str]:
    named = objects if isinstance(objects, dict) else {path.stem: objects}  # a single object comes bare (RDS)
    frames = [(str(name), value) for name, value in named.items() if isinstance(value, pd.DataFrame)]
    if len(frames) != 1:
        found = f"{len(frames)} data frames" if frames else "no data frame"
        names = listing(named, 5) or "nothing"
        raise DataError(
            f"`{path}` holds {found} ({names}); expected exactly one: save the one to be read into a file of its own."
        )
    return frames[0][1], frames[0][0]
