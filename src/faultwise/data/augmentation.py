"""Other views of good images that show nothing new: turned and mirrored, or parts of one, brighter and darker."""

from __future__ import annotations

import numpy as np

__all__ = ["POSITIONS", "turns", "varied"]

POSITIONS = 8  # four turns, each also mirrored


def turns(pixels: np.ndarray, count: int = POSITIONS) -> list[np.ndarray]:
    """Return the first `count` of an image's eight turned and mirrored positions, itself first.

    >>> [one.tolist() for one in turns(np.array([[1, 2], [3, 4]]), 3)]
    [[[1, 2], [3, 4]], [[2, 1], [4, 3]], [[2, 4], [1, 3]]]
    """
    turned = (np.rot90(pixels, at // 2) for at in range(count))
    return [np.ascontiguousarray(one[:, ::-1] if at % 2 else one) for at, one in enumerate(turned)]


def varied(pixels: np.ndarray) -> list[np.ndarray]:
    """Return what stands in for other good images where there is one alone: parts of it, brighter and darker."""
    high, wide = pixels.shape[:2]
    down, right = max(1, high // 10), max(1, wide // 10)
    parts = [pixels[down:, right:], pixels[down:, :-right], pixels[:-down, right:], pixels[:-down, :-right]]
    return [np.clip(part * factor, 0, 255).astype(np.uint8) for part in parts for factor in (0.85, 1.15)]
