"""`faultwise demo`: the whole way on a shipped sample, or on a folder of your own: fit, compare, diagnose, report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_setting_flags, settings_of
from faultwise.cli.out import note, print_json, print_notes, print_table

if TYPE_CHECKING:
    from faultwise.tables.reading.table import Table

__all__ = ["add", "run"]

# Two folds, and a tenth of what `fit` gives the language model: enough to see it take part, in three minutes.
_DEFAULTS: dict[str, object] = {
    "window": 20,
    "folds": 2,
    "lm": True,
    "language.minutes": 0.3,
    "language.score_rows": 48,
}
_SHOWN_FAULT = "4"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("demo", help="see the whole way on a sample", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    sample = "folder of Braatz .dat files (default: the shipped Tennessee Eastman sample)"
    parser.add_argument("--data", metavar="FOLDER", help=sample)
    out = "where to write (default: demo)"
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="FOLDER", help=out)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    add_setting_flags(parser, ("window", "experts", "lm", "seed", "false_alarm_rate"), window=_DEFAULTS["window"])


def run(args: argparse.Namespace) -> int:
    """Fit on one part, measure on the other, diagnose one faulty run, write the report."""
    from dataclasses import replace

    from faultwise.report.save import save_report
    from faultwise.report.text import render_text
    from faultwise.runs.folders import check_target, write_model
    from faultwise.tables.fit.settings import TableQuery, TableSettings
    from faultwise.tables.modality import tables
    from faultwise.tables.reading.options import TableReading

    settings = settings_of(args, TableSettings, **_DEFAULTS)
    started = time.monotonic()
    run_folder, report = args.out / "run", args.out / "report.html"
    check_target(run_folder)
    training, test = _parts(args.data)
    name = Path(training.source).name
    note(f"Training on {len(training.frame):,} rows of `{name}`; {len(test.frame):,} rows are kept for judging.")
    model = tables.fit(training, settings, TableReading(), progress=not args.json)
    print_notes(model.notes)
    write_model(run_folder, tables.name, model)
    note("Judging on runs never seen in training ...")
    result = model.evaluate(test, TableReading(), TableQuery())
    board = result.tables[0][1]
    diagnosis = replace(model.diagnose(_shown(test), TableReading(), TableQuery()), leaderboard=board)
    save_report(diagnosis, report)
    seconds = time.monotonic() - started
    if args.json:
        figures = {"leaderboard": board, "evaluation": result.figures, "report": str(report)}
        print_json({**figures, "wall_s": round(seconds, 1)})
        return 0
    print_table(board, "Leaderboard on runs never seen in training (mean recall over classes, 95% interval over runs)")
    print(render_text(replace(diagnosis, leaderboard=())))
    print(f"Run folder: {run_folder}\nReport:     {report.absolute().as_uri()}\nTook {seconds / 60:.1f} minutes.")
    return 0


def _shown(test: Table) -> Table:
    """Return one faulty run of the test part."""
    faulty = _SHOWN_FAULT if _SHOWN_FAULT in set(test.y) else str(test.y[-1])
    runs = test.groups
    assert runs is not None  # both sources of `_parts` have runs
    return test.rows(runs == runs[test.y == faulty][0])


def _parts(folder: str | None) -> tuple[Table, Table]:
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
