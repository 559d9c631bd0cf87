"""Read one CSV-like text file into a data frame, and say how it was understood.

Delimiter and decimal mark are recognised from the file itself and always told; the encoding is `decoding`'s
business. Nothing is ever evaluated: a cell `=cmd()` stays text. It guesses no header: the first line must hold
the names.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from faultwise.data.cleaning import (
    MISSING_WORDS,
    clean,
    is_number,
    looks_grouped,
    unique_names,
    without_counters,
)
from faultwise.data.decoding import read_text
from faultwise.errors import DataError

__all__ = ["read_delimited"]

_SPOKEN = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes", " ": "spaces", "": "no delimiter"}
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\n')
_SAMPLE = 1 << 16
# pandas' name for a delimiter that does not occur; control characters are gone by then.
_NEVER = "\x1f"


def read_delimited(
    path: str | Path, *, encoding: str | None = None, as_text: Collection[str] = ()
) -> tuple[pd.DataFrame, list[str]]:
    """Read a delimited text file (also gzipped); return the frame and sentences about what was noticed.

    `encoding` overrules the recognised one. Columns in `as_text` (labels, runs) are not turned into numbers.
    Raises DataError, and nothing else, when the file cannot be read or is no table: absent, a folder, no
    permission, empty, header only, binary, wrong encoding, a line with more fields than the header.
    """
    path = Path(path)
    text, spoken, notes = read_text(path, encoding)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Excel's own hint; and blank lines above the header.
    hint = _SEPARATOR_LINE.match(text)
    body = text[hint.end() :] if hint else text
    start = len(body) - len(body.lstrip("\n"))
    skipped = text[: len(text) - len(body) + start].count("\n")
    body = body[start:]
    if not body.strip():
        raise DataError(f"`{path}` is empty; expected a header line and rows: check how it was exported.")
    try:
        delimiter = hint[1] if hint else _delimiter(body, path)
        header, rows = _header(body, delimiter, path)
        skipped += body[: len(body) - len(rows)].count("\n")
        notes += _widths(rows, delimiter, len(header), skipped, path)
        decimal = _decimal(rows, delimiter)
        names, nameless, renamed = unique_names(header)
        frame = _parsed(rows, delimiter, decimal, names, as_text)
    except (csv.Error, pd.errors.ParserWarning, ValueError, OverflowError) as error:
        if isinstance(error, DataError):
            raise
        reason = " ".join(str(error).split())[:160]
        raise DataError(
            f"`{path}` is not a readable table ({reason}): look for a quote that is opened and never closed."
        ) from None
    if frame.empty:
        raise DataError(f"`{path}` has a header and no rows: check how it was exported.")
    frame, cleaned = clean(frame, decimal=decimal, as_text=as_text)
    frame, dropped = without_counters(frame, nameless)
    if frame.columns.empty:
        raise DataError(f"`{path}` has no column with values: check how it was exported.")
    mark = "decimal comma" if decimal == "," else "decimal point"
    return frame, [f"Text with {_SPOKEN[delimiter]}, {mark}, {spoken}.", *notes, *renamed, *cleaned, *dropped]


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each non-blank record with the number of its last line, from 1."""
    if delimiter == " ":
        yield from ((i, line.split()) for i, line in enumerate(text.split("\n"), start=1) if line.strip())
        return
    reader = csv.reader(io.StringIO(text), delimiter=delimiter or _NEVER, skipinitialspace=True)
    yield from ((reader.line_num, record) for record in reader if record)


def _sample(text: str, delimiter: str) -> list[list[str]]:
    """Return the non-blank records at the start, fields trimmed."""
    head = text[:_SAMPLE]
    if len(text) > len(head) and "\n" in head:
        head = head[: head.rindex("\n")]
    return [[field.strip() for field in record] for _, record in _records(head, delimiter) if any(record)]


def _delimiter(text: str, path: Path) -> str:
    best, best_rank = "", (0.0, 0)
    for delimiter in (",", ";", "\t", "|"):
        try:
            widths = [len(row) for row in _sample(text, delimiter)]
        except csv.Error:
            continue
        if not widths or widths[0] < 2 or (len(widths) > 1 and max(widths[1:]) < 2):
            continue
        rank = (widths[1:].count(widths[0]) / max(1, len(widths) - 1), widths[0])
        if best == "" or rank > best_rank:
            best, best_rank = delimiter, rank
    if best or '"' in text[:_SAMPLE]:
        return best
    rows = _sample(text, " ")
    cells = [cell for row in rows[1:] for cell in row]
    numbers = sum(is_number(cell) or is_number(cell, ",") for cell in cells)
    if not rows or len(rows[0]) < 2 or 2 * numbers <= len(cells):
        return ""
    odd = next((i for i, row in enumerate(rows, start=1) if len(row) != len(rows[0])), None)
    if odd is not None:
        raise DataError(
            f"`{path}` seems to have its columns separated by spaces, but line {odd} has "
            f"{len(rows[odd - 1])} fields and the header {len(rows[0])}: export it with commas or tabs."
        )
    return " "


def _header(text: str, delimiter: str, path: Path) -> tuple[list[str], str]:
    """Return the names and the text below them."""
    line, names = next(_records(text, delimiter))
    rows = "".join(text.split("\n", line)[line:])
    cells = [name.strip() for name in names]
    numeric = [cell for cell in cells if is_number(cell) or is_number(cell, ",")]
    # Names may be numbers (0, 1, 2, ... of a saved array); measured values betray themselves.
    if (
        numeric
        and len(numeric) == len(cells)
        and (len(set(cells)) < len(cells) or any(not cell.isdigit() for cell in cells))
    ):
        raise DataError(
            f"The first line of `{path}` holds only numbers (`{'`, `'.join(cells[:3])}`, ...); expected the "
            "names of the columns: add a header line."
        )
    return names, rows


def _widths(rows: str, delimiter: str, width: int, above: int, path: Path) -> list[str]:
    """Refuse lines with more fields than the header; count those with fewer."""
    if delimiter != " " and '"' not in rows:
        # Counting characters is many times faster than parsing, and the same without quotes.
        separator = delimiter or _NEVER
        lines = enumerate(rows.split("\n"), start=1)
        counted = ((line, text.count(separator) + 1) for line, text in lines if text)
    else:
        counted = ((line, len(record)) for line, record in _records(rows, delimiter))
    short, first = 0, 0
    for line, found in counted:
        if found > width:
            raise DataError(
                f"`{path}`, line {above + line}: {found} fields, but the header has {width}: quote cells "
                "that contain the delimiter, or name every column."
            )
        if found < width:
            short, first = short + 1, first or above + line
    if not short:
        return []
    return [f"Lines with fewer fields than the header: {short} (first: line {first}); the rest is missing."]


def _decimal(rows: str, delimiter: str) -> str:
    cells = {cell for record in _sample(rows, delimiter) for cell in record}
    commas = {cell for cell in cells if "," in cell and is_number(cell, ",")}
    points = {cell for cell in cells if "." in cell and is_number(cell)}
    if delimiter == "," and all(looks_grouped(cell) for cell in commas):
        return "."  # quoted "1,234": thousands more likely than thousandths
    return "," if len(commas) > len(points) else "."


def _parsed(rows: str, delimiter: str, decimal: str, names: list[str], as_text: Collection[str]) -> pd.DataFrame:
    words = {spelt for word in MISSING_WORDS for spelt in (word, word.upper(), word.capitalize())}
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            io.StringIO(rows),
            sep=r"\s+" if delimiter == " " else delimiter or _NEVER,
            decimal=decimal,
            header=None,
            names=names,
            index_col=False,
            dtype={name: "str" for name in names if name in as_text},
            keep_default_na=False,
            na_values=[*words, "NaN"],
            skipinitialspace=True,
            low_memory=False,
            engine="c",
        )
