"""From cases to blocks. What a case holds decides what is shown of it, never the modality: plots of its series, its
picture, tables of its findings by their kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faultwise.contracts.diagnosis import Case, Sentence, Series
from faultwise.contracts.findings import Finding, OfVariable, RegionFinding, RuleFinding, SensorFinding
from faultwise.contracts.verdicts import Verdict
from faultwise.report import words
from faultwise.report.blocks import Block, Bullets, CaseBlock, Cell, Chips, Column, Pair, Row, Section, Table, Text
from faultwise.report.drawings import Bar, Bars, Box, Fact, Link, Meter, Overlay, PictureBlock, Plot, Plots
from faultwise.report.finding_blocks import (
    deviation,
    finding_sections,
    is_out,
    measured,
    normal_range,
    subject,
)
from faultwise.report.values import DASH, clean, number, percent

__all__ = ["STATES", "View", "case_block", "overlay_of"]

STATES = {
    "fault": "Fault detected",
    "normal": "No fault detected",
    "named": "Named, not detected",
    "unknown": "No verdict",
}
_TOP_PLOTS = 5
_TOP_BARS = 10


@dataclass(frozen=True, slots=True)
class View:
    """How a case is shown: `key` (letters and digits) begins its anchors, at most `classes` are ranked.

    The `single` case of a report gives it its title. One `item` of several is titled by its name; what holds for all
    of them is not repeated, and its score is drawn up to `end`.
    """

    key: str
    classes: int
    single: bool = False
    item: bool = False
    end: float | None = None


def case_block(case: Case, view: View) -> CaseBlock:
    """Return a case as blocks."""
    verdict, title = case.verdict, words.headline(case.verdict)
    state = words.state_of(verdict)
    state_words, name = STATES[state], clean(case.name)
    facts: tuple[str, ...] = ()
    if view.item:
        state_words, title, where = title, name, title
    elif case.row is not None:
        facts, where = (f"run {name}", f"row {case.row}"), f"Run {name}, row {case.row}"
    elif view.single:
        title, where = f"{title} ({name})", ""
    else:
        facts, where = (name,), name
    if case.interval is not None:
        looked_at = f"looked at {words.place(case.interval)}"
        facts, where = (*facts, looked_at), f"{where}; {looked_at}" if where else looked_at.capitalize()
    meaning = words.meaning(verdict, with_promise=not view.item)
    head = (*((Text(meaning),) if meaning else ()), *_meter(verdict, view.end))
    ended = f"{where}." if where else ""
    return CaseBlock(view.key, state, state_words, title, facts, ended, head, _blocks(case, view), view.single)


def overlay_of(cases: Sequence[Case]) -> tuple[Overlay, ...]:
    """Return the choice of the overlay where there are pictures, with what the colours of their maps mean."""
    pictures = [case.picture for case in cases if case.picture is not None]
    meanings = dict.fromkeys(clean(one.meaning) for one in pictures if one.meaning)
    return (Overlay(tuple(meanings)),) if pictures else ()


def _meter(verdict: Verdict, end: float | None) -> tuple[Meter, ...]:
    score, threshold = verdict.fault_score, verdict.threshold
    if score is None or threshold is None or verdict.statistics:
        return ()
    if verdict.probabilities:
        return (Meter(_share(score), _share(threshold), "Fault score from 0% to 100%; the line is the threshold."),)
    end = max(score, 2 * threshold) if end is None else end
    if not 0 < end < float("inf"):
        return ()
    caption = f"Fault score from 0 to {number(end, digits=3)}; the line is the threshold."
    return (Meter(_share(score / end), _share(threshold / end), caption),)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value)) if value == value else 0.0


def _blocks(case: Case, view: View) -> tuple[Block, ...]:
    verdict, findings = case.verdict, words.decisive(case.findings)
    # Anchors are numbered: an id is data and must not become part of an address.
    anchors: dict[str, str] = {}
    for at, finding in enumerate(findings, 1):
        anchors.setdefault(finding.id, f"{view.key}f{at}")
    moved, terse = "the log-odds in nats", "log-odds"
    if verdict.statistics:
        moved, terse = "the logarithm of the largest statistic", "log-index"
    tables: Sequence[Block] = finding_sections(findings, anchors, moved, terse)
    story = _story(case.narrative, anchors)
    charts: tuple[Section, ...] = (*_classes(verdict, view.classes), *_contributions(findings, moved))
    drawn: tuple[Block, ...] = (*_paired(charts), *_plots(case, findings, view.key, anchors))
    around = _paired((*_experts(verdict), *_possible(verdict)))
    if case.picture is None:
        return (*story, *drawn, *tables, *around)
    overlay = overlay_of([case]) if view.single else ()
    found = tables or [Text(_without_findings(verdict), small=True)]
    beside = Section("", (*story, *found), level=3)
    return (*overlay, Pair((_picture(case), beside)), *drawn, *around)


def _paired(blocks: tuple[Section, ...]) -> tuple[Pair, ...]:
    return (Pair(blocks),) if blocks else ()


def _picture(case: Case) -> PictureBlock:
    assert case.picture is not None
    boxes = (one.box for one in case.findings if isinstance(one, RegionFinding))
    framed = tuple(Box(left, top, right - left, bottom - top) for left, top, right, bottom in boxes)
    return PictureBlock(clean(case.name), case.picture, framed)


def _without_findings(verdict: Verdict) -> str:
    if verdict.detected:
        return "No single region stands out: the image as a whole is unusual."
    return "There are no findings."


def _story(narrative: Sequence[Sentence], anchors: Mapping[str, str]) -> tuple[Bullets, ...]:
    items = tuple(Text(clean(one.text), _links(one.findings, anchors)) for one in narrative)
    return (Bullets(items, story=True),) if items else ()


def _links(ids: Sequence[str], anchors: Mapping[str, str]) -> tuple[Link, ...]:
    return tuple(Link(clean(one), anchors.get(one)) for one in ids)


def _classes(verdict: Verdict, most: int) -> tuple[Section, ...]:
    """Bars of probabilities; for a monitor bars of its statistics, on a scale on which the limit is always in sight."""
    if verdict.statistics:
        largest = max([1.0, *(value for value in verdict.statistics.values() if value < float("inf"))])
        bars = tuple(
            Bar(clean(name), "", number(v, digits=3), _share(v / largest), style="chosen" if v > 1 else "")
            for name, v in verdict.statistics.items()
        )
        caption = "Statistics in units of their alarm limit: above 1 is an alarm"
        made = Bars(caption, ("Statistic", "Times the limit"), bars, drawing=True)
        return (Section("How far from normal", (made,), level=3),)
    top, rest, rest_share = words.ranked(verdict.probabilities, most)
    if not top:
        return ()
    known = verdict.label_descriptions
    bars = tuple(
        Bar(
            clean(label),
            clean(known[label]) if label in known else "",
            percent(p),
            _share(p),
            style="chosen" if label == verdict.label else "",
        )
        for label, p in top
    )
    made = Bars(
        "Fused probability of the most likely classes",
        ("Class", "Probability"),
        bars,
        rest=(f"{rest} others" if rest > 1 else "1 other", percent(rest_share)) if rest else None,
        # Short labels are close to their bars, long ones get room to wrap.
        narrow=all(len(label) <= 8 and label not in known for label, _ in top),
    )
    return (Section("Ranking of classes", (made,), level=3),)


def _contributions(findings: Sequence[Finding], moved: str) -> tuple[Section, ...]:
    """Bars left and right of zero on one common scale; zero lies where the room is used best."""
    weighed = [one for one in findings if _is_weighed(one)]
    shown = weighed[:_TOP_BARS]
    if not shown:
        return ()
    sizes = [one.contribution for one in shown if abs(one.contribution) < float("inf")]
    left, right = -min([0.0, *sizes]), max([0.0, *sizes])
    scale = (left + right) or 1.0
    bars = []
    for one in shown:
        against = one.contribution < 0
        size = min(abs(one.contribution), left if against else right) / scale
        start = left / scale - (size if against else 0.0)
        value = number(one.contribution, sign=True)
        bars.append(Bar(*subject(one), value, _share(size), _share(start), style="against" if against else "for"))
    rest = len(weighed) - len(shown)
    remark = f"{rest} smaller {'one is' if rest == 1 else 'ones are'} in the table of findings." if rest else ""
    caption = f"Change of {moved}: right speaks for the verdict, left against"
    head = ("Variable", "Contribution")
    made = Bars(caption, head, tuple(bars), _share(left / scale), remark=remark, drawing=True)
    return (Section("What speaks for the verdict, what against", (made,), level=3),)


def _is_weighed(finding: Finding) -> bool:
    if isinstance(finding, RuleFinding | SensorFinding):
        return False
    return isinstance(finding, OfVariable) or finding.contribution != 0


def _plots(case: Case, findings: Sequence[Finding], key: str, anchors: Mapping[str, str]) -> tuple[Section, ...]:
    """Draw the variables of the top findings, each once; all series where no finding is about a variable."""
    by_variable = {series.variable: series for series in case.series if series.positions}
    groups: dict[str, list[OfVariable]] = {}
    for finding in [one for one in findings if isinstance(one, OfVariable)][:_TOP_PLOTS]:
        groups.setdefault(finding.variable, []).append(finding)
    if not groups:
        groups = {variable: [] for variable in list(by_variable)[:_TOP_PLOTS]}
    plots = tuple(
        _plot(case, by_variable[variable], group, f"{key}p{at}", anchors)
        for at, (variable, group) in enumerate(groups.items(), 1)
        if variable in by_variable
    )
    return (Section("Decisive variables", (Plots(plots),), level=3),) if plots else ()


def _plot(case: Case, series: Series, group: Sequence[OfVariable], key: str, anchors: Mapping[str, str]) -> Plot:
    name = clean((group[0].name if group else None) or series.label or series.variable)
    shaded = "" if case.interval is None else f"; {words.place(case.interval)} shaded"
    details = "; ".join(f"{one.measure} {measured(one)}, normal {normal_range(one)}, {deviation(one)}" for one in group)
    facts = tuple(_fact(one, anchors) for one in group)
    column = clean(series.variable) if name != series.variable else ""
    unit = clean(series.unit) if series.unit else ""
    return Plot(name, column, unit, facts, series, case.interval, key, f"{name} over the run{shaded}. {details}")


def _fact(finding: OfVariable, anchors: Mapping[str, str]) -> Fact:
    link = Link(clean(finding.id), anchors.get(finding.id))
    return Fact(link, f"{clean(finding.measure)} {measured(finding)}", deviation(finding), is_out(finding))


def _experts(verdict: Verdict) -> tuple[Section, ...]:
    rows = []
    for expert, probabilities in verdict.by_expert.items():
        top, _, _ = words.ranked(probabilities, 1)
        own = "" if verdict.label is None else percent(probabilities.get(verdict.label))
        choice = Cell(clean(top[0][0]), percent(top[0][1])) if top else Cell(DASH)
        rows.append(Row((Cell(clean(expert)), *((Cell(own),) if own else ()), choice)))
    if not rows:
        return ()
    of_verdict = () if verdict.label is None else (Column("Probability of the verdict", "number"),)
    table = Table((Column("Expert"), *of_verdict, Column("Its own first choice")), tuple(rows))
    return (Section("What each expert says", (table,), level=3, terminal=False),)


def _possible(verdict: Verdict) -> tuple[Section, ...]:
    made: list[Block] = []
    # Where a score alone decides, a set of the label itself tells nothing new.
    if verdict.fault_set.labels and (verdict.probabilities or verdict.fault_set.labels != (verdict.label,)):
        covered = verdict.fault_set.coverage
        promise = "" if covered is None else f"Promised coverage: {percent(covered)}."
        remarks = tuple(filter(None, (promise, verdict.fault_set.note and clean(verdict.fault_set.note))))
        labels = tuple(clean(label) for label in verdict.fault_set.labels)
        made.append(Chips("Labels that stay possible", labels, remarks))
    if different := words.differences(verdict):
        items = tuple(Text(line) for line in different)
        made.append(Bullets(items, "What would tell them apart", small=True))
    return (Section("", tuple(made), level=3),) if made else ()
