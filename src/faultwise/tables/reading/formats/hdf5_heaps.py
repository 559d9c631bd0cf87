"""Check how HDF5 files keep text before the library reads it: damage makes it read for ever, or ask for gigabytes."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import DataError

if TYPE_CHECKING:
    import h5py

__all__ = ["refuse_endless_heaps", "refuse_endless_texts"]

_SIGNATURE = b"GCOL\1\0\0\0"
_REFERENCE = 16  # of a text: length (4), address of its heap (8), number there (4)
_HEADER = 16  # of a heap and of each object in it: number (2), references (2), nothing (4), size (8)


def refuse_endless_heaps(path: Path) -> None:
    """Raise DataError where a heap holds an object without length, or one that is longer than the heap."""
    if not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        if not all(_sound(raw, at) for at in _heaps(raw)):
            raise DataError(
                f"`{path}` is a damaged HDF5 file (a heap of its texts is inconsistent): copy or write it again."
            )


def refuse_endless_texts(path: Path, one: h5py.Dataset) -> None:
    """Raise DataError where a dataset of texts states one that is longer than the file."""
    offset = None if one.chunks else one.id.get_offset()
    if offset is None or one.dtype.kind != "O":
        return
    with path.open("rb") as file:
        file.seek(offset)
        raw = file.read(int(one.size) * _REFERENCE)
    lengths = np.frombuffer(raw[: len(raw) // _REFERENCE * _REFERENCE], "<u4")[:: _REFERENCE // 4]
    if len(lengths) and int(lengths.max()) > path.stat().st_size:
        raise DataError(
            f"`{path}` is a damaged HDF5 file (`{one.name}` states a text of {int(lengths.max()):,} letters): copy or "
            "write it again."
        )


def _heaps(raw: mmap.mmap) -> Iterator[int]:
    at = raw.find(_SIGNATURE)
    while at >= 0:
        yield at
        at = raw.find(_SIGNATURE, at + 1)


def _sound(raw: mmap.mmap, start: int) -> bool:
    """Walk through the objects of a heap as the library does."""
    size = int.from_bytes(raw[start + 8 : start + 16], "little")
    at, end = start + _HEADER, min(start + size, len(raw))
    while at + _HEADER <= end:
        number = int.from_bytes(raw[at : at + 2], "little")
        length = int.from_bytes(raw[at + 8 : at + 16], "little")
        # The rest of the heap is an object of number 0, whose length includes its header.
        needed = length if number == 0 else _HEADER + length + -length % 8
        if needed < _HEADER or at + needed > end:
            return False
        at += needed
    return True
