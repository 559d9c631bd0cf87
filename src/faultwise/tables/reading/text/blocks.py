"""Text in blocks of whole lines: cut up, checked for too many fields, fed to a parser piece by piece.

Blocks keep the memory for a long file small. Nothing here knows what a cell means.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.text.dialect import NEVER, Dialect

__all__ = ["Feed", "checked", "in_blocks"]

_BLOCK = 1 << 20


def in_blocks(text: str, start: int = 0) -> Iterator[str]:
    """Cut a text from `start` on into blocks of about a million characters that end at line ends."""
    while start < len(text):
        end = text.find("\n", start + _BLOCK) + 1 or len(text)
        yield text[start:end]
        start = end


def checked(blocks: Iterable[str], dialect: Dialect, path: Path, notes: list[str]) -> Iterator[str]:
    """Pass blocks on; count lines with too few fields, and leave out empty rows at the end (both go into `notes`).

    Raises DataError for a line with more fields than the header, and csv.Error for quotes that never close.
    """
    widths = _Widths(dialect, path)
    whole = _without_tail(blocks, widths.delimiter, notes)
    for block in whole:
        if widths.delimiter == " ":
            held = widths.of_spaces(block)
        elif '"' not in block:
            held = widths.of_plain(block)
        else:
            held = widths.of_quoted(block, whole)
        yield from held
    if widths.short:
        notes.append(
            f"Lines with fewer fields than the header: {widths.short} (first: line {widths.first}); the rest is "
            "missing."
        )


class _Widths:
    """Counts the fields of lines: `short` lines have too few, `first` is the first of them; too many are refused.

    Each method takes one block, looks at its lines and returns the blocks that it has read, that one first.
    """

    def __init__(self, dialect: Dialect, path: Path) -> None:
        self.delimiter = dialect.delimiter or NEVER
        self.short = self.first = 0
        self._dialect, self._path = dialect, path
        self._line = dialect.above

    def of_plain(self, block: str) -> list[str]:
        """Count delimiters: many times faster than parsing, and the same without quotes."""
        most, fewest = self._dialect.most, self._dialect.fewest
        for number, text in enumerate(block.split("\n"), start=self._line + 1):
            found = text.count(self.delimiter) + 1
            if (found > most or found < fewest) and text and not text.isspace():
                self._count(number, found)
        self._line += block.count("\n")
        return [block]

    def of_spaces(self, block: str) -> list[str]:
        """Count words."""
        for number, text in enumerate(block.split("\n"), start=self._line + 1):
            if fields := len(text.split()):
                self._count(number, fields)
        self._line += block.count("\n")
        return [block]

    def of_quoted(self, block: str, more: Iterator[str]) -> list[str]:
        """Parse records; a quoted cell may run on into the next block, which is then taken from `more`."""
        held = [block]
        reader = csv.reader(_lines(held, more), delimiter=self.delimiter, skipinitialspace=True)
        ends = _ends(held)
        for record in reader:
            if record and (len(record) > 1 or record[0].strip() or self._dialect.fewest == 1):
                self._count(self._line + reader.line_num, len(record))
            # Stop where a record ends together with a block.
            if reader.line_num == next(ends):
                break
        self._line += sum(text.count("\n") for text in held)
        return held

    def _count(self, number: int, found: int) -> None:
        if found > self._dialect.most:
            raise DataError(
                f"`{self._path}`, line {number}: {found} fields, but the header has {len(self._dialect.names)}: quote "
                "cells that contain the delimiter, or name every column."
            )
        if found < self._dialect.fewest:
            self.short, self.first = self.short + 1, self.first or number


def _lines(held: list[str], more: Iterator[str]) -> Iterator[str]:
    for at in count():
        if at == len(held):
            following = next(more, None)
            if following is None:
                return
            held.append(following)
        # str.splitlines would also split at form feeds and U+2028, and io.StringIO takes four bytes a character.
        block, start = held[at], 0
        while start < len(block):
            end = block.find("\n", start) + 1 or len(block)
            yield block[start:end]
            start = end


def _ends(held: list[str]) -> Iterator[int]:
    """Yield the number of lines in the blocks held so far."""
    lines, seen = 0, 0
    while True:
        while seen < len(held):
            lines += held[seen].count("\n") + (not held[seen].endswith("\n"))
            seen += 1
        yield lines


def _without_tail(blocks: Iterable[str], delimiter: str, notes: list[str]) -> Iterator[str]:
    """Hold back rows of nothing but delimiters, and let them go only when another row follows."""
    blank = delimiter + " \n"
    tail: list[str] = []
    for block in blocks:
        filled = len(block.rstrip(blank))
        end = (block.find("\n", filled) + 1 or len(block)) if filled else 0
        if end:
            yield "".join(tail) + block[:end]
            tail = []
        if end < len(block):
            tail.append(block[end:])
    rows = sum(1 for block in tail for line in block.split("\n") if delimiter in line)
    if rows:
        notes.append(f"Empty rows at the end: {rows}, left out.")


class Feed(io.TextIOBase):
    """A text file made of blocks, read once from start to end. It keeps the DataError that ended it."""

    def __init__(self, blocks: Iterator[str]) -> None:
        self._blocks = blocks
        self._block, self._at = "", 0
        self.error: Exception | None = None

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def read(self, size: int | None = -1) -> str:
        """Return the next characters, at most `size`; none at the end."""
        parts: list[str] = []
        wanted = size if size is not None and size >= 0 else None
        while wanted is None or wanted > 0:
            if self._at == len(self._block):
                try:
                    self._block, self._at = next(self._blocks, ""), 0
                except (DataError, csv.Error) as error:
                    self.error = error  # parsers may wrap it
                    raise
                if not self._block:
                    break
            part = self._block[self._at : None if wanted is None else self._at + wanted]
            self._at += len(part)
            parts.append(part)
            wanted = None if wanted is None else wanted - len(part)
        return "".join(parts)
