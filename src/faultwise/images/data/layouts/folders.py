"""Folders by class: `OK` and `NG`, `normal` and `abnormal`, one folder a type of defect, also in `train` and `test`.

Masks may lie in `ground_truth` or `masks`, under the name of the image or NAME_mask.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from faultwise.contracts.errors import DataError, closest, listing
from faultwise.images.data.image_sets import GOOD, FolderReading
from faultwise.images.data.layouts.class_names import good_names, is_bad, is_part, part_of
from faultwise.images.data.layouts.labelled import Labelled, LabelledImage
from faultwise.images.data.layouts.tree import MASK_FOLDERS, Tree

__all__ = ["class_folders", "read_folders", "settled_good", "why_folders"]

_DEFECTIVE = "defective"


@dataclass(frozen=True, slots=True)
class _Class:
    """A folder of images of one class, in a part ("train", "test", "") of the set."""

    folder: Path
    part: str
    images: list[Path]


def class_folders(tree: Tree) -> list[str]:
    """Return the names of the folders that are classes, in order; [] where images lie beside them."""
    if any(image.parent == tree.root for image in tree.images):
        return []
    return sorted({one.folder.name for one in _classes(tree)}, key=str.lower)


def why_folders(tree: Tree, how: FolderReading) -> str | None:
    """Return in words why a folder is one of folders by class, of which one is good by name; None for others."""
    names = class_folders(tree)
    if not good_names(names, how.normal):
        return None
    return f"it holds a folder of images for each class ({listing(names, 4)})"


def read_folders(tree: Tree, how: FolderReading) -> Labelled:
    """Return the images of folders by class. Raises DataError where the good one is empty, or none holds images."""
    classes = _classes(tree)
    names = sorted({one.folder.name for one in classes}, key=str.lower)
    good = good_names(names, how.normal)
    _refuse_empty(tree.root, [one for one in classes if one.folder.name in good])
    empty = [one.folder.name for one in classes if not one.images]
    notes = [f"{listing(empty, 4)} holds no images and is left out."] if empty else []
    if len(empty) > 1:
        notes = [f"{len(empty)} folders hold no images and are left out: {listing(empty, 4)}."]
    masks = {(_inner(mask, tree.root), _unmasked(mask.stem)): mask for mask in tree.masks}
    made = list[LabelledImage]()
    for one in classes:
        for image in one.images:
            label = GOOD if one.folder.name in good else _label(one.folder, image)
            mask = None if label == GOOD else _mask(image, one.folder, masks)
            made.append(LabelledImage(image, label, mask, one.part))
    if not made:
        raise DataError(f"No folder of `{tree.root}` holds images: expected one for each class, such as OK and NG.")
    bad = [one.folder.name for one in classes if one.folder.name not in good and one.images]
    return Labelled(
        made,
        notes,
        good_in=f" in {listing(good, 3)}" if good else "",
        bad_in=f" in {listing(dict.fromkeys(bad), 4)}" if bad else "",
        marks="masks lie beside them",
        unclear=settled_good(f"`{tree.root}` holds folders of images", names, good, how.normal),
    )


def settled_good(where: str, names: Iterable[str], good: list[str], normal: str | None) -> str:
    """Return "" where one label at least is good, else what was found and how to name the good one."""
    names = list(names)
    if good or not names:
        return ""
    if normal is not None:
        near = closest(normal, names)
        hint = f"did you mean `{near}`?" if near else "name one of these."
        return f"{where} ({listing(names)}), and none of them is `{normal}` (--normal): {hint}"
    if all(map(is_bad, names)):
        return f"{where} ({listing(names)}), and all are defective: a fit learns from good images, so add some."
    return (
        f"{where} ({listing(names)}), and none is good by its name: say which with --normal NAME, "
        "or name it `good`, `normal` or `OK`."
    )


def _classes(tree: Tree) -> list[_Class]:
    """Return the folders of classes, those in the parts of a set too."""
    made = list[_Class]()
    for child in _inside(tree.root):
        if is_part(child.name):
            made += [_class(tree, inner, part_of(child.name)) for inner in _inside(child)]
        else:
            made.append(_class(tree, child, ""))
    return [one for one in made if one.images or _is_bare(one.folder)]


def _class(tree: Tree, folder: Path, part: str) -> _Class:
    return _Class(folder, part, tree.below(folder))


def _inside(folder: Path) -> list[Path]:
    """Return the folders in a folder that may be classes, in order."""
    found = [child for child in folder.iterdir() if child.is_dir() and not child.name.startswith(".")]
    return sorted(child for child in found if child.name.lower() not in MASK_FOLDERS)


def _is_bare(folder: Path) -> bool:
    return not any(not child.name.startswith(".") for child in folder.iterdir())


def _refuse_empty(root: Path, good: list[_Class]) -> None:
    if good and not any(one.images for one in good):
        names = listing(dict.fromkeys(one.folder.name for one in good), 3)
        raise DataError(f"{names} in `{root}` holds no images: put the good ones there, or name another with --normal.")


def _label(folder: Path, image: Path) -> str:
    """Return the type of a defect: the folder's name, or where that means defective, of the folder below it."""
    if not is_bad(folder.name):
        return folder.name
    below = image.relative_to(folder).parts[:-1]
    return below[0] if below else _DEFECTIVE


def _mask(image: Path, folder: Path, masks: dict[tuple[str, str], Path]) -> Path | None:
    label = image.parent.name
    return next(
        (masks[key] for key in ((label, image.stem), (folder.name, image.stem), ("", image.stem)) if key in masks), None
    )


def _inner(mask: Path, root: Path) -> str:
    """Return the class that a mask's folder names, "" where it lies in the folder of masks itself."""
    return "" if mask.parent.name.lower() in MASK_FOLDERS else mask.parent.name


def _unmasked(stem: str) -> str:
    for end in ("_mask", "-mask", "_gt", "_label"):
        stem = stem.removesuffix(end)
    return stem
