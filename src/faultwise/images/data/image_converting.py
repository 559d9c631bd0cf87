"""Known image sets brought into the MVTec layout: Magnetic Tile, DeepPCB, ELPV, VisA, AeBAD.

Files are copied; masks become black and white PNG. Where a set has no split of its own, a share of the good images is
drawn for training. Nothing is fetched: the sets are their owners'. The layouts of VisA and AeBAD are followed as
published, and not yet run on the originals.
"""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.progress import ProgressBar
from faultwise.images.data.image_sets import GOOD
from faultwise.images.data.images import is_image_name, read_image, read_mask

__all__ = ["PCB_DEFECTS", "SETS", "boxes_beside", "convert", "read_boxes", "recognised"]

PCB_DEFECTS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
_ELPV_SURE = {"0.0": GOOD, "1.0": "defective"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """One file to be: `place` is its folder below the category's, `mask` a file or pixels (height, width; bool)."""

    file: Path
    place: str
    label: str
    name: str
    mask: Path | np.ndarray | None = None
    category: str = ""


def convert(
    source: str | Path, out: str | Path, seed: int = 0, share: float = 0.8, progress: bool = False
) -> list[Path]:
    """Write the set in folder `source` into `out` in the MVTec layout; return the categories' folders.

    `share` of the good images, drawn with `seed`, is for training where the set does not say. Raises DataError for a
    folder that is none of the known sets, or an `out` that holds something.
    """
    source, out = Path(source), Path(out)
    name = recognised(source)
    if out.exists() and any(out.iterdir()):
        raise DataError(f"`{out}` is not empty: choose a new folder.")
    pieces = list(SETS[name](source, np.random.default_rng(seed), share))
    if not pieces:
        raise DataError(
            f"`{source}` looks like {name}, but holds none of its images: check that it was unpacked whole."
        )
    made = dict[Path, None]()
    with ProgressBar(total=len(pieces), desc=name, disable=not progress) as bar:
        for piece in pieces:
            _write(piece, out / piece.category)
            made[out / piece.category] = None
            bar.update()
    return list(made)


def recognised(source: Path) -> str:
    """Return which of the known sets a folder holds. Raises DataError."""
    if not source.is_dir():
        raise DataError(f"There is no folder `{source}`: give the folder that a data set was unpacked into.")
    signs: dict[str, Callable[[], object]] = {
        "magnetic-tile": lambda: (source / "MT_Free").is_dir(),
        "visa": lambda: (source / "split_csv").is_dir(),
        "elpv": lambda: (source / "labels.csv").is_file() and (source / "images").is_dir(),
        "deeppcb": lambda: next(source.rglob("*_temp.jpg"), None),
        "aebad": lambda: any(child.is_dir() for child in (source / "train" / GOOD).glob("*")),
    }
    found = next((name for name, sign in signs.items() if sign()), None)
    if found is None:
        raise DataError(
            f"`{source}` is none of {listing(signs)}: expected MT_Free, split_csv, labels.csv with images, "
            "NAME_temp.jpg, or train/good with folders."
        )
    return found


def _magnetic_tile(source: Path, rng: np.random.Generator, share: float) -> Iterator[_Piece]:
    for folder in sorted(source.glob("MT_*")):
        images = sorted(folder.glob("Imgs/*.jpg"))
        if folder.name == "MT_Free":
            yield from _drawn(images, rng, share, "magnetic-tile")
            continue
        label = folder.name.removeprefix("MT_").lower()
        for image in images:
            mask = image.with_suffix(".png")
            yield _Piece(image, "test", label, image.name, mask if mask.is_file() else None, "magnetic-tile")


def _deeppcb(source: Path, rng: np.random.Generator, share: float) -> Iterator[_Piece]:
    """Templates are the good images; every board is tested, its boxes are its mask, and its template lies beside."""
    for template in sorted(source.rglob("*_temp.jpg")):
        name = template.name.removesuffix("_temp.jpg")
        board = template.with_name(f"{name}_test.jpg")
        boxes = template.parent.with_name(f"{template.parent.name}_not") / f"{name}.txt"
        yield _Piece(template, "train", GOOD, f"{name}.jpg", category="deeppcb")
        if board.is_file():
            mask = _boxes(boxes, read_image(board).pixels.shape[:2]) if boxes.is_file() else None
            yield _Piece(board, "test", "defective", f"{name}.jpg", mask, "deeppcb")
            yield _Piece(template, "template", "defective", f"{name}.jpg", category="deeppcb")


def _elpv(source: Path, rng: np.random.Generator, share: float) -> Iterator[_Piece]:
    """Functional and certainly defective cells; those between are kept apart by their probability."""
    cells: dict[str, list[Path]] = {}
    with (source / "labels.csv").open(encoding="utf-8") as lines:
        for line in lines:
            parts = line.split()
            if len(parts) == 3:
                label = _ELPV_SURE.get(parts[1], f"doubtful-{float(parts[1]):.2f}")
                cells.setdefault(label, []).append(source / parts[0])
    yield from _drawn(cells.pop(GOOD, []), rng, share, "elpv")
    for label, images in sorted(cells.items()):
        for image in images:
            yield _Piece(image, "test", label, image.name, category="elpv")


def _visa(source: Path, rng: np.random.Generator, share: float) -> Iterator[_Piece]:
    table = source / "split_csv" / "1cls.csv"
    if not table.is_file():
        raise DataError(f"`{table}` is missing: it says which images of VisA are for training.")
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            image = source / row["image"]
            label = GOOD if row["label"] == "normal" else "defective"
            mask = source / row["mask"] if row.get("mask") else None
            # Normal and anomalous images have the same names.
            name = image.name if label == GOOD else f"a{image.name}"
            yield _Piece(image, row["split"], label, name, mask, row["object"])


def _aebad(source: Path, rng: np.random.Generator, share: float) -> Iterator[_Piece]:
    """Blades: a folder for the domain (illumination, view, ...) lies below each label, and becomes part of the name."""
    for part in ("train", "test"):
        for label in sorted(child for child in (source / part).glob("*") if child.is_dir()):
            for image in sorted(label.glob("*/*")):
                if is_image_name(image.name):
                    mask = source / "ground_truth" / label.name / image.parent.name / f"{image.stem}.png"
                    name = f"{image.parent.name}-{image.name}"
                    yield _Piece(image, part, label.name, name, mask if mask.is_file() else None, "aebad")


SETS: dict[str, Callable[[Path, np.random.Generator, float], Iterator[_Piece]]] = {
    "magnetic-tile": _magnetic_tile,
    "deeppcb": _deeppcb,
    "elpv": _elpv,
    "visa": _visa,
    "aebad": _aebad,
}


def _drawn(images: list[Path], rng: np.random.Generator, share: float, category: str) -> Iterator[_Piece]:
    """Yield good images, a share of them for training."""
    learnt = set(rng.permutation(len(images))[: round(share * len(images))].tolist())
    for at, image in enumerate(images):
        yield _Piece(image, "train" if at in learnt else "test", GOOD, image.name, category=category)


def _boxes(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask (height, width) of DeepPCB's boxes: lines of x1 y1 x2 y2 type."""
    mask = np.zeros(shape, bool)
    for left, top, right, bottom, _ in read_boxes(file):
        mask[top:bottom, left:right] = True
    return mask


def read_boxes(file: Path) -> list[tuple[int, int, int, int, str]]:
    """Return the boxes (left, top, right, bottom, defect) of a board of DeepPCB. Raises DataError for other lines."""
    made = list[tuple[int, int, int, int, str]]()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        values = [int(value) for value in re.findall(r"-?\d+", line)]
        if not values:
            continue
        if len(values) != 5 or not 1 <= values[4] <= len(PCB_DEFECTS):
            raise DataError(f"Line {number} of `{file}` is `{line[:60]}`: expected x1 y1 x2 y2 and a type of 1 to 6.")
        left, top, right, bottom, number = values
        made.append((left, top, right, bottom, PCB_DEFECTS[number - 1]))
    return made


def boxes_beside(image: Path) -> list[tuple[int, int, int, int, str]] | None:
    """Return the boxes marked for an image: in NAME.txt beside it, or in the folder beside that ends in `_not`, as in
    DeepPCB; None where there is no such file.
    """
    name = image.stem.removesuffix("_test")
    places = (image.with_name(f"{name}.txt"), image.parent.with_name(f"{image.parent.name}_not") / f"{name}.txt")
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else read_boxes(found)


def _write(piece: _Piece, folder: Path) -> None:
    from PIL import Image as Pillow

    place = folder / piece.place / piece.label
    place.mkdir(parents=True, exist_ok=True)
    if not piece.file.is_file():
        raise DataError(f"`{piece.file}` is missing: check that the set was unpacked whole.")
    shutil.copyfile(piece.file, place / piece.name)
    if piece.mask is None or piece.label == GOOD:
        return
    mask = piece.mask if isinstance(piece.mask, np.ndarray) else read_mask(piece.mask)
    truth = folder / "ground_truth" / piece.label
    truth.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(mask.astype(np.uint8) * 255).save(truth / f"{Path(piece.name).stem}_mask.png")
