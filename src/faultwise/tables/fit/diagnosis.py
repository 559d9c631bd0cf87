"""From rows to cases: verdicts for every row, an overview by run, and a few cases in full detail.

Which rows become cases: the requested one, else a row of the longest flagged stretch of the runs with the most flagged
rows (see `overview.decisive_rows`), else the last row. Attribution uses the classifiers only: asking the language model
hundreds of times per case would take minutes on a CPU, and its weight is capped. Where sensors are missing it uses the
language model's encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, Variable
from faultwise.contracts.diagnosis import Case, Diagnosis, Sentence, Series
from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.findings import Direction, Interval, OfVariable, RuleFinding, VariableFinding
from faultwise.contracts.verdicts import Verdict
from faultwise.evidence.attribution import contributions
from faultwise.evidence.findings import variable_findings
from faultwise.evidence.sentences import narrate, share_sentence
from faultwise.tables.checks.rules import Reason
from faultwise.tables.fit.experts.monitor import MONITOR, Monitor
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.overview import decisive_rows, run_summaries
from faultwise.tables.fit.predicting import (
    Judgements,
    partly_empty,
    predicted,
    with_language_model,
    with_missing_columns,
)
from faultwise.tables.fit.row_verdict import row_verdict
from faultwise.tables.fit.settings import TableQuery
from faultwise.tables.reading.table import Table
from faultwise.verdicts.registry import ROW_ENCODER

__all__ = ["contributions_of", "diagnose_table"]

REFERENCE_ROWS = 12  # normal rows that each variable is exchanged with: 8 to 16 rank alike, each costs a second
_PLOTS = 5
_PARTS = 3


@dataclass(frozen=True)
class _Here:
    """One row in its run: `at` is its position among the judgements, `of_run` are the table's rows of its run, `before`
    is how many rows of the run came before the table.
    """

    fitted: Fitted
    table: Table
    about: About
    judgements: Judgements
    at: int
    of_run: np.ndarray
    before: int

    @property
    def run(self) -> str:
        """The row's run."""
        return str(self.judgements.runs[self.at])

    @property
    def place(self) -> int:
        """The row's position within its run, from 1."""
        return int(self.judgements.place[self.at])


def diagnose_table(
    fitted: Fitted, table: Table, about: About, query: TableQuery, score_rows: int, provenance: Mapping[str, object]
) -> Diagnosis:
    """Diagnose a table; the query's `row` is a position in the file, counted from 1. The language model scores up to
    `score_rows` rows. Raises DataError.
    """
    rows_of_file, row = len(table.frame), query.row
    table = with_missing_columns(fitted, table)
    found = np.empty(0, int) if row is None else np.flatnonzero(table.row_numbers == row)
    if row is not None and not len(found):
        raise DataError(f"Row {row} was asked for; `{table.source}` has rows 1 to {rows_of_file}.")
    judgements = predicted(fitted, table, score_rows, None if row is None else found)
    normal = fitted.ensemble.detector.normal
    if row is None:
        chosen = decisive_rows(judgements, normal, query.cases)
    else:
        chosen = np.flatnonzero(np.isin(judgements.features.rows, found))
        if not len(chosen):
            raise DataError(
                f"Row {row} has no full window yet: its run needs {fitted.encoder.words()} up to it. "
                f"The first row with one is {int(table.row_numbers[judgements.features.rows[0]])}."
            )
    judgements = with_language_model(fitted, judgements, score_rows, chosen)
    times = table.times
    cases = tuple(_case(fitted, table, about, judgements, int(at), times) for at in chosen)
    overview = tuple(run_summaries(judgements, normal, times, fitted.monitored))
    notes = _notes(fitted, table, judgements, rows_of_file)
    return Diagnosis(table.source, overview, cases, tuple(notes), provenance)


def _notes(fitted: Fitted, table: Table, judgements: Judgements, rows_of_file: int) -> list[str]:
    """Return what a person should know about these verdicts."""
    notes = [*table.notes, *judgements.features.notes]
    if unlike := fitted.inputs.drift_note(table.X.drop(columns=[*judgements.features.missing])):
        notes.append(unlike)
    short = rows_of_file - len(judgements.labels)
    if fitted.ensemble.language_only:
        notes.append(f"Only the {len(judgements.labels)} rows that the language model scored got a verdict.")
    elif short:
        notes.append(f"{short} rows at the beginning of runs, or after gaps, have no full window and got no verdict.")
    if empty := partly_empty(fitted, table):
        notes.append(empty)
    partly = bool(judgements.features.missing)
    if fitted.ensemble.counts_language_model(partly) and not judgements.scored.all():
        count = int(judgements.scored.sum())
        others = "classified by its encoder" if partly else "fused without it"
        notes.append(f"The language model scored {count} of {len(judgements.scored)} rows; the others are {others}.")
    return notes


def contributions_of(fitted: Fitted, row: pd.DataFrame, label: str) -> dict[str, float]:
    """Return the contribution of each variable to a label for one encoded row (1, features)."""
    variables = [variable for variable, _ in fitted.encoder.origin]
    column = int(np.searchsorted(fitted.ensemble.classes, label))
    reference = fitted.reference.iloc[:REFERENCE_ROWS]
    blank = row.isna().to_numpy()[0]
    if not blank.any():
        return contributions(fitted.ensemble.classical, row, reference, variables, column)

    def by_encoder(X: pd.DataFrame) -> np.ndarray:
        return fitted.ensemble.with_missing(X, np.zeros(len(X), bool))[ROW_ENCODER]

    # Without some of the sensors the encoder classifies; what was not measured is left out on both sides.
    made = contributions(by_encoder, row, reference.mask(blank[None, :].repeat(len(reference), 0)), variables, column)
    absent = {variable for variable, gone in zip(variables, blank, strict=True) if gone}
    return {name: value for name, value in made.items() if name not in absent}


def _case(
    fitted: Fitted, table: Table, about: About, judgements: Judgements, at: int, times: np.ndarray | None
) -> Case:
    run = str(judgements.runs[at])
    here = _Here(fitted, table, about, judgements, at, np.flatnonzero(table.runs == run), table.before.get(run, 0))
    label, row = str(judgements.labels[at]), judgements.features.frame.iloc[[at]]
    interval, at_row = _interval(here, times), int(judgements.features.rows[at])
    raw = {str(name): value for name, value in table.frame.iloc[at_row].items()}
    expert = ROW_ENCODER if judgements.features.missing else "fused classifiers"
    contribution = contributions_of(fitted, row, label)
    per = "sample" if fitted.encoder.clock is None else fitted.encoder.clock.unit[1]
    findings: tuple[OfVariable, ...] = variable_findings(
        row, fitted.encoder.origin, fitted.band, contribution, raw, interval, about, expert=expert, per=per
    )
    up_to = table.X.iloc[here.of_run[: here.place - here.before]]
    sensors = fitted.inputs.sensor_findings(up_to, run, about, here.before)
    findings = (*sensors, *_rule_findings(here), *findings)
    missing = {finding.variable for finding in findings if finding.direction == "missing"}
    verdict = row_verdict(fitted, about, judgements, at, label, missing)
    if sensors:
        names = listing(dict.fromkeys(finding.variable for finding in sensors))
        verdict = replace(verdict, reason=f"Sensor or machine? Look at {names} first. {verdict.reason}".strip())
    shown = list(dict.fromkeys(finding.variable for finding in findings))[:_PLOTS]
    return Case(
        name=run,
        verdict=verdict,
        findings=findings,
        narrative=(*narrate(verdict, findings), *_parts(fitted, row, verdict, findings)),
        row=int(table.row_numbers[at_row]),
        interval=interval,
        series=tuple(series for variable in shown if (series := _series(here, variable))),
    )


def _interval(here: _Here, times: np.ndarray | None) -> Interval:
    """Return the row's window."""
    last, encoder = here.place, here.fitted.encoder
    first = last - encoder.window + 1
    if encoder.span is not None:
        own = here.table.rows(here.of_run[: last - here.before])
        first = here.before + 1 + int(encoder.firsts(*encoder.laid_out(own))[-1])
    if times is None:
        return Interval(here.run, first, last)
    start, end = (times[here.of_run[place - here.before - 1]] for place in (first, last))
    return Interval(here.run, first, last, start, end)


def _parts(
    fitted: Fitted, row: pd.DataFrame, verdict: Verdict, findings: tuple[OfVariable, ...]
) -> tuple[Sentence, ...]:
    """Say which variables make up the statistic that leads, as in a contribution plot."""
    if not (verdict.detected and verdict.statistics):
        return ()
    leading = max(verdict.statistics, key=lambda name: verdict.statistics[name])
    monitor = fitted.ensemble.experts[MONITOR]
    parts = monitor.parts(row) if isinstance(monitor, Monitor) else {}
    if leading not in parts:
        return ()
    by_variable = pd.Series(parts[leading][0]).groupby([name for name, _ in fitted.encoder.origin]).sum()
    known = {one.variable: one for one in findings if isinstance(one, VariableFinding)}
    shares = (by_variable / by_variable.sum()).loc[list(known)].sort_values(ascending=False)[:_PARTS]
    return (share_sentence(leading, {known[str(name)]: float(share) for name, share in shares.items()}),)


def _rule_findings(here: _Here) -> list[RuleFinding]:
    """Return a finding for each condition of each rule that holds at a row."""
    made: list[RuleFinding] = []
    rules, place = here.fitted.rules, here.place
    for number in np.flatnonzero(here.judgements.fired[here.at]):
        rule = rules.rules[number]
        for reason in rules.reasons(int(number), here.table.frame.iloc[here.of_run], place - here.before - 1):
            known = here.about.variables.get(reason.variable, Variable())
            made.append(
                RuleFinding(
                    id=f"R{len(made) + 1}",
                    expert="rules",
                    variable=reason.variable,
                    measure={"rate": "change", "category": "category"}.get(reason.kind, "value"),  # type: ignore[arg-type]
                    value=reason.value,
                    normal_low=reason.low,
                    normal_high=reason.high,
                    direction=_side(reason),
                    interval=Interval(here.run, max(1, place - reason.samples + 1), place),
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


def _series(here: _Here, variable: str) -> Series | None:
    """Return the variable's raw values over the run, with the normal band of single values."""
    values = pd.to_numeric(here.table.frame[variable].iloc[here.of_run], errors="coerce").to_numpy(dtype=float)
    if np.isnan(values).all():
        return None
    origin, band = here.fitted.encoder.origin, here.fitted.band
    at = origin.index((variable, "value")) if (variable, "value") in origin else None
    known = here.about.variables.get(variable)
    return Series(
        variable=variable,
        label=(known.name if known and known.name else variable),
        unit=known.unit if known else None,
        positions=tuple(range(here.before + 1, here.before + len(values) + 1)),
        values=tuple(values.tolist()),
        normal_low=None if at is None else band.low[at],
        normal_high=None if at is None else band.high[at],
    )
