"""Calibration without runs of its own: on the predictions that the folds of a fit made of the runs they held out.

Every run is learnt from, and every run calibrates: that is cross-conformal prediction by run (Vovk 2015; Barber,
Candes, Ramdas and Tibshirani 2021). It serves where a quarter of the runs is too few to hold out. Whatever judges a
run here has not learnt it: the experts of its fold, weights of their fusion from the other folds, and distances
to classes without its rows. The final experts have learnt from more runs than those of a fold. They mostly raise
fewer false alarms; the interval of the false-alarm rate therefore begins at what they do on the rows they have learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from faultwise.verdicts.calibration import Calibration, calibrated_on
from faultwise.verdicts.conformal import most_coverage, runs_for
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Ensemble, Labelled, Validation
from faultwise.verdicts.false_alarms import FEWEST_RUNS, RunRate, alarm_stretches, rate_on_new_runs
from faultwise.verdicts.folds import Fold
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import LANGUAGE_MODEL

__all__ = ["CrossFitted", "cross_calibrate", "no_promise"]

_LEARNT_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class CrossFitted:
    """What the folds of a fit said of the rows they held out: positions `rows` in the fit's data, probabilities `p` by
    expert and `fused` ones (rows, classes), and novelty `distances` (rows,).
    """

    rows: np.ndarray
    p: dict[str, np.ndarray]
    fused: np.ndarray
    distances: np.ndarray

    @classmethod
    def of(
        cls, validation: Validation, data: Labelled, folds: Sequence[Fold], logged: np.ndarray, seed: int
    ) -> CrossFitted:
        """Measure the rows of each fold by what the other rows tell, without the language model."""
        rows = validation.rows
        p = {name: q for name, q in validation.p.items() if name != LANGUAGE_MODEL}
        distances = np.empty(len(rows))
        for train, held in folds:
            here = np.isin(rows, held)
            # A fold's own novelty: a row lies nearer to the classes that it helped to shape.
            novelty = Novelty.fit(data.X.iloc[train], data.y[train], logged, seed)
            distances[here] = novelty.scores(data.X.iloc[rows[here]])
        return cls(rows, p, validation.without, distances)


def cross_calibrate(
    ensemble: Ensemble, data: Labelled, made: CrossFitted, promise: tuple[float, str, float], seed: int, whole: bool
) -> tuple[Calibration | None, list[str]]:
    """Set the ensemble's thresholds on the runs that folds held out; return the calibration of fault sets and novelty.

    `promise` has the coverage, what it holds per, and the rate of unknown rows. The calibration is None where so few
    runs cannot promise that coverage; the sentences say what is promised and how many runs are missing. `whole` says
    that the data has all rows of its runs, so that false alarms can be counted in stretches.
    """
    y, runs = data.y[made.rows], data.groups[made.rows]
    labelled = Labelled(data.X.iloc[made.rows], y, runs)
    calibration, rate, few = calibrated_on(ensemble, labelled, made.p, made.fused, made.distances, promise, seed)
    notes = [few] if few else []
    if rate is not None:
        rate = rate.widened(_learnt(ensemble, data, rate, seed))
        ensemble.detector.interval = rate.interval
        notes.append(rate.note())
        if whole:
            normal = y == ensemble.detector.normal
            alarms = ensemble.detector.decide(made.fused, ensemble.classes) != ensemble.detector.normal
            notes += filter(None, [alarm_stretches(alarms[normal], runs[normal])])
    coverage, per, _ = promise
    fewest = min(calibration.runs_by_class.values()) if per == "class" else calibration.runs
    if most_coverage(fewest) < coverage - 1e-9:
        unit = "of every label " if per == "class" else ""
        notes.append(
            f"Fault sets and unknown rows are not calibrated: {fewest} {'run' if fewest == 1 else 'runs'} {unit}"
            f"can promise a coverage of {most_coverage(fewest):.1%} at most, and {coverage:.1%} takes "
            f"{runs_for(coverage)}."
        )
        return None, notes
    return calibration, [
        *notes,
        f"All {calibration.runs} runs were learnt from, and calibrate in turn: each is judged by experts that have not "
        "learnt it.",
        calibration.note(),
    ]


def no_promise(normal: str | None) -> str:
    """Return the sentence on a fit whose held-out rows belong to runs that were learnt from."""
    what = "no coverage of fault sets" if normal is None else "neither a false-alarm rate nor a coverage of fault sets"
    return (
        f"For new runs {what} is promised, because the rows held out belong to runs that were learnt from. That needs "
        f"at least {FEWEST_RUNS} runs, and a fit that holds out whole runs (--group COL)."
    )


def _learnt(ensemble: Ensemble, data: Labelled, rate: RunRate, seed: int) -> RunRate | None:
    """Return the false-alarm rate of the final experts on normal rows that they have learnt."""
    normal = np.flatnonzero(data.y == ensemble.detector.normal)
    drawn = normal[draw_evenly(data.y[normal], data.groups[normal], _LEARNT_ROWS, seed)]
    if len(set(data.groups[drawn])) < 2:
        return None
    labels = ensemble.detector.decide(ensemble.classical(data.X.iloc[drawn]), ensemble.classes)
    return rate_on_new_runs(labels != ensemble.detector.normal, data.groups[drawn], rate.requested)
