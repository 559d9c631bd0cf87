"""Promises from few runs: is the false-alarm rate of new runs within the interval that a fit states?

Simulated runs, each with normal and then faulty rows: six variables, autocorrelated (a first-order process), with an
offset of each run. Scenarios: faults that are easy and hard to tell from normal, strong variation from run to run, runs
of very unequal length with heavy-tailed offsets, long runs that are normal throughout beside short normal pieces before
a fault, all with logistic regression; and boosted trees beside it. A fit on
1, 6, 12 or 25 runs asks for 2% false alarms; 200 new normal runs then give the rate that it has. A repetition counts as
kept when that rate lies within the stated interval, or when nothing is promised and the number of runs that would do is
given. The coverage of fault sets is measured on new runs with faults.

Finished repetitions are kept in `few-runs.jsonl` in the cache and are not run again; `--part 0/2` and `--part 1/2` let
two processes share the work. With `--write` the result file is made of what is finished.

    python bench/few_runs.py --cache FOLDER [--minutes 18] [--repetitions 100] [--part I/N] [--write]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise import Diagnoser
from recipe import write_result

RUNS = (1, 6, 12, 25)
BOTH = ("logistic-regression", "hist-gradient-boosting")
SCENARIOS: dict[str, dict[str, Any]] = {
    "easy": {"shift": 4.0, "offset": 0.3, "correlation": 0.8},
    "hard": {"shift": 1.5, "offset": 0.5, "correlation": 0.9},
    "strong variation": {"shift": 3.0, "offset": 1.2, "correlation": 0.9},
    "unequal runs": {"shift": 2.5, "offset": 0.6, "correlation": 0.9, "lengths": 0.8, "freedom": 4.0},
    "boosted trees": {"shift": 3.0, "offset": 0.4, "correlation": 0.8, "experts": BOTH},
    "long normal runs": {"shift": 2.5, "offset": 0.6, "correlation": 0.9, "pieces": 20, "sound": 0.25},
}
NORMAL_ROWS, FAULTY_ROWS, NEW_RUNS, NEW_FAULTY = 100, 50, 200, 20
RATE, COLUMNS = 0.02, [f"x{number}" for number in range(1, 7)]
FIT: dict[str, Any] = {
    "experts": ("logistic-regression",),
    "window": 1,
    "normal": "normal",
    "false_alarm_rate": RATE,
}


def simulated(scenario: str, runs: int, rng: np.random.Generator, faulty: bool = True) -> pd.DataFrame:
    """Return the rows of so many runs; those that are faulty end with rows of fault 1 or 2 in turn."""
    how = SCENARIOS[scenario]
    lengths = np.exp(rng.normal(0, how.get("lengths", 0.0), runs)) if "lengths" in how else np.ones(runs)
    normal, fault = (np.maximum(15, (rows * lengths).astype(int)) for rows in (NORMAL_ROWS, FAULTY_ROWS))
    if "pieces" in how:  # a share of the runs is normal throughout, and long; the others have a short normal piece
        sound = np.arange(runs) % round(1 / how["sound"]) == round(1 / how["sound"]) - 1
        normal, fault = np.where(sound, 3 * NORMAL_ROWS, how["pieces"]), np.where(sound, 0, fault)
    rows = normal + fault if faulty else normal
    freedom = how.get("freedom")
    offset = rng.normal(size=(runs, 6))
    if freedom is not None:
        offset = rng.standard_t(freedom, (runs, 6)) / np.sqrt(freedom / (freedom - 2))
    noise = rng.normal(size=(rows.max(), runs, 6))
    noise[1:] *= np.sqrt(1 - how["correlation"] ** 2)
    for row in range(1, len(noise)):
        noise[row] += how["correlation"] * noise[row - 1]
    values = (noise + how["offset"] * offset).swapaxes(0, 1)
    at, run = np.arange(rows.max()), np.arange(runs)[:, None]
    ill = at >= normal[:, None]
    values[..., 0] += how["shift"] * (ill & (run % 2 == 0))
    values[..., 1] += how["shift"] * (ill & (run % 2 == 1))
    values[..., 2] += how["shift"] / 2 * ill
    labels = np.where(ill, np.where(run % 2 == 0, "fault 1", "fault 2"), "normal")
    there = at < rows[:, None]
    frame = pd.DataFrame(values[there], columns=COLUMNS)
    return frame.assign(fault=labels[there], run=np.char.add("run ", np.repeat(np.arange(runs), rows).astype(str)))


def repetition(scenario: str, runs: int, number: int) -> dict[str, Any]:
    """Fit once and compare what is promised with what new runs show."""
    rng = np.random.default_rng([64, list(SCENARIOS).index(scenario), runs, number])
    known = simulated(scenario, max(runs, 1), rng)
    if runs == 1:  # one run has one of the faults: let it have the other, too
        other = simulated(scenario, 2, rng).query("run == 'run 1' and fault != 'normal'").assign(run="run 0")
        known = pd.concat([known, other], ignore_index=True)
    new = simulated(scenario, NEW_RUNS, rng, faulty=False)
    own = {"experts": SCENARIOS[scenario].get("experts", FIT["experts"]), "split": "block" if runs == 1 else "auto"}
    made = Diagnoser(**FIT | own, seed=number)
    made.fit(known[COLUMNS], known["fault"], known["run"])
    fitted = made.model_.fitted
    interval, calibration = fitted.ensemble.detector.interval, fitted.calibration
    found = float((made.predict(new[COLUMNS]) != "normal").mean())
    said = [note for note in fitted.notes if "promised" in note or "false alarm" in note]
    line = {"scenario": scenario, "runs": runs, "number": number, "interval": interval, "rate": found, "said": said}
    line["missing_given"] = interval is None and any("runs" in note and "need" in note for note in said)
    if calibration is not None:
        tests = simulated(scenario, NEW_FAULTY, rng)
        p = fitted.ensemble.classical(fitted.encoder.transform(tests[COLUMNS], np.arange(len(tests))).frame)
        labels = fitted.ensemble.detector.decide(p, fitted.ensemble.classes)
        members = calibration.members(p, fitted.ensemble.classes, labels)
        truth = np.searchsorted(fitted.ensemble.classes, tests["fault"].to_numpy(str))
        line["promised_coverage"] = calibration.promised
        line["covered"] = float(members[np.arange(len(truth)), truth].mean())
    return line


def summarised(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per scenario and number of runs."""
    made = []
    for scenario, runs in product(SCENARIOS, RUNS):
        of = [line for line in lines if line["scenario"] == scenario and line["runs"] == runs]
        if not of:
            continue
        promised = [line for line in of if line["interval"] is not None]
        within = [line["interval"][0] <= line["rate"] <= line["interval"][1] for line in promised]
        below = [line["rate"] <= line["interval"][1] for line in promised]
        missing = sum(line["missing_given"] for line in of)
        row: dict[str, Any] = {"scenario": scenario, "runs": runs, "repetitions": len(of), "requested": RATE}
        row["kept"] = round((sum(within) + missing) / len(of), 3)
        row["promised"] = round(len(promised) / len(of), 3)
        row["within_when_promised"] = round(float(np.mean(within)), 3) if within else None
        row["below_upper_end"] = round(float(np.mean(below)), 3) if below else None
        ends = np.array([line["interval"] for line in promised])
        row["interval"] = np.median(ends, axis=0).round(4).tolist() if len(ends) else None
        row["rate_on_new_runs"] = round(float(np.mean([line["rate"] for line in of])), 4)
        covered = [line["covered"] for line in of if "covered" in line]
        row["coverage"] = round(float(np.mean(covered)), 4) if covered else None
        made.append(row)
    return made


def main() -> None:
    """Run what is missing within the minutes given, print the table, and write results/few_runs.json on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0, help="start nothing new after so many minutes")
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--part", default="0/1", help="I/N: every N-th repetition from I on")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    end, (part, parts) = time.monotonic() + 60 * args.minutes, map(int, args.part.split("/"))
    args.cache.mkdir(parents=True, exist_ok=True)
    file = args.cache / "few-runs.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(line["scenario"], line["runs"], line["number"]) for line in lines}
    order = product(range(part, args.repetitions, parts), SCENARIOS, RUNS)
    for number, scenario, runs in sorted(order, key=lambda one: "experts" in SCENARIOS[one[1]]):
        if (scenario, runs, number) in done or time.monotonic() > end:
            continue
        with file.open("a") as kept:
            kept.write(json.dumps(repetition(scenario, runs, number)) + "\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    table = summarised(lines)
    print(pd.DataFrame(table).to_string(index=False))
    if args.write:
        config = {"fit": FIT, "scenarios": SCENARIOS, "rows": [NORMAL_ROWS, FAULTY_ROWS], "new_runs": NEW_RUNS}
        recipe = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
        write_result("few_runs", json.loads(json.dumps(config)), recipe, {"table": table})


if __name__ == "__main__":
    main()
