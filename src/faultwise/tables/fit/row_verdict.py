"""The verdict on one row: fused probabilities, the detector's threshold, the fault set, or a monitor's statistics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from faultwise.contracts.about import About
from faultwise.contracts.errors import listing
from faultwise.contracts.verdicts import FaultSet, Verdict
from faultwise.evidence.separation import tell_apart
from faultwise.tables.fit.experts.monitor import MONITOR, Monitor, index_of
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.predicting import Judgements
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["row_verdict"]

_SET_MASS = 0.9


def row_verdict(
    fitted: Fitted, about: About, judgements: Judgements, at: int, label: str, missing: set[str]
) -> Verdict:
    """Return the verdict on the row at a position of the judgements; `missing` are variables without a value there."""
    ensemble = fitted.ensemble
    p = judgements.p[at]
    order = np.argsort(-p, kind="stable")
    count = int(np.searchsorted(np.cumsum(p[order]), _SET_MASS)) + 1
    experts = {
        name: dict(zip(ensemble.classes.tolist(), q[at].tolist(), strict=True))
        for name, q in judgements.by_expert.items()
        if name != LANGUAGE_MODEL or judgements.scored[at]
    }
    normal = ensemble.detector.normal
    detected = None if judgements.scores is None else label != normal
    if fitted.monitored:
        return _monitored(fitted, judgements, at, label)
    verdict = Verdict(
        label=label,
        probability=float(p[list(ensemble.classes).index(label)]),
        probabilities={str(ensemble.classes[i]): float(p[i]) for i in order},
        detected=detected,
        fault_score=None if judgements.scores is None else float(judgements.scores[at]),
        threshold=ensemble.detector.threshold,
        false_alarm_rate=None if normal is None or judgements.features.missing else ensemble.detector.false_alarm_rate,
        false_alarm_interval=None if judgements.features.missing else ensemble.detector.interval,
        fault_set=FaultSet(tuple(str(ensemble.classes[i]) for i in order[:count])),
        label_description=about.faults.get(label),
        label_descriptions={c: about.faults[c] for c in ensemble.classes.tolist() if c in about.faults},
        by_expert=experts,
    )
    if absent := judgements.features.missing:
        reason = (
            f"Classified without {listing(absent)}, which gave no value: no false-alarm rate and no coverage are "
            "promised."
        )
        return replace(verdict, reason=reason)
    return _with_sets(fitted, about, judgements, at, verdict, missing)


def _with_sets(
    fitted: Fitted, about: About, judgements: Judgements, at: int, verdict: Verdict, missing: set[str]
) -> Verdict:
    """Add what the calibration says of a verdict: its set, whether it is known at all, what would tell labels apart."""
    calibration, classes, sets = fitted.calibration, fitted.ensemble.classes, judgements.sets
    if calibration is None or fitted.novelty is None or sets is None:
        return verdict
    others = [label for label in verdict.probabilities if label != verdict.label]
    members = [label for label in others if sets.members[at][np.searchsorted(classes, label)]]
    possible = (str(verdict.label), *members)
    status, p_known = str(sets.status[at]), float(sets.p_known[at])
    reason = {
        "unknown": f"The row resembles no known class: {p_known:.1%} of rows of known classes lie as far out.",
        "undecided": f"{len(possible)} of {len(classes)} labels stay possible: nothing is decided.",
        "several": f"{len(possible)} labels stay possible.",
        "named": "",
    }[status]
    apart = tell_apart(
        possible,
        classes,
        fitted.novelty,
        judgements.features.frame.iloc[at].to_numpy(dtype=float),
        fitted.encoder.origin,
        missing,
        about,
    )
    return replace(
        verdict,
        fault_set=FaultSet(possible, calibration.promised, calibration.note()),
        status=status,  # type: ignore[arg-type]
        p_known=p_known,
        reason=reason,
        tell_apart=apart,
    )


def _monitored(fitted: Fitted, judgements: Judgements, at: int, label: str) -> Verdict:
    """The verdict of a monitor of normal rows: statistics in units of their alarm limit, no probabilities."""
    detector, monitor = fitted.ensemble.detector, fitted.ensemble.experts[MONITOR]
    assert isinstance(monitor, Monitor) and judgements.scores is not None  # noqa: PT018 - what `fit_normal` makes
    limit = float(index_of(np.array(detector.threshold)))
    found = monitor.statistics(judgements.features.frame.iloc[[at]]).iloc[0] / limit
    return Verdict(
        label=label,
        probability=float("nan"),
        probabilities={},
        detected=label != detector.normal,
        fault_score=float(judgements.scores[at]),
        threshold=detector.threshold,
        false_alarm_rate=detector.false_alarm_rate,
        fault_set=FaultSet((), note=""),
        false_alarm_per=str(fitted.record["false_alarm_per"]),
        statistics={str(name): float(value) for name, value in found.items()},
    )
