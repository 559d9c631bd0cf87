"""From rows to labels: features, the probabilities of each expert, their fusion, detection.

The same few steps serve a whole table (`predicted`), a stream (`stream`) and files larger than memory (`tables.bulk`).
Nothing is explained here: cases and findings are made in `diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.experts import MOST_MISSING
from faultwise.tables.fit.experts.monitor import index_of
from faultwise.tables.fit.features.columns import note_of_empty
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.reading.table import Table
from faultwise.verdicts.calibration import SetJudgements
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = [
    "Judgements",
    "decided",
    "expert_probabilities",
    "features_of",
    "fused_probabilities",
    "judgements_of",
    "partly_empty",
    "predicted",
    "prediction_lines",
    "spread",
    "with_language_model",
    "with_missing_columns",
]


@dataclass(frozen=True)
class Judgements:
    """All rows with a full window: features, probabilities, labels, scores; `scored` marks the language
    model's rows. `place` (rows,) is each row's position within its run, counted from 1; `fired` (rows, rules) tells
    which of the user's rules hold. `sets` is there with a calibration.
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
    sets: SetJudgements | None = None


def predicted(fitted: Fitted, table: Table, score_rows: int = 0, first: np.ndarray | None = None) -> Judgements:
    """Classify every row that has a full window by the experts other than the language model.

    Where it is the only expert it classifies only `score_rows` rows: the table rows `first`, then others spread
    evenly. Raises DataError when no window is full, or no row can be classified.
    """
    groups = table.runs
    pieces, at = fitted.encoder.laid_out(table)
    made = features_of(fitted, table.X, pieces, at)
    if not len(made.rows):
        raise DataError(
            f"`{table.source}` has {len(table.frame)} rows, and no run has the {fitted.encoder.words()} "
            "that a window needs: give longer runs, or fit with a smaller --window."
        )
    ensemble = fitted.ensemble
    scored = np.zeros(len(made.rows), bool)
    if ensemble.language_only:
        wanted = np.empty(0, int) if first is None else np.flatnonzero(np.isin(made.rows, first))
        scored = spread(len(made.rows), score_rows, wanted)
        if not scored.any():
            raise DataError("This run has only the language model, and it may score no row: raise --score-rows.")
        made = replace(made, frame=made.frame[scored].reset_index(drop=True), rows=made.rows[scored])
        scored = scored[scored]
    place = pd.Series(groups).groupby(groups).cumcount().to_numpy() + 1
    if table.before:
        place = place + pd.Series(groups).map(table.before).fillna(0).to_numpy(dtype=int)
    by_expert = expert_probabilities(ensemble, made, scored)
    fired = fitted.rules.fired(table.frame, pieces)[made.rows]
    return judgements_of(fitted, made, by_expert, scored, groups[made.rows], place[made.rows], fired)


def with_language_model(fitted: Fitted, judgements: Judgements, score_rows: int, first: np.ndarray) -> Judgements:
    """Let the language model score the rows at positions `first`, then others spread evenly, `score_rows` in
    all; what the other experts gave is kept.
    """
    ensemble, partly = fitted.ensemble, bool(judgements.features.missing)
    if not ensemble.counts_language_model(partly) or ensemble.language_only or score_rows < 1:
        return judgements
    scored = spread(len(judgements.labels), score_rows, first)
    if partly:
        by_expert = ensemble.with_missing(judgements.features.frame, scored)
    else:
        own = ensemble.predict(LANGUAGE_MODEL, judgements.features.frame, scored)
        by_expert = {**judgements.by_expert, LANGUAGE_MODEL: own}
    return judgements_of(
        fitted, judgements.features, by_expert, scored, judgements.runs, judgements.place, judgements.fired
    )


def spread(rows: int, most: int, first: np.ndarray) -> np.ndarray:
    """Return a mask of at most `most` rows: those at positions `first`, the others evenly."""
    chosen = np.zeros(rows, bool)
    chosen[first[:most]] = True
    spare = min(most - int(chosen.sum()), rows)
    chosen[np.linspace(0, rows - 1, max(spare, 0)).astype(int)] = True
    return chosen


def judgements_of(
    fitted: Fitted,
    features: Features,
    by_expert: dict[str, np.ndarray],
    scored: np.ndarray,
    runs: np.ndarray,
    place: np.ndarray,
    fired: np.ndarray,
) -> Judgements:
    """Fuse the probabilities of the experts, and detect before naming; a rule that holds is a detection, too."""
    ensemble = fitted.ensemble
    p = ensemble.fuse(by_expert, scored)
    labels = ensemble.detector.decide(p, ensemble.classes, np.asarray(fired.any(axis=1)))
    scores = ensemble.detector.scores(p, ensemble.classes)
    made = Judgements(features, by_expert, p, labels, scores, scored, runs, place, fired)
    calibration = fitted.calibration
    # Sets and novelty were calibrated with all sensors: without some of them they promise nothing.
    if calibration is None or fitted.novelty is None or features.missing:
        return made
    novelty = fitted.novelty.scores(features.frame)
    return replace(made, sets=calibration.judgements(p, ensemble.classes, labels, novelty))


def with_missing_columns(fitted: Fitted, table: Table) -> Table:
    """Return the table with empty columns in place of absent ones where the fit can do without them; else unchanged,
    and reading it will say what is missing. Raises DataError where too many are.
    """
    missing = _missing(fitted, table.X)
    return replace(table, frame=_with_empty(fitted, table.frame, missing)) if missing else table


def partly_empty(fitted: Fitted, table: Table) -> str:
    """Say which columns have no value in whole runs and are not missing throughout; empty where there are none."""
    gaps = table.X[[name for name in fitted.encoder.learnt.used if name in table.X.columns]].isna()
    by_run = gaps.groupby(table.runs).all()
    some = [str(name) for name in by_run.columns[by_run.any() & ~by_run.all()]]
    if not some:
        return ""
    runs = listing(by_run.index[by_run[some].any(axis=1)])
    made = f"Without any value in some runs ({runs}): {listing(some)}. There the training median stands in for them"
    if not fitted.ensemble.takes_missing:
        return made + "."
    return made + "; give such a run in a file of its own to have it classified without them."


def features_of(fitted: Fitted, X: pd.DataFrame, pieces: np.ndarray, at: np.ndarray | None = None) -> Features:
    """Return the features of rows X (rows, variables) in stretches `pieces` at times `at` (rows,); those of missing
    sensors are blank where the fit can do without.

    A sensor is missing that gave no value in any row. Raises DataError as `with_missing_columns` and
    `WindowEncoder.transform` do.
    """
    columns, missing = fitted.encoder.learnt, _missing(fitted, X)
    if not missing:
        return fitted.encoder.transform(X, pieces, at=at)
    features = fitted.encoder.transform(_with_empty(fitted, X, missing), pieces, at=at)
    blank = np.array([variable in missing for variable, _ in fitted.encoder.origin])
    who = "The verdicts are the language model's, and its encoder's on rows that it does not score: both"
    if fitted.ensemble.encoder_is_better:
        who = "The verdicts are those of the language model's encoder, which did better than the model in the fit: it"
    note = (
        f"{len(missing)} of {len(columns.used)} columns used in training gave no value ({listing(missing)}). {who} "
        "learnt with sensors missing. False alarms and fault sets were calibrated with all sensors: here nothing is "
        "promised of them."
    )
    frame = features.frame.copy()
    frame.loc[:, blank] = np.float32(np.nan)
    empty = {note_of_empty(name) for name in missing}
    notes = [one for one in features.notes if one not in empty]
    return replace(features, frame=frame, notes=(*notes, note), missing=tuple(missing))


def fused_probabilities(fitted: Fitted, frame: pd.DataFrame, groups: object, score_rows: int) -> np.ndarray:
    """Return fused probabilities (rows, classes) of rows with their runs `groups` (rows,); None for one run.

    Rows whose window is not full yet, or which the language model alone could classify and did not, are NaN. The
    language model scores up to `score_rows` rows, spread evenly. Raises DataError for another number of runs.
    """
    runs = np.zeros(len(frame), int) if groups is None else np.asarray(groups)
    if runs.shape != (len(frame),):
        raise DataError(f"X has {len(frame)} rows, groups {runs.shape}: every row needs one run.")
    ensemble, at = fitted.ensemble, fitted.encoder.seconds(frame)
    order = np.arange(len(frame)) if at is None else np.lexsort((at, pd.factorize(runs)[0]))
    if at is not None:
        frame, runs, at = frame.iloc[order].reset_index(drop=True), runs[order], at[order]
    made = features_of(fitted, frame, fitted.encoder.stretches(runs, at), at)
    p = np.full((len(frame), len(ensemble.classes)), np.nan)
    if len(made.rows):
        most = score_rows if ensemble.counts_language_model(bool(made.missing)) else 0
        scored = spread(len(made.rows), most, np.empty(0, int))
        if ensemble.language_only and not made.missing:  # nobody else can classify the rows that it does not score
            made, scored = Features(made.frame[scored], made.rows[scored]), scored[scored]
        p[order[made.rows]] = ensemble.fuse(expert_probabilities(ensemble, made, scored), scored)
    return p


def decided(fitted: Fitted, p: np.ndarray) -> np.ndarray:
    """Return labels (rows,) for what `fused_probabilities` returned; None where it is NaN."""
    known = ~np.isnan(p).any(axis=1)
    labels = np.full(len(p), None, dtype=object)
    labels[known] = fitted.ensemble.detector.decide(p[known], fitted.ensemble.classes)
    return labels


def _missing(fitted: Fitted, X: pd.DataFrame) -> list[str]:
    """Return the columns that X gives no value of, where the fit can judge without them. Raises DataError for too many
    of them.
    """
    if not fitted.ensemble.takes_missing:
        return []
    columns = fitted.encoder.learnt
    missing = columns.missing(X)
    if len(missing) > MOST_MISSING * len(columns.used):
        raise DataError(
            f"{len(missing)} of {len(columns.used)} columns used in training are missing or empty "
            f"({listing(missing)}), and nothing was learnt of rows without more than {MOST_MISSING:.0%} of them: give "
            "more columns."
        )
    return missing


def _with_empty(fitted: Fitted, frame: pd.DataFrame, missing: Sequence[str]) -> pd.DataFrame:
    """Return the frame with an empty column for each missing one that is absent."""
    made = frame.copy(deep=False)
    for name in missing:  # not `assign`: a column may be called `self`
        if name not in frame.columns:
            made[name] = np.nan if name in fitted.encoder.learnt.medians else None
    return made


def expert_probabilities(ensemble: Ensemble, features: Features, scored: np.ndarray) -> dict[str, np.ndarray]:
    """Return the probabilities of those experts that can classify these features, for `Ensemble.fuse`."""
    if features.missing:
        return ensemble.with_missing(features.frame, scored)
    return ensemble.by_expert(features.frame, scored)


def prediction_lines(fitted: Fitted, judgements: Judgements, rows: np.ndarray, every: bool = False) -> pd.DataFrame:
    """Return one line per classified row: row (from `rows`), run, label, its probability, fault score, the
    status of the verdict (with a calibration: status, fault set, p_known), rules that hold.

    A monitor gives `times_limit` in place of a probability: an alarm is above 1. With `every` the probabilities of all
    labels follow in columns such as `p(4)`, as float32.
    """
    classes = fitted.ensemble.classes
    lines = {"row": rows, "run": judgements.runs, "label": judgements.labels}
    if fitted.monitored and judgements.scores is not None:
        lines["times_limit"] = (
            index_of(judgements.scores) / index_of(np.array(fitted.ensemble.detector.threshold))
        ).round(6)
        every = False
    else:
        column = np.searchsorted(classes, judgements.labels.astype(str))
        lines["probability"] = judgements.p[np.arange(len(column)), column].round(6)
    if judgements.scores is not None:
        lines["fault_score"] = judgements.scores.round(6)
    if judgements.sets is not None:
        lines["status"] = judgements.sets.status
        lines["fault_set"] = _sets(judgements.sets.members, classes)
        lines["p_known"] = judgements.sets.p_known.round(4)
    if fitted.rules.rules:
        names = [rule.name for rule in fitted.rules.rules]
        lines["rules"] = np.array(
            ["; ".join(n for n, f in zip(names, row, strict=True) if f) for row in judgements.fired]
        )
    if every:
        lines |= {f"p({label})": judgements.p[:, at].astype(np.float32) for at, label in enumerate(classes)}
    return pd.DataFrame(lines)


def _sets(members: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Write each set as text such as "4; 11"; equal sets are written once."""
    kinds, codes = np.unique(members, axis=0, return_inverse=True)
    texts = np.array(["; ".join(classes[kind]) for kind in kinds], dtype=object)
    return np.asarray(texts[codes.ravel()])
