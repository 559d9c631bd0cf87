"""A list of images with their labels: a CSV file beside or above the images, with or without a header.

Columns of files, labels, masks and parts of the set are found by what they hold and by their names.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from faultwise.contracts.errors import DataError, listing
from faultwise.images.data.image_sets import GOOD, FolderReading
from faultwise.images.data.images import is_image_name
from faultwise.images.data.layouts.class_names import good_names, is_bad, part_of
from faultwise.images.data.layouts.folders import settled_good
from faultwise.images.data.layouts.labelled import Labelled, LabelledImage
from faultwise.images.data.layouts.tree import ImageIndex, Tree, head_of

__all__ = ["is_list", "list_files", "read_list", "why_list"]

_LABELS = ("label", "labels", "class", "classname", "classid", "category", "defect", "defecttype", "type", "status")
_MORE_LABELS = ("result", "fault", "target", "verdict", "anomaly", "quality", "state", "y", "isdefective", "defective")
_GOOD_COLUMNS = ("good", "ok", "isgood", "isok", "normal", "isnormal", "passed", "pass")
_MASKS, _PARTS = ("mask", "maskpath", "maskfile", "groundtruth"), ("split", "set", "subset", "part", "fold", "usage")
_OFF, _ON = ("0", "false", "no", "n", "f"), ("1", "true", "yes", "y", "t")
_SAMPLE = 20
_MOST_COLUMNS_WITHOUT_FILES = 3
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class _Columns:
    """The places of columns in a list, and whether 1 in the column of labels means good."""

    file: int
    label: int | None
    mask: int | None
    part: int | None
    good_is_one: bool = False
    label_name: str = ""


def list_files(tree: Tree) -> list[Path]:
    """Return the text tables below a folder that name image files."""
    depth = len(tree.root.parts)
    files = [file for file in tree.having(".csv", ".tsv") if len(file.parts) - depth <= 2]
    return [file for file in files if is_list(file)]


def is_list(file: Path) -> bool:
    """Whether a text table names image files: such as are there, or it has hardly any other columns."""
    rows = _rows(head_of(file))[: _SAMPLE + 1]
    at = _file_column(rows)
    if at is None:
        return False
    names = [row[at] for row in rows if len(row) > at and is_image_name(Path(row[at].replace("\\", "/")).name)]
    if len(rows[0]) <= _MOST_COLUMNS_WITHOUT_FILES:
        return True
    return any((file.parent / name).is_file() or (file.parent / "images" / name).is_file() for name in names)


def why_list(tree: Tree, how: FolderReading) -> str | None:
    """Return in words why a folder is one of images with a list of labels; None for others."""
    files = list_files(tree) if tree.images else []
    return f"it holds images and a list of them (`{files[0].name}`)" if files else None


def read_list(tree: Tree, how: FolderReading, file: Path | None = None) -> Labelled:
    """Return the images of a list.

    Raises DataError for a list without a column of files or of labels, or none of whose images is there.
    """
    files = list_files(tree) if file is None else [file]
    if not files:
        raise DataError(f"`{tree.root}` holds no list of images: expected a CSV file with columns of files and labels.")
    file = files[0]
    rows = _rows(_text(file))
    columns = _columns(rows, file)
    named = [row for row in rows if _cell(row, columns.file) and _is_image(_cell(row, columns.file))]
    index = ImageIndex(tree)
    found = dict[Path, list[list[str]]]()
    absent = list[str]()
    for row in named:
        path = index.named(_cell(row, columns.file), file.parent)
        if path is None:
            absent.append(_cell(row, columns.file))
        else:
            found.setdefault(path, []).append(row)
    if not found:
        raise DataError(
            f"None of the {len(absent)} images that `{file}` names is there ({listing(absent, _SHOWN)}): put them "
            "beside the list or below its folder, with the names that are in it."
        )
    notes = [f"{len(files)} lists were found; `{file.name}` is read."] if len(files) > 1 else []
    if absent:
        notes.append(f"{len(absent)} images of the list are not there: {listing(absent, _SHOWN)}.")
    return _labelled(file, columns, found, how, notes, index, len(set(tree.images) - set(found)))


def _labelled(
    file: Path,
    columns: _Columns,
    found: dict[Path, list[list[str]]],
    how: FolderReading,
    notes: list[str],
    index: ImageIndex,
    unlisted: int,
) -> Labelled:
    labels = {path: [text for row in rows if (text := _cell(row, columns.label))] for path, rows in found.items()}
    known = Counter(label for some in labels.values() for label in some)
    good = _good(known, columns, how.normal)
    made, conflicts = list[LabelledImage](), 0
    for path, rows in found.items():
        if not labels[path]:
            continue
        bad = [label for label in labels[path] if label not in good]
        conflicts += bool(bad) and len(bad) < len(labels[path])
        mask = next((one for row in rows if (one := _mask(_cell(row, columns.mask), file))), None) if bad else None
        label = _type(Counter(bad).most_common(1)[0][0]) if bad else GOOD
        made.append(LabelledImage(path, label, mask, part_of(_cell(rows[0], columns.part))))
    if bare := len(found) - len(made):
        notes.append(f"{bare} images of the list have no label and are left out.")
    if conflicts:
        notes.append(f"{conflicts} images are listed both as good and as defective: they count as defective.")
    if unlisted:
        notes.append(f"{unlisted} images are in the folder and not in the list: they are left out.")
    if good and not any(map(_is_named, good)):
        notes.append(f"The label {listing(good, 2)} is taken to be good: name another with --normal.")
    return Labelled(
        made,
        notes,
        by=f" by the list `{file.name}`",
        marks="masks are those of the list",
        unclear=settled_good(f"`{file}` has labels", known, good, how.normal),
    )


def _is_named(label: str) -> bool:
    return bool(good_names([label]))


def _good(known: Counter[str], columns: _Columns, normal: str | None) -> list[str]:
    """Return the labels that mean good: by name, or 0 and false (1 and true in a column such as `ok`)."""
    found = good_names(known, normal)
    if found or normal is not None:
        return found
    lower = {label.lower() for label in known}
    if lower <= {*_OFF, *_ON} or columns.label_name in ("classid", "label"):
        meaning = _ON if columns.good_is_one else _OFF
        return [label for label in known if label.lower().removesuffix(".0") in meaning]
    return []


def _type(label: str) -> str:
    return "defective" if is_bad(label) or label.lower() in (*_OFF, *_ON) else label


def _columns(rows: Sequence[Sequence[str]], file: Path) -> _Columns:
    """Find the columns of a list. Raises DataError where there is none of files, or which holds labels is not clear."""
    at = _file_column(rows)
    if at is None:
        raise DataError(f"`{file}` has no column of image files: expected names such as part1.png in one of them.")
    header = (
        [] if _is_image(_cell(rows[0], at)) else ["".join(c for c in one.lower() if c.isalnum()) for one in rows[0]]
    )
    mask, part = _named(header, _MASKS), _named(header, _PARTS)
    good_column = _named(header, _GOOD_COLUMNS)
    label = _named(header, (*_LABELS, *_MORE_LABELS))
    if label is None:
        label = good_column
    if label is None:
        others = [column for column in range(len(rows[0])) if column not in (at, mask, part)]
        label = others[0] if len(others) == 1 else None
        if len(others) > 1:
            shown = [rows[0][column] if header else f"column {column + 1}" for column in others]
            raise DataError(
                f"Which column of `{file}` holds the labels is not clear ({listing(shown)}): name it `label`."
            )
    if label is None:
        raise DataError(f"`{file}` has no column of labels beside the files: add one named `label`.")
    return _Columns(at, label, mask, part, label == good_column, header[label] if header else "")


def _named(header: Sequence[str], names: Iterable[str]) -> int | None:
    return next((header.index(name) for name in names if name in header), None)


def _file_column(rows: Sequence[Sequence[str]]) -> int | None:
    """Return the first column in which nearly all cells name images; None where there is none."""
    body = rows[1 : _SAMPLE + 1] or rows[:1]
    for at in range(len(rows[0]) if rows else 0):
        if body and sum(_is_image(_cell(row, at)) for row in body) >= 0.9 * len(body):
            return at
    return None


def _is_image(name: str) -> bool:
    return is_image_name(name.replace("\\", "/").rpartition("/")[2])


def _cell(row: Sequence[str], at: int | None) -> str:
    return row[at].strip() if at is not None and at < len(row) else ""


def _mask(name: str, file: Path) -> Path | None:
    path = file.parent / name.replace("\\", "/")
    return path if name and path.is_file() else None


def _text(file: Path) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise DataError(f"`{file}` cannot be read ({error.strerror}): check its permissions.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _rows(text: str) -> list[list[str]]:
    """Return the rows of a text that hold something; the separator is what the first line has most of."""
    first = text.partition("\n")[0]
    separator = max(",;\t|", key=first.count)
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row)]
    except csv.Error:  # a cell larger than any name
        return []
