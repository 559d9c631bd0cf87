"""COCO: a JSON file with images, annotations (boxes, outlines or run lengths) and categories.

Images without annotations are good. Files may be one for all, or one for each of train, valid and test.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faultwise.contracts.errors import DataError, listing
from faultwise.images.data.image_sets import GOOD, FolderReading
from faultwise.images.data.layouts.class_names import good_names, part_of
from faultwise.images.data.layouts.labelled import Labelled, LabelledImage
from faultwise.images.data.layouts.shapes import Box, Points, Shapes, run_lengths
from faultwise.images.data.layouts.tree import ImageIndex, Tree, head_of, read_json

__all__ = ["coco_files", "read_coco", "why_coco"]

_SIGNS = ('"annotations"', '"file_name"', '"image_id"')
_MOST_FILES = 20
_SHOWN = 3


def coco_files(tree: Tree) -> list[Path]:
    """Return the JSON files that look like COCO: not those that share the name of an image."""
    stems = {image.stem for image in tree.images}
    files = [file for file in tree.having(".json") if file.stem not in stems]
    return [file for file in files[:_MOST_FILES] if is_coco(file)]


def is_coco(file: Path) -> bool:
    """Whether a JSON file looks like COCO by its first characters."""
    head = head_of(file).lstrip()
    return head.startswith("{") and any(sign in head for sign in _SIGNS)


def why_coco(tree: Tree, how: FolderReading) -> str | None:
    """Return in words why a folder is one with COCO annotations; None for others."""
    files = coco_files(tree) if tree.images else []
    return f"it holds images with COCO annotations ({listing([file.name for file in files], 2)})" if files else None


def read_coco(tree: Tree, how: FolderReading, files: Sequence[Path] | None = None) -> Labelled:
    """Return the images that COCO files list. Raises DataError for damaged files, or when no image is there."""
    files = coco_files(tree) if files is None else files
    if not files:
        raise DataError(f"`{tree.root}` holds no COCO file: expected JSON with images, annotations and categories.")
    made, problems, index = list[LabelledImage](), _Problems(), ImageIndex(tree)
    marked = categories = 0
    names = set[str]()
    for file in files:
        one = _File(file, read_json(file), problems)
        marked += len(one.annotations)
        categories += len(one.categories)
        names |= set(one.categories.values())
        good = set(good_names(one.categories.values(), how.normal))
        made += one.images(index, good, part_of(file.stem) or part_of(file.parent.name) if len(files) > 1 else "")
    if not made:
        raise DataError(
            f"None of the images that {listing([str(file) for file in files], 2)} lists is there "
            f"({listing(problems.absent, _SHOWN)}): put them beside the file, or into `images`."
        )
    problems.unlisted = len(set(tree.images) - {one.path for one in made})
    if marked and not any(one.label != GOOD for one in made) and problems.unknown:
        raise DataError(f"The annotations of `{files[0]}` name image ids that it does not list: export them again.")
    shown = listing([file.name for file in files], 2)
    bare = f"{shown} holds no annotations, so which images are defective is not known: export them, too."
    kinds = {"outlines" if _outlined(one.mask) else "boxes" for one in made if isinstance(one.mask, Shapes)}
    return Labelled(
        made,
        problems.notes(),
        by=f" by {shown}",
        marks=f"{' and '.join(sorted(kinds))} from COCO become masks",
        unclear="" if marked else bare,
    )


def _outlined(mask: object) -> bool:
    return isinstance(mask, Shapes) and bool(mask.polygons or mask.runs)


@dataclass(slots=True)
class _Problems:
    """What cannot be used, over all files."""

    absent: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    several: int = 0
    unlisted: int = 0

    def notes(self) -> list[str]:
        """Return sentences on what was left out."""
        made = list[str]()
        if self.absent:
            made.append(f"{len(self.absent)} listed images are not there: {listing(self.absent, _SHOWN)}.")
        if self.unknown:
            ids = listing(dict.fromkeys(self.unknown), _SHOWN)
            made.append(
                f"{len(self.unknown)} annotations name image ids that the file does not list ({ids}) and are left out."
            )
        if self.broken:
            made.append(
                f"{len(self.broken)} annotations mark no place that can be read: their images count as defective "
                f"without it ({'; '.join(self.broken[:_SHOWN])})."
            )
        if self.several:
            made.append(
                f"{self.several} images show several types of defects: each counts as that of its largest mark."
            )
        if self.unlisted:
            made.append(f"{self.unlisted} images are in the folder and not in the list: they are left out.")
        return made


class _File:
    """One COCO file. Raises DataError where its parts are no lists of objects."""

    def __init__(self, file: Path, raw: Mapping[str, object], problems: _Problems) -> None:
        self.file, self.problems = file, problems
        self.listed = {str(one.get("id")): one for one in _records(raw, "images", file)}
        self.annotations = _records(raw, "annotations", file)
        self.categories = {
            str(one.get("id")): str(one.get("name", one.get("id"))) for one in _records(raw, "categories", file)
        }
        self.by_image = defaultdict[str, list[Mapping[str, object]]](list)
        for annotation in self.annotations:
            image = str(annotation.get("image_id"))
            if image in self.listed:
                self.by_image[image].append(annotation)
            else:
                problems.unknown.append(image)

    def images(self, index: ImageIndex, good: set[str], part: str) -> Iterator[LabelledImage]:
        """Yield the images that are there."""
        for key, entry in self.listed.items():
            name = str(entry.get("file_name", ""))
            path = index.named(name, self.file.parent, self.file.parent.parent)
            if path is None:
                self.problems.absent.append(name or f"id {key}")
                continue
            own = part or next((part_of(folder) for folder in Path(name).parts[:-1] if part_of(folder)), "")
            yield self._image(path, entry, self.by_image.get(key, []), good, own)

    def _image(
        self, path: Path, entry: Mapping[str, object], marks: list[Mapping[str, object]], good: set[str], part: str
    ) -> LabelledImage:
        areas = defaultdict[str, float](float)
        polygons, boxes = list[Points](), list[Box]()
        runs = list[tuple[int, int, tuple[int, ...]]]()
        for annotation in marks:
            label = self._label(annotation)
            if label in good:
                continue
            areas[label] += 0.0
            try:
                box = _box(annotation.get("bbox"))
                outline, lengths = _segmentation(annotation.get("segmentation"))
            except (ValueError, TypeError, OverflowError) as error:
                self.problems.broken.append(f"annotation {annotation.get('id')} of `{path.name}`: {error}")
                continue
            polygons += outline
            runs += lengths
            boxes += [box] if box and not outline and not lengths else []
            areas[label] += _area(box, outline)
        if not areas:
            return LabelledImage(path, GOOD, None, part)
        self.problems.several += len(areas) > 1
        size = _size(entry)
        shapes = Shapes(str(self.file), tuple(polygons), tuple(boxes), runs=tuple(runs), size=size)
        return LabelledImage(path, max(areas, key=lambda label: areas[label]), shapes or None, part)

    def _label(self, annotation: Mapping[str, object]) -> str:
        number = str(annotation.get("category_id"))
        return self.categories.get(number, f"category {number}")


def _records(raw: Mapping[str, object], key: str, file: Path) -> list[Mapping[str, object]]:
    found = raw.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"`{key}` in `{file}` is no list of objects: expected the COCO format.")
    return found


def _size(entry: Mapping[str, object]) -> tuple[int, int] | None:
    high, wide = entry.get("height"), entry.get("width")
    return (high, wide) if isinstance(high, int) and isinstance(wide, int) and high > 0 and wide > 0 else None


def _numbers(values: object) -> list[float]:
    if not isinstance(values, list):
        raise ValueError(f"{str(values)[:40]} is no list of numbers")
    made = [float(value) for value in values if isinstance(value, int | float)]
    if len(made) != len(values) or not all(map(math.isfinite, made)):
        raise ValueError("some of its coordinates are no numbers")
    return made


def _box(raw: object) -> Box | None:
    if raw is None or raw == []:
        return None
    values = _numbers(raw)
    if len(values) != 4 or values[2] <= 0 or values[3] <= 0:
        raise ValueError("its box is not x, y, width and height above 0")
    left, top, wide, high = values
    return left, top, left + wide, top + high


def _segmentation(raw: object) -> tuple[list[Points], list[tuple[int, int, tuple[int, ...]]]]:
    """Return outlines and run lengths. Raises ValueError for other values."""
    if isinstance(raw, dict):
        size, counts = _numbers(raw.get("size")), raw.get("counts")
        lengths = run_lengths(counts) if isinstance(counts, str) else tuple(int(n) for n in _numbers(counts))
        if len(size) != 2:
            raise ValueError("its run lengths have no size")
        return [], [(int(size[0]), int(size[1]), lengths)]
    outlines = list[Points]()
    for one in raw if isinstance(raw, list) else []:
        values = _numbers(one)
        if len(values) < 6 or len(values) % 2:
            raise ValueError(f"an outline of {len(values)} coordinates: expected three points at least")
        outlines.append(tuple(zip(values[::2], values[1::2], strict=True)))
    return outlines, []


def _area(box: Box | None, outlines: list[Points]) -> float:
    if box is not None:
        return (box[2] - box[0]) * (box[3] - box[1])
    sides = [[[point[axis] for point in one] for axis in (0, 1)] for one in outlines]
    return sum((max(x) - min(x)) * (max(y) - min(y)) for x, y in sides)
