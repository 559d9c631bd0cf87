"""The words and numbers of a diagnosis as plain text, and the compact view for a terminal.

The HTML and Markdown reports use the same words, so that all three say the same. Nothing here escapes for
HTML or Markdown, computes a verdict or prints.
"""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from faultwise.contracts import Case, Diagnosis, Finding, Interval, RunSummary, Verdict

__all__ = [
    "DASH",
    "aligned",
    "clean",
    "decisive",
    "deviation",
    "flatten",
    "headline",
    "meaning",
    "measured",
    "normal_range",
    "number",
    "overview",
    "percent",
    "place",
    "ranked",
    "render_text",
    "status",
    "summary",
    "variable_name",
]

DASH = "–"
_LONGEST = 1000
# Whole terminal sequences first, so that "[31m" does not stay behind; then whatever else is unprintable,
# reverses the reading direction or hides (bidi controls, zero-width and tag characters).
_ANSI = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_ARROWS = {"high": "↑ high", "low": "↓ low", "within": "within normal", "missing": "missing"}


def clean(value: object, most: int = _LONGEST) -> str:
    r"""Return one printable line: no control characters, no reversed reading direction, no broken Unicode.

    Missing values become a dash; texts longer than `most` characters end in an ellipsis.

    >>> clean("\x1b[31mTank\n 3\u202e"), clean(None), clean(float("nan"))
    ('Tank 3', '–', '–')
    """
    if value is None or value != value:
        return DASH
    text = _SURROGATE.sub("\ufffd", _HIDDEN.sub("", _ANSI.sub("", str(value)[: 20 * most])))
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def number(value: object, sign: bool = False, digits: int = 4) -> str:
    """Write a number with so many significant digits, anything else as clean text.

    >>> number(0.123456), number(-12345.6), number(2e-7), number(True), number(None), number(float("inf"))
    ('0.1235', '−12,346', '2e-07', 'yes', '–', '∞')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, Real) or value != value:
        return clean(value)
    exact = float(value)
    size = abs(exact)
    if math.isinf(size):
        text = "∞"
    elif size < 1e9 and (size >= 9999.5 or size == int(size)):
        decimals = 0 if size == int(size) else max(0, digits - len(str(int(size))))
        text = f"{size:,.{decimals}f}" if size >= 9999.5 else f"{size:.0f}"
    else:
        text = f"{size:.{digits}g}"
    return ("−" if exact < 0 else "+" if sign and exact > 0 else "") + text


def percent(value: object) -> str:
    """Write a share from 0 to 1 as a percentage that never rounds to certainty.

    >>> percent(0.9312), percent(0.0421), percent(0.99999), percent(0.00002), percent(1), percent(None)
    ('93%', '4.2%', '>99.9%', '<0.1%', '100%', '–')
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        return DASH
    share = 100 * float(value)
    if 0 < share < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    text = f"{share:.0f}" if 9.95 <= share <= 98.95 else f"{share:.1f}".removesuffix(".0")
    return text + "%"


def status(verdict: Verdict) -> str:
    """Return "unknown", "fault", "normal" or, where training had no normal class, "named"."""
    if verdict.label is None:
        return "unknown"
    if verdict.detected is None:
        return "named"
    return "fault" if verdict.detected else "normal"


def headline(verdict: Verdict) -> str:
    """Say the verdict in one line, such as `Fault 4: cooling water step — 93%`."""
    state = status(verdict)
    if state == "unknown":
        return f"No verdict: {clean(verdict.reason or 'no reason was given')}"
    if state == "normal":
        return "Normal"
    label = clean(verdict.label)
    # "Fault fault_4" would stutter, and a bare "4" says nothing.
    prefix = "" if label.lower().startswith("fault") else "Fault " if state == "fault" else "Class "
    about = f": {clean(verdict.label_description)}" if verdict.label_description else ""
    return f"{prefix}{label}{about} — {percent(verdict.probability)}"


def meaning(verdict: Verdict) -> str:
    """Say how the fault score compares with its threshold, and what that threshold was chosen for."""
    said = []
    if verdict.fault_score is not None and verdict.threshold is not None:
        above = verdict.fault_score >= verdict.threshold
        place_of = "at or above" if above else "below"
        end = "a fault is detected" if verdict.detected else "no fault is detected"
        score, threshold = percent(verdict.fault_score), percent(verdict.threshold)
        if score == threshold:  # never "93%, below the threshold of 93%"
            score, threshold = f"{verdict.fault_score:.6f}", f"{verdict.threshold:.6f}"
        said.append(f"The fault score is {score}, {place_of} the threshold of {threshold}: {end}.")
    if verdict.false_alarm_rate is not None:
        rate = percent(verdict.false_alarm_rate)
        said.append(f"The threshold was chosen for a false-alarm rate of {rate} on validation rows.")
    if verdict.detected is None and verdict.label is not None:
        said.append("Training had no normal class: nothing was detected, the label is only a name.")
    if verdict.reason and verdict.label is not None:
        said.append(clean(verdict.reason))
    return " ".join(said)


def place(interval: Interval, times: bool = True) -> str:
    """Say which rows of the run and, if known and wanted, when."""
    rows = f"rows {interval.first} to {interval.last}"
    if interval.first == interval.last:
        rows = f"row {interval.first}"
    when = list(dict.fromkeys(clean(time) for time in (interval.start, interval.end) if time))
    return f"{rows} ({' to '.join(when)})" if when and times else rows


def variable_name(finding: Finding) -> str:
    """Return the human name if there is one, else the column."""
    return clean(finding.name or finding.variable)


def _unit(finding: Finding) -> str:
    if not finding.unit or finding.measure == "category":
        return ""
    return " " + clean(finding.unit) + (" per sample" if finding.measure == "slope" else "")


def _digits(finding: Finding) -> int:
    """Significant digits that tell a value from its normal range: 4, more where the range is narrow."""
    low, high = finding.normal_low, finding.normal_high
    if low is None or high is None or not math.isfinite(high - low) or not high > low:
        return 4
    return min(9, max(4, math.ceil(math.log10(max(abs(low), abs(high)) / (high - low))) + 2))


def measured(finding: Finding) -> str:
    """Write the value with its unit."""
    text = number(finding.value, digits=_digits(finding))
    return text if text == DASH else text + _unit(finding)


def normal_range(finding: Finding) -> str:
    """Write the normal range; one open side is said as such."""
    low, high = (number(side, digits=_digits(finding)) for side in (finding.normal_low, finding.normal_high))
    if DASH in (low, high):
        return DASH if low == high else f"≤ {high}" if low == DASH else f"≥ {low}"
    return f"{low} to {high}"


def deviation(finding: Finding) -> str:
    """Write the deviation in standard deviations and the direction in words."""
    words = _ARROWS.get(finding.direction, clean(finding.direction))
    size = finding.deviation
    if size is None or math.isnan(size):
        return words
    text = number(size, sign=True) if abs(size) >= 1000 else f"{size:+.1f}".replace("-", "−")
    return f"{text} σ {words}"


def ranked(probabilities: Mapping[str, float], most: int) -> tuple[list[tuple[str, float]], int, float]:
    """Return the `most` likely labels, how many others there are, and what these add up to."""
    known = {label: p for label, p in probabilities.items() if p is not None and p == p}
    order = sorted(known.items(), key=lambda item: -item[1])
    rest = order[most:]
    return order[:most], len(rest), sum(p for _, p in rest)


def decisive(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by size of the contribution, the largest first; ties keep their order."""
    return sorted(findings, key=lambda f: 0.0 if f.contribution != f.contribution else -abs(f.contribution))


def overview(runs: Sequence[RunSummary], most: int) -> tuple[list[RunSummary], int]:
    """Return at most `most` runs and the count of the rest; the most flagged come first if not all fit."""
    if len(runs) <= most:
        return list(runs), 0
    share = sorted(runs, key=lambda run: -(run.flagged / run.judged if run.judged else 0.0))
    return share[:most], len(runs) - most


def aligned(values: Sequence[object]) -> list[str]:
    """Write the cells of one column: fractions get the same number of decimals, the rest is as in `number`.

    >>> aligned([0.81234, 0.6, None]), aligned([1200, 7]), aligned(["a", 0.5])
    (['0.812', '0.600', '–'], ['1200', '7'], ['a', '0.500'])
    """
    floats = [v for v in values if isinstance(v, float) and math.isfinite(v)]
    if max(map(abs, floats), default=10.0) >= 10 or all(v == int(v) for v in floats):
        return [number(value) for value in values]
    return [f"{v:.3f}".replace("-", "−") if v in floats else number(v) for v in values]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write a nested mapping as lines of dotted key and text.

    >>> flatten({"versions": {"numpy": "2.1"}, "seed": 7, "labels": ["0", "4"], "commit": None})
    [('versions.numpy', '2.1'), ('seed', '7'), ('labels', '0, 4'), ('commit', '–')]
    """
    lines: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = prefix + clean(key)
        if isinstance(value, Mapping) and name.count(".") < 8:
            lines += flatten(value, name + ".")
        elif isinstance(value, list | tuple):
            lines.append((name, ", ".join(clean(item) for item in value[:50]) or DASH))
        else:
            # A seed or a row count is an identity here, not a measurement: it keeps all its digits.
            lines.append((name, number(value) if isinstance(value, float) else clean(value)))
    return lines


def summary(diagnosis: Diagnosis) -> str:
    """Say the whole diagnosis in one line: the verdict of a single case, or how many cases are what."""
    states = [status(case.verdict) for case in diagnosis.cases]
    if len(states) == 1:
        return headline(diagnosis.cases[0].verdict)
    if not states:
        flagged = sum(run.flagged > 0 for run in diagnosis.runs)
        return f"No case in detail: {flagged} of {len(diagnosis.runs)} runs have flagged rows"
    words = {"fault": "with a fault", "named": "named", "normal": "normal", "unknown": "without a verdict"}
    parts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    return f"{len(states)} cases: {', '.join(parts)}"


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
    findings = decisive(case.findings)
    if findings:
        head = ("id", "variable", "measure", "value", "normal", "deviation", "log-odds")
        cells = []
        for f in findings[:8]:
            moved, speaks = deviation(f).removesuffix(" within normal"), number(f.contribution, sign=True)
            cells.append((clean(f.id), variable_name(f), f.measure, measured(f), normal_range(f), moved, speaks))
        # The variable gets what the other columns leave.
        columns = list(zip(head, *cells, strict=True))[2:]
        others = sum(min(20, max(map(len, column))) + 2 for column in columns)
        limits = (6, max(14, width - others - 10), 8, 20, 20, 20, 8)
        lines += ["", "Findings (log-odds: + speaks for the verdict)", *_columns([head, *cells], limits)]
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
