"""Outlines and boxes of annotation files, drawn as masks once the size of their image is known."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError
from faultwise.images.data.images import read_mask

__all__ = ["Box", "Points", "Shapes", "mask_of", "run_lengths"]

Points = tuple[tuple[float, float], ...]
Box = tuple[float, float, float, float]
_PEN = 3  # pixels: the width of lines and points


@dataclass(frozen=True, slots=True)
class Shapes:
    """What marks the defects of one image; coordinates are pixels (x to the right, y down), or shares if `relative`.

    `boxes` are (left, top, right, bottom); `runs` are run lengths down the columns, black first, of a mask (height,
    width); `stamps` are PNG files with the place (left, top) of their corner. `size` is (height, width) where known.
    """

    origin: str
    polygons: tuple[Points, ...] = ()
    boxes: tuple[Box, ...] = ()
    lines: tuple[Points, ...] = ()
    runs: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    stamps: tuple[tuple[int, int, bytes], ...] = ()
    size: tuple[int, int] | None = None
    relative: bool = False

    def __bool__(self) -> bool:
        return bool(self.polygons or self.boxes or self.lines or self.runs or self.stamps)

    def sized(self, shape: tuple[int, int]) -> Shapes:
        """Return the shapes for an image of a size (height, width). Raises DataError where the file gives another."""
        if self.size is not None and self.size != tuple(shape):
            high, wide = self.size
            raise DataError(
                f"`{self.origin}` describes an image of {wide} x {high} pixels, and the file has {shape[1]} x "
                f"{shape[0]}: annotations lie on the image pixel by pixel, so export them again for this size."
            )
        return replace(self, size=(int(shape[0]), int(shape[1])))

    def drawn(self) -> np.ndarray:
        """Return the mask (height, width; bool). Raises DataError where the size is not known or a part is damaged."""
        from PIL import Image as Pillow
        from PIL import ImageDraw

        if self.size is None:
            raise DataError(f"The size of the image that `{self.origin}` describes is not known: give the image, too.")
        high, wide = self.size
        across, down = (wide, high) if self.relative else (1, 1)
        page = Pillow.new("1", (wide, high))
        pen = ImageDraw.Draw(page)
        for points in self.polygons:
            pen.polygon([(x * across, y * down) for x, y in points], fill=1, outline=1)
        for points in self.lines:
            pen.line([(x * across, y * down) for x, y in points], fill=1, width=_PEN)
        mask = np.asarray(page).copy()
        for left, top, right, bottom in self.boxes:
            rows = slice(max(0, math.floor(top * down)), max(0, math.ceil(bottom * down)))
            mask[rows, max(0, math.floor(left * across)) : max(0, math.ceil(right * across))] = True
        for rows_, columns, counts in self.runs:
            mask |= _fitted(_from_runs(rows_, columns, counts, self.origin), (high, wide), self.origin)
        for left_, top_, data in self.stamps:
            _stamp(mask, left_, top_, data, self.origin)
        return mask


def mask_of(mask: Path | Shapes, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return where a mask (a file, or shapes) marks something, (height, width; bool). Raises DataError."""
    if isinstance(mask, Path):
        return read_mask(mask, shape)
    return (mask if shape is None else mask.sized(shape)).drawn()


def run_lengths(text: str) -> tuple[int, ...]:
    """Return the run lengths in COCO's compressed text. Raises ValueError for other text.

    Each number is a little-endian row of five bits with a continuation bit; from the fourth on it is the difference to
    the one before last.

    >>> run_lengths("52203"), run_lengths("0:")
    ((5, 2, 2, 2, 5), (0, 10))
    """
    made = list[int]()
    bits = iter(text.encode("ascii"))
    for first in bits:
        value, shift, byte = 0, 0, first - 48
        while True:
            if not 0 <= byte < 64:
                raise ValueError(f"{chr(byte + 48)!r} is no part of run lengths")
            value |= (byte & 31) << shift
            shift += 5
            if not byte & 32:
                break
            byte = _next(bits) - 48
        value -= (1 << shift) if byte & 16 else 0
        made.append(value + (made[-2] if len(made) > 2 else 0))
    return tuple(made)


def _next(bits: Iterator[int]) -> int:
    try:
        return next(bits)
    except StopIteration:
        raise ValueError("the text of run lengths ends too early") from None


def _from_runs(high: int, wide: int, counts: tuple[int, ...], origin: str) -> np.ndarray:
    if min(counts, default=0) < 0 or sum(counts) != high * wide:
        raise DataError(
            f"`{origin}` holds run lengths that do not fill {wide} x {high} pixels: export its annotations again."
        )
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return values.reshape(wide, high).T


def _fitted(mask: np.ndarray, shape: tuple[int, int], origin: str) -> np.ndarray:
    if mask.shape != shape:
        high, wide = mask.shape
        raise DataError(
            f"`{origin}` holds a mask of {wide} x {high} pixels for an image of {shape[1]} x {shape[0]}: "
            "export its annotations again."
        )
    return mask


def _stamp(mask: np.ndarray, left: int, top: int, data: bytes, origin: str) -> None:
    from PIL import Image as Pillow

    try:
        with Pillow.open(io.BytesIO(data), formats=("PNG",)) as opened:
            if opened.width * opened.height > mask.size:
                raise ValueError("it is larger than the image")
            part = np.asarray(opened.convert("L")) > 0
    # Damaged files make Pillow raise nearly anything.
    except Exception as error:
        raise DataError(f"`{origin}` holds a mask that cannot be read ({str(error)[:80]}): save it again.") from error
    there = mask[max(0, top) : max(0, top) + part.shape[0], max(0, left) : max(0, left) + part.shape[1]]
    there |= part[: there.shape[0], : there.shape[1]]
