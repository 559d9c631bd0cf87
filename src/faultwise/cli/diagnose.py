"""`faultwise diagnose`: verdicts for new rows, with findings, narrative and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.flags import check_score_rows
from faultwise.cli.out import print_json, say, say_notes, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("diagnose", help="diagnose new rows", description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help="file or folder with the columns of the fit")
    parser.add_argument("--row", type=int, metavar="N", help="explain this row (counted from 1)")
    parser.add_argument("--cases", type=int, default=3, metavar="N", help="runs to explain in detail (default: 3)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report: .html, .md or .json")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write one line per judged row")
    parser.add_argument("--lm-score-rows", type=int, metavar="N", help="rows the language model scores (0: none)")
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Diagnose, print, and write what was asked for."""
    from faultwise.diagnoser import Diagnoser
    from faultwise.errors import UserError
    from faultwise.report.save import SUFFIXES, save_report
    from faultwise.report.text import render_text

    if args.report and args.report.suffix.lower() not in SUFFIXES:
        raise UserError(f"`{args.report}` has no known ending: use one of {', '.join(SUFFIXES)}.")
    if args.cases < 1:
        raise UserError(f"--cases is {args.cases}: choose 1 or more.")
    check_score_rows(args)
    for out in filter(None, (args.report, args.csv)):
        if not out.absolute().parent.is_dir():
            raise UserError(f"There is no folder `{out.parent}` to write `{out.name}` to: create it first.")
    diagnoser = Diagnoser.load(args.run_folder, progress=watched(args))
    table = diagnoser.read(args.source)
    diagnosis = diagnoser.diagnose(table, row=args.row, cases=args.cases, lm_score_rows=args.lm_score_rows)
    if args.csv:
        from faultwise.report.tables import write_csv

        write_csv(diagnoser.label_rows(table), args.csv)
        say(f"Rows: {args.csv}")
    if args.json:
        print_json(diagnosis.to_dict())
        say_notes(diagnosis.notes)
    else:
        print(render_text(diagnosis))
    if args.report:
        save_report(diagnosis, args.report)
        say(f"Report: {args.report}")
    return 0
