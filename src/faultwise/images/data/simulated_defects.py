"""Defects made from good pictures: patches of one blended into another, as in NSA (Schlueter et al. 2022).

A patch is scaled, moved and blended so that its gradients stay and its rim vanishes (Poisson editing, Perez et al.
2003), or cut and pasted as it is (CutPaste, Li et al. 2021). The label is how much a pixel changed, softened by a
logistic curve.
What is not done: lines, scratches, stains of their own, or anything that needs to know the part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.fft import dstn, idstn
from scipy.ndimage import median_filter

from faultwise.contracts.errors import UserError

__all__ = ["OBJECT", "Defects", "blended", "ground_mask", "simulated"]

_TRIES = 200
_LEAST_CHANGE = 1  # grey levels
_LEAST_SHARE = 0.02  # of a patch's pixels must have changed visibly, or nothing was put in


@dataclass(frozen=True, slots=True)
class Defects:
    """How defects are drawn; the defaults are the published ones for textures.

    `widths` bounds a patch's half-width as a share of the picture, `scale` its scaling. `curve` is (k, x0) of the
    logistic curve. `least_overlap` is the share of a patch that must lie on the part, where `ground_mask` tells it from
    the ground.
    """

    widths: tuple[float, float] = (0.03, 0.4)
    scale: tuple[float, float] = (0.5, 2.0)
    second: float = 0.5
    curve: tuple[float, float] = (1 / 12, 24.0)
    pasted: float = 0.0
    least_overlap: float = 0.25


OBJECT = Defects(widths=(0.03, 0.12), scale=(0.7, 1.3))
"""For small objects on a plain ground."""


def simulated(
    picture: np.ndarray,
    source: np.ndarray,
    rng: np.random.Generator,
    law: Defects | None = None,
    part: np.ndarray | None = None,
    source_part: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3; uint8) with one or two defects cut from `source`, and their labels.

    Labels (height, width) lie between 0 and 1. `part` and `source_part` (height, width; bool) mark the object where
    there is a ground. Raises UserError for pictures of other shapes, or where nothing could be put in within 200 tries.
    """
    law = law or Defects()
    if picture.ndim != 3 or picture.shape != source.shape or min(picture.shape[:2]) < 16:
        raise UserError(
            f"Pictures of shape {picture.shape} and {source.shape}: expected the same (height, width, 3), 16 at least."
        )
    made = picture
    boxes = 1 + (rng.random() < law.second)
    for _ in range(boxes):
        made = _with_one(made, source, rng, law, part, source_part)
    change = np.abs(made.astype(np.float32) - picture).max(axis=2)
    visible = median_filter((change > _LEAST_CHANGE).astype(np.uint8), 5).astype(bool)
    k, middle = law.curve
    labels = np.where(visible, 1 / (1 + np.exp(-k * (change - middle))), 0).astype(np.float32)
    return made, labels


def blended(inside: np.ndarray, around: np.ndarray) -> np.ndarray:
    """Return the patch `inside` with its own gradients and the rim of `around`, both (height, width, 3), as float32.

    The difference at the rim is continued inwards by the harmonic function that has it, solved by sine transforms.

    >>> around = np.full((6, 7, 3), 50.0)
    >>> bool(np.allclose(blended(around + 30, around), 50))  # an even patch has no gradients
    True
    """
    difference = around.astype(np.float32) - inside.astype(np.float32)
    height, width = difference.shape[:2]
    if min(height, width) < 3:
        return around.astype(np.float32)
    right = np.zeros_like(difference[1:-1, 1:-1])
    right[0] -= difference[0, 1:-1]
    right[-1] -= difference[-1, 1:-1]
    right[:, 0] -= difference[1:-1, 0]
    right[:, -1] -= difference[1:-1, -1]
    waves = [2 * np.cos(np.pi * np.arange(1, n - 1) / (n - 1)) - 2 for n in (height, width)]
    factor = (waves[0][:, None] + waves[1][None, :]).astype(np.float32)
    made = difference.copy()
    made[1:-1, 1:-1] = idstn(dstn(right, 1, axes=(0, 1)) / factor[:, :, None], 1, axes=(0, 1))
    return inside.astype(np.float32) + made


def ground_mask(picture: np.ndarray, ground: float, threshold: float) -> np.ndarray:
    """Return where the part is (height, width): grey levels further than `threshold` from those of the ground."""
    grey = picture.astype(np.float32).mean(axis=2)
    mask: np.ndarray = median_filter((np.abs(grey - ground) > threshold).astype(np.uint8), 7).astype(bool)
    return mask


def _with_one(
    picture: np.ndarray,
    source: np.ndarray,
    rng: np.random.Generator,
    law: Defects,
    part: np.ndarray | None,
    source_part: np.ndarray | None,
) -> np.ndarray:
    from PIL import Image

    shape = picture.shape[:2]
    for _ in range(_TRIES):
        half = [np.clip(law.widths[0] + rng.gamma(2, 0.05), *law.widths) * n for n in shape]
        size = [max(4, min(round(2 * h), n - 2)) for h, n in zip(half, shape, strict=True)]
        top, left = (int(rng.integers(n - s)) for s, n in zip(size, shape, strict=True))
        if (
            source_part is not None
            and source_part[top : top + size[0], left : left + size[1]].mean() < law.least_overlap
        ):
            continue
        scale = float(np.clip(rng.normal(1, 0.5), *law.scale))
        scaled = [max(4, min(round(scale * s), n - 2)) for s, n in zip(size, shape, strict=True)]
        patch = np.asarray(
            Image.fromarray(source[top : top + size[0], left : left + size[1]]).resize((scaled[1], scaled[0]))
        )
        y, x = (int(rng.integers(n - s)) for s, n in zip(scaled, shape, strict=True))
        there = (slice(y, y + scaled[0]), slice(x, x + scaled[1]))
        if part is not None and part[there].mean() < law.least_overlap:
            continue
        pasted = patch if rng.random() < law.pasted else blended(patch, picture[there])
        made = picture.copy()
        made[there] = np.clip(np.round(pasted), 0, 255).astype(np.uint8)
        changed = np.abs(made[there].astype(int) - picture[there]).max(axis=2)
        if (changed > 10 * _LEAST_CHANGE).mean() >= _LEAST_SHARE:
            return made
    raise UserError(f"No defect could be put into a picture within {_TRIES} tries: source and picture hardly differ.")
