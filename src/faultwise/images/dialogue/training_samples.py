"""Training samples on simulated defects: for a decoder in the good images, for dialogues in held-out images.

AnomalyGPT's type of defect and others. Good images are not mirrored, for mirrored ones score higher against the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.images.data.simulated_marks import DEFECT_TYPES, simulated_set
from faultwise.images.detection.anomaly_scores import AnomalyScorer
from faultwise.images.detection.patches import PatchEncoder, Patches
from faultwise.images.dialogue.dialogues import shares_of_places

if TYPE_CHECKING:
    from faultwise.images.detection.decoder import Decoder

__all__ = ["Watch", "check_talk", "decoder_on_defects", "dialogues_on_defects"]

_LEAST_IN_DIALOGUES = 4  # good images
_MOST_IN_DIALOGUES = 600  # defects
_DEFECTS_EACH = 4  # good image that dialogues are about

Places = list[dict[str, float]]
Watch = Callable[[Iterable[Patches], int, str], Iterator[Patches]]


def decoder_on_defects(
    encoder: PatchEncoder,
    pictures: Sequence[np.ndarray],
    good: Sequence[np.ndarray],
    each: int,
    seed: int,
    watch: Watch,
) -> Decoder | None:
    """Return a decoder trained on `each` defects of every type in pictures of the backbone's size, and on maps of
    `good` images (rows, columns, channels); None where no defect can be made."""
    from faultwise.images.detection.decoder import trained

    labels = list[np.ndarray | None]()

    def defects() -> Iterator[np.ndarray]:
        for picture, label, _ in simulated_set(pictures, each, seed):
            labels.append(label)
            yield picture

    bad = [
        one.maps for one in watch(encoder.patches(defects(), sized=True), each * len(DEFECT_TYPES), "simulated defects")
    ]
    return trained([*good, *bad], [*[None] * len(good), *labels], seed=seed) if bad else None


def dialogues_on_defects(
    encoder: PatchEncoder, scorer: AnomalyScorer, good: Sequence[np.ndarray], seed: int, watch: Watch
) -> tuple[np.ndarray, list[Places]]:
    """Return image vectors (images, width) of good images of the backbone's size and of defects in them, and for each
    image the places of its defects with their shares.
    """
    rng = np.random.default_rng(seed)
    shown, places = list(good), list[Places]([] for _ in good)
    most = len(good) + min(_MOST_IN_DIALOGUES, _DEFECTS_EACH * len(good))
    mixed = [good[at] for at in rng.permutation(len(good))]
    for made, labels, _ in simulated_set(mixed, most, seed + 1):
        if where := shares_of_places(labels):
            shown.append(made)
            places.append(where)
        if len(shown) == most:
            break
    return np.stack(
        [scorer.image_vector(one) for one in watch(encoder.patches(iter(shown), sized=True), len(shown), "dialogues")]
    ), places


def check_talk(held_out: int, good: int, enough: int) -> None:
    """Raise UserError where too few of the good images are held out for dialogues; from `enough` on some are."""
    if held_out < _LEAST_IN_DIALOGUES:
        more = "hold out more (--set held_out=SHARE)" if good >= enough else f"give {enough} good images or more"
        raise UserError(
            f"To answer questions, the language model needs {_LEAST_IN_DIALOGUES} held-out good images; of {good} "
            f"there are {held_out}: {more}, or leave --talk out."
        )
