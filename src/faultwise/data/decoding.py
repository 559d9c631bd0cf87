"""From the bytes of a text file to its text: gzip, byte order marks, encodings, stray control characters.

It knows nothing about tables, and it guesses only among UTF-8, Windows-1252 and Latin-1: any other encoding
must be declared or marked.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from pathlib import Path

from faultwise.errors import DataError

__all__ = ["read_text"]

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
         (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))  # fmt: skip
_CONTROL = re.compile("[\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
_MOST_BYTES = 1 << 33


def read_text(path: Path, encoding: str | None = None) -> tuple[str, str, list[str]]:
    """Read a text file (also gzipped); return the text, the encoding in words, and notes.

    `encoding` overrules the recognised one. Raises DataError when the file is absent, a folder, may not be
    read, is binary or is not in that encoding.
    """
    return _decoded(_content(path), path, encoding)


def _content(path: Path) -> bytes:
    try:
        if not path.exists():
            raise DataError(f"There is no file `{path}`: check the path.")
        if not path.is_file():
            # Reading a pipe or a device might never end.
            raise DataError(f"`{path}` is a folder or a device; expected a text file: check the path.")
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=io.BytesIO(raw)) as packed:
                raw = packed.read(_MOST_BYTES + 1)
            if len(raw) > _MOST_BYTES:
                raise DataError(f"`{path}` unpacks to more than {_MOST_BYTES >> 30} GiB: split it.")
    except PermissionError:
        raise DataError(f"`{path}` may not be read (no permission): change its rights or copy it.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise DataError(f"`{path}` is a damaged or cut-off gzip file: pack or fetch it again.") from None
    except OSError as error:
        raise DataError(f"`{path}` cannot be read ({error.strerror or error}): check the disk.") from None
    return raw


def _decoded(raw: bytes, path: Path, declared: str | None) -> tuple[str, str, list[str]]:
    """Return the text, the encoding in words, and notes."""
    marked = next((name for bom, name in _BOMS if raw.startswith(bom)), None)
    if declared is not None or marked is not None:
        name = declared or marked or ""
        if marked == "utf-8-sig" and name.lower().replace("_", "-") in ("utf-8", "utf8"):
            name = "utf-8-sig"
        try:
            text = raw.decode(name)
        except (ValueError, LookupError) as error:
            said = "was declared" if declared else "is what its first bytes say"
            reason = " ".join(str(error).split())[:120]
            raise DataError(
                f"`{path}` is not {name}, which {said} ({reason}): pass the encoding it was saved with."
            ) from None
        return _printable(text, path, f"{name} with a byte order mark" if marked else name, [])
    for name in ("utf-8", "cp1252", "latin-1"):
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        note = f"The file is not UTF-8 and was read as {name}: check letters like ä, é and °."
        return _printable(text, path, name, [] if name == "utf-8" else [note])
    raise AssertionError("latin-1 decodes everything")  # pragma: no cover


def _printable(text: str, path: Path, encoding: str, notes: list[str]) -> tuple[str, str, list[str]]:
    """Refuse what is not text. A stray control character, as loggers leave them, is taken out."""
    text = text.rstrip("\x1a")
    controls = len(_CONTROL.findall(text)) if _CONTROL.search(text) else 0
    if "\0" in text or controls * 500 > len(text):
        raise DataError(
            f"`{path}` holds binary data; expected text with one row per line: export it as CSV "
            "(UTF-16 text needs its byte order mark)."
        )
    if controls:
        text = _CONTROL.sub("", text)
        notes = [*notes, f"{controls} control characters were taken out of the text."]
    return text, encoding, notes
