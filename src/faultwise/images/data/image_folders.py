"""Folders of images: the MVTec layout, a plain folder of good images, or queries with their templates.

MVTec: `train/good`, `test/good`, `test/TYPE`, `ground_truth/TYPE/NAME_mask.png`, and `train/TYPE`, examples of a type
of defect to learn; a folder of such folders has several categories, of which one is taken. Pairs: files `NAME_test`
beside `NAME_temp`, or folders `query` and `template` that hold the same names. Nothing is read here but names;
`image_checks` reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.paths import natural, tables_among
from faultwise.images.data.images import is_image_name

__all__ = ["GOOD", "ImageItem", "ImageSet", "categories", "read_image_set", "why_images"]

GOOD = "good"
Layout = Literal["mvtec", "plain", "pairs"]
_MASK_ENDS = ("_mask", "")
_PAIR = re.compile(r"(.+)_(test|temp)", re.IGNORECASE)
_FOLDERS_OF_PAIRS = ("query", "template")


@dataclass(frozen=True, slots=True)
class ImageItem:
    """One image file: `label` is "good" or the type of defect; `mask` marks its defects, `template` is the ideal."""

    path: Path
    label: str = GOOD
    mask: Path | None = None
    template: Path | None = None


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The images of one category: `train` are to be learnt from (good ones), `test` to be inspected, `defects` show
    defects whose type (their label) is to be learnt.
    """

    source: str
    category: str
    layout: Layout
    train: tuple[ImageItem, ...]
    test: tuple[ImageItem, ...] = ()
    notes: tuple[str, ...] = ()
    defects: tuple[ImageItem, ...] = ()

    def with_items(self, train: Sequence[ImageItem], test: Sequence[ImageItem], notes: Sequence[str]) -> ImageSet:
        """Return the set with other images, and these notes after its own."""
        return replace(self, train=tuple(train), test=tuple(test), notes=(*self.notes, *notes))


def why_images(source: str | Path) -> str | None:
    """Return in words why a source is one of images: an image, or a folder of them in one of the layouts.

    None for others: a folder of tables stays one with some plots in it.
    """
    path = Path(source)
    try:
        if path.is_file():
            return "it is an image file" if is_image_name(path.name) else None
        if not path.is_dir():
            return None
        if categories(path):
            return "it has the MVTec layout (`train/good` or `test`)"
        if _has_folders_of_pairs(path):
            return "it has the folders `query` and `template`"
        images = _images(path)
        # What is named as an image, NAME.txt beside NAME_test.png, are its boxes.
        named = {image.stem for image in images} | {_plain(image) for image in images}
        others = [child.name for child in path.iterdir() if not (child.suffix == ".txt" and child.stem in named)]
        if not images or tables_among(path, others):
            return None
        return f"it holds {len(images)} image files and no tables"
    except OSError:  # reading it gives the error
        return None


def categories(folder: str | Path) -> list[str]:
    """Return the names of the categories in a folder that has the MVTec layout below it, in order; [] for others."""
    folder = Path(folder)
    if _is_category(folder) or _is_test_alone(folder):
        return [folder.resolve().name]
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and _is_category(child))


def read_image_set(source: str | Path, category: str | None = None) -> ImageSet:
    """Return the images of a folder; `category` chooses among several.

    Raises DataError for a folder that is missing, holds no images, or several categories with none chosen.
    """
    folder = Path(source)
    if not folder.is_dir():
        what = f"`{source}` is a file and no folder" if folder.exists() else f"There is no folder `{source}`"
        raise DataError(f"{what}: give a folder of images.")
    found = categories(folder)
    if found:
        itself = _is_category(folder) or _is_test_alone(folder)
        return _mvtec(folder if itself else folder / _chosen(folder, found, category))
    images = _images(folder)
    if _has_folders_of_pairs(folder):
        return _pairs(folder, *(_images(folder / name) for name in _FOLDERS_OF_PAIRS))
    if not images:
        raise DataError(
            f"`{source}` holds no images: expected image files, `train/good` (the MVTec layout), `query` with "
            "`template`, or files NAME_test beside NAME_temp."
        )
    named = [_PAIR.fullmatch(image.stem) for image in images]
    if all(named):
        sides = {
            side: [image for image, pair in zip(images, named, strict=True) if pair and pair[2].lower() == side]
            for side in ("test", "temp")
        }
        if all(sides.values()):
            return _pairs(folder, sides["test"], sides["temp"])
    notes = (f"A plain folder: all {len(images)} images are taken to be good.",)
    return ImageSet(str(source), folder.resolve().name, "plain", tuple(map(ImageItem, images)), notes=notes)


def _mvtec(folder: Path) -> ImageSet:
    train = [ImageItem(image) for image in _images(folder / "train" / GOOD)]
    tests = folder / "test"
    test, notes, masks_left = list[ImageItem](), list[str](), list[Path]()
    for name in (child.name for child in _folders_in(tests)):
        masks = {mask.stem: mask for mask in _images(folder / "ground_truth" / name)}
        used = set[str]()
        for image in _images(tests / name):
            stem = next((image.stem + end for end in _MASK_ENDS if image.stem + end in masks), None)
            used.add(stem or "")
            label = GOOD if name.lower() == GOOD else name
            test.append(ImageItem(image, label, masks[stem] if stem else None))
        masks_left += [mask for stem, mask in masks.items() if stem not in used]
    marked = [item for item in test if item.label != GOOD]
    without = [item.path.name for item in marked if item.mask is None]
    if without and len(without) < len(marked):
        notes.append(
            f"{len(without)} defective images have no mask and count for the image only: {listing(without, 4)}."
        )
    if masks_left:
        names = listing([mask.name for mask in masks_left], 4)
        notes.append(f"{len(masks_left)} masks have no image and are left out: {names}.")
    defects = [
        ImageItem(image, child.name)
        for child in _folders_in(folder / "train")
        if child.name.lower() != GOOD
        for image in _images(child)
    ]
    return ImageSet(
        str(folder), folder.resolve().name, "mvtec", tuple(train), tuple(test), tuple(notes), tuple(defects)
    )


def _pairs(folder: Path, queries: Iterable[Path], templates: Iterable[Path]) -> ImageSet:
    """Return queries with the template of their name; those without one are named in a note."""
    by_name = {_plain(template): template for template in templates}
    items, alone = list[ImageItem](), list[str]()
    for query in queries:
        template = by_name.pop(_plain(query), None)
        if template is None:
            alone.append(query.name)
        else:
            items.append(ImageItem(query, "query", template=template))
    notes = [f"{len(alone)} images have no template and are left out: {listing(alone, 4)}."] if alone else []
    if by_name:
        left = [template.name for template in by_name.values()]
        notes.append(f"{len(left)} templates have no image and are left out: {listing(left, 4)}.")
    if not items:
        raise DataError(f"`{folder}` holds images and templates, but no two of the same name: {' '.join(notes)}")
    return ImageSet(str(folder), folder.resolve().name, "pairs", (), tuple(items), tuple(notes))


def _plain(path: Path) -> str:
    pair = _PAIR.fullmatch(path.stem)
    return pair[1] if pair else path.stem


def _chosen(folder: Path, found: list[str], category: str | None) -> str:
    if category in found:
        return str(category)
    if category is None and len(found) == 1:
        return found[0]
    if category is None:
        raise DataError(
            f"`{folder}` holds {len(found)} categories ({listing(found)}): choose one with --category NAME."
        )
    near = closest(category, found)
    hint = f"did you mean `{near}`?" if near else "choose one of them."
    raise DataError(f"`{folder}` has no category `{category}`; it has {listing(found)}: {hint}")


def _is_category(folder: Path) -> bool:
    return (folder / "train" / GOOD).is_dir()


def _is_test_alone(folder: Path) -> bool:
    """Whether there are images to inspect and none to learn from; plots in a folder of tables are not such images."""
    beside = [child.name for child in folder.iterdir()]
    return not _images(folder) and not tables_among(folder, beside) and any(map(_images, _folders_in(folder / "test")))


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in `folder` that are not hidden, in order; [] where there is none."""
    if not folder.is_dir():
        return []
    return sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))


def _has_folders_of_pairs(folder: Path) -> bool:
    return all((folder / name).is_dir() for name in _FOLDERS_OF_PAIRS)


def _images(folder: Path) -> list[Path]:
    """Return the image files of a folder in natural order (part2 before part10); [] where there is no such folder."""
    if not folder.is_dir():
        return []
    found = [child for child in folder.iterdir() if is_image_name(child.name) and child.is_file()]
    return sorted(found, key=lambda path: (natural(path.name), path.name))
