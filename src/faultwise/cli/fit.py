"""`faultwise fit`: from a source of any kind to a run folder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.cli.flags import add_config_flags, add_modality_flags, options_for, reading_of, settings_of
from faultwise.cli.out import note, print_json, print_notes, print_table, watched

if TYPE_CHECKING:
    from faultwise.contracts.modality import Model

__all__ = ["add", "print_evaluation", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("fit", help="learn from a table, from images, ...", description=__doc__)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments: only when the command is used, because they come from the installed modalities."""
    parser.add_argument("source", help="file or folder; its kind is recognised")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="run folder to write")
    words = "what the source is, where it could be several things (tables, texts, ...)"
    parser.add_argument("--kind", "--modality", dest="modality", metavar="NAME", help=words)
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    add_config_flags(parser)
    add_modality_flags(parser, "fit", "reading", "settings")


def run(args: argparse.Namespace) -> int:
    """Fit and save."""
    from faultwise.contracts.modality import recognised
    from faultwise.runs.folders import check_target, write_model

    check_target(args.out)
    found = recognised(args.source, args.modality)
    kind = found.modality
    options_for(args, kind, "fit", "reading", "settings")
    settings: object = settings_of(args, kind.settings)
    model: Model = kind.fit(args.source, settings, reading_of(args, kind.reading), watched(args))
    summary = model.summary()
    print_notes([f"Read as {kind.traces}: {found.why}.", *summary.notes])
    if args.out.exists():
        note(f"The run in {args.out} is replaced.")
    folder = write_model(args.out, kind.name, model)
    if args.json:
        print_json({"run": str(folder), "modality": kind.name, **summary.figures, "notes": list(summary.notes)})
        return 0
    print_evaluation(summary)
    note(f"Run folder: {args.out}")
    return 0


def print_evaluation(made: object) -> None:
    """Print an evaluation's tables, then its sentences."""
    from faultwise.contracts.diagnosis import Evaluation

    assert isinstance(made, Evaluation)
    for title, rows in made.tables:
        print_table(rows, title or None)
    for sentence in made.sentences:
        note(sentence)
