"""Read the arrays of MATLAB files of version 5 to 7.2.

Every length is checked against the bytes that are there, because such files come damaged. Classes of MATLAB are not
made. Source of the format: MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.formats.columns import Column
from faultwise.tables.reading.formats.contents import MOST_BYTES, allowed_size

__all__ = ["variables"]

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_NAMES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "object"}
_ENCODINGS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _PACKED = 14, 15
_CELL, _CHAR = 1, 4
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_HEADER = 128


def variables(path: Path) -> tuple[dict[str, Column], list[str]]:
    """Return the arrays of numbers and text of a file by name, and the names of what is none, with their class.

    Raises DataError, or ValueError where a length is wrong.
    """
    arrays: dict[str, Column] = {}
    refused: list[str] = []
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    allowed_size(len(raw), "it", path)
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None:
        raise DataError(
            f"`{path}` is no MATLAB file of version 5 or later: save it again, with `save -v7`, or rename it to what "
            "it is."
        )
    for matrix in _matrices(memoryview(raw)[_HEADER:], order, path):
        name, values, kind = _variable(matrix, order)
        if not name:  # what functions keep beside the variables
            continue
        if values is not None:
            arrays[name] = Column(values.shape, lambda values=values: values)  # type: ignore[misc]
        elif not name.startswith("__"):
            refused.append(f"{name} ({kind})")
    return arrays, refused


def _elements(raw: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Yield type and bytes of the elements that follow each other. Raises ValueError where one is cut off."""
    at = 0
    while at + 8 <= len(raw):
        first, size = (int(word) for word in np.frombuffer(raw, order + "u4", 2, at))
        if first >> 16:  # a small element holds its bytes in its tag
            if first >> 16 > 4:
                raise ValueError("a small element of more than 4 bytes")
            yield first & 0xFFFF, raw[at + 4 : at + 4 + (first >> 16)]
            at += 8
            continue
        if size > len(raw) - at - 8:
            raise ValueError(f"an element of {size:,} bytes, and {len(raw) - at - 8:,} are left")
        yield first, raw[at + 8 : at + 8 + size]
        at += 8 + size + (0 if first == _PACKED else -size % 8)


def _matrices(raw: memoryview, order: str, path: Path) -> Iterator[memoryview]:
    left = MOST_BYTES
    for kind, element in _elements(raw, order):
        if kind == _MATRIX:
            yield element
        elif kind == _PACKED:
            unpacker = zlib.decompressobj()
            whole = unpacker.decompress(element, left + 1)
            left -= len(whole)
            allowed_size(MOST_BYTES - left, "what is packed in it", path)
            if not unpacker.eof:
                raise ValueError("a packed variable is cut off")
            yield from (inner for kind, inner in _elements(memoryview(whole), order) if kind == _MATRIX)


def _variable(matrix: memoryview, order: str) -> tuple[str, np.ndarray | pd.Series | None, str]:
    """Return name, values (None for what is no array of numbers or text) and class of a variable."""
    parts = _elements(matrix, order)
    _, flags = next(parts, (0, memoryview(b"")))
    if len(flags) < 8:
        raise ValueError("a variable without its class")
    word = int(np.frombuffer(flags, order + "u4", 1)[0])
    kind = word & 0xFF
    if kind == 17:  # objects have no dimensions
        return bytes(next(parts, (0, b""))[1]).decode("utf-8", "replace"), None, "object"
    _, sizes = next(parts, (0, memoryview(b"")))
    shape = tuple(int(size) for size in np.frombuffer(sizes, order + "i4"))
    _, named = next(parts, (0, memoryview(b"")))
    name = bytes(named).decode("utf-8", "replace")
    if len(shape) != 2 or min(shape) < 0:
        return name, None, " ".join([_NAMES.get(kind, "array"), *map(str, shape)])
    if kind == _CELL:
        return name, _cells(list(parts), shape, order), "cell"
    found = next(parts, None)
    if kind == _CHAR:
        return name, None if found is None else _letters(*found, shape, order), "char"
    if kind not in _CLASSES or word & _COMPLEX or found is None or 0 in shape:
        what = "complex" if word & _COMPLEX else _NAMES.get(kind, "empty")
        return name, None, what
    values = _numbers(*found, shape, order).astype(bool if word & _LOGICAL else _CLASSES[kind])
    return name, values.reshape(shape, order="F"), "array"


def _numbers(kind: int, raw: memoryview, shape: tuple[int, ...], order: str) -> np.ndarray:
    if kind not in _TYPES:
        raise ValueError(f"numbers of the unknown type {kind}")
    values = np.frombuffer(raw, order + _TYPES[kind])
    if len(values) != shape[0] * shape[1]:
        raise ValueError(f"an array of {shape[0]:,} by {shape[1]:,} with {len(values):,} numbers")
    return values


def _letters(kind: int, raw: memoryview, shape: tuple[int, ...], order: str) -> pd.Series | None:
    """Return rows of letters as one text each."""
    if kind in _ENCODINGS:
        ends = "" if kind == 16 else "-le" if order == "<" else "-be"
        letters = list(bytes(raw).decode(_ENCODINGS[kind] + ends))
    else:
        letters = [chr(int(code)) for code in _numbers(kind, raw, shape, order) if 0 <= code < 0xD800 or code > 0xDFFF]
    if len(letters) != shape[0] * shape[1]:
        return None
    if not letters:
        return pd.Series([""], dtype="str")
    rows = np.array(letters, dtype=object).reshape(shape, order="F")
    return pd.Series(["".join(row).rstrip() for row in rows], dtype="str")


def _cells(parts: list[tuple[int, memoryview]], shape: tuple[int, ...], order: str) -> pd.Series | None:
    """Return a row or column of cells as texts, None where one holds anything else."""
    if 1 not in shape or shape[0] * shape[1] != len(parts) or not parts:
        return None
    texts: list[str] = []
    for kind, matrix in parts:
        if kind != _MATRIX:
            return None
        empty = not len(matrix)
        _, values, what = ("", None, "empty") if empty else _variable(matrix, order)
        if what == "empty":
            texts.append("")
        elif what != "char" or values is None or len(values) != 1:
            return None
        else:
            texts.append(str(np.asarray(values)[0]))
    return pd.Series(texts, dtype="str")
