"""From rows to cases: verdicts for every row, an overview by run, and a few cases in full detail.

Which rows become cases: the one asked for, else the last row of the longest flagged stretch of the runs with
the most flagged rows, else the last row. Attribution uses the classifiers only: asking the language model
hundreds of times per case would take minutes on a CPU, and its weight is capped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts import Case, Diagnosis, FaultSet, Interval, RunSummary, Series, Verdict
from faultwise.data.about import About
from faultwise.data.stretches import stretches
from faultwise.data.table import Table
from faultwise.encoders.windows import Features
from faultwise.errors import DataError
from faultwise.evidence.attribution import contributions
from faultwise.evidence.findings import variable_findings
from faultwise.experts.registry import LANGUAGE_MODEL
from faultwise.narrative.sentences import narrate
from faultwise.training import Fitted

__all__ = ["Judged", "contributions_of", "diagnose_table", "judge", "spread", "with_language_model"]

REFERENCE_ROWS = 12  # normal rows that each variable is exchanged with: 8 to 16 rank alike, each costs a second
_SET_MASS = 0.9
_PLOTS = 5


@dataclass(frozen=True)
class Judged:
    """All rows with a full window: features, probabilities, labels, scores; `scored` marks the language
    model's rows. `place` (rows,) is each row's position within its run, counted from 1.
    """

    features: Features
    by_expert: dict[str, np.ndarray]
    p: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    scored: np.ndarray
    runs: np.ndarray
    place: np.ndarray


def judge(fitted: Fitted, table: Table, score_rows: int = 0, first: np.ndarray | None = None) -> Judged:
    """Judge every row that has a full window by the experts other than the language model.

    Where it is the only expert it judges, and only `score_rows` rows: the table rows `first`, then others spread
    evenly. Raises DataError when no window is full, or no row can be judged.
    """
    groups = table.runs
    made = fitted.encoder.transform(table.X, stretches(groups))
    if not len(made.rows):
        raise DataError(
            f"`{table.source}` has {len(table.frame)} rows, and no run has the {fitted.encoder.window} samples "
            "that a window needs: give longer runs, or fit with a smaller --window."
        )
    ensemble = fitted.ensemble
    scored = np.zeros(len(made.rows), bool)
    if ensemble.language_only:
        wanted = np.empty(0, int) if first is None else np.flatnonzero(np.isin(made.rows, first))
        scored = spread(len(made.rows), score_rows, wanted)
        if not scored.any():
            raise DataError("This run has only the language model, and it may score no row: raise --lm-score-rows.")
        made = Features(made.frame[scored].reset_index(drop=True), made.rows[scored], made.notes)
        scored = scored[scored]
    place = pd.Series(groups).groupby(groups).cumcount().to_numpy() + 1
    by_expert = ensemble.by_expert(made.frame, scored)
    return _concluded(fitted, made, by_expert, scored, groups[made.rows], place[made.rows])


def with_language_model(fitted: Fitted, judged: Judged, score_rows: int, first: np.ndarray) -> Judged:
    """Let the language model score the judged rows at positions `first`, then others spread evenly, `score_rows` in
    all; what the other experts said is kept.
    """
    if not fitted.ensemble.uses_language_model or fitted.ensemble.language_only or score_rows < 1:
        return judged
    scored = spread(len(judged.labels), score_rows, first)
    said = fitted.ensemble.ask(LANGUAGE_MODEL, judged.features.frame, scored)
    by_expert = {**judged.by_expert, LANGUAGE_MODEL: said}
    return _concluded(fitted, judged.features, by_expert, scored, judged.runs, judged.place)


def spread(rows: int, most: int, first: np.ndarray) -> np.ndarray:
    """Return a mask of at most `most` rows: those at positions `first`, the others evenly."""
    chosen = np.zeros(rows, bool)
    chosen[first[:most]] = True
    spare = min(most - int(chosen.sum()), rows)
    chosen[np.linspace(0, rows - 1, max(spare, 0)).astype(int)] = True
    return chosen


def _concluded(
    fitted: Fitted,
    features: Features,
    by_expert: dict[str, np.ndarray],
    scored: np.ndarray,
    runs: np.ndarray,
    place: np.ndarray,
) -> Judged:
    ensemble = fitted.ensemble
    p = ensemble.fuse(by_expert, scored)
    labels, scores = ensemble.detector.decide(p, ensemble.classes), ensemble.detector.scores(p, ensemble.classes)
    return Judged(features, by_expert, p, labels, scores, scored, runs, place)


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
    if row is not None and not 1 <= row <= rows_of_file:
        raise DataError(f"Row {row} was asked for; `{table.source}` has rows 1 to {rows_of_file}.")
    alone = fitted.ensemble.language_only
    asked = None if row is None else np.array([row - 1])
    judged = judge(fitted, table, score_rows, asked)
    if row is not None:
        chosen = np.flatnonzero(judged.features.rows == row - 1)
        if not len(chosen):
            raise DataError(
                f"Row {row} has no full window yet: its run needs {fitted.encoder.window} samples up to it. "
                f"The first row with one is {int(judged.features.rows[0]) + 1}."
            )
    else:
        chosen = _telling_rows(judged, fitted.ensemble.detector.normal, cases)
    judged = with_language_model(fitted, judged, score_rows, chosen)
    times = table.times
    made = tuple(_case(fitted, table, about, judged, int(at), times) for at in chosen)
    notes = [*table.notes, *judged.features.notes]
    short = rows_of_file - len(judged.labels)
    if alone:
        notes.append(f"Only the {len(judged.labels)} rows that the language model scored got a verdict.")
    elif short:
        notes.append(f"{short} rows at the beginning of runs have no full window and got no verdict.")
    if fitted.ensemble.uses_language_model and not judged.scored.all():
        count = int(judged.scored.sum())
        notes.append(
            f"The language model scored {count} of {len(judged.scored)} rows; the others are fused without it."
        )
    overview = tuple(_run_summaries(judged, fitted.ensemble.detector.normal, times))
    return Diagnosis(table.source, overview, made, tuple(notes), provenance)


def contributions_of(fitted: Fitted, row: pd.DataFrame, label: str) -> dict[str, float]:
    """Return the contribution of each variable to a label for one encoded row (1, features)."""
    variables = [variable for variable, _ in fitted.encoder.origin]
    column = int(np.searchsorted(fitted.ensemble.classes, label))
    reference = fitted.reference.iloc[:REFERENCE_ROWS]
    return contributions(fitted.ensemble.classical, row, reference, variables, column)


def _case(fitted: Fitted, table: Table, about: About, judged: Judged, at: int, times: np.ndarray | None) -> Case:
    label, run, last = str(judged.labels[at]), str(judged.runs[at]), int(judged.place[at])
    row = judged.features.frame.iloc[[at]]
    of_run = np.flatnonzero(table.runs == run)
    first = last - fitted.encoder.window + 1
    start, end = (None, None) if times is None else (times[of_run[first - 1]], times[of_run[last - 1]])
    interval = Interval(run, first, last, start, end)
    contribution = contributions_of(fitted, row, label)
    raw = {str(k): v for k, v in table.frame.iloc[int(judged.features.rows[at])].items()}
    findings = variable_findings(row, fitted.encoder.origin, fitted.band, contribution, raw, interval, about)
    verdict = _verdict(fitted, about, judged, at, label)
    series = tuple(_series(fitted, table, about, of_run, finding.variable) for finding in findings[:_PLOTS])
    position = int(judged.features.rows[at]) + 1
    return Case(run, position, interval, verdict, findings, narrate(verdict, findings), tuple(s for s in series if s))


def _verdict(fitted: Fitted, about: About, judged: Judged, at: int, label: str) -> Verdict:
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
    return Verdict(
        label=label,
        probability=float(p[list(ensemble.classes).index(label)]),
        probabilities={str(ensemble.classes[i]): float(p[i]) for i in order},
        detected=detected,
        fault_score=None if judged.scores is None else float(judged.scores[at]),
        threshold=ensemble.detector.threshold,
        false_alarm_rate=None if normal is None else ensemble.detector.false_alarm_rate,
        fault_set=FaultSet(tuple(str(ensemble.classes[i]) for i in order[:count])),
        label_description=about.faults.get(label),
        label_descriptions={c: about.faults[c] for c in ensemble.classes.tolist() if c in about.faults},
        by_expert=experts,
    )


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


def _run_summaries(judged: Judged, normal: str | None, times: np.ndarray | None) -> list[RunSummary]:
    made = []
    frame = pd.DataFrame({"run": judged.runs, "label": judged.labels, "p": judged.p.max(axis=1)})
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


def _series(fitted: Fitted, table: Table, about: About, of_run: np.ndarray, variable: str) -> Series | None:
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
        positions=tuple(range(1, len(values) + 1)),
        values=tuple(values.tolist()),
        normal_low=None if at is None else fitted.band.low[at],
        normal_high=None if at is None else fitted.band.high[at],
    )
