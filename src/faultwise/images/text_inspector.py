"""Images judged without any good one: by a model that knows texts, in windows, as WinCLIP does.

Each window of three sizes is asked whether it shows damage; a place is as odd as the windows over it agree that it is.
The limit is where damaged and flawless are equally likely. It was earned by no image, so nothing is promised.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.images.data.images import named, read_image
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.region_kinds import RegionKinds
from faultwise.images.detection.regions import regions_or_peak, stretched
from faultwise.images.inspection import Inspection
from faultwise.images.text_judge import TextJudge, load_text_judge
from faultwise.runs.folders import located, read_manifest, write_run
from faultwise.verdicts.thresholds import GoodLimit

__all__ = ["TextInspector", "TextSettings"]

_CELLS = 12  # of the map along each side
_WINDOWS = ((12, 12), (6, 3), (4, 2))  # cells along a window's side, and between windows
_EVEN = 0.5
_TINY = 1e-30
_NOTE = (
    "No good image was learnt from: the limit is where texts about damaged and flawless parts are equally likely, and "
    "no false-alarm rate is promised. Good images, even a few, earn a limit of their own."
)


@dataclass(frozen=True, slots=True)
class TextSettings:
    """`part` names what the images show; `backbone` is a model that knows images and texts."""

    part: str
    backbone: str

    def __post_init__(self) -> None:
        if not self.part.strip():
            raise UserError("--zero-shot takes the part's name, such as `metal nut`: it is empty.")


class TextInspector:
    """Judges images by texts; nothing is learnt, so there is no fit."""

    region_limit = _EVEN
    notes = (_NOTE,)

    def __init__(self, settings: TextSettings, progress: bool = False) -> None:
        self.settings, self.progress = settings, progress
        self.judge: TextJudge = load_text_judge(settings.backbone, settings.part)
        self.limit = GoodLimit(_EVEN, 0.0, None, 0.0, 0, _NOTE)
        self.kinds = RegionKinds()
        self.white: int | None = None  # of images with more than eight bits; None: each has its own

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        return f"no image: judged by texts about `{self.settings.part}`"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return (
            "Colour says how likely windows over a place show damage rather than none, by texts; it starts at one half."
        )

    def maps(self, images: Sequence[np.ndarray | str | Path]) -> Iterator[np.ndarray]:
        """Yield how likely each place of an image is damaged, (12, 12)."""
        hide = not self.progress or len(images) < 2
        for image in tqdm(images, desc="inspecting", unit="image", disable=hide, leave=False, file=sys.stderr):
            yield self._map(self._pixels(image))

    def inspect_all(self, images: Sequence[np.ndarray | str | Path]) -> Iterator[Inspection]:
        """Yield what is said of each image, in their order."""
        for at, (image, values) in enumerate(zip(images, self.maps(images), strict=True)):
            pixels = self._pixels(image)
            heat = stretched(values, (pixels.shape[0], pixels.shape[1]))
            score = image_score(values)
            found = regions_or_peak(heat, _EVEN, pixels) if score > _EVEN else ()
            yield Inspection(named(image, at), score, self.limit, score > _EVEN, None, found, heat, _EVEN, pixels)

    def _pixels(self, image: np.ndarray | str | Path) -> np.ndarray:
        return image if isinstance(image, np.ndarray) else read_image(image, self.white).pixels

    def _map(self, pixels: np.ndarray) -> np.ndarray:
        high, wide = pixels.shape[:2]
        cells = [
            (slice(row, row + side), slice(column, column + side))
            for side, step in _WINDOWS
            for row in range(0, _CELLS - side + 1, step)
            for column in range(0, _CELLS - side + 1, step)
        ]

        def part(cell: slice, length: int) -> slice:
            first = cell.start * length // _CELLS
            return slice(first, max(first + 1, cell.stop * length // _CELLS))

        likely = self.judge.damaged([pixels[part(rows, high), part(columns, wide)] for rows, columns in cells])
        inverse, count = np.zeros((_CELLS, _CELLS)), np.zeros((_CELLS, _CELLS))
        for where, one in zip(cells, likely, strict=True):
            inverse[where] += 1 / max(float(one), _TINY)
            count[where] += 1
        return np.asarray(
            np.divide(count, inverse), np.float32
        )  # the harmonic mean: one window that sees no damage counts much

    def save(self, folder: str | Path) -> Path:
        """Write a run folder: the manifest alone, for nothing was learnt."""
        return write_run(Path(folder), {"kind": "texts", "settings": asdict(self.settings)}, lambda _: None)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False) -> TextInspector:
        """Read a run folder. Raises RunFolderError for one of another kind."""
        manifest = read_manifest(located(Path(folder)))
        if manifest.get("kind") != "texts":
            raise RunFolderError(f"`{folder}` is no run without good images.")
        return cls(TextSettings(**manifest["settings"]), progress)
