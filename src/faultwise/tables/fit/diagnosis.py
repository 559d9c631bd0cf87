"""From rows to cases: verdicts for every row, an overview by run, and a few cases in full detail.

Which rows become cases: the one asked for, else the last row of the longest flagged stretch of the runs with
the most flagged rows, else the last row. Attribution uses the classifiers only: asking the language model
hundreds of times per case would take minutes on a CPU, and its weight is capped. Where sensors are lost it uses the
language model's encoder.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.records import (
    Case,
    Diagnosis,
    Direction,
    FaultSet,
    Finding,
    Interval,
    RunSummary,
    Sentence,
    Series,
    Verdict,
)
from faultwise.evidence.about import About, Variable
from faultwise.evidence.attribution import contributions
from faultwise.evidence.findings import variable_findings
from faultwise.evidence.sentences import narrate, share_sentence
from faultwise.evidence.separation import tell_apart
from faultwise.tables.checks.rules import Reason
from faultwise.tables.fit.experts.monitor import MONITOR, Monitor, index_of
from faultwise.tables.fit.predicting import Judged, completed, judge, partly_empty, with_language_model
from faultwise.tables.fit.training import Fitted
from faultwise.tables.reading.table import Table
from faultwise.verdicts.registry import LANGUAGE_MODEL, ROW_ENCODER

__all__ = ["contributions_of", "diagnose_table"]

REFERENCE_ROWS = 12  # normal rows that each variable is exchanged with: 8 to 16 rank alike, each costs a second
_SET_MASS = 0.9
_PLOTS = 5
_PARTS = 3


def diagnose_table(
    fitted: Fitted,
    table: Table,
    about: About,
    score_rows: int,
    row: int | None,
    cases: int,
    provenance: dict[str, Any],
) -> Diagnosis:
    """Diagnose a table; `row` is a position in the file, counted from 1. Raises DataError."""
    rows_of_file = len(table.frame)
    table = completed(fitted, table)
    found = np.empty(0, int) if row is None else np.flatnonzero(table.row_numbers == row)
    if row is not None and not len(found):
        raise DataError(f"Row {row} was asked for; `{table.source}` has rows 1 to {rows_of_file}.")
    alone = fitted.ensemble.language_only
    asked = None if row is None else found
    judged = judge(fitted, table, score_rows, asked)
    if row is not None:
        chosen = np.flatnonzero(np.isin(judged.features.rows, found))
        if not len(chosen):
            raise DataError(
                f"Row {row} has no full window yet: its run needs {fitted.encoder.window} samples up to it. "
                f"The first row with one is {int(table.row_numbers[judged.features.rows[0]])}."
            )
    else:
        chosen = _telling_rows(judged, fitted.ensemble.detector.normal, cases)
    judged = with_language_model(fitted, judged, score_rows, chosen)
    times = table.times
    made = tuple(_case(fitted, table, about, judged, int(at), times) for at in chosen)
    notes = [*table.notes, *judged.features.notes]
    if unlike := fitted.incoming.note(table.X.drop(columns=[*judged.features.lost])):
        notes.append(unlike)
    short = rows_of_file - len(judged.labels)
    if alone:
        notes.append(f"Only the {len(judged.labels)} rows that the language model scored got a verdict.")
    elif short:
        notes.append(f"{short} rows at the beginning of runs have no full window and got no verdict.")
    if empty := partly_empty(fitted, table):
        notes.append(empty)
    lost = bool(judged.features.lost)
    if fitted.ensemble.asks_language_model(lost) and not judged.scored.all():
        count = int(judged.scored.sum())
        others = "judged by its encoder" if lost else "fused without it"
        notes.append(f"The language model scored {count} of {len(judged.scored)} rows; the others are {others}.")
    overview = tuple(_run_summaries(judged, fitted.ensemble.detector.normal, times, fitted.monitored))
    return Diagnosis(table.source, overview, made, tuple(notes), provenance)


def contributions_of(fitted: Fitted, row: pd.DataFrame, label: str) -> dict[str, float]:
    """Return the contribution of each variable to a label for one encoded row (1, features)."""
    variables = [variable for variable, _ in fitted.encoder.origin]
    column = int(np.searchsorted(fitted.ensemble.classes, label))
    reference = fitted.reference.iloc[:REFERENCE_ROWS]
    blank = row.isna().to_numpy()[0]
    if not blank.any():
        return contributions(fitted.ensemble.classical, row, reference, variables, column)

    def quickly(X: pd.DataFrame) -> np.ndarray:
        return fitted.ensemble.partly(X, np.zeros(len(X), bool))[ROW_ENCODER]

    # Without some of the sensors the encoder judges; what was not measured is left out on both sides.
    made = contributions(quickly, row, reference.mask(blank[None, :].repeat(len(reference), 0)), variables, column)
    lost = {variable for variable, gone in zip(variables, blank, strict=True) if gone}
    return {name: value for name, value in made.items() if name not in lost}


def _case(fitted: Fitted, table: Table, about: About, judged: Judged, at: int, times: np.ndarray | None) -> Case:
    label, run, last = str(judged.labels[at]), str(judged.runs[at]), int(judged.place[at])
    row = judged.features.frame.iloc[[at]]
    of_run = np.flatnonzero(table.runs == run)
    first = last - fitted.encoder.window + 1
    gone = table.before.get(run, 0)
    start, end = (None, None) if times is None else (times[of_run[first - gone - 1]], times[of_run[last - gone - 1]])
    interval = Interval(run, first, last, start, end)
    contribution = contributions_of(fitted, row, label)
    raw = {str(k): v for k, v in table.frame.iloc[int(judged.features.rows[at])].items()}
    expert = ROW_ENCODER if judged.features.lost else "fused classifiers"
    findings = variable_findings(
        row, fitted.encoder.origin, fitted.band, contribution, raw, interval, about, expert=expert
    )
    up_to = table.X.iloc[of_run[: last - gone]]
    suspects = fitted.incoming.suspects(up_to, run, about, gone)
    findings = (*suspects, *_rule_findings(fitted, table, about, judged, at, of_run), *findings)
    missing = {finding.variable for finding in findings if finding.direction == "missing"}
    verdict = _verdict(fitted, about, judged, at, label, missing)
    if suspects:
        names = listing(dict.fromkeys(finding.variable for finding in suspects))
        verdict = replace(verdict, reason=f"Sensor or machine? Look at {names} first. {verdict.reason}".strip())
    shown = list(dict.fromkeys(finding.variable for finding in findings))[:_PLOTS]
    series = tuple(_series(fitted, table, about, of_run, variable, gone) for variable in shown)
    position = int(table.row_numbers[judged.features.rows[at]])
    told = (*narrate(verdict, findings), *_parts(fitted, row, verdict, findings))
    return Case(run, position, interval, verdict, findings, told, tuple(s for s in series if s))


def _verdict(fitted: Fitted, about: About, judged: Judged, at: int, label: str, missing: set[str]) -> Verdict:
    ensemble = fitted.ensemble
    p = judged.p[at]
    order = np.argsort(-p, kind="stable")
    count = int(np.searchsorted(np.cumsum(p[order]), _SET_MASS)) + 1
    experts = {
        name: dict(zip(ensemble.classes.tolist(), q[at].tolist(), strict=True))
        for name, q in judged.by_expert.items()
        if name != LANGUAGE_MODEL or judged.scored[at]
    }
    normal = ensemble.detector.normal
    detected = None if judged.scores is None else label != normal
    if fitted.monitored:
        return _monitored(fitted, judged, at, label)
    verdict = Verdict(
        label=label,
        probability=float(p[list(ensemble.classes).index(label)]),
        probabilities={str(ensemble.classes[i]): float(p[i]) for i in order},
        detected=detected,
        fault_score=None if judged.scores is None else float(judged.scores[at]),
        threshold=ensemble.detector.threshold,
        false_alarm_rate=None if normal is None or judged.features.lost else ensemble.detector.false_alarm_rate,
        fault_set=FaultSet(tuple(str(ensemble.classes[i]) for i in order[:count])),
        label_description=about.faults.get(label),
        label_descriptions={c: about.faults[c] for c in ensemble.classes.tolist() if c in about.faults},
        by_expert=experts,
    )
    if lost := judged.features.lost:
        reason = f"Judged without {listing(lost)}, which gave no value: no rate of false alarms and no set is promised."
        return replace(verdict, reason=reason)
    return _standing(fitted, about, judged, at, verdict, missing)


def _standing(fitted: Fitted, about: About, judged: Judged, at: int, verdict: Verdict, missing: set[str]) -> Verdict:
    """Add what the calibration says of a verdict: its set, whether it is known at all, what would tell labels apart."""
    calibration, classes, stand = fitted.calibration, fitted.ensemble.classes, judged.stand
    if calibration is None or fitted.novelty is None or stand is None:
        return verdict
    others = [label for label in verdict.probabilities if label != verdict.label]
    members = [label for label in others if stand.members[at][np.searchsorted(classes, label)]]
    possible = (str(verdict.label), *members)
    standing, p_known = str(stand.standing[at]), float(stand.p_known[at])
    reason = {
        "unknown": f"The row resembles no known class: {p_known:.1%} of rows of known classes lie as far out.",
        "undecided": f"{len(possible)} of {len(classes)} labels stay possible: nothing is decided.",
        "several": f"{len(possible)} labels stay possible.",
        "named": "",
    }[standing]
    apart = tell_apart(
        possible,
        classes,
        fitted.novelty,
        judged.features.frame.iloc[at].to_numpy(dtype=float),
        fitted.encoder.origin,
        missing,
        about,
    )
    return replace(
        verdict,
        fault_set=FaultSet(possible, calibration.promised, calibration.note()),
        standing=standing,  # type: ignore[arg-type]
        p_known=p_known,
        reason=reason,
        tell_apart=apart,
    )


def _monitored(fitted: Fitted, judged: Judged, at: int, label: str) -> Verdict:
    """The verdict of a monitor of normal rows: statistics in units of their alarm limit, no probabilities."""
    detector, monitor = fitted.ensemble.detector, fitted.ensemble.experts[MONITOR]
    assert isinstance(monitor, Monitor) and judged.scores is not None  # noqa: PT018 - what `fit_normal` makes
    limit = float(index_of(np.array(detector.threshold)))
    found = monitor.statistics(judged.features.frame.iloc[[at]]).iloc[0] / limit
    return Verdict(
        label=label,
        probability=float("nan"),
        probabilities={},
        detected=label != detector.normal,
        fault_score=float(judged.scores[at]),
        threshold=detector.threshold,
        false_alarm_rate=detector.false_alarm_rate,
        fault_set=FaultSet((), note=""),
        false_alarm_per=str(fitted.record["false_alarm_per"]),
        statistics={str(name): float(value) for name, value in found.items()},
    )


def _parts(fitted: Fitted, row: pd.DataFrame, verdict: Verdict, findings: tuple[Finding, ...]) -> tuple[Sentence, ...]:
    """Say which variables make up the statistic that leads, as in a contribution plot."""
    if not (verdict.detected and verdict.statistics):
        return ()
    leading = max(verdict.statistics, key=lambda name: verdict.statistics[name])
    monitor = fitted.ensemble.experts[MONITOR]
    parts = monitor.parts(row) if isinstance(monitor, Monitor) else {}
    if leading not in parts:
        return ()
    by_variable = pd.Series(parts[leading][0]).groupby([name for name, _ in fitted.encoder.origin]).sum()
    known = {finding.variable: finding for finding in findings if finding.rule is None}
    shares = (by_variable / by_variable.sum()).loc[list(known)].sort_values(ascending=False)[:_PARTS]
    return (share_sentence(leading, {known[str(name)]: float(share) for name, share in shares.items()}),)


def _rule_findings(
    fitted: Fitted, table: Table, about: About, judged: Judged, at: int, of_run: np.ndarray
) -> list[Finding]:
    """Return a finding for each condition of each rule that holds at a row."""
    made: list[Finding] = []
    place = int(judged.place[at])
    local = place - table.before.get(str(judged.runs[at]), 0) - 1
    for number in np.flatnonzero(judged.fired[at]):
        rule = fitted.rules.rules[number]
        for reason in fitted.rules.reasons(int(number), table.frame.iloc[of_run], local):
            known = about.variables.get(reason.variable, Variable())
            made.append(
                Finding(
                    id=f"R{len(made) + 1}",
                    expert="rules",
                    variable=reason.variable,
                    measure={"rate": "change", "category": "category"}.get(reason.kind, "value"),  # type: ignore[arg-type]
                    value=reason.value,
                    normal_low=reason.low,
                    normal_high=reason.high,
                    deviation=None,
                    direction=_side(reason),
                    contribution=0.0,
                    interval=Interval(str(judged.runs[at]), max(1, place - reason.samples + 1), place),
                    name=known.name,
                    unit=known.unit,
                    description=rule.note or known.description,
                    rule=f"{rule.name}: {reason.text}",
                )
            )
    return made


def _side(reason: Reason) -> Direction:
    if reason.kind in ("missing", "category") or not isinstance(reason.value, float):
        return "missing" if reason.kind == "missing" else "unusual"
    return "high" if reason.high is not None and reason.value >= reason.high else "low"


def _telling_rows(judged: Judged, normal: str | None, cases: int) -> np.ndarray:
    """Return the positions of the rows to explain, one per run, the most flagged runs first."""
    flagged = np.zeros(len(judged.labels), bool) if normal is None else judged.labels != normal
    frame = pd.DataFrame({"run": judged.runs, "flagged": flagged, "at": np.arange(len(flagged))})
    chosen = []
    for _, rows in frame.groupby("run", sort=False):
        marks = rows["flagged"].to_numpy()
        last = len(marks) - 1
        if marks.any():
            ids = np.cumsum(np.diff(marks.astype(int), prepend=0) == 1) * marks
            longest = np.bincount(ids[marks]).argmax()
            last = int(np.flatnonzero(ids == longest)[-1])
        chosen.append((-int(marks.sum()), int(rows["at"].iloc[last])))
    return np.array([at for _, at in sorted(chosen, key=lambda pair: pair[0])[:cases]])


def _run_summaries(judged: Judged, normal: str | None, times: np.ndarray | None, monitored: bool) -> list[RunSummary]:
    made = []
    likely = np.full(len(judged.p), np.nan) if monitored else judged.p.max(axis=1)
    frame = pd.DataFrame({"run": judged.runs, "label": judged.labels, "p": likely})
    for run, rows in frame.groupby("run", sort=False):
        flagged = rows if normal is None else rows[rows["label"] != normal]
        counted = (flagged if len(flagged) else rows)["label"].value_counts()
        label = str(counted.index[0])
        first = None if normal is None or flagged.empty else int(judged.place[flagged.index[0]])
        at = None if first is None or times is None else str(times[judged.features.rows[flagged.index[0]]])
        probability = float(rows.loc[rows["label"] == label, "p"].mean())
        made.append(
            RunSummary(
                run=str(run),
                rows=int(judged.place[rows.index[-1]]),
                judged=len(rows),
                flagged=0 if normal is None else len(flagged),
                label=label,
                probability=probability,
                first_flag=first,
                first_flag_time=at,
            )
        )
    return made


def _series(fitted: Fitted, table: Table, about: About, of_run: np.ndarray, variable: str, gone: int) -> Series | None:
    """Return the variable's raw values over the run, with the normal band of single values."""
    values = pd.to_numeric(table.frame[variable].iloc[of_run], errors="coerce").to_numpy(dtype=float)
    if np.isnan(values).all():
        return None
    origin = fitted.encoder.origin
    at = origin.index((variable, "value")) if (variable, "value") in origin else None
    known = about.variables.get(variable)
    return Series(
        variable=variable,
        label=(known.name if known and known.name else variable),
        unit=known.unit if known else None,
        positions=tuple(range(gone + 1, gone + len(values) + 1)),
        values=tuple(values.tolist()),
        normal_low=None if at is None else fitted.band.low[at],
        normal_high=None if at is None else fitted.band.high[at],
    )
