"""Images in, verdicts out: learns from good images alone what is usual, and says of others what is not, and where.

A memory bank and a decoder taught on simulated defects score, held-out good images set the limit; in an image above it,
regions are where the map lies above what 1% of good patches reach. A verdict is a comparison with a limit that good
images earned; no probability of a defect is claimed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.images.data.augmentation import RECIPES, varied, views
from faultwise.images.data.images import named, read_image, white_of
from faultwise.images.detection.anomaly_scores import OddPatches, Parts
from faultwise.images.detection.augmentation_choice import chosen_views
from faultwise.images.detection.backbones import Backbone, load_backbone
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patch_store import Gathered
from faultwise.images.detection.patches import PatchEncoder, Patches, Resizing
from faultwise.images.detection.region_kinds import RegionKinds, patch_measures
from faultwise.images.detection.regions import regions_or_peak, smoothed, stretched
from faultwise.images.detection.resizing_choice import ASKED, chosen_resizing
from faultwise.images.detection.training_outliers import far_out, scores_among_others, suspects_note
from faultwise.images.dialogue.replies import ImageReplies
from faultwise.images.dialogue.training_samples import check_talk, decoder_on_defects, dialogues_on_defects
from faultwise.images.inspection import Inspection
from faultwise.images.settings import ImageSettings
from faultwise.runs.folders import located, read_manifest, write_run
from faultwise.verdicts.thresholds import GoodLimit

__all__ = ["Inspector", "Picture"]

_SET_ASIDE_FROM = 20  # good images: fewer are all needed to learn from
_TURNED_UP_TO = 16  # good images: so few are also shown turned and mirrored
_SHOWN_TO_DECODER = 200  # good images, and as many that defects are put into
_ODD_PATCHES = 0.01  # of good images lie above the limit of regions; an image is judged by its score alone
_MOST_TO_TALK = 600  # good images that dialogues are about
_TINY = 1e-6

Picture = np.ndarray | str | Path
_Choice = TypeVar("_Choice", str, Resizing)


class Inspector:
    """Learns good images, inspects others. `aside` are the scores of the good images set aside, in order, and `odd`
    is what scores.

    >>> Inspector(ImageSettings(side=10))
    Traceback (most recent call last):
    faultwise.contracts.errors.UserError: Settings: side is 10, expected 64 to 1024.
    """

    def __init__(
        self, settings: ImageSettings | None = None, progress: bool = False, backbone: Backbone | None = None
    ) -> None:
        self.settings = settings or ImageSettings()
        self.progress = progress
        self._backbone = backbone
        self._white: int | None = None
        self._encoder: PatchEncoder | None = None
        self.odd = OddPatches(MemoryBank(self.settings.bank))
        self.aside = np.empty(0)
        self.learnt = 0
        self.suspects: list[str] = []  # good images that lie far from all others, by name
        self.kinds = RegionKinds(self.settings.seed, linear=True)
        self.choices = list[str]()  # what the good images decided, in words
        self.voice: ImageReplies | None = None

    def fit(
        self, good: Sequence[Picture], white: int | None = None, defects: Sequence[tuple[Picture, str]] = ()
    ) -> Inspector:
        """Learn from good images: paths, or pixels (height, width, 3; uint8); from `defects` only their kinds.

        Of images with more than eight bits `white` is the value that is white in all; None looks for it in the good
        ones. Raises UserError for no images, or images without structure.
        """
        if not len(good):
            raise UserError("There are no good images to learn from: give one at least.")
        self._white = white or white_of([image for image in good if not isinstance(image, np.ndarray)])
        self.choices, seed = [], self.settings.seed
        order = np.random.default_rng(seed).permutation(len(good))
        aside = max(1, round(self.settings.held_out * len(good))) if len(good) >= _SET_ASIDE_FROM else 0
        if self.settings.talk:
            check_talk(aside, len(good), _SET_ASIDE_FROM)
        self.kinds, self.voice = RegionKinds(seed, linear=True), None
        learnt = [good[at] for at in order[aside:]]
        encoder = self._new_encoder(self._resizing(learnt[:ASKED]))
        few = len(learnt) <= _TURNED_UP_TO
        recipe = self._recipe(learnt, encoder.resizing) if few else "none"
        if not few and self.settings.augment not in ("auto", "none"):
            self.choices.append(f"Views are for {_TURNED_UP_TO} good images or fewer: --augment changes nothing here.")
        each = len(RECIPES[recipe])
        shown = (image for picture in learnt for image in views(self._pixels(picture), recipe))
        patches, gathered, maps = list[Patches](), Gathered(each * len(learnt)), list[np.ndarray]()
        for number, one in enumerate(self._watched(encoder.fit(shown), each * len(learnt), "good images")):
            gathered.add(one)
            maps += [one.maps.copy()] if aside and number < _SHOWN_TO_DECODER else []  # a view holds its whole batch
            patches += [one] if not aside and number % each == 0 else []  # only few are compared with each other later
        points, owners = gathered.points, gathered.owners(each)
        bank = MemoryBank(self.settings.bank).fit(points, seed, self.progress, owners)
        # A decoder knows the images it learnt from: were limits taken from them, all others would look defective.
        decoder = self._new_decoder(encoder, learnt, recipe, maps) if aside else None
        self.odd = OddPatches(bank, decoder)
        self._encoder, self.learnt = encoder, len(learnt)
        if aside:
            parts = list(self._parts([good[at] for at in order[:aside]], "limits"))
        elif len(learnt) == 1:
            parts = list(self._parts(varied(self._pixels(learnt[0])), "limits"))
        else:
            parts = [self.odd.parts(one, own) for own, one in enumerate(patches)]
        looked = {int(order[aside + at]): score for at, score in scores_among_others(bank, points, owners).items()}
        looked |= {int(at): image_score(one[0]) for at, one in zip(order[:aside], parts, strict=False)}
        self.suspects = [named(good[at], at) for at in far_out(looked)]
        self.odd.settle(parts)
        heats = [self.odd.together(one) for one in parts]
        scores = np.array([image_score(one) for one in heats])
        self.limit = GoodLimit.of(scores, self.settings.false_alarm_rate, held_out=bool(aside))
        patchwise = np.concatenate([smoothed(one).ravel() for one in heats])
        self.region_limit = max(float(np.quantile(patchwise, 1 - _ODD_PATCHES)), _TINY)
        self.aside = np.sort(scores) if aside else np.empty(0)
        if defects:
            self.learn_kinds(defects)
        if self.settings.talk:
            self.teach([good[at] for at in order[:aside]])
        return self

    def learn_kinds(self, defects: Sequence[tuple[Picture, str]]) -> Inspector:
        """Learn what kinds of defects look like: of each image (with its kind) the strongest region is the example."""
        made = self.encoder.patches(self._pixels(image) for image, _ in defects)
        measures, kinds = list[np.ndarray](), list[str]()
        for (image, kind), one in zip(defects, self._watched(made, len(defects), "kinds"), strict=True):
            pixels, values = self._pixels(image), self.odd.map(one)
            shape = (pixels.shape[0], pixels.shape[1])
            for region in regions_or_peak(stretched(values, shape), self.region_limit, pixels)[:1]:
                measures.append(patch_measures(one, values, region.box, region.contrast, shape))
                kinds.append(kind)
        self.kinds.fit(np.array(measures), kinds)
        return self

    def teach(self, aside: Sequence[Picture]) -> Inspector:
        """Teach the language model to speak of images, with good ones that the bank has not learnt from.

        They are shown as they are and with simulated defects. Raises UserError for fewer than four good ones: those
        learnt from look better than any others.
        """
        check_talk(len(aside), len(aside) + self.learnt, _SET_ASIDE_FROM)
        encoder = self.encoder
        good = [encoder.resized(self._pixels(image)) for image in aside[:_MOST_TO_TALK]]
        vectors, places = dialogues_on_defects(encoder, self.odd, good, self.settings.seed, self._watched)
        settings = self.settings
        self.voice = ImageReplies(
            settings.model, settings.lm_minutes, settings.lm_steps, settings.lm_device, settings.seed, self.progress
        ).fit(vectors, places)
        return self

    def resized(self, pixels: np.ndarray) -> np.ndarray:
        """Return an image (height, width, 3; uint8) of the size that the backbone is shown."""
        return self.encoder.resized(pixels)

    def sight(self, images: Sequence[Picture]) -> np.ndarray:
        """Return what the language model sees of each image, (images, width)."""
        made = self.encoder.patches(self._pixels(image) for image in images)
        return np.stack([self.odd.sight(one) for one in self._watched(made, len(images), "images")])

    @property
    def notes(self) -> list[str]:
        """What a person should know after a fit."""
        names = [Path(one).name for one in self.suspects]
        odd = [suspects_note(names, self.learnt + len(self.aside))] if names else []
        return [*self.choices, self.limit.note, *odd, *([self.voice.note] if self.voice else [])]

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        kinds = sorted(set(self.kinds.kinds))
        beside = f" and {len(self.kinds.kinds)} defects of {len(kinds)} kinds" if kinds else ""
        return f"{self.learnt} good images{beside}"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return (
            "Colour says how far a part of the image is from the nearest good one, and how much it looks like a "
            "simulated defect: it starts where 1% of the good images' parts lie and is full at one and a half times "
            "that. Boxes are regions above that limit, in images called defective."
        )

    def scores(self, images: Sequence[Picture]) -> np.ndarray:
        """Return the score of each image (images,): the higher, the less it resembles good ones."""
        return np.array([image_score(one) for one in self.maps(images)])

    def inspect(self, image: Picture) -> Inspection:
        """Return what is said of one image. Raises UserError for one that cannot be read, or before a fit."""
        return next(self.inspect_all([image]))

    def inspect_all(self, images: Sequence[Picture]) -> Iterator[Inspection]:
        """Yield what is said of each image, in their order."""
        made = self.encoder.patches(self._pixels(image) for image in images)
        for at, one in enumerate(self._watched(made, len(images), "inspecting")):
            yield self._inspection(named(images[at], at), self._pixels(images[at]), one, self.odd.map(one))

    def look(self, image: Picture) -> tuple[Inspection, np.ndarray]:
        """Return what is said of an image, and what the language model sees of it (`sight`), encoded once."""
        pixels = self._pixels(image)
        patches = next(self.encoder.patches([pixels]))
        heat = self.odd.map(patches)
        return self._inspection(named(image, 0), pixels, patches, heat), self.odd.sight(patches, heat)

    def _inspection(self, name: str, pixels: np.ndarray, patches: Patches, values: np.ndarray) -> Inspection:
        shape = (pixels.shape[0], pixels.shape[1])
        heat = stretched(values, shape)
        score = image_score(values)
        defective = score > self.limit.value
        found = regions_or_peak(heat, self.region_limit, pixels) if defective else ()
        measures = [patch_measures(patches, values, one.box, one.contrast, shape) for one in found]
        if named := self.kinds.named(np.array(measures)):
            found = tuple(replace(one, kind=kind, sure=sure) for one, (kind, sure) in zip(found, named, strict=True))
        as_odd = float((self.aside >= score).mean()) if len(self.aside) else None
        return Inspection(name, score, self.limit, defective, as_odd, found, heat, self.region_limit, pixels)

    def save(self, folder: str | Path) -> Path:
        """Write a run folder: manifest, bank and directions; the backbone is only named. Raises RunFolderError."""
        encoder = self.encoder

        def write(place: Path) -> None:
            from safetensors.numpy import save_file

            self.odd.save(place)
            assert encoder.centre is not None
            assert encoder.directions is not None
            arrays = {"centre": encoder.centre, "directions": np.ascontiguousarray(encoder.directions)}
            save_file({**arrays, "aside": self.aside}, place / "encoder.safetensors")
            if self.kinds.kinds:
                self.kinds.save(place)
            if self.voice is not None:
                self.voice.save(place)

        manifest = {
            "kind": "images",
            "settings": asdict(self.settings),
            "limit": asdict(self.limit),
            "region_limit": self.region_limit,
            "resizing": asdict(encoder.resizing),
            "learnt": self.learnt,
            "white": self._white,
        }
        return write_run(Path(folder), manifest, write)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False, backbone: Backbone | None = None) -> Inspector:
        """Read a run folder. Raises RunFolderError for one of another kind, or that was changed."""
        from safetensors.numpy import load_file

        folder = located(Path(folder))
        manifest = read_manifest(folder)
        if manifest.get("kind") != "images":
            raise RunFolderError(f"`{folder}` is no run on good images (its kind: {manifest.get('kind', 'tables')}).")
        made = cls(ImageSettings(**manifest["settings"]), progress, backbone)
        made.odd = OddPatches.load(folder, MemoryBank(made.settings.bank))
        if (folder / "kinds.safetensors").exists():
            made.kinds.load(folder)
        arrays = load_file(folder / "encoder.safetensors")
        made._encoder = made._new_encoder(Resizing(**manifest["resizing"]))
        made._encoder.centre, made._encoder.directions = arrays["centre"], arrays["directions"]
        made.aside = arrays["aside"]
        made.limit, made.region_limit = GoodLimit(**manifest["limit"]), manifest["region_limit"]
        made._white, made.learnt = manifest["white"], manifest["learnt"]
        if made.settings.talk:
            settings = made.settings
            made.voice = ImageReplies(settings.model, device=settings.lm_device, progress=progress).load(folder)
        return made

    @property
    def encoder(self) -> PatchEncoder:
        """What turns images into patches. Raises UserError before a fit."""
        if self._encoder is None:
            raise UserError("Nothing was learnt yet: call fit with good images, or load a run.")
        return self._encoder

    def maps(self, images: Sequence[Picture]) -> Iterator[np.ndarray]:
        """Yield how odd each image's patches are, (rows, columns): in standard deviations above good ones."""
        return (self.odd.together(one) for one in self._parts(images, "inspecting"))

    def _parts(self, images: Sequence[Picture], words: str) -> Iterator[Parts]:
        made = self.encoder.patches(self._pixels(image) for image in images)
        return (self.odd.parts(one) for one in self._watched(made, len(images), words))

    def _new_decoder(
        self, encoder: PatchEncoder, learnt: Sequence[Picture], recipe: str, good: Sequence[np.ndarray]
    ) -> Any:
        """Return a decoder trained on defects simulated in the images learnt from, None where none can be made."""
        if not self.settings.simulated:
            return None
        pictures = [
            encoder.resized(view)
            for one in learnt[: -(-_SHOWN_TO_DECODER // len(RECIPES[recipe]))]
            for view in views(self._pixels(one), recipe)
        ]
        return decoder_on_defects(encoder, pictures, good, self.settings.simulated, self.settings.seed, self._watched)

    def _watched(self, made: Iterable[Patches], count: int, words: str) -> Iterator[Patches]:
        hide = not self.progress or count < 50
        yield from tqdm(made, total=count, desc=words, unit="image", disable=hide, leave=False, file=sys.stderr)

    def _pixels(self, image: Picture) -> np.ndarray:
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise UserError(f"An image is {image.dtype} of shape {image.shape}: expected uint8 (height, width, 3).")
            return image
        return read_image(image, self._white).pixels

    def _resizing(self, some: Sequence[Picture]) -> Resizing:
        settings = self.settings
        if settings.resizing != "auto":
            return Resizing(settings.resizing, settings.side)
        pixels = (self._pixels(one) for one in some)
        return self._noted(*chosen_resizing(pixels, self._seeing(), settings.side, settings.seed))

    def _recipe(self, few: Sequence[Picture], resizing: Resizing) -> str:
        if self.settings.augment != "auto":
            return self.settings.augment
        pixels = [self._pixels(one) for one in few]
        return self._noted(*chosen_views(pixels, self._seeing(), resizing, self.settings.seed))

    def _noted(self, made: _Choice, why: str) -> _Choice:
        self.choices.append(why)
        return made

    def _seeing(self) -> Backbone:
        if self._backbone is None:
            self._backbone = load_backbone(self.settings.backbone, deepest=2)
        return self._backbone

    def _new_encoder(self, resizing: Resizing) -> PatchEncoder:
        return PatchEncoder(self._seeing(), resizing)
