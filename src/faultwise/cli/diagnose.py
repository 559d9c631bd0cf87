"""`faultwise diagnose`: verdicts for new rows, with findings and a report; in bulk, or while a file grows."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.flags import check_score_rows
from faultwise.cli.out import plain, print_json, print_json_line, say, say_notes, watched

__all__ = ["add", "run"]

_MOST_RUNS = 10_000  # whose last label is remembered while following


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("diagnose", help="diagnose new rows", description=__doc__)
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help="file or folder with the columns of the fit; or images")
    parser.add_argument("--row", type=int, metavar="N", help="explain this row (counted from 1)")
    parser.add_argument("--category", metavar="NAME", help="of images: which of several categories")
    parser.add_argument("--cases", type=int, default=3, metavar="N", help="runs to explain in detail (default: 3)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report: .html, .md or .json")
    parser.add_argument("--lm-score-rows", type=int, metavar="N", help="rows the language model scores (0: none)")
    parser.add_argument("--expert", metavar="NAME", help="let this expert judge alone, calibrated (fast)")
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    bulk = parser.add_argument_group("every row, also of files larger than memory")
    bulk.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".parquet or .csv with a line per row; interrupted, the same command goes on",
    )
    bulk.add_argument("--labels-only", action="store_true", help="leave the probabilities of all labels out of --out")
    live = parser.add_argument_group("while a file grows (until Ctrl-C)")
    live.add_argument("--follow", action="store_true", help="judge lines as they are written; --out is a .csv then")
    live.add_argument("--state", type=Path, metavar="FILE", help="keep the state here, to go on after a restart")
    live.add_argument("--poll", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    live.add_argument("--idle", type=float, metavar="S", help="end when nothing new came for so long")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Diagnose, print, and write what was asked for."""
    _check(args)
    from faultwise.cli.images import diagnose_images, is_run_on_images

    if is_run_on_images(args.run_folder):
        return diagnose_images(args)
    from faultwise.diagnoser import Diagnoser

    diagnoser = Diagnoser.load(args.run_folder, progress=watched(args))
    if args.expert:
        diagnoser = diagnoser.only(args.expert)
    if args.follow:
        return _follow(args, diagnoser)
    if args.out:
        code = _bulk(args, diagnoser)
        if not (args.report or args.row):
            return code
    diagnosis = diagnoser.diagnose(args.source, row=args.row, cases=args.cases, lm_score_rows=args.lm_score_rows)
    if args.json:
        print_json(diagnosis.to_dict())
        say_notes(diagnosis.notes)
    else:
        from faultwise.report.text import render_text

        print(render_text(diagnosis))
    if args.report:
        from faultwise.report.save import save_report

        save_report(diagnosis, args.report)
        say(f"Report: {args.report}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is loaded. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.report.save import SUFFIXES
    from faultwise.runs.files import check_place

    if args.report:
        check_place(args.report, SUFFIXES)
    if args.cases < 1:
        raise UserError(f"--cases is {args.cases}: choose 1 or more.")
    check_score_rows(args)
    for out in filter(None, (args.out, args.state)):
        check_place(out)
    wanted = (".csv",) if args.follow else (".parquet", ".csv")
    if args.out and args.out.suffix not in wanted:
        raise UserError(f"`{args.out}` ends in `{args.out.suffix}`: choose {' or '.join(wanted)}.")
    if args.follow and (args.report or args.row):
        raise UserError("--follow judges rows as they come: leave --report and --row out.")
    if not args.follow and (args.state or args.idle is not None):
        raise UserError("--state and --idle belong to --follow: add it, or leave them out.")
    if args.poll <= 0 or (args.idle is not None and args.idle < 0):
        raise UserError(f"--poll is {args.poll:g} and --idle {args.idle}: choose seconds above 0.")


def _bulk(args: argparse.Namespace, diagnoser: Any) -> int:
    from faultwise.tables.fit.bulk import diagnose_file

    told = diagnose_file(diagnoser, args.source, args.out, every=not args.labels_only, progress=watched(args))
    say_notes(told["notes"])
    if args.json:
        print_json(told)
        return 0
    if told["resumed_parts"]:
        say(f"Went on after {told['resumed_parts']} parts of an interrupted command.")
    flagged = "" if told["flagged"] is None else f", {told['flagged']:,} of them flagged"
    print(f"{told['judged']:,} of {told['rows']:,} rows judged{flagged}.")
    for label, count in list(told["labels"].items())[:30]:
        print(f"  {plain(label[:40])}: {count:,}")
    say(f"Rows: {told['file']} ({told['seconds']:.1f} s, {told['rows_per_s']:,} rows/s)")
    return 0


def _follow(args: argparse.Namespace, diagnoser: Any) -> int:
    from faultwise.tables.fit.follow import Follower

    follower = Follower(diagnoser, args.source, state=args.state, out=args.out, poll=args.poll, idle=args.idle)
    there = "" if Path(args.source).exists() else " (not there yet: waiting)"
    say(f"Following {args.source}{there}; Ctrl-C ends.")
    last: dict[str, str] = {}
    try:
        for lines in follower:
            for line in lines.to_dict("records"):
                # People want to hear of changes, programs of every row.
                if args.json:
                    print_json_line(line)
                elif last.get(line["run"]) != line["label"]:
                    when = f" ({line['time']})" if "time" in line else ""
                    sure = line.get("probability", line.get("times_limit"))
                    words = "times the limit" if "times_limit" in line else "probability"
                    told = f"{line['run']} row {line['row']}{when}: {line['label']}, {words} {sure:.2f}"
                    print(plain(told), flush=True)
                last[line["run"]] = line["label"]
            if len(last) > _MOST_RUNS:
                last.clear()
    except KeyboardInterrupt:
        pass  # the way to end it
    skipped = f", {follower.file.skipped} broken lines left out" if follower.file.skipped else ""
    say(f"{follower.rows:,} rows followed{skipped}.")
    return 0
