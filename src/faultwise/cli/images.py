"""Images on the command line: what `fit`, `diagnose` and `evaluate` do where the source holds images."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faultwise.cli.flags import image_settings, refuse
from faultwise.cli.out import plain, print_json, print_table, say, say_by_kind, say_notes, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faultwise.images.data.image_folders import ImageSet
    from faultwise.images.inspection import Inspection
    from faultwise.images.inspector import Inspector
    from faultwise.images.pair_inspector import PairInspector
    from faultwise.images.text_inspector import TextInspector

__all__ = ["diagnose_images", "evaluate_images", "fit_images", "is_run_on_images"]

_SHOWN = 20


def is_run_on_images(folder: Path) -> bool:
    """Whether a run folder was made from images, or pairs of them; False also for what is no run folder."""
    return _kind(folder) in ("images", "pairs", "texts")


def _kind(folder: Path) -> object:
    import json

    from faultwise.runs.folders import located

    try:
        manifest = json.loads((located(folder) / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # whoever loads it says what is wrong
    return manifest.get("kind") if isinstance(manifest, dict) else None


def fit_images(args: argparse.Namespace) -> int:
    """Learn the good images of a folder and save the run."""
    settings = image_settings(args)
    if args.zero_shot is not None:
        unused = [*(field for field in asdict(settings) if field != "backbone"), "category"]
        refuse(args, unused, "changes nothing without good images (--zero-shot)")
        return _fit_without_images(args, settings.backbone)
    from faultwise.contracts.errors import DataError
    from faultwise.images.inspector import Inspector

    images, white = _read(args.source, args.category, watched(args))
    if images.layout == "pairs":
        from faultwise.cli.pairs import fit_pairs

        return fit_pairs(args, images)
    if not images.train:
        raise DataError(
            f"`{args.source}` has nothing in `train/good`, so there are no good images to learn from: give a folder of "
            f"them, or the MVTec layout. {' '.join(images.notes)}"
        )
    inspector = Inspector(settings, progress=watched(args)).fit(
        [item.path for item in images.train], white, [(item.path, item.label) for item in images.kinds]
    )
    notes = [*images.notes, *inspector.notes]
    say_notes(notes)
    if args.out.exists():
        say(f"The run in {args.out} is replaced.")
    folder = inspector.save(args.out)
    figures = {
        "good images": len(images.train),
        "set aside": inspector.limit.examples if inspector.limit.promised is not None else 0,
        "limit": inspector.limit.value,
        "false alarms promised": inspector.limit.promised,
    }
    if args.json:
        print_json(
            {"run": str(folder), "limit": asdict(inspector.limit), "suspects": inspector.suspects, "notes": notes}
        )
        return 0
    print_table([figures])
    say(f"Run folder: {folder}")
    return 0


def _fit_without_images(args: argparse.Namespace, backbone: str) -> int:
    """Save a run that judges by texts: no image of the source is learnt from."""
    from faultwise.images.text_inspector import TextInspector, TextSettings

    inspector = TextInspector(TextSettings(args.zero_shot, backbone))
    say_notes(inspector.notes)
    if args.out.exists():
        say(f"The run in {args.out} is replaced.")
    folder = inspector.save(args.out)
    if args.json:
        print_json({"run": str(folder), "limit": asdict(inspector.limit), "notes": list(inspector.notes)})
        return 0
    say(f"Run folder: {folder}")
    return 0


def diagnose_images(args: argparse.Namespace) -> int:
    """Inspect an image, or all images of a folder."""
    from faultwise.contracts.errors import UserError
    from faultwise.report.images import SUFFIXES, ImagePage

    unused = ("row", "lm_score_rows", "expert", "follow", "labels_only", "state", "idle")
    refuse(args, unused, f"is for tables, and `{args.run_folder}` was made from images")
    if args.report and args.report.suffix.lower() not in SUFFIXES:
        raise UserError(f"`{args.report}` ends in `{args.report.suffix}`: reports of images are .html or .json.")
    inspector, made = _inspections(args)
    page, said = ImagePage(inspector), list[dict[str, Any]]()
    for one in made:  # not kept: images are large
        said.append(one.to_dict())
        if args.report:
            page.add(one)
    if args.out:
        _write_table(args.out, said)
        say(f"Images: {args.out}")
    if args.report:
        page.save(args.report)
        say(f"Report: {args.report}")
    if args.json:
        print_json({"images": said, "limit": asdict(inspector.limit)})
        return 0
    for line in sorted(said, key=lambda line: -line["score"])[:_SHOWN]:
        print(plain(line["words"]))
    if len(said) > _SHOWN:
        print(f"... and {len(said) - _SHOWN} more; --out FILE.csv has them all.")
    say(f"{sum(line['defective'] for line in said)} of {len(said)} images are called defective. {inspector.limit.note}")
    return 0


def _inspections(args: argparse.Namespace) -> tuple[Inspector | PairInspector | TextInspector, Iterator[Inspection]]:
    """Return the run, and what it says of each image, or pair, of the source."""
    if _kind(args.run_folder) == "pairs":
        from faultwise.cli.pairs import opened_pairs, pairs_of

        pairs, images = opened_pairs(args)
        return pairs, pairs.inspect_all(pairs_of(images))
    inspector, images = _opened(args)
    return inspector, inspector.inspect_all([item.path for item in images.test])


def evaluate_images(args: argparse.Namespace) -> int:
    """Judge a run on labelled images: the test part of the MVTec layout."""
    import numpy as np

    from faultwise.contracts.errors import DataError
    from faultwise.images.data.image_folders import GOOD
    from faultwise.images.detection.memory_bank import image_score
    from faultwise.images.few_shot import pixel_figures
    from faultwise.images.metrics import auroc_by_kind, f1_by_kind, image_figures

    refuse(args, ("target", "lm_score_rows"), f"is for tables, and `{args.run_folder}` was made from images")
    if _kind(args.run_folder) == "pairs":
        from faultwise.cli.pairs import evaluate_pairs

        return evaluate_pairs(args)
    inspector, images = _opened(args)
    items = images.test
    labels = np.array([item.label for item in items])
    bad = labels != GOOD
    if images.layout != "mvtec" or not bad.any():
        raise DataError(f"`{args.source}` holds no images with a label: expected `test/good` and `test/KIND` in it.")
    maps = list(inspector.maps([item.path for item in items]))
    scores = np.array([image_score(one) for one in maps])
    result: dict[str, Any] = {
        "images": len(items),
        **image_figures(scores, bad, inspector.limit.value),
        "promised": inspector.limit.promised,
        **pixel_figures(items, maps),
        "by_kind": auroc_by_kind(scores, labels, GOOD),
    }
    if known := set(inspector.kinds.kinds) & set(labels.tolist()):
        shown = [item for item in items if item.label in known]
        said = [str(one.kind) for one in inspector.inspect_all([item.path for item in shown])]
        result["f1_by_kind"] = f1_by_kind([item.label for item in shown], said)
    if args.json:
        print_json(result)
        return 0
    print_table([{key: value for key, value in result.items() if "by_kind" not in key}])
    say_by_kind("Image AUROC", result["by_kind"])
    if "f1_by_kind" in result:
        say_by_kind("F1", result["f1_by_kind"])
    return 0


def _opened(args: argparse.Namespace) -> tuple[Inspector | TextInspector, ImageSet]:
    """Return the run, and the images of the source as a test: one file, the test part, or all of a plain folder."""
    from faultwise.images.data.image_folders import ImageItem, ImageSet
    from faultwise.images.data.images import white_of
    from faultwise.images.inspector import Inspector
    from faultwise.images.text_inspector import TextInspector

    made = TextInspector if _kind(args.run_folder) == "texts" else Inspector
    inspector = made.load(args.run_folder, progress=watched(args))
    if Path(args.source).is_file():
        return inspector, ImageSet(args.source, "", "plain", (), (ImageItem(Path(args.source)),))
    images, _ = _read(args.source, args.category, watched(args))
    if isinstance(inspector, TextInspector):  # no good images have said what is white
        inspector.white = white_of([item.path for item in images.test or images.train])
    # That images of a plain folder are good is for a fit to assume.
    say_notes(images.notes[images.layout == "plain" :])
    return inspector, images if images.test else images.with_items((), images.train, ())


def _read(source: str, category: str | None, progress: bool) -> tuple[ImageSet, int | None]:
    from faultwise.images.data.image_checks import checked
    from faultwise.images.data.image_folders import read_image_set

    images, report = checked(read_image_set(source, category), progress=progress)
    return images, report.white


def _write_table(out: Path, said: list[dict[str, Any]]) -> None:
    import pandas as pd

    from faultwise.runs.tables import write_table

    lines = [
        {
            **{name: one[name] for name in ("image", "defective", "score", "limit", "as_odd")},
            "regions": len(one["regions"]),
            "place": one["regions"][0]["place"] if one["regions"] else "",
            "kind": one["kind"] or "",
        }
        for one in said
    ]
    write_table(pd.DataFrame(lines), out)
