"""Defects that need no second picture: stains and scratches drawn onto a good one, and all types of defect in turn.

Stains are smooth noise under a soft window, as the masks of DRAEM (Zavrtanik et al. 2021); scratches are random walks
of a pen. Both darken more often than they brighten. With NSA and CutPaste they are what a decoder learns from: a type
left out of training was found worse than one kept in, so there are four.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from faultwise.contracts.errors import UserError
from faultwise.images.data.simulated_defects import Defects, simulated

__all__ = ["DEFECT_TYPES", "marked", "scratched", "simulated_set", "stained"]

DEFECT_TYPES = ("blended", "pasted", "stained", "scratched")
_SMALL_PASTED = Defects(pasted=1.0, widths=(0.03, 0.15))
_DARKER = 0.7  # share of marks that are darker than what they lie on
_IN_MARK = 0.3  # of a mark's depth: what lies deeper is labelled
_FINE = 2  # a scratch is drawn this much larger, so that its rim is soft
_TRIES = 20


def stained(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3; uint8) with a smooth stain, and labels (height, width), 0 or 1."""
    high, wide = picture.shape[:2]
    noise = gaussian_filter(rng.normal(size=(high, wide)), rng.uniform(0.025, 0.1) * high)
    row, column, radius = rng.integers(high), rng.integers(wide), rng.uniform(0.08, 0.4) * high
    rows, columns = np.mgrid[:high, :wide]
    window = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * radius**2))
    depth = np.clip(2 * (noise / noise.std() + 2 * window - 1.2), 0, 1) * (window > 0.2)
    return _shaded(picture, gaussian_filter(depth, 0.006 * high), rng.uniform(15, 60), rng)


def scratched(picture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3; uint8) with a scratch, and labels (height, width), 0 or 1."""
    from PIL import Image, ImageDraw

    high, wide = picture.shape[:2]
    page = Image.new("L", (_FINE * wide, _FINE * high))
    place, angle, step = rng.uniform(0, 1, 2) * (wide, high), rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.1) * high
    points = [tuple(_FINE * place)]
    for _ in range(int(rng.integers(4, 12))):
        angle += rng.normal(0, 0.4)
        place = place + step * np.array([np.cos(angle), np.sin(angle)])
        points.append(tuple(_FINE * place))
    width = max(1, round(int(rng.integers(2, 9)) * high / 256))
    ImageDraw.Draw(page).line(points, fill=255, width=width, joint="curve")
    depth = np.asarray(page.resize((wide, high), Image.Resampling.BOX), np.float32) / 255
    depth = gaussian_filter(depth, rng.uniform(0.3, 1.2) * high / 256)
    return _shaded(picture, depth, rng.uniform(20, 90), rng)


def marked(
    defect: str, picture: np.ndarray, source: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3; uint8) with a defect of a type, and soft labels (height, width).

    The type is one of `DEFECT_TYPES`; `source` (the same shape) is what the first two are cut from. Raises UserError
    for another type.
    """
    if defect not in DEFECT_TYPES:
        raise UserError(f"`{defect}` is no type of simulated defect: expected {', '.join(DEFECT_TYPES)}.")
    if defect == "stained":
        return stained(picture, rng)
    if defect == "scratched":
        return scratched(picture, rng)
    return simulated(picture, source, rng, _SMALL_PASTED if defect == "pasted" else None)


def simulated_set(
    pictures: Sequence[np.ndarray], each: int, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray, str]]:
    """Yield `each` defects of every type, made in pictures of any sizes in turn: (picture, labels, type).

    A picture's defects are cut from another one of its size, or from itself turned by half. Where pictures hardly
    differ some types cannot be made: then fewer are yielded.
    """
    rng = np.random.default_rng(seed)
    for number in range(each * len(DEFECT_TYPES)):
        picture = pictures[(number // len(DEFECT_TYPES)) % len(pictures)]
        source = pictures[int(rng.integers(len(pictures)))]
        if source is picture or source.shape != picture.shape:
            source = np.ascontiguousarray(picture[::-1, ::-1])
        defect = DEFECT_TYPES[number % len(DEFECT_TYPES)]
        for _ in range(_TRIES):
            try:
                made, labels = marked(defect, picture, source, rng)
            except UserError:
                break
            if labels.max() > _IN_MARK:  # a faint or missed one teaches that defects are good
                yield made, labels, defect
                break


def _shaded(
    picture: np.ndarray, depth: np.ndarray, levels: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    sign = -1 if rng.random() < _DARKER else 1
    made = np.clip(picture + (sign * levels * depth)[:, :, None], 0, 255).astype(np.uint8)
    return made, (depth > _IN_MARK).astype(np.float32)
