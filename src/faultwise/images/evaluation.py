"""Figures of an inspector on labelled images, or on pairs with marked boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from faultwise.contracts.diagnosis import Evaluation
from faultwise.contracts.errors import DataError
from faultwise.images.cases import Detector
from faultwise.images.data.image_converting import boxes_beside
from faultwise.images.data.image_sets import GOOD, ImageSet
from faultwise.images.data.images import Pixels
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.templates import box_figures
from faultwise.images.few_shot import pixel_figures
from faultwise.images.inspection import Inspection
from faultwise.images.metrics import auroc_by_kind, f1_by_kind, image_figures
from faultwise.images.pair_inspector import PairInspector, matched_types

__all__ = ["MapsImages", "evaluated", "evaluated_pairs", "labelled_pairs"]


class MapsImages(Detector, Protocol):
    """What gives anomaly maps of single images."""

    def maps(self, images: Sequence[Pixels]) -> Iterator[np.ndarray]:
        """Yield each image's anomaly map, (rows, columns)."""
        ...

    def inspect_all(self, images: Sequence[Pixels]) -> Iterator[Inspection]:
        """Yield the result for each image, in their order."""
        ...


def evaluated(inspector: MapsImages, images: ImageSet, types: Sequence[str] = ()) -> Evaluation:
    """Return the figures on labelled images; `types` are the types of defects that were learnt."""
    items = images.test
    labels = np.array([item.label for item in items])
    maps = list(inspector.maps([item.path for item in items]))
    scores = np.array([image_score(one) for one in maps])
    figures: dict[str, object] = {
        "images": len(items),
        **image_figures(scores, labels != GOOD, inspector.threshold.value),
        "promised": inspector.threshold.promised,
        **pixel_figures(items, maps),
    }
    row = dict(figures)
    areas = auroc_by_kind(scores, labels, GOOD)
    figures["by_kind"], sentences = areas, [_by_type("Image AUROC", areas)]
    if known := set(types) & set(labels.tolist()):
        shown = [item for item in items if item.label in known]
        predicted = [str(one.defect) for one in inspector.inspect_all([item.path for item in shown])]
        scored = f1_by_kind([item.label for item in shown], predicted)
        figures["f1_by_kind"] = scored
        sentences.append(_by_type("F1", scored))
    return Evaluation(figures, (("", (row,)),), tuple(sentences), images.notes)


def labelled_pairs(images: ImageSet) -> tuple[list[tuple[Pixels, Pixels]], list[list[tuple[int, int, int, int, str]]]]:
    """Return the pairs (image, template) that have boxes marked beside them, and these boxes."""
    pairs, boxes = list[tuple[Pixels, Pixels]](), list[list[tuple[int, int, int, int, str]]]()
    for item in images.test:
        marked = boxes_beside(item.path)
        if marked is not None and item.template is not None:
            pairs.append((item.path, item.template))
            boxes.append(marked)
    return pairs, boxes


def evaluated_pairs(inspector: PairInspector, images: ImageSet) -> Evaluation:
    """Return the figures on pairs with marked boxes. Raises DataError where there are none."""
    pairs, boxes = labelled_pairs(images)
    if not pairs:
        raise DataError(
            f"No boxes lie beside the images of `{images.source}`: expected NAME.txt with x1 y1 x2 y2 type."
        )
    wanted = [np.array([box[:4] for box in one], int).reshape(-1, 4) for one in boxes]
    found = list(inspector.inspect_all(pairs))
    regions = [np.array([region.box for region in one.regions], int).reshape(-1, 4) for one in found]
    row: dict[str, object] = {"pairs": len(pairs), **box_figures(regions, wanted)}
    scored = f1_by_kind(*matched_types(found, boxes))
    return Evaluation({**row, "f1_by_kind": scored}, (("", (row,)),), (_by_type("F1", scored),), images.notes)


def _by_type(what: str, figures: Mapping[str, float | None]) -> str:
    """Return a figure of each type of defect in one sentence."""
    shown = ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in figures.items())
    return f"{what} by defect type: {shown}"
