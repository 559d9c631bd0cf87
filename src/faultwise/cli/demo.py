"""`faultwise demo`: the whole way on a shipped sample, or on a folder of your own: fit, compare, diagnose, report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from faultwise.cli.flags import add_fit_flags, fit_settings
from faultwise.cli.out import print_json, print_table, say, say_notes

__all__ = ["add", "run"]

# A third of what `fit` gives the language model: enough to see it take part.
_DEFAULTS = {"window": 20, "lm_minutes": 1.0, "lm_score_rows": 96}
_SHOWN_FAULT = "4"


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("demo", help="see the whole way on a sample", description=__doc__)
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of Braatz .dat files (default: the shipped TEP sample)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="FOLDER", help="where to write (default: demo)"
    )
    add_fit_flags(parser, **_DEFAULTS)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit on one part, measure on the other, diagnose one faulty run, write the report."""
    settings = fit_settings(args, **_DEFAULTS)
    from dataclasses import asdict, replace

    from faultwise.diagnoser import Diagnoser
    from faultwise.report.save import save_report
    from faultwise.report.text import render_text
    from faultwise.runs.folders import check_target
    from faultwise.tables.evaluate.protocol import evaluate_table, leaderboard

    started = time.monotonic()
    run_folder, report = args.out / "run", args.out / "report.html"
    check_target(run_folder)
    training, test = _parts(args.data)
    say(f"Training on {len(training.frame):,} rows of `{training.source}`, judging on {len(test.frame):,} unseen rows.")
    diagnoser = Diagnoser(**asdict(settings), progress=not args.json).fit_table(training)
    say_notes(diagnoser.fitted_.notes)
    diagnoser.save(run_folder)
    say("Judging on runs never seen in training ...")
    result = evaluate_table(diagnoser.fitted_, test, settings.lm_score_rows, settings.seed)
    table = leaderboard(result)
    faulty = _SHOWN_FAULT if _SHOWN_FAULT in set(test.y) else str(test.y[-1])
    runs = test.groups
    assert runs is not None  # both sources of `_parts` have runs
    one = test.rows(runs == runs[test.y == faulty][0])
    diagnosis = replace(diagnoser.diagnose(one), leaderboard=tuple(table))
    save_report(diagnosis, report)
    seconds = time.monotonic() - started
    if args.json:
        print_json({"leaderboard": table, "evaluation": result, "report": str(report), "wall_s": round(seconds, 1)})
        return 0
    print("\nLeaderboard on runs never seen in training (mean recall over classes, 95% interval over runs):")
    print_table(table)
    print()
    print(render_text(replace(diagnosis, leaderboard=())))
    print(f"Run folder: {run_folder}\nReport:     {report.absolute().as_uri()}\nTook {seconds / 60:.1f} minutes.")
    return 0


def _parts(folder: str | None) -> tuple[Any, Any]:
    """Return training and test tables; of the shipped sample every third run of a fault is the test."""
    import numpy as np

    from faultwise.tables.reading.readers import read_source

    if folder is not None:
        return read_source(folder, part="train"), read_source(folder, part="test")
    from faultwise.tables.reading.benchmarks.samples import companion_path, sample_path

    table = read_source(
        sample_path("tep-sample"),
        target="fault",
        group="run",
        time="hour",
        about=companion_path("tep-sample"),
    )
    number = np.array([int(run[-2:]) for run in table.frame["run"]])
    test = number % 3 == 2
    return table.rows(~test), table.rows(test)
