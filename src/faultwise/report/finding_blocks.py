"""How each kind of finding looks in a table: its columns and its row. `KINDS` is the one place that lists the kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from faultwise.contracts.findings import (
    Finding,
    NeighbourFinding,
    OfVariable,
    RegionFinding,
    RuleFinding,
    SensorFinding,
    StatementFinding,
    VariableFinding,
    WordFinding,
)
from faultwise.report.blocks import Cell, Column, Row, Section, Table
from faultwise.report.values import DASH, clean, number
from faultwise.report.words import place

__all__ = ["KINDS", "Kind", "deviation", "finding_sections", "is_out", "measured", "normal_range", "subject"]

F = TypeVar("F", bound=Finding)
_ARROWS = {"high": "↑ high", "low": "↓ low", "within": "within normal", "missing": "missing"}
_MOST_TERSE = 8  # findings in a terminal
_SMALL = 0.001  # of an image: a smaller share is shown with another digit


@dataclass(frozen=True)
class Kind(Generic[F]):
    """How findings of one kind are shown: the table's title, its columns, the cells of a finding, what it is about.

    Kinds with the same columns share a table.
    """

    title: str
    columns: tuple[Column, ...]
    cells: Callable[[F], tuple[Cell, ...]]
    subject: Callable[[F], tuple[str, str]]


def finding_sections(findings: Sequence[Finding], anchors: Mapping[str, str], moved: str, terse: str) -> list[Section]:
    """Return a table for each kind of finding that there is, in the order of the findings.

    `anchors` are where links to ids lead; `moved` says what a contribution changes, `terse` is the same for terminals.
    Columns without any cell are left out.
    """
    tables: dict[tuple[Column, ...], list[Finding]] = {}
    for finding in findings:
        tables.setdefault(KINDS[type(finding)].columns, []).append(finding)
    left, made = dict(anchors), []  # of findings with the same id the first one is linked
    for columns, group in tables.items():
        cells = [KINDS[type(finding)].cells(finding) for finding in group]
        kept = [at for at in range(len(columns)) if any(row[at].text for row in cells)]
        rows = (
            Row(tuple(row[at] for at in kept), left.pop(one.id, None)) for one, row in zip(group, cells, strict=True)
        )
        shown = tuple(columns[at] for at in kept)
        remark = f"Contribution: change of {moved}, + for the verdict, − against it." if _CONTRIBUTION in shown else ""
        named = tuple(replace(one, terse=terse) if one == _CONTRIBUTION else one for one in shown)
        title = KINDS[type(group[0])].title
        made.append(Section(title, (Table(named, tuple(rows), remark, most=_MOST_TERSE, cards=True),), level=3))
    return made


def subject(finding: Finding) -> tuple[str, str]:
    """Return what a finding is about, and a remark beside it."""
    return KINDS[type(finding)].subject(finding)


def is_out(finding: OfVariable) -> bool:
    """Tell whether the value lies outside what is normal."""
    return finding.direction not in ("within", "missing")


def measured(finding: OfVariable | StatementFinding) -> str:
    """Return the value with its unit."""
    text = number(finding.value, digits=_digits(finding))
    measure = getattr(finding, "measure", "value")
    if text == DASH or not finding.unit or measure == "category":
        return text
    return f"{text} {clean(finding.unit)}" + (f" per {getattr(finding, 'per', 'sample')}" if measure == "slope" else "")


def normal_range(finding: OfVariable | StatementFinding) -> str:
    """Return the normal range; one open side is marked as such."""
    low, high = (number(side, digits=_digits(finding)) for side in (finding.normal_low, finding.normal_high))
    if DASH in (low, high):
        return DASH if low == high else f"≤ {high}" if low == DASH else f"≥ {low}"
    return f"{low} to {high}"


def deviation(finding: OfVariable) -> str:
    """Return the deviation in standard deviations and the direction in words."""
    words = _ARROWS.get(finding.direction, clean(finding.direction))
    size = finding.deviation
    if size is None or math.isnan(size):
        return words
    text = number(size, sign=True) if abs(size) >= 1000 else f"{size:+.1f}".replace("-", "−")
    return f"{text} σ {words}"


def _digits(finding: OfVariable | StatementFinding) -> int:
    """Significant digits that tell a value from its normal range: 4, more where the range is narrow."""
    low, high = finding.normal_low, finding.normal_high
    if low is None or high is None or not math.isfinite(high - low) or not high > low:
        return 4
    return min(9, max(4, math.ceil(math.log10(max(abs(low), abs(high)) / (high - low))) + 2))


def _of_variable(finding: OfVariable) -> tuple[Cell, ...]:
    name = clean(finding.name or finding.variable)
    column = clean(finding.variable) if finding.name and finding.name != finding.variable else ""
    rule = f"Rule {clean(finding.rule)}." if isinstance(finding, RuleFinding) else ""
    sensor = clean(finding.sensor) if isinstance(finding, SensorFinding) else ""
    below = " ".join(part for part in (sensor, rule, finding.description and clean(finding.description)) if part)
    moved = deviation(finding)
    return (
        Cell(clean(finding.id)),
        Cell(name, column, below),
        Cell(clean(finding.measure)),
        Cell(measured(finding)),
        Cell(normal_range(finding)),
        Cell(moved, terse=moved.removesuffix(" within normal"), out=is_out(finding)),
        Cell(number(finding.contribution, sign=True)),
        # The times are at the head of the case already.
        Cell(place(finding.interval, times=False)),
    )


def _variable_subject(finding: OfVariable) -> tuple[str, str]:
    return clean(finding.name or finding.variable), "" if finding.measure == "value" else clean(finding.measure)


def _region(finding: RegionFinding) -> tuple[Cell, ...]:
    times = number(finding.value / finding.normal_high, digits=2) if finding.normal_high > 0 else DASH
    sure = "" if finding.probability is None else f"{finding.probability:.0%}"
    return (
        Cell(clean(finding.id)),
        Cell(clean(finding.place)),
        Cell("" if finding.defect is None else clean(finding.defect), sure),
        Cell(times),
        Cell(f"{finding.area:.1%}" if finding.area >= _SMALL else f"{finding.area:.2%}"),
        Cell(f"{finding.contrast:+.0f}".replace("-", "−")),
    )


def _region_subject(finding: RegionFinding) -> tuple[str, str]:
    return clean(finding.place), "" if finding.defect is None else clean(finding.defect)


def _statement(finding: StatementFinding) -> tuple[Cell, ...]:
    weighed = finding.contribution == finding.contribution and finding.contribution != 0
    return (
        Cell(clean(finding.id)),
        Cell(clean(finding.about)),
        Cell(measured(finding), out=finding.direction in ("high", "low")),
        Cell(normal_range(finding)),
        Cell(clean(finding.place) if finding.place else ""),
        Cell(number(finding.contribution, sign=True) if weighed else ""),
    )


def _statement_subject(finding: StatementFinding) -> tuple[str, str]:
    return clean(finding.about), clean(finding.place) if finding.place else ""


def _word(finding: WordFinding) -> tuple[Cell, ...]:
    return (
        Cell(clean(finding.id)),
        Cell(f"“{clean(finding.word)}”"),
        Cell(number(finding.contribution, sign=True)),
        Cell(f"{finding.place[0] + 1} to {finding.place[1]}"),
    )


def _word_subject(finding: WordFinding) -> tuple[str, str]:
    return f"“{clean(finding.word)}”", ""


def _neighbour(finding: NeighbourFinding) -> tuple[Cell, ...]:
    return (
        Cell(clean(finding.id)),
        Cell(clean(finding.text)),
        Cell(clean(finding.label)),
        Cell(f"{finding.similarity:.2f}"),
        Cell(clean(finding.item)),
    )


def _neighbour_subject(finding: NeighbourFinding) -> tuple[str, str]:
    return clean(finding.text), clean(finding.label)


_ID = Column("Id", "line", "id", 6)
_CONTRIBUTION = Column("Contribution", "number", "contribution", 12)
_VARIABLE_COLUMNS = (
    _ID,
    Column("Variable", "wide", "variable", 0),
    Column("Measure", "", "measure", 8),
    Column("Value", "value", "value"),
    Column("Normal range", "number", "normal"),
    Column("Deviation", "number", "deviation"),
    _CONTRIBUTION,
    Column("Rows", "line"),
)
_REGION_COLUMNS = (
    _ID,
    Column("Region", "", "region"),
    Column("Type of defect", "", "type of defect"),
    Column("Times the threshold", "number", "times threshold"),
    Column("Area", "number", "area"),
    Column("Grey levels to around", "number", "grey levels"),
)
_STATEMENT_COLUMNS = (
    _ID,
    Column("About", "wide", "about", 0),
    Column("Value", "value", "value"),
    Column("Normal range", "number", "normal"),
    Column("Where", "wide", "where", 30),
    _CONTRIBUTION,
)
_WORD_COLUMNS = (_ID, Column("Word", "wide", "word", 0), _CONTRIBUTION, Column("Letters", "line", "letters"))
_NEIGHBOUR_COLUMNS = (
    _ID,
    Column("Labelled text", "wide", "labelled text", 0),
    Column("Label", "", "label", 24),
    Column("Similarity", "number", "similarity"),
    Column("Where", "line", "where"),
)
_OF_VARIABLE = Kind("Findings", _VARIABLE_COLUMNS, _of_variable, _variable_subject)

KINDS: Mapping[type, Kind[Any]] = {
    VariableFinding: _OF_VARIABLE,
    RuleFinding: _OF_VARIABLE,
    SensorFinding: _OF_VARIABLE,
    RegionFinding: Kind("Regions", _REGION_COLUMNS, _region, _region_subject),
    WordFinding: Kind("Words that decide", _WORD_COLUMNS, _word, _word_subject),
    NeighbourFinding: Kind("Labelled texts it is like", _NEIGHBOUR_COLUMNS, _neighbour, _neighbour_subject),
    StatementFinding: Kind("Findings", _STATEMENT_COLUMNS, _statement, _statement_subject),
}
