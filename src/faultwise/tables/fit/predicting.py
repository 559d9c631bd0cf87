"""Judging rows: features, what each expert says of them, what the fusion makes of it, and the label.

The same few steps serve a whole table (`judge`), a stream (`stream`) and files larger than memory (`bulk`). Nothing is
explained here: cases and findings are `diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.language.classifier.token_input import MOST_LOST
from faultwise.tables.fit.experts.monitor import index_of
from faultwise.tables.fit.features.columns import note_of_empty
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.training import Fitted
from faultwise.tables.reading.table import Table
from faultwise.verdicts.calibration import Stand
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.registry import LANGUAGE_MODEL
from faultwise.verdicts.stretches import stretches

__all__ = [
    "Judged",
    "asked",
    "completed",
    "conclude",
    "encoded",
    "judge",
    "judged_lines",
    "partly_empty",
    "spread",
    "with_language_model",
]


@dataclass(frozen=True)
class Judged:
    """All rows with a full window: features, probabilities, labels, scores; `scored` marks the language
    model's rows. `place` (rows,) is each row's position within its run, counted from 1; `fired` (rows, rules) tells
    which of the user's rules hold. `stand` is there with a calibration.
    """

    features: Features
    by_expert: dict[str, np.ndarray]
    p: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None
    scored: np.ndarray
    runs: np.ndarray
    place: np.ndarray
    fired: np.ndarray
    stand: Stand | None = None


def judge(fitted: Fitted, table: Table, score_rows: int = 0, first: np.ndarray | None = None) -> Judged:
    """Judge every row that has a full window by the experts other than the language model.

    Where it is the only expert it judges, and only `score_rows` rows: the table rows `first`, then others spread
    evenly. Raises DataError when no window is full, or no row can be judged.
    """
    groups = table.runs
    pieces = stretches(groups)
    made = encoded(fitted, table.X, pieces)
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
        made = replace(made, frame=made.frame[scored].reset_index(drop=True), rows=made.rows[scored])
        scored = scored[scored]
    place = pd.Series(groups).groupby(groups).cumcount().to_numpy() + 1
    if table.before:
        place = place + pd.Series(groups).map(table.before).fillna(0).to_numpy(dtype=int)
    by_expert = asked(ensemble, made, scored)
    fired = fitted.rules.fired(table.frame, pieces)[made.rows]
    return conclude(fitted, made, by_expert, scored, groups[made.rows], place[made.rows], fired)


def with_language_model(fitted: Fitted, judged: Judged, score_rows: int, first: np.ndarray) -> Judged:
    """Let the language model score the judged rows at positions `first`, then others spread evenly, `score_rows` in
    all; what the other experts said is kept.
    """
    ensemble, partly = fitted.ensemble, bool(judged.features.lost)
    if not ensemble.asks_language_model(partly) or ensemble.language_only or score_rows < 1:
        return judged
    scored = spread(len(judged.labels), score_rows, first)
    if partly:
        by_expert = ensemble.partly(judged.features.frame, scored)
    else:
        said = ensemble.ask(LANGUAGE_MODEL, judged.features.frame, scored)
        by_expert = {**judged.by_expert, LANGUAGE_MODEL: said}
    return conclude(fitted, judged.features, by_expert, scored, judged.runs, judged.place, judged.fired)


def spread(rows: int, most: int, first: np.ndarray) -> np.ndarray:
    """Return a mask of at most `most` rows: those at positions `first`, the others evenly."""
    chosen = np.zeros(rows, bool)
    chosen[first[:most]] = True
    spare = min(most - int(chosen.sum()), rows)
    chosen[np.linspace(0, rows - 1, max(spare, 0)).astype(int)] = True
    return chosen


def conclude(
    fitted: Fitted,
    features: Features,
    by_expert: dict[str, np.ndarray],
    scored: np.ndarray,
    runs: np.ndarray,
    place: np.ndarray,
    fired: np.ndarray,
) -> Judged:
    """Fuse what the experts said, and detect before naming; a rule that holds is a detection, too."""
    ensemble = fitted.ensemble
    p = ensemble.fuse(by_expert, scored)
    labels = ensemble.detector.decide(p, ensemble.classes, np.asarray(fired.any(axis=1)))
    scores = ensemble.detector.scores(p, ensemble.classes)
    made = Judged(features, by_expert, p, labels, scores, scored, runs, place, fired)
    calibration = fitted.calibration
    # Sets and novelty were calibrated with all sensors: without some of them they promise nothing.
    if calibration is None or fitted.novelty is None or features.lost:
        return made
    strange = fitted.novelty.scores(features.frame)
    return replace(made, stand=calibration.stand(p, ensemble.classes, labels, strange))


def completed(fitted: Fitted, table: Table) -> Table:
    """Return the table with empty columns in place of absent ones where the fit can judge without them; else as it is,
    and reading it will say what is missing. Raises DataError where too many are.
    """
    lost = _lost(fitted, table.X)
    return replace(table, frame=_with_empty(fitted, table.frame, lost)) if lost else table


def partly_empty(fitted: Fitted, table: Table) -> str:
    """Say which columns have no value in whole runs and are not lost throughout; empty where there are none."""
    gaps = table.X[[name for name in fitted.encoder.learnt.used if name in table.X.columns]].isna()
    by_run = gaps.groupby(table.runs).all()
    some = [str(name) for name in by_run.columns[by_run.any() & ~by_run.all()]]
    if not some:
        return ""
    runs = listing(by_run.index[by_run[some].any(axis=1)])
    made = f"Without any value in some runs ({runs}): {listing(some)}. There the training median stands in for them"
    if not fitted.ensemble.judges_partly:
        return made + "."
    return made + "; give such a run in a file of its own to have it judged without them."


def encoded(fitted: Fitted, X: pd.DataFrame, pieces: np.ndarray) -> Features:
    """Return the features of rows X (rows, variables); where the fit can judge without lost sensors, theirs are blank.

    A sensor is lost that gave no value in any row. Raises DataError as `completed` and `WindowEncoder.transform` do.
    """
    columns, lost = fitted.encoder.learnt, _lost(fitted, X)
    if not lost:
        return fitted.encoder.transform(X, pieces)
    features = fitted.encoder.transform(_with_empty(fitted, X, lost), pieces)
    blank = np.array([variable in lost for variable, _ in fitted.encoder.origin])
    who = "The verdicts are the language model's, and its encoder's on rows that it does not score: both"
    if fitted.ensemble.encoder_is_better:
        who = "The verdicts are those of the language model's encoder, which did better than the model in the fit: it"
    note = (
        f"{len(lost)} of {len(columns.used)} columns used in training gave no value ({listing(lost)}). {who} learnt "
        "with sensors missing. False alarms and fault sets were calibrated with all sensors: here nothing is promised "
        "of them."
    )
    frame = features.frame.copy()
    frame.loc[:, blank] = np.float32(np.nan)
    told = {note_of_empty(name) for name in lost}
    notes = [said for said in features.notes if said not in told]
    return replace(features, frame=frame, notes=(*notes, note), lost=tuple(lost))


def _lost(fitted: Fitted, X: pd.DataFrame) -> list[str]:
    """Return the columns that X gives no value of, where the fit can judge without them. Raises DataError for too many
    of them.
    """
    if not fitted.ensemble.judges_partly:
        return []
    columns = fitted.encoder.learnt
    lost = columns.lost(X)
    if len(lost) > MOST_LOST * len(columns.used):
        raise DataError(
            f"{len(lost)} of {len(columns.used)} columns used in training are missing or empty ({listing(lost)}), and "
            f"nothing was learnt of rows without more than {MOST_LOST:.0%} of them: give more columns."
        )
    return lost


def _with_empty(fitted: Fitted, frame: pd.DataFrame, lost: Sequence[str]) -> pd.DataFrame:
    """Return the frame with an empty column for each lost one that is absent."""
    made = frame.copy(deep=False)
    for name in lost:  # not `assign`: a column may be called `self`
        if name not in frame.columns:
            made[name] = np.nan if name in fitted.encoder.learnt.medians else None
    return made


def asked(ensemble: Ensemble, features: Features, scored: np.ndarray) -> dict[str, np.ndarray]:
    """Return what those experts say that can judge these features, for `Ensemble.fuse`."""
    if features.lost:
        return ensemble.partly(features.frame, scored)
    return ensemble.by_expert(features.frame, scored)


def judged_lines(fitted: Fitted, judged: Judged, rows: np.ndarray, every: bool = False) -> pd.DataFrame:
    """Return one line per judged row: row (from `rows`), run, label, its probability, fault score, how the verdict
    stands (with a calibration: standing, fault set, p_known), rules that hold.

    A monitor gives `times_limit` in place of a probability: an alarm is above 1. With `every` the probabilities of all
    labels follow in columns such as `p(4)`, as float32.
    """
    classes = fitted.ensemble.classes
    lines = {"row": rows, "run": judged.runs, "label": judged.labels}
    if fitted.monitored and judged.scores is not None:
        lines["times_limit"] = (index_of(judged.scores) / index_of(np.array(fitted.ensemble.detector.threshold))).round(
            6
        )
        every = False
    else:
        column = np.searchsorted(classes, judged.labels.astype(str))
        lines["probability"] = judged.p[np.arange(len(column)), column].round(6)
    if judged.scores is not None:
        lines["fault_score"] = judged.scores.round(6)
    if judged.stand is not None:
        lines["standing"] = judged.stand.standing
        lines["fault_set"] = _sets(judged.stand.members, classes)
        lines["p_known"] = judged.stand.p_known.round(4)
    if fitted.rules.rules:
        names = [rule.name for rule in fitted.rules.rules]
        lines["rules"] = np.array(["; ".join(n for n, f in zip(names, row, strict=True) if f) for row in judged.fired])
    if every:
        lines |= {f"p({label})": judged.p[:, at].astype(np.float32) for at, label in enumerate(classes)}
    return pd.DataFrame(lines)


def _sets(members: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Write each set as text such as "4; 11"; equal sets are written once."""
    kinds, codes = np.unique(members, axis=0, return_inverse=True)
    texts = np.array(["; ".join(classes[kind]) for kind in kinds], dtype=object)
    return np.asarray(texts[codes.ravel()])
