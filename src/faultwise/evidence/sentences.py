"""Sentences made from findings; each carries the ids of the findings it rests on.

No sentence says more than its findings: a finding that does not exist cannot be worded. Nothing here
computes, and no language model is asked; it may only reword such sentences later.
"""

from __future__ import annotations

from faultwise.contracts.records import Finding, Sentence, Verdict

__all__ = ["narrate", "share_sentence"]

_MOST_FOR, _MOST_AGAINST = 5, 2
_SLIGHT = 0.1  # of the largest contribution: below it a variable within its normal range is not worth a sentence


def narrate(verdict: Verdict, findings: tuple[Finding, ...]) -> tuple[Sentence, ...]:
    """Return the verdict's sentence, then what speaks for it, then what speaks against it."""
    made = [Sentence(_verdict_text(verdict))]
    if verdict.label is None:
        return tuple(made)
    made += [Sentence(finding.sensor, (finding.id,)) for finding in findings if finding.sensor]
    made += [Sentence(_rule_text(finding), (finding.id,)) for finding in findings if finding.rule]
    least = _SLIGHT * max((finding.contribution for finding in findings), default=0.0)
    telling = [f for f in findings if f.contribution > 0 and (f.direction != "within" or f.contribution >= least)]
    for finding in telling[:_MOST_FOR]:
        made.append(Sentence(_finding_text(finding), (finding.id,)))
    against = sorted((f for f in findings if f.contribution < 0), key=lambda f: f.contribution)
    for finding in against[:_MOST_AGAINST]:
        made.append(Sentence("Speaking against it: " + _finding_text(finding), (finding.id,)))
    return tuple(made)


def share_sentence(statistic: str, shares: dict[Finding, float]) -> Sentence:
    """Say which share of a statistic each of a few variables makes up."""
    said = ", ".join(f"{finding.name or finding.variable} {share:.0%}" for finding, share in shares.items())
    return Sentence(f"Of {statistic} these variables make up: {said}.", tuple(finding.id for finding in shares))


def _rule_text(finding: Finding) -> str:
    subject = f"{finding.name} ({finding.variable})" if finding.name else finding.variable
    if finding.direction == "missing":
        return f"{subject} has no value at sample {finding.interval.last}, against the rule “{finding.rule}”."
    value = _number(finding.value) if isinstance(finding.value, float) else str(finding.value)
    unit = f" {finding.unit}" if finding.unit and isinstance(finding.value, float) else ""
    verb = "has changed by" if finding.measure == "change" else "is"
    return f"{subject} {verb} {value}{unit} at sample {finding.interval.last}, against the rule “{finding.rule}”."


def _monitored_text(verdict: Verdict) -> str:
    said = ", ".join(f"{name} {_number(value)}" for name, value in verdict.statistics.items())
    state = "The rows are not normal" if verdict.detected else "Nothing unusual is detected"
    return f"{state} (in units of the alarm limit: {said})."


def _verdict_text(verdict: Verdict) -> str:
    if verdict.label is None:
        return f"No verdict: {verdict.reason}."
    if verdict.statistics:
        return _monitored_text(verdict)
    words = f" ({verdict.label_description})" if verdict.label_description else ""
    share = "over 99%" if verdict.probability > 0.99 else f"{verdict.probability:.0%}"
    if verdict.detected is None:
        return f"The most likely label is {verdict.label}{words}, with a probability of {share}."
    score = f"fault score {_number(verdict.fault_score)}, alarm above {_number(verdict.threshold)}"
    if not verdict.detected:
        return f"No fault is detected ({score})."
    return f"A fault is detected ({score}); the most likely one is {verdict.label}{words}, {share}."


def _finding_text(finding: Finding) -> str:
    subject = f"{finding.name} ({finding.variable})" if finding.name else finding.variable
    unit = f" {finding.unit}" if finding.unit else ""
    where = f"sample {finding.interval.last}"
    if finding.interval.first != finding.interval.last:
        where = f"samples {finding.interval.first} to {finding.interval.last}"
    if finding.direction == "missing":
        return f"{subject} has no value at sample {finding.interval.last}."
    if finding.measure == "category":
        return f"{subject} is {finding.value} at sample {finding.interval.last}."
    assert isinstance(finding.value, float)  # every measure but a category is a number
    value = f"{_number(finding.value)}{unit}{' per sample' if finding.measure == 'slope' else ''}"
    what = {
        "value": f"{subject} is {value} at sample {finding.interval.last}",
        "mean": f"{subject} averages {value} over {where}",
        "spread": f"{subject} varies with a standard deviation of {value} over {where}",
        "jitter": f"{subject} jitters from sample to sample with a standard deviation of {value} over {where}",
        "slope": f"{subject} changes by {value} over {where}",
    }[finding.measure]
    if finding.normal_low is None or finding.normal_high is None:
        return f"{what}."
    side = {"high": "above", "low": "below"}.get(finding.direction, "within")
    sigmas = "" if finding.deviation is None else f" ({finding.deviation:+.1f} sigma)"
    band = f"{_number(finding.normal_low)} to {_number(finding.normal_high)}"
    return f"{what}, {side} its normal range of {band}{sigmas}."


def _number(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:,.0f}"
