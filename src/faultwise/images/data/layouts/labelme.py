"""LabelMe: a JSON file for each image, with shapes (polygon, rectangle, circle, line, point, mask) and their labels.

Images without such a file, or with one that holds no shapes, are good.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from faultwise.contracts.errors import DataError, listing
from faultwise.images.data.image_sets import FolderReading
from faultwise.images.data.layouts.class_names import good_names, part_of
from faultwise.images.data.layouts.labelled import Labelled, LabelledImage
from faultwise.images.data.layouts.shapes import Points, Shapes
from faultwise.images.data.layouts.tree import ImageIndex, Tree, head_of, read_json

__all__ = ["read_labelme", "why_labelme"]

_LOOKED_AT = 5
_SHOWN = 3
_AROUND = 32  # corners of a circle


def why_labelme(tree: Tree, how: FolderReading) -> str | None:
    """Return in words why a folder is one with LabelMe files; None for others."""
    files = _files(tree)
    return f"it holds images with {len(files)} LabelMe files" if files else None


def read_labelme(tree: Tree, how: FolderReading) -> Labelled:
    """Return the images with what is marked in them. Raises DataError where no file belongs to an image."""
    files = _files(tree)
    if not files:
        raise DataError(f"`{tree.root}` holds no LabelMe files: expected NAME.json with `shapes` for NAME.jpg.")
    index, problems = ImageIndex(tree), _Problems()
    marked = dict[Path, LabelledImage]()
    for file in files:
        try:
            raw = read_json(file)
        except DataError as error:
            problems.broken.append(str(error))
            continue
        path = index.named(str(raw.get("imagePath") or ""), file.parent) or index.of_stem(file)
        if path is None:
            problems.absent.append(file.name)
        else:
            marked[path] = _image(path, file, raw, how, problems)
    if not marked:
        first = problems.broken[0] if problems.broken else f"Found {listing(problems.absent, _SHOWN)}."
        raise DataError(f"No LabelMe file of `{tree.root}` belongs to an image that is there. {first}")
    broken = {file.stem for file in files} - {image.stem for image in marked}
    made = list[LabelledImage]()
    for image in tree.images:
        part = next((part_of(folder) for folder in image.relative_to(tree.root).parts[:-1] if part_of(folder)), "")
        if image in marked or image.stem not in broken:  # what a damaged file marked is not known
            one = marked.get(image, LabelledImage(image))
            made.append(LabelledImage(one.path, one.label, one.mask, part))
    problems.bare = len(made) - len(marked)
    return Labelled(made, problems.notes(), by=" by their LabelMe files", marks="shapes from LabelMe become masks")


def _files(tree: Tree) -> list[Path]:
    """Return the JSON files of single images; one of the first has to look like LabelMe."""
    stems = {image.stem for image in tree.images}
    files = [file for file in tree.having(".json") if file.stem in stems]
    shown = any('"shapes"' in (head := head_of(file)) or '"imagePath"' in head for file in files[:_LOOKED_AT])
    return files if shown else []


@dataclass(slots=True)
class _Problems:
    """What cannot be used, over all files."""

    broken: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    shapes: list[str] = field(default_factory=list)
    several: int = 0
    bare: int = 0

    def notes(self) -> list[str]:
        """Return sentences on what was left out."""
        made = list[str]()
        if self.broken:
            shown = " ".join(self.broken[:_SHOWN])
            made.append(f"{len(self.broken)} files cannot be read and are left out with their images: {shown}")
        if self.absent:
            made.append(f"{len(self.absent)} files have no image and are left out: {listing(self.absent, _SHOWN)}.")
        if self.shapes:
            shown = "; ".join(self.shapes[:_SHOWN])
            made.append(f"{len(self.shapes)} shapes cannot be drawn and are left out of the masks: {shown}.")
        if self.several:
            made.append(f"{self.several} images show several types of defects: each counts as the most frequent.")
        if self.bare:
            made.append(f"{self.bare} images have no LabelMe file and are taken to be good.")
        return made


def _image(path: Path, file: Path, raw: Mapping[str, object], how: FolderReading, problems: _Problems) -> LabelledImage:
    shapes = [one for one in _list(raw.get("shapes")) if isinstance(one, dict)]
    labels = [str(one.get("label") or "defective") for one in shapes]
    flags = raw.get("flags")
    whole = [str(name) for name, on in flags.items() if on is True] if isinstance(flags, dict) else []
    good = set(good_names([*labels, *whole], how.normal))
    types = Counter(label for label in [*labels, *(whole if not labels else ())] if label not in good)
    if not types:
        return LabelledImage(path)
    drawn = _Drawn()
    for shape, label in zip(shapes, labels, strict=True):
        if label in good:
            continue
        try:
            drawn.add(shape)
        except (ValueError, TypeError, OverflowError) as error:
            problems.shapes.append(f"`{label[:40]}` in `{file.name}` ({error})")
    problems.several += len(types) > 1
    high, wide = raw.get("imageHeight"), raw.get("imageWidth")
    size = (high, wide) if isinstance(high, int) and isinstance(wide, int) and high > 0 and wide > 0 else None
    mask = Shapes(str(file), tuple(drawn.polygons), lines=tuple(drawn.lines), stamps=tuple(drawn.stamps), size=size)
    return LabelledImage(path, types.most_common(1)[0][0], mask or None)


@dataclass(slots=True)
class _Drawn:
    """The shapes of one image that can be drawn."""

    polygons: list[Points] = field(default_factory=list)
    lines: list[Points] = field(default_factory=list)
    stamps: list[tuple[int, int, bytes]] = field(default_factory=list)

    def add(self, shape: Mapping[str, object]) -> None:
        """Take one shape in. Raises ValueError that says what is wrong with it."""
        kind, points = str(shape.get("shape_type") or "polygon"), _points(shape.get("points"))
        if kind in ("polygon", "rectangle", "circle"):
            self.polygons.append(_outline(kind, points))
        elif kind in ("line", "linestrip"):
            self.lines.append(_at_least(points, 2, kind))
        elif kind in ("point", "points"):
            self.lines += [(point, point) for point in _at_least(points, 1, kind)]
        elif kind == "mask":
            left, top = _at_least(points, 1, kind)[0]
            try:
                data = base64.b64decode(str(shape.get("mask") or ""), validate=True)
            except binascii.Error:
                raise ValueError("its mask is no base64 text") from None
            self.stamps.append((round(left), round(top), data))
        else:
            raise ValueError(f"the kind `{kind[:20]}` is not known")


def _outline(kind: str, points: Points) -> Points:
    if kind == "polygon":
        return _at_least(points, 3, kind)
    (left, top), (right, bottom) = _at_least(points, 2, kind)[:2]
    if kind == "rectangle":
        return (left, top), (right, top), (right, bottom), (left, bottom)
    radius = math.hypot(right - left, bottom - top)
    angles = [2 * math.pi * step / _AROUND for step in range(_AROUND)]
    return tuple((left + radius * math.cos(angle), top + radius * math.sin(angle)) for angle in angles)


def _at_least(points: Points, count: int, kind: str) -> Points:
    if len(points) < count:
        raise ValueError(f"a {kind} of {len(points)} points: expected {count} at least")
    return points


def _points(raw: object) -> Points:
    made = list[tuple[float, float]]()
    for one in _list(raw):
        pair = _list(one)
        numbers = [float(value) for value in pair if isinstance(value, int | float) and math.isfinite(value)]
        if len(pair) != 2 or len(numbers) != 2:
            raise ValueError("its points are not pairs of numbers")
        made.append((numbers[0], numbers[1]))
    return tuple(made)


def _list(raw: object) -> list[object]:
    return raw if isinstance(raw, list) else []
