"""Learns from good images alone what is usual, and finds in others what is not, and where.

A memory bank and a decoder trained on simulated defects give anomaly scores, held-out good images set the threshold. In
an image above it, regions are where the map lies above what 1% of good patches reach. A verdict is a comparison with a
threshold from good images; no probability of a defect is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.progress import tracked
from faultwise.images.data.images import Pixels, named, pixels_of, white_of
from faultwise.images.detection.anomaly_scores import AnomalyScorer
from faultwise.images.detection.backbones import Backbone, load_backbone
from faultwise.images.detection.defect_types import FILE as TYPES_FILE
from faultwise.images.detection.defect_types import DefectTypes, patch_measures
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patches import PatchEncoder, Patches, Resizing
from faultwise.images.detection.regions import Region, regions_or_peak, smoothed, stretched
from faultwise.images.detection.thresholds import Threshold
from faultwise.images.dialogue.replies import ReplyModel
from faultwise.images.dialogue.training_samples import check_talk, dialogues_on_defects
from faultwise.images.inspection import Inspection
from faultwise.images.learning import Learner, Learnt
from faultwise.images.settings import ImageSettings

__all__ = ["Inspector"]

_HELD_OUT_FROM = 20  # good images: fewer are all needed to learn from
_MOST_TO_TALK = 600  # good images that dialogues are about


class Inspector:
    """Learns good images, inspects others; `types` names the types of defects, where examples were given.

    >>> Inspector(ImageSettings(side=10))
    Traceback (most recent call last):
    faultwise.contracts.errors.UserError: Settings: side is 10, expected 64 to 1024.
    """

    name = "good-images"

    def __init__(
        self, settings: ImageSettings | None = None, progress: bool = False, backbone: Backbone | None = None
    ) -> None:
        self.settings = settings or ImageSettings()
        self.progress = progress
        self._backbone = backbone
        self._learnt: Learnt | None = None
        self.white: int | None = None
        self.types = DefectTypes(self.settings.seed, linear=True)
        self.reply_model: ReplyModel | None = None

    def fit(
        self, good: Sequence[Pixels], white: int | None = None, defects: Sequence[tuple[Pixels, str]] = ()
    ) -> Inspector:
        """Learn from good images: paths, or pixels (height, width, 3; uint8); from `defects` only their types.

        Of images with more than eight bits `white` is the value that is white in all; None looks for it in the good
        ones. Raises UserError for no images, or images without structure.
        """
        if not len(good):
            raise UserError("There are no good images to learn from: give one at least.")
        settings = self.settings
        self.white = white or white_of([image for image in good if not isinstance(image, np.ndarray)])
        order = np.random.default_rng(settings.seed).permutation(len(good))
        held = max(1, round(settings.held_out * len(good))) if len(good) >= _HELD_OUT_FROM else 0
        if settings.talk:
            check_talk(held, len(good), _HELD_OUT_FROM)
        self.types, self.reply_model = DefectTypes(settings.seed, linear=True), None
        learner = Learner(settings, self.backbone, self._pixels, self._watched, self.progress)
        self._learnt = learner.learn(good, order, held)
        if defects:
            self.learn_types(defects)
        if settings.talk:
            self.teach([good[at] for at in order[:held]])
        return self

    def learn_types(self, defects: Sequence[tuple[Pixels, str]]) -> Inspector:
        """Learn types of defects: of each image (with its type) the strongest region is the example."""
        made = self.encoder.patches(self._pixels(image) for image, _ in defects)
        measures, labels = list[np.ndarray](), list[str]()
        for (image, label), one in zip(defects, self._watched(made, len(defects), "defect types"), strict=True):
            pixels, values = self._pixels(image), self.scorer.map(one)
            shape = (pixels.shape[0], pixels.shape[1])
            for region in regions_or_peak(stretched(values, shape), self.region_threshold, pixels)[:1]:
                measures.append(patch_measures(one, values, region.box, region.contrast, shape))
                labels.append(label)
        self.types.fit(np.array(measures), labels)
        return self

    def teach(self, held_out: Sequence[Pixels]) -> Inspector:
        """Teach the language model to answer questions, with good images that the bank has not learnt from.

        They are shown as they are and with simulated defects. Raises UserError for fewer than four: images that were
        learnt from have lower scores than any others.
        """
        check_talk(len(held_out), len(held_out) + self.learnt.images, _HELD_OUT_FROM)
        encoder, settings = self.encoder, self.settings
        good = [encoder.resized(self._pixels(image)) for image in held_out[:_MOST_TO_TALK]]
        vectors, places = dialogues_on_defects(encoder, self.scorer, good, settings.seed, self._watched)
        language = settings.language
        self.reply_model = ReplyModel(
            language.model, language.minutes, language.steps, language.device, settings.seed, self.progress
        ).fit(vectors, places)
        return self

    @property
    def learnt(self) -> Learnt:
        """What was learnt from good images. Raises UserError before a fit."""
        if self._learnt is None:
            raise UserError("Nothing was learnt yet: call fit with good images, or load a run.")
        return self._learnt

    @property
    def encoder(self) -> PatchEncoder:
        """What turns images into patches."""
        return self.learnt.encoder

    @property
    def scorer(self) -> AnomalyScorer:
        """What gives the anomaly scores of patches."""
        return self.learnt.scorer

    @property
    def threshold(self) -> Threshold:
        """The threshold of images' scores, and what it promises."""
        return self.learnt.threshold

    @property
    def region_threshold(self) -> float:
        """The threshold of regions, on the smoothed map."""
        return self.learnt.region_threshold

    @property
    def notes(self) -> list[str]:
        """What a person should know after a fit."""
        return [*self.learnt.all_notes, *([self.reply_model.note] if self.reply_model else [])]

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        names = self.types.names
        beside = f" and {len(self.types.labels)} defects of {len(names)} types" if names else ""
        return f"{self.learnt.images} good images{beside}"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return (
            "Colour shows how far a part of the image is from the nearest good one, and how much it looks like a "
            "simulated defect: it starts where 1% of the good images' parts lie and is full at one and a half times "
            "that. Boxes are regions above that threshold, in images flagged as defective."
        )

    @property
    def backbone(self) -> Backbone:
        """The network that sees the images, loaded when it is first needed."""
        if self._backbone is None:
            self._backbone = load_backbone(self.settings.backbone, deepest=2)
        return self._backbone

    def resized(self, pixels: np.ndarray) -> np.ndarray:
        """Return an image (height, width, 3; uint8) of the size that the backbone is shown."""
        return self.encoder.resized(pixels)

    def image_vectors(self, images: Sequence[Pixels]) -> np.ndarray:
        """Return the vectors by which the language model is shown images, (images, width)."""
        made = self.encoder.patches(self._pixels(image) for image in images)
        return np.stack([self.scorer.image_vector(one) for one in self._watched(made, len(images), "images")])

    def maps(self, images: Sequence[Pixels]) -> Iterator[np.ndarray]:
        """Yield each image's anomaly map, (rows, columns): in standard deviations above good patches."""
        made = self.encoder.patches(self._pixels(image) for image in images)
        return (self.scorer.map(one) for one in self._watched(made, len(images), "inspecting"))

    def scores(self, images: Sequence[Pixels]) -> np.ndarray:
        """Return the score of each image (images,): the higher, the less it resembles good ones."""
        return np.array([image_score(one) for one in self.maps(images)])

    def inspect(self, image: Pixels) -> Inspection:
        """Return the result for one image. Raises UserError for one that cannot be read, or before a fit."""
        return next(self.inspect_all([image]))

    def inspect_all(self, images: Sequence[Pixels]) -> Iterator[Inspection]:
        """Yield the result for each image, in their order."""
        made = self.encoder.patches(self._pixels(image) for image in images)
        for at, one in enumerate(self._watched(made, len(images), "inspecting")):
            yield self._inspection(images[at], at, one, self.scorer.map(one))

    def look(self, image: Pixels) -> tuple[Inspection, np.ndarray]:
        """Return the result for an image, and its vector for the language model, encoded once."""
        patches = next(self.encoder.patches([self._pixels(image)]))
        values = self.scorer.map(patches)
        return self._inspection(image, 0, patches, values), self.scorer.image_vector(patches, values)

    def _inspection(self, image: Pixels, number: int, patches: Patches, values: np.ndarray) -> Inspection:
        learnt, score = self.learnt, image_score(values)
        defective = score > learnt.threshold.value
        found: tuple[Region, ...] = ()
        if defective:
            pixels = self._pixels(image)
            shape = (pixels.shape[0], pixels.shape[1])
            found = regions_or_peak(stretched(values, shape), learnt.region_threshold, pixels)
            measures = [patch_measures(patches, values, one.box, one.contrast, shape) for one in found]
            if types := self.types.named(np.array(measures)):
                found = tuple(replace(one, defect=d, probability=p) for one, (d, p) in zip(found, types, strict=True))
        return Inspection(
            name=named(image, number),
            score=score,
            threshold=learnt.threshold,
            defective=defective,
            p_value=float((learnt.held_out >= score).mean()) if len(learnt.held_out) else None,
            regions=found,
            region_threshold=learnt.region_threshold,
            scores=smoothed(values),
            read=partial(pixels_of, image, self.white),
        )

    def write(self, folder: Path) -> dict[str, object]:
        """Write bank, decoder, directions, examples of types and the reply model; return what the manifest has to hold.

        The backbone is only named.
        """
        from safetensors.numpy import save_file

        learnt, encoder = self.learnt, self.encoder
        learnt.scorer.save(folder)
        assert encoder.centre is not None
        assert encoder.directions is not None
        arrays = {"centre": encoder.centre, "directions": np.ascontiguousarray(encoder.directions)}
        save_file({**arrays, "held_out": learnt.held_out}, folder / "encoder.safetensors")
        if self.types.labels:
            self.types.save(folder)
        if self.reply_model is not None:
            self.reply_model.save(folder)
        return {
            "threshold": asdict(learnt.threshold),
            "region_threshold": learnt.region_threshold,
            "resizing": asdict(encoder.resizing),
            "learnt": learnt.images,
            "white": self.white,
            "training_outliers": list(learnt.training_outliers),
            "choices": list(learnt.notes),
        }

    @classmethod
    def load(
        cls,
        folder: Path,
        manifest: Mapping[str, Any],
        settings: ImageSettings,
        progress: bool = False,
        backbone: Backbone | None = None,
    ) -> Inspector:
        """Read what `write` wrote. Raises RunFolderError for anything else."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        made = cls(settings, progress, backbone)
        try:
            arrays = load_file(folder / "encoder.safetensors")
            encoder = PatchEncoder(made.backbone, Resizing(**manifest["resizing"]))
            encoder.centre, encoder.directions = arrays["centre"], arrays["directions"]
            made.white = manifest["white"]
            made._learnt = Learnt(
                images=manifest["learnt"],
                encoder=encoder,
                scorer=AnomalyScorer.load(folder, MemoryBank(settings.bank)),
                threshold=Threshold(**manifest["threshold"]),
                region_threshold=manifest["region_threshold"],
                held_out=arrays["held_out"],
                notes=tuple(manifest["choices"]),
                training_outliers=tuple(manifest["training_outliers"]),
            )
        except (OSError, KeyError, TypeError, SafetensorError) as error:
            raise RunFolderError(f"`{folder}` holds nothing learnt from images ({error}): fit again.") from error
        if (folder / TYPES_FILE).exists():
            made.types.load(folder)
        if settings.talk:
            language = settings.language
            made.reply_model = ReplyModel(language.model, device=language.device, progress=progress).load(folder)
        return made

    def _pixels(self, image: Pixels) -> np.ndarray:
        return pixels_of(image, self.white)

    def _watched(self, made: Iterable[Patches], count: int, words: str) -> Iterator[Patches]:
        hide = not self.progress or count < 50
        yield from tracked(made, total=count, desc=words, disable=hide)
