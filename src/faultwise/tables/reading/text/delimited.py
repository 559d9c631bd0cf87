"""Read one CSV-like text file into a data frame, with notes on how it was read.

Delimiter, decimal mark and header are recognised by `dialect`, the encoding by `decoding`; what they recognise is
always noted. Nothing is ever evaluated: a cell `=cmd()` stays text.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import MISSING_WORDS, clean, unique_names, without_counters
from faultwise.tables.reading.text.blocks import Feed, checked, in_blocks
from faultwise.tables.reading.text.decoding import read_text
from faultwise.tables.reading.text.dialect import NEVER, Dialect, recognise

__all__ = ["frame_of_text", "parser_options", "read_delimited", "refusing"]


def read_delimited(
    path: str | Path, *, encoding: str | None = None, as_text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Read a delimited text file (also compressed); return the frame and sentences about what was noticed.

    `encoding` overrules the recognised one. Columns in `as_text` (labels, runs) are not turned into numbers.
    Title lines above the header, a line of units below it, and empty rows and nameless empty columns of a
    spreadsheet are left out. Raises DataError, and nothing else, when the file cannot be read or is no table:
    absent, a folder, no permission, empty, header only, binary, wrong encoding, a line with more fields than
    the header, too large for the memory.
    """
    path = Path(path)
    with refusing(path):
        text, encoding_words, notes = read_text(path, encoding)
    frame, dialect, found = frame_of_text(text, path, as_text)
    return frame, [dialect.words(encoding_words), *notes, *found]


def frame_of_text(text: str, path: Path, as_text: Collection[str] = ()) -> tuple[pd.DataFrame, Dialect, list[str]]:
    """Return the table that a text holds, its dialect, and sentences about what was noticed. `path` names the source in
    messages. Raises DataError as `read_delimited` does.
    """
    with refusing(path):
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        dialect = recognise(text, path, as_text)
        notes = list(dialect.notes)
        names, nameless, renamed = unique_names(dialect.names)
        feed = Feed(checked(in_blocks(text, dialect.start), dialect, path, notes))
        del text
        with refusing(path, feed):
            frame = pd.read_csv(feed, **parser_options(dialect, names, as_text))
        if frame.empty:
            raise DataError(f"`{path}` has a header and no rows: check how it was exported.")
        frame, cleaned = clean(frame, decimal=dialect.decimal, proven=dialect.proven, as_text=as_text)
        frame, dropped = without_counters(frame, nameless)
    if frame.columns.empty:
        raise DataError(f"`{path}` has no column with values: check how it was exported.")
    return frame, dialect, [*notes, *renamed, *cleaned, *dropped]


@contextmanager
def refusing(path: Path, feed: Feed | None = None) -> Iterator[None]:
    """Turn what parsers raise into DataErrors; the one that ended `feed` takes precedence over what a parser raised."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            yield
    except (csv.Error, pd.errors.ParserWarning, ValueError, OverflowError) as error:
        cause = feed.error if feed is not None and feed.error is not None else error
        if isinstance(cause, DataError):
            raise cause from None
        reason = " ".join(str(cause).split())[:160]
        if "field limit" in reason:
            reason = f"a cell has more than {csv.field_size_limit()} characters"
        raise DataError(
            f"`{path}` is not a readable table ({reason}): look for a quote that is opened and never closed."
        ) from None
    except MemoryError:
        raise DataError(f"`{path}` does not fit into the memory: split it, or give it fewer columns.") from None


def parser_options(dialect: Dialect, names: list[str], as_text: Collection[str]) -> dict[str, Any]:
    """Return the arguments with which pandas' parser reads rows in this dialect."""
    words = {spelt for word in MISSING_WORDS for spelt in (word, word.upper(), word.capitalize())}
    return {
        "sep": r"\s+" if dialect.delimiter == " " else dialect.delimiter or NEVER,
        "decimal": dialect.decimal,
        "header": None,
        "names": names,
        "index_col": False,
        "dtype": {name: "str" for name in names if name in as_text},
        "keep_default_na": False,
        "na_values": [*words, "NaN"],
        "skipinitialspace": True,
        "low_memory": False,
        "engine": "c",
    }
