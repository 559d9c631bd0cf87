"""`faultwise compare`: several experts on the same rows, with intervals, tests and what they cost.

By default (--protocol runs) every expert is fitted and evaluated on the same halves of the runs, five times: means with
95% intervals, tests against the best, risk by coverage, time and memory. --protocol thesis draws few rows of every
class, as a published study did: 100 training and 40 test rows of a folder of Braatz files (faults 0, 1, 4, 5), 120 and
30 of any other table. The language model takes part when it is named (--experts random-forest,language-model): by
default it does not, because it costs minutes per fit. Results in --out FILE.json are not computed again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_reading_flags, add_setting_flags, reading_of, settings_of
from faultwise.cli.out import note, print_json, print_notes, print_table, watched
from faultwise.cli.tables.protocols import EXPERTS, FLAGS, PROTOCOLS, PUBLISHED, check, protocol_of

if TYPE_CHECKING:
    from faultwise.tables.evaluate.comparison_run import ComparisonRun

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("compare", help="compare experts on identical splits", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", help="labelled table (CSV, Parquet), or folder of files")
    words = f"how to compare: {' or '.join(PROTOCOLS)} (default: runs)"
    parser.add_argument("--protocol", default="runs", metavar="NAME", help=words)
    parser.add_argument("--repeats", type=int, metavar="N", help="runs: times two halves, from --seed on (default: 5)")
    parser.add_argument("--train-rows", type=int, metavar="N", help="thesis: training rows a class (default: 100, 120)")
    parser.add_argument("--test-rows", type=int, metavar="N", help="thesis: test rows a class (default: 40 or 30)")
    parser.add_argument("--seeds", type=int, metavar="N", help="thesis: draws, from --seed on (default: 5)")
    words = f"thesis: published figures beside: {', '.join(PUBLISHED)} (default: auto, by the data set)"
    parser.add_argument("--published", metavar="SET", help=words)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .json, .csv or .md; a .json is continued")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="runs: write a report with charts")
    add_reading_flags(parser, but=("rules",))
    add_setting_flags(parser, FLAGS, experts=EXPERTS)
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(args: argparse.Namespace) -> int:
    """Compare, save after every fit, and print."""
    from faultwise.tables.fit.settings import TableSettings
    from faultwise.tables.reading.options import TableReading

    settings = settings_of(args, TableSettings, experts=EXPERTS)
    check(args, settings)
    from faultwise.report.pages.comparison import shown
    from faultwise.tables.evaluate.comparison_run import ComparisonRun

    experts = tuple(dict.fromkeys(settings.experts))
    protocol = protocol_of(args, settings, reading_of(args, TableReading))
    made = ComparisonRun(protocol, experts, settings.language, args.out)
    print_notes(made.record["notes"])
    fits, left = len(made.wanted), made.left
    if args.out and left < fits:
        note(f"{fits - left} of {fits} fits are in `{args.out}` and are not run again.")
    _run(args, made, left)
    if args.json:
        print_json(made.for_print())
    else:
        print_table(shown(made.record))
        print_notes([*made.record.get("remarks", []), *made.record.get("caveats", [])])
    for what, path in (("Comparison", args.out), ("Report", args.report)):
        if path:
            note(f"{what}: {path}")
    return 0


def _run(args: argparse.Namespace, made: ComparisonRun, left: int) -> None:
    """Run the fits that are left with a bar; write the record after each, and the report at the end or on Ctrl-C."""
    from faultwise.contracts.progress import ProgressBar

    with ProgressBar(total=left, desc="fits", disable=not watched(args)) as bar:

        def starting(part: int | tuple[int, int], name: str) -> None:
            where = f"seed {part}" if isinstance(part, int) else f"seed {part[0]} half {part[1] + 1}"
            bar.detail(f"{where}, {name}")

        try:
            for _ in made.run(watched(args), starting):
                _write(args, made)
                bar.update()
        except KeyboardInterrupt:
            _write(args, made, at_end=True)
            raise
    _write(args, made, at_end=True)


def _write(args: argparse.Namespace, made: ComparisonRun, at_end: bool = False) -> None:
    record = made.summarised(at_end)
    if record is None:
        return
    if args.out:
        from faultwise.report.pages.comparison import save_comparison

        save_comparison(record, args.out)
    if args.report and at_end:
        from faultwise.report.pages.comparison_page import save_page

        save_page(made.for_page(), args.report)
