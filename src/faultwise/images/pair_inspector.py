"""Images against their own templates: what differs beyond a tolerance, where, and of which type.

Where boxes are given, the rule is chosen for them and types of defects are learnt; without boxes the rule is the plain
one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.progress import tracked
from faultwise.images.data.images import Pixels, named, pixels_of
from faultwise.images.detection.defect_types import DefectTypes, region_measures
from faultwise.images.detection.regions import Region, contrast, place_of
from faultwise.images.detection.templates import SHARED, PairRule, compared, found_boxes, learnt_rule, overlaps
from faultwise.images.detection.thresholds import Threshold
from faultwise.images.inspection import Inspection

__all__ = ["Boxes", "Pair", "PairInspector", "matched_types"]

Pair = tuple[Pixels, Pixels]  # an image and its template
Boxes = Sequence[tuple[int, int, int, int, str]]
_Item = TypeVar("_Item")

_CHOSEN_ON = 120  # pairs: more make the choice of the rule slow, not better
_MAP = 256  # cells along the longer side of the map that is kept


class PairInspector:
    """Compares images with their templates by a `rule`; `learnt` is the number of pairs that it was chosen on."""

    name = "template"

    def __init__(self, rule: PairRule | None = None, progress: bool = False, seed: int = 0) -> None:
        self.rule = rule or PairRule()
        self.progress = progress
        self.learnt = 0
        self.types = DefectTypes(seed)

    @property
    def threshold(self) -> Threshold:
        """How many pixels of a region must differ; nothing is promised."""
        rule = self.rule
        note = (
            f"An image is flagged as defective where {rule.area} connected pixels or more differ from its template by "
            f"over {rule.levels} grey levels, with {rule.tolerance} pixels of tolerance. No rate is promised."
        )
        return Threshold(float(rule.area), 0.0, None, 0.0, self.learnt, note)

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        return f"{self.learnt} pairs with marked boxes" if self.learnt else "no boxes: the plain rule"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return (
            f"Colour shows how far the image differs from its template in grey levels, with {self.rule.tolerance} "
            "pixels of tolerance. Boxes are regions, drawn with a margin."
        )

    @property
    def region_threshold(self) -> float:
        """Grey levels that a region's pixels differ by at least."""
        return float(self.rule.levels)

    def fit(self, pairs: Sequence[Pair], boxes: Sequence[Boxes]) -> PairInspector:
        """Choose the rule for marked boxes (one list for each pair of image and template), and learn their types.

        Raises UserError where no box is given.
        """
        if not any(len(one) for one in boxes):
            raise UserError("No box is marked in any pair: without them there is nothing to learn; inspect at once.")
        wanted = [np.array([box[:4] for box in one], int).reshape(-1, 4) for one in boxes]
        drawn = np.sort(np.random.default_rng(self.types.seed).permutation(len(pairs))[:_CHOSEN_ON])
        shown = self._watched((_read(pairs[at]) for at in drawn), len(drawn), "rule")
        self.rule = learnt_rule(shown, [wanted[at] for at in drawn], self.rule)
        measures, labels = list[np.ndarray](), list[str]()
        for at, (image, template) in enumerate(self._watched(map(_read, pairs), len(pairs), "defect types")):
            comparison = compared(image, template, self.rule.tolerance)
            found = found_boxes(comparison, self.rule)
            shared = overlaps(found, wanted[at])
            for number in range(len(found)):
                if shared.shape[1] and shared[number].max() > SHARED:
                    measures.append(region_measures(comparison, found[number], self.rule.levels))
                    labels.append(boxes[at][int(shared[number].argmax())][4])
        if labels:
            self.types.fit(np.stack(measures), labels)
        self.learnt = len(pairs)
        return self

    def inspect(self, image: Pixels, template: Pixels, number: int = 0) -> Inspection:
        """Return the result for an image beside its template. Raises UserError for two sizes."""
        comparison = compared(pixels_of(image), pixels_of(template), self.rule.tolerance)
        boxes = found_boxes(comparison, self.rule)
        differences = np.abs(comparison.difference)
        measures = [region_measures(comparison, box, self.rule.levels) for box in boxes]
        types = self.types.named(np.stack(measures) if measures else np.empty((0, 0)))
        made = [self._region(comparison.image, differences, box) for box in boxes]
        if types:
            made = [replace(one, defect=name, probability=p) for one, (name, p) in zip(made, types, strict=True)]
        areas = [int((differences[box[1] : box[3], box[0] : box[2]] > self.rule.levels).sum()) for box in boxes]
        order = sorted(range(len(made)), key=lambda at: -areas[at])
        return Inspection(
            name=named(image, number),
            score=float(max(areas, default=0)),
            threshold=self.threshold,
            defective=bool(made),
            p_value=None,
            regions=tuple(made[at] for at in order),
            region_threshold=self.region_threshold,
            scores=_block_maxima(differences),
            read=partial(pixels_of, image),
        )

    def inspect_all(self, pairs: Sequence[Pair]) -> Iterator[Inspection]:
        """Yield the result for each pair of image and template, in their order."""
        for number, (image, template) in enumerate(self._watched(pairs, len(pairs), "inspecting")):
            yield self.inspect(image, template, number)

    def write(self, folder: Path) -> dict[str, object]:
        """Write the examples of defect types; return the rule and what else the manifest has to hold."""
        if self.types.labels:
            self.types.save(folder)
        typed = bool(self.types.labels)
        return {"rule": asdict(self.rule), "learnt": self.learnt, "seed": self.types.seed, "with_types": typed}

    @classmethod
    def load(cls, folder: Path, manifest: Mapping[str, object], progress: bool = False) -> PairInspector:
        """Read what `write` wrote. Raises RunFolderError for anything else."""
        rule, seed, learnt = manifest.get("rule"), manifest.get("seed"), manifest.get("learnt")
        if not isinstance(rule, Mapping) or not isinstance(seed, int) or not isinstance(learnt, int):
            raise RunFolderError(f"`{folder}` holds no rule for pairs of image and template: fit again.")
        made = cls(PairRule(**rule), progress, seed)
        made.learnt = learnt
        if manifest.get("with_types"):
            made.types.load(folder)
        return made

    def _region(self, grey: np.ndarray, differences: np.ndarray, box: np.ndarray) -> Region:
        left, top, right, bottom = (int(one) for one in box)
        inside = np.zeros(differences.shape, bool)
        inside[top:bottom, left:right] = differences[top:bottom, left:right] > self.rule.levels
        y, x = np.nonzero(inside)
        middle = int(y.mean()), int(x.mean())
        return Region(
            box=(left, top, right, bottom),
            area=float(inside.sum() / inside.size),
            score=float(differences[inside].max()),
            contrast=contrast(grey.astype(np.float32), inside, (slice(top, bottom), slice(left, right))),
            place=place_of(middle, (differences.shape[0], differences.shape[1])),
            peak=middle,
        )

    def _watched(self, made: Iterable[_Item], count: int, words: str) -> Iterator[_Item]:
        hide = not self.progress or count < 10
        yield from tracked(made, total=count, desc=words, disable=hide)


def matched_types(found: Sequence[Inspection], marked: Sequence[Boxes]) -> tuple[list[str], list[str]]:
    """Return the type of each marked box of each image, and that of its region: "missed" where no region is it."""
    true, predicted = list[str](), list[str]()
    for one, boxes in zip(found, marked, strict=True):
        shared = overlaps(np.array([region.box for region in one.regions]), np.array([box[:4] for box in boxes]))
        for number, box in enumerate(boxes):
            best = int(shared[:, number].argmax()) if len(shared) else -1
            true.append(box[4])
            hit = best >= 0 and shared[best, number] > SHARED
            predicted.append(str(one.regions[best].defect) if hit else "missed")
    return true, predicted


def _read(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return pixels_of(pair[0]), pixels_of(pair[1])


def _block_maxima(differences: np.ndarray) -> np.ndarray:
    """Return differences (height, width) as a map of 256 cells along the longer side at most, each its highest."""
    step = -(-max(differences.shape) // _MAP)
    rows, columns = (np.arange(0, length, step) for length in differences.shape)
    made = np.maximum.reduceat(np.maximum.reduceat(differences, rows, axis=0), columns, axis=1)
    return made.astype(np.uint8)
