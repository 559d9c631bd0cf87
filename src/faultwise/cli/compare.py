"""`faultwise compare`: several experts on the same rows, with intervals, tests and what they cost.

By default (--protocol runs) every expert learns and is judged on the same halves of the runs, five times over: means
with 95% intervals, tests against the best, risk by coverage, time and memory. --protocol thesis draws few rows of every
class, as a published study did: 100 training and 40 test rows of a folder of Braatz files (faults 0, 1, 4, 5), 120 and
30 of any other table. The language model takes part when it is named (--experts random-forest,language-model): by
default it does not, because it costs minutes per fit. What stands in --out FILE.json is not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli import protocols
from faultwise.cli.flags import add_fit_flags, add_role_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes, watched
from faultwise.cli.protocols import PROTOCOLS, Protocol

__all__ = ["add", "run"]

_FLAGS = (
    "window",
    "split",
    "normal",
    "most_rows",
    "experts",
    "seed",
    "keep",
    "model",
    "lm_minutes",
    "lm_steps",
    "lm_digits",
    "lm_features",
    "lm_text",
    "lm_names",
    "lm_normalise",
)
_EXPERTS = (
    "random-forest",
    "logistic-regression",
    "svm",
    "knn",
    "gradient-boosting",
    "hist-gradient-boosting",
    "extra-trees",
)
_PUBLISHED = ("auto", "hst", "tep", "none")
# Flags that one protocol alone knows, and settings that the thesis's cannot follow.
_ONLY = {"runs": ("repeats", "report"), "thesis": ("train_rows", "test_rows", "seeds", "published")}
_NOT_THESIS = ("split", "normal", "most_rows")


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("compare", help="compare experts on the same rows", description=__doc__)
    parser.add_argument("source", help="labelled table (CSV, Parquet), or folder of files")
    words = f"how to judge: {' or '.join(PROTOCOLS)} (default: runs)"
    parser.add_argument("--protocol", default="runs", metavar="NAME", help=words)
    parser.add_argument("--repeats", type=int, metavar="N", help="runs: times two halves, from --seed on (default: 5)")
    parser.add_argument("--train-rows", type=int, metavar="N", help="thesis: training rows a class (default: 100, 120)")
    parser.add_argument("--test-rows", type=int, metavar="N", help="thesis: test rows a class (default: 40 or 30)")
    parser.add_argument("--seeds", type=int, metavar="N", help="thesis: draws, from --seed on (default: 5)")
    words = "thesis: published figures beside: hst, tep or none (default: by the data set, if known)"
    parser.add_argument("--published", metavar="SET", help=words)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .json, .csv or .md; a .json is gone on with")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="runs: write a report with charts")
    add_role_flags(parser)
    add_fit_flags(parser, _FLAGS, experts=_EXPERTS)
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Compare, save after every fit, and print."""
    settings = fit_settings(args, experts=_EXPERTS)
    _check(args, settings)
    from dataclasses import asdict

    from tqdm import tqdm

    from faultwise.evaluate.record import LANGUAGE_KEYS, read_record
    from faultwise.report.comparison import save_comparison, shown
    from faultwise.runs.folders import commit
    from faultwise.tables.fit.training import language_settings
    from faultwise.verdicts.registry import LANGUAGE_MODEL

    experts = tuple(dict.fromkeys(settings.experts))
    protocol: Protocol = getattr(protocols, args.protocol)(args, settings, experts)
    record: dict[str, Any] = {**protocol.record, "commit": commit()}
    asked = {key: value for key, value in asdict(language_settings(settings)).items() if key in LANGUAGE_KEYS}
    results = []
    if args.out and args.out.suffix.lower() == ".json":
        results = read_record(args.out, record, protocol.is_result)
        protocol.check(results)
    # Figures of a language model tuned in another way are kept for those who want them, but they are not these.
    kept = [one for one in results if one["expert"] == LANGUAGE_MODEL and one.get("language") != asked]
    results = [one for one in results if one not in kept]
    finished = {(protocol.part_of(one), one["expert"]) for one in results}
    wanted = [(part, name) for part in protocol.parts for name in experts]
    left = sum(pair not in finished for pair in wanted)
    say_notes(record["notes"])
    if args.out and left < len(wanted):
        say(f"{len(wanted) - left} of {len(wanted)} fits are in `{args.out}` and are not run again.")

    def written(last: bool = False) -> None:
        mine = [one for one in results if (protocol.part_of(one), one["expert"]) in wanted]
        if not mine:
            return
        record.update(protocol.told(mine) | (protocol.last(mine) if last else {}))
        record["results"] = [*results, *kept]
        if args.out:
            save_comparison(record, args.out)
        if args.report and last:
            from faultwise.report.comparison_page import save_page

            save_page({**record, "results": mine, "fits_left": len(wanted) - len(mine)}, args.report)

    with tqdm(total=left, desc="fits", disable=not watched(args), leave=False) as bar:
        try:
            for one in protocol.compared(
                finished,
                lambda part, name: bar.set_postfix_str(f"{_part_words(part)}, {name}"),
            ):
                results.append({**one, "language": asked} if one["expert"] == LANGUAGE_MODEL else one)
                written()  # after every fit, so that Ctrl-C costs one
                bar.update()
        except KeyboardInterrupt:
            written(last=True)
            raise
    written(last=True)
    if args.json:
        print_json(_light(record))
    else:
        print_table(shown(record))
        say_notes([*record.get("remarks", []), *record.get("caveats", [])])
    for what, path in (("Comparison", args.out), ("Report", args.report)):
        if path:
            say(f"{what}: {path}")
    return 0


def _part_words(part: Any) -> str:
    return f"seed {part}" if isinstance(part, int) else f"seed {part[0]} half {part[1] + 1}"


def _light(record: dict[str, Any]) -> dict[str, Any]:
    """Leave the packed predictions, which are for going on, out of what is printed."""
    results = [{key: value for key, value in one.items() if key != "held_out"} for one in record["results"]]
    return {**{key: value for key, value in record.items() if key != "splits"}, "results": results}


def _check(args: argparse.Namespace, settings: Any) -> None:
    """Refuse what the protocol does not know, before anything is read. Raises UserError."""
    from faultwise.contracts.errors import UserError, closest
    from faultwise.report.comparison import ENDINGS
    from faultwise.runs.files import check_place

    if args.protocol not in PROTOCOLS:
        near = closest(args.protocol, PROTOCOLS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no protocol `{args.protocol}`{hint}: use {' or '.join(PROTOCOLS)}.")
    for name, flags in _ONLY.items():
        strange = [flag for flag in flags if args.protocol != name and getattr(args, flag) is not None]
        if strange:
            flag = strange[0].replace("_", "-")
            raise UserError(f"--{flag} belongs to --protocol {name}, and this is {args.protocol}: leave it out.")
    if args.published not in (None, *_PUBLISHED):
        raise UserError(f"--published is `{args.published}`: use one of {', '.join(_PUBLISHED)}.")
    for flag in ("train_rows", "test_rows", "seeds", "repeats"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}: choose 1 or more.")
    if settings.normal_only:
        raise UserError("A comparison is of classifiers of labelled rows: leave normal_only out.")
    if args.protocol == "thesis":
        if settings.window != 1:
            raise UserError(f"The thesis's protocol judges single rows, and window is {settings.window}: leave it out.")
        if given := [flag for flag in _NOT_THESIS if getattr(args, flag) is not None]:
            raise UserError(f"The thesis's protocol knows no --{given[0].replace('_', '-')}: leave it out.")
    if args.report and args.report.suffix.lower() != ".html":
        raise UserError(f"`{args.report}` is to be a report: give it the ending .html.")
    for path, endings in ((args.out, ENDINGS), (args.report, ())):
        if path:
            check_place(path, endings)
