"""`faultwise compare`: several experts on the same small draws of rows, beside what the tabular study published.

Labelled rows are drawn anew for every seed: 100 training and 40 test rows a class of a folder of Braatz files (faults
0, 1, 4, 5; training and test files), 120 and 30 of any other table. The language model takes part when it is named
(--experts random-forest,language-model): by default it does not, because it costs minutes per seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_fit_flags, add_role_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes, watched

__all__ = ["add", "run"]

PROTOCOLS = ("thesis",)
_FLAGS = (
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


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("compare", help="compare experts by a study's protocol", description=__doc__)
    parser.add_argument("source", help="folder of Braatz .dat files, or a labelled table (CSV, Parquet)")
    parser.add_argument("--protocol", required=True, metavar="NAME", help=f"how to judge: {', '.join(PROTOCOLS)}")
    parser.add_argument("--train-rows", type=int, metavar="N", help="training rows a class (default: 100 or 120)")
    parser.add_argument("--test-rows", type=int, metavar="N", help="test rows a class (default: 40 or 30)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="draws, from --seed on (default: 5)")
    words = "published figures beside: hst, tep or none (default: by the data set, if known)"
    parser.add_argument("--published", default="auto", metavar="SET", help=words)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write .json, .csv or .md; a .json is gone on with")
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

    from faultwise.evaluate import thesis
    from faultwise.evaluate.record import LANGUAGE_KEYS, read_record
    from faultwise.evaluate.summary import caveats, summary
    from faultwise.experts.registry import LANGUAGE_MODEL
    from faultwise.report.comparison import check_ending, save_comparison, shown
    from faultwise.runs import commit
    from faultwise.training import language_settings

    if args.out:
        check_ending(args.out)
    names = ("target", "group", "time", "about")
    ignored = tuple(name.strip() for name in (args.ignore or "").split(",") if name.strip())
    roles = {name: getattr(args, name) for name in names}
    parts = thesis.read_parts(args.source, **roles, ignore=ignored, keep=settings.keep)
    default = thesis.ROWS[parts.kind]
    sizes = (args.train_rows or default[0], args.test_rows or default[1])
    labels = sorted(set(parts.train.y))
    published = _published(args.published, parts.kind)
    language = language_settings(settings)
    asked = {key: value for key, value in asdict(language).items() if key in LANGUAGE_KEYS}
    seeds = range(settings.seed, settings.seed + args.seeds)
    config = {"train_rows": sizes[0], "test_rows": sizes[1], "labels": labels, "columns": parts.train.features}
    head = {"protocol": args.protocol, "config": config, "data_hash": parts.hash}
    record: dict[str, Any] = {
        **head,
        "source": Path(parts.train.source).name,
        "commit": commit(),
        "published": published,
    }
    results = read_record(args.out, head) if args.out and args.out.suffix.lower() == ".json" else []
    # Figures of a language model tuned in another way are kept for those who want them, but they are not these.
    kept = [one for one in results if one["expert"] == LANGUAGE_MODEL and one.get("language") != asked]
    results = [one for one in results if one not in kept]
    finished = {(one["seed"], one["expert"]) for one in results}
    experts = tuple(dict.fromkeys(settings.experts))
    wanted = [(seed, name) for seed in seeds for name in experts]
    left = sum(pair not in finished for pair in wanted)
    record["notes"] = [*parts.notes, *caveats(sizes[1] * len(labels), args.seeds, published)]
    say_notes(record["notes"])
    if args.out and left < len(wanted):
        say(f"{len(wanted) - left} of {len(wanted)} fits are in `{args.out}` and are not run again.")

    def written() -> None:
        mine = [one for one in results if (one["seed"], one["expert"]) in wanted]
        record["summary"] = summary(mine, published)
        record["results"] = [*results, *kept]
        if args.out and record["summary"]:
            save_comparison(record, args.out)

    with tqdm(total=left, desc="fits", disable=not watched(args), leave=False) as bar:
        for one in thesis.compared(
            parts, sizes, seeds, experts, language, finished, watched(args),
            lambda seed, name: bar.set_postfix_str(f"seed {seed}, {name}"),
        ):  # fmt: skip
            results.append({**one, "language": asked} if one["expert"] == LANGUAGE_MODEL else one)
            written()  # after every fit, so that Ctrl-C costs one
            bar.update()
    written()
    if args.json:
        print_json(record)
    else:
        print_table(shown(record["summary"]))
    if args.out:
        say(f"Comparison: {args.out}")
    return 0


def _check(args: argparse.Namespace, settings: Any) -> None:
    """Refuse what this protocol does not know, before anything is read. Raises UserError."""
    from faultwise.errors import UserError, closest

    if args.protocol not in PROTOCOLS:
        near = closest(args.protocol, PROTOCOLS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no protocol `{args.protocol}`{hint}: use {' or '.join(PROTOCOLS)}.")
    if args.published not in _PUBLISHED:
        raise UserError(f"--published is `{args.published}`: use one of {', '.join(_PUBLISHED)}.")
    for flag in ("train_rows", "test_rows", "seeds"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} is {getattr(args, flag)}: choose 1 or more.")
    if settings.window != 1:
        raise UserError(f"The thesis's protocol judges single rows, and window is {settings.window}: leave it out.")
    if settings.normal_only:
        raise UserError("The thesis's protocol compares classifiers of labelled rows: leave normal_only out.")
    if args.out and not args.out.absolute().parent.is_dir():
        raise UserError(f"There is no folder `{args.out.parent}` to write `{args.out.name}` to: create it first.")


def _published(asked: str, kind: str) -> str | None:
    if asked != "auto":
        return None if asked == "none" else asked
    return {"braatz": "tep", "hst": "hst"}.get(kind)
