"""The files below a folder, listed once: images, annotations and lists; only names are looked at."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from faultwise.contracts.errors import DataError
from faultwise.contracts.paths import natural
from faultwise.images.data.images import is_image_name

__all__ = ["MASK_FOLDERS", "ImageIndex", "Tree", "head_of", "read_json", "scanned"]

MASK_FOLDERS = ("ground_truth", "groundtruth", "gt", "mask", "masks", "segmentation")
_DEEPEST = 5  # folders below the source
_MOST_BYTES = 300_000_000
_HEAD = 65_536


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder, its images in natural order (masks apart), and its other files."""

    root: Path
    images: list[Path]
    masks: list[Path]
    others: list[Path]

    def having(self, *endings: str) -> list[Path]:
        """Return the other files with one of these endings, in order."""
        return [file for file in self.others if file.suffix.lower() in endings]

    def below(self, folder: Path) -> list[Path]:
        """Return the images below a folder."""
        return [image for image in self.images if folder in image.parents]


class ImageIndex:
    """Finds the images that annotations name."""

    def __init__(self, tree: Tree) -> None:
        self._root = tree.root
        self._paths = set(tree.images)
        self._names = defaultdict[str, list[Path]](list)
        self._stems = defaultdict[str, list[Path]](list)
        for image in tree.images:
            self._names[image.name].append(image)
            self._stems[image.stem].append(image)

    def named(self, name: str, *beside: Path) -> Path | None:
        """Return the image of a name: below one of the folders `beside`, or the only one that ends so; else None."""
        parts = Path(name.replace("\\", "/")).parts
        if not parts:
            return None
        for folder in (*beside, self._root):
            for place in (folder, folder / "images"):
                exact = Path(os.path.normpath(place.joinpath(*parts)))
                if exact in self._paths:
                    return exact
        same = self._names.get(parts[-1], [])
        ends = [one for one in same if one.parts[-len(parts) :] == parts]
        return ends[0] if len(ends) == 1 else same[0] if len(same) == 1 else None

    def of_stem(self, file: Path) -> Path | None:
        """Return the image whose name a file shares but for the ending: beside it, or the only one; else None."""
        same = self._stems.get(file.stem, [])
        beside = [one for one in same if one.parent == file.parent]
        return beside[0] if beside else same[0] if len(same) == 1 else None


def scanned(folder: Path) -> Tree:
    """List a folder, and what lies up to five folders below it; hidden files are left out. Raises OSError."""
    images, masks, others = list[Path](), list[Path](), list[Path]()
    for place, folders, files in os.walk(folder):
        here = Path(place)
        depth = len(here.relative_to(folder).parts)
        folders[:] = sorted(one for one in folders if not one.startswith(".")) if depth < _DEEPEST else []
        of_masks = any(part.lower() in MASK_FOLDERS for part in here.relative_to(folder).parts)
        for name in files:
            if is_image_name(name):
                (masks if of_masks else images).append(here / name)
            elif not name.startswith("."):
                others.append(here / name)
    return Tree(folder, *(sorted(some, key=_order) for some in (images, masks, others)))


def _order(path: Path) -> list[tuple[list[int | str], str]]:
    return [(natural(part), part) for part in path.parts]


def head_of(file: Path) -> str:
    """Return the first characters of a text file; "" where it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD).decode("utf-8", "replace").lstrip("\ufeff")
    except OSError:
        return ""


def read_json(file: Path) -> dict[str, object]:
    """Read a JSON file that holds an object. Raises DataError for another, or one that is damaged or too large."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(f"`{file}` has {file.stat().st_size / 1e6:,.0f} MB: expected 300 at most. Split it.")
        made = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        reason = str(error).splitlines()[0][:120]
        raise DataError(f"`{file}` cannot be read as JSON ({reason}): export the annotations again.") from error
    if not isinstance(made, dict):
        raise DataError(f"`{file}` holds a JSON {type(made).__name__}: expected an object with annotations in it.")
    return made
