"""Calibrated verdicts on simulated runs that nothing was chosen on: fault sets, novelty, false alarms, delays.

Classes 0 to 20, 20 runs of 8 h each (seed 52; choices were made on seed 51), windows of 20 samples, the fused verdict
of extra trees and logistic regression, with a false-alarm rate of 2%.

- *sets*, *alarms*, *rates*: 20 draws of 10 training, 5 calibration and 5 test runs a class. Fault sets with a coverage
  of 80, 90 and 95% are evaluated on all test rows with a full window within one label. The threshold is then calibrated
  anew with 100 normal runs of 48 h at 1% and at 5% of rows, and evaluated on 100 others, as are the predicted false
  alarms.
- *unknown*: each fault in turn is left out of training and calibration; all rows of its 20 runs are evaluated, and 5
  unseen runs of every other class. Faults 1, 2, 7, 8, 13 and 17 with two draws of the other runs each.

Finished parts are kept in `promises-draws.json` and `promises-unknown.json` in the cache and are not run again; all
take about an hour on one core. The result file has their means. `--part` lets two processes share the work.

    python bench/promises.py --cache FOLDER [--minutes 18] [--part draws|unknown]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise import Diagnoser
from faultwise.evaluate.alarms import Debounce, detection, predicted_false_alarms
from faultwise.tables.reading.benchmarks.simulate import simulate
from faultwise.tables.reading.table import Roles, Table
from faultwise.verdicts.calibration import statuses
from faultwise.verdicts.stretches import stretches
from recipe import write_result

TWICE = ("1", "2", "7", "8", "13", "17")
DRAWS, CLASSES, NORMAL = 20, [str(fault) for fault in range(21)], "0"
COVERAGES, RATES, DEBOUNCES = (0.8, 0.9, 0.95), (0.01, 0.05), (Debounce(1, 1), Debounce(2, 3))
FIT: dict[str, Any] = {
    "window": 20,
    "experts": ("extra-trees", "logistic-regression"),
    "folds": 2,
    "most_rows": 26_000,
    "calibration": 1 / 3,
}
SETS: dict[str, dict[str, Any]] = {
    "promises-judge": {"faults": range(21), "runs": 20, "hours": 8.0, "seed": 52},
    "monitor-train": {"faults": [0], "runs": 220, "hours": 48.0, "seed": 31},
    "monitor-normal": {"faults": [0], "runs": 100, "hours": 48.0, "seed": 42},
}
MINUTES = 3.0


def pool(name: str, cache: Path) -> pd.DataFrame:
    """Return a set of runs, simulated if it is not in the cache."""
    path = cache / f"{name}.parquet"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        simulate(progress=True, **SETS[name]).to_parquet(path)
    frame = pd.read_parquet(path)
    return frame.assign(fault=frame["fault"].astype(str), kind=frame["run"].str.split("-").str[0])


def table(frame: pd.DataFrame) -> Table:
    """Return rows as a labelled table."""
    return Table(frame.drop(columns="kind").reset_index(drop=True), Roles("fault", "run", None, ("hour",)), "simulated")


def some_runs(frame: pd.DataFrame, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the names of `count` runs of each kind."""
    runs = frame[["kind", "run"]].drop_duplicates().groupby("kind")["run"]
    return np.concatenate([rng.permutation(names.to_numpy())[:count] for _, names in runs])


def predicted(made: Diagnoser, rows: Table, within: bool = True) -> dict[str, np.ndarray]:
    """Return novelty, probabilities, labels, runs and positions of rows with a full window (within one label)."""
    fitted = made.model_.fitted
    pieces = stretches(rows.runs, rows.y) if within else stretches(rows.runs)
    features = fitted.encoder.transform(rows.X, pieces)
    p = fitted.ensemble.classical(features.frame)
    at = features.rows
    return {
        "distance": fitted.novelty.scores(features.frame),
        "p": p,
        "y": rows.y[at].astype(str),
        "runs": rows.runs[at],
        "at": at,
    }


def with_status(made: Diagnoser, rows: dict[str, np.ndarray], coverage: float) -> tuple[pd.DataFrame, np.ndarray]:
    """Return per row: true label, verdict, whether the set covers it, the set's size, and the verdict's status."""
    fitted = made.model_.fitted
    assert fitted.calibration is not None
    calibration = replace(fitted.calibration, coverage=coverage)
    classes = fitted.ensemble.classes
    labels = fitted.ensemble.detector.decide(rows["p"], classes)
    members = calibration.members(rows["p"], classes, labels)
    status = statuses(members, calibration.novel(rows["distance"]), calibration.novel_rate)
    known = np.isin(rows["y"], classes)
    column = np.where(known, np.minimum(np.searchsorted(classes, rows["y"]), len(classes) - 1), 0)
    covered = members[np.arange(len(column)), column] & known
    frame = pd.DataFrame({"y": rows["y"], "label": labels, "covered": covered, "size": members.sum(axis=1)})
    return frame.assign(status=status, right=(status == "named") & (labels == rows["y"])), labels


def shares(frame: pd.DataFrame) -> dict[str, float]:
    """Return the shares of rows by coverage and by status."""
    status = frame["status"]
    return {
        "covered": float(frame["covered"].mean()),
        "size": float(frame["size"].mean()),
        "empty": int((frame["size"] == 0).sum()),
        "single_right": float(frame["right"].mean()),
        **{name: float((status == name).mean()) for name in ("named", "several", "unknown", "undecided")},
    }


def rates(made: Diagnoser, normal: pd.DataFrame, rng: np.random.Generator) -> dict[str, Any]:
    """Calibrate the threshold on 100 normal runs; evaluate it, and the false alarms it predicts, on 100 others."""
    drawn = rng.permutation(normal["run"].unique())[:200]
    parts = [predicted(made, table(normal[normal["run"].isin(some)])) for some in (drawn[:100], drawn[100:])]
    ensemble, found = made.model_.fitted.ensemble, {}
    scores = [ensemble.detector.scores(part["p"], ensemble.classes) for part in parts]
    for rate in RATES:
        detector = replace(ensemble.detector, false_alarm_rate=rate)
        detector.fit(scores[0])
        flags = [detector.decide(part["p"], ensemble.classes) != NORMAL for part in parts]
        found[str(rate)] = one = {"far": float(flags[1].mean())}
        for debounce in DEBOUNCES:
            predicted_rate, seen = (
                predicted_false_alarms(flag, part["runs"], MINUTES, debounce)
                for flag, part in zip(flags, parts, strict=True)
            )
            expected = predicted_rate["per_day"] * seen["machine_days"]
            one[str(debounce)] = {"expected": expected, "found": seen["alarms"], "days": seen["machine_days"]}
    return found


def draw(number: int, runs: pd.DataFrame, normal: pd.DataFrame) -> dict[str, Any]:
    """Fit on one draw of runs and evaluate sets, false-alarm rates and delays."""
    rng = np.random.default_rng([52, number])
    test = some_runs(runs, 5, rng)
    made = Diagnoser(**FIT, seed=number).fit(table(runs[~runs["run"].isin(test)]))
    unseen = table(runs[runs["run"].isin(test)])
    rows = predicted(made, unseen)
    result: dict[str, Any] = {"draw": number, "sets": {}}
    for coverage in COVERAGES:
        frame, labels = with_status(made, rows, coverage)
        result["sets"][str(coverage)] = one = shares(frame)
        by_class = frame.groupby("y")[["covered", "size", "right"]].mean()
        one["by_class"] = {str(k): {n: float(v) for n, v in row.items()} for k, row in by_class.iterrows()}
    result["verdict_accuracy"] = float((frame["label"] == frame["y"]).mean())
    result["top_accuracy"] = float((made.classes_[rows["p"].argmax(axis=1)] == rows["y"]).mean())
    result["normal_called_fault"] = float((labels[rows["y"] == NORMAL] != NORMAL).mean())
    calibration = made.model_.fitted.calibration
    assert calibration is not None
    result["said"] = calibration.note()
    result["said_by_class"] = replace(calibration, per="class").note()
    by_class = replace(made.model_.fitted, calibration=replace(calibration, per="class"))
    made.model_.fitted, whole = by_class, made.model_.fitted
    result["sets_by_class"] = shares(with_status(made, rows, 0.9)[0])
    made.model_.fitted = whole
    every = predicted(made, unseen, within=False)
    labels = made.model_.fitted.ensemble.detector.decide(every["p"], made.classes_)
    flags, has = np.zeros(len(unseen.y), bool), np.zeros(len(unseen.y), bool)
    flags[every["at"]], has[every["at"]] = labels != NORMAL, True
    result["alarms"] = {
        str(d): detection(flags, unseen.y.astype(str), unseen.runs, NORMAL, MINUTES, d, has) for d in DEBOUNCES
    }
    result["rates"] = rates(made, normal, rng)
    return result


def left_out(fault: str, number: int, runs: pd.DataFrame) -> dict[str, Any]:
    """Leave a fault out of the fit; evaluate all its rows, and unseen runs of the other classes, drawn anew."""
    rng = np.random.default_rng([53, int(fault), number] if number else [53, int(fault)])
    kind = f"fault{int(fault):02d}"
    others = runs[runs["kind"] != kind]
    test = some_runs(others, 5, rng)
    made = Diagnoser(**FIT, seed=int(fault) + 100 * number).fit(table(others[~others["run"].isin(test)]))
    of_fault = runs[(runs["kind"] == kind)]
    rows = predicted(made, table(of_fault))
    mine = rows["y"] == fault
    unknown, _ = with_status(made, {key: value[mine] for key, value in rows.items()}, 0.9)
    known, _ = with_status(made, predicted(made, table(others[others["run"].isin(test)])), 0.9)
    found = shares(unknown)
    found["noticed"] = found["several"] + found["unknown"] + found["undecided"]
    found["called_normal"] = float(((unknown["status"] == "named") & (unknown["label"] == NORMAL)).mean())
    return {"fault": fault, "draw": number, "unknown": found, "known": shares(known)}


def summarised(draws: list[dict[str, Any]], faults: list[dict[str, Any]]) -> dict[str, Any]:
    """Return means over the draws, and what was found of each fault left out."""
    made: dict[str, Any] = {"draws": len(draws), "sets": {}, "rates": {}, "alarms": {}}
    for coverage in map(str, COVERAGES):
        of = [draw["sets"][coverage] for draw in draws]
        made["sets"][coverage] = one = {key: _mean(of, key) for key in of[0] if key != "by_class"}
        covered = [draw["covered"] for draw in of]
        one |= {"covered_lowest": round(min(covered), 4), "covered_highest": round(max(covered), 4)}
        one["by_class"] = {
            label: {key: _mean([draw["by_class"][label] for draw in of], key) for key in of[0]["by_class"][label]}
            for label in CLASSES
        }
    for key in ("verdict_accuracy", "top_accuracy", "normal_called_fault"):
        made[key] = _mean(draws, key)
    made["sets_by_class"] = {key: _mean([d["sets_by_class"] for d in draws], key) for key in draws[0]["sets_by_class"]}
    made |= {key: draws[0][key] for key in ("said", "said_by_class")}
    for rate in map(str, RATES):
        of = [draw["rates"][rate] for draw in draws]
        made["rates"][rate] = {"far": _mean(of, "far")}
        for debounce in map(str, DEBOUNCES):
            pairs = [(one[debounce]["expected"], one[debounce]["found"]) for one in of]
            many = [found / expected for expected, found in pairs if expected >= 60]
            near = [ratio for ratio in many if 1 / 1.5 <= ratio <= 1.5]
            made["rates"][rate][debounce] = {
                "draws_with_60": len(many),
                "within_1.5": round(len(near) / len(many), 4) if many else None,
                "found_over_expected": [round(min(many), 3), round(max(many), 3)] if many else None,
                "expected": round(float(np.mean([expected for expected, _ in pairs])), 1),
                "machine_days": round(of[0][debounce]["days"], 1),
            }
    for debounce in map(str, DEBOUNCES):
        of = [draw["alarms"][debounce] for draw in draws]
        keys = ("fdr", "far", "episode_recall", "delay_min", "delay_min_restricted", "arl0", "arl1")
        made["alarms"][debounce] = one = {key: _mean(of, key) for key in (*keys, "false_alarms_per_day")}
        one["by_fault"] = {
            label: {key: _mean([draw["by_fault"][label] for draw in of], key) for key in (*keys[:5], "chance_recall")}
            for label in CLASSES[1:]
        }
    made["left_out"], known = {}, []
    for label in CLASSES[1:]:
        of = [fault for fault in faults if fault["fault"] == label]
        beside = [
            one["known"] | {"novel_or_abstained": one["known"]["unknown"] + one["known"]["undecided"]} for one in of
        ]
        known.append({key: _mean(beside, key) for key in beside[0]})
        out = {key: _mean([one["unknown"] for one in of], key) for key in of[0]["unknown"]}
        made["left_out"][label] = {"draws": len(of), **out, "known_beside": known[-1]}
    made["known_beside"] = {
        "mean": {key: _mean(known, key) for key in known[0]},
        "fewest_single_right": round(min(one["single_right"] for one in known), 4),
        "most_novel_or_abstained": round(max(one["novel_or_abstained"] for one in known), 4),
    }
    return made


def _mean(of: list[dict[str, Any]], key: str) -> float | None:
    values = [one[key] for one in of if one.get(key) is not None]
    return round(float(np.mean(values)), 4) if values else None


def finished(path: Path, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what a file of finished parts has, none if it was made in another way."""
    before = json.loads(path.read_text()) if path.exists() else {}
    return before["parts"] if before.get("config") == config else []


def main() -> None:
    """Run what is missing, within the minutes given, keep each part, and write results/promises.json at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0, help="start nothing new after so many minutes")
    parser.add_argument("--part", choices=("draws", "unknown"))
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    runs = pool("promises-judge", args.cache)
    history = [pool(name, args.cache).assign(run=lambda f, n=name: n + f["run"]) for name in SETS if "monitor" in name]
    normal = pd.concat(history)
    config = json.loads(json.dumps({"fit": FIT, "sets": {k: str(v) for k, v in SETS.items()}}))
    files = {name: args.cache / f"promises-{name}.json" for name in ("draws", "unknown")}
    parts = {name: finished(file, config) for name, file in files.items()}
    order = [(f, n) for n in range(2) for f in (*TWICE, *CLASSES[1:]) if f in TWICE or not n]
    order = [job for job in dict.fromkeys(order) if job not in [(p["fault"], p["draw"]) for p in parts["unknown"]]]
    jobs: list[tuple[str, Any]] = [("unknown", job) for job in order]
    jobs += [("draws", n) for n in range(DRAWS) if n not in [p["draw"] for p in parts["draws"]]]
    jobs = [job for job in jobs if args.part in (None, job[0])]
    for name, which in jobs:
        if time.monotonic() > end:
            print("Run it again for the rest.")
            return
        parts[name].append(draw(which, runs, normal) if name == "draws" else left_out(*which, runs))
        files[name].write_text(json.dumps({"config": config, "parts": parts[name]}))
        print(name, which, flush=True)
    if len(parts["draws"]) == DRAWS and len(parts["unknown"]) == len(CLASSES) - 1 + len(TWICE):
        write_result("promises", config, table(runs).hash(), summarised(parts["draws"], parts["unknown"]))


if __name__ == "__main__":
    main()
