"""`faultwise tune`: search the language model's settings; each trial is valued by its log loss on held-out folds.

Every trial is fitted and evaluated on the same folds, whole runs held out where there are runs. A trial whose loss is
no number, whose accuracy is at chance, or that is worse than the median of others after a fold is pruned. With --out
the search may be ended at any time: started again, it continues, and with one worker ends in the same trials as without
the interruption. --set language.steps=60 fixes a setting that the space would search. A published study's search is
--preset thesis (needs a GPU).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_reading_flags, add_setting_flags, reading_of, set_values, settings_of
from faultwise.cli.out import note, print_json, print_notes, print_table, watched

if TYPE_CHECKING:
    from faultwise.evaluate.record import Entry
    from faultwise.evaluate.search import Search, Trial
    from faultwise.evaluate.search_space import Preset, Space
    from faultwise.tables.evaluate.language_search import LanguageSearch

__all__ = ["add", "run"]

_FLAGS = ("window", "split", "folds", "normal", "seed")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("tune", help="search the language model's settings", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("source", help="labelled table (CSV, Parquet), or folder of files")
    words = "folder of the search: continued, its result and report written (default: nothing is kept)"
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
    add_reading_flags(parser, but=("rules",))
    add_setting_flags(parser, _FLAGS, folds="3; thesis 5")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")


def run(args: argparse.Namespace) -> int:
    """Search, save and print."""
    import tempfile

    preset = _preset(args.preset)
    space, notes = _space(args, preset)
    _check(args, space)
    if args.out:
        return _tuned(args, preset, space, notes, args.out)
    with tempfile.TemporaryDirectory(prefix="faultwise-") as folder:
        return _tuned(args, preset, space, notes, Path(folder))


def _check(args: argparse.Namespace, space: Space) -> None:
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.search_store import check_sampler

    check_sampler(args.sampler, space)
    for flag in ("trials", "workers"):
        if getattr(args, flag) is not None and getattr(args, flag) < 1:
            raise UserError(f"--{flag} is {getattr(args, flag)}: choose 1 or more.")


def _tuned(args: argparse.Namespace, preset: Preset, space: Space, notes: list[str], folder: Path) -> int:
    from faultwise.report.pages.search import BEST, REPORT, shown

    made = _prepared(args, preset, space, folder)
    made.notes.extend(notes)
    print_notes(made.notes)
    count, folds = made.job.trials, len(made.job.parts)
    note(f"Up to {count} trials of {folds} folds: {count * folds} fits at most.")
    record = _searched(args, made)
    if args.json:
        print_json(record)
    elif record["best"] is not None:
        print_table(shown(record))
    if args.out:
        note(f"Report: {folder / REPORT}")
    _refuse_without_best(record)
    if args.out:
        note(f"Best settings: {folder / BEST} (faultwise fit --config {folder / BEST})")
    return 0


def _prepared(args: argparse.Namespace, preset: Preset, space: Space, folder: Path) -> LanguageSearch:
    from faultwise.evaluate.search_store import grid_size
    from faultwise.tables.fit.settings import TableSettings
    from faultwise.tables.reading.options import TableReading

    defaults = {f"language.{name}": value for name, value in preset.language.items()}
    settings = settings_of(args, TableSettings, folds=preset.folds, **defaults)
    from faultwise.tables.evaluate.language_search import language_search
    from faultwise.tables.sources import read_for_fit

    table = read_for_fit(args.source, settings, reading_of(args, TableReading), watched(args))
    trials = args.trials or (grid_size(space) if args.sampler == "grid" else preset.trials)
    return language_search(table, settings, space, folder, trials, args.sampler, args.median)


def _searched(args: argparse.Namespace, made: LanguageSearch) -> Entry:
    """Run the trials with a bar; return the record, also written to the folder of --out at the end or on Ctrl-C."""
    from faultwise.contracts.progress import ProgressBar
    from faultwise.evaluate.search import opened_trials, resume_state
    from faultwise.evaluate.search_workers import search_with

    count = made.job.trials
    with ProgressBar(total=count, desc="trials", disable=not watched(args)) as bar:

        def report(trials: list[Trial]) -> None:
            done = sum(one.state in ("complete", "pruned") for one in trials)
            bar.update(min(done, count) - bar.n)
            values = [one.value for one in trials if one.value is not None]
            folds = sum(len(one.folds) for one in trials)
            bar.detail(f"{folds} folds" + (f", best {min(values):.4f}" if values else ""))

        with opened_trials(made.job) as trials:
            report(trials())
        try:
            found = search_with(args.workers, made.job, report)
        except KeyboardInterrupt:
            _recorded(args, made, resume_state(made.job))
            raise
    return _recorded(args, made, found)


def _recorded(args: argparse.Namespace, made: LanguageSearch, found: Search) -> Entry:
    """Return the record, written to the folder of --out if there is one."""
    from faultwise.report.pages.search import save_search

    of_command = {"preset": None if args.space else args.preset, "workers": args.workers}
    record = {**made.record(found), **of_command, "out": str(args.out) if args.out else None}
    if args.out:
        save_search(record, made.job.folder)
    return record


def _refuse_without_best(record: Entry) -> None:
    from faultwise.contracts.errors import UserError

    if record["best"] is None:
        why = record["history"][-1]["reason"].rstrip(".")
        raise UserError(
            f"All {len(record['history'])} trials were pruned, the last because: {why}. Try other values with "
            "--space FILE, more steps (--set language.steps=N), or more rows."
        )


def _preset(name: str) -> Preset:
    from faultwise.contracts.errors import UserError, closest
    from faultwise.evaluate.search_space import PRESETS

    if name not in PRESETS:
        near = closest(name, PRESETS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no preset `{name}`{hint}: use {' or '.join(PRESETS)}.")
    return PRESETS[name]


def _space(args: argparse.Namespace, preset: Preset) -> tuple[Space, list[str]]:
    """Return what is searched, without what --set fixes, and a note on that. Raises UserError."""
    from faultwise.contracts.errors import UserError
    from faultwise.evaluate.search_space import read_space
    from faultwise.tables.fit.settings import TableSettings

    given = set_values(args.set, TableSettings)
    space = read_space(args.space) if args.space else preset.space
    fixed = [name for name in space if f"language.{name}" in given]
    if len(fixed) == len(space):
        raise UserError("--set fixes everything that was to be searched: leave one of the settings out.")
    left = {name: dimension for name, dimension in space.items() if name not in fixed}
    return left, [f"Not searched, because --set fixes it: {', '.join(fixed)}."] if fixed else []
