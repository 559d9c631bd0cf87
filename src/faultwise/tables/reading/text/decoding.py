"""From the bytes of a text file to its text: compression, byte order marks, encodings, stray control characters.

It knows nothing about tables, and it guesses only among UTF-8, Windows-1252 and Latin-1 (line by line where a
file mixes them): any other encoding must be declared or marked.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.text.unpacking import BROKEN, bounded, packing_of, unpacked

__all__ = ["LineDecoder", "MarkedDecoder", "decoder_for", "read_text", "readable", "without_controls"]

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_MOST_BYTES = 1 << 33


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str, list[str]]:
    """Read a text file (also compressed); return the text, the encoding in words, and notes.

    `encoding` overrules the recognised one. Raises DataError when the file is absent, a folder, may not be
    read, is binary or is not in that encoding.
    """
    with readable(path):
        raw = path.read_bytes()
        if packing_of(raw[:6]):
            with unpacked(io.BytesIO(raw), path) as packed:
                raw = bounded(packed, len(raw), path, _MOST_BYTES)
    decoder = decoder_for(raw[:4], path, encoding)
    text = decoder.decode(raw, final=True).rstrip("\x1a")
    del raw
    text, controls = without_controls(text, path)
    notes = decoder.notes()
    if controls:
        notes.append(f"{controls} control characters were taken out of the text.")
    return text, decoder.words, notes


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what goes wrong on opening and reading `path` into DataErrors with advice."""
    try:
        if not path.exists():
            raise DataError(f"There is no file `{path}`: check the path.")
        if not path.is_file():
            # Reading a pipe or a device might never end.
            raise DataError(f"`{path}` is a folder or a device; expected a text file: check the path.")
        yield
    except PermissionError:
        raise DataError(f"`{path}` may not be read (no permission): change its rights or copy it.") from None
    except BROKEN:
        raise DataError(f"`{path}` is a damaged or cut-off {_packing(path)} file: pack or fetch it again.") from None
    except OSError as error:
        raise DataError(f"`{path}` cannot be read ({error.strerror or error}): check the disk.") from None


def _packing(path: Path) -> str:
    with path.open("rb") as file:
        return packing_of(file.read(6)) or "compressed"


def decoder_for(start: bytes, path: Path, declared: str | None) -> LineDecoder | MarkedDecoder:
    """Return the decoder for a file that starts with these (four or more) bytes.

    Raises DataError when the declared encoding does not exist.
    """
    marked = next((name for bom, name in _BOMS if start.startswith(bom)), None)
    if declared is None and marked is None:
        return LineDecoder()
    name = declared or marked or ""
    if marked == "utf-8-sig" and name.lower().replace("_", "-") in ("utf-8", "utf8"):
        name = "utf-8-sig"
    source = "was declared" if declared else "its byte order mark states"
    return MarkedDecoder(name, source, f"{name} with a byte order mark" if marked else name, path)


class MarkedDecoder:
    """Decodes an encoding that was declared or marked, in one piece or many. Raises DataError."""

    def __init__(self, name: str, source: str, words: str, path: Path) -> None:
        self.words = words
        self._name, self._source, self._path = name, source, path
        try:
            b"a".decode(name, "ignore")  # refuses what is no text encoding, such as rot13
            self._decoder = codecs.getincrementaldecoder(name)()
        except (ValueError, LookupError) as error:
            raise self._refusal(error) from None

    def decode(self, raw: bytes, *, final: bool) -> str:
        """Return the text of the next bytes; `final`: none follow."""
        try:
            return self._decoder.decode(raw, final)
        except (ValueError, LookupError) as error:
            raise self._refusal(error) from None

    def notes(self) -> list[str]:
        """Return nothing: nothing was guessed."""
        return []

    def _refusal(self, error: Exception) -> DataError:
        reason = " ".join(str(error).split())[:120]
        return DataError(
            f"`{self._path}` is not {self._name}, which {self._source} ({reason}): pass the encoding it was saved with."
        )


class LineDecoder:
    """Decodes UTF-8; where that fails, line by line as UTF-8 or else Windows-1252 or else Latin-1.

    Files that several programs appended to mix encodings: reading all lines as one would spoil half of them.
    Pieces must end at line ends.
    """

    def __init__(self) -> None:
        self._lines = 0
        self._utf8 = 0
        self._others: dict[str, int] = {}
        self._first = 0

    @property
    def words(self) -> str:
        """The encoding in words."""
        return " and ".join((["utf-8"] if self._utf8 or not self._others else []) + list(self._others))

    def decode(self, raw: bytes, *, final: bool) -> str:
        """Return the text of the next lines."""
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return self._by_line(raw)
        if not raw.isascii():
            self._utf8 += 1
        self._lines += raw.count(b"\n")
        return text

    def _by_line(self, raw: bytes) -> str:
        lines = raw.splitlines(keepends=True)
        utf8: list[str] = []
        others: dict[int, str] = {}
        for at, line in enumerate(lines):
            try:
                utf8.append(line.decode("utf-8"))
            except UnicodeDecodeError:
                others[at] = _legacy(line)
                utf8.append("")
        self._utf8 += sum(1 for line in utf8 if not line.isascii())
        self._first = self._first or self._lines + 1 + next(iter(others))
        self._lines += len(lines)
        # One such byte turns the whole file from Windows-1252 to Latin-1, unless encodings are mixed anyway.
        one = "latin-1" if "latin-1" in others.values() and not self._utf8 else None
        for at, name in others.items():
            name = one or name
            self._others[name] = self._others.get(name, 0) + 1
            utf8[at] = lines[at].decode(name)
        return "".join(utf8)

    def notes(self) -> list[str]:
        """Return what was guessed, in sentences."""
        if not self._others:
            return []
        names = " and ".join(self._others)
        if not self._utf8:
            return [f"The file is not UTF-8 and was read as {names}: check letters like ä, é and °."]
        return [
            f"The file mixes encodings. Lines that are not UTF-8: {sum(self._others.values())} (first: line "
            f"{self._first}), read as {names}: check letters like ä, é and °."
        ]


def _legacy(line: bytes) -> str:
    try:
        line.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def without_controls(text: str, path: Path, before: tuple[int, int] = (0, 0)) -> tuple[str, int]:
    """Take out stray control characters, as loggers leave them; return the text and how many there were.

    `before` holds the control characters and all characters of earlier pieces. Raises DataError for what is
    no text: NULs, or many control characters.
    """
    controls = 0
    if "\0" not in text and _CONTROL.search(text):
        length = len(text)
        text, controls = _CONTROL.subn("", text)
        binary = (before[0] + controls) * 500 > before[1] + length
    else:
        binary = "\0" in text
    if binary:
        raise DataError(
            f"`{path}` holds binary data; expected text with one row per line: export it as CSV "
            "(UTF-16 text needs its byte order mark)."
        )
    return text, controls
