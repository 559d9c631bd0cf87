"""Sources of images for the modality: files, folders, or a sequence of arrays or files in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError
from faultwise.images.data.image_checks import checked
from faultwise.images.data.image_folders import read_image_set, why_images
from faultwise.images.data.image_sets import GOOD, FolderReading, ImageItem, ImageSet
from faultwise.images.data.images import Pixels, is_image_name
from faultwise.images.data.layouts.labelled import fingerprint, without_learnt
from faultwise.images.data.layouts.recognising import why_file

__all__ = [
    "ToInspect",
    "fingerprints",
    "holds_arrays",
    "in_memory",
    "labelled_images",
    "name_of",
    "read_checked",
    "to_inspect",
    "why_source",
]


@dataclass(frozen=True, slots=True)
class ToInspect:
    """Images to be inspected, in their order, and notes on what was left out or changed."""

    images: list[Pixels]
    notes: tuple[str, ...] = ()


def why_source(source: object) -> str | None:
    """Return in words why a source is one of images; None for others."""
    if isinstance(source, str | Path):
        return why_images(source)
    images = in_memory(source)
    if images is None:
        return None
    return f"it is a sequence of {len(images)} images ({'arrays of uint8' if holds_arrays(source) else 'files'})"


def in_memory(source: object) -> list[Pixels] | None:
    """Return the images of a sequence of arrays (height, width, 3; uint8) or image files; None for another source.

    One such array alone is one image.
    """
    if isinstance(source, np.ndarray):
        if source.dtype != np.uint8 or source.ndim not in (3, 4) or source.shape[-1] != 3:
            return None
        return [source] if source.ndim == 3 else list(source)
    if not isinstance(source, Sequence) or isinstance(source, str | bytes) or not len(source):
        return None
    return list(source) if all(_is_image(one) for one in source) else None


def holds_arrays(source: object) -> bool:
    """Whether a source in memory holds images as arrays, which need no reading and no checks."""
    return any(isinstance(one, np.ndarray) for one in in_memory(source) or ())


def _is_image(one: object) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == np.uint8 and one.ndim == 3 and one.shape[2] == 3
    return isinstance(one, str | Path) and is_image_name(Path(one).name)


def name_of(source: object) -> str:
    """Return the name of a source: its path, or how many images it holds."""
    if isinstance(source, str | Path):
        return str(source)
    return f"{len(in_memory(source) or ())} images in memory"


def read_checked(source: object, how: FolderReading, progress: bool, fit: bool = True) -> tuple[ImageSet, int | None]:
    """Return the images of a folder, or of a sequence of files, without what is damaged, and the value of white.

    Where images are drawn for a fit, all but those that a model was fitted on are there to be judged without `fit`.

    Raises DataError for a source without images that can be read.
    """
    files = in_memory(source)
    if files is None:
        images = read_image_set(_path(source), how)
        if images.drawn and not fit:
            images = without_learnt(images, how.learnt)
    else:
        items = tuple(ImageItem(Path(str(one))) for one in files)
        notes = (f"All {len(items)} images of the sequence are taken to be good.",)
        images = ImageSet(name_of(source), "", "plain", items, notes=notes)
    images, report = checked(images, progress=progress)
    return images, report.white


def fingerprints(images: ImageSet) -> frozenset[str]:
    """Return what tells the files that a fit learns from, where they were drawn; where parts are named, none."""
    return frozenset(fingerprint(item.path) for item in (*images.train, *images.defects) if images.drawn)


def to_inspect(source: object, how: FolderReading, progress: bool) -> ToInspect:
    """Return one image, those of a sequence, the test part of a folder, or all of a plain folder.

    Raises DataError for a source without images that can be read.
    """
    images = in_memory(source)
    if images is not None and holds_arrays(source):
        return ToInspect(images)
    if images is None and _path(source).is_file() and not why_file(_path(source)):
        return ToInspect([_path(source)])
    found, _ = read_checked(source, how, progress, fit=False)
    # That images of a plain folder are good is for a fit to assume.
    notes = found.notes[1:] if found.layout == "plain" else found.notes
    return ToInspect([item.path for item in found.test or found.train], notes)


def labelled_images(source: object, how: FolderReading, progress: bool) -> ImageSet:
    """Return a folder's images with labels, to be judged. Raises DataError where no image is labelled as defective."""
    found = None
    if in_memory(source) is None and (not _path(source).is_file() or why_file(_path(source))):
        found, _ = read_checked(source, how, progress, fit=False)
    if found is not None and found.unclear:
        raise DataError(found.unclear)
    labelled = found is not None and found.layout in ("mvtec", "labelled")
    if found is None or not labelled or all(item.label == GOOD for item in found.test):
        raise DataError(
            f"`{name_of(source)}` holds no images with a label of a defect: expected `test/good` and `test/TYPE` in "
            "it, folders by class (`good`, `bad`), a list of files with labels, or COCO, YOLO or LabelMe files."
        )
    return found


def _path(source: object) -> Path:
    if isinstance(source, str | Path):
        return Path(source)
    raise DataError(
        f"A {type(source).__name__} is no source of images: give a file, a folder, or a sequence of files or arrays "
        "(height, width, 3; uint8)."
    )
