"""The compact view of a diagnosis for a terminal: aligned columns of a given width.

Nothing here words a verdict, colours or prints.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

from faultwise.contracts.records import Case, Diagnosis
from faultwise.report.values import clean, number, percent
from faultwise.report.words import (
    decisive,
    deviation,
    headline,
    meaning,
    measured,
    normal_range,
    overview,
    place,
    ranked,
    summary,
    telling,
    variable_name,
)

__all__ = ["render_text"]


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _fit(text: str, most: int) -> str:
    """Pad with spaces, or cut, to exactly `most` terminal cells."""
    if _width(text) > most:
        while _width(text) > most - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (most - _width(text))


def _columns(rows: Sequence[Sequence[str]], limits: Sequence[int]) -> list[str]:
    """Align rows of cells; a column is as wide as its widest cell, up to its limit."""
    widths = [min(limit, max(_width(row[i]) for row in rows)) for i, limit in enumerate(limits[: len(rows[0])])]
    return ["  " + "  ".join(_fit(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _case_lines(case: Case, width: int) -> list[str]:
    verdict = case.verdict
    lines = textwrap.wrap(headline(verdict), width)
    where = f"Run {clean(case.run, 60)}, row {case.row}; looked at {place(case.interval)}."
    lines += textwrap.wrap(where, width)
    lines += textwrap.wrap(meaning(verdict), width)
    top, rest, rest_share = ranked(verdict.probabilities, 5)
    if top:
        rows = [(clean(label), "█" * round(20 * p) or "▏", percent(p)) for label, p in top]
        rows += [(f"{rest} others", "", percent(rest_share))] if rest else []
        lines += ["", "Probabilities", *_columns(rows, (width // 3, 20, 7))]
    if verdict.tell_apart:
        lines += ["", "What would tell them apart"]
        for words in telling(verdict):
            lines += textwrap.wrap(words, width, initial_indent="  ", subsequent_indent="    ")
    findings = decisive(case.findings)
    if findings:
        moved_what = "log-index" if verdict.statistics else "log-odds"
        head = ("id", "variable", "measure", "value", "normal", "deviation", moved_what)
        cells = []
        for f in findings[:8]:
            moved, speaks = deviation(f).removesuffix(" within normal"), number(f.contribution, sign=True)
            cells.append((clean(f.id), variable_name(f), f.measure, measured(f), normal_range(f), moved, speaks))
        # The variable gets what the other columns leave.
        columns = list(zip(head, *cells, strict=True))[2:]
        others = sum(min(20, max(map(len, column))) + 2 for column in columns)
        limits = (6, max(14, width - others - 10), 8, 20, 20, 20, 8)
        lines += ["", f"Findings ({moved_what}: + speaks for the verdict)", *_columns([head, *cells], limits)]
        lines += [f"  {len(findings) - 8} more"] if len(findings) > 8 else []
    if case.narrative:
        lines.append("")
    for sentence in case.narrative:
        ids = f" [{', '.join(clean(id_) for id_ in sentence.findings)}]" if sentence.findings else ""
        lines += textwrap.wrap(clean(sentence.text) + ids, width)
    return lines


def render_text(diagnosis: Diagnosis, width: int = 110) -> str:
    """Return the view for a terminal of `width` cells: verdicts, top probabilities, findings, narrative.

    At most 10 cases and 10 runs are shown; the count of the rest is said.
    """
    blocks = [_case_lines(case, width) for case in diagnosis.cases[:10]]
    if len(diagnosis.cases) != 1:
        blocks.insert(0, textwrap.wrap(summary(diagnosis), width))
    if len(diagnosis.cases) > 10:
        blocks.append([f"{len(diagnosis.cases) - 10} more cases are not shown here."])
    if len(diagnosis.runs) > 1:
        runs, rest = overview(diagnosis.runs, 10)
        rows = [("run", "judged", "flagged", "label", "first flag")]
        for run in runs:
            first = run.first_flag_time or run.first_flag
            rows.append((clean(run.run), str(run.judged), str(run.flagged), clean(run.label), clean(first)))
        more = [f"  {rest} more runs"] if rest else []
        blocks.append(["Runs", *_columns(rows, (width // 3, 9, 9, width // 4, 26)), *more])
    if diagnosis.notes:
        wrap = textwrap.TextWrapper(width, initial_indent="- ", subsequent_indent="  ")
        blocks.append(["Notes", *(line for note in diagnosis.notes for line in wrap.wrap(clean(note)))])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
