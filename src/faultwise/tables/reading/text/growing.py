"""Read a text file that grows: whole lines only, through rotation, truncation and restarts.

A line counts when its line end has been written; a record is one line. When the file is replaced (rotated), what is
left of the old one is read to its end first; when it becomes shorter (truncated), reading begins anew. It never
waits: it returns what is there.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, TypedDict

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.columns import unique_names
from faultwise.tables.reading.text.decoding import decoder_for
from faultwise.tables.reading.text.delimited import parser_options
from faultwise.tables.reading.text.dialect import Dialect, recognise
from faultwise.tables.reading.text.numerals import Spelling, to_number

__all__ = ["GrowingFile"]

_MOST_BYTES = 1 << 20  # read at once: bounds memory when much has piled up
_LONGEST_LINE = 1 << 24
_MARK = 256  # bytes at either end of what was read: by them another file is recognised
_SAMPLE = 1 << 14


class _Place(TypedDict):
    offset: int
    mark: str


class GrowingFile:
    """Hands out the new rows of a growing text file. `texts` are the columns that are not numbers.

    `skipped` counts lines that had too many fields, which happens when two programs write at once.
    """

    def __init__(self, path: str | Path, texts: Collection[str] = ()) -> None:
        self.path = Path(path)
        self.texts = texts
        self.skipped = 0
        self._file: IO[bytes] | None = None
        self._offset = 0
        self._header = b""
        self._sample = b""
        self._dialect: Dialect | None = None
        self._names: list[str] = []
        self._begun: _Place | None = None
        self._mark = ""
        if self.path.suffix.lower() in (".gz", ".parquet", ".pq"):
            raise DataError(f"`{path}` cannot be followed, because it does not grow by lines: give a text file.")

    def read(self) -> pd.DataFrame | None:
        """Return the rows that were completed since the last call, or None when there are none.

        At most a megabyte is read at once. Raises DataError when the header is no table's, or a line has no end.
        """
        while self._file is not None or self._open():
            before = self._offset
            # Truncated and written anew past the old end between two reads: only the bytes show it.
            changed = self._fingerprint() != self._mark
            lines = b"" if changed else self._complete_lines()
            self._mark = self._mark if changed else self._fingerprint()
            frame = self._frame(lines) if lines else None
            if frame is not None:
                return frame
            if changed or self._offset == before:
                if not changed and not self._replaced():
                    break
                self.close()
        return None

    def state(self) -> dict[str, object]:
        """Return how far the file was read, as JSON-ready values."""
        return {"offset": self._offset, "mark": self._mark, "sample": self._sample.decode("latin-1")}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go on where `state` was taken, if the file is still the same; else from its beginning."""
        try:
            self._begun = {"offset": int(str(state["offset"])), "mark": str(state["mark"])}
            sample = str(state["sample"]).encode("latin-1")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"The saved state cannot be understood ({error}): remove it to start anew.") from None
        if sample:
            self._learn(sample)

    def close(self) -> None:
        """Close the file; `read` opens it again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> bool:
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:  # between two files of a rotation there is none
            return False
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"`{self.path}` cannot be read ({reason}): check path and rights.") from None
        begun, self._begun = self._begun, None
        self._offset = 0 if begun is None else min(begun["offset"], self._size())
        if begun is not None and self._fingerprint() != begun["mark"]:
            self._offset = 0
        self._mark = self._fingerprint()
        return True

    def _size(self) -> int:
        assert self._file is not None
        return os.fstat(self._file.fileno()).st_size

    def _fingerprint(self) -> str:
        """Return a hash of the first and the last bytes that have been read: what another file does not share."""
        assert self._file is not None
        if not self._offset:
            return ""
        self._file.seek(0)
        head = self._file.read(min(_MARK, self._offset))
        self._file.seek(max(0, self._offset - _MARK))
        return hashlib.sha256(head + b"|" + self._file.read(min(_MARK, self._offset))).hexdigest()

    def _replaced(self) -> bool:
        """Return whether the path leads to another file by now, or the file became shorter than what was read."""
        assert self._file is not None
        if self._size() < self._offset:
            return True
        try:
            there, here = self.path.stat(), os.fstat(self._file.fileno())
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _complete_lines(self) -> bytes:
        assert self._file is not None
        self._file.seek(self._offset)
        raw = self._file.read(_MOST_BYTES)
        end = raw.rfind(b"\n") + 1
        while not end and len(raw) % _MOST_BYTES == 0 and raw:
            more = self._file.read(_MOST_BYTES)
            raw += more
            end = raw.rfind(b"\n") + 1
            if not end and len(raw) > _LONGEST_LINE:
                raise DataError(f"`{self.path}` has a line of more than {_LONGEST_LINE >> 20} MiB: it is no table.")
            if not more:
                break
        begin, self._offset = self._offset, self._offset + end
        lines = raw[:end]
        if begin == 0 and end:
            return self._below_header(lines)
        return lines

    def _below_header(self, lines: bytes) -> bytes:
        """Take the header off the first lines of a file; a rotated file may go on without one."""
        if self._header and not lines.startswith(self._header):
            first = lines.split(b"\n", 1)[0].split(self._separator())
            if self._dialect is not None and len(first) == self._dialect.most and any(map(_numeric, first)):
                return lines
        if not self._learn(lines):
            if self._size() > _LONGEST_LINE:
                raise DataError(
                    f"`{self.path}` has no row below its header in {_LONGEST_LINE >> 20} MiB: it is no table."
                )
            self._offset = 0  # a header alone does not show how numbers are written: wait for the first row
            return b""
        return lines[len(self._header) :]

    def _learn(self, lines: bytes) -> bool:
        """Recognise the dialect from the first lines; return whether there is a row below the header."""
        if lines.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"`{self.path}` is UTF-16, which cannot be followed: write it as UTF-8.")
        sample = lines[:_SAMPLE]
        sample = sample[: sample.rfind(b"\n") + 1] or lines
        text = _text(sample, self.path)
        dialect = recognise(text, self.path, self.texts)
        if not text[dialect.start :].strip():
            return False
        self._dialect, self._sample = dialect, sample
        self._names = unique_names(dialect.names)[0]
        above = text[: dialect.start].count("\n")
        self._header = b"\n".join(lines.split(b"\n")[:above]) + b"\n" if above else b""
        return True

    def _separator(self) -> bytes:
        return (self._dialect.delimiter if self._dialect else ",").encode() or b"\x1f"

    def _frame(self, lines: bytes) -> pd.DataFrame | None:
        assert self._dialect is not None
        text = _text(lines, self.path)
        separator, most = self._dialect.delimiter, self._dialect.most
        kept = []
        for line in text.split("\n"):
            if not line.strip():
                continue
            # Quoted cells may hold the delimiter; without quotes more delimiters are more fields.
            if separator.strip() and '"' not in line and line.count(separator) >= most:
                self.skipped += 1
                continue
            kept.append(line)
        if not kept:
            return None
        whole = self._parsed(kept)
        if whole is not None:
            return whole
        # One broken line must not end the watch: the others are read one by one.
        frames = [self._parsed([line]) for line in kept]
        good = [frame for frame in frames if frame is not None]
        self.skipped += len(frames) - len(good)
        return pd.concat(good, ignore_index=True) if good else None

    def _parsed(self, lines: list[str]) -> pd.DataFrame | None:
        assert self._dialect is not None
        options = parser_options(self._dialect, self._names, self.texts)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", pd.errors.ParserWarning)
                frame: pd.DataFrame = pd.read_csv(io.StringIO("\n".join(lines)), **options)
        except (ValueError, pd.errors.ParserWarning):
            return None
        # Words as a table's reader leaves them, numbers as the file writes them.
        for name in frame.columns[frame.dtypes != "float64"]:
            if name in self.texts:
                frame[name] = frame[name].str.strip()
            elif not pd.api.types.is_numeric_dtype(frame[name].dtype):
                spelling = Spelling(self._dialect.decimal, grouped=self._dialect.proven)
                cells = [
                    None if cell is None or cell != cell else to_number(str(cell), spelling) for cell in frame[name]
                ]
                frame[name] = np.array([np.nan if cell is None else cell for cell in cells], dtype=float)
        return frame


def _text(lines: bytes, path: Path) -> str:
    text = decoder_for(lines[:4], path, None).decode(lines, final=True)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _numeric(cell: bytes) -> bool:
    try:
        float(cell.replace(b",", b"."))
    except ValueError:
        return False
    return True
