"""`faultwise calibrate`: what a run promises, learnt anew from labelled items that its fit has not seen.

The experts stay as they are. Normal history alone sets the alarm threshold; runs of every label also set the
coverage of fault sets and the limit beyond which a row is unknown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from faultwise.cli.fit import print_evaluation
from faultwise.cli.flags import add_reading_flags, add_run_arguments, add_setting_flags, reading_of, set_values
from faultwise.cli.out import note, print_json, print_notes, watched

__all__ = ["add", "run"]

_CHANGED = ("false_alarm_rate", "coverage", "coverage_per", "novel_rate")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("calibrate", help="calibrate a run's promises on new runs", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "labelled file or folder with the columns of the fit")
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder to write (default: the same)")
    parser.add_argument("--json", action="store_true", help="print what is promised as JSON")
    add_reading_flags(parser, but=("group", "time", "ignore", "about", "rules"))
    add_setting_flags(parser, _CHANGED)


def run(args: argparse.Namespace) -> int:
    """Calibrate and save."""
    from faultwise.contracts.modality import Calibrates, able, modality
    from faultwise.contracts.settings import read_settings
    from faultwise.diagnoser import Diagnoser
    from faultwise.runs.folders import check_target

    out = args.out or args.run_folder
    if args.out:
        check_target(args.out)
    made = Diagnoser.load(args.run_folder, progress=watched(args))
    model = able(made.model_, Calibrates, "be calibrated anew")  # type: ignore[type-abstract]
    kind = modality(made.modality_)
    # What is not asked for stays as it was in the fit.
    changes = {**(read_settings(args.config) if args.config else {}), **set_values(args.set, kind.settings)}
    changes |= {name: getattr(args, name) for name in _CHANGED if getattr(args, name) is not None}
    result = model.calibrate(args.source, reading_of(args, kind.reading), changes)
    print_notes(result.notes)
    folder = made.save(out)
    if args.json:
        print_json({"run": str(folder), **result.figures})
        return 0
    print_evaluation(result)
    note(f"Run folder: {out}")
    return 0
