"""Images inspected without any good one: by a model that knows texts, in windows, as WinCLIP does.

Each window of three sizes is compared with texts about damage; the score of a place is the harmonic mean over the
windows that hold it. The threshold is where damaged and flawless are equally likely. No image was used to set it, so
nothing is promised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from faultwise.contracts.progress import tracked
from faultwise.images.data.images import Pixels, named, pixels_of, white_of
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.regions import regions_or_peak, smoothed, stretched
from faultwise.images.detection.thresholds import Threshold
from faultwise.images.inspection import Inspection
from faultwise.images.text_judge import TextJudge, load_text_judge

__all__ = ["TextInspector"]

_CELLS = 12  # of the map along each side
_WINDOWS = ((12, 12), (6, 3), (4, 2))  # cells along a window's side, and between windows
_EVEN = 0.5
_TINY = 1e-30
_NOTE = (
    "No good image was learnt from: the threshold is where texts about damaged and flawless parts are equally likely, "
    "and no false-alarm rate is promised. With good images, even a few, a threshold can be set from their scores."
)


class TextInspector:
    """Inspects images by texts about a `part`, with a `backbone` that knows images and texts; nothing is learnt."""

    name = "texts"
    region_threshold = _EVEN
    threshold = Threshold(_EVEN, 0.0, None, 0.0, 0, _NOTE)

    def __init__(self, part: str, backbone: str, progress: bool = False) -> None:
        self.part, self.progress = part, progress
        self.judge: TextJudge = load_text_judge(backbone, part)

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        return f"no image: inspected by texts about `{self.part}`"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return "Colour shows how likely windows over a place show damage rather than none, by texts, from one half on."

    def maps(self, images: Sequence[Pixels]) -> Iterator[np.ndarray]:
        """Yield how likely each place of an image is damaged, (12, 12)."""
        return self._maps(images, _white(images))

    def inspect_all(self, images: Sequence[Pixels]) -> Iterator[Inspection]:
        """Yield the result for each image, in their order."""
        white = _white(images)
        for at, (image, values) in enumerate(zip(images, self._maps(images, white), strict=True)):
            read = partial(pixels_of, image, white)
            pixels = read()
            score = image_score(values)
            defective = score > _EVEN
            heat = stretched(values, (pixels.shape[0], pixels.shape[1]))
            found = regions_or_peak(heat, _EVEN, pixels) if defective else ()
            name = named(image, at)
            yield Inspection(name, score, self.threshold, defective, None, found, _EVEN, smoothed(values), read)

    def _maps(self, images: Sequence[Pixels], white: int | None) -> Iterator[np.ndarray]:
        hide = not self.progress or len(images) < 2
        for image in tracked(images, desc="inspecting", disable=hide):
            yield self._map(pixels_of(image, white))

    def _map(self, pixels: np.ndarray) -> np.ndarray:
        high, wide = pixels.shape[:2]
        cells = [
            (slice(row, row + side), slice(column, column + side))
            for side, step in _WINDOWS
            for row in range(0, _CELLS - side + 1, step)
            for column in range(0, _CELLS - side + 1, step)
        ]
        likely = self.judge.damaged([pixels[_part(rows, high), _part(columns, wide)] for rows, columns in cells])
        inverse, count = np.zeros((_CELLS, _CELLS)), np.zeros((_CELLS, _CELLS))
        for where, one in zip(cells, likely, strict=True):
            inverse[where] += 1 / max(float(one), _TINY)
            count[where] += 1
        # The harmonic mean: one window that shows no damage counts much.
        return np.asarray(np.divide(count, inverse), np.float32)


def _part(cell: slice, length: int) -> slice:
    """Return the pixels of cells along a side of that length."""
    first = cell.start * length // _CELLS
    return slice(first, max(first + 1, cell.stop * length // _CELLS))


def _white(images: Sequence[Pixels]) -> int | None:
    """Return the one value of white for images with more than eight bits: no good images have set it."""
    return white_of([image for image in images if not isinstance(image, np.ndarray)])
