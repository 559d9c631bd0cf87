"""The field's protocol of few good images: 1, 2 and 4 of them, several draws, by class and as a macro mean.

Published figures stand beside ours for reading, not for a contest: they have larger backbones, and MVTec's own images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import DataError
from faultwise.images.data.image_folders import GOOD, ImageItem, ImageSet
from faultwise.images.data.images import read_mask
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.regions import stretched
from faultwise.images.inspector import Inspector
from faultwise.images.metrics import aupro, image_figures, pixel_auroc
from faultwise.images.settings import ImageSettings

__all__ = ["PUBLISHED", "few_shot", "macro", "pixel_figures"]

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
            whole = Pillow.fromarray(read_mask(item.mask).astype(np.uint8) * 255)
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
    backbone: Any = None,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Return a line for each class and number of shots: mean image and pixel AUROC over draws, and their spread.

    Raises DataError for a class without defective and good test images, or with too few good ones to draw from.
    """
    made = []
    total = len(sets) * len(shots) * draws
    with tqdm(total=total, desc="draws", unit="draw", disable=not progress, leave=False, file=sys.stderr) as bar:
        for images in sets:
            bad = np.array([item.label != GOOD for item in images.test])
            if not bad.any() or bad.all():
                raise DataError(f"`{images.source}` needs defective images and good ones in `test`.")
            if len(images.train) < max(shots):
                raise DataError(
                    f"`{images.source}` holds {len(images.train)} good images; {max(shots)} are to be drawn."
                )
            for count in shots:
                figures = list[tuple[float, float]]()
                for draw in range(draws):
                    order = np.random.default_rng(draw).permutation(len(images.train))[:count]
                    inspector = Inspector(replace(settings or ImageSettings(), seed=draw), backbone=backbone)
                    inspector.fit([images.train[at].path for at in order])
                    maps = list(inspector.maps([item.path for item in images.test]))
                    scores = np.array([image_score(one) for one in maps])
                    image = image_figures(scores, bad, np.inf)["image_auroc"]
                    pixel = pixel_figures(images.test, maps)["pixel_auroc"]
                    figures.append((np.nan if image is None else image, np.nan if pixel is None else pixel))
                    bar.update()
                image_, pixel_ = np.array(figures).T
                made.append(
                    {
                        "class": images.category,
                        "shots": count,
                        "image_auroc": float(image_.mean()),
                        "spread": float(image_.std()),
                        "pixel_auroc": None if np.isnan(pixel_).any() else float(pixel_.mean()),
                    }
                )
    return made


def macro(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each number of shots the mean over classes."""
    made = []
    for count in dict.fromkeys(line["shots"] for line in lines):
        of = [line for line in lines if line["shots"] == count]
        pixels = [line["pixel_auroc"] for line in of]
        made.append(
            {
                "class": "mean",
                "shots": count,
                "image_auroc": float(np.mean([line["image_auroc"] for line in of])),
                "spread": float(np.std([line["image_auroc"] for line in of])),
                "pixel_auroc": None if None in pixels else float(np.mean(pixels)),
            }
        )
    return made
