"""`faultwise evaluate`: judge a run on labelled items it has never seen."""

from __future__ import annotations

import argparse

from faultwise.cli.fit import print_evaluation
from faultwise.cli.flags import add_modality_flags, add_run_arguments, opened
from faultwise.cli.out import print_json, print_notes

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("evaluate", help="judge a run on unseen labelled items", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "labelled file or folder of the kind that was fitted")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    add_modality_flags(parser, "evaluate", "reading", "query")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    made, reading, query = opened(args, "evaluate", "reading", "query")
    result = made.model_.evaluate(args.source, reading, query)
    print_notes(result.notes)
    if args.json:
        print_json(result.figures)
        return 0
    print_evaluation(result)
    return 0
