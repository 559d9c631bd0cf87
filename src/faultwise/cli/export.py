"""`faultwise export`: a run on images as one ONNX file for other engines, compared with the run before it is kept."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.out import print_json, say, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("export", help="write a run on images as ONNX", description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit on images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, .onnx")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say how far file and run are apart."""
    from faultwise.images.exporting import export
    from faultwise.images.inspector import Inspector

    figures = export(Inspector.load(args.run_folder, progress=watched(args)), args.out)
    if args.json:
        print_json({"file": str(args.out), **figures})
    else:
        say(f"{args.out}: {figures['megabytes']} MB; scores differ from the run's by {figures['apart']:.2g} at most.")
    return 0
