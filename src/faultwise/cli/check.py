"""`faultwise data check`: what in a table would make a validation score lie, and by how much."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from faultwise.cli.flags import add_role_flags
from faultwise.cli.out import plain, print_json, print_table, say, say_notes

if TYPE_CHECKING:
    from faultwise.tables.reading.table import Table

__all__ = ["add_check", "run_check"]


def add_check(actions: Any) -> argparse.ArgumentParser:
    """Register the action and return its parser."""
    parser = actions.add_parser("check", help="find what would make a validation score lie", description=__doc__)
    parser.add_argument("source", help="CSV, Parquet, Braatz .dat file, or a folder of them")
    parser.add_argument("--against", metavar="OTHER", help="a second source (test set): what do both share?")
    add_role_flags(parser)
    parser.add_argument(
        "--scores",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure the inflated and the honest score (default: yes)",
    )
    return parser  # type: ignore[no-any-return]


def run_check(args: argparse.Namespace) -> int:
    """Find leaks, measure scores, print."""
    from faultwise.tables.checks.leaks import find_leaks
    from faultwise.tables.fit.settings import FitSettings
    from faultwise.tables.fit.training import normal_label
    from faultwise.tables.reading.readers import read_source
    from faultwise.tables.reading.table import label_text

    ignored = tuple(name.strip() for name in (args.ignore or "").split(",") if name.strip())
    roles: dict[str, Any] = {"target": args.target, "group": args.group, "time": args.time, "ignore": ignored}
    table = read_source(args.source, **roles, about=args.about, part="train")
    against = None if args.against is None else _other(args, table)
    normal = None
    if table.roles.target is not None:
        labels = set(label_text(table.frame[table.roles.target]).dropna())
        normal = normal_label(labels, FitSettings(), table.about.normal if table.about.normal in labels else None)[0]
    report = find_leaks(table, against, normal)
    scores: dict[str, Any] | None = None
    if args.scores:
        from faultwise.tables.evaluate.leakage import side_by_side

        scores = side_by_side(table, report, against)
    if args.json:
        print_json({**report.to_dict(), "scores": scores, "notes": table.notes})
        return 0
    say_notes(table.notes)
    _print(report.to_dict(), [leak.line() for leak in report.leaks])
    if scores is not None:
        _print_scores(scores)
    return 0


def _other(args: argparse.Namespace, table: Table) -> Table:
    """Read the other source, with those of the roles that it has columns for: it may be without labels."""
    from faultwise.tables.reading.readers import in_roles, read_source
    from faultwise.tables.reading.table import Roles

    roles = table.roles
    # A source that holds both parts of a known set is taken in its test part.
    other = read_source(args.against, part="test", as_text=[name for name in (roles.target, roles.group) if name])
    named = (roles.target, roles.group, roles.time)
    target, group, time = (name if name in other.frame.columns else None for name in named)
    return in_roles(other, Roles(target, group, time))


def _print(report: dict[str, Any], lines: list[str]) -> None:
    for line in lines:
        print(plain(line))
    looked = "; ".join(report["looked_for"])
    print(
        f"{f'{len(lines)} leaks' if len(lines) > 1 else '1 leak' if lines else 'No leak'} found. Looked for: {looked}."
    )
    for what, why in report["not_checked"].items():
        print(plain(f"Not checked: {what}: {why}."))


def _print_scores(scores: dict[str, Any]) -> None:
    for note in scores["notes"]:
        say(note)
    if not scores["scores"]:
        return
    print()
    print_table(
        [
            {
                "held out": one["split"],
                "with what leaks": "yes" if one["leaks"] else "no",
                "macro-F1": one["macro_f1"],
                "mean recall": one["mean_recall"],
            }
            for one in scores["scores"]
        ]
    )
    for name in ("inflated", "honest"):
        if scores[name] is not None:
            print(f"{name.capitalize()}: macro-F1 {scores[name]['macro_f1']:.3f}. {scores[name]['means']}")
