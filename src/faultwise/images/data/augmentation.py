"""Other views of good images that show nothing new: mirrored, turned, or parts of one, brighter and darker.

A recipe says which views a class allows; what is marked in an image is turned with it, for defects are simulated in the
views themselves. Which recipe good images allow is not decided here.
"""

from __future__ import annotations

import numpy as np

__all__ = ["RECIPES", "varied", "views"]

# Positions of `np.rot90` quarter turns (tens) and mirroring left to right (ones).
RECIPES = {
    "none": (0,),
    "mirrored": (0, 1),
    "flipped": (0, 1, 20, 21),
    "turned": (0, 1, 20, 21, 10, 11, 30, 31),
}


def views(pixels: np.ndarray, recipe: str = "turned") -> list[np.ndarray]:
    """Return an image's views by a recipe, itself first: none, mirrored (left to right), flipped (also upside down), or
    turned (also by quarters).

    >>> [one.tolist() for one in views(np.array([[1, 2], [3, 4]]), "flipped")]
    [[[1, 2], [3, 4]], [[2, 1], [4, 3]], [[4, 3], [2, 1]], [[3, 4], [1, 2]]]
    """
    turned = ((np.rot90(pixels, place // 10), place % 10) for place in RECIPES[recipe])
    return [np.ascontiguousarray(one[:, ::-1] if mirrored else one) for one, mirrored in turned]


def varied(pixels: np.ndarray) -> list[np.ndarray]:
    """Return what stands in for other good images where there is one alone: parts of it, brighter and darker."""
    high, wide = pixels.shape[:2]
    down, right = max(1, high // 10), max(1, wide // 10)
    parts = [pixels[down:, right:], pixels[down:, :-right], pixels[:-down, right:], pixels[:-down, :-right]]
    return [np.clip(part * factor, 0, 255).astype(np.uint8) for part in parts for factor in (0.85, 1.15)]
