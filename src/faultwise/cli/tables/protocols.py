"""The protocols of `faultwise compare`: what each of them accepts, and how it is made from the arguments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from faultwise.cli.flags import set_values
from faultwise.cli.out import watched

if TYPE_CHECKING:
    from faultwise.tables.evaluate.comparison_run import Protocol
    from faultwise.tables.fit.settings import TableSettings
    from faultwise.tables.reading.options import TableReading

__all__ = ["EXPERTS", "FLAGS", "PROTOCOLS", "PUBLISHED", "check", "protocol_of"]

PROTOCOLS = ("thesis", "runs")
PUBLISHED = ("auto", "hst", "tep", "none")
FLAGS = ("window", "split", "normal", "experts", "seed")
EXPERTS = (
    "random-forest",
    "logistic-regression",
    "svm",
    "knn",
    "gradient-boosting",
    "hist-gradient-boosting",
    "extra-trees",
)
# Flags that one protocol alone has, and settings that the thesis's protocol cannot follow.
_ONLY = {"runs": ("repeats", "report"), "thesis": ("train_rows", "test_rows", "seeds", "published")}
_NOT_THESIS = ("split", "normal", "most_rows")


def protocol_of(
    args: argparse.Namespace, settings: TableSettings, reading: TableReading
) -> Protocol[int] | Protocol[tuple[int, int]]:
    """Read the rows and return the protocol that the arguments name. Raises DataError or UserError."""
    from faultwise.tables.evaluate.comparison import plan
    from faultwise.tables.evaluate.comparison_run import runs_protocol, thesis_protocol
    from faultwise.tables.evaluate.thesis import read_parts
    from faultwise.tables.sources import read_for_fit

    if args.protocol == "thesis":
        parts = read_parts(args.source, reading, settings.keep)
        seeds = 5 if args.seeds is None else args.seeds
        return thesis_protocol(parts, settings, (args.train_rows, args.test_rows), seeds, args.published or "auto")
    table = read_for_fit(args.source, settings, reading, watched(args))
    return runs_protocol(plan(table, settings, 5 if args.repeats is None else args.repeats))


def check(args: argparse.Namespace, settings: TableSettings) -> None:
    """Refuse what the protocol does not have, before anything is read. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.report.pages.comparison import ENDINGS
    from faultwise.runs.files import check_place

    _check_flags(args)
    if settings.normal_only:
        raise UserError("A comparison is of classifiers of labelled rows: leave normal_only out.")
    if args.protocol == "thesis":
        _check_thesis(args, settings)
    if args.report and args.report.suffix.lower() != ".html":
        raise UserError(f"`{args.report}` is to be a report: give it the ending .html.")
    for path, endings in ((args.out, ENDINGS), (args.report, ())):
        if path:
            check_place(path, endings)


def _check_flags(args: argparse.Namespace) -> None:
    from faultwise.contracts.errors import UserError, closest

    if args.protocol not in PROTOCOLS:
        near = closest(args.protocol, PROTOCOLS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no protocol `{args.protocol}`{hint}: use {' or '.join(PROTOCOLS)}.")
    for name, flags in _ONLY.items():
        for flag in flags if args.protocol != name else ():
            if getattr(args, flag) is not None:
                shown = flag.replace("_", "-")
                raise UserError(f"--{shown} belongs to --protocol {name}, and this is {args.protocol}: leave it out.")
    if args.published not in (None, *PUBLISHED):
        raise UserError(f"--published is `{args.published}`: use one of {', '.join(PUBLISHED)}.")
    for flag in ("train_rows", "test_rows", "seeds", "repeats"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}: choose 1 or more.")


def _check_thesis(args: argparse.Namespace, settings: TableSettings) -> None:
    from faultwise.contracts.errors import UserError

    if settings.window not in (1, "auto"):
        raise UserError(f"The thesis's protocol uses single rows, and window is {settings.window}: leave it out.")
    given = {*set_values(args.set, type(settings)), *(name for name in FLAGS if getattr(args, name) is not None)}
    if given_too := [name for name in _NOT_THESIS if name in given]:
        raise UserError(f"The thesis's protocol has no setting {given_too[0]}: leave it out.")
