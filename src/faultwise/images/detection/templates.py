"""Paired mode: an image against its own template. The template is shifted to the image, block by block, then compared.

A pixel differs where it lies outside what the template shows within a tolerance around it (brighter than the brightest
there, or darker than the darkest), so that an edge drawn a pixel further is no
defect. What shift could not reach, at the rim, is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import ndimage

from faultwise.contracts.errors import UserError

__all__ = [
    "SHARED",
    "Comparison",
    "PairRule",
    "aligned",
    "box_figures",
    "compared",
    "found_boxes",
    "learnt_rule",
    "overlaps",
]

_FURTHEST = 32  # pixels that a template may be off as a whole
_REACH = 3  # and a block of it beside that
_BLOCK, _STEP = 64, 4  # of the search for a block's shift, in pixels
_STAY = 0.02  # grey levels that a shift must gain for each pixel it moves further
SHARED = 1 / 3  # intersection over union of a box that counts as found: the field's own figure
_FALSE_COST = 0.05  # of a box too many for a board, in shares of defects found


@dataclass(frozen=True, slots=True)
class PairRule:
    """When a difference is a region: `levels` of grey, in `area` pixels at least, gaps up to twice `bridge` closed.

    Pixels count for the area where they lie two by two: what is one pixel thin is a row or column out of step.

    `tolerance` is how far (pixels) the template is searched; a box is drawn `margin` pixels around what differs.
    """

    tolerance: int = 2
    levels: int = 80
    bridge: int = 4
    area: int = 6
    margin: int = 8


@dataclass(frozen=True, slots=True)
class Comparison:
    """An image's difference to its template (height, width; grey levels, above 0 where brighter), and both in grey."""

    difference: np.ndarray
    image: np.ndarray
    template: np.ndarray


def aligned(template: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the template (height, width) moved onto the image, and where it reaches (height, width; bool).

    The whole is moved by phase correlation, then each block by up to three pixels to where it differs least.
    """
    high, wide = image.shape
    down, right = _shift(template, image)
    edge = _FURTHEST + _REACH + 1
    padded = np.pad(template.astype(np.int16), edge, mode="edge")
    whole = image.astype(np.int16)
    least = None
    for dy, dx in product(range(-_REACH, _REACH + 1), repeat=2):
        top, left = edge - down - dy, edge - right - dx
        gap = np.abs(whole - padded[top : top + high, left : left + wide]).astype(np.float32)
        cost = ndimage.uniform_filter(ndimage.uniform_filter(gap, _STEP)[::_STEP, ::_STEP], _BLOCK // _STEP)
        cost = cost + _STAY * (abs(dy) + abs(dx))
        if least is None:
            least, rows, columns = cost, np.full(cost.shape, dy), np.full(cost.shape, dx)
        else:
            better = cost < least
            least[better], rows[better], columns[better] = cost[better], dy, dx
    at_row, at_column = np.mgrid[:high, :wide]
    at_row = at_row - down - rows.repeat(_STEP, 0).repeat(_STEP, 1)[:high, :wide]
    at_column = at_column - right - columns.repeat(_STEP, 0).repeat(_STEP, 1)[:high, :wide]
    reached = (at_row >= 0) & (at_row < high) & (at_column >= 0) & (at_column < wide)
    return padded[at_row + edge, at_column + edge].astype(np.uint8), reached


def compared(image: np.ndarray, template: np.ndarray, tolerance: int = 2) -> Comparison:
    """Return how an image differs from its template, both (height, width, 3; uint8) and of one size.

    Raises UserError for two sizes.
    """
    return compared_at(image, template, (tolerance,))[0]


def compared_at(image: np.ndarray, template: np.ndarray, tolerances: Sequence[int]) -> list[Comparison]:
    """Return `compared` for each tolerance; the template is shifted once."""
    if image.shape != template.shape:
        raise UserError(
            f"The image is {image.shape[1]} x {image.shape[0]} pixels, its template {template.shape[1]} x "
            f"{template.shape[0]}: both must have one size."
        )
    grey, other = (one.astype(np.float32).mean(axis=2).round().astype(np.uint8) for one in (image, template))
    moved, reached = aligned(other, grey)
    here, made = grey.astype(np.int16), []
    for size in (2 * tolerance + 1 for tolerance in tolerances):
        highest, lowest = ndimage.maximum_filter(moved, size), ndimage.minimum_filter(moved, size)
        difference = np.maximum(here - highest, 0) - np.maximum(lowest.astype(np.int16) - here, 0)
        inside = ndimage.minimum_filter(reached, size, mode="constant", cval=1)
        made.append(Comparison(np.where(inside, difference, 0).astype(np.int16), grey, moved))
    return made


def found_boxes(comparison: Comparison, rule: PairRule) -> np.ndarray:
    """Return the boxes of regions, (regions, 4): left, top, right, bottom, right and bottom excluded."""
    differs = np.abs(comparison.difference) > rule.levels
    wide = ndimage.binary_dilation(differs, iterations=rule.bridge) if rule.bridge else differs
    marked, count = ndimage.label(wide, np.ones((3, 3)))
    if not count:
        return np.empty((0, 4), int)
    areas = ndimage.sum_labels(ndimage.binary_opening(differs, np.ones((2, 2))), marked, range(1, count + 1))
    more = rule.margin - rule.bridge
    made = [
        (columns.start - more, rows.start - more, columns.stop + more, rows.stop + more)
        for (rows, columns), area in zip(ndimage.find_objects(marked), areas, strict=True)
        if area >= rule.area
    ]
    high, wide_ = differs.shape
    return np.asarray(np.clip(np.array(made, int).reshape(-1, 4), 0, [wide_, high, wide_, high]))


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each box with each of the others, (boxes, others).

    >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2], [5, 5, 6, 6]])).round(2).tolist()
    [[0.33, 0.0]]
    """
    a, b = (np.asarray(one, float).reshape(-1, 4) for one in (boxes, others))
    least = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(0, least - np.maximum(a[:, None, :2], b[None, :, :2])).prod(axis=2)
    areas = [(one[:, 2:] - one[:, :2]).prod(axis=1) for one in (a, b)]
    joint = areas[0][:, None] + areas[1][None] - shared
    return np.asarray(np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0))


def box_figures(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the share of wanted boxes hit (intersection over union above 1/3), and false boxes for each image.

    A found box is false where it touches no wanted one. Lists run over images, arrays are (boxes, 4).
    """
    hits = total = false = 0
    for boxes, true in zip(found, wanted, strict=True):
        shared = overlaps(boxes, true)
        hits += int((shared > SHARED).any(axis=0).sum()) if len(boxes) else 0
        false += int((~(shared > 0).any(axis=1)).sum()) if len(true) else len(boxes)
        total += len(true)
    return {
        "hit": hits / total if total else float("nan"),
        "false_per_image": false / max(1, len(found)),
        "defects": total,
    }


def learnt_rule(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]],
    wanted: Sequence[np.ndarray],
    rule: PairRule | None = None,
    compare: Callable[[np.ndarray, np.ndarray, Sequence[int]], list[Comparison]] | None = None,
) -> PairRule:
    """Return the rule that finds the `wanted` boxes best in pairs (image, template), with few false ones.

    Tolerances of 1 to 3 pixels are tried, and areas, bridges, margins and levels. `compare` takes the place of
    `compared_at`.
    """
    compare = compare or compared_at
    rule = rule or PairRule()
    tolerances = (1, 2, 3)
    made = [compare(image, template, tolerances) for image, template in pairs]
    best, most = rule, -np.inf
    for at, tolerance in enumerate(tolerances):
        for levels, bridge, area in product((40, 80, 120), (2, 4, 6), (4, 6, 8, 12, 20)):
            tried = replace(rule, tolerance=tolerance, levels=levels, bridge=bridge, area=area, margin=0)
            bare = [found_boxes(one[at], tried) for one in made]
            for margin in (4, 6, 8, 10):
                grown = [np.c_[one[:, :2] - margin, one[:, 2:] + margin] for one in bare]
                figures = box_figures(grown, wanted)
                worth = figures["hit"] - _FALSE_COST * figures["false_per_image"]
                if worth > most:
                    best, most = replace(tried, margin=margin), worth
    return best


def _shift(template: np.ndarray, image: np.ndarray) -> tuple[int, int]:
    """Return by how many pixels (down, right) the template must move, by phase correlation; (0, 0) where unclear."""
    one, two = (np.fft.rfft2(part - part.mean()) for part in (image.astype(np.float32), template.astype(np.float32)))
    phase = one * np.conj(two)
    peaks = np.fft.irfft2(phase / (np.abs(phase) + 1e-9), image.shape)
    row, column = np.unravel_index(int(peaks.argmax()), peaks.shape)
    high, wide = peaks.shape
    down, right = (int(row) + high // 2) % high - high // 2, (int(column) + wide // 2) % wide - wide // 2
    return (down, right) if max(abs(down), abs(right)) <= _FURTHEST else (0, 0)
