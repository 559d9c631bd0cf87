"""Which layouts a folder of labelled images has, and reading it by one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from faultwise.contracts.errors import listing
from faultwise.contracts.paths import TABLES, ending
from faultwise.images.data.image_sets import FolderReading, ImageSet
from faultwise.images.data.layouts.class_names import good_names, is_bad, is_part
from faultwise.images.data.layouts.coco import is_coco, read_coco, why_coco
from faultwise.images.data.layouts.folders import class_folders, read_folders, why_folders
from faultwise.images.data.layouts.labelled import Labelled, image_set
from faultwise.images.data.layouts.labelme import read_labelme, why_labelme
from faultwise.images.data.layouts.lists import is_list, read_list, why_list
from faultwise.images.data.layouts.tree import Tree, scanned
from faultwise.images.data.layouts.yolo import read_yolo, why_yolo

__all__ = ["LABELLED", "layouts_of", "read_file", "read_layout", "unnamed_classes", "why_file", "within"]

_WHY: dict[str, Callable[[Tree, FolderReading], str | None]] = {
    "coco": why_coco,
    "labelme": why_labelme,
    "yolo": why_yolo,
    "list": why_list,
    "folders": why_folders,
}
_READ: dict[str, Callable[[Tree, FolderReading], Labelled]] = {
    "coco": read_coco,
    "labelme": read_labelme,
    "yolo": read_yolo,
    "list": read_list,
    "folders": read_folders,
}
LABELLED = tuple(_WHY)


def layouts_of(folder: Path, how: FolderReading) -> dict[str, str]:
    """Return the layouts that a folder has, the one that tells most first, with why; {} for none. Raises OSError."""
    tree = scanned(folder)
    if not tree.images:
        return {}
    found = {name: why for name, look in _WHY.items() if (why := look(tree, how))}
    return {} if list(found) == ["folders"] and _has_tables(tree) else found


def unnamed_classes(folder: Path) -> str | None:
    """Return in words that folders of images may be classes, though none is good by its name; None for others."""
    tree = scanned(folder)
    names = class_folders(tree) if tree.images and not _has_tables(tree) else []
    # One folder alone is a class where its name means defective.
    return f"it holds folders of images ({listing(names, 4)})" if len(names) > 1 or any(map(is_bad, names)) else None


def within(folder: Path, how: FolderReading) -> dict[str, Path]:
    """Return the folders in a folder that have a layout of their own, by name: its categories."""
    made = dict[str, Path]()
    for child in sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")):
        named = is_part(child.name) or bool(good_names([child.name], how.normal)) or is_bad(child.name)
        if not named and layouts_of(child, how):
            made[child.name] = child
    return made


def read_layout(folder: Path, name: str, how: FolderReading, others: list[str]) -> ImageSet:
    """Read a folder by one layout; `others` fit too and are named in a note. Raises DataError."""
    made = image_set(folder, _READ[name](scanned(folder), how))
    if not others:
        return made
    words = f"`{folder.name}` fits several layouts: read as {name}; choose another with --layout {' or '.join(others)}."
    return replace(made, notes=(words, *made.notes))


def why_file(file: Path) -> str | None:
    """Return in words why a file is a list of images with labels, or COCO annotations; None for others."""
    if file.suffix.lower() in (".csv", ".tsv") and is_list(file):
        return "it is a list of image files with their labels"
    if file.suffix.lower() == ".json" and is_coco(file):
        return "it is a file of COCO annotations"
    return None


def read_file(file: Path, how: FolderReading) -> ImageSet:
    """Read the images that a list or a COCO file names. Raises DataError."""
    folder = file.parent
    root = folder.parent if folder.name.lower() == "annotations" else folder
    tree = scanned(root)
    found = read_coco(tree, how, [file]) if file.suffix.lower() == ".json" else read_list(tree, how, file)
    return replace(image_set(root, found), source=str(file))


def _has_tables(tree: Tree) -> bool:
    """Whether tables lie in the folder: images beside them are plots. Texts are notes on the images."""
    return any(ending(file.name, TABLES) and not file.name.lower().endswith(".txt") for file in tree.others)
