"""From a diagnosis to the blocks of its report: cases, an overview by run, leaderboard, tuning, notes, provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from faultwise.contracts.diagnosis import Case, Diagnosis
from faultwise.report import values, words
from faultwise.report.blocks import (
    Block,
    Bullets,
    Cell,
    Column,
    Contents,
    Details,
    Entry,
    Figures,
    Report,
    Row,
    Section,
    Table,
    Text,
)
from faultwise.report.cases import View, case_block, overlay_of
from faultwise.report.curve_plot import drawable
from faultwise.report.drawings import Tuning
from faultwise.report.values import clean, number, percent

__all__ = ["PAGE", "TERMINAL", "Limits", "report_of"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a diagnosis a report shows; the count of the rest is always given.

    Of several `items`, such as images, those with the highest scores are shown in full, or by their `narratives` alone.
    """

    cases: int
    items: int
    runs: int
    classes: int
    narratives: bool = False


PAGE = Limits(cases=50, items=24, runs=200, classes=8)
TERMINAL = Limits(cases=10, items=20, runs=10, classes=5, narratives=True)


def report_of(diagnosis: Diagnosis, limits: Limits) -> Report:
    """Return the blocks of a report; the same diagnosis always gives the same ones."""
    items = words.has_items(diagnosis)
    if items and limits.narratives:
        cases = _narratives(diagnosis, limits.items)
    elif items:
        cases = _items(diagnosis, limits)
    else:
        cases = _cases(diagnosis, limits)
    tuning, provenance = _tuning(diagnosis.provenance)
    notes = Bullets(tuple(Text(clean(note)) for note in diagnosis.notes))
    source = clean(Path(diagnosis.source).name or diagnosis.source)
    figures = Figures((("source", source), *values.flatten(provenance)))
    blocks = (
        *cases,
        *_runs(diagnosis, limits.runs),
        *_leaderboard(diagnosis),
        *tuning,
        *((Section("Notes", (notes,)),) if notes.items else ()),
        Details("Provenance", "versions, hashes, seeds", (figures,)),
    )
    headed = len(diagnosis.cases) != 1 and not (items and limits.narratives)
    return Report(words.summary(diagnosis), source, headed, blocks)


def _cases(diagnosis: Diagnosis, limits: Limits) -> list[Block]:
    single = len(diagnosis.cases) == 1
    shown = diagnosis.cases[: limits.cases]
    made = [case_block(case, View(f"c{at}", limits.classes, single=single)) for at, case in enumerate(shown, 1)]
    if single:
        return [*made]
    entries = tuple(Entry(one.state, one.title, ", ".join(one.facts[:2]), one.anchor) for one in made)
    contents = (Contents(entries),) if entries else ()
    left = len(diagnosis.cases) - len(shown)
    rest = (Text(f"{left} more cases are not shown in detail.", small=True),) if left else ()
    return [*contents, *overlay_of(shown), *made, *rest]


def _by_score(case: Case) -> float:
    score = case.verdict.fault_score
    return float("inf") if score is None or score != score else -score


def _items(diagnosis: Diagnosis, limits: Limits) -> list[Block]:
    order = sorted(diagnosis.cases, key=_by_score)
    shown, rest = order[: limits.items], order[limits.items :]
    promises = dict.fromkeys(filter(None, (words.promise(case.verdict) for case in order)))
    scores = [case.verdict.fault_score or 0.0 for case in shown]
    limit = max((2 * (case.verdict.threshold or 0.0) for case in shown), default=0.0)
    end = max([limit, *(score for score in scores if score < float("inf"))])
    made: list[Block] = [*map(Text, promises), *overlay_of(shown)]
    made += [case_block(case, View(f"c{at}", limits.classes, item=True, end=end)) for at, case in enumerate(shown, 1)]
    if rest:
        columns = (Column("Name", "wide"), Column("Verdict"), Column("Score", "number"))
        rows = tuple(
            Row((Cell(clean(one.name)), Cell(words.headline(one.verdict)), Cell(number(one.verdict.fault_score))))
            for one in rest
        )
        made.append(Section(f"Other {clean(diagnosis.modality)}", (Table(columns, rows),)))
    return made


def _narratives(diagnosis: Diagnosis, most: int) -> list[Block]:
    order = sorted(diagnosis.cases, key=_by_score)
    lines = [" ".join(clean(one.text) for one in case.narrative) or clean(case.name) for case in order[:most]]
    if len(order) > most:
        lines.append(f"... and {len(order) - most} more; --out FILE.csv has them all.")
    lines.append(f"{words.summary(diagnosis)}.")
    return [Bullets(tuple(Text(line) for line in lines), story=True)]


def _runs(diagnosis: Diagnosis, most: int) -> tuple[Section, ...]:
    if not diagnosis.runs or (len(diagnosis.runs) == 1 and diagnosis.cases):
        return ()
    runs, rest = words.overview(diagnosis.runs, most)
    columns = (
        Column("Run", "wide", "run", 36),
        Column("Rows", "number"),
        Column("Judged", "number", "judged", 9),
        Column("Flagged", "number", "flagged", 9),
        Column("Share", "number", page_only=True),
        Column("Most frequent label", "wide", "label", 27),
        Column("Probability", "number"),
        Column("First flagged row", "", "first flag", 26),
    )
    rows = []
    for run in runs:
        time = clean(run.first_flag_time) if run.first_flag_time else ""
        cells = (
            Cell(clean(run.run)),
            Cell(str(run.rows)),
            Cell(str(run.judged)),
            Cell(str(run.flagged)),
            Cell(percent(run.flagged / run.judged if run.judged else None)),
            Cell(clean(run.label)),
            Cell(percent(None if run.label is None else run.probability)),
            Cell(clean(run.first_flag), time, terse=time or clean(run.first_flag)),
        )
        rows.append(Row(cells))
    more = f"{rest} more runs with smaller shares of flagged rows." if rest else ""
    return (Section("Overview by run", (Table(columns, tuple(rows), rest=more),)),)


def _leaderboard(diagnosis: Diagnosis) -> tuple[Section, ...]:
    # The leaderboards of different commands have different columns: all of them, in order of appearance.
    names = list(dict.fromkeys(name for row in diagnosis.leaderboard for name in row))
    if not names:
        return ()
    cells = [values.aligned([row.get(name) for row in diagnosis.leaderboard]) for name in names]
    heads = [clean(name).replace("_", " ") for name in names]
    columns = tuple(Column(head, "number" if at else "") for at, head in enumerate(heads))
    rows = tuple(Row(tuple(Cell(text) for text in row)) for row in zip(*cells, strict=True))
    return (Section("Leaderboard", (Table(columns, rows),), terminal=False),)


def _tuning(provenance: Mapping[str, object]) -> tuple[tuple[Section, ...], Mapping[str, object]]:
    """Return how the language model was tuned, if there are curves to draw, and the provenance without them."""
    log = provenance.get("language_model")
    if not isinstance(log, Mapping) or not drawable(log.get("curves")):
        return (), provenance
    loss, accuracy = log.get("best_log_loss"), log.get("best_accuracy")
    best, chance = log.get("best_step"), log.get("chance")
    at_best = "at the best evaluation"
    curves = Tuning(
        log,
        "Validation loss unknown" if loss is None else f"{number(loss)} on validation rows {at_best}",
        "Validation accuracy unknown" if accuracy is None else f"{percent(accuracy)} of validation rows {at_best}",
        "" if chance is None else f"always the most frequent label, {percent(chance)}",
        "" if best is None else f"best evaluation, step {number(best)}: its adapter is used",
    )
    facts, warnings = _tuning_facts(log), log.get("warnings") or ()
    blocks: list[Block] = [Text(f"{facts}.", small=True)] if facts else []
    blocks += [Bullets(tuple(Text(clean(one)) for one in warnings))] if warnings else []
    kept = {key: value for key, value in log.items() if key not in ("curves", "warnings")}
    section = Section("How the language model was tuned", (*blocks, curves), terminal=False)
    return (section,), {**provenance, "language_model": kept}


def _tuning_facts(log: Mapping[str, object]) -> str:
    known = {"validated_on": "validation rows"}
    known |= {str(key): number(value, digits=3) for key, value in log.items() if value is not None}
    texts = (
        ("steps", "{steps} of {planned_steps} planned steps" if known.get("planned_steps") else "{steps} steps"),
        ("rows", "{rows} training rows"),
        ("validation_rows", "{validation_rows} {validated_on}"),
        ("seconds", "{seconds} s"),
        ("stopped", "stopped: {stopped}"),
    )
    return ", ".join(text.format_map(known) for key, text in texts if known.get(key))
