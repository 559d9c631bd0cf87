"""What is learnt from simulated defects: a decoder from those in good images, dialogues from those in images set aside.

AnomalyGPT's kind and others. Good images are shown as they are, for mirrored ones look odder to the bank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.images.data.simulated_marks import KINDS, simulated_set
from faultwise.images.detection.anomaly_scores import OddPatches
from faultwise.images.detection.patches import PatchEncoder, Patches
from faultwise.images.dialogue.dialogues import shares_of_places

__all__ = ["Watch", "check_talk", "decoder_on_defects", "dialogues_on_defects"]

_LEAST_IN_DIALOGUES = 4  # good images
_MOST_IN_DIALOGUES = 600  # defects
_DEFECTS_EACH = 4  # good image that dialogues are about

Watch = Callable[[Iterable[Patches], int, str], Iterator[Patches]]


def decoder_on_defects(
    encoder: PatchEncoder,
    pictures: Sequence[np.ndarray],
    good: Sequence[np.ndarray],
    each: int,
    seed: int,
    watch: Watch,
) -> Any:
    """Return a decoder trained on `each` defects of every kind in pictures of the backbone's size, and on maps of
    `good` images (rows, columns, channels); None where no defect can be made."""
    from faultwise.images.detection.decoder import trained

    labels = list[np.ndarray | None]()

    def defects() -> Iterator[np.ndarray]:
        for picture, label, _ in simulated_set(pictures, each, seed):
            labels.append(label)
            yield picture

    bad = [one.maps for one in watch(encoder.patches(defects(), sized=True), each * len(KINDS), "simulated defects")]
    return trained([*good, *bad], [*[None] * len(good), *labels], seed=seed) if bad else None


def dialogues_on_defects(
    encoder: PatchEncoder, odd: OddPatches, good: Sequence[np.ndarray], seed: int, watch: Watch
) -> tuple[np.ndarray, list[Any]]:
    """Return what is seen (images, width) of good images of the backbone's size and of defects in them, and for each
    the places of its defects with their shares."""
    rng = np.random.default_rng(seed)
    shown, places = list(good), list[Any]([] for _ in good)
    most = len(good) + min(_MOST_IN_DIALOGUES, _DEFECTS_EACH * len(good))
    mixed = [good[at] for at in rng.permutation(len(good))]
    for made, labels, _ in simulated_set(mixed, most, seed + 1):
        if where := shares_of_places(labels):
            shown.append(made)
            places.append(where)
        if len(shown) == most:
            break
    return np.stack(
        [odd.sight(one) for one in watch(encoder.patches(iter(shown), sized=True), len(shown), "dialogues")]
    ), places


def check_talk(aside: int, good: int, enough: int) -> None:
    """Raise UserError where too few of the good images are set aside for dialogues; from `enough` on some are."""
    if aside < _LEAST_IN_DIALOGUES:
        more = "set more aside (--held-out)" if good >= enough else f"give {enough} good images or more"
        raise UserError(
            f"To speak of images the language model needs {_LEAST_IN_DIALOGUES} good ones set aside; of {good} there "
            f"are {aside}: {more}, or leave --talk out."
        )
