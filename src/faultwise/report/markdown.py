"""The report as Markdown, for tickets, wikis and pull requests.

Text of the data cannot become a link, an image, HTML or a heading: whatever Markdown would act on is escaped,
and what looks like an address becomes code. No plots: for these there is the HTML report.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from faultwise.contracts.records import Case, Diagnosis
from faultwise.report import values, words

__all__ = ["escape", "render_markdown"]

_MOST_RUNS = 200
_MOST_CASES = 50
# Renderers turn bare addresses into links, some even escaped ones; only code is left alone by all of them.
_WORD = r"[^\s<>|`\[\]()]*"
_ADDRESS = re.compile(rf"{_WORD}(?:://|www\.|mailto:|javascript:|data:|@){_WORD}", re.I)
_ACTIVE = re.compile(r"([\\`*_{}\[\]()#!|~$^=])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(value: object, start: bool = False) -> str:
    """Return one line of Markdown that shows the text and does nothing; `start` if a line starts with it.

    >>> print(escape('<b> ![x](http://evil.example) | XMEAS(9)'))
    &lt;b&gt; \\!\\[x\\]\\(`http://evil.example`\\) \\| XMEAS\\(9\\)
    >>> print(escape("1. - item", start=True))
    1\\. - item
    """
    text = values.clean(value)
    out, at = [], 0
    for match in _ADDRESS.finditer(text):
        out += [_plain(text[at : match.start()]), f"`{match.group()}`"]
        at = match.end()
    line = "".join([*out, _plain(text[at:])])
    if not start:
        return line
    # A list marker at the start of a line would begin a list.
    return re.sub(r"^(\d+)([.)])|^([-+])", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)


def _plain(text: str) -> str:
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return _ACTIVE.sub(r"\\\1", text)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], numeric: str) -> list[str]:
    """Write a table of ready cells; `numeric` has an r for every column that is aligned to the right."""
    line = "|" + "|".join("---:" if kind == "r" else "---" for kind in numeric) + "|"
    return [f"| {' | '.join(head)} |", line, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _case(case: Case, level: str) -> list[str]:
    verdict = case.verdict
    lines = [f"{level} {escape(words.headline(verdict))}", ""]
    lines += [f"Run {escape(case.run)}, row {case.row}; looked at {escape(words.place(case.interval))}.", ""]
    if words.meaning(verdict):
        lines += [escape(words.meaning(verdict), start=True), ""]
    for sentence in case.narrative:
        ids = f" \\[{', '.join(escape(id_) for id_ in sentence.findings)}\\]" if sentence.findings else ""
        lines.append(f"- {escape(sentence.text, start=True)}{ids}")
    lines += [""] if case.narrative else []
    top, rest, rest_share = words.ranked(verdict.probabilities, 8)
    if top:
        known = verdict.label_descriptions
        rows = [
            [escape(label + (f" ({known[label]})" if label in known else "")), values.percent(p)] for label, p in top
        ]
        rows += [[f"{rest} others", values.percent(rest_share)]] if rest else []
        lines += [f"{level}# Ranking of classes", "", *_table(["Class", "Probability"], rows, "lr")]
    findings = words.decisive(case.findings)
    if findings:
        rows = []
        for f in findings:
            name = words.variable_name(f)
            column = f" ({values.clean(f.variable)})" if f.name and f.name != f.variable else ""
            cells = [f.id, name + column, f.measure, words.measured(f), words.normal_range(f)]
            cells += [
                words.deviation(f),
                values.number(f.contribution, sign=True),
                words.place(f.interval, times=False),
            ]
            rows.append([escape(cell) for cell in cells])
        head = ["Id", "Variable", "Measure", "Value", "Normal range", "Deviation", "Contribution", "Rows"]
        lines += [f"{level}# Findings", "", *_table(head, rows, "lllrrrrl")]
        of = "the logarithm of the largest statistic" if verdict.statistics else "the log-odds in nats"
        lines += [f"Contribution: change of {of}, + for the verdict, − against it.", ""]
    if verdict.by_expert:
        rows = []
        for expert, probabilities in verdict.by_expert.items():
            first, _, _ = words.ranked(probabilities, 1)
            own = None if verdict.label is None else probabilities.get(verdict.label)
            choice = f"{escape(first[0][0])} ({values.percent(first[0][1])})" if first else values.DASH
            rows.append([escape(expert), values.percent(own), choice])
        head = ["Expert", "Probability of the verdict", "Its own first choice"]
        lines += [f"{level}# What each expert says", "", *_table(head, rows, "lrl")]
    possible = ", ".join(escape(label) for label in verdict.fault_set.labels)
    covered = verdict.fault_set.coverage
    promise = "" if covered is None else f" Promised coverage: {values.percent(covered)}."
    note = f" {escape(verdict.fault_set.note)}" if verdict.fault_set.note else ""
    if verdict.fault_set.labels:
        lines += [f"Labels that stay possible: {possible}.{promise}{note}", ""]
    if verdict.tell_apart:
        lines += ["What would tell them apart:", "", *(f"- {escape(line)}" for line in words.telling(verdict)), ""]
    return lines


def _runs(diagnosis: Diagnosis) -> list[str]:
    runs, rest = words.overview(diagnosis.runs, _MOST_RUNS)
    rows = []
    for run in runs:
        known = None if run.label is None else run.probability
        first = values.clean(run.first_flag) + (f" ({run.first_flag_time})" if run.first_flag_time else "")
        counts = [str(run.rows), str(run.judged), str(run.flagged)]
        rows.append([escape(run.run), *counts, escape(run.label), values.percent(known), escape(first)])
    head = ["Run", "Rows", "Judged", "Flagged", "Most frequent label", "Probability", "First flagged row"]
    lines = ["## Overview by run", "", *_table(head, rows, "lrrrlrl")]
    return [*lines, f"{rest} more runs with smaller shares of flagged rows.", ""] if rest else lines


def render_markdown(diagnosis: Diagnosis) -> str:
    """Return the report as GitHub-flavoured Markdown; the same diagnosis always gives the same text.

    At most 50 cases are shown in detail and 200 runs in the overview; the count of the rest is said.
    """
    single = len(diagnosis.cases) == 1
    lines = [] if single else [f"# {escape(words.summary(diagnosis))}", ""]
    for case in diagnosis.cases[:_MOST_CASES]:
        lines += _case(case, "#" if single else "##")
    if len(diagnosis.cases) > _MOST_CASES:
        lines += [f"{len(diagnosis.cases) - _MOST_CASES} more cases are not shown in detail.", ""]
    if len(diagnosis.runs) > 1 or (diagnosis.runs and not diagnosis.cases):
        lines += _runs(diagnosis)
    if diagnosis.leaderboard:
        columns = list(dict.fromkeys(column for row in diagnosis.leaderboard for column in row))
        cells = [values.aligned([row.get(column) for row in diagnosis.leaderboard]) for column in columns]
        rows = [[escape(cell) for cell in row] for row in zip(*cells, strict=True)]
        head = [escape(str(column).replace("_", " ")) for column in columns]
        lines += ["## Leaderboard", "", *_table(head, rows, "l" + "r" * (len(columns) - 1))]
    if diagnosis.notes:
        lines += ["## Notes", "", *(f"- {escape(note, start=True)}" for note in diagnosis.notes), ""]
    lines += ["## Provenance", "", f"- source: {escape(diagnosis.source)}"]
    lines += [f"- {escape(key)}: {escape(value)}" for key, value in values.flatten(diagnosis.provenance)]
    return "\n".join(lines) + "\n"
