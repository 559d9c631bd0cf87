"""Recognise how a text file holds its table: delimiter, decimal mark, title lines, header, a line of units.

Only the first rows are inspected and nothing is changed; what had to be inferred is noted.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.cleaning import MISSING_WORDS
from faultwise.tables.reading.text.numerals import is_number, looks_grouped, marks_shown

__all__ = ["NEVER", "Dialect", "recognise"]

# pandas' name for a delimiter that does not occur; control characters are gone by then.
NEVER = "\x1f"
_WORDS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes", " ": "spaces", "": "no delimiter"}
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?\n')
_BLANK_LINES = re.compile(r"\n*")
_FILLED = re.compile(r"\S")
_SAMPLE = 1 << 16
_MOST_COLUMNS = 50_000
_MOST_TITLES = 20
# What certainly is a unit; `bad` or `ERR` below a header is a row that went wrong.
_UNIT = re.compile(
    r"\[.{0,18}\]|\(.{1,18}\)|.*[°%‰²³·/^].*|[munpµkcdh]?(?:bar[ag]?|pa|m|g|l|s|v|a|w|wh|va|var|j|n|nm|hz|mol|ohm)|"
    r"[mg](?:w|wh|pa|hz|va|j)|psi[ag]?|c|f|k|deg[cfk]?|rpm|min|hr?|d|sec|t|kscmh|m[23]|pp[mb]|cst|ph|db|rad|gpm|scfm|counts?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Dialect:
    """How a file holds its table. `start` is where in the text the rows begin, below `above` lines.

    Lines may have from `fewest` to `most` fields; `names` are the header's, one for each of `most`. With
    `proven`, cells show the decimal mark for certain.
    """

    delimiter: str
    decimal: str
    proven: bool
    names: list[str]
    fewest: int
    start: int
    above: int
    notes: list[str] = field(default_factory=list)

    @property
    def most(self) -> int:
        """The fields a line may have at most."""
        return len(self.names)

    def words(self, encoding: str) -> str:
        """Return what was recognised, in one sentence."""
        mark = "decimal comma" if self.decimal == "," else "decimal point"
        return f"Text with {_WORDS[self.delimiter]}, {mark}, {encoding}."


def recognise(text: str, path: Path, as_text: Collection[str] = ()) -> Dialect:
    """Recognise the dialect of a text (or of its first million characters) with line feeds as line ends.

    Columns in `as_text` hold labels, which no unit is expected for. Raises DataError for what is no table:
    empty, a header of numbers, too many columns, columns of ragged spaces; csv.Error for broken quotes.
    """
    hint = _SEPARATOR_LINE.match(text)
    begin = _BLANK_LINES.match(text, hint.end() if hint else 0).end()  # type: ignore[union-attr]
    if not _FILLED.search(text, begin):
        raise DataError(f"`{path}` is empty; expected a header line and rows: check how it was exported.")
    delimiter = hint[1] if hint else _delimiter(text, begin, path)
    rows = _sample(text, begin, delimiter)
    titles = _titles(rows)
    end, names = _header(text, begin, delimiter, rows[titles] if titles else None, path)
    notes = []
    if titles:
        shown = [next(cell for cell in row if cell) for row in rows[:titles]]
        notes.append(f"Title lines above the header: {titles} ({listing(shown, 3)}), left out.")
    below = _sample(text, end, delimiter)
    if units := _units(below, names, as_text):
        notes.append(f"The line below the header holds units and was left out ({listing(units, 8)}).")
        end, below = next(stop for stop, record in _records(text, end, delimiter) if any(record)), below[1:]
    wider = [len(row) for row in below if len(row) > len(names) and not any(row[len(names) :])]
    decimal, proven, remarks = _decimal(below, delimiter)
    return Dialect(
        delimiter=delimiter,
        decimal=decimal,
        proven=proven,
        names=names + [""] * (max(wider, default=0) - len(names)),
        fewest=len(names),
        start=end,
        above=text.count("\n", 0, end),
        notes=[*notes, *remarks],
    )


def _records(text: str, begin: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each non-blank record with the position behind it; only the records that are consumed are parsed."""
    at = begin

    def lines() -> Iterator[str]:
        nonlocal at
        while at < len(text):
            stop = text.find("\n", at) + 1 or len(text)
            line, at = text[at:stop], stop
            yield line

    if delimiter == " ":
        yield from ((at, line.split()) for line in lines() if line.strip())
        return
    for record in csv.reader(lines(), delimiter=delimiter or NEVER, skipinitialspace=True):
        if record:
            yield at, record


def _sample(text: str, begin: int, delimiter: str) -> list[list[str]]:
    """Return the non-blank records of the first 64 thousand characters, fields trimmed."""
    end = begin + _SAMPLE
    if end < len(text):
        end = text.rfind("\n", begin, end) + 1 or end
    head = text[begin:end]
    return [[field.strip() for field in record] for _, record in _records(head, 0, delimiter) if any(record)]


def _delimiter(text: str, begin: int, path: Path) -> str:
    best, best_rank = "", (0.0, False, 0)
    for delimiter in (",", ";", "\t", "|"):
        try:
            rows = _sample(text, begin, delimiter)
        except csv.Error:
            continue
        titles = _titles(rows)
        widths = [len(row) for row in rows[titles:]]
        if not widths or widths[0] < 2 or (len(widths) > 1 and max(widths[1:]) < 2):
            continue
        rank = (widths[1:].count(widths[0]) / max(1, len(widths) - 1), not titles, widths[0])
        if best == "" or rank > best_rank:
            best, best_rank = delimiter, rank
    if best or '"' in text[begin : begin + _SAMPLE]:
        return best
    rows = _sample(text, begin, " ")
    cells = [cell for row in rows[1:] for cell in row]
    numbers = sum(is_number(cell) or is_number(cell, ",") for cell in cells)
    if not rows or len(rows[0]) < 2 or 2 * numbers <= len(cells):
        return ""
    uneven = next((i for i, row in enumerate(rows, start=1) if len(row) != len(rows[0])), None)
    if uneven is not None:
        raise DataError(
            f"`{path}` seems to have its columns separated by spaces, but line {uneven} has "
            f"{len(rows[uneven - 1])} fields and the header {len(rows[0])}: export it with commas or tabs."
        )
    return " "


def _numeric(cell: str) -> bool:
    return is_number(cell) or is_number(cell, ",") or looks_grouped(cell)


def _columns_of_numbers(rows: list[list[str]], width: int) -> list[int]:
    """Return the columns in which every known cell is a number."""
    found = []
    for column in range(width):
        known = [row[column] for row in rows[:200] if column < len(row) and row[column].lower() not in MISSING_WORDS]
        if known and all(map(_numeric, known)):
            found.append(column)
    return found


def _titles(rows: list[list[str]]) -> int:
    """Count the title lines above the header: one or two filled fields each, then a wide header of words."""
    filled = [sum(map(bool, row)) for row in rows[: _MOST_TITLES + 1]]
    header = next((i for i, cells in enumerate(filled) if cells > 2), 0)
    below = rows[header + 1 :]
    names = [cell for cell in rows[header] if cell] if header else []
    if not names or not below or len(set(names)) < len(names) or any(map(_numeric, names)):
        return 0
    width = len(rows[header])
    if 10 * sum(len(row) in (width, width + 1) for row in below) < 9 * len(below):
        return 0
    # The first line below may hold units.
    return header if _columns_of_numbers(below[1:] or below, width) else 0


def _header(text: str, begin: int, delimiter: str, known: list[str] | None, path: Path) -> tuple[int, list[str]]:
    """Return where the rows begin, and the names: those of `known` (below title lines) or of the first record."""
    line = text.find("\n", begin)
    fields = text.count(delimiter or NEVER, begin, line if line >= 0 else len(text)) + 1
    if fields > _MOST_COLUMNS:
        raise DataError(
            f"The first line of `{path}` has {fields} fields; expected at most {_MOST_COLUMNS} columns: check "
            "that each row has a line of its own."
        )
    found = ((end, names, [name.strip() for name in names]) for end, names in _records(text, begin, delimiter))
    header = next((row for row in found if any(row[2]) and (known is None or row[2] == known)), None)
    if header is None:
        raise DataError(f"`{path}` is empty but for delimiters; expected a header line: check how it was exported.")
    end, names, cells = header
    numeric = [cell for cell in cells if is_number(cell) or is_number(cell, ",")]
    # Names may be numbers (0, 1, 2, ... of a saved array); measured values do not look like that.
    if (
        numeric
        and len(numeric) == len(cells)
        and (len(set(cells)) < len(cells) or any(not cell.isdigit() for cell in cells))
    ):
        raise DataError(
            f"The first line of `{path}` holds only numbers (`{'`, `'.join(cell[:40] for cell in cells[:3])}`, ...); "
            "expected the names of the columns: add a header line."
        )
    return end, names


def _units(below: list[list[str]], names: list[str], as_text: Collection[str]) -> list[str]:
    """Return the cells of a line of units below the header, or nothing."""
    if len(below) < 3:
        return []
    first = [*below[0], *[""] * (len(names) - len(below[0]))]
    columns = [i for i in _columns_of_numbers(below[1:], len(names)) if names[i].strip() not in as_text]
    expected = [first[i] for i in columns if names[i].strip() or first[i]]
    # Flags and counters have no unit; but a line with a single one might be a row that went wrong.
    cells = [cell for cell in expected if cell]
    if not cells or (len(cells) < len(expected) and len(cells) < 2):
        return []
    if any(len(cell) > 20 or _numeric(cell) for cell in cells):
        return []
    if any(cell.startswith("#") or (cell.lower() in MISSING_WORDS and cell.strip("-")) for cell in cells):
        return []
    sure = sum(bool(_UNIT.fullmatch(cell)) for cell in cells)
    return [cell for cell in cells if cell.strip("-")] if 2 * sure >= len(cells) and sure else []


def _decimal(rows: list[list[str]], delimiter: str) -> tuple[str, bool, list[str]]:
    """Return the decimal mark, whether cells prove it, and a note about it where there is one."""
    points, commas, unclear = marks_shown({cell for row in rows for cell in row if cell})
    if points or commas:
        return "," if len(commas) > len(points) else ".", not (points and commas), []
    plain = {cell for row in rows for cell in row if "." in cell and is_number(cell)}
    if delimiter == ";" and len(unclear) > len(plain):
        # Semicolons separate columns where the comma is the decimal mark.
        example = min(unclear)
        return (
            ",",
            False,
            [
                f"`{example[:20]}` was read with a decimal comma, because semicolons separate the columns: if it means "
                "thousands, export it without separators."
            ],
        )
    return ".", False, []
