"""`faultwise calibrate`: what a run promises, learnt anew from labelled items that its fit has not seen.

The experts stay as they are. Normal history alone sets the alarm threshold; runs of every label also set the
coverage of fault sets and the limit beyond which a row is unknown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from faultwise.cli.flags import add_config_flags, add_modality_flags, add_run_arguments, opened, set_values
from faultwise.cli.out import note, print_json, print_notes

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("calibrate", help="calibrate a run's promises on new runs", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "labelled file or folder with the columns of the fit")
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder to write (default: the same)")
    parser.add_argument("--json", action="store_true", help="print what is promised as JSON")
    add_config_flags(parser)
    add_modality_flags(parser, "calibrate", "reading", "settings")


def run(args: argparse.Namespace) -> int:
    """Calibrate and save."""
    from faultwise.contracts.modality import Calibrates, able, modality
    from faultwise.contracts.settings import dotted, read_settings
    from faultwise.runs.folders import check_target

    out = args.out or args.run_folder
    if args.out:
        check_target(args.out)
    made, reading, _ = opened(args, "calibrate", "reading", "settings")
    model = able(made.model_, Calibrates, "be calibrated anew")  # type: ignore[type-abstract]
    config = dotted(read_settings(args.config)) if args.config else {}
    # A file of settings is often that of the fit: what cannot change any more is of no interest here.
    changes = {name: value for name, value in config.items() if name in model.changeable}
    changes |= set_values(args.set, modality(made.modality_).settings)
    flags = {name: getattr(args, name, None) for name in model.changeable}
    changes |= {name: value for name, value in flags.items() if value is not None}
    result = model.calibrate(args.source, reading, changes)
    print_notes(result.notes)
    folder = made.save(out)
    if args.json:
        print_json({"run": str(folder), **result.figures})
        return 0
    print("\n".join(result.sentences))
    note(f"Run folder: {out}")
    return 0
