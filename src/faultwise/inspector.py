"""Images in, verdicts out: learns from good images alone what is usual, and says of others what is not, and where.

The memory bank scores, held-out good images set the limit; in an image above it, regions are where the map lies above
what 1% of good patches reach. A verdict is a comparison with a limit that good images earned; no probability of a
defect is claimed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from faultwise.data.images import read_image
from faultwise.encoders.backbones import load_backbone
from faultwise.encoders.patches import PatchEncoder, Patches, Resizing
from faultwise.errors import RunFolderError, UserError
from faultwise.evidence.regions import Region, regions, stretched
from faultwise.experts.good_limits import GoodLimit
from faultwise.experts.memory_bank import MemoryBank, image_score
from faultwise.runs import located, read_manifest, write_run
from faultwise.settings import ImageSettings

__all__ = ["Inspection", "Inspector"]

_SET_ASIDE_FROM = 20  # good images: fewer are all needed to learn from
_TURNED_UP_TO = 16  # good images: so few are also shown turned and mirrored
_POSITIONS = 8  # four turns, each also mirrored
_ODD_PATCHES = 0.01  # of good images lie above the limit of regions; an image is judged by its score alone
_SAID = 3
_TINY = 1e-6

Picture = np.ndarray | str | Path


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is said of one image: `score` against `limit`, the `regions` above theirs, and the map (height, width).

    `as_odd` is the share of good images set aside that scored as high or higher, None where none were set aside. The
    image itself is kept as `pixels` (height, width, 3; uint8), for the report.
    """

    name: str
    score: float
    limit: GoodLimit
    defective: bool
    as_odd: float | None
    regions: tuple[Region, ...]
    heat: np.ndarray
    region_limit: float
    pixels: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return everything but map and pixels, ready for JSON."""
        return {
            "image": self.name,
            "defective": self.defective,
            "score": self.score,
            "limit": self.limit.value,
            "as_odd": self.as_odd,
            "regions": [asdict(region) for region in self.regions],
            "words": self.words,
        }

    @property
    def words(self) -> str:
        """The verdict in a sentence, and one for each of the three strongest regions."""
        share = "" if self.as_odd is None else f"; {self.as_odd:.0%} of the good images set aside are as odd"
        head = "Defective" if self.defective else "No defect found"
        made = [f"{head}: {self.name}, score {self.score:.3f}, limit {self.limit.value:.3f}{share}."]
        for region in self.regions[:_SAID]:
            tone = f"{abs(region.contrast):.0f} grey levels {'darker' if region.contrast < 0 else 'brighter'}"
            than = f"{tone} than around" if abs(region.contrast) >= 1 else "as bright as around"
            left, top, right, bottom = region.box
            made.append(
                f"At the {region.place}, {right - left} x {bottom - top} pixels from ({left}, {top}), {than}, "
                f"{region.score / self.region_limit:.1f} times the limit of regions."
            )
        return " ".join(made)


class Inspector:
    """Learns good images, inspects others.

    >>> Inspector(ImageSettings(side=10))
    Traceback (most recent call last):
    faultwise.errors.UserError: Settings: side is 10, expected 64 to 1024.
    """

    def __init__(self, settings: ImageSettings | None = None, progress: bool = False, backbone: Any = None) -> None:
        self.settings = settings or ImageSettings()
        self.progress = progress
        self._backbone = backbone
        self._white: int | None = None
        self._encoder: PatchEncoder | None = None
        self._bank = MemoryBank(self.settings.bank)
        self._aside = np.empty(0)
        self.learnt = 0

    def fit(self, good: Sequence[Picture], white: int | None = None) -> Inspector:
        """Learn from good images: paths, or pixels (height, width, 3; uint8).

        Of images with more than eight bits `white` is the value that is white in all; None looks for it in the good
        ones. Raises UserError for no images, or images without structure.
        """
        if not len(good):
            raise UserError("There are no good images to learn from: give one at least.")
        self._white = white or _white_of(good)
        encoder = self._new_encoder()
        order = np.random.default_rng(self.settings.seed).permutation(len(good))
        aside = max(1, round(self.settings.held_out * len(good))) if len(good) >= _SET_ASIDE_FROM else 0
        learnt = [good[at] for at in order[aside:]]
        each = _POSITIONS if len(learnt) <= _TURNED_UP_TO else 1
        shown = (image for picture in learnt for image in _turns(self._pixels(picture), each))
        patches = list(self._watched(encoder.fit(shown), each * len(learnt), "good images"))
        owners = np.repeat(np.arange(len(patches)) // each, [len(one.flat) for one in patches])
        points = np.concatenate([one.flat for one in patches])
        self._bank = MemoryBank(self.settings.bank).fit(points, self.settings.seed, self.progress)
        self._encoder, self.learnt = encoder, len(learnt)
        if aside:
            maps = list(self._maps([good[at] for at in order[:aside]], "limits"))
        elif len(learnt) == 1:
            maps = list(self._maps(_varied(self._pixels(learnt[0])), "limits"))
        else:
            maps = list(self._left_out(patches[::each], points, owners))
        scores = np.array([image_score(one) for one in maps])
        self.limit = GoodLimit.of(scores, self.settings.false_alarm_rate, held_out=bool(aside))
        patchwise = np.concatenate([one.ravel() for one in maps])
        self.region_limit = max(float(np.quantile(patchwise, 1 - _ODD_PATCHES)), _TINY)
        self._aside = np.sort(scores) if aside else np.empty(0)
        return self

    def scores(self, images: Sequence[Picture]) -> np.ndarray:
        """Return the score of each image (images,): the higher, the less it resembles good ones."""
        return np.array([image_score(one) for one in self._maps(images, "inspecting")])

    def inspect(self, image: Picture) -> Inspection:
        """Return what is said of one image. Raises UserError for one that cannot be read, or before a fit."""
        return next(self.inspect_all([image]))

    def inspect_all(self, images: Sequence[Picture]) -> Iterator[Inspection]:
        """Yield what is said of each image, in their order."""
        for at, values in enumerate(self._maps(images, "inspecting")):
            image = images[at]
            pixels = self._pixels(image)
            heat = stretched(values, (pixels.shape[0], pixels.shape[1]))
            score = image_score(values)
            defective = score > self.limit.value
            found = regions(heat, self.region_limit, pixels) if defective else ()
            as_odd = float((self._aside >= score).mean()) if len(self._aside) else None
            yield Inspection(
                _named(image) if isinstance(image, str | Path) else f"image {at + 1}",
                score,
                self.limit,
                defective,
                as_odd,
                found,
                heat,
                self.region_limit,
                pixels,
            )

    def save(self, folder: str | Path) -> Path:
        """Write a run folder: manifest, bank and directions; the backbone is only named. Raises RunFolderError."""
        encoder = self._ready()

        def write(place: Path) -> None:
            from safetensors.numpy import save_file

            self._bank.save(place)
            assert encoder.centre is not None
            assert encoder.directions is not None
            arrays = {"centre": encoder.centre, "directions": np.ascontiguousarray(encoder.directions)}
            save_file({**arrays, "aside": self._aside}, place / "encoder.safetensors")

        manifest = {
            "kind": "images",
            "settings": asdict(self.settings),
            "limit": asdict(self.limit),
            "region_limit": self.region_limit,
            "learnt": self.learnt,
            "white": self._white,
        }
        return write_run(Path(folder), manifest, write)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False, backbone: Any = None) -> Inspector:
        """Read a run folder. Raises RunFolderError for one of another kind, or that was changed."""
        from safetensors.numpy import load_file

        folder = located(Path(folder))
        manifest = read_manifest(folder)
        if manifest.get("kind") != "images":
            raise RunFolderError(f"`{folder}` is a run on tables, not on images: use Diagnoser.load.")
        made = cls(ImageSettings(**manifest["settings"]), progress, backbone)
        made._bank.load(folder)
        arrays = load_file(folder / "encoder.safetensors")
        made._encoder = made._new_encoder()
        made._encoder.centre, made._encoder.directions = arrays["centre"], arrays["directions"]
        made._aside = arrays["aside"]
        made.limit, made.region_limit = GoodLimit(**manifest["limit"]), manifest["region_limit"]
        made._white, made.learnt = manifest["white"], manifest["learnt"]
        return made

    def _maps(self, images: Sequence[Picture], words: str) -> Iterator[np.ndarray]:
        """Yield the distances of each image's patches, (rows, columns)."""
        encoder = self._ready()
        made = encoder.patches(self._pixels(image) for image in images)
        for one in self._watched(made, len(images), words):
            yield self._bank.distances(one.flat).reshape(one.vectors.shape[:2])

    def _left_out(self, patches: list[Patches], points: np.ndarray, owners: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the map of each of few images against the others' patches; `owners` (patches,) says whose each is."""
        for at, one in enumerate(patches):
            bank = MemoryBank(self.settings.bank).fit(points[owners != at], self.settings.seed)
            yield bank.distances(one.flat).reshape(one.vectors.shape[:2])

    def _watched(self, made: Iterable[Patches], count: int, words: str) -> Iterator[Patches]:
        hide = not self.progress or count < 50
        yield from tqdm(made, total=count, desc=words, unit="image", disable=hide, leave=False, file=sys.stderr)

    def _pixels(self, image: Picture) -> np.ndarray:
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise UserError(f"An image is {image.dtype} of shape {image.shape}: expected uint8 (height, width, 3).")
            return image
        return read_image(image, self._white).pixels

    def _new_encoder(self) -> PatchEncoder:
        if self._backbone is None:
            self._backbone = load_backbone(self.settings.backbone, deepest=2)
        return PatchEncoder(self._backbone, Resizing(self.settings.resizing, self.settings.side))

    def _ready(self) -> PatchEncoder:
        if self._encoder is None:
            raise UserError("Nothing was learnt yet: call fit with good images, or load a run.")
        return self._encoder


def _named(path: str | Path) -> str:
    """Return a path as text that can be written anywhere, also where its bytes are no UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _white_of(good: Sequence[Picture]) -> int | None:
    """Return the largest white among files with more than eight bits; None where the first has no more."""
    files = [image for image in good if isinstance(image, str | Path)]
    if not files or read_image(files[0]).white is None:
        return None
    return max((white for file in files if (white := read_image(file).white) is not None), default=None)


def _varied(pixels: np.ndarray) -> list[np.ndarray]:
    """Return what stands in for other good images where there is one alone: parts of it, brighter and darker."""
    high, wide = pixels.shape[:2]
    down, right = max(1, high // 10), max(1, wide // 10)
    parts = [pixels[down:, right:], pixels[down:, :-right], pixels[:-down, right:], pixels[:-down, :-right]]
    return [np.clip(part * factor, 0, 255).astype(np.uint8) for part in parts for factor in (0.85, 1.15)]


def _turns(pixels: np.ndarray, count: int) -> list[np.ndarray]:
    """Return the first `count` of an image's eight turned and mirrored positions, itself first."""
    turned = (np.rot90(pixels, at // 2) for at in range(count))
    return [np.ascontiguousarray(one[:, ::-1] if at % 2 else one) for at, one in enumerate(turned)]
