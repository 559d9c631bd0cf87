"""`faultwise data check`: what in a table would make a validation score too good, and by how much."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, TypedDict, cast

from faultwise.cli.flags import add_reading_flags, reading_of
from faultwise.cli.out import note, plain, print_json, print_notes, print_table

if TYPE_CHECKING:
    from faultwise.tables.checks.leaks.leak_report import LeakReport
    from faultwise.tables.reading.table import Table

__all__ = ["add_check", "run_check"]


class _Score(TypedDict):
    split: str
    leaks: bool
    macro_f1: float
    mean_recall: float
    means: str


class _Scores(TypedDict):
    scores: list[_Score]
    inflated: _Score | None
    honest: _Score | None
    notes: list[str]


def add_check(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Register the action and return its parser."""
    words = "find what would make a validation score too good"
    parser = actions.add_parser("check", help=words, description=__doc__)
    parser.add_argument("source", help="CSV, Parquet, Braatz .dat file, or a folder of them")
    parser.add_argument("--against", metavar="OTHER", help="a second source (test set): what do both share?")
    add_reading_flags(parser, but=("rules",))
    parser.add_argument(
        "--scores",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the score with and without the leaks (default: yes)",
    )
    return parser


def run_check(args: argparse.Namespace) -> int:
    """Find leaks, measure scores, print."""
    from faultwise.tables.checks.leaks.leak_report import find_leaks
    from faultwise.tables.evaluate.leakage import side_by_side
    from faultwise.tables.reading.labels.labelling import with_labels
    from faultwise.tables.reading.options import TableReading
    from faultwise.tables.reading.readers import read_source
    from faultwise.tables.sources import requested

    reading = reading_of(args, TableReading)
    table = with_labels(read_source(args.source, **requested(reading)), reading)  # type: ignore[arg-type]
    against = None if args.against is None else _other(args.against, table)
    report = find_leaks(table, against, _normal(table))
    scores = cast("_Scores", side_by_side(table, report, against)) if args.scores else None
    if args.json:
        print_json({**report.to_dict(), "scores": scores, "notes": table.notes})
        return 0
    print_notes(table.notes)
    _print(report)
    if scores is not None:
        _print_scores(scores)
    return 0


def _normal(table: Table) -> str | None:
    """Return the label that means normal, None where there is none."""
    from faultwise.tables.fit.preparing import normal_label
    from faultwise.tables.fit.settings import TableSettings
    from faultwise.tables.reading.table import label_text

    if table.roles.target is None:
        return None
    labels = set(label_text(table.frame[table.roles.target]).dropna())
    return normal_label(labels, TableSettings(), table.about.normal if table.about.normal in labels else None)[0]


def _other(source: str, table: Table) -> Table:
    """Read the other source, with those of the roles that it has columns for: it may be without labels."""
    from faultwise.tables.reading.readers import in_roles, read_source
    from faultwise.tables.reading.table import Roles

    roles = table.roles
    # A source that holds both parts of a known set is taken in its test part.
    other = read_source(source, part="test", as_text=[name for name in (roles.target, roles.group) if name])
    named = (roles.target, roles.group, roles.time)
    target, group, time = (name if name in other.frame.columns else None for name in named)
    return in_roles(other, Roles(target, group, time))


def _print(report: LeakReport) -> None:
    count = len(report.leaks)
    found = f"{count} leaks were found" if count > 1 else "One leak was found" if count else "No leak was found"
    print(f"{found}{':' if count else '.'}")
    for leak in report.leaks:
        print(plain(f"  [{leak.severity}] {leak.kind}: {leak.found} {leak.effect} {leak.remedy}"))
    print("Looked for:")
    for what in report.looked_for:
        print(plain(f"  - {what}"))
    if report.not_checked:
        print("Not checked:")
    for what, why in report.not_checked.items():
        print(plain(f"  - {what}: {why}"))


def _print_scores(scores: _Scores) -> None:
    for one in scores["notes"]:
        note(one)
    if not scores["scores"]:
        return
    print()
    print_table(
        [
            {
                "held out": score["split"],
                "leaks included": "yes" if score["leaks"] else "no",
                "macro-F1": score["macro_f1"],
                "mean recall": score["mean_recall"],
            }
            for score in scores["scores"]
        ]
    )
    for name, chosen in (("Inflated", scores["inflated"]), ("Honest", scores["honest"])):
        if chosen is not None:
            print(f"{name} score: macro-F1 {chosen['macro_f1']:.3f}. {chosen['means']}")
