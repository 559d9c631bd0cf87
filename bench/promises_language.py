"""Calibrated verdicts of the language model alone, beside those of bench/promises.py, on a stated subsample.

The first draw of runs of that benchmark (10 training, 5 calibration, 5 test runs a class, seed 52). The language
model alone (rows as tokens) predicts 40 windows a class of the calibration and of the test runs, spread evenly over the
runs, and, for the false-alarm rates, 1,000 windows each of 40 and 40 other normal runs of 48 h. Two faults, 1 and 13,
are left out of the fit in turn (10 windows a known class). Deletion: 20 correct verdicts, the variables that the
classical verdict cites, three draws of five others. It is calibrated by the product's own code.

    python bench/promises_language.py --cache FOLDER
"""

from __future__ import annotations

import argparse
import time
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise import Diagnoser
from faultwise.contracts.language import LanguageSettings
from faultwise.language.classifier.expert import LanguageExpert
from faultwise.tables.evaluate.faithfulness import cited_variables, faithfulness
from faultwise.tables.fit.fitted import Fitted
from faultwise.verdicts.calibration import calibrate
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Ensemble, Labelled
from faultwise.verdicts.folds import folds
from faultwise.verdicts.fusion import Fusion
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.stretches import stretches
from promises import CLASSES, COVERAGES, FIT, NORMAL, RATES, pool, shares, some_runs, table, with_status
from recipe import write_result

ALONE, STEPS, A_CLASS, NORMAL_ROWS, LEFT_OUT = "language model alone", 80, 40, 1_000, ("1", "13")
SCORED = 512  # rows for its temperature: what a fit lets it score


def windows(fitted: Fitted, runs: pd.DataFrame, most: int, seed: int = 0) -> Labelled:
    """Return so many encoded windows, spread evenly over classes and runs."""
    rows = table(runs)
    made = fitted.encoder.transform(rows.X, stretches(rows.runs, rows.y))
    y, groups = rows.y[made.rows].astype(str), rows.runs[made.rows]
    at = draw_evenly(y, groups, most, seed)
    return Labelled(made.frame.iloc[at].reset_index(drop=True), y[at], groups[at])


def alone(whole: Diagnoser, training: Labelled, held_out: Labelled, seed: int) -> Diagnoser:
    """Return the diagnoser with the language model in place of its experts.

    As in a fit, it is tuned on the training rows of the first fold and its temperature is set on rows held out of that;
    novelty is learnt from all training rows, and all else from held-out runs, which neither has seen.
    """
    train, held = folds(training.y, training.groups, "group", 3, seed)[0][0]
    held = held[draw_evenly(training.y[held], training.groups[held], SCORED, seed)]
    settings = LanguageSettings(steps=STEPS)
    expert = LanguageExpert(settings, seed, progress=True).fit(
        training.X.iloc[train].reset_index(drop=True), training.y[train], training.groups[train]
    )
    p = expert.predict_proba(training.X.iloc[held])
    fusion = Fusion().fit({ALONE: p}, np.searchsorted(expert.classes_, training.y[held]))
    ensemble = Ensemble(expert.classes_, Detector(NORMAL, 0.02), {ALONE: expert}, fusion)
    logged = np.array([measure in ("spread", "jitter") for _, measure in whole.model_.fitted.encoder.origin])
    novelty = Novelty.fit(training.X, training.y, logged, seed)
    calibration, _ = calibrate(ensemble, held_out, novelty, 0.9, "all", 0.05, seed)
    made = Diagnoser(**FIT)
    made.model_, made.modality_ = copy(whole.model_), whole.modality_
    made.model_.fitted = replace(whole.model_.fitted, ensemble=ensemble, calibration=calibration, novelty=novelty)
    return made


def predicted(made: Diagnoser, rows: Labelled) -> dict[str, np.ndarray]:
    """Return what `with_status` takes."""
    fitted = made.model_.fitted
    assert fitted.novelty is not None
    p = fitted.ensemble.classical(rows.X)
    return {"distance": fitted.novelty.scores(rows.X), "p": p, "y": rows.y, "runs": rows.groups}


def parts(runs: pd.DataFrame, number: int, without: str | None) -> tuple[Diagnoser, Diagnoser, pd.DataFrame]:
    """Fit the classical verdict and the language model on one draw; return both, and the unseen runs."""
    rng = np.random.default_rng([52, number])
    kept = runs if without is None else runs[runs["kind"] != f"fault{int(without):02d}"]
    test = some_runs(kept, 5, rng)
    rest = kept[~kept["run"].isin(test)]
    whole = Diagnoser(**FIT, seed=number).fit(table(rest))
    for_calibration = some_runs(rest, 5, rng)
    held_out = windows(whole.model_.fitted, rest[rest["run"].isin(for_calibration)], A_CLASS * len(CLASSES))
    training = windows(whole.model_.fitted, rest[~rest["run"].isin(for_calibration)], FIT["most_rows"])
    return whole, alone(whole, training, held_out, number), kept[kept["run"].isin(test)]


def rates(made: Diagnoser, normal: pd.DataFrame) -> dict[str, float]:
    """Calibrate the threshold on windows of 40 normal runs and evaluate it on others."""
    names = np.random.default_rng(0).permutation(normal["run"].unique())
    two = [
        windows(made.model_.fitted, normal[normal["run"].isin(some)], NORMAL_ROWS)
        for some in (names[:40], names[40:80])
    ]
    ensemble = made.model_.fitted.ensemble
    p = [ensemble.classical(part.X) for part in two]
    found = {}
    for rate in RATES:
        detector = replace(ensemble.detector, false_alarm_rate=rate)
        detector.fit(detector.scores(p[0], ensemble.classes))
        found[str(rate)] = round(float((detector.decide(p[1], ensemble.classes) != NORMAL).mean()), 4)
    return found


def main() -> None:
    """Measure, print and write results/promises_language.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    started = time.monotonic()
    runs, normal = pool("promises-judge", args.cache), pool("monitor-normal", args.cache)
    whole, made, unseen = parts(runs, 0, None)
    rows = predicted(made, windows(made.model_.fitted, unseen, A_CLASS * len(CLASSES)))
    figures: dict[str, Any] = {"sets": {}, "rows": len(rows["y"])}
    for coverage in COVERAGES:
        frame, labels = with_status(made, rows, coverage)
        figures["sets"][str(coverage)] = {k: round(float(v), 4) for k, v in shares(frame).items()}
    figures["top_accuracy"] = round(
        float((made.model_.fitted.ensemble.classes[rows["p"].argmax(1)] == rows["y"]).mean()), 4
    )
    figures["verdict_accuracy"] = round(float((labels == rows["y"]).mean()), 4)
    figures["normal_called_fault"] = round(float((labels[rows["y"] == NORMAL] != NORMAL).mean()), 4)
    figures["rates"] = rates(made, normal)
    print(figures, flush=True)
    some = some_runs(unseen, 1, np.random.default_rng(1))
    result = faithfulness(
        made.model_.fitted, table(unseen[unseen["run"].isin(some)]), verdicts=20, draws=3,
        cite=lambda fitted, row, label: cited_variables(whole.model_.fitted, row, label), progress=True,
    )  # fmt: skip
    figures["deletion"] = {k: v for k, v in result.items() if k not in ("cases", "notes", "source", "by_label")}
    print(figures["deletion"], flush=True)
    figures["left_out"] = {}
    for fault in LEFT_OUT:
        _, made, unseen = parts(runs, int(fault), fault)
        of_fault = windows(made.model_.fitted, runs[runs["kind"] == f"fault{int(fault):02d}"], 2 * 5 * A_CLASS)
        mine = Labelled(*(part[of_fault.y == fault] for part in (of_fault.X, of_fault.y, of_fault.groups)))
        unknown, _ = with_status(made, predicted(made, mine), 0.9)
        known, _ = with_status(made, predicted(made, windows(made.model_.fitted, unseen, 10 * (len(CLASSES) - 1))), 0.9)
        of_unknown, of_known = shares(unknown), shares(known)
        figures["left_out"][fault] = {
            "noticed": round(of_unknown["several"] + of_unknown["unknown"] + of_unknown["undecided"], 4),
            "known_novel_or_abstained": round(of_known["unknown"] + of_known["undecided"], 4),
            "known_single_right": round(of_known["single_right"], 4),
        }
        print(fault, figures["left_out"][fault], flush=True)
    config = {"fit": FIT, "steps": STEPS, "a_class": A_CLASS, "normal_rows": NORMAL_ROWS}
    figures["seconds"] = round(time.monotonic() - started)
    write_result("promises_language", config, table(runs).hash(), figures)


if __name__ == "__main__":
    main()
