"""What is known of the images of a source: their files, labels and masks, and which are learnt from or judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from faultwise.images.data.layouts.shapes import Shapes

__all__ = ["GOOD", "FolderReading", "ImageItem", "ImageSet", "Layout"]

GOOD = "good"
Layout = Literal["mvtec", "plain", "pairs", "labelled"]


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image file: `label` is "good" or the type of defect; `mask` marks its defects, `template` is the ideal."""

    path: Path
    label: str = GOOD
    mask: Path | Shapes | None = None
    template: Path | None = None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of one category: `train` are to be learnt from (good ones), `test` to be inspected, `defects` show
    defects whose type (their label) is to be learnt.

    `drawn` is whether the layout has no split of its own, so that training and test images were drawn. `unclear` is a
    sentence on why it is not known which images are good, and what settles it; "" where it is known.
    """

    source: str
    category: str
    layout: Layout
    train: tuple[ImageItem, ...]
    test: tuple[ImageItem, ...] = ()
    notes: tuple[str, ...] = ()
    defects: tuple[ImageItem, ...] = ()
    drawn: bool = False
    unclear: str = ""

    def with_items(self, train: Sequence[ImageItem], test: Sequence[ImageItem], notes: Sequence[str]) -> ImageSet:
        """Return the set with other images, and these notes after its own."""
        return replace(self, train=tuple(train), test=tuple(test), notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True)
class FolderReading:
    """How a folder of images is read: which category of several, by which layout, and which label is good.

    `usual_layout` is the one that is preferred where several fit; `learnt` are the fingerprints of the files that a
    model was fitted on, which are not judged again.
    """

    category: str | None = None
    layout: str | None = None
    normal: str | None = None
    usual_layout: str | None = None
    learnt: frozenset[str] = frozenset()
