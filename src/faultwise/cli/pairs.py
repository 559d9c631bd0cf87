"""Pairs of image and template on the command line: what `fit`, `diagnose` and `evaluate` do with them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from faultwise.cli.flags import refuse
from faultwise.cli.out import print_json, print_table, say, say_by_kind, say_notes, watched

if TYPE_CHECKING:
    from faultwise.images.data.image_folders import ImageSet
    from faultwise.images.pair_inspector import PairInspector

__all__ = ["evaluate_pairs", "fit_pairs", "opened_pairs"]

_OF_SINGLE_IMAGES = ("side", "bank", "backbone", "resizing", "simulated", "held_out", "false_alarm_rate", "talk")


def fit_pairs(args: argparse.Namespace, images: ImageSet) -> int:
    """Choose the rule for marked boxes and learn their kinds; without boxes, keep the plain rule."""
    from faultwise.images.data.image_converting import boxes_beside
    from faultwise.images.pair_inspector import PairInspector

    refuse(args, _OF_SINGLE_IMAGES, f"is for single images, and `{args.source}` holds pairs with templates")
    inspector = PairInspector(progress=watched(args), seed=args.seed or 0)
    boxes = [boxes_beside(item.path) for item in images.test]
    marked = [at for at, one in enumerate(boxes) if one is not None]
    notes = list(images.notes)
    if any(boxes[at] for at in marked):
        inspector.fit(_pairs(images, marked), [boxes[at] or [] for at in marked])
        notes.append(f"The rule was chosen for the boxes of {len(marked)} pairs.")
    else:
        notes.append(
            "No boxes lie beside the images (NAME.txt with x1 y1 x2 y2 kind), so the plain rule is kept and no kinds "
            "are named."
        )
    say_notes([*notes, inspector.limit.note])
    folder = inspector.save(args.out)
    if args.json:
        print_json({"run": str(folder), "rule": asdict(inspector.settings), "notes": notes})
        return 0
    print_table([{"pairs": len(images.test), "with boxes": len(marked), **asdict(inspector.settings)}])
    say(f"Run folder: {folder}")
    return 0


def opened_pairs(args: argparse.Namespace) -> tuple[PairInspector, ImageSet]:
    """Return the run and the pairs of the source. Raises UserError for a source without templates."""
    from faultwise.contracts.errors import DataError
    from faultwise.images.data.image_folders import read_image_set
    from faultwise.images.pair_inspector import PairInspector

    inspector = PairInspector.load(args.run_folder, progress=watched(args))
    images = read_image_set(args.source)
    if images.layout != "pairs":
        raise DataError(
            f"`{args.run_folder}` compares images with templates, and `{args.source}` holds no templates: expected "
            "files NAME_test and NAME_temp, or folders `query` and `template`."
        )
    say_notes(images.notes)
    return inspector, images


def pairs_of(images: ImageSet) -> list[Any]:
    """The pairs (image, template) of a set."""
    return _pairs(images, list(range(len(images.test))))


def evaluate_pairs(args: argparse.Namespace) -> int:
    """Judge a run on pairs with marked boxes: defects hit, false regions, kinds."""
    from faultwise.contracts.errors import DataError
    from faultwise.images.data.image_converting import boxes_beside
    from faultwise.images.detection.templates import box_figures
    from faultwise.images.metrics import f1_by_kind
    from faultwise.images.pair_inspector import kinds_said

    inspector, images = opened_pairs(args)
    boxes = [boxes_beside(item.path) for item in images.test]
    marked = [at for at, one in enumerate(boxes) if one is not None]
    if not marked:
        raise DataError(f"No boxes lie beside the images of `{args.source}`: expected NAME.txt with x1 y1 x2 y2 kind.")
    wanted = [np.array([box[:4] for box in boxes[at] or []], int).reshape(-1, 4) for at in marked]
    found = list(inspector.inspect_all(_pairs(images, marked)))
    regions = [np.array([region.box for region in one.regions], int).reshape(-1, 4) for one in found]
    result: dict[str, Any] = {"pairs": len(marked), **box_figures(regions, wanted)}
    result["f1_by_kind"] = f1_by_kind(*kinds_said(found, [boxes[at] or [] for at in marked]))
    if args.json:
        print_json(result)
        return 0
    print_table([{key: value for key, value in result.items() if key != "f1_by_kind"}])
    say_by_kind("F1", result["f1_by_kind"])
    return 0


def _pairs(images: ImageSet, at: list[int]) -> list[Any]:
    return [(images.test[one].path, images.test[one].template) for one in at]
