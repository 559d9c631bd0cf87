"""Which views of few good images are good too: mirrored and turned, they must score like the images themselves.

Some views of a part with one orientation are never seen by a camera; learnt as good, they would hide a part with the
wrong orientation, and scratches across the grain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faultwise.images.data.augmentation import RECIPES, views
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patches import PatchEncoder, Resizing

__all__ = ["chosen_views"]

_LEAST = 3  # images: of fewer no view can be compared with the others
_MOST_ABOVE = 1.15  # times the images' own scores: a view that scores higher is another kind of image


def chosen_views(
    pictures: Sequence[np.ndarray], backbone: Backbone, resizing: Resizing, seed: int = 0
) -> tuple[str, str]:
    """Return the widest recipe that the good images (height, width, 3; uint8) allow, and why, in a sentence."""
    if len(pictures) < _LEAST:
        return "turned", f"Views are turned and mirrored: with fewer than {_LEAST} good images nothing can be compared."
    places = RECIPES["turned"]
    shown = (view for one in pictures for view in views(one))
    made = [one.flat for one in PatchEncoder(backbone, resizing).fit(shown)]
    scores = np.empty((len(pictures), len(places)))
    for at in range(len(pictures)):
        others = [made[other * len(places)] for other in range(len(pictures)) if other != at]
        bank = MemoryBank().fit(np.concatenate(others), seed)
        for place in range(len(places)):
            scores[at, place] = image_score(bank.distances(made[at * len(places) + place]))
    times = np.median(scores / np.maximum(scores[:, :1], np.finfo(float).tiny), axis=0)
    best, known, ratios = "none", 1, list[str]()
    for recipe in ("mirrored", "flipped", "turned"):
        more = float(times[known : len(RECIPES[recipe])].max())
        ratios.append(f"{recipe} {more:.2f}")
        if more > _MOST_ABOVE:
            break
        best, known = recipe, len(RECIPES[recipe])
    return best, (
        f"Good images are shown {'as they are' if best == 'none' else best}: beside the others, the scores of their "
        f"views are so many times their own: {', '.join(ratios)} (up to {_MOST_ABOVE:g} is taken); "
        "--set augment=RECIPE changes it."
    )
