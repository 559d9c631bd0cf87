"""`faultwise bench`: the published protocol of few good images on a folder in the MVTec layout, published figures
beside ours."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.out import note, print_json, print_table, watched

if TYPE_CHECKING:
    from argparse import _SubParsersAction

__all__ = ["add", "run"]


def add(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("bench", help="1, 2 and 4 good images, beside published figures", description=__doc__)
    parser.add_argument("name", choices=("mvtec", "visa"), help="whose published figures are shown")
    parser.add_argument("source", type=Path, metavar="PATH", help="folder with a folder for each class")
    parser.add_argument("--shots", default="1,2,4", metavar="A,B", help="numbers of good images (default: 1,2,4)")
    parser.add_argument("--draws", type=int, default=5, metavar="N", help="draws of each (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run every class and print one table."""
    from faultwise.contracts.errors import UserError
    from faultwise.images.few_shot import PUBLISHED, classes_of, few_shot, macro

    try:
        shots = [int(one) for one in args.shots.split(",")]
    except ValueError:
        shots = []
    if not shots or min(shots) < 1 or args.draws < 1:
        raise UserError(f"--shots {args.shots} --draws {args.draws}: expected whole numbers of 1 or more.")
    found = classes_of(args.source)
    made = few_shot(found, shots, args.draws, progress=watched(args))
    lines, means = [one.to_dict() for one in made], [one.to_dict() for one in macro(made)]
    published = [
        {"class": name, "image_auroc": image / 100, "pixel_auroc": pixel / 100}
        for name, (image, pixel) in PUBLISHED[args.name].items()
    ]
    if args.json:
        print_json({"classes": lines, "macro": means, "published": published})
        return 0
    print_table([*lines, *(means if len(found) > 1 else []), *published])
    note(f"Published figures are of {args.name}'s own images and larger backbones; ours are of `{args.source}`.")
    note("Faultwise was not yet run on the original images.")
    return 0
