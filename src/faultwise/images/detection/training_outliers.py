"""Training outliers: good images that may not be good, because they lie far from all the others.

An image that shows a defect teaches the memory bank that such a defect is usual, and it is overlooked from then on. So
each image is compared with a bank without its own patches, and one whose score lies far outside the others' is named.
It is kept: whether it is a defect or a rare good part is for people to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from faultwise.contracts.errors import listing
from faultwise.images.detection.memory_bank import MemoryBank, image_score

__all__ = ["far_out", "outliers_note", "scores_among_others"]

_MOST = 600  # images that are compared with the others: of more, those with the most patches in the bank
_FENCE = 3.0  # quartile distances above the third quartile: "far out" after Tukey (1977)
_LEAST = 8  # images: fewer have no quartiles worth the name
_SHOWN = 6


def scores_among_others(bank: MemoryBank, points: np.ndarray, owners: np.ndarray) -> dict[int, float]:
    """Return the scores of images by their numbers, each against the others' patches in the bank.

    `points` (patches, components) are all patches that the bank was fitted on, `owners` (patches,) are their images.
    Fewer than eight images are not compared. The cover takes what lies far from the rest, so of many images those are
    compared that gave it most.
    """
    numbers, given = np.unique(bank.owners, return_counts=True)
    if len(numbers) < _LEAST:
        return {}
    compared = numbers[np.argsort(-given, kind="stable")[:_MOST]]
    return {int(one): image_score(bank.distances(points[owners == one], int(one))) for one in compared}


def far_out(scores: Mapping[int, float]) -> list[int]:
    """Return the images whose scores lie far outside the others, by their numbers, the farthest first.

    >>> far_out({at: score for at, score in enumerate([*np.linspace(1, 2, 20), 9.0, 30.0])})
    [21, 20]
    """
    if len(scores) < _LEAST:
        return []
    low, high = np.quantile(list(scores.values()), (0.25, 0.75))
    far = [at for at, score in scores.items() if score > high + _FENCE * (high - low)]
    return sorted(far, key=lambda at: -scores[at])


def outliers_note(names: Sequence[str], count: int) -> str:
    """Return the sentence that names outliers among `count` good images."""
    are, they = ("is", "it shows a defect") if len(names) == 1 else ("are", "they show defects")
    return (
        f"{len(names)} of the {count} good images {are} training outliers: their scores lie far above the others' "
        f"({listing(list(names), _SHOWN)}). Check whether {they}, because what was learnt as good is overlooked later."
    )
