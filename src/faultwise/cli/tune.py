"""`faultwise tune`: search the language model's settings, each trial judged by its log loss on held-out folds.

Every trial is fitted and judged on the same folds, whole runs held out where there are runs. A trial whose loss is no
number, whose accuracy is at chance, or that is worse than the median of others after a fold is pruned. With --out the
search may be ended at any time: started again, it goes on, and with one worker ends in the same trials as if it had
never been ended. A flag such as --lm-steps 60 fixes what the space would search. A published study's search is
--preset thesis (wants a GPU).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faultwise.cli.flags import add_fit_flags, add_role_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes, watched
from faultwise.cli.protocols import labelled
from faultwise.tables.fit.settings import FitSettings

if TYPE_CHECKING:
    from faultwise.evaluate.search import Job, Search, Trial
    from faultwise.evaluate.search_space import Preset, Space

__all__ = ["add", "run"]

_FLAGS = (
    "window",
    "split",
    "folds",
    "normal",
    "most_rows",
    "seed",
    "keep",
    "model",
    "lm_minutes",
    "lm_steps",
    "lm_score_rows",
    "lm_digits",
    "lm_features",
    "lm_text",
    "lm_names",
    "lm_normalise",
    "lm_form",
    "lm_judge",
    "lm_tokens",
    "lm_learning_rate",
    "lm_lora_r",
    "lm_lora_alpha",
    "lm_lora_dropout",
)


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("tune", help="search the language model's settings", description=__doc__)
    parser.add_argument("source", help="labelled table (CSV, Parquet), or folder of files")
    words = "folder of the search: gone on with, its result and report written (default: nothing is kept)"
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=words)
    words = "space, trials and folds by name: default, or thesis (a published study's)"
    parser.add_argument("--preset", default="default", metavar="NAME", help=words)
    parser.add_argument("--space", metavar="FILE", help="YAML file with a space of your own instead of the preset's")
    words = "trials in all, those in --out included (default: 20; thesis 100; grid: all points)"
    parser.add_argument("--trials", type=int, metavar="N", help=words)
    parser.add_argument("--sampler", default="tpe", metavar="NAME", help="tpe, grid or random (default: tpe)")
    words = "processes; with more than one the order of trials, and so what is tried, may differ (default: 1)"
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=words)
    words = "prune trials worse than the median of others after a fold (default: yes)"
    parser.add_argument("--median", action=argparse.BooleanOptionalAction, default=True, help=words)
    add_role_flags(parser)
    add_fit_flags(parser, _FLAGS, folds="3; thesis 5")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Search, save and print."""
    import tempfile

    preset = _preset(args.preset)
    settings = fit_settings(args, folds=preset.folds, **preset.settings)
    space, notes = _space(args, preset)
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.search_store import check_sampler

    check_sampler(args.sampler, space)
    for flag in ("trials", "workers"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag} is {getattr(args, flag)}: choose 1 or more.")
    if args.out:
        return _searched(args, settings, preset, space, notes, args.out)
    with tempfile.TemporaryDirectory(prefix="faultwise-") as folder:
        return _searched(args, settings, preset, space, notes, Path(folder))


def _searched(
    args: argparse.Namespace, settings: FitSettings, preset: Preset, space: Space, notes: list[str], folder: Path
) -> int:
    from dataclasses import asdict

    from tqdm import tqdm

    from faultwise import hub
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.search import Job, looking, standing
    from faultwise.evaluate.search_workers import search_with
    from faultwise.report.search import BEST, REPORT, save_search, shown
    from faultwise.tables.evaluate.search_folds import LanguageBuild, folded
    from faultwise.tables.fit.training import language_settings

    language = language_settings(settings)
    build = LanguageBuild(language, settings.seed)
    build.check(space)
    made = folded(labelled(args, settings), settings)
    hub.resolve(language.model)
    fixed = {name: value for name, value in asdict(language).items() if name not in space}
    count = _trials(args, preset, space)
    head = {"fixed": fixed, "config": made.config}
    job = Job(space, made.parts, build, folder, count, args.sampler, settings.seed, args.median, head)
    say_notes([*made.notes, *notes])
    if language.steps is None and "steps" not in space:
        notes.append("The time budget makes values depend on the machine: --lm-steps N makes them repeatable.")
        say_notes(notes[-1:])
    say(f"Up to {count} trials of {len(made.parts)} folds: {count * len(made.parts)} fits at most.")

    def recorded(found: Search) -> dict[str, Any]:
        record = _record(args, settings, job, found)
        record["notes"] = [*made.notes, *notes]
        if args.out:
            save_search(record, folder)
        return record

    with tqdm(total=count, desc="trials", disable=not watched(args), leave=False) as bar:

        def told(trials: list[Trial]) -> None:
            done = sum(one.state in ("complete", "pruned") for one in trials)
            bar.update(min(done, count) - bar.n)
            values = [one.value for one in trials if one.value is not None]
            folds = sum(len(one.folds) for one in trials)
            bar.set_postfix_str(f"{folds} folds" + (f", best {min(values):.4f}" if values else ""))

        with looking(job) as look:
            told(look())
        try:
            found = search_with(args.workers, job, told)
        except KeyboardInterrupt:
            recorded(standing(job))
            raise
    record = recorded(found)
    if args.json:
        print_json(record)
    elif record["best"] is not None:
        print_table(shown(record))
    if args.out:
        say(f"Report: {folder / REPORT}")
    if record["best"] is None:
        why = found.trials[-1].reason.rstrip(".")
        raise UserError(
            f"All {len(found.trials)} trials were pruned, the last because: {why}. Try other values with "
            "--space FILE, more --lm-steps, or more rows."
        )
    if args.out:
        say(f"Best settings: {folder / BEST} (faultwise fit --config {folder / BEST})")
    return 0


def _record(args: argparse.Namespace, settings: FitSettings, job: Job, found: Search) -> dict[str, Any]:
    """Return the search as plain values."""
    from dataclasses import asdict, fields
    from importlib.metadata import version

    from faultwise.evaluate.search_space import told
    from faultwise.runs.folders import commit
    from faultwise.verdicts.registry import LANGUAGE_MODEL

    best = found.best
    # What a fit needs to be told again: what differs from its defaults, and what was found.
    given = {one.name: getattr(settings, one.name) for one in fields(FitSettings) if one.name not in _NOT_A_FIT_S}
    given = {name: value for name, value in given.items() if value != _default(name)}
    chosen = {f"lm_{name}": value for name, value in best.params.items()} if best else {}
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in {**given, **chosen}.items()}
    return {
        "expert": LANGUAGE_MODEL,
        "best": None if best is None else {"number": best.number, "params": best.params},
        "value": None if best is None else best.value,
        "trials": found.count("complete") + found.count("pruned"),
        "pruned": found.count("pruned"),
        "settings": plain,
        "importance": found.importance,
        "history": [asdict(one) for one in found.trials],
        "sampler": job.sampler,
        "preset": None if args.space else args.preset,
        "space": told(job.space),
        "seed": job.seed,
        "median": job.median,
        "workers": args.workers,
        **job.head,
        "source": Path(args.source).name,
        "commit": commit(),
        "versions": {name: version(name) for name in ("faultwise", "optuna")},
        "out": str(args.out) if args.out else None,
    }


# The folds of a fit fit the fusion, its rows to score bound a command: neither is this search's.
_NOT_A_FIT_S = ("folds", "lm_score_rows")


def _default(name: str) -> Any:
    return getattr(FitSettings(), name)


def _preset(name: str) -> Preset:
    from faultwise.contracts.errors import UserError, closest
    from faultwise.evaluate.search_space import PRESETS

    if name not in PRESETS:
        near = closest(name, PRESETS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no preset `{name}`{hint}: use {' or '.join(PRESETS)}.")
    return PRESETS[name]


def _space(args: argparse.Namespace, preset: Preset) -> tuple[Space, list[str]]:
    """Return what is searched, without what a flag fixes, and a note on that. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.search_space import read_space

    space = read_space(args.space) if args.space else preset.space
    fixed = [name for name in space if getattr(args, f"lm_{name}", None) is not None]
    if len(fixed) == len(space):
        raise UserError("Flags fix everything that was to be searched: leave one of them out.")
    left = {name: dimension for name, dimension in space.items() if name not in fixed}
    return left, [f"Not searched, because a flag says it: {', '.join(fixed)}."] if fixed else []


def _trials(args: argparse.Namespace, preset: Preset, space: Space) -> int:
    from faultwise.evaluate.search_store import grid_size

    if args.sampler != "grid":
        return preset.trials if args.trials is None else int(args.trials)
    size = grid_size(space)
    return size if args.trials is None else min(int(args.trials), size)
