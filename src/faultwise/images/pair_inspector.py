"""Images against their own templates: what differs beyond a tolerance, where, and of which kind.

Where boxes are given, the rule is chosen for them and kinds are learnt; without boxes the rule is the plain one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.images.data.images import read_image
from faultwise.images.detection.region_kinds import RegionKinds, region_measures
from faultwise.images.detection.regions import Region, contrast, place_of
from faultwise.images.detection.templates import SHARED, PairRule, compared, found_boxes, learnt_rule, overlaps
from faultwise.images.inspection import Inspection
from faultwise.runs.folders import located, read_manifest, write_run
from faultwise.verdicts.thresholds import GoodLimit

__all__ = ["Boxes", "Pair", "PairInspector", "kinds_said"]

Pair = tuple[str | Path, str | Path]
Boxes = Sequence[tuple[int, int, int, int, str]]

_CHOSEN_ON = 120  # pairs: more make the choice of the rule slow, not better


class PairInspector:
    """Compares images with their templates. `settings` is the rule."""

    def __init__(self, rule: PairRule | None = None, progress: bool = False, seed: int = 0) -> None:
        self.settings = rule or PairRule()
        self.progress = progress
        self.learnt = 0
        self.kinds = RegionKinds(seed)

    @property
    def limit(self) -> GoodLimit:
        """How many pixels of a region must differ; nothing is promised."""
        rule = self.settings
        note = (
            f"An image is called defective where {rule.area} pixels or more that hang together differ from its "
            f"template by over {rule.levels} grey levels, beyond {rule.tolerance} pixels of play. No rate is promised."
        )
        return GoodLimit(float(rule.area), 0.0, None, 0.0, self.learnt, note)

    @property
    def learnt_from(self) -> str:
        """What was learnt from, in words."""
        return f"{self.learnt} pairs with marked boxes" if self.learnt else "no boxes: the plain rule"

    @property
    def map_words(self) -> str:
        """What the map's colour means."""
        return (
            f"Colour says how far the image differs from its template in grey levels, beyond {self.settings.tolerance} "
            "pixels of play. Boxes are regions, drawn with a margin."
        )

    @property
    def region_limit(self) -> float:
        """Grey levels that a region's pixels differ by at least."""
        return float(self.settings.levels)

    def fit(self, pairs: Sequence[Pair], boxes: Sequence[Boxes]) -> PairInspector:
        """Choose the rule for marked boxes (one list for each pair of image and template), and learn their kinds.

        Raises UserError where no box is given.
        """
        if not any(len(one) for one in boxes):
            raise UserError("No box is marked in any pair: without them there is nothing to learn; inspect at once.")
        wanted = [np.array([box[:4] for box in one], int).reshape(-1, 4) for one in boxes]
        drawn = np.sort(np.random.default_rng(self.kinds.seed).permutation(len(pairs))[:_CHOSEN_ON])
        shown = self._watched((_read(pairs[at]) for at in drawn), len(drawn), "rule")
        self.settings = learnt_rule(shown, [wanted[at] for at in drawn], self.settings)
        measures, kinds = list[np.ndarray](), list[str]()
        for at, (image, template) in enumerate(self._watched(map(_read, pairs), len(pairs), "kinds")):
            comparison = compared(image, template, self.settings.tolerance)
            found = found_boxes(comparison, self.settings)
            shared = overlaps(found, wanted[at])
            for number in range(len(found)):
                if shared.shape[1] and shared[number].max() > SHARED:
                    measures.append(region_measures(comparison, found[number], self.settings.levels))
                    kinds.append(boxes[at][int(shared[number].argmax())][4])
        if kinds:
            self.kinds.fit(np.stack(measures), kinds)
        self.learnt = len(pairs)
        return self

    def inspect(self, image: str | Path | np.ndarray, template: str | Path | np.ndarray) -> Inspection:
        """Return what is said of an image beside its template. Raises UserError for two sizes."""
        pixels, other = (one if isinstance(one, np.ndarray) else read_image(one).pixels for one in (image, template))
        rule = self.settings
        comparison = compared(pixels, other, rule.tolerance)
        boxes = found_boxes(comparison, rule)
        odd = np.abs(comparison.difference)
        named = self.kinds.named(
            np.stack([region_measures(comparison, box, rule.levels) for box in boxes])
            if len(boxes)
            else np.empty((0, 0))
        )
        made = [self._region(comparison.image, odd, box) for box in boxes]
        if named:
            made = [replace(one, kind=kind, sure=sure) for one, (kind, sure) in zip(made, named, strict=True)]
        areas = [int((odd[box[1] : box[3], box[0] : box[2]] > rule.levels).sum()) for box in boxes]
        order = sorted(range(len(made)), key=lambda at: -areas[at])
        return Inspection(
            name="image" if isinstance(image, np.ndarray) else str(image),
            score=float(max(areas, default=0)),
            limit=self.limit,
            defective=bool(made),
            as_odd=None,
            regions=tuple(made[at] for at in order),
            heat=odd.astype(np.float32),
            region_limit=self.region_limit,
            pixels=pixels,
        )

    def inspect_all(self, pairs: Sequence[Pair]) -> Iterator[Inspection]:
        """Yield what is said of each pair of image and template, in their order."""
        for image, template in self._watched(pairs, len(pairs), "inspecting"):
            yield self.inspect(image, template)

    def save(self, folder: str | Path) -> Path:
        """Write a run folder: manifest with the rule, and the examples of kinds."""

        def write(place: Path) -> None:
            if self.kinds.kinds:
                self.kinds.save(place)

        manifest = {
            "kind": "pairs",
            "settings": asdict(self.settings),
            "learnt": self.learnt,
            "seed": self.kinds.seed,
            "with_kinds": bool(self.kinds.kinds),
        }
        return write_run(Path(folder), manifest, write)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False) -> PairInspector:
        """Read a run folder. Raises RunFolderError for one of another kind, or that was changed."""
        folder = located(Path(folder))
        manifest = read_manifest(folder)
        if manifest.get("kind") != "pairs":
            raise RunFolderError(f"`{folder}` is no run on pairs of image and template.")
        made = cls(PairRule(**manifest["settings"]), progress, manifest["seed"])
        made.learnt = manifest["learnt"]
        if manifest["with_kinds"]:
            made.kinds.load(folder)
        return made

    def _region(self, grey: np.ndarray, odd: np.ndarray, box: np.ndarray) -> Region:
        left, top, right, bottom = (int(one) for one in box)
        inside = np.zeros(odd.shape, bool)
        inside[top:bottom, left:right] = odd[top:bottom, left:right] > self.settings.levels
        y, x = np.nonzero(inside)
        middle = int(y.mean()), int(x.mean())
        return Region(
            box=(left, top, right, bottom),
            area=float(inside.sum() / inside.size),
            score=float(odd[inside].max()),
            contrast=contrast(grey.astype(np.float32), inside, (slice(top, bottom), slice(left, right))),
            place=place_of(middle, (odd.shape[0], odd.shape[1])),
            peak=middle,
        )

    def _watched(self, made: Iterable[Any], count: int, words: str) -> Iterator[Any]:
        hide = not self.progress or count < 10
        yield from tqdm(made, total=count, desc=words, unit="pair", disable=hide, leave=False, file=sys.stderr)


def kinds_said(found: Sequence[Inspection], marked: Sequence[Boxes]) -> tuple[list[str], list[str]]:
    """Return the kind of each marked box of each image, and what was said of it: "missed" where no region is it."""
    true, said = list[str](), list[str]()
    for one, boxes in zip(found, marked, strict=True):
        shared = overlaps(np.array([region.box for region in one.regions]), np.array([box[:4] for box in boxes]))
        for number, box in enumerate(boxes):
            best = int(shared[:, number].argmax()) if len(shared) else -1
            true.append(box[4])
            said.append(str(one.regions[best].kind) if best >= 0 and shared[best, number] > SHARED else "missed")
    return true, said


def _read(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    return read_image(pair[0]).pixels, read_image(pair[1]).pixels
