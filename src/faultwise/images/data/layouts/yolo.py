"""YOLO: a text file for each image with lines of class and box, or class and outline, as shares of width and height.

The files lie beside the images, or in `labels` where the images lie in `images`. Names of classes come from a YAML file
with `names`, or from classes.txt. Images without such a file, or with an empty one, are good.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from faultwise.contracts.errors import DataError
from faultwise.images.data.image_sets import GOOD, FolderReading
from faultwise.images.data.layouts.class_names import good_names, part_of
from faultwise.images.data.layouts.labelled import Labelled, LabelledImage
from faultwise.images.data.layouts.shapes import Box, Points, Shapes
from faultwise.images.data.layouts.tree import Tree, head_of

__all__ = ["parsed_line", "read_yolo", "why_yolo"]

_NAMES = ("classes.txt", "obj.names", "labels.txt")
_SLACK = 0.01  # by which rounding may put a coordinate outside the image
_LOOKED_AT = 5
_SHOWN = 3


def why_yolo(tree: Tree, how: FolderReading) -> str | None:
    """Return in words why a folder is one with YOLO labels; None for others."""
    found = _label_files(tree)
    if not found:
        return None
    apart = any(file.parent.name != image.parent.name for image, file in found.items())
    if not (apart or _classes_file(tree)) and not _looks_right(list(found.values())):
        return None
    return f"it holds images with {len(found)} YOLO labels"


def read_yolo(tree: Tree, how: FolderReading) -> Labelled:
    """Return the images with their labels.

    Raises DataError where there are no label files, or none of them can be read: coordinates in pixels, say.
    """
    files = _label_files(tree)
    if not files:
        raise DataError(f"`{tree.root}` holds no YOLO labels: expected NAME.txt beside NAME.jpg, or in `labels`.")
    names = _class_names(tree)
    made, problems, bad_lines = list[LabelledImage](), list[str](), 0
    several = 0
    for image in tree.images:
        part = next((part_of(folder) for folder in image.relative_to(tree.root).parts[:-1] if part_of(folder)), "")
        if image not in files:
            made.append(LabelledImage(image, part=part))
            continue
        marks, wrong = _marks(files[image])
        problems += wrong[:1]
        bad_lines += len(wrong)
        one, mixed = _image(image, files[image], marks, bool(wrong), names, how)
        several += mixed
        made.append(LabelledImage(one.path, one.label, one.mask, part))
    if problems and not any(one.mask for one in made):
        raise DataError(
            f"No YOLO label of `{tree.root}` can be read: {problems[0]} Expected class, centre x, centre y, width and "
            "height as shares of the image, from 0 to 1."
        )
    notes = _notes(bad_lines, problems, several, len(tree.images) - len(files))
    return Labelled(made, notes, by=" by their YOLO labels", marks="boxes and outlines from YOLO become masks")


def _notes(bad_lines: int, problems: list[str], several: int, bare: int) -> list[str]:
    made = list[str]()
    if bad_lines:
        made.append(
            f"{bad_lines} lines of labels cannot be read, and the images of their files count as defective without a "
            f"place: {' '.join(problems[:_SHOWN])}"
        )
    if several:
        made.append(f"{several} images show several types of defects: each counts as the one that it shows most often.")
    if bare:
        made.append(f"{bare} images have no label file and are taken to be good.")
    return made


def _image(
    image: Path,
    file: Path,
    marks: list[tuple[int, Box | Points]],
    wrong: bool,
    names: Mapping[int, str],
    how: FolderReading,
) -> tuple[LabelledImage, bool]:
    """Return an image with its label, and whether it shows several types of defects."""
    good = set(good_names(names.values(), how.normal))
    counts = Counter(names.get(number, f"class {number}") for number, _ in marks)
    types = Counter({label: count for label, count in counts.items() if label not in good})
    if not types:
        return LabelledImage(image, "defective" if wrong else GOOD), False
    shown = [mark for number, mark in marks if names.get(number) not in good]
    shapes = Shapes(
        str(file),
        polygons=tuple(mark for mark in shown if isinstance(mark[0], tuple)),
        boxes=tuple(mark for mark in shown if not isinstance(mark[0], tuple)),
        relative=True,
    )
    return LabelledImage(image, types.most_common(1)[0][0], None if wrong else shapes), len(types) > 1


def parsed_line(line: str) -> tuple[int, Box | Points]:
    """Return the class of a line, and its box (left, top, right, bottom) or the points of its outline, as shares.

    Raises ValueError that says what is wrong.

    >>> parsed_line("1 0.5 0.5 0.25 0.5")
    (1, (0.375, 0.25, 0.625, 0.75))
    >>> parsed_line("0 12 40 3 3")
    Traceback (most recent call last):
    ValueError: the coordinate 12 lies outside the image (0 to 1)
    """
    words = line.split()
    try:
        number, values = float(words[0]), [float(word) for word in words[1:]]
    except (ValueError, IndexError):
        raise ValueError(f"`{line[:40]}` is not all numbers") from None
    if number < 0 or not number.is_integer():
        raise ValueError(f"the class {words[0][:20]} is no whole number from 0 on")
    outside = [value for value in values if not -_SLACK <= value <= 1 + _SLACK or math.isnan(value)]
    if outside:
        raise ValueError(f"the coordinate {outside[0]:g} lies outside the image (0 to 1)")
    if len(values) in (4, 5):  # detectors write their confidence as the fifth
        x, y, wide, high = values[:4]
        if min(wide, high) <= 0:
            raise ValueError("the box has no width or no height")
        return int(number), (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    if len(values) < 6 or len(values) % 2:
        raise ValueError(f"there are {len(values)} coordinates: expected 4 of a box, or 3 points at least")
    return int(number), tuple(zip(values[::2], values[1::2], strict=True))


def _marks(file: Path) -> tuple[list[tuple[int, Box | Points]], list[str]]:
    """Return the marks of a label file, and a sentence on each line that cannot be read."""
    made, wrong = list[tuple[int, "Box | Points"]](), list[str]()
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        return [], [f"`{file}` is no text that can be read ({type(error).__name__})."]
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            made.append(parsed_line(line))
        except (ValueError, OverflowError) as error:
            wrong.append(f"Line {at} of `{file}`: {error}.")
    return made, wrong


def _label_files(tree: Tree) -> dict[Path, Path]:
    """Return the label file of each image that has one."""
    texts = set(tree.having(".txt"))
    made = dict[Path, Path]()
    for image in tree.images if texts else ():
        parts = list(image.parts)
        at = next((at for at in range(len(parts) - 2, -1, -1) if parts[at].lower() == "images"), None)
        places = [image.with_suffix(".txt")]
        if at is not None:
            places.append(Path(*parts[:at], "labels", *parts[at + 1 :]).with_suffix(".txt"))
        places.append(image.parent / "labels" / f"{image.stem}.txt")
        found = next((place for place in places if place in texts), None)
        if found is not None:
            made[image] = found
    return made


def _classes_file(tree: Tree) -> Path | None:
    named = [file for file in tree.having(".txt", ".names") if file.name.lower() in _NAMES]
    yaml = [file for file in tree.having(".yaml", ".yml") if "names:" in head_of(file)]
    return next(iter([*yaml, *named]), None)


def _class_names(tree: Tree) -> dict[int, str]:
    """Return the names of classes by number. Raises DataError for a YAML file that cannot be read."""
    file = _classes_file(tree)
    if file is None:
        return {}
    if file.suffix.lower() not in (".yaml", ".yml"):
        return dict(enumerate(line.strip() for line in head_of(file).splitlines() if line.strip()))
    import yaml

    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"`{file}` cannot be read as YAML ({str(error).splitlines()[0][:120]}): mend it.") from error
    names = raw.get("names") if isinstance(raw, dict) else None
    if isinstance(names, dict) and all(str(key).isdecimal() for key in names):
        return {int(str(key)): str(name) for key, name in names.items()}
    if isinstance(names, list):
        return {at: str(name) for at, name in enumerate(names)}
    raise DataError(f"`names` in `{file}` is {str(names)[:40]}: expected a list, or numbers with names.")


def _looks_right(files: list[Path]) -> bool:
    """Whether the first label files that are not empty hold lines of YOLO: other texts may lie beside images."""
    filled = [file for file in files if head_of(file).strip()][:_LOOKED_AT]
    return bool(filled) and all(_marks(file)[0] for file in filled)
