"""Hygiene of a set of images: what is damaged or does not fit is left out, what is doubtful is said.

Looked for are files that cannot be read, masks of another size, copies between training and test, mixed sizes and
depths. Defects among the good images are the business of the memory bank, which knows what is usual.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import DataError, listing
from faultwise.images.data.image_folders import GOOD, ImageItem, ImageSet
from faultwise.images.data.images import Image, read_image, read_mask

__all__ = ["ImageReport", "checked"]

_SIDE = 32  # of the thumbnails that are compared
_NEAR = 0.75  # grey levels between thumbnails on average: less than a camera's noise between two shots
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was looked at and left out: sizes (height, width) with counts, sentences, and the value of white.

    `white` is that of the good images with more than eight bits (see `read_image`), None where there are none.
    """

    sizes: dict[tuple[int, int], int]
    white: int | None
    unreadable: tuple[str, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def checked(
    images: ImageSet,
    read: Callable[[Path, int | None], Image] = read_image,
    progress: bool = False,
) -> tuple[ImageSet, ImageReport]:
    """Return the set without what is damaged, and what was found.

    Training images whose pixels are those of a test image are left out of the training, so that the test stays what it
    is; of training images that are copies of each other one is kept, for limits count on images that are not. Raises
    DataError where no image is left.
    """
    looked = _Looked(read)
    with tqdm(
        total=len(images.train) + len(images.test) + len(images.kinds),
        desc="checking images",
        unit="image",
        disable=not progress,
        leave=False,
        file=sys.stderr,
    ) as bar:
        train = [item for item in images.train if looked.at(item, bar.update)]
        learnt_white = looked.white
        test = [looked.masked(item) for item in images.test if looked.at(item, bar.update)]
        kinds = [item for item in images.kinds if looked.at(item, bar.update)]
    if not train and not test:
        first = looked.broken[0] if looked.broken else f"`{images.source}` holds none"
        raise DataError(f"No image of `{images.source}` can be used: {first}")
    copies = looked.copies([item.path for item in (*train, *kinds)], [item.path for item in test])
    exact = {first for first, _, same in copies if same}
    notes = list(looked.notes())
    if exact:
        pairs = [f"{first.name} = {second.name}" for first, second, same in copies if same]
        notes.append(
            f"{len(exact)} training images are copies of test images and were left out of the training: "
            f"{listing(pairs, _SHOWN)}."
        )
    if near := [f"{first.name} ~ {second.name}" for first, second, same in copies if not same]:
        notes.append(
            f"{len(near)} training images look like test images but for noise, so the test may flatter: "
            f"{listing(near, _SHOWN)}."
        )
    report = ImageReport(
        dict(looked.sizes.most_common()),
        learnt_white,
        tuple(looked.broken),
        tuple((str(first), str(second)) for first, second, _ in copies),
        tuple(notes),
    )
    once: dict[int, ImageItem] = {}
    for item in train:
        if item.path not in exact:
            once.setdefault(looked.prints[item.path], item)
    if doubled := sum(item.path not in exact for item in train) - len(once):
        notes.append(f"{doubled} training images are copies of others among them: one of each is kept.")
    named = tuple(item for item in kinds if item.path not in exact)
    marked = {looked.prints[item.path] for item in named}
    kept = [item for seen, item in once.items() if seen not in marked]
    if both := len(once) - len(kept):
        notes.append(f"{both} good images are also among the examples of defects and are not learnt as good.")
    if images.kinds:
        named = named if len({item.label for item in named}) > 1 else ()
        what = listing(dict.fromkeys(item.label for item in images.kinds), _SHOWN)
        notes.append(
            f"`train` holds {len(named)} images of {what} beside `good`: kinds of defects are learnt from them."
            if named
            else f"`train` holds {what} beside `good`: no kinds are learnt, which takes images of two kinds at least."
        )
    return replace(images.with_items(kept, test, notes), kinds=named), report


class _Looked:
    """What has been seen so far of the files."""

    def __init__(self, read: Callable[[Path, int | None], Image]) -> None:
        self.read = read
        self.sizes = Counter[tuple[int, int]]()
        self.whites = Counter[int]()
        self.done = Counter[str]()
        self.broken: list[str] = []
        self.masks: list[str] = []
        self.thumbs: dict[Path, np.ndarray] = {}
        self.shapes: dict[Path, tuple[int, int]] = {}
        self.prints: dict[Path, int] = {}

    @property
    def white(self) -> int | None:
        return max(self.whites, default=None)

    def at(self, item: ImageItem, step: Callable[[], object]) -> bool:
        """Look at one image (and its template); return whether it can be used."""
        step()
        try:
            image = self.read(item.path, None)
            template = None if item.template is None else self.read(item.template, None)
        except DataError as error:
            self.broken.append(str(error))
            return False
        shape = image.pixels.shape[:2]
        if template is not None and template.pixels.shape != image.pixels.shape:
            high, wide = template.pixels.shape[:2]
            self.broken.append(
                f"`{item.path}` has {shape[1]} x {shape[0]} pixels, its template {wide} x {high}: they must be alike."
            )
            return False
        self.sizes[shape] += 1
        if image.white is not None:
            self.whites[image.white] += 1
        self.done.update(image.notes)
        self.shapes[item.path] = shape
        self.thumbs[item.path] = _thumbnail(image.pixels)
        self.prints[item.path] = hash((shape, image.pixels.tobytes()))
        return True

    def masked(self, item: ImageItem) -> ImageItem:
        """Return the item without its mask, where that cannot be used."""
        if item.mask is None:
            return item
        try:
            mask = read_mask(item.mask, self.shapes[item.path])
        except DataError as error:
            self.masks.append(str(error))
            return replace(item, mask=None)
        if item.label != GOOD and not mask.any():
            self.masks.append(f"`{item.mask}` marks nothing, though its image is `{item.label}`.")
            return replace(item, mask=None)
        return item

    def copies(self, train: list[Path], test: list[Path]) -> list[tuple[Path, Path, bool]]:
        """Return pairs of a training and a test image that are the same (True) or the same but for noise (False)."""
        if not train or not test:
            return []
        by_print = {self.prints[path]: path for path in test}
        ours = np.stack([self.thumbs[path] for path in train])
        theirs = np.stack([self.thumbs[path] for path in test])
        made = []
        for path, thumb in zip(train, ours, strict=True):
            if self.prints[path] in by_print:
                made.append((path, by_print[self.prints[path]], True))
                continue
            apart = np.abs(theirs - thumb).mean(axis=1)
            nearest = int(apart.argmin())
            if apart[nearest] < _NEAR and self.shapes[path] == self.shapes[test[nearest]]:
                made.append((path, test[nearest], False))
        return made

    def notes(self) -> Iterable[str]:
        """Return sentences on what was left out or changed, the gravest first."""
        if self.broken:
            yield f"{len(self.broken)} images were left out: {' '.join(self.broken[:_SHOWN])}" + _more(self.broken)
        if self.masks:
            yield f"{len(self.masks)} masks were left out: {' '.join(self.masks[:_SHOWN])}" + _more(self.masks)
        if len(self.whites) > 1:
            depths = ", ".join(f"{count} with white at {white:,}" for white, count in self.whites.most_common())
            yield f"Images differ in depth ({depths}): all are scaled by the largest among the good ones."
        for what, count in self.done.most_common():
            yield f"{count} images: {what}."
        if len(self.sizes) > 1:
            heights, widths = zip(*self.sizes, strict=True)
            yield (
                f"Images have {len(self.sizes)} sizes, from {min(widths)} to {max(widths)} pixels wide and "
                f"{min(heights)} to {max(heights)} high."
            )


def _more(what: list[str]) -> str:
    return f" ({len(what) - _SHOWN} more)" if len(what) > _SHOWN else ""


def _thumbnail(pixels: np.ndarray) -> np.ndarray:
    """Return a small grey picture (side * side,) of means."""
    from PIL import Image as Pillow

    grey = Pillow.fromarray(pixels).convert("L").resize((_SIDE, _SIDE), Pillow.Resampling.BOX)
    return np.asarray(grey, dtype=np.float32).ravel()
