"""Read a delimited text file of any size in batches of rows, with memory for a few batches only.

Dialect and header are recognised as `read_delimited` recognises them, from the first megabyte; what each column
is, is decided by the first batch and never changes. Only the first batch is read twice.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from types import TracebackType

import pandas as pd

from faultwise.contracts.errors import DataError, without_figures
from faultwise.tables.reading.cleaning import Cleaner, unique_names, without_counters
from faultwise.tables.reading.text.blocks import Feed, checked, in_blocks
from faultwise.tables.reading.text.decoding import decoder_for, readable, without_controls
from faultwise.tables.reading.text.delimited import parser_options, refusing
from faultwise.tables.reading.text.dialect import Dialect, recognise
from faultwise.tables.reading.text.unpacking import unpacked

__all__ = ["DelimitedBatches", "TextSource", "read_delimited_batches"]

_HEAD = 1 << 20
_PIECE = 1 << 20
_LONGEST_LINE = 1 << 26


def read_delimited_batches(
    path: str | Path, rows: int, *, encoding: str | None = None, as_text: Collection[str] = ()
) -> DelimitedBatches:
    """Open a delimited text file (also compressed) and return an iterator of frames of at most `rows` rows.

    Joined together, the frames are what `read_delimited` returns, but every column of numbers is float64. The
    first batch decides what a column is: text that turns up later in a column of numbers is missing, and a
    column that is empty there is taken as numbers. Raises DataError at once for a file that cannot be opened or
    has no header and rows, and while iterating for a line with too many fields, a cut-off compressed file, or bytes
    that are no text.
    """
    if rows < 1:
        raise DataError(f"Batches of {rows} rows were requested; expected 1 or more.")
    return DelimitedBatches(Path(path), rows, encoding, as_text)


class DelimitedBatches(Iterator[pd.DataFrame]):
    """The batches of one file; `notes` holds what was noticed so far. Close it, or use it in `with`."""

    def __init__(self, path: Path, rows: int, encoding: str | None, as_text: Collection[str]) -> None:
        self.notes: list[str] = []
        self._path, self._encoding, self._as_text = path, encoding, as_text
        self._noted: set[str] = set()
        self._batch = 0
        self._ended = False
        self._source = TextSource(path, encoding)
        try:
            with refusing(path):
                self._start(rows)
        except BaseException:
            self._source.close()
            raise

    def _start(self, rows: int) -> None:
        """Let the first batch decide what the columns are, then begin anew with that knowledge."""
        dialect, feed = self._opened([])
        names, self._nameless, renamed = unique_names(dialect.names)
        self._cleaner = Cleaner(dialect.decimal, dialect.proven, self._as_text)
        with refusing(self._path, feed):
            first = pd.read_csv(feed, nrows=rows, **parser_options(dialect, names, self._as_text))
        if first.empty:
            raise DataError(f"`{self._path}` has a header and no rows: check how it was exported.")
        first, _ = self._cleaner.clean(first)  # its notes come when the batch is read again
        kept, dropped = without_counters(first, self._nameless)
        if kept.columns.empty:
            raise DataError(f"`{self._path}` has no column with values: check how it was exported.")
        self._columns = list(kept.columns)
        self._source.close()
        self._source = TextSource(self._path, self._encoding)
        dialect, self._feed = self._opened(self.notes)
        texts = [*self._as_text, *self._cleaner.texts()]
        options = parser_options(dialect, names, texts)
        with refusing(self._path, self._feed):
            self._frames = pd.read_csv(self._feed, chunksize=rows, **options)
        self.notes[:0] = [dialect.words(self._source.words), *dialect.notes, *renamed, *dropped]

    def _opened(self, notes: list[str]) -> tuple[Dialect, Feed]:
        blocks = self._source.blocks()
        head = ""
        for block in blocks:
            head += block
            if len(head) >= _HEAD:
                break
        dialect = recognise(head, self._path, self._as_text)
        rows = chain(in_blocks(head, dialect.start), blocks)
        return dialect, Feed(checked(rows, dialect, self._path, notes))

    @property
    def done(self) -> float:
        """The share of the file that has been read, from 0 to 1 (of the packed bytes, for a compressed one)."""
        return self._source.done

    def __next__(self) -> pd.DataFrame:
        """Return the next rows. Raises DataError where the file goes wrong."""
        if self._ended:
            raise StopIteration
        try:
            with refusing(self._path, self._feed):
                frame = next(self._frames)
                self._batch += 1
                frame, cleaned = self._cleaner.clean(frame)
        except StopIteration:
            self.close()
            self.notes += self._source.notes()
            raise
        except BaseException:
            self.close()
            raise
        self._note(cleaned)
        frame = frame[self._columns]
        return frame.astype(dict.fromkeys(frame.columns[frame.dtypes != "str"], "float64"))

    def _note(self, notes: list[str]) -> None:
        """Keep a note; one that differs from an earlier one in its figures only is not kept."""
        for note in notes:
            key = without_figures(note)
            if key not in self._noted:
                self._noted.add(key)
                self.notes.append(f"From batch {self._batch} on: {note}" if self._batch > 1 else note)

    def close(self) -> None:
        """Close the file; no more batches come, and what was read stays valid."""
        self._ended = True
        self._source.close()

    def __enter__(self) -> DelimitedBatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TextSource:
    """The text of a file in blocks of whole lines, and how far it has been read."""

    def __init__(self, path: Path, encoding: str | None) -> None:
        self._path = path
        with readable(path):
            self._size = path.stat().st_size
            self._raw = path.open("rb")
            self._bytes = unpacked(self._raw, path)
            self._held = self._bytes.read(_PIECE)
        self._decoder = decoder_for(self._held[:4], path, encoding)
        self._controls = 0

    @property
    def words(self) -> str:
        """The encoding in words."""
        return self._decoder.words

    @property
    def done(self) -> float:
        """The share of the file that has been read, from 0 to 1."""
        if self._raw.closed or not self._size:
            return 1.0
        return min(1.0, self._raw.tell() / self._size)

    def notes(self) -> list[str]:
        """Return sentences about what was noticed."""
        taken = [f"{self._controls} control characters were taken out of the text."] if self._controls else []
        return [*self._decoder.notes(), *taken]

    def close(self) -> None:
        """Close the file."""
        self._raw.close()

    def blocks(self) -> Iterator[str]:
        """Yield the text, line ends as line feeds. Raises DataError for bad bytes and endless lines."""
        newlines = io.IncrementalNewlineDecoder(None, translate=True)
        held, length = "", 0
        for raw, final in self._pieces():
            text = self._decoder.decode(raw, final=final)
            text = newlines.decode(text.rstrip("\x1a") if final else text, final)
            text, controls = without_controls(text, self._path, (self._controls, length))
            self._controls, length = self._controls + controls, length + len(text)
            end = len(text) if final else text.rfind("\n") + 1
            if end:
                yield held + text[:end]
                held = ""
            held += text[end:]
            if len(held) > _LONGEST_LINE:
                raise self._endless()

    def _pieces(self) -> Iterator[tuple[bytes, bool]]:
        """Yield the bytes, cut behind line ends, so that each line can be decoded by itself."""
        parts, size = [self._held], len(self._held)
        self._held = b""
        while True:
            with readable(self._path):
                more = self._bytes.read(_PIECE)
            if not more:
                yield b"".join(parts), True
                return
            last = parts[-1]
            # A carriage return at the very end may be half of a line end.
            end = last.rfind(b"\n") + 1 or last.rfind(b"\r", 0, -1) + 1
            if end:
                yield b"".join([*parts[:-1], last[:end]]), False
                parts, size = [last[end:]], len(last) - end
            if size > _LONGEST_LINE:
                raise self._endless()
            parts.append(more)
            size += len(more)

    def _endless(self) -> DataError:
        return DataError(
            f"`{self._path}` has a line of more than {_LONGEST_LINE >> 20} MiB; expected one row per line: check how "
            "it was exported."
        )
