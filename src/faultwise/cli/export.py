"""`faultwise export`: a run as one file for other engines (ONNX), compared with the run before it is kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from faultwise.cli.out import note, print_json, watched

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("export", help="write a run as ONNX", description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, .onnx")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and print how far file and run are apart."""
    from faultwise.contracts.modality import Exports, able
    from faultwise.diagnoser import Diagnoser

    made = Diagnoser.load(args.run_folder, progress=watched(args))
    figures = able(made.model_, Exports, "be exported").export(args.out)  # type: ignore[type-abstract]
    if args.json:
        print_json({"file": str(args.out), **figures})
    else:
        note(f"{args.out}: {figures['megabytes']} MB; scores differ from the run's by {figures['apart']:.2g} at most.")
    return 0
