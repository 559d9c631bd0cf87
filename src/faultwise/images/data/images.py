"""One image file to pixels: any common format, bounded in memory, rotated as it was meant, with notes on what was done.

The formats are those that Pillow reads by itself; a file is recognised by its content, not by its ending. What is not
done: no resizing, no normalisation, no vector formats (Pillow would start other programs for these).
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import DataError, UserError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from PIL.ImageFile import ImageFile

__all__ = [
    "ENDINGS",
    "FEWEST_PIXELS",
    "MOST_PIXELS",
    "Image",
    "Pixels",
    "is_image_name",
    "named",
    "pixels_of",
    "read_image",
    "read_mask",
    "white_of",
]

_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
MOST_PIXELS = 50_000_000  # 150 MB once decoded
FEWEST_PIXELS = 16  # along each side
_MOST_BYTES = 300_000_000
_LOSSY = ("JPEG", "JPEG2000", "WEBP")
_DEPTHS = (255, 1023, 4095, 16383, 65535)  # white of cameras of 8, 10, 12, 14 and 16 bits
_BROKEN = "is damaged or incomplete, or no image that can be read"

Pixels = np.ndarray | str | Path  # an image in memory (height, width, 3; uint8), or its file


@dataclass(frozen=True, slots=True)
class Image:
    """Pixels (height, width, 3; uint8) of one file. `notes` say what was done.

    `white` is the value that became 255 in a file with more than eight bits, None in others.
    """

    path: Path
    pixels: np.ndarray
    white: int | None = None
    notes: tuple[str, ...] = ()


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as images do.

    >>> is_image_name("part 7.PNG"), is_image_name(".hidden.png"), is_image_name("notes.txt")
    (True, False, False)
    """
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def read_image(path: str | Path, white: int | None = None, most_pixels: int = MOST_PIXELS) -> Image:
    """Read an image as colour with eight bits.

    `white` is the value of white in images with more than eight bits; None takes the smallest usual one (10, 12, 14 or
    16 bits) that nothing in this image exceeds. Raises DataError for what is no image, damaged, smaller than 16 pixels
    along a side, or larger than `most_pixels`.
    """
    path = Path(path)
    with _opened(path, most_pixels) as (opened, notes):
        raw_mode = str(opened.tile[0][3]) if opened.tile else ""
        raw = _frame(opened, notes)
        if opened.mode.startswith(("I", "F")):
            pixels, white = _scaled(np.asarray(raw), white, path, notes)
            return Image(path, np.repeat(pixels[:, :, None], 3, axis=2), white, tuple(notes))
        if "16" in raw_mode:
            notes.append("colours or transparency with sixteen bits, of which the upper eight were read")
        if opened.mode == "CMYK":
            notes.append("converted from CMYK, colours are approximate")
        if "A" in opened.mode or "transparency" in opened.info:
            raw = _on_black(raw, notes)
        return Image(path, np.asarray(raw.convert("RGB")), None, tuple(notes))


def read_mask(path: str | Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Return where a mask's file is not black, (height, width) as bool: several values mark several types of defect.

    Of a palette all but its first entry counts, of an image with transparency what is opaque and not black. Raises
    DataError, also for another `shape`.
    """
    path = Path(path)
    with _opened(path, MOST_PIXELS) as (opened, notes):
        lossy = opened.format in _LOSSY
        values = np.asarray(_frame(opened, notes))
    if values.ndim == 3:
        colours = values.shape[2] - (values.shape[2] in (2, 4))
        opaque = values[:, :, -1] > 0 if colours < values.shape[2] else True
        values = np.where(opaque, values[:, :, :colours].max(axis=2), 0)
    # Lossy compression leaves grey rims and specks.
    mask: np.ndarray = values > (values.max() / 2 if lossy and values.max() else 0)
    if shape is not None and mask.shape != tuple(shape):
        raise DataError(
            f"`{path}` is a mask of {mask.shape[1]} x {mask.shape[0]} pixels, its image has {shape[1]} x {shape[0]}: a "
            "mask lies on its image pixel by pixel, so make it again in that size."
        )
    return mask


@contextlib.contextmanager
def _opened(path: Path, most_pixels: int) -> Iterator[tuple[ImageFile, list[str]]]:
    """Yield an image whose header was read and whose size is bearable, and an empty list for notes."""
    from PIL import Image as Pillow

    try:
        if not path.is_file():
            raise DataError(f"There is no file `{path}`: check the path.")
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(
                f"`{path}` has {path.stat().st_size / 1e6:,.0f} MB: expected {_MOST_BYTES / 1e6:,.0f} at most."
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Pillow.open(path, formats=_FORMATS) as opened:
                wide, high = opened.size
                if wide * high > most_pixels:
                    raise _too_large(path, most_pixels)
                if min(wide, high) < FEWEST_PIXELS:
                    raise DataError(
                        f"`{path}` has {wide} x {high} pixels: expected {FEWEST_PIXELS} x {FEWEST_PIXELS} at least."
                    )
                yield opened, []
    except DataError:
        raise
    except Pillow.DecompressionBombError as error:
        raise _too_large(path, most_pixels) from error
    except PermissionError as error:
        raise DataError(f"`{path}` cannot be read ({error.strerror}): check its permissions.") from error
    # Damaged files make Pillow raise nearly anything, from SyntaxError to struct.error; all mean the same to people.
    except Exception as error:
        raise DataError(f"`{path}` {_BROKEN} ({_short(error)}): save it again, or take it away.") from error


def _frame(opened: ImageFile, notes: list[str]) -> PillowImage:
    """Return the first frame, turned as its EXIF data say."""
    from PIL import ImageOps

    if getattr(opened, "is_animated", False):
        notes.append("the first of several frames")
        opened.seek(0)
    opened.load()
    try:
        turned = ImageOps.exif_transpose(opened)
    except Exception:  # damaged EXIF data, with the pixels fine
        return opened
    if turned.size != opened.size or opened.getexif().get(0x0112, 1) != 1:
        notes.append("rotated as its EXIF data say")
    return turned


def _scaled(values: np.ndarray, white: int | None, path: Path, notes: list[str]) -> tuple[np.ndarray, int]:
    """Return grey values (height, width; uint8), and the value that became white."""
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"`{path}` holds values that are no numbers: save it again with whole ones.")
    highest = float(values.max())
    if white is None:
        white = next((depth for depth in _DEPTHS if highest <= depth), _DEPTHS[-1])
        if 0 < highest <= 1 and (values % 1 != 0).any():
            white = 1  # floating-point images
    notes.append(f"scaled from 0 .. {white:,} to eight bits")
    if highest > white:
        notes.append(f"{(values > white).mean():.1%} of its pixels are brighter than that and were cut off")
    return np.clip(np.round(values * (255 / white)), 0, 255).astype(np.uint8), white


def _on_black(raw: PillowImage, notes: list[str]) -> PillowImage:
    """Return an image without transparency: what is transparent becomes black."""
    from PIL import Image as Pillow

    layered = raw.convert("RGBA")
    if np.asarray(layered)[:, :, 3].min() == 255:
        return layered
    notes.append("transparent parts made black")
    return Pillow.alpha_composite(Pillow.new("RGBA", layered.size, (0, 0, 0, 255)), layered)


def _too_large(path: Path, most_pixels: int) -> DataError:
    return DataError(
        f"`{path}` has more than the {most_pixels / 1e6:,.0f} million pixels that are read at once: cut it into tiles, "
        "or make it smaller."
    )


def _short(error: BaseException) -> str:
    text = (str(error).splitlines() or [""])[0]
    return (text or type(error).__name__)[:120]


def white_of(files: Sequence[str | Path]) -> int | None:
    """Return the largest white among files with more than eight bits; None where the first has no more."""
    if not files or read_image(files[0]).white is None:
        return None
    return max((white for file in files if (white := read_image(file).white) is not None), default=None)


def named(image: np.ndarray | str | Path, at: int) -> str:
    """Return a path as text that can be written anywhere, also where its bytes are no UTF-8; of pixels the number."""
    if isinstance(image, np.ndarray):
        return f"image {at + 1}"
    return os.fsencode(image).decode("utf-8", "backslashreplace")


def pixels_of(image: Pixels, white: int | None = None) -> np.ndarray:
    """Return an image's pixels (height, width, 3; uint8), from memory or from its file.

    Raises UserError for an array of another shape or type, DataError for a file that cannot be read.
    """
    if not isinstance(image, np.ndarray):
        return read_image(image, white).pixels
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"An image is {image.dtype} of shape {image.shape}: expected uint8 (height, width, 3).")
    return image
