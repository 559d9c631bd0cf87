"""`faultwise faithfulness`: do the cited findings carry the verdicts? Deletion and sufficiency on right verdicts.

The variables of the first findings of a verdict are replaced by those of normal rows (deletion), or all others are
(sufficiency); the same is done to variables that were not cited. Needs unseen labelled runs, faults and normal ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from faultwise.cli.flags import add_reading_flags, add_run_arguments, reading_of
from faultwise.cli.out import note, print_json, print_notes, print_table, watched

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    words = "measure whether findings carry the verdict"
    parser = commands.add_parser("faithfulness", help=words, description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "labelled file or folder with the columns of the fit, unseen runs")
    parser.add_argument("--verdicts", type=int, default=200, metavar="N", help="right verdicts (default: 200)")
    words = "variables deleted or kept (default: 5, or half of them where there are fewer than 10)"
    parser.add_argument("--cited", type=int, metavar="N", help=words)
    parser.add_argument("--draws", type=int, default=20, metavar="N", help="draws of uncited ones (default: 20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all draws (default: 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write a page or chart: .html, .png or .json")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    add_reading_flags(parser, command="evaluate")


def run(args: argparse.Namespace) -> int:
    """Test, print, and write the report."""
    from faultwise.contracts.errors import UserError
    from faultwise.diagnoser import Diagnoser
    from faultwise.report.pages.faithfulness import ENDINGS, save_faithfulness, summary
    from faultwise.runs.files import check_place
    from faultwise.tables.evaluate.faithfulness import faithfulness
    from faultwise.tables.model import table_model
    from faultwise.tables.reading.options import TableReading

    if args.out:
        check_place(args.out, ENDINGS)
    if args.seed < 0:
        raise UserError(f"--seed is {args.seed}: choose 0 or more.")
    model = table_model(Diagnoser.load(args.run_folder, progress=watched(args)).model_)
    reading = reading_of(args, TableReading)
    table = model.read(args.source, labelled=True, target=reading.target, reading=reading)
    few = len(model.fitted.encoder.learnt.used) // 2  # as many uncited ones are needed to compare with
    cited = max(1, min(5, few)) if args.cited is None else args.cited
    counts = (args.verdicts, cited, args.draws, args.seed)
    result = faithfulness(model.fitted, table, *counts, progress=watched(args))
    print_notes(result["notes"])
    if args.json:
        print_json(result)
    else:
        print_table([{"label": label, **line} for label, line in result["by_label"].items()])
        print(summary(result))
    if args.out:
        save_faithfulness(result, args.out)
        note(f"Faithfulness: {args.out}")
    return 0
