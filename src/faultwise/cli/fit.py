"""`faultwise fit`: from a labelled table to a run folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_fit_flags, add_role_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("fit", help="learn from labelled rows", description=__doc__)
    parser.add_argument("source", help="CSV, Parquet, Braatz .dat file, or a folder of them")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write")
    add_role_flags(parser)
    add_fit_flags(parser)
    parser.add_argument("--json", action="store_true", help="print the manifest's figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit and save."""
    settings = fit_settings(args)
    from faultwise.runs import check_target

    check_target(args.out)
    from faultwise.data.readers import read_source
    from faultwise.diagnoser import Diagnoser
    from faultwise.errors import DataError

    ignored = tuple(name.strip() for name in (args.ignore or "").split(",") if name.strip())
    table = read_source(
        args.source,
        target=args.target,
        group=args.group,
        time=args.time,
        ignore=ignored,
        about=args.about,
        part="train",
    )
    if table.roles.target is None:
        raise DataError(f"`{args.source}`: which column holds the label? Pass --target COL.")
    diagnoser = Diagnoser(**asdict(settings), progress=watched(args)).fit_table(table)
    fitted = diagnoser.fitted_
    say_notes(fitted.notes)
    folder = diagnoser.save(args.out)
    figures = fitted.record["validation"]
    if args.json:
        print_json({"run": str(folder), **fitted.record, "notes": fitted.notes})
        return 0
    from faultwise.evaluate.protocol import leaderboard

    print("On validation rows:")
    print_table(leaderboard({**figures, "chosen": fitted.record["chosen"]}))
    say(f"Run folder: {folder}")
    return 0
