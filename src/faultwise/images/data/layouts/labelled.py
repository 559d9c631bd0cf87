"""What every layout of labelled images becomes: images with a label and a mask, and from these training and test.

A layout that names its parts keeps them. Of others a share of the good images is drawn for training, always the same
one, and defective images are kept for the test; where there are many of several types, half of them are examples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faultwise.images.data.image_sets import GOOD, ImageItem, ImageSet
from faultwise.images.data.layouts.shapes import Shapes

__all__ = ["Labelled", "LabelledImage", "fingerprint", "image_set", "without_learnt"]

_SHARE = 0.8  # of the good images that are learnt from
_EXAMPLES_FROM = 10  # images of a type: with fewer none of them are examples to learn the type from


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image, its label ("good", or the type of defect), what marks its defects, and the part ("train", "test", "")
    of the set that it belongs to.
    """

    path: Path
    label: str = GOOD
    mask: Path | Shapes | None = None
    part: str = ""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The labelled images of a layout. `good_in` and `bad_in` say where they lie (" in `OK`"), `by` what gave the
    labels, `marks` what becomes of marks. `unclear` is as in `ImageSet`.
    """

    images: Sequence[LabelledImage]
    notes: Sequence[str] = ()
    good_in: str = ""
    bad_in: str = ""
    by: str = ""
    marks: str = ""
    unclear: str = ""

    def sentence(self) -> str:
        """Return in one sentence what was understood.

        >>> images = [LabelledImage(Path("a.png")), LabelledImage(Path("b.png"), "hole")]
        >>> Labelled(images, good_in=" in `OK`").sentence()
        'Read as 1 good image in `OK` and 1 defective image (`hole`).'
        """
        types = Counter(item.label for item in self.images if item.label != GOOD)
        good, bad = len(self.images) - sum(types.values()), sum(types.values())
        kinds = f"{_count(bad, 'image')} of {len(types)} defect types" if len(types) > 1 else _of_one(types)
        bad_words = f" and {kinds}{self.bad_in}" if bad else ", none of them defective"
        marks = f"; {self.marks}" if self.marks and any(item.mask is not None for item in self.images) else ""
        return f"Read as {_count(good, 'good image')}{self.good_in}{bad_words}{self.by}{marks}."


def _of_one(types: Counter[str]) -> str:
    label = next(iter(types), "")
    named = "" if label in ("", "defective") else f" (`{label}`)"
    return f"{_count(sum(types.values()), 'defective image')}{named}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def image_set(source: Path, found: Labelled) -> ImageSet:
    """Return the images to learn from and to judge."""
    made = ImageSet(str(source), source.resolve().name, "labelled", (), unclear=found.unclear)
    notes = [found.sentence(), *found.notes]
    parts = {item.part for item in found.images}
    if "train" in parts and parts - {"train"}:
        train = [_item(one) for one in found.images if one.part == "train"]
        good, examples = _apart(train)
        test = [_item(one) for one in found.images if one.part != "train"]
        return replace(made.with_items(good, test, notes), defects=tuple(examples))
    if parts == {"test"}:
        return made.with_items((), [_item(one) for one in found.images], notes)
    good, bad = _apart([_item(one) for one in found.images])
    train, kept = _drawn(good) if bad else (good, [])
    examples, judged = _examples(bad)
    if kept:
        notes.append(
            f"The set names no parts: {_count(len(train), 'good image')} drawn at random can be learnt from, and "
            f"{len(kept)} good and {len(judged)} defective ones are kept to judge the fit."
        )
    return replace(made.with_items(train, [*kept, *judged], notes), defects=tuple(examples), drawn=True)


def without_learnt(images: ImageSet, learnt: frozenset[str]) -> ImageSet:
    """Return a set that names no parts as images to judge: all but those that a fit has learnt from."""
    known = (*images.train, *images.defects, *images.test)
    new = [item for item in known if fingerprint(item.path) not in learnt] if learnt else list(known)
    notes = [note for note in images.notes if not note.startswith("The set names no parts")]
    if left := len(known) - len(new):
        notes.append(f"{_count(left, 'image')} that the fit learnt from are left out of what is judged.")
    return replace(images, train=(), defects=(), test=tuple(new), notes=tuple(notes))


def fingerprint(file: Path) -> str:
    """Return what tells a file's content from others; "" for one that cannot be read."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    except OSError:  # reading the image gives the error
        return ""


def _item(one: LabelledImage) -> ImageItem:
    return ImageItem(one.path, one.label, one.mask)


def _apart(items: Iterable[ImageItem]) -> tuple[list[ImageItem], list[ImageItem]]:
    items = list(items)
    return [one for one in items if one.label == GOOD], [one for one in items if one.label != GOOD]


def _drawn(items: list[ImageItem], share: float = _SHARE) -> tuple[list[ImageItem], list[ImageItem]]:
    """Return a share of the items, one at least, and the others."""
    chosen = {int(at) for at in np.random.default_rng(0).permutation(len(items))[: max(1, round(share * len(items)))]}
    return (
        [one for at, one in enumerate(items) if at in chosen],
        [one for at, one in enumerate(items) if at not in chosen],
    )


def _examples(bad: list[ImageItem]) -> tuple[list[ImageItem], list[ImageItem]]:
    """Return examples of types of defects, and the others: examples take several types with many images each."""
    counts = Counter(item.label for item in bad)
    many = [label for label, count in counts.items() if count >= _EXAMPLES_FROM]
    if len(many) < 2:
        return [], bad
    examples = list[ImageItem]()
    for label in many:
        examples += _drawn([item for item in bad if item.label == label], 0.5)[0]
    taken = {item.path for item in examples}
    return examples, [item for item in bad if item.path not in taken]
