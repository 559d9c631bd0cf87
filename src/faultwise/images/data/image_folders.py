"""Folders of images: the MVTec layout, a plain folder of good images, queries with their templates, labelled layouts.

MVTec: `train/good`, `test/good`, `test/TYPE`, `ground_truth/TYPE/NAME_mask.png`, and `train/TYPE`, examples of a type
of defect to learn; a folder of such folders has several categories, of which one is taken. Pairs: files `NAME_test`
beside `NAME_temp`, or folders `query` and `template` that hold the same names. Other layouts with labels are known in
`layouts`. Nothing is read here but names; `image_checks` reads the files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.paths import natural, tables_among
from faultwise.images.data.image_sets import GOOD, FolderReading, ImageItem, ImageSet
from faultwise.images.data.images import is_image_name
from faultwise.images.data.layouts.class_names import is_good
from faultwise.images.data.layouts.recognising import (
    LABELLED,
    layouts_of,
    read_file,
    read_layout,
    unnamed_classes,
    why_file,
    within,
)

__all__ = ["LAYOUTS", "categories", "read_image_set", "why_images"]

LAYOUTS = ("mvtec", "pairs", *LABELLED, "plain")
_MASK_ENDS = ("_mask", "")
_PAIR = re.compile(r"(.+)_(test|temp)", re.IGNORECASE)
_FOLDERS_OF_PAIRS = ("query", "template")


def why_images(source: str | Path, how: FolderReading | None = None) -> str | None:
    """Return in words why a source is one of images: an image, a list of them, or a folder in one of the layouts.

    None for others: a folder of tables stays one with some plots in it.
    """
    path, how = Path(source), how or FolderReading()
    try:
        if path.is_file():
            return "it is an image file" if is_image_name(path.name) else why_file(path)
        if not path.is_dir():
            return None
        found = _layouts(path, how)
        if found:
            return next(iter(found.values()))
        if inner := within(path, how):
            return f"it holds folders of labelled images ({listing(inner, 4)})"
        return unnamed_classes(path)
    except OSError:  # reading it gives the error
        return None


def _layouts(folder: Path, how: FolderReading) -> dict[str, str]:
    """Return the layouts that a folder has, with why: first the one that is read where none is chosen."""
    found = dict[str, str]()
    if categories(folder):
        found["mvtec"] = "it has the MVTec layout (`train/good` or `test`)"
    if _has_folders_of_pairs(folder):
        found["pairs"] = "it has the folders `query` and `template`"
    images = _images(folder)
    if all(_sides(images).values()):
        found["pairs"] = f"it holds {len(images)} image files, NAME_test beside NAME_temp"
    others = layouts_of(folder, how)
    if "pairs" in found or ("mvtec" in found and not _has_own_layout(folder)):
        others = {}  # what their folders hold has a meaning already
    found |= {name: why for name, why in others.items() if name != "folders" or "mvtec" not in found}
    # What is named as an image, NAME.txt beside NAME_test.png, are its boxes.
    named = {image.stem for image in images} | {_plain(image) for image in images}
    beside = [child.name for child in folder.iterdir() if not (child.suffix == ".txt" and child.stem in named)]
    if images and not others and not tables_among(folder, beside):
        found.setdefault("plain", f"it holds {len(images)} image files and no tables")
    return found


def categories(folder: str | Path) -> list[str]:
    """Return the names of the categories in a folder that has the MVTec layout below it, in order; [] for others."""
    folder = Path(folder)
    if _has_own_layout(folder):
        return [folder.resolve().name]
    return sorted(child.name for child in folder.iterdir() if child.is_dir() and _is_category(child))


def read_image_set(source: str | Path, how: FolderReading | None = None) -> ImageSet:
    """Return the images of a folder, or of a list of images.

    Raises DataError for a folder that is missing, holds no images, or several categories with none chosen.
    """
    folder, how = Path(source), how or FolderReading()
    if folder.is_file() and why_file(folder):
        return read_file(folder, how)
    if not folder.is_dir():
        what = f"`{source}` is a file and no folder" if folder.exists() else f"There is no folder `{source}`"
        raise DataError(f"{what}: give a folder of images.")
    found = _layouts(folder, how)
    chosen = how.layout or (how.usual_layout if how.usual_layout in found else None)
    if chosen is None and "mvtec" not in found and (how.category is not None or not found):
        inner = within(folder, how)
        if inner:
            return read_image_set(inner[_chosen(folder, list(inner), how.category)], replace(how, category=None))
    if how.category is not None and categories(folder) and not how.layout:
        chosen = "mvtec"
    name = chosen or next(iter(found), "folders" if unnamed_classes(folder) else "plain")
    if name in LABELLED:
        return read_layout(folder, name, how, [] if chosen else [other for other in found if other != name])
    made = _READ[name](folder, how)
    others = [other for other in found if other != name] if not chosen else []
    words = f"`{folder.name}` fits several layouts: read as {name}; choose another with --layout {' or '.join(others)}."
    return made.with_items(made.train, made.test, [words]) if others else made


def _read_mvtec(folder: Path, how: FolderReading) -> ImageSet:
    found = categories(folder)
    if not found:
        raise DataError(f"`{folder}` does not have the MVTec layout: expected `train/good` or `test` in it.")
    return _mvtec(folder if _has_own_layout(folder) else folder / _chosen(folder, found, how.category))


def _read_pairs(folder: Path, how: FolderReading) -> ImageSet:
    if _has_folders_of_pairs(folder):
        return _pairs(folder, *(_images(folder / name) for name in _FOLDERS_OF_PAIRS))
    sides = _sides(_images(folder))
    return _pairs(folder, sides["test"], sides["temp"])


def _read_plain(folder: Path, how: FolderReading) -> ImageSet:
    images = _images(folder)
    if not images:
        raise DataError(
            f"`{folder}` holds no images: expected image files, folders by class (`good`, `bad`), `train/good` (the "
            "MVTec layout), `query` with `template`, or files NAME_test beside NAME_temp."
        )
    notes = (f"A plain folder: all {len(images)} images are taken to be good.",)
    return ImageSet(str(folder), folder.resolve().name, "plain", tuple(map(ImageItem, images)), notes=notes)


_READ: dict[str, Callable[[Path, FolderReading], ImageSet]] = {
    "mvtec": _read_mvtec,
    "pairs": _read_pairs,
    "plain": _read_plain,
}


def _sides(images: list[Path]) -> dict[str, list[Path]]:
    """Return images NAME_test and NAME_temp; none where there are others among them."""
    named = [(image, _PAIR.fullmatch(image.stem)) for image in images]
    pairs = [(image, pair[2].lower()) for image, pair in named if pair]
    if len(pairs) < len(images):
        pairs = []
    return {side: [image for image, its in pairs if its == side] for side in ("test", "temp")}


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
    inside = _folders_in(folder / "test")
    if any(is_good(one.name) and one.name.lower() != GOOD for one in inside):
        return False  # folders by class, with another name for the good ones
    return not _images(folder) and not tables_among(folder, beside) and any(map(_images, inside))


def _has_own_layout(folder: Path) -> bool:
    """Whether a folder is one category itself, and not a folder of several."""
    return _is_category(folder) or _is_test_alone(folder)


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
