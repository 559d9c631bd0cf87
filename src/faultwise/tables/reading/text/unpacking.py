"""Compressed text, recognised by its first bytes: gzip, bzip2, xz, Zstandard, and zip archives of one file.

What is unpacked is bounded: a small file that unpacks to very much is refused.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import IO, cast

from faultwise.contracts.errors import DataError, listing

__all__ = ["BROKEN", "bounded", "packing_of", "unpacked", "zip_member"]

# What the libraries raise on damaged files.
BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)
_MAGIC = (
    *((b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "Zstandard")),
    *((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip")),
)
_MOST_RATIO = 300
_SMALL = 1 << 28


def packing_of(start: bytes) -> str:
    """Return how a file that starts with these (six or more) bytes is packed, "" for not at all.

    >>> packing_of(b"BZh91AY"), packing_of(b"a,b,c,d")
    ('bzip2', '')
    """
    return next((name for magic, name in _MAGIC if start.startswith(magic)), "")


def unpacked(raw: IO[bytes], path: Path) -> IO[bytes]:
    """Return a stream of the unpacked bytes of an open file, itself where it is not packed.

    Raises DataError for a zip archive that does not hold exactly one file; reading may raise the errors of `BROKEN`.
    """
    start = raw.read(6)
    raw.seek(0)
    packing = packing_of(start)
    if packing == "gzip":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if packing == "bzip2":
        return cast("IO[bytes]", bz2.BZ2File(raw))
    if packing == "xz":
        return cast("IO[bytes]", lzma.LZMAFile(raw))
    if packing == "zip":
        archive = zipfile.ZipFile(raw)
        return archive.open(_only_member(archive, path))
    if packing == "Zstandard":
        import pyarrow as pa

        return cast("IO[bytes]", io.BufferedReader(_Arrow(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"))))
    return raw


def bounded(stream: IO[bytes], size: int, path: Path, most: int) -> bytes:
    """Read an unpacked stream to its end. Raises DataError where a file of `size` bytes gives more than `most`, or very
    much more than its size.
    """
    most = min(most, max(_SMALL, _MOST_RATIO * size))
    parts, got = [], 0
    while part := stream.read(1 << 20):
        parts.append(part)
        got += len(part)
        if got > most:
            raise DataError(f"`{path}` unpacks to more than {most >> 20:,} MiB from {size:,} bytes: split it.")
    return b"".join(parts)


def zip_member(path: Path) -> str:
    """Return the name of the one file in a zip archive. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _only_member(archive, path).filename
    except DataError:
        raise
    except (*BROKEN, OSError, ValueError):
        raise DataError(f"`{path}` is a damaged or cut-off zip file: pack or fetch it again.") from None


def _only_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    files = [one for one in archive.infolist() if not one.is_dir() and not one.filename.startswith("__MACOSX/")]
    if len(files) != 1:
        found = listing([one.filename for one in files], 4) or "nothing"
        raise DataError(
            f"`{path}` holds {len(files)} files ({found}); expected exactly one: unpack it, and give the folder."
        )
    if files[0].flag_bits & 1:
        raise DataError(f"`{path}` is protected by a password: unpack it first.")
    return files[0]


class _Arrow(io.RawIOBase):
    """A stream of pyarrow as one of Python's; what is wrong in it is an EOFError."""

    def __init__(self, stream: object) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        try:
            got = self._stream.read(len(view))  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:
            raise EOFError(str(error)) from None
        view[: len(got)] = got
        return len(got)
