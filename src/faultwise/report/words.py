"""The wording of verdicts, places and runs that all views share, so that all of them state the same.

Nothing here escapes for HTML or Markdown, computes a verdict or prints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from faultwise.contracts.diagnosis import Diagnosis, RunSummary
from faultwise.contracts.findings import Finding, Interval, RuleFinding, SensorFinding
from faultwise.contracts.verdicts import Verdict
from faultwise.report.blocks import State
from faultwise.report.values import clean, number, percent

__all__ = [
    "decisive",
    "differences",
    "has_items",
    "headline",
    "meaning",
    "overview",
    "place",
    "promise",
    "ranked",
    "state_of",
    "summary",
]

_MOST_OTHERS = 4
_FLAGGED = {"images": "flagged as defective"}


def state_of(verdict: Verdict) -> State:
    """Return "unknown", "fault", "normal" or, where training had no normal class, "named"."""
    if verdict.label is None:
        return "unknown"
    if verdict.detected is None:
        return "named"
    return "fault" if verdict.detected else "normal"


def _is_score(verdict: Verdict) -> bool:
    """Tell whether a verdict rests on a score alone, which is no probability."""
    return not verdict.probabilities and not verdict.statistics and verdict.fault_score is not None


def headline(verdict: Verdict) -> str:
    """Return the verdict in one line, such as `Fault 4: cooling water step — 93%`."""
    state = state_of(verdict)
    if state == "unknown":
        return f"No verdict: {clean(verdict.reason or 'no reason was given')}"
    label = clean(verdict.label)
    about = f": {clean(verdict.label_description)}" if verdict.label_description else ""
    if _is_score(verdict):
        return label[:1].upper() + label[1:] + about
    others = [clean(other) for other in verdict.fault_set.labels if other != verdict.label][:_MOST_OTHERS]
    besides = f"; {', '.join(others)} not excluded" if others and verdict.status == "several" else ""
    if state == "normal":
        unlike = {"unknown": ", but unlike anything known", "undecided": ", but undecided"}
        return f"Normal{unlike.get(verdict.status, besides)}"
    if verdict.statistics:
        name, times = max(verdict.statistics.items(), key=lambda item: item[1])
        return f"Not normal — {clean(name)} is {number(times, digits=3)} times its limit"
    # "Fault fault_4" would stutter, and a bare "4" means nothing to a reader.
    prefix = "" if label.lower().startswith("fault") else "Fault " if state == "fault" else "Class "
    named = f"{prefix}{label}{about} — {percent(verdict.probability)}"
    if verdict.status == "unknown":
        return f"Unlike any known class; nearest: {named}"
    if verdict.status == "undecided":
        return f"Undecided; likeliest: {named}"
    if verdict.normal_is_likelier:
        return f"Alarm, although normal is likelier; likeliest fault: {label}{about} — {percent(verdict.probability)}"
    return named + besides


def meaning(verdict: Verdict, with_promise: bool = True) -> str:
    """Return how the fault score compares with its threshold, and what that threshold was chosen for (its promise)."""
    made = []
    if verdict.statistics:
        parts = (f"{clean(n)}: {number(v, digits=3)} times its limit" for n, v in verdict.statistics.items())
        made.append("; ".join(parts) + ". An alarm is above 1, or when one of the rules holds.")
    elif verdict.fault_score is not None and verdict.threshold is not None:
        made.append(_comparison(verdict, verdict.fault_score, verdict.threshold))
    if _is_score(verdict) and verdict.p_known is not None:
        made.append(f"{percent(verdict.p_known)} of the normal examples that were held out score as high or higher.")
    if with_promise and promise(verdict):
        made.append(promise(verdict))
    if verdict.detected is None and verdict.label is not None:
        made.append("Training had no normal class: nothing was detected, the label is only a name.")
    if verdict.reason and verdict.label is not None:
        made.append(clean(verdict.reason))
    return " ".join(made)


def promise(verdict: Verdict) -> str:
    """Return which rate of false alarms the threshold was chosen for; empty where none was."""
    if verdict.false_alarm_rate is None:
        return ""
    unit = verdict.false_alarm_per
    of = "of normal runs with any alarm" if unit == "run" else f"on {clean(unit)}s that were held out"
    chosen = f"The threshold was chosen for a false-alarm rate of {percent(verdict.false_alarm_rate)} {of}"
    if verdict.false_alarm_interval is None:
        return f"{chosen}."
    low, high = (percent(end) for end in verdict.false_alarm_interval)
    return f"{chosen}; of the normal {clean(unit)}s of new runs, between {low} and {high} will raise one."


def _comparison(verdict: Verdict, value: float, limit: float) -> str:
    gap = value - limit
    side = "above" if gap > 0 else "below" if gap < 0 else "at"  # a tie is no alarm
    end = "a fault is detected" if verdict.detected else "no fault is detected"
    if _is_score(verdict):
        score, threshold = number(value, digits=3), number(limit, digits=3)
    else:
        score, threshold = percent(value), percent(limit)
    if score == threshold:  # never "93%, below the threshold of 93%"
        score, threshold = f"{value:.6f}", f"{limit:.6f}"
    return f"The fault score is {score}, {side} the threshold of {threshold}: {end}."


def differences(verdict: Verdict) -> list[str]:
    """Return, for pairs of labels that stay possible, what would tell them apart."""
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
    """Return which rows of the run an interval covers and, if known and wanted, when."""
    rows = f"rows {interval.first} to {interval.last}"
    if interval.first == interval.last:
        rows = f"row {interval.first}"
    when = list(dict.fromkeys(clean(time) for time in (interval.start, interval.end) if time))
    return f"{rows} ({' to '.join(when)})" if when and times else rows


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
        return not isinstance(finding, RuleFinding | SensorFinding), 0.0 if size != size else -abs(size)

    return sorted(findings, key=order)


def overview(runs: Sequence[RunSummary], most: int) -> tuple[list[RunSummary], int]:
    """Return at most `most` runs and the count of the rest; the most flagged come first if not all fit."""
    if len(runs) <= most:
        return list(runs), 0
    share = sorted(runs, key=lambda run: -(run.flagged / run.judged if run.judged else 0.0))
    return share[:most], len(runs) - most


def has_items(diagnosis: Diagnosis) -> bool:
    """Tell whether the cases are several whole items, such as images, and not rows of runs."""
    return len(diagnosis.cases) > 1 and all(case.row is None for case in diagnosis.cases)


def summary(diagnosis: Diagnosis) -> str:
    """Return the whole diagnosis in one line: the verdict of a single case, or how many cases are what."""
    states = [state_of(case.verdict) for case in diagnosis.cases]
    if len(states) == 1:
        case = diagnosis.cases[0]
        verdict = headline(case.verdict)
        return verdict if case.row is not None else f"{verdict} ({clean(case.name)})"
    if not states:
        flagged = sum(run.flagged > 0 for run in diagnosis.runs)
        return f"No case in detail: {flagged} of {len(diagnosis.runs)} runs have flagged rows"
    if has_items(diagnosis) and {"fault", "normal"} & set(states):
        flagged_as = _FLAGGED.get(diagnosis.modality, "flagged")
        return f"{states.count('fault')} of {len(states)} {clean(diagnosis.modality)} are {flagged_as}"
    words = {"fault": "with a fault", "named": "named", "normal": "normal", "unknown": "without a verdict"}
    parts = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    return f"{len(states)} cases: {', '.join(parts)}"
