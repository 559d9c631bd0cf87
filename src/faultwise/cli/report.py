"""`faultwise report`: the diagnosis of a source as a page, as Markdown or as JSON."""

from __future__ import annotations

import argparse
from pathlib import Path

from faultwise.cli.flags import add_modality_flags, add_run_arguments, opened
from faultwise.cli.out import note, print_json, print_notes

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("report", help="write the report of a diagnosis", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "file or folder of the kind that was fitted")
    parser.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    add_modality_flags(parser, "diagnose", "reading", "query")


def run(args: argparse.Namespace) -> int:
    """Diagnose and write."""
    from faultwise.report.save import SUFFIXES, save_report
    from faultwise.runs.files import check_place

    check_place(args.out, SUFFIXES)
    made, reading, query = opened(args, "diagnose", "reading", "query")
    diagnosis = made.model_.diagnose(args.source, reading, query)
    save_report(diagnosis, args.out)
    print_notes(diagnosis.notes)
    if args.json:
        print_json({"report": str(args.out), "cases": len(diagnosis.cases)})
    else:
        note(f"Report: {args.out}")
    return 0
