"""The wording of verdicts, findings and runs that all views share, so that all of them say the same.

Nothing here escapes for HTML or Markdown, computes a verdict or prints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from faultwise.contracts.records import Diagnosis, Finding, Interval, RunSummary, Verdict
from faultwise.report.values import DASH, clean, number, percent

__all__ = [
    "decisive",
    "deviation",
    "headline",
    "meaning",
    "measured",
    "normal_range",
    "overview",
    "place",
    "ranked",
    "status",
    "summary",
    "telling",
    "variable_name",
]

_MOST_OTHERS = 4
_ARROWS = {"high": "↑ high", "low": "↓ low", "within": "within normal", "missing": "missing"}


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
    others = [clean(label) for label in verdict.fault_set.labels if label != verdict.label][:_MOST_OTHERS]
    besides = f"; {', '.join(others)} not excluded" if others and verdict.standing == "several" else ""
    if state == "normal":
        unlike = {"unknown": ", but unlike anything known", "undecided": ", but undecided"}
        return f"Normal{unlike.get(verdict.standing, besides)}"
    if verdict.statistics:
        name, times = max(verdict.statistics.items(), key=lambda item: item[1])
        return f"Not normal — {clean(name)} is {number(times, digits=3)} times its limit"
    label = clean(verdict.label)
    # "Fault fault_4" would stutter, and a bare "4" says nothing.
    prefix = "" if label.lower().startswith("fault") else "Fault " if state == "fault" else "Class "
    about = f": {clean(verdict.label_description)}" if verdict.label_description else ""
    named = f"{prefix}{label}{about} — {percent(verdict.probability)}"
    if verdict.standing == "unknown":
        return f"Unlike any known class; nearest: {named}"
    if verdict.standing == "undecided":
        return f"Undecided; likeliest: {named}"
    return named + besides


def meaning(verdict: Verdict) -> str:
    """Say how the fault score compares with its threshold, and what that threshold was chosen for."""
    said = []
    if verdict.statistics:
        said.append(
            "; ".join(f"{clean(n)}: {number(v, digits=3)} times its limit" for n, v in verdict.statistics.items()) + "."
        )
        said.append("An alarm is above 1, or when one of the rules holds.")
    elif verdict.fault_score is not None and verdict.threshold is not None:
        gap = verdict.fault_score - verdict.threshold
        place_of = "above" if gap > 0 else "below" if gap < 0 else "at"  # a tie is no alarm
        end = "a fault is detected" if verdict.detected else "no fault is detected"
        score, threshold = percent(verdict.fault_score), percent(verdict.threshold)
        if score == threshold:  # never "93%, below the threshold of 93%"
            score, threshold = f"{verdict.fault_score:.6f}", f"{verdict.threshold:.6f}"
        said.append(f"The fault score is {score}, {place_of} the threshold of {threshold}: {end}.")
    if verdict.false_alarm_rate is not None:
        rate = percent(verdict.false_alarm_rate)
        unit = "of normal runs with any alarm" if verdict.false_alarm_per == "run" else "on rows that were held out"
        said.append(f"The threshold was chosen for a false-alarm rate of {rate} {unit}.")
    if verdict.detected is None and verdict.label is not None:
        said.append("Training had no normal class: nothing was detected, the label is only a name.")
    if verdict.reason and verdict.label is not None:
        said.append(clean(verdict.reason))
    return " ".join(said)


def telling(verdict: Verdict) -> list[str]:
    """Say, for pairs of labels that stay possible, what would tell them apart."""
    made = []
    for one in verdict.tell_apart:
        subject = f"{clean(one.name)} ({clean(one.variable)})" if one.name else clean(one.variable)
        measure = subject if one.measure == "value" else f"the {one.measure} of {subject}"
        unit = f" {clean(one.unit)}" if one.unit else ""
        first, second = (number(value, digits=4) for value in one.usual)
        here = "not measured here" if one.value is None else f"here {number(one.value, digits=4)}{unit}"
        made.append(
            f"{clean(one.first)} or {clean(one.second)}: {measure} is about {first}{unit} in {clean(one.first)} and "
            f"{second}{unit} in {clean(one.second)}, {number(one.distance, digits=2)} deviations apart; {here}."
        )
    return made


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
    """Sort by size of the contribution, the largest first, after those of sensors and rules; ties keep their order."""

    def order(finding: Finding) -> tuple[bool, float]:
        size = finding.contribution
        return finding.rule is None and finding.sensor is None, 0.0 if size != size else -abs(size)

    return sorted(findings, key=order)


def overview(runs: Sequence[RunSummary], most: int) -> tuple[list[RunSummary], int]:
    """Return at most `most` runs and the count of the rest; the most flagged come first if not all fit."""
    if len(runs) <= most:
        return list(runs), 0
    share = sorted(runs, key=lambda run: -(run.flagged / run.judged if run.judged else 0.0))
    return share[:most], len(runs) - most


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
