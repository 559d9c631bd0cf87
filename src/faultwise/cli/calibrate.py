"""`faultwise calibrate`: what a run promises, learnt anew from labelled runs that its fit has not seen.

The experts stay as they are. Normal history alone sets the alarm threshold; runs of every label set the coverage of
fault sets and the limit of what is unknown, too.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_fit_flags, fit_settings
from faultwise.cli.out import print_json, say, say_notes, watched

__all__ = ["add", "run"]

_FLAGS = ("false_alarm_rate", "coverage", "coverage_per", "novel_rate")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("calibrate", help="calibrate a run's promises on new runs", description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help="labelled file or folder with the columns of the fit")
    parser.add_argument("--out", type=Path, metavar="RUN", help="run folder to write (default: the same)")
    parser.add_argument("--target", metavar="COL", help="column with the label (default: that of the fit)")
    add_fit_flags(parser, _FLAGS)
    parser.add_argument("--json", action="store_true", help="print what is promised as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Calibrate and save."""
    from faultwise.diagnoser import Diagnoser
    from faultwise.runs.folders import check_target

    out = args.out or args.run_folder
    if args.out:
        check_target(args.out)
    diagnoser = Diagnoser.load(args.run_folder, progress=watched(args))
    # What is not asked for stays as it was in the fit.
    stored = {name: getattr(diagnoser, name) for name in _FLAGS}
    asked = asdict(fit_settings(args, **stored))
    diagnoser.set_params(**{name: asked[name] for name in _FLAGS})
    table = diagnoser.read(args.source, labelled=True, target=args.target)
    notes = diagnoser.calibrate(table)
    say_notes(notes)
    folder = diagnoser.save(out)
    fitted = diagnoser.fitted_
    told = {
        "run": str(folder),
        "threshold": fitted.ensemble.detector.threshold,
        "false_alarm_rate": fitted.ensemble.detector.false_alarm_rate,
        "coverage": None if fitted.calibration is None else fitted.calibration.promised,
        "calibration_runs": fitted.record["calibration_runs"],
        "calibration_rows": fitted.record["calibration_rows"],
        "notes": notes,
    }
    if args.json:
        print_json(told)
        return 0
    print(f"Calibrated on {told['calibration_rows']:,} rows of {told['calibration_runs']:,} runs.")
    say(f"Run folder: {folder}")
    return 0
