"""`faultwise evaluate`: judge a run on labelled rows it has never seen."""

from __future__ import annotations

import argparse
from typing import Any

from faultwise.cli.flags import add_run_arguments, check_score_rows
from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("evaluate", help="judge a run on unseen labelled rows", description=__doc__)
    add_run_arguments(parser, "labelled file or folder with the columns of the fit; or images")
    parser.add_argument("--category", metavar="NAME", help="of images: which of several categories")
    parser.add_argument("--lm-score-rows", type=int, metavar="N", help="rows the language model scores (0: none)")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate and print."""
    from faultwise.cli.images import evaluate_images, is_run_on_images

    if is_run_on_images(args.run_folder):
        return evaluate_images(args)
    from faultwise.diagnoser import Diagnoser
    from faultwise.tables.evaluate.protocol import evaluate_table, leaderboard

    check_score_rows(args)
    diagnoser = Diagnoser.load(args.run_folder, progress=watched(args))
    table = diagnoser.read(args.source, labelled=True, target=args.target)
    rows = diagnoser.lm_score_rows if args.lm_score_rows is None else args.lm_score_rows
    result = evaluate_table(diagnoser.fitted_, table, rows, diagnoser.seed)
    say_notes(result["notes"])
    if args.json:
        print_json(result)
        return 0
    print_table(leaderboard(result))
    calibration, told = diagnoser.fitted_.calibration, result["verdict"]
    if calibration is not None and "coverage" in told:
        say(
            f"Fault sets hold the true label in {told['coverage']:.1%} of rows (promised: {calibration.promised:.1%}), "
            f"with {told['set_size']:.2f} labels on average; unknown {told['unknown']:.1%}, undecided "
            f"{told['abstained']:.1%}."
        )
    say(
        "Recall by label (fused verdict): "
        + ", ".join(f"{k} {v:.2f}" for k, v in result["recall_by_class"]["verdict"].items())
    )
    return 0
