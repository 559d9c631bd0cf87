"""Sensor faults put into simulated Tennessee Eastman runs, with and without machine faults.

The check learns from 420 runs of 8 h (faults 0 to 20, 20 runs each) and is evaluated on 200 normal and 200 faulty runs
(10 of each fault, from before its onset on) of other seeds: clean, and with one fault of one measured sensor put in:
frozen (the value is held to the end), drifting (0.5% of the normal range a sample, either way; a held analyser value
drifts when renewed), spiking (3 single samples, 1 to 2 normal ranges away), swapped (with another sensor, the whole
run). Freezing and drifting start at random between samples 17 and 120 of 160. Sensors are XMEAS(1) to XMEAS(41), drawn
at random; none is left out, and swapped pairs are any two. The normal range is the central 99% of normal rows.

"Named" means that the first finding of the check names the right sensor, for swapped ones both. Simulated runs are kept
in --cache; simulating takes some 10 minutes on two cores.

    python bench/sensors.py --cache FOLDER
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise.tables.checks.sensors.sensor_check import SensorCheck
from faultwise.tables.reading.benchmarks.simulate import VARIABLES, simulate
from recipe import write_result

SETS: dict[str, dict[str, Any]] = {
    "dev": {"faults": range(21), "runs": 20, "seed": 51},
    "judge": {"faults": range(21), "runs": 20, "seed": 52},
    "normal": {"faults": [0], "runs": 200, "seed": 53},
}
HOURS, ROWS = 8.0, 160
KINDS = ("frozen", "drifting", "spiking", "swapped")
SENSORS = [f"XMEAS({i})" for i in range(1, 42)]
STARTS = (17, 120)  # first sample of freezing and drifting, counted from 1
DRIFT, SPIKES, FAR = 0.005, 3, (1.0, 2.0)  # of the normal range


def runs_of(name: str, cache: Path) -> Path:
    """Return the file with a set of runs, simulating it if it is not there."""
    path = cache / f"promises-{name}.parquet"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        simulate(hours=HOURS, progress=True, **SETS[name]).to_parquet(path)
    return path


def stretches(frame: pd.DataFrame, faults: range, each: int) -> list[pd.DataFrame]:
    """Return the first `each` whole runs of each fault, as tables of the process variables."""
    found = []
    for fault in faults:
        mine = frame[frame["run"].str.startswith(f"fault{fault:02d}-")]
        whole = [run for _, run in mine.groupby("run", sort=False) if len(run) == ROWS]
        found += [run[list(VARIABLES)].reset_index(drop=True) for run in whole[:each]]
    return found


def broken(clean: pd.DataFrame, kind: str, width: pd.Series, rng: np.random.Generator) -> tuple[pd.DataFrame, set[str]]:
    """Return a run with one fault of a sensor put in, and the sensors at fault."""
    made = clean.copy()
    sensor, other = rng.choice(SENSORS, size=2, replace=False)
    values = clean[sensor].to_numpy()
    start = int(rng.integers(STARTS[0], STARTS[1] + 1)) - 1
    if kind == "frozen":
        made.loc[start:, sensor] = values[start]
    elif kind == "drifting":
        renewed = np.maximum.accumulate(np.where(np.r_[True, np.diff(values) != 0], np.arange(ROWS), 0))
        steps = np.maximum(renewed - start + 1, 0)
        made[sensor] = values + rng.choice([-1, 1]) * DRIFT * width[sensor] * steps
    elif kind == "spiking":
        while True:
            at = np.sort(rng.choice(np.arange(1, ROWS - 1), size=SPIKES, replace=False))
            if np.diff(at).min() > 2:
                break
        far = rng.choice([-1, 1], size=SPIKES) * rng.uniform(*FAR, size=SPIKES)
        made.loc[at, sensor] = values[at] + far * width[sensor]
    else:
        made[sensor], made[other] = clean[other], clean[sensor]
        return made, {sensor, other}
    return made, {sensor}


def evaluated(check: SensorCheck, sets: dict[str, list[pd.DataFrame]], width: pd.Series, seed: int) -> dict[str, Any]:
    """Return the shares by kind and by normal or faulty plant, and those of clean runs with a finding."""
    rng = np.random.default_rng(seed)
    lines = []
    work = [(kind, plant, clean) for kind in ("clean", *KINDS) for plant, runs in sets.items() for clean in runs]
    for kind, plant, clean in tqdm(work, desc="judge", unit="run", file=sys.stderr):
        table, faulty_sensors = (clean, set()) if kind == "clean" else broken(clean, kind, width, rng)
        faults = check.check(table, np.zeros(ROWS))
        named = [{fault.variable, fault.other} - {None} for fault in faults]
        right = bool(named) and named[0] == faulty_sensors
        lines.append(
            {
                "kind": kind,
                "plant": plant,
                "named": right,
                "kind_named": right and faults[0].kind == kind,
                "accused": bool(faults),
                "others_accused": bool(faults) and bool(set().union(*named) - faulty_sensors),
                "as": faults[0].kind if faults else "",
                "sensors": sorted(map(str, faulty_sensors)),
            }
        )
    table = pd.DataFrame(lines)
    clean, put_in = table[table["kind"] == "clean"], table[table["kind"] != "clean"]

    def shares(rows: pd.DataFrame) -> dict[str, Any]:
        columns = ("named", "kind_named", "others_accused")
        return {"runs": len(rows), **{name: round(float(rows[name].mean()), 4) for name in columns}}

    def accused(rows: pd.DataFrame) -> dict[str, Any]:
        return {"runs": len(rows), "accused": round(float(rows["accused"].mean()), 4)}

    by_kind = {
        kind: {"all": shares(rows), **{str(plant): shares(part) for plant, part in rows.groupby("plant")}}
        for kind, rows in put_in.groupby("kind")
    }
    single = put_in[put_in["kind"] == "drifting"].assign(sensor=lambda rows: rows["sensors"].str[0])
    return {
        "injected": {"all": shares(put_in), **{str(plant): shares(part) for plant, part in put_in.groupby("plant")}},
        "by_kind": by_kind,
        "clean": {
            "all": accused(clean),
            **{str(plant): accused(part) for plant, part in clean.groupby("plant")},
            "as": clean.loc[clean["accused"], "as"].value_counts().to_dict(),
        },
        "drifting_by_sensor": {
            str(name): round(float(part["named"].mean()), 3) for name, part in single.groupby("sensor")
        },
    }


def main() -> None:
    """Fit, evaluate, print and write results/sensors.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument(
        "--choose", action="store_true", help="fit and evaluate within the training runs; writes nothing"
    )
    args = parser.parse_args()
    names = ("dev",) if args.choose else tuple(SETS)
    files = {name: runs_of(name, args.cache) for name in names}
    pool = pd.read_parquet(files["dev"])
    if args.choose:  # runs 1 to 14 of each fault to learn from; 15 to 20 to be evaluated
        held = pool["run"].str[-2:].astype(int) > 14
        judge, pool = pool[held], pool[~held]
        sets = {"normal": stretches(judge, range(1), 6), "faulty": stretches(judge, range(1, 21), 6)}
    else:
        sets = {
            "normal": stretches(pd.read_parquet(files["normal"]), range(1), 200),
            "faulty": stretches(pd.read_parquet(files["judge"]), range(1, 21), 10),
        }
    X, normal = pool[list(VARIABLES)], (pool["fault"] == 0).to_numpy()
    width = X[normal].quantile(0.995) - X[normal].quantile(0.005)
    started = time.monotonic()
    check = SensorCheck().fit(X, pool["run"].to_numpy(), normal)
    seconds = time.monotonic() - started
    one = sets["faulty"][0]
    started = time.monotonic()
    for _ in range(20):
        check.check(one, np.zeros(ROWS))
    each = (time.monotonic() - started) / 20
    figures = evaluated(check, sets, width, seed=7)
    for name, part in [*figures["by_kind"].items(), ("all", figures["injected"])]:
        shares_of = ", ".join(f"{plant} {f['named']:.1%} (kind {f['kind_named']:.1%})" for plant, f in part.items())
        print(f"{name}: named {shares_of}")
    clean = figures["clean"]
    shares_of = ", ".join(f"{plant} {clean[plant]['accused']:.1%}" for plant in ("all", *sets))
    print(f"Clean runs with a finding: {shares_of}; as {clean['as']}")
    print(f"Fit of {len(X):,} rows {seconds:.1f} s, check of one run {each * 1000:.1f} ms")
    if args.choose:
        print(figures["drifting_by_sensor"])
        return
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files.values())).hexdigest()
    config = {"hours": HOURS, "starts": STARTS, "drift": DRIFT, "spikes": SPIKES, "far": FAR, "seed": 7}
    config["sets"] = {name: str(given) for name, given in SETS.items()}
    speed = {"fit_rows": len(X), "fit_seconds": round(seconds, 1), "check_ms": round(each * 1000, 1)}
    write_result("sensors", config, digest, {**figures, "speed": speed})


if __name__ == "__main__":
    main()
