"""Arrays in a JSON file: a few bytes a value, as text. Never a pickle, and never more than the requested size."""

from __future__ import annotations

import base64
import zlib

import numpy as np

__all__ = ["packed", "unpacked"]


def packed(values: np.ndarray) -> str:
    """Return an array's bytes, compressed, in base 64."""
    return base64.b64encode(zlib.compress(values.tobytes(), 6)).decode("ascii")


def unpacked(text: str, kind: np.dtype, count: int) -> np.ndarray:
    """Return the `count` values of a kind that `packed` wrote. Raises ValueError for text that holds anything else.

    >>> unpacked(packed(np.array([3, 1], "<u2")), np.dtype("<u2"), 2).tolist()
    [3, 1]
    """
    size = count * kind.itemsize
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(raw) != size:
        raise ValueError(f"The text holds {len(raw)} bytes or more; expected {size} for {count} values.")
    return np.frombuffer(raw, kind)
