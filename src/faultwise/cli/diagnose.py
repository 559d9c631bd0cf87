"""`faultwise diagnose`: verdicts for new items, with findings and a report; every row, or while a file grows."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_modality_flags, add_run_arguments, opened
from faultwise.cli.out import note, plain, print_json, print_json_line, print_notes, watched

if TYPE_CHECKING:
    from faultwise.contracts.modality import Model

__all__ = ["add", "run"]

_MOST_RUNS = 10_000  # whose last label is remembered while following


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("diagnose", help="diagnose new rows, images, ...", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "file or folder of the kind that was fitted")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report: .html, .md or .json")
    parser.add_argument("--json", action="store_true", help="print the diagnosis as JSON")
    bulk = parser.add_argument_group("every item, also of files larger than memory")
    words = ".parquet or .csv with a line per item; interrupted, the same command goes on"
    bulk.add_argument("--out", type=Path, metavar="FILE", help=words)
    bulk.add_argument("--labels-only", action="store_true", help="leave the probabilities of all labels out of --out")
    live = parser.add_argument_group("while a file grows (until Ctrl-C)")
    live.add_argument("--follow", action="store_true", help="diagnose lines as they are written; --out is a .csv then")
    live.add_argument("--state", type=Path, metavar="FILE", help="keep the state here, to go on after a restart")
    live.add_argument("--poll", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    live.add_argument("--idle", type=float, metavar="S", help="end when nothing new came for so long")
    add_modality_flags(parser, "diagnose", "reading", "query")


def run(args: argparse.Namespace) -> int:
    """Diagnose, print, and write what was asked for."""
    _check(args)
    made, reading, query = opened(args, "diagnose", "reading", "query")
    model = made.model_
    if args.follow:
        return _follow(args, model, query)
    if args.out:
        last = not (args.report or getattr(args, "row", None))
        _bulk(args, model, reading, query, last)
        if last:
            return 0
    diagnosis = model.diagnose(args.source, reading, query)
    if args.json:
        print_json(diagnosis.to_dict())
        print_notes(diagnosis.notes)
    else:
        from faultwise.report.text import render_text

        print(render_text(diagnosis))
    if args.report:
        from faultwise.report.save import save_report

        save_report(diagnosis, args.report)
        note(f"Report: {args.report}")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what cannot be done before anything is loaded. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.report.save import SUFFIXES
    from faultwise.runs.files import check_place

    if args.report:
        check_place(args.report, SUFFIXES)
    for out in filter(None, (args.out, args.state)):
        check_place(out)
    wanted = (".csv",) if args.follow else (".parquet", ".csv")
    if args.out and args.out.suffix not in wanted:
        raise UserError(f"`{args.out}` ends in `{args.out.suffix}`: choose {' or '.join(wanted)}.")
    if args.follow and (args.report or getattr(args, "row", None)):
        raise UserError("--follow diagnoses rows as they come: leave --report and --row out.")
    if not args.follow and (args.state or args.idle is not None):
        raise UserError("--state and --idle belong to --follow: add it, or leave them out.")
    if args.poll <= 0 or (args.idle is not None and args.idle < 0):
        raise UserError(f"--poll is {args.poll:g} and --idle {args.idle}: choose seconds above 0.")


def _bulk(args: argparse.Namespace, model: Model, reading: object, query: object, last: bool) -> None:
    """Write a line per item; with --json its record is printed if it is the `last` thing: one document is printed."""
    from faultwise.contracts.modality import WritesRows, able

    writer = able(model, WritesRows, "write a line per item")  # type: ignore[type-abstract]
    record = writer.write_rows(args.source, args.out, reading, query, not args.labels_only, watched(args))
    notes = record.get("notes")
    print_notes(notes if isinstance(notes, list | tuple) else ())
    if not args.json:
        _print_record(record, args.out)
    elif last:
        print_json(record)


def _print_record(record: Mapping[str, object], out: Path) -> None:
    """Print how many items got which label."""
    if record.get("resumed_parts"):
        note(f"Went on after {record['resumed_parts']} parts of an interrupted command.")
    flagged = "" if record.get("flagged") is None else f", {record['flagged']:,} of them flagged"
    if "judged" in record and "rows" in record:
        print(f"{record['judged']:,} of {record['rows']:,} items diagnosed{flagged}.")
    labels = record.get("labels")
    for label, count in list(labels.items())[:30] if isinstance(labels, Mapping) else ():
        print(f"  {plain(label)[:40]}: {count:,}")
    speed = f", {record['rows_per_s']:,} rows/s" if "rows_per_s" in record else ""
    seconds = f" ({record['seconds']:.1f} s{speed})" if "seconds" in record else ""
    note(f"Table: {out}{seconds}")


def _follow(args: argparse.Namespace, model: Model, query: object) -> int:
    from faultwise.contracts.modality import Follows, able

    follower = able(model, Follows, "follow a growing file")  # type: ignore[type-abstract]
    there = "" if Path(args.source).exists() else " (not there yet: waiting)"
    note(f"Following {args.source}{there}; Ctrl-C ends.")
    lines = follower.follow(args.source, query, args.state, args.out, args.poll, args.idle)
    with contextlib.suppress(KeyboardInterrupt):  # the way to end it
        _print_lines(lines, args.json)
    left_out = f", {lines.left_out} broken lines left out" if lines.left_out else ""
    note(f"{lines.rows:,} rows followed{left_out}.")
    return 0


def _print_lines(lines: Iterable[Mapping[str, object]], as_json: bool) -> None:
    """Print every line for programs, or only changes for people."""
    last: dict[object, object] = {}
    for line in lines:
        if as_json:
            print_json_line(line)
        elif last.get(line["run"]) != line["label"]:
            when = f" ({line['time']})" if "time" in line else ""
            unit = "times the limit" if "times_limit" in line else "probability"
            value = line.get("probability", line.get("times_limit"))
            print(plain(f"{line['run']} row {line['row']}{when}: {line['label']}, {unit} {value:.2f}"), flush=True)
        last[line["run"]] = line["label"]
        if len(last) > _MOST_RUNS:
            last.clear()
