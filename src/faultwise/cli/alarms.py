"""`faultwise alarms`: how late faults raise an alarm, how often nothing does, and what that means for an operator.

Rows are judged one after the other as in operation. Without labels all rows are counted as normal operation: the alarms
to expect are then still told.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    words = "delays, false alarms and alarm load on rows in time order"
    parser = commands.add_parser("alarms", help=words, description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help="file or folder with the columns of the fit, labelled or not")
    parser.add_argument("--target", metavar="COL", help="column with the label (default: that of the fit)")
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
    from faultwise.errors import UserError
    from faultwise.evaluate.alarms import Debounce
    from faultwise.report.alarms import check_ending

    if args.debounce is not None:
        Debounce.read(args.debounce)
    if args.minutes is not None and not 0 < args.minutes < float("inf"):
        raise UserError(f"--minutes is {args.minutes:g}: give the time of a row in minutes, above 0.")
    if args.assets < 1:
        raise UserError(f"--assets is {args.assets}: choose 1 or more.")
    if args.out:
        check_ending(args.out)
        if not args.out.absolute().parent.is_dir():
            raise UserError(f"There is no folder `{args.out.parent}` to write `{args.out.name}` to: create it first.")


def _check_detects(folder: Path, ensemble: Any) -> None:
    from faultwise.errors import UserError

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
    from faultwise.evaluate.in_time import in_time

    fitted = diagnoser.fitted_
    table = diagnoser.read(args.source, target=args.target)
    normal = None if table.roles.target is None else _normal(fitted, table)
    # The language model looks at single rows that people ask for, never at all of them.
    lines = diagnoser.set_params(lm_score_rows=0).label_rows(table)
    debounce = DEFAULT if args.debounce is None else Debounce.read(args.debounce)
    result = in_time(table, lines, fitted.ensemble.detector.normal, normal, args.minutes, debounce, args.assets)
    result["notes"] = [*table.notes, *result["notes"], *_seen(fitted, table)]
    return result


def _seen(fitted: Any, table: Any) -> list[str]:
    import numpy as np

    from faultwise.data.splits import row_hashes

    again = int(np.isin(row_hashes(table, fitted.encoder.learnt.used), fitted.seen).sum())
    few = f"{again:,} of {len(table.frame):,} rows were in the fit, value for value"
    return [f"Leak: {few}: too few alarms are to be expected on them."] if again else []


def _normal(fitted: Any, table: Any) -> str:
    """Return the label that means normal in a labelled table. Raises DataError, UserError."""
    from faultwise.errors import DataError, listing
    from faultwise.settings import FitSettings
    from faultwise.training import normal_label

    if not fitted.monitored:
        return str(fitted.ensemble.detector.normal)
    labels = sorted(set(table.y))
    normal = fitted.record.get("label_of_normal") or normal_label(set(labels), FitSettings(), table.about.normal)[0]
    if normal is None:
        raise DataError(f"`{table.source}`: which of {listing(labels)} is normal? Say it in --about.")
    return str(normal)
