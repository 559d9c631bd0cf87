"""`faultwise alarms`: how late faults raise an alarm, how many alarms are false, and what that means for an operator.

Rows are classified one after the other as in operation. Without labels all rows are counted as normal operation: the
alarms to expect are then still computed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_reading_flags, add_run_arguments, reading_of
from faultwise.cli.out import note, print_json, print_notes, print_table, watched

if TYPE_CHECKING:
    from faultwise.tables.model import TableModel

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    words = "delays, false alarms and alarm load on rows in time order"
    parser = commands.add_parser("alarms", help=words, description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "file or folder with the columns of the fit, labelled or not")
    words = "raise an alarm when K of the last N rows are flagged (default: 2/3; 1/1: every flag is one)"
    parser.add_argument("--debounce", metavar="K/N", help=words)
    parser.add_argument("--minutes", type=float, metavar="M", help="time of a row (default: by the fit's time column)")
    parser.add_argument("--assets", type=int, default=1, metavar="A", help="assets an operator watches (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .html, .png or .json")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    add_reading_flags(parser, command="evaluate")


def run(args: argparse.Namespace) -> int:
    """Classify, count, print, and write the report."""
    _check(args)
    from faultwise.diagnoser import Diagnoser
    from faultwise.report.pages.alarms import choices, faults, save_alarms, sentences
    from faultwise.tables.model import table_model

    model = table_model(Diagnoser.load(args.run_folder, progress=watched(args)).model_)
    result, notes = _result(args, model)
    if args.json:
        print_json(result)
    else:
        print("\n".join(sentences(result)))
        for rows in (faults(result), choices(result)):
            if rows:
                print()
                print_table(rows)
    print_notes(notes)
    if args.out:
        save_alarms(result, args.out)
        note(f"Alarms: {args.out}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is loaded. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.alarms import Debounce
    from faultwise.report.pages.alarms import ENDINGS
    from faultwise.runs.files import check_place

    if args.debounce is not None:
        Debounce.read(args.debounce)
    if args.minutes is not None and not 0 < args.minutes < float("inf"):
        raise UserError(f"--minutes is {args.minutes:g}: give the time of a row in minutes, above 0.")
    if args.assets < 1:
        raise UserError(f"--assets is {args.assets}: choose 1 or more.")
    if args.out:
        check_place(args.out, ENDINGS)


def _result(args: argparse.Namespace, model: TableModel) -> tuple[dict[str, object], list[str]]:
    """Classify the source as in operation; return all figures, which have the notes too, and the notes."""
    from faultwise.evaluate.alarms import DEFAULT, Debounce
    from faultwise.tables.evaluate.alarm_figures import alarm_figures, check_detects
    from faultwise.tables.evaluate.protocol import normal_in, seen_again
    from faultwise.tables.fit.predicting import with_missing_columns
    from faultwise.tables.reading.options import TableReading

    fitted, reading = model.fitted, reading_of(args, TableReading)
    check_detects(fitted, args.run_folder)
    labelled = reading.events is not None  # else there may be labels or not
    table = model.read(args.source, labelled=labelled, target=reading.target, reading=reading)
    normal = None if table.roles.target is None else normal_in(fitted, table)
    table = with_missing_columns(fitted, table)
    # The language model is too slow to score all rows.
    lines = model.label_rows(table, score_rows=0)
    debounce = DEFAULT if args.debounce is None else Debounce.read(args.debounce)
    verdict = str(fitted.ensemble.detector.normal)
    figures, notes = alarm_figures(table, lines, verdict, normal, args.minutes, debounce, args.assets)
    notes = [*table.notes, *notes, *seen_again(fitted, table)]
    return {**figures, "notes": notes}, notes
