"""What `compare` does by each protocol: what is read, what results belong to, how they are summed up.

The loop around it (record, progress, saving) is `compare`'s. Imports are inside the functions, so that --help is light.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultwise.cli.out import watched
from faultwise.tables.fit.settings import FitSettings

__all__ = ["PROTOCOLS", "Protocol", "labelled", "runs", "thesis"]

PROTOCOLS = ("thesis", "runs")
Results = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Protocol:
    """A comparison to be run: `parts` times experts, each giving a result.

    `record` is what the file says of it beside results and summary. `part_of` says which part a result is of,
    `is_result` whether something is a result; `check` refuses results of a record that do not fit after all. `compared`
    takes what is finished and who is told of the next fit; `told` gives entries of the record from the results, `last`
    those that are only worth their time at the end.
    """

    record: dict[str, Any]
    parts: Sequence[Any]
    part_of: Callable[[Mapping[str, Any]], Any]
    is_result: Callable[[Any], bool]
    check: Callable[[Results], None]
    compared: Callable[[Any, Callable[[Any, str], object]], Iterator[dict[str, Any]]]
    told: Callable[[Results], dict[str, Any]]
    last: Callable[[Results], dict[str, Any]] = lambda results: {}


def thesis(args: argparse.Namespace, settings: FitSettings, experts: Sequence[str]) -> Protocol:
    """A few rows of every class, drawn anew for each seed, as `evaluate.thesis` does."""
    from faultwise.evaluate.record import is_result_of_thesis
    from faultwise.evaluate.summary import caveats, summary
    from faultwise.tables.evaluate import thesis as study
    from faultwise.tables.fit.training import language_settings

    parts = study.read_parts(args.source, **_roles(args), keep=settings.keep)
    default = study.ROWS[parts.kind]
    sizes = (args.train_rows or default[0], args.test_rows or default[1])
    labels = sorted(set(parts.train.y))
    published = _published(args.published or "auto", parts.kind)
    seeds = range(settings.seed, settings.seed + (5 if args.seeds is None else args.seeds))
    config = {"train_rows": sizes[0], "test_rows": sizes[1], "labels": labels, "columns": parts.train.features}
    notes = [*parts.notes, *caveats(sizes[1] * len(labels), len(seeds), published)]
    return Protocol(
        record={
            "protocol": "thesis",
            "config": config,
            "data_hash": parts.hash,
            "source": Path(parts.train.source).name,
            "published": published,
            "notes": notes,
        },
        parts=seeds,
        part_of=lambda one: one["seed"],
        is_result=is_result_of_thesis,
        check=lambda results: None,
        compared=lambda finished, starting: study.compared(
            parts, sizes, seeds, experts, language_settings(settings), finished, watched(args), starting
        ),
        told=lambda results: {"summary": summary(results, published)},
    )


def runs(args: argparse.Namespace, settings: FitSettings, experts: Sequence[str]) -> Protocol:
    """Repeated halves of whole runs, as `evaluate.comparison` does."""
    import os
    import platform

    from faultwise.evaluate.record import is_result_of_runs
    from faultwise.tables.evaluate.comparison import check_results, compared, plan
    from faultwise.tables.evaluate.ranking import RANKED_BY, caveats, confusion, curves, remarks, standing

    made = plan(labelled(args, settings), settings, 5 if args.repeats is None else args.repeats)

    def told(results: Results) -> dict[str, Any]:
        lines = standing(results, made.ratio)
        return {"summary": lines, "remarks": remarks(lines), "caveats": caveats(lines, made.ratio)}

    def last(results: Results) -> dict[str, Any]:
        best = standing(results, made.ratio)[0]["expert"]
        matrix = {"expert": best, "labels": made.classes.tolist(), "rows": confusion(made, results, best)}
        return {"curves": curves(made, results), "confusion": matrix}

    return Protocol(
        record={
            "protocol": "runs",
            "config": made.config,
            "data_hash": made.table.hash(),
            "source": Path(made.table.source).name,
            "ranked_by": RANKED_BY,
            "ratio": made.ratio,
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
            "notes": list(made.notes),
            "splits": made.told(),
        },
        parts=list(made.splits),
        part_of=lambda one: (one["seed"], one["fold"]),
        is_result=is_result_of_runs,
        check=lambda results: check_results(made, results, args.out),
        compared=lambda finished, starting: compared(made, experts, finished, watched(args), starting),
        told=told,
        last=last,
    )


def _roles(args: argparse.Namespace) -> dict[str, Any]:
    ignored = tuple(name.strip() for name in (args.ignore or "").split(",") if name.strip())
    return {"target": args.target, "group": args.group, "time": args.time, "about": args.about, "ignore": ignored}


def labelled(args: argparse.Namespace, settings: FitSettings) -> Any:
    """Read the rows as a fit does: a source too large to be read at once is sampled. Raises DataError."""
    from faultwise.contracts.errors import DataError, listing
    from faultwise.tables.reading.batches import is_large
    from faultwise.tables.reading.readers import read_source
    from faultwise.tables.reading.sampling import read_sample

    given: dict[str, Any] = {**_roles(args), "part": "train", "keep": settings.keep}
    if is_large(args.source):
        # Each half is to hold as many rows as a fit may take.
        given |= {"seed": settings.seed, "whole_runs": settings.window > 1, "progress": watched(args)}
        table = read_sample(args.source, 2 * settings.most_rows, **given)
    else:
        table = read_source(args.source, **given)
    if table.roles.target is None:
        raise DataError(
            f"`{args.source}`: which column holds the label? It has {listing(table.frame.columns, 60)}: pass "
            "--target COL."
        )
    return table


def _published(asked: str, kind: str) -> str | None:
    if asked != "auto":
        return None if asked == "none" else asked
    return {"braatz": "tep", "hst": "hst"}.get(kind)
