"""Images as patches: maps of several stages on one grid, averaged locally, turned to the components that matter.

Each stage's vectors are brought to unit length, for their length is brightness and contrast more than kind: this alone
raised the area under the curve on simulated defects from 0.78 to 0.90, and with four good images from 0.53 to 0.63. The
components are the principal ones of the good images' patches, scaled a little towards equal spread. Images are resized
to one size; what size, and whether squeezed or in proportion, is decided by `Resizing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.images.detection.backbones import Backbone

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["PatchEncoder", "Patches", "Resizing", "on_grid", "resized_to"]

_BATCH = 8
_LEARNT_FROM = 200  # images, that the components are learnt from: few directions, many patches
_WHITENED = 0.25  # 0 leaves the components as spread as they are, 1 makes them equal
_TILES = 4  # in each direction at most
_SMALLEST, _NO_STRUCTURE = 1e-6, 1e-12


@dataclass(frozen=True, slots=True)
class Resizing:
    """Images get about as many pixels as a square of `side`; `method` "square" squeezes, "aspect" keeps their shape.
    "tiles" cuts large images into up to 4 x 4 squares of that side, which the backbone sees one by one.
    """

    method: str = "square"
    side: int = 256

    def size(self, high: int, wide: int, step: int = 32) -> tuple[int, int]:
        """Return height and width for an image of such size; both are multiples of `step`.

        >>> Resizing().size(100, 400), Resizing("aspect").size(100, 400), Resizing("tiles").size(400, 1_400)
        ((256, 256), (128, 512), (512, 1024))
        """
        if self.method != "aspect":
            rows, columns = self.tiles(high, wide)
            return rows * _near(self.side, step), columns * _near(self.side, step)
        scale = self.side / (high * wide) ** 0.5
        return _near(high * scale, step), _near(wide * scale, step)

    def tiles(self, high: int, wide: int) -> tuple[int, int]:
        """Return in how many rows and columns an image of such size is cut."""
        if self.method != "tiles":
            return 1, 1
        return min(_TILES, max(1, round(high / self.side))), min(_TILES, max(1, round(wide / self.side)))


@dataclass(frozen=True, slots=True)
class Patches:
    """The patches of one image, float32: `vectors` (rows, columns, components), and the `maps` that they were made
    from (rows, columns, channels)."""

    vectors: np.ndarray
    maps: np.ndarray

    @property
    def flat(self) -> np.ndarray:
        """The vectors as (patches, components)."""
        return self.vectors.reshape(-1, self.vectors.shape[-1])


class PatchEncoder:
    """Turns pixels into `Patches` of the backbone's `stages` (position: weight), on the grid of the stage `grid`."""

    def __init__(
        self,
        backbone: Backbone,
        resizing: Resizing | None = None,
        stages: Mapping[int, float] | None = None,
        grid: int = 2,
        components: int = 64,
    ) -> None:
        self.backbone = backbone
        self.resizing = resizing or Resizing()
        self.stages, self.grid, self.components = dict(stages or {1: 0.7, 2: 1.0}), grid, components
        self.centre: np.ndarray | None = None
        self.directions: np.ndarray | None = None

    def fit(self, images: Iterable[np.ndarray]) -> Iterator[Patches]:
        """Learn the components from the first 200 images (height, width, 3; uint8), and yield the patches of all.

        Nothing is learnt before the first is taken. Each image goes through the backbone once. Raises UserError
        where all patches are the same.
        """
        kept: list[np.ndarray] = []
        raw = self._raw(images)
        for one in raw:
            kept.append(one)
            if len(kept) == _LEARNT_FROM:
                break
        if kept:
            self._learn(np.concatenate([one.reshape(-1, one.shape[-1]) for one in kept]))
        while kept:
            yield self._turned(kept.pop(0))
        for one in raw:
            yield self._turned(one)

    def patches(self, images: Iterable[np.ndarray], sized: bool = False) -> Iterator[Patches]:
        """Yield the patches of images (height, width, 3; uint8), in their order; `sized` ones are `resized` already."""
        for one in self._raw(images, sized):
            yield self._turned(one)

    def resized(self, image: np.ndarray) -> np.ndarray:
        """Return an image (height, width, 3; uint8) of the size that the backbone is shown."""
        return resized_to(image, self.resizing.size(image.shape[0], image.shape[1], max(self.backbone.strides)))

    def _learn(self, rows: np.ndarray) -> None:
        self.centre = rows.mean(axis=0)
        spread = np.cov(rows - self.centre, rowvar=False)
        values, vectors = np.linalg.eigh(spread)
        most = min(self.components, len(values))
        values, vectors = values[::-1][:most], vectors[:, ::-1][:, :most]
        # The sign of a direction is free: fixed, so that the same images give the same numbers.
        vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(most)])
        if not values[0] > _NO_STRUCTURE:
            raise UserError("The good images show no structure at all: check that they are what the camera should see.")
        scale = np.maximum(values, _SMALLEST * values[0]) ** (-_WHITENED / 2)
        self.directions = (vectors * scale).astype(np.float32)

    def _turned(self, raw: np.ndarray) -> Patches:
        assert self.directions is not None, "fit first"
        return Patches((raw - self.centre) @ self.directions, raw)

    def _raw(self, images: Iterable[np.ndarray], sized: bool = False) -> Iterator[np.ndarray]:
        """Yield the stages' maps on one grid, (rows, columns, channels), an image at a time."""
        import torch

        small = iter(images) if sized else (self.resized(image) for image in images)
        while resized := list(islice(small, _BATCH)):
            made: list[np.ndarray | None] = [None] * len(resized)
            for shape in {one.shape for one in resized}:
                at = [place for place, one in enumerate(resized) if one.shape == shape]
                pixels = torch.from_numpy(np.stack([resized[place] for place in at])).permute(0, 3, 1, 2)
                maps = self._stitched(pixels).permute(0, 2, 3, 1)
                for place, one in zip(at, maps.contiguous().numpy(), strict=True):
                    made[place] = one
            yield from (one for one in made if one is not None)

    def _stitched(self, pixels: Tensor) -> Tensor:
        """Return the maps (images, channels, rows, columns) of pixels that the backbone sees tile by tile."""
        import torch

        count, _, high, wide = pixels.shape
        tiled, side = self.resizing.method == "tiles", _near(self.resizing.side, max(self.backbone.strides))
        rows, columns = (high // side, wide // side) if tiled else (1, 1)
        cut = pixels.reshape(count, 3, rows, high // rows, columns, wide // columns).permute(0, 2, 4, 1, 3, 5)
        seen = cut.reshape(-1, 3, high // rows, wide // columns)
        maps = torch.cat(
            [on_grid(self.backbone.maps(some), self.stages, self.grid) for some in torch.split(seen, _BATCH)]
        )
        _, channels, down, right = maps.shape
        back = maps.reshape(count, rows, columns, channels, down, right).permute(0, 3, 1, 4, 2, 5)
        return back.reshape(count, channels, rows * down, columns * right)


def on_grid(maps: Sequence[Tensor], stages: Mapping[int, float], grid: int) -> Tensor:
    """Return the weighted stages' maps, each of unit length, on the grid of one: (images, channels, rows, columns)."""
    import torch
    from torch.nn import functional

    shape = (maps[grid].shape[-2], maps[grid].shape[-1])
    parts = []
    for stage, weight in stages.items():
        part = maps[stage]
        if part.shape[-2] >= shape[0]:  # coarser ones are averages already
            part = functional.avg_pool2d(part, 3, 1, 1, count_include_pad=False)
        if part.shape[-2] > shape[0]:
            part = functional.adaptive_avg_pool2d(part, shape)
        elif part.shape[-2] < shape[0]:
            part = functional.interpolate(part, shape, mode="bilinear", align_corners=False)
        parts.append(weight * functional.normalize(part, dim=1))
    return torch.cat(parts, dim=1)


def resized_to(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image (height, width, 3; uint8) of another size (height, width); itself where it has that size."""
    from PIL import Image as Pillow

    if image.shape[:2] == size:
        return image
    return np.asarray(Pillow.fromarray(image).resize((size[1], size[0]), Pillow.Resampling.BICUBIC, reducing_gap=2.0))


def _near(length: float, step: int) -> int:
    return max(1, round(length / step)) * step
