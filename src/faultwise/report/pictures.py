"""Pictures for a page: the image made smaller, and its anomaly map as an overlay, both as addresses that hold them."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.diagnosis import Picture

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Shown", "shown"]

_SIDE = 520  # pixels of the longer side on the page
_HIGHEST = 420
_FULL = 0.5  # above the threshold, as a share of it


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture on a page: data addresses of the image and of its overlay, the image's size and its width there."""

    image: str
    overlay: str
    high: int
    wide: int
    width: int


def shown(picture: Picture) -> Shown:
    """Read a picture and make it ready for a page. Raises what reading it raises."""
    from PIL import Image

    pixels = picture.read()
    high, wide = pixels.shape[:2]
    small = Image.fromarray(pixels)
    small.thumbnail((_SIDE, _SIDE))
    overlay = _overlay(picture, small.size)
    width = min(_SIDE, round(_HIGHEST * wide / high))
    return Shown(_data("jpeg", small, 85), _data("png", overlay), high, wide, width)


def _overlay(picture: Picture, size: tuple[int, int]) -> Image:
    """Return the map in a size (width, height): clear below the threshold, opaque at one and a half times that."""
    from PIL import Image

    scores = np.nan_to_num(np.asarray(picture.scores, np.float32))
    stretched = np.asarray(Image.fromarray(scores).resize(size, Image.Resampling.BICUBIC))
    over = np.clip((stretched / max(picture.threshold, 1e-9) - 1) / _FULL, 0, 1)
    colour = np.stack([np.full_like(over, 255), 200 * (1 - over), np.zeros_like(over), 255 * np.sqrt(over)], axis=2)
    return Image.fromarray(colour.astype(np.uint8), "RGBA")


def _data(kind: str, image: Image, quality: int | None = None) -> str:
    buffer = io.BytesIO()
    if quality is None:
        image.save(buffer, kind)
    else:
        image.save(buffer, kind, quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
