"""`faultwise alarms`: how late faults raise an alarm, how often nothing does, and what that means for an operator.

Rows are judged one after the other as in operation. Without labels all rows are counted as normal operation: the alarms
to expect are then still told.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_run_arguments
from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    words = "delays, false alarms and alarm load on rows in time order"
    parser = commands.add_parser("alarms", help=words, description=__doc__)
    add_run_arguments(parser, "file or folder with the columns of the fit, labelled or not")
    words = "raise an alarm when K of the last N rows are flagged (default: 2/3; 1/1: every flag is one)"
    parser.add_argument("--debounce", metavar="K/N", help=words)
    parser.add_argument("--minutes", type=float, metavar="M", help="time of a row (default: by the fit's time column)")
    parser.add_argument("--assets", type=int, default=1, metavar="A", help="assets an operator watches (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .html, .png or .json")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Judge, count, print, and write what was asked for."""
    _check(args)
    from faultwise.diagnoser import Diagnoser
    from faultwise.report.alarms import choices, faults, save_alarms, sentences

    diagnoser = Diagnoser.load(args.run_folder, progress=watched(args))
    _check_detects(args.run_folder, diagnoser.fitted_.ensemble)
    result = _result(args, diagnoser)
    if args.json:
        print_json(result)
    else:
        print("\n".join(sentences(result)))
        for rows in (faults(result), choices(result)):
            if rows:
                print()
                print_table(rows)
    say_notes(result["notes"])
    if args.out:
        save_alarms(result, args.out)
        say(f"Alarms: {args.out}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is loaded. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.alarms import Debounce
    from faultwise.report.alarms import ENDINGS
    from faultwise.runs.files import check_place

    if args.debounce is not None:
        Debounce.read(args.debounce)
    if args.minutes is not None and not 0 < args.minutes < float("inf"):
        raise UserError(f"--minutes is {args.minutes:g}: give the time of a row in minutes, above 0.")
    if args.assets < 1:
        raise UserError(f"--assets is {args.assets}: choose 1 or more.")
    if args.out:
        check_place(args.out, ENDINGS)


def _check_detects(folder: Path, ensemble: Any) -> None:
    from faultwise.contracts.errors import UserError

    if ensemble.detector.normal is None:
        raise UserError(
            f"`{folder}` names faults and knows no normal, so no row is an alarm: fit with --normal LABEL, or with "
            "--normal-only."
        )
    if ensemble.language_only:
        raise UserError(f"`{folder}` has only the language model, which judges few rows: fit with another expert.")


def _result(args: argparse.Namespace, diagnoser: Any) -> dict[str, Any]:
    """Judge the source as in operation, and return all figures."""
    from faultwise.evaluate.alarms import DEFAULT, Debounce
    from faultwise.tables.evaluate.alarm_figures import in_time
    from faultwise.tables.evaluate.protocol import normal_in, seen_again
    from faultwise.tables.fit.predicting import completed

    fitted = diagnoser.fitted_
    table = diagnoser.read(args.source, target=args.target)
    normal = None if table.roles.target is None else normal_in(fitted, table)
    table = completed(fitted, table)
    # The language model looks at single rows that people ask for, never at all of them.
    lines = diagnoser.set_params(lm_score_rows=0).label_rows(table)
    debounce = DEFAULT if args.debounce is None else Debounce.read(args.debounce)
    result = in_time(table, lines, fitted.ensemble.detector.normal, normal, args.minutes, debounce, args.assets)
    result["notes"] = [*table.notes, *result["notes"], *seen_again(fitted, table)]
    return result
