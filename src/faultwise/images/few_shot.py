"""The field's protocol of few good images: 1, 2 and 4 of them, several draws, by class and as a macro mean.

Published figures stand beside ours for reading, not for a contest: they have larger backbones, and MVTec's own images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError
from faultwise.contracts.progress import ProgressBar
from faultwise.images.data.image_folders import categories, read_image_set
from faultwise.images.data.image_sets import GOOD, FolderReading, ImageItem, ImageSet
from faultwise.images.data.layouts.shapes import mask_of
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.regions import stretched
from faultwise.images.inspector import Inspector
from faultwise.images.metrics import aupro, image_figures, pixel_auroc
from faultwise.images.settings import ImageSettings

__all__ = ["PUBLISHED", "FewShot", "classes_of", "few_shot", "macro", "pixel_figures"]

GRID = 128  # of the maps that pixels are judged on, along each side
# Image and pixel AUROC, per cent, as the papers give them.
PUBLISHED = {
    "mvtec": {
        "AnomalyGPT 1-shot": (94.1, 95.3),
        "WinCLIP 1-shot": (93.1, 95.2),
        "AnomalyDINO-S 1-shot": (96.5, 96.3),
        "SubspaceAD 1-shot": (97.1, 97.5),
    },
    "visa": {"AnomalyGPT 1-shot": (87.4, 96.2)},
}


def classes_of(source: Path) -> list[ImageSet]:
    """Return the images of each class of a folder in the MVTec layout. Raises DataError where there is none."""
    found = categories(source) if source.is_dir() else []
    if not found:
        raise DataError(f"`{source}` holds no class in the MVTec layout: expected CLASS/train/good and CLASS/test.")
    return [read_image_set(source, FolderReading(category=one)) for one in found]


@dataclass(frozen=True, slots=True)
class FewShot:
    """The figures of a class learnt from `shots` good images: means over draws, `spread` of the image AUROC."""

    category: str
    shots: int
    image_auroc: float
    spread: float
    pixel_auroc: float | None

    def to_dict(self) -> dict[str, str | int | float | None]:
        """Return a row for tables and JSON."""
        return {
            "class": self.category,
            "shots": self.shots,
            "image_auroc": self.image_auroc,
            "spread": self.spread,
            "pixel_auroc": self.pixel_auroc,
        }


def pixel_figures(items: Sequence[ImageItem], maps: Sequence[np.ndarray]) -> dict[str, float | None]:
    """Return `pixel_auroc` and `aupro` (up to 0.3) over images on one grid; None where nothing is marked.

    Defective images without a mask are left out, for where they are defective is not known.
    """
    from PIL import Image as Pillow

    masks, known = [], []
    for item, values in zip(items, maps, strict=True):
        if item.label != GOOD and item.mask is None:
            continue
        mask = np.zeros((GRID, GRID), bool)
        if item.mask is not None:
            whole = Pillow.fromarray(mask_of(item.mask).astype(np.uint8) * 255)
            mask = np.asarray(whole.resize((GRID, GRID), Pillow.Resampling.BILINEAR)) > 127
        masks.append(mask)
        known.append(stretched(values, (GRID, GRID)))
    if not any(mask.any() for mask in masks):
        return {"pixel_auroc": None, "aupro": None}
    return {"pixel_auroc": pixel_auroc(known, masks), "aupro": aupro(known, masks)}


def few_shot(
    sets: Sequence[ImageSet],
    shots: Sequence[int] = (1, 2, 4),
    draws: int = 5,
    settings: ImageSettings | None = None,
    backbone: Backbone | None = None,
    progress: bool = False,
) -> list[FewShot]:
    """Return for each class and number of shots the mean image and pixel AUROC over draws, and their spread.

    Raises DataError for a class without defective and good test images, or with too few good ones to draw from.
    """
    made = []
    total = len(sets) * len(shots) * draws
    with ProgressBar(total=total, desc="draws", disable=not progress) as bar:
        for images in sets:
            _check(images, max(shots))
            for count in shots:
                figures = list[tuple[float, float]]()
                for draw in range(draws):
                    figures.append(_drawn(images, count, draw, settings or ImageSettings(), backbone))
                    bar.update()
                image, pixel = np.array(figures).T
                known = None if np.isnan(pixel).any() else float(pixel.mean())
                made.append(FewShot(images.category, count, float(image.mean()), float(image.std()), known))
    return made


def _check(images: ImageSet, most: int) -> None:
    bad = {item.label != GOOD for item in images.test}
    if len(bad) < 2:
        raise DataError(f"`{images.source}` needs defective images and good ones in `test`.")
    if len(images.train) < most:
        raise DataError(f"`{images.source}` holds {len(images.train)} good images; {most} are to be drawn.")


def _drawn(
    images: ImageSet, count: int, draw: int, settings: ImageSettings, backbone: Backbone | None
) -> tuple[float, float]:
    """Return image and pixel AUROC of a fit on `count` good images that are drawn."""
    order = np.random.default_rng(draw).permutation(len(images.train))[:count]
    inspector = Inspector(replace(settings, seed=draw), backbone=backbone)
    inspector.fit([images.train[at].path for at in order])
    maps = list(inspector.maps([item.path for item in images.test]))
    scores = np.array([image_score(one) for one in maps])
    image = image_figures(scores, np.array([item.label != GOOD for item in images.test]), np.inf)["image_auroc"]
    pixel = pixel_figures(images.test, maps)["pixel_auroc"]
    return np.nan if image is None else image, np.nan if pixel is None else pixel


def macro(lines: Sequence[FewShot]) -> list[FewShot]:
    """Return for each number of shots the mean over classes."""
    made = []
    for count in dict.fromkeys(line.shots for line in lines):
        of = [line for line in lines if line.shots == count]
        pixels = [line.pixel_auroc for line in of if line.pixel_auroc is not None]
        areas = [line.image_auroc for line in of]
        pixel = float(np.mean(pixels)) if len(pixels) == len(of) else None
        made.append(FewShot("mean", count, float(np.mean(areas)), float(np.std(areas)), pixel))
    return made
