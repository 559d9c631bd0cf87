"""Learning good images: from pictures to an encoder, a scorer of patches, and thresholds from images held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.images.data.augmentation import RECIPES, varied, views
from faultwise.images.data.images import Pixels, named
from faultwise.images.detection.anomaly_scores import AnomalyScorer, Parts
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.choices.augmentation import chosen_views
from faultwise.images.detection.choices.resizing import COMPARED, chosen_resizing
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patch_store import PatchStore
from faultwise.images.detection.patches import PatchEncoder, Patches, Resizing
from faultwise.images.detection.regions import smoothed
from faultwise.images.detection.thresholds import Threshold
from faultwise.images.detection.training_outliers import far_out, outliers_note, scores_among_others
from faultwise.images.dialogue.training_samples import Watch, decoder_on_defects
from faultwise.images.settings import ImageSettings

if TYPE_CHECKING:
    from faultwise.images.detection.decoder import Decoder

__all__ = ["Learner", "Learnt"]

_VIEWS_UP_TO = 16  # good images: so few are also shown turned and mirrored
_SHOWN_TO_DECODER = 200  # good images, and as many that defects are put into
_ABOVE_REGIONS = 0.01  # of good patches lie above the threshold of regions; an image is flagged by its score alone
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was learnt from good images. `held_out` are the scores of the held-out ones, in order; `notes` say what was
    decided by the good images, and `training_outliers` names those far from all others.
    """

    images: int
    encoder: PatchEncoder
    scorer: AnomalyScorer
    threshold: Threshold
    region_threshold: float
    held_out: np.ndarray
    notes: tuple[str, ...]
    training_outliers: tuple[str, ...] = ()

    @property
    def all_notes(self) -> list[str]:
        """The notes, with those on the threshold and on training outliers."""
        names = [Path(one).name for one in self.training_outliers]
        outliers = [outliers_note(names, self.images + len(self.held_out))] if names else []
        return [*self.notes, self.threshold.note, *outliers]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The patches of the images learnt from, `views` for each; `maps` are for the decoder, `patches` are kept where no
    images are held out.
    """

    store: PatchStore
    views: int
    maps: list[np.ndarray]
    patches: list[Patches]


class Learner:
    """Learns good images with a backbone. `read` gives the pixels of an image, `watch` shows progress."""

    def __init__(
        self,
        settings: ImageSettings,
        backbone: Backbone,
        read: Callable[[Pixels], np.ndarray],
        watch: Watch,
        progress: bool = False,
    ) -> None:
        self._settings, self._backbone = settings, backbone
        self._read, self._watch, self._progress = read, watch, progress
        self._notes = list[str]()

    def learn(self, good: Sequence[Pixels], order: np.ndarray, held: int) -> Learnt:
        """Learn from good images but the first `held` in `order`, which set the thresholds.

        Raises UserError for images without structure.
        """
        settings, self._notes = self._settings, []
        held_out, learnt = [good[at] for at in order[:held]], [good[at] for at in order[held:]]
        encoder = PatchEncoder(self._backbone, self._resizing(learnt[:COMPARED]))
        recipe = self._recipe(learnt, encoder.resizing)
        encoded = self._encode(encoder, learnt, recipe, bool(held))
        points, owners = encoded.store.points, encoded.store.owners(encoded.views)
        bank = MemoryBank(settings.bank).fit(points, settings.seed, self._progress, owners)
        # A decoder knows the images it learnt from: were thresholds taken from them, all others would be flagged.
        scorer = AnomalyScorer(bank, self._decoder(encoder, learnt, recipe, encoded.maps) if held else None)
        parts = self._reference(encoder, scorer, held_out, learnt, encoded.patches)
        scores = {int(order[held + at]): score for at, score in scores_among_others(bank, points, owners).items()}
        scores |= {int(at): image_score(one[0]) for at, one in zip(order[:held], parts, strict=False)}
        scorer.fit_scale(parts)
        maps = [scorer.combined(one) for one in parts]
        reached = np.array([image_score(one) for one in maps])
        patchwise = np.concatenate([smoothed(one).ravel() for one in maps])
        return Learnt(
            images=len(learnt),
            encoder=encoder,
            scorer=scorer,
            threshold=Threshold.of(reached, settings.false_alarm_rate, held_out=bool(held)),
            region_threshold=max(float(np.quantile(patchwise, 1 - _ABOVE_REGIONS)), _TINY),
            held_out=np.sort(reached) if held else np.empty(0),
            notes=tuple(self._notes),
            training_outliers=tuple(named(good[at], at) for at in far_out(scores)),
        )

    def _encode(self, encoder: PatchEncoder, learnt: Sequence[Pixels], recipe: str, held: bool) -> _Encoded:
        each = len(RECIPES[recipe])
        count = each * len(learnt)
        shown = (image for picture in learnt for image in views(self._read(picture), recipe))
        made = _Encoded(PatchStore(count), each, [], [])
        for number, one in enumerate(self._watch(encoder.fit(shown), count, "good images")):
            made.store.add(one)
            if held and number < _SHOWN_TO_DECODER:
                made.maps.append(one.maps.copy())  # a view holds its whole batch
            if not held and number % each == 0:
                made.patches.append(one)  # only few are compared with each other later
        return made

    def _reference(
        self,
        encoder: PatchEncoder,
        scorer: AnomalyScorer,
        held_out: Sequence[Pixels],
        learnt: Sequence[Pixels],
        patches: Sequence[Patches],
    ) -> list[Parts]:
        """Return the scores' parts of the good images that thresholds are taken from."""
        if held_out:
            return list(self._parts(encoder, scorer, held_out))
        if len(learnt) == 1:
            return list(self._parts(encoder, scorer, varied(self._read(learnt[0]))))
        return [scorer.parts(one, own) for own, one in enumerate(patches)]

    def _parts(self, encoder: PatchEncoder, scorer: AnomalyScorer, images: Sequence[Pixels]) -> Iterator[Parts]:
        made = encoder.patches(self._read(image) for image in images)
        return (scorer.parts(one) for one in self._watch(made, len(images), "thresholds"))

    def _decoder(
        self, encoder: PatchEncoder, learnt: Sequence[Pixels], recipe: str, good: Sequence[np.ndarray]
    ) -> Decoder | None:
        """Return a decoder trained on defects simulated in the images learnt from, None where none can be made."""
        if not self._settings.simulated:
            return None
        pictures = [
            encoder.resized(view)
            for one in learnt[: -(-_SHOWN_TO_DECODER // len(RECIPES[recipe]))]
            for view in views(self._read(one), recipe)
        ]
        return decoder_on_defects(encoder, pictures, good, self._settings.simulated, self._settings.seed, self._watch)

    def _resizing(self, some: Sequence[Pixels]) -> Resizing:
        settings = self._settings
        if settings.resizing != "auto":
            return Resizing(settings.resizing, settings.side)
        pixels = (self._read(one) for one in some)
        made, why = chosen_resizing(pixels, self._backbone, settings.side, settings.seed)
        self._notes.append(why)
        return made

    def _recipe(self, learnt: Sequence[Pixels], resizing: Resizing) -> str:
        wanted = self._settings.augment
        if len(learnt) > _VIEWS_UP_TO:
            if wanted not in ("auto", "none"):
                self._notes.append(
                    f"Views are for {_VIEWS_UP_TO} good images or fewer: the setting augment changes nothing here."
                )
            return "none"
        if wanted != "auto":
            return wanted
        pixels = [self._read(one) for one in learnt]
        made, why = chosen_views(pixels, self._backbone, resizing, self._settings.seed)
        self._notes.append(why)
        return made
