"""How images are best resized, compared on the good ones: squeezed to a square, in proportion, or cut into tiles.

Only what can make a difference is compared: proportions where images are far from square, tiles where they are much
larger than what the backbone sees. Half of some good images go into a bank; the scores of the other half are compared
with those of simulated defects in them. A slower method is taken where it separates the two clearly better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from faultwise.images.data.simulated_marks import simulated_set
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patches import PatchEncoder, Resizing, resized_to

__all__ = ["COMPARED", "chosen_resizing", "methods_for"]

COMPARED = 48  # good images at most
_LEAST = 8  # of fewer, no method can be compared
_SQUARE = 1.25  # longer side by shorter: up to here squeezing changes little
_LARGE = 2  # times the side: from here tiles show what resizing loses
_MOST_PIXELS = 1_024  # along the longer side, for defects to be made in
_CLEARLY = 0.02  # of the area under the curve


def methods_for(shapes: Sequence[tuple[int, ...]], side: int) -> list[str]:
    """Return the methods worth comparing for images of such shapes (height, width, ...), the cheapest first.

    >>> methods_for([(200, 200, 3)] * 9, 256), methods_for([(600, 900, 3)] * 9, 256)
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
    """Return the method of resizing for good images (height, width, 3; uint8), and why, in a sentence.

    Images are taken one at a time and kept with 1,024 pixels along the longer side at most.
    """
    smaller = [_bounded(one) for one in pictures]
    methods = methods_for([one.shape for one in smaller], side)
    if len(methods) == 1:
        few = len(smaller) < _LEAST
        why = f"{len(smaller)} good images are too few to compare" if few else "they are nearly square and not large"
        return Resizing("square", side), f"Images are resized to {side} x {side} pixels: {why}."
    learnt, held_out = smaller[: len(smaller) // 2], smaller[len(smaller) // 2 :]
    bad = [made for made, _, _ in simulated_set(held_out, len(held_out), seed)]
    areas = {
        method: _separation(PatchEncoder(backbone, Resizing(method, side)), learnt, held_out, bad, seed)
        for method in methods
    }
    best = methods[0]
    for method in methods[1:]:
        if areas[method] > areas[best] + _CLEARLY:
            best = method
    figures = ", ".join(f"{method} {area:.3f}" for method, area in areas.items())
    why = f"AUROC of {len(bad)} simulated defects against {len(held_out)} good images: {figures}"
    return Resizing(best, side), f"Images are resized by `{best}`: {why}; --set resizing=METHOD changes it."


def _separation(
    encoder: PatchEncoder,
    learnt: Sequence[np.ndarray],
    good: Sequence[np.ndarray],
    bad: Sequence[np.ndarray],
    seed: int,
) -> float:
    from sklearn.metrics import roc_auc_score

    bank = MemoryBank().fit(np.concatenate([one.flat for one in encoder.fit(iter(learnt))]), seed)
    scores = [image_score(bank.distances(one.flat)) for one in encoder.patches(chain(good, bad))]
    return float(roc_auc_score([0] * len(good) + [1] * len(bad), scores))


def _bounded(picture: np.ndarray) -> np.ndarray:
    scale = min(1.0, _MOST_PIXELS / max(picture.shape[:2]))
    return resized_to(picture, (max(1, round(picture.shape[0] * scale)), max(1, round(picture.shape[1] * scale))))
