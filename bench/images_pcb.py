"""DeepPCB: boards against their templates. Rule and types are learnt on group00041, judged on group12000.

Beside it plain differencing: no shift, no tolerance, its levels, areas and margins chosen in the same way.

    python bench/images_pcb.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from faultwise.images.data.image_converting import read_boxes
from faultwise.images.data.images import pixels_of
from faultwise.images.detection.templates import Comparison, PairRule, box_figures, found_boxes, learnt_rule
from faultwise.images.pair_inspector import Pair, PairInspector, matched_types
from recipe import data_folder, write_result

LEARNT, JUDGED = "00041", "12000"


def boards(group: str) -> tuple[list[Pair], list[list[tuple[int, int, int, int, str]]]]:
    """The boards of a group with their templates, and their boxes."""
    folder = data_folder("deeppcb") / f"group{group}"
    pairs, boxes = list[Pair](), []
    for image in sorted((folder / group).glob("*_test.jpg")):
        name = image.name.removesuffix("_test.jpg")
        pairs.append((image, image.with_name(f"{name}_temp.jpg")))
        boxes.append(read_boxes(folder / f"{group}_not" / f"{name}.txt"))
    return pairs, boxes


def corners(boxes: list[list[tuple[int, int, int, int, str]]]) -> list[np.ndarray]:
    """The boxes of each board without their types."""
    return [np.array([box[:4] for box in one], int).reshape(-1, 4) for one in boxes]


def pixels(pairs: list[Pair]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Image and template of each pair."""
    for image, template in pairs:
        yield pixels_of(image), pixels_of(template)


def plain(image: np.ndarray, template: np.ndarray) -> Comparison:
    """The bare difference."""
    here, there = (one.astype(np.float32).mean(axis=2).astype(np.int16) for one in (image, template))
    return Comparison(here - there, here.astype(np.uint8), there.astype(np.uint8))


def differencing(learn: list[Pair], wanted: list[np.ndarray], judge: list[Pair], true: list[np.ndarray]) -> Any:
    """The figures of plain differencing with a rule chosen as ours is."""
    rule = learnt_rule(
        pixels(learn), wanted, compare=lambda image, template, tolerances: [plain(image, template)] * len(tolerances)
    )
    return {**box_figures([found_boxes(plain(*both), rule) for both in pixels(judge)], true)}


def main() -> None:
    """Learn, judge and write results/images_pcb.json."""
    learn, boxes = boards(LEARNT)
    judge, true = boards(JUDGED)
    started = time.perf_counter()
    inspector = PairInspector().fit(learn, boxes)
    fit_s = time.perf_counter() - started
    figures: dict[str, Any] = {"fit_s": fit_s, "boards_learnt": len(learn), "boards_judged": len(judge)}
    for name, pairs, marked in (("learnt", learn[::4], boxes[::4]), ("judged", judge, true)):
        started = time.perf_counter()
        found = list(inspector.inspect_all(pairs))
        each = (time.perf_counter() - started) / len(pairs)
        regions = [np.array([region.box for region in one.regions]).reshape(-1, 4) for one in found]
        figures[name] = {**box_figures(regions, corners(marked)), "pair_ms": 1000 * each}
        wanted, predicted = matched_types(found, marked)
        labels = sorted(set(wanted))
        figures[name]["f1"] = dict(
            zip(labels, f1_score(wanted, predicted, labels=labels, average=None).tolist(), strict=True)
        )
        figures[name]["macro_f1"] = float(f1_score(wanted, predicted, labels=labels, average="macro"))
        print(name, figures[name], flush=True)
    figures["differencing"] = differencing(learn[::4], corners(boxes[::4]), judge, corners(true))
    print(figures["differencing"], flush=True)
    rule: PairRule = inspector.rule
    write_result("images_pcb", {name: getattr(rule, name) for name in PairRule.__slots__}, "deeppcb", figures)


if __name__ == "__main__":
    main()
