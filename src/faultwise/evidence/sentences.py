"""Sentences made from findings; each carries the ids of the findings it rests on.

Every kind of finding has one function that words it (`sentence_of`), and no sentence states more than its findings.
Nothing here computes, and no language model is used; it may only reword such sentences later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from faultwise.contracts.diagnosis import Sentence
from faultwise.contracts.findings import (
    Finding,
    Interval,
    NeighbourFinding,
    OfVariable,
    RegionFinding,
    RuleFinding,
    SensorFinding,
    StatementFinding,
    VariableFinding,
    WordFinding,
)
from faultwise.contracts.verdicts import Verdict

__all__ = ["narrate", "sentence_of", "share_sentence"]

_MOST_FOR, _MOST_AGAINST = 5, 2
_SLIGHT = 0.1  # of the largest contribution: below it a variable within its normal range is not worth a sentence
_SIDES = {"high": "above", "low": "below"}


def narrate(verdict: Verdict, findings: tuple[Finding, ...]) -> tuple[Sentence, ...]:
    """Return the verdict's sentence, then those of findings: of sensors, of rules, for the verdict, against it.

    Findings of regions and statements that were not weighed come before what speaks for the verdict.
    """
    made = [Sentence(_verdict_text(verdict) + _promise_text(verdict))]
    if verdict.label is None:
        return tuple(made)
    weighed = [one for one in findings if isinstance(one, VariableFinding | WordFinding) or one.contribution]
    unweighed = [one for one in findings if one not in weighed]
    for kind, most in ((SensorFinding, None), (RuleFinding, None), (RegionFinding | StatementFinding, _MOST_FOR)):
        of_kind = [one for one in unweighed if isinstance(one, kind)]
        made += [_worded(one) for one in of_kind[:most]]
    least = _SLIGHT * max((one.contribution for one in weighed), default=0.0)
    supporting = [one for one in weighed if one.contribution > 0 and (not _is_normal(one) or one.contribution >= least)]
    made += [_worded(one) for one in supporting[:_MOST_FOR]]
    made += [_worded(one) for one in unweighed if isinstance(one, NeighbourFinding)][:1]
    against = sorted((one for one in weighed if one.contribution < 0), key=lambda one: one.contribution)
    made += [Sentence(f"Speaking against it: {sentence_of(one)}", (one.id,)) for one in against[:_MOST_AGAINST]]
    return tuple(made)


def sentence_of(finding: Finding) -> str:
    """Return a finding as one sentence. Raises TypeError for what is no finding."""
    if type(finding) not in _SENTENCES:
        raise TypeError(f"A {type(finding).__name__} is no kind of finding: use one of contracts.findings.")
    return _SENTENCES[type(finding)](finding)


def share_sentence(statistic: str, shares: Mapping[VariableFinding, float]) -> Sentence:
    """Return which share of a statistic each of a few variables makes up."""
    parts = ", ".join(f"{finding.name or finding.variable} {share:.0%}" for finding, share in shares.items())
    return Sentence(f"Of {statistic} these variables make up: {parts}.", tuple(finding.id for finding in shares))


def _worded(finding: Finding) -> Sentence:
    return Sentence(sentence_of(finding), (finding.id,))


def _is_normal(finding: Finding) -> bool:
    return getattr(finding, "direction", None) == "within"


def _subject(finding: OfVariable) -> str:
    # A column such as "flow [m3/h]" says its own name.
    own = finding.name is None or finding.variable.startswith(f"{finding.name} [")
    return (finding.name or finding.variable) if own else f"{finding.name} ({finding.variable})"


def _places(interval: Interval) -> tuple[str, str]:
    """Return the end of an interval, and the whole of it, in words: by times where they are known, else by samples."""
    if interval.start is not None and interval.end is not None:
        return interval.end, f"from {interval.start} to {interval.end}"
    if interval.first == interval.last:
        return f"sample {interval.last}", f"over sample {interval.last}"
    return f"sample {interval.last}", f"over samples {interval.first} to {interval.last}"


def _variable_text(finding: VariableFinding) -> str:
    subject = _subject(finding)
    unit = f" {finding.unit}" if finding.unit else ""
    at, where = _places(finding.interval)
    if finding.direction == "missing":
        return f"{subject} has no value at {at}."
    if finding.measure == "category":
        return f"{subject} is {finding.value} at {at}."
    assert isinstance(finding.value, float)  # every measure but a category is a number
    value = f"{_number(finding.value)}{unit}{f' per {finding.per}' if finding.measure == 'slope' else ''}"
    what = {
        "value": f"{subject} is {value} at {at}",
        "mean": f"{subject} averages {value} {where}",
        "spread": f"{subject} varies with a standard deviation of {value} {where}",
        "jitter": f"{subject} jitters from sample to sample with a standard deviation of {value} {where}",
        "slope": f"{subject} changes by {value} {where}",
    }[finding.measure]
    if finding.normal_low is None or finding.normal_high is None:
        return f"{what}."
    side = _SIDES.get(finding.direction, "within")
    sigmas = "" if finding.deviation is None else f" ({finding.deviation:+.1f} sigma)"
    band = f"{_number(finding.normal_low)} to {_number(finding.normal_high)}"
    return f"{what}, {side} its normal range of {band}{sigmas}."


def _rule_text(finding: RuleFinding) -> str:
    subject, (at, _) = _subject(finding), _places(finding.interval)
    if finding.direction == "missing":
        return f"{subject} has no value at {at}, against the rule “{finding.rule}”."
    value = _number(finding.value) if isinstance(finding.value, float) else str(finding.value)
    unit = f" {finding.unit}" if finding.unit and isinstance(finding.value, float) else ""
    verb = "has changed by" if finding.measure == "change" else "is"
    return f"{subject} {verb} {value}{unit} at {at}, against the rule “{finding.rule}”."


def _sensor_text(finding: SensorFinding) -> str:
    return finding.sensor


def _region_text(finding: RegionFinding) -> str:
    left, top, right, bottom = finding.box
    tone = f"{abs(finding.contrast):.0f} grey levels {'darker' if finding.contrast < 0 else 'brighter'}"
    around = f"{tone} than around" if abs(finding.contrast) >= 1 else "as bright as around"
    if finding.defect is not None:
        sure = "" if finding.probability is None else f" ({finding.probability:.0%})"
        end = f"its type of defect is {finding.defect}{sure}"
    elif finding.normal_high > 0:
        end = f"{finding.value / finding.normal_high:.1f} times the threshold of regions"
    else:
        end = f"with an anomaly score of {_number(finding.value)}"
    return f"At the {finding.place}, {right - left} x {bottom - top} pixels from ({left}, {top}), {around}, {end}."


def _statement_text(finding: StatementFinding) -> str:
    place = f" ({finding.place})" if finding.place else ""
    if finding.value is None:
        return f"{finding.about} has no value{place}." if finding.direction == "missing" else f"{finding.about}{place}."
    value = _number(finding.value) if isinstance(finding.value, int | float) else str(finding.value)
    what = f"{finding.about} is {value}{f' {finding.unit}' if finding.unit else ''}{place}"
    low, high = finding.normal_low, finding.normal_high
    if low is not None and high is not None:
        return (
            f"{what}, {_SIDES.get(finding.direction, 'within')} its normal range of {_number(low)} to {_number(high)}."
        )
    if low is None and high is None:
        return f"{what}."
    return f"{what}; normal is {f'at most {_number(high)}' if low is None else f'at least {_number(low)}'}."


def _word_text(finding: WordFinding) -> str:
    moved = "fall" if finding.contribution > 0 else "rise"
    return f"Without “{finding.word}” its log-odds {moved} by {abs(finding.contribution):.2f}."


def _neighbour_text(finding: NeighbourFinding) -> str:
    return (
        f"The most similar labelled text is “{finding.text}” ({finding.item}), labelled {finding.label} (similarity "
        f"{finding.similarity:.2f})."
    )


_SENTENCES = cast(
    "Mapping[type, Callable[[Finding], str]]",
    {
        VariableFinding: _variable_text,
        RuleFinding: _rule_text,
        SensorFinding: _sensor_text,
        RegionFinding: _region_text,
        WordFinding: _word_text,
        NeighbourFinding: _neighbour_text,
        StatementFinding: _statement_text,
    },
)


def _verdict_text(verdict: Verdict) -> str:
    if verdict.label is None:
        return f"No verdict: {verdict.reason}."
    if verdict.statistics:
        return _monitored_text(verdict)
    description = f" ({verdict.label_description})" if verdict.label_description else ""
    score = f"fault score {_number(verdict.fault_score)}, alarm above {_number(verdict.threshold)}"
    if not verdict.probabilities and verdict.detected is not None:  # a score against a threshold, and nothing else
        state = "The item is not normal" if verdict.detected else "Nothing unusual is detected"
        return f"{state} ({score})."
    p = verdict.probability
    share = "over 99%" if p > 0.99 else "under 1%" if p < 0.01 else f"{p:.0%}"
    if verdict.detected is None:
        return f"The most likely label is {verdict.label}{description}, with a probability of {share}."
    if not verdict.detected:
        return f"No fault is detected ({score})."
    if verdict.normal_is_likelier:
        rate = (
            ""
            if verdict.false_alarm_rate is None
            else f", set so that {verdict.false_alarm_rate:.1%} of the normal rows held out exceed it"
        )
        return (
            f"An alarm is raised ({score}), although normal is likelier: the score is above the threshold{rate}. The "
            f"most likely fault is {verdict.label}{description}, {share}."
        )
    return f"A fault is detected ({score}); the most likely one is {verdict.label}{description}, {share}."


def _promise_text(verdict: Verdict) -> str:
    if verdict.false_alarm_interval is None:
        return ""
    low, high = verdict.false_alarm_interval
    return f" Of the normal {verdict.false_alarm_per}s of new runs, {low:.1%} to {high:.1%} will be flagged, too."


def _monitored_text(verdict: Verdict) -> str:
    statistics = ", ".join(f"{name} {_number(value)}" for name, value in verdict.statistics.items())
    state = "The rows are not normal" if verdict.detected else "Nothing unusual is detected"
    return f"{state} (in units of the alarm limit: {statistics})."


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
