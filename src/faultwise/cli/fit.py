"""`faultwise fit`: from a labelled table, or from good images, to a run folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_fit_flags, add_image_flags, add_role_flags, check_no_image_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]

_SPARE = 2  # rows read of a large source for each that may be drawn for training: windows and gaps cost some


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("fit", help="learn from labelled rows", description=__doc__)
    parser.add_argument("source", help="CSV, Parquet, Braatz .dat file, or a folder of them; or of images")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write")
    add_role_flags(parser)
    parser.add_argument("--rules", metavar="FILE", help="YAML file of your own rules, checked on every diagnosed row")
    add_fit_flags(parser)
    add_image_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest's figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit and save."""
    from faultwise.images.data.image_folders import holds_images
    from faultwise.runs.folders import check_target

    check_target(args.out)
    if holds_images(args.source):
        from faultwise.cli.images import fit_images

        return fit_images(args)
    check_no_image_flags(args)
    settings = fit_settings(args)
    from faultwise.contracts.errors import DataError, listing
    from faultwise.diagnoser import Diagnoser
    from faultwise.tables.reading.batches import is_large
    from faultwise.tables.reading.readers import read_source
    from faultwise.tables.reading.sampling import read_sample

    ignored = tuple(name.strip() for name in (args.ignore or "").split(",") if name.strip())
    roles = {"target": args.target, "group": args.group, "time": args.time, "ignore": ignored}
    given = {**roles, "about": args.about, "part": "train", "keep": settings.keep}
    if is_large(args.source):
        # A run's highest score is that of all its rows.
        whole = settings.window > 1 or settings.false_alarm_per == "run"
        given |= {"seed": settings.seed, "whole_runs": whole, "even": not settings.normal_only}
        given["progress"] = watched(args)
        table = read_sample(args.source, settings.most_rows * _SPARE, **given)
    else:
        table = read_source(args.source, **given)
    if table.roles.target is None and not settings.normal_only:
        raise DataError(
            f"`{args.source}`: which column holds the label? It has {listing(table.frame.columns, 60)}: pass "
            "--target COL, or learn normal rows alone with --normal-only."
        )
    diagnoser = Diagnoser(**asdict(settings), progress=watched(args)).fit_table(table, args.rules)
    fitted = diagnoser.fitted_
    say_notes(fitted.notes)
    if args.out.exists():
        say(f"The run in {args.out} is replaced.")
    folder = diagnoser.save(args.out)
    figures = fitted.record["validation"]
    if args.json:
        print_json({"run": str(folder), **fitted.record, "notes": fitted.notes})
        return 0
    from faultwise.tables.evaluate.protocol import leaderboard

    if settings.normal_only:
        print("On normal rows that the monitor was not fitted on:")
        print_table([figures])
        say(f"Run folder: {folder}")
        return 0
    print("On validation rows:")
    print_table(leaderboard({**figures, "chosen": fitted.record["chosen"]}))
    say(f"Run folder: {folder}")
    return 0
