"""How images are best resized, told by the good ones: squeezed to a square, in proportion, or cut into tiles.

Only what makes a difference is asked for: proportions where images are far from square, tiles where they are much
larger than what the backbone sees. Half of some good images teach a bank, the other half and simulated defects in them
are told apart; a dearer way is taken where it does so clearly better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from faultwise.images.data.simulated_marks import simulated_set
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patches import PatchEncoder, Resizing, resized_to

__all__ = ["ASKED", "chosen_resizing", "ways_for"]

ASKED = 48  # good images at most
_LEAST = 8  # fewer tell nothing
_SQUARE = 1.25  # longer side by shorter: up to here squeezing changes little
_LARGE = 2  # times the side: from here tiles show what resizing loses
_MOST_PIXELS = 1_024  # along the longer side, for defects to be made in
_CLEARLY = 0.02  # of the area under the curve


def ways_for(shapes: Sequence[tuple[int, ...]], side: int) -> list[str]:
    """Return the ways of resizing worth comparing for images of such shapes (height, width, ...), the cheapest first.

    >>> ways_for([(200, 200, 3)] * 9, 256), ways_for([(600, 900, 3)] * 9, 256)
    (['square'], ['square', 'aspect', 'tiles'])
    """
    longer, shorter = (np.array([f(shape[:2]) for shape in shapes], float) for f in (max, min))
    if len(shapes) < _LEAST:
        return ["square"]
    made = ["square"]
    if (longer / shorter > _SQUARE).mean() > 0.5:
        made.append("aspect")
    if np.median(shorter) >= _LARGE * side:
        made.append("tiles")
    return made


def chosen_resizing(
    pictures: Iterable[np.ndarray], backbone: Backbone, side: int = 256, seed: int = 0
) -> tuple[Resizing, str]:
    """Return the way of resizing for good images (height, width, 3; uint8), and why, in a sentence.

    Images are taken one at a time and kept with 1,024 pixels along the longer side at most.
    """
    smaller = [_bounded(one) for one in pictures]
    ways = ways_for([one.shape for one in smaller], side)
    if len(ways) == 1:
        few = len(smaller) < _LEAST
        why = f"{len(smaller)} good ones are too few to compare ways" if few else "they are nearly square and not large"
        return Resizing("square", side), f"Images are squeezed to {side} x {side} pixels: {why}."
    taught, judged = smaller[: len(smaller) // 2], smaller[len(smaller) // 2 :]
    bad = [made for made, _, _ in simulated_set(judged, len(judged), seed)]
    told = {way: _told_apart(PatchEncoder(backbone, Resizing(way, side)), taught, judged, bad, seed) for way in ways}
    best = ways[0]
    for way in ways[1:]:
        if told[way] > told[best] + _CLEARLY:
            best = way
    figures = ", ".join(f"{way} {area:.3f}" for way, area in told.items())
    why = f"of {len(judged)} good images and {len(bad)} simulated defects it tells apart (AUROC) {figures}"
    return Resizing(best, side), f"Images are resized by `{best}`: {why}; --resizing sets it."


def _told_apart(
    encoder: PatchEncoder,
    taught: Sequence[np.ndarray],
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray],
    seed: int,
) -> float:
    from sklearn.metrics import roc_auc_score

    bank = MemoryBank().fit(np.concatenate([one.flat for one in encoder.fit(iter(taught))]), seed)
    scores = [image_score(bank.distances(one.flat)) for one in encoder.patches(chain(good, bad))]
    return float(roc_auc_score([0] * len(good) + [1] * len(bad), scores))


def _bounded(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, _MOST_PIXELS / max(picture.shape[:2]))
    return resized_to(picture, (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))))
