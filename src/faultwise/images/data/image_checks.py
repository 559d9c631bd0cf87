"""Checks of a set of images: what is damaged or does not fit is left out, and notes say so.

Looked for are files that cannot be read, masks of another size, duplicates between training and test, mixed sizes and
depths. Defects among the good images are found by the memory bank, which knows what is usual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.progress import ProgressBar
from faultwise.images.data.image_sets import GOOD, ImageItem, ImageSet
from faultwise.images.data.images import Image, read_image
from faultwise.images.data.layouts.shapes import Shapes, mask_of

__all__ = ["ImageReport", "checked"]

_SIDE = 32  # of the thumbnails that are compared
_NEAR = 0.75  # grey levels between thumbnails on average: less than a camera's noise between two shots
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What was found: sizes (height, width) with counts, the value of white, what is unreadable, and duplicates.

    `white` is that of the good images with more than eight bits (see `read_image`), None where there are none.
    `duplicates` are training images with the test image that each is like.
    """

    sizes: dict[tuple[int, int], int]
    white: int | None
    unreadable: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Duplicate:
    """A training image and the test image it is like: pixel by pixel (`exact`), or but for noise."""

    train: Path
    test: Path
    exact: bool


def checked(
    images: ImageSet,
    read: Callable[[Path, int | None], Image] = read_image,
    progress: bool = False,
) -> tuple[ImageSet, ImageReport]:
    """Return the set without what is damaged, and what was found.

    Training images whose pixels are those of a test image are left out of the training, so that the test stays what it
    is; of duplicates among the training images one is kept, for thresholds count on images that are independent. Raises
    DataError where no image is left.
    """
    files = _Files(read)
    with ProgressBar(
        total=len(images.train) + len(images.test) + len(images.defects),
        desc="checking images",
        disable=not progress,
    ) as bar:
        train = [item for item in images.train if files.read_item(item, bar.update)]
        white = files.white  # of the training images alone
        test = [files.with_usable_mask(item) for item in images.test if files.read_item(item, bar.update)]
        defects = [item for item in images.defects if files.read_item(item, bar.update)]
    if not train and not test:
        first = files.broken[0] if files.broken else f"`{images.source}` holds none"
        raise DataError(f"No image of `{images.source}` can be used: {first}")
    duplicates = files.duplicates([item.path for item in (*train, *defects)], [item.path for item in test])
    exact = {one.train for one in duplicates if one.exact}
    defects = [item for item in defects if item.path not in exact]
    kept, more = _independent([item for item in train if item.path not in exact], defects, files.prints)
    notes = [*files.notes(), *_duplicate_notes(duplicates), *more]
    if images.defects:
        defects = defects if len({item.label for item in defects}) > 1 else []
        notes.append(_defects_note(images.defects, len(defects), images.drawn))
    pairs = tuple((str(one.train), str(one.test)) for one in duplicates)
    report = ImageReport(dict(files.sizes.most_common()), white, tuple(files.broken), pairs)
    return replace(images.with_items(kept, test, notes), defects=tuple(defects)), report


def _independent(
    train: Sequence[ImageItem], defects: Collection[ImageItem], prints: dict[Path, int]
) -> tuple[list[ImageItem], list[str]]:
    """Return the training images, each once and none that is also an example of a defect, and notes on the others."""
    once: dict[int, ImageItem] = {}
    for item in train:
        once.setdefault(prints[item.path], item)
    notes = list[str]()
    if repeated := len(train) - len(once):
        notes.append(f"{repeated} training images are duplicates of others among them: one of each is kept.")
    marked = {prints[item.path] for item in defects}
    kept = [item for seen, item in once.items() if seen not in marked]
    if both := len(once) - len(kept):
        notes.append(f"{both} good images are also among the examples of defects and are not learnt as good.")
    return kept, notes


def _duplicate_notes(duplicates: Sequence[_Duplicate]) -> Iterator[str]:
    if exact := [f"{one.train.name} = {one.test.name}" for one in duplicates if one.exact]:
        yield (
            f"{len(exact)} training images are duplicates of test images and were left out of the training: "
            f"{listing(exact, _SHOWN)}."
        )
    if near := [f"{one.train.name} ~ {one.test.name}" for one in duplicates if not one.exact]:
        yield (
            f"{len(near)} training images look like test images but for noise, so the test may flatter: "
            f"{listing(near, _SHOWN)}."
        )


def _defects_note(items: Sequence[ImageItem], learnt: int, drawn: bool) -> str:
    types = listing(dict.fromkeys(item.label for item in items), _SHOWN)
    if learnt and drawn:
        return f"Types of defects are learnt from {learnt} images of {types}, drawn at random."
    if learnt:
        return f"`train` holds {learnt} images of {types} beside `good`: types of defects are learnt from them."
    return f"`train` holds {types} beside `good`: no types are learnt, which takes images of two types at least."


class _Files:
    """What has been read so far of the files."""

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
        """The largest value of white so far."""
        return max(self.whites, default=None)

    def read_item(self, item: ImageItem, step: Callable[[], object]) -> bool:
        """Read one image (and its template); return whether it can be used."""
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

    def with_usable_mask(self, item: ImageItem) -> ImageItem:
        """Return the item without its mask, where that cannot be used."""
        if item.mask is None:
            return item
        try:
            mask = mask_of(item.mask, self.shapes[item.path])
        except DataError as error:
            self.masks.append(str(error))
            return replace(item, mask=None)
        if item.label != GOOD and not mask.any():
            shapes = item.mask if isinstance(item.mask, Shapes) else None
            file, image = (shapes.origin, f"`{item.path.name}`") if shapes else (item.mask, "its image")
            self.masks.append(f"`{file}` marks nothing, though {image} is `{item.label}`.")
            return replace(item, mask=None)
        if isinstance(item.mask, Shapes):
            return replace(item, mask=item.mask.sized(self.shapes[item.path]))
        return item

    def duplicates(self, train: Sequence[Path], test: Sequence[Path]) -> list[_Duplicate]:
        """Return training images that are the same as a test image, or the same but for noise."""
        if not train or not test:
            return []
        by_print = {self.prints[path]: path for path in test}
        ours = np.stack([self.thumbs[path] for path in train])
        theirs = np.stack([self.thumbs[path] for path in test])
        made = []
        for path, thumb in zip(train, ours, strict=True):
            if self.prints[path] in by_print:
                made.append(_Duplicate(path, by_print[self.prints[path]], exact=True))
                continue
            apart = np.abs(theirs - thumb).mean(axis=1)
            nearest = int(apart.argmin())
            if apart[nearest] < _NEAR and self.shapes[path] == self.shapes[test[nearest]]:
                made.append(_Duplicate(path, test[nearest], exact=False))
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
