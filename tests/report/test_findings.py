"""Findings: one sentence and one row of a table for each kind of them."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
from test_report import INTERVAL, make_diagnosis, other_kinds

from faultwise.contracts.findings import (
    Finding,
    NeighbourFinding,
    RegionFinding,
    RuleFinding,
    StatementFinding,
    VariableFinding,
    WordFinding,
)
from faultwise.contracts.verdicts import FaultSet, Verdict
from faultwise.evidence.sentences import narrate, sentence_of
from faultwise.report.finding_blocks import KINDS, finding_sections

FLOW = VariableFinding("F1", "fusion", "XMV(10)", "mean", 45.6, 39.8, 42.4, 9.04, "high", 3.41, INTERVAL)
RULE = RuleFinding("R1", "rules", "p", "value", 3.0, None, 2.5, "high", INTERVAL, "too high: p > 2.5", unit="bar")
REGION = RegionFinding("R1", "bank", (4, 80, 16, 110), 0.01, 4.2, 2.0, -14.2, "top left", (90, 9))
STATEMENT = StatementFinding("S1", "spectrum", "Bearing 3", 7.25, 2.0, 4.0, "g", "at 120 Hz", "high")


@pytest.mark.parametrize(
    ("finding", "words"),
    [
        (FLOW, "XMV(10) averages 45.6 from 2024-03-05 14:00 to 2024-03-05 14:57, "
            "above its normal range of 39.8 to 42.4 (+9.0 sigma)."),
        (replace(FLOW, value=None, direction="missing"), "XMV(10) has no value at 2024-03-05 14:57."),
        (RULE, "p is 3 bar at 2024-03-05 14:57, against the rule “too high: p > 2.5”."),
        (replace(RULE, measure="change", name="Pressure"),
         "Pressure (p) has changed by 3 bar at 2024-03-05 14:57, against the rule “too high: p > 2.5”."),
        (REGION, "At the top left, 12 x 30 pixels from (4, 80), 14 grey levels darker than around, 2.1 times the "
                 "threshold of regions."),
        (replace(REGION, contrast=0.4, defect="hole", probability=0.934),
         "At the top left, 12 x 30 pixels from (4, 80), as bright as around, its type of defect is hole (93%)."),
        (STATEMENT, "Bearing 3 is 7.25 g (at 120 Hz), above its normal range of 2 to 4."),
        (replace(STATEMENT, normal_low=None, place=""), "Bearing 3 is 7.25 g; normal is at most 4."),
        (replace(STATEMENT, value=None, direction="missing"), "Bearing 3 has no value (at 120 Hz)."),
        (WordFinding("W1", "x", "leaks", (5, 10), 1.204), "Without “leaks” its log-odds fall by 1.20."),
        (WordFinding("W1", "x", "not", (0, 3), -0.4), "Without “not” its log-odds rise by 0.40."),
        (NeighbourFinding("N1", "x", "seal leaks", "Leaking", 0.83, "row 7"),
         "The most similar labelled text is “seal leaks” (row 7), labelled Leaking (similarity 0.83)."),
    ],
)  # fmt: skip
def test_sentences(finding: Finding, words: str) -> None:
    assert sentence_of(finding) == words


def test_every_kind_has_a_sentence_and_a_row() -> None:
    findings = (FLOW, *other_kinds("x", INTERVAL))
    assert {type(one) for one in findings} == set(get_args(Finding)) == set(KINDS)
    anchors = {one.id: f"a{at}" for at, one in enumerate(findings)}
    sections = finding_sections(findings, anchors, "the log-odds in nats", "log-odds")
    assert [section.title for section in sections] == [
        "Findings", "Regions", "Findings", "Words that decide", "Labelled texts it is like",
    ]  # fmt: skip
    rows = [row for section in sections for row in section.blocks[0].rows]  # type: ignore[union-attr]
    assert [row.anchor for row in rows] == list(anchors.values())
    for one, row in zip(findings, rows, strict=True):
        assert sentence_of(one)
        assert row.cells[0].text == one.id
    with pytest.raises(TypeError, match="no kind of finding"):
        sentence_of(object())  # type: ignore[arg-type]


def test_columns_without_cells_are_left_out() -> None:
    (section,) = finding_sections((REGION,), {}, "", "")
    names = [column.name for column in section.blocks[0].columns]  # type: ignore[union-attr]
    assert names == ["Id", "Region", "Times the threshold", "Area", "Grey levels to around"]


def test_the_order_of_a_narrative() -> None:
    """Sensors, rules, what was not weighed, what speaks for the verdict, what speaks against it."""
    verdict = make_diagnosis().cases[0].verdict
    against = replace(FLOW, id="F2", contribution=-1.0)
    slight = replace(FLOW, id="F3", contribution=0.1, direction="within")
    rule, sensor, region, statement, *_ = other_kinds("x", INTERVAL)
    made = narrate(verdict, (against, slight, FLOW, statement, region, rule, sensor))
    ids = [one.findings for one in made]
    assert ids == [(), (sensor.id,), (rule.id,), (region.id,), ("F1",), (statement.id,), ("F2",)]
    assert made[-1].text.startswith("Speaking against it: XMV(10) averages")
    (none,) = narrate(replace(verdict, label=None, reason="no rows"), (FLOW,))
    assert none.text == "No verdict: no rows."


def test_a_score_that_is_no_probability() -> None:
    verdict = Verdict("defective", float("nan"), {}, True, 3.2, 1.5, None, FaultSet((), note=""))
    assert narrate(verdict, ())[0].text == "The item is not normal (fault score 3.2, alarm above 1.5)."
