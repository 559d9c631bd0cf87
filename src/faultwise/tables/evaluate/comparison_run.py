"""Comparisons of experts as they are run: by one of two protocols, fit after fit, continued from an earlier record.

`runs` repeats halves of whole runs, `thesis` draws a few rows of every class. Nothing is printed or written here.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from faultwise.contracts.language import LanguageSettings
from faultwise.evaluate import summary as of_thesis
from faultwise.evaluate.record import (
    LANGUAGE_KEYS,
    Entries,
    Entry,
    is_result_of_runs,
    is_result_of_thesis,
    read_record,
)
from faultwise.runs.folders import commit
from faultwise.tables.evaluate import ranking, thesis
from faultwise.tables.evaluate.comparison import Plan, check_results, compared
from faultwise.tables.fit.settings import TableSettings
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["ComparisonRun", "Protocol", "runs_protocol", "thesis_protocol"]

Part = TypeVar("Part", int, tuple[int, int])
Starting = Callable[[Part, str], object]


@dataclass(frozen=True)
class Protocol(Generic[Part]):
    """How experts are compared: each is fitted and evaluated on each of `parts` (seeds, or seeds and halves).

    `record` describes the comparison beside results and summary. `part_of` returns the part of a result, `is_result`
    checks what was read from a file, and `check` refuses results that do not belong to these parts. `compared` yields
    the results of experts without those of finished fits. `summarised` returns entries of the record from the results,
    `summarised_at_end` those that are computed only once.
    """

    record: Entry
    parts: Sequence[Part]
    part_of: Callable[[Entry], Part]
    is_result: Callable[[object], bool]
    check: Callable[[Entries, object], None]
    compared: Callable[[Sequence[str], Collection[tuple[Part, str]], bool, Starting[Part]], Iterator[Entry]]
    summarised: Callable[[Entries], Entry]
    summarised_at_end: Callable[[Entries], Entry]


def thesis_protocol(
    parts: thesis.Parts, settings: TableSettings, sizes: tuple[int | None, int | None], seeds: int, published: str
) -> Protocol[int]:
    """A few rows of every class, drawn anew for each of `seeds` seeds, as `thesis` does.

    `sizes` are training and test rows a class (None: those of the study). `published` names the published figures to
    show: "hst", "tep", "none" or "auto" (by the data set).
    """
    train_rows, test_rows = thesis.ROWS[parts.kind]
    rows = (sizes[0] or train_rows, sizes[1] or test_rows)
    labels = sorted(set(parts.train.y))
    shown = {"braatz": "tep", "hst": "hst"}.get(parts.kind) if published == "auto" else published
    shown = None if shown == "none" else shown
    drawn = range(settings.seed, settings.seed + seeds)
    notes = [*parts.notes, *of_thesis.caveats(rows[1] * len(labels), seeds, shown)]
    return Protocol(
        record={
            "protocol": "thesis",
            "config": {
                "train_rows": rows[0],
                "test_rows": rows[1],
                "labels": labels,
                "columns": parts.train.features,
            },
            "data_hash": parts.hash,
            "source": Path(parts.train.source).name,
            "published": shown,
            "notes": notes,
        },
        parts=drawn,
        part_of=lambda one: int(one["seed"]),
        is_result=is_result_of_thesis,
        check=lambda results, place: None,
        compared=lambda experts, finished, progress, starting: thesis.compared(
            parts, rows, drawn, experts, settings.language, finished, progress, starting
        ),
        summarised=lambda results: {"summary": of_thesis.summary(results, shown)},
        summarised_at_end=lambda results: {},
    )


def runs_protocol(plan: Plan) -> Protocol[tuple[int, int]]:
    """Repeated halves of whole runs, as `comparison.plan` splits them."""

    def summarised(results: Entries) -> Entry:
        lines = ranking.ranking(results, plan.ratio)
        remarks, caveats = ranking.remarks(lines), ranking.caveats(lines, plan.ratio)
        return {"summary": lines, "remarks": remarks, "caveats": caveats}

    def summarised_at_end(results: Entries) -> Entry:
        best = ranking.ranking(results, plan.ratio)[0]["expert"]
        rows = ranking.confusion(plan, results, best)
        matrix = {"expert": best, "labels": plan.classes.tolist(), "rows": rows}
        return {"curves": ranking.curves(plan, results), "confusion": matrix}

    return Protocol(
        record={
            "protocol": "runs",
            "config": plan.config,
            "data_hash": plan.table.hash(),
            "source": Path(plan.table.source).name,
            "ranked_by": ranking.RANKED_BY,
            "ratio": plan.ratio,
            "machine": {"cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()},
            "notes": list(plan.notes),
            "splits": plan.plain_splits(),
        },
        parts=list(plan.splits),
        part_of=lambda one: (one["seed"], one["fold"]),
        is_result=is_result_of_runs,
        check=lambda results, place: check_results(plan, results, place),
        compared=lambda experts, finished, progress, starting: compared(plan, experts, finished, progress, starting),
        summarised=summarised,
        summarised_at_end=summarised_at_end,
    )


class ComparisonRun:
    """A comparison of experts by a protocol. Results in the record at `place` (a .json file) are not computed again.

    Results of the language model with other settings are kept in the record and take no part in the summary. Raises
    UserError as `evaluate.record.read_record` does.
    """

    def __init__(
        self, protocol: Protocol[Any], experts: Sequence[str], language: LanguageSettings, place: Path | None = None
    ) -> None:
        self.protocol, self.experts = protocol, experts
        self.record: Entry = {**protocol.record, "commit": commit()}
        self.language = {key: value for key, value in asdict(language).items() if key in LANGUAGE_KEYS}
        earlier: list[Entry] = []
        if place is not None and place.suffix.lower() == ".json":
            earlier = read_record(place, self.record, protocol.is_result)
            protocol.check(earlier, place)
        self.kept = [one for one in earlier if self._tuned_otherwise(one)]
        self.results = [one for one in earlier if not self._tuned_otherwise(one)]
        self.wanted = [(part, name) for part in protocol.parts for name in experts]

    def _tuned_otherwise(self, result: Entry) -> bool:
        return result["expert"] == LANGUAGE_MODEL and result.get("language") != self.language

    def _of(self, result: Entry) -> tuple[object, str]:
        return self.protocol.part_of(result), result["expert"]

    @property
    def left(self) -> int:
        """How many fits have not been run yet."""
        finished = set(map(self._of, self.results))
        return sum(one not in finished for one in self.wanted)

    def run(self, progress: bool, starting: Starting[Any]) -> Iterator[None]:
        """Run the fits that are left, yielding after each; `starting` is called with part and expert before each."""
        finished = set(map(self._of, self.results))
        for one in self.protocol.compared(self.experts, finished, progress, starting):
            self.results.append({**one, "language": self.language} if one["expert"] == LANGUAGE_MODEL else one)
            yield

    def requested_results(self) -> list[Entry]:
        """Return the results of the requested experts and parts; a record may have others."""
        return [one for one in self.results if self._of(one) in self.wanted]

    def summarised(self, at_end: bool = False) -> Entry | None:
        """Return the record with all results and their summary, None where there is no result yet."""
        results = self.requested_results()
        if not results:
            return None
        self.record.update(self.protocol.summarised(results))
        if at_end:
            self.record.update(self.protocol.summarised_at_end(results))
        self.record["results"] = [*self.results, *self.kept]
        return self.record

    def for_page(self) -> Entry:
        """Return the record as the report shows it: with the requested results only, and the number of fits left."""
        results = self.requested_results()
        return {**self.record, "results": results, "fits_left": len(self.wanted) - len(results)}

    def for_print(self) -> Entry:
        """Return the record without packed predictions and splits, which serve only to continue it."""
        results = [{key: value for key, value in one.items() if key != "held_out"} for one in self.record["results"]]
        return {**{key: value for key, value in self.record.items() if key != "splits"}, "results": results}
