"""How long the default call takes: a fit of a large and of a small table, a thousand rows, and one row.

Everything runs through `Diagnoser` with the names of the columns and nothing else, in this process; simulated rows with
fixed seeds. A fit is timed once, as people wait for it once; predictions are medians of several calls. How busy the
machine was is written beside the figures.

    python bench/fit_speed.py [--no-lm] [--out NAME]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import pandas as pd

from faultwise.diagnoser import Diagnoser
from recipe import write_result

MOST = {"fit_large_s": 60.0, "fit_small_s": 5.0, "predict_1000_s": 1.0, "predict_one_s": 0.05}


def rows(count: int, columns: int, runs: int, classes: int, seed: int = 0) -> pd.DataFrame:
    """Return runs of equal length, each normal (`0`) or with one fault that shifts a fifth of the columns."""
    rng = np.random.default_rng(seed)
    run = np.repeat(np.arange(runs), count // runs)
    shift = rng.normal(0, 1.5, (classes, columns)) * (rng.random((classes, columns)) < 0.2)
    shift[0] = 0
    label = run % classes
    values = rng.normal(size=(len(run), columns)) + shift[label] + 0.3 * rng.normal(size=(runs, columns))[run]
    frame = pd.DataFrame(values, columns=[f"sensor{number:02d}" for number in range(1, columns + 1)])
    return frame.assign(run=run, second=pd.Series(run).groupby(run).cumcount().to_numpy(), fault=label.astype(str))


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """Return the median of how long a call takes."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def measured(settings: dict[str, Any], large: pd.DataFrame, small: pd.DataFrame) -> dict[str, float]:
    """Return seconds by name, those of MOST."""
    names = {"target": "fault", "group": "run", "time": "second"}
    made, diagnosers = {}, []
    for name, frame in (("fit_small_s", small), ("fit_large_s", large)):
        diagnosers.append(Diagnoser(**settings))
        made[name] = seconds(lambda frame=frame: diagnosers[-1].fit(frame, **names))  # type: ignore[misc]
        print(f"{name} {made[name]:.2f}", flush=True)
    X, runs = large.drop(columns="fault").iloc[:1000], large["run"].iloc[:1000]
    window = diagnosers[-1].model_.fitted.encoder.window
    # One row at a time: the rows that its window needs, and the one that is asked for.
    one, its = X.iloc[:window], runs.iloc[:window]
    diagnosers[-1].predict(one, its)  # the first call loads what is loaded when it is needed
    made["predict_1000_s"] = seconds(lambda: diagnosers[-1].predict(X, runs), 5)
    made["predict_one_s"] = seconds(lambda: diagnosers[-1].predict(one, its), 20)
    print({name: round(value, 4) for name, value in made.items()}, flush=True)
    return {**{name: round(made[name], 4) for name in MOST}, "window": window}


def main() -> None:
    """Measure, print and write results/fit_speed.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-lm", action="store_true", help="leave the language model out")
    parser.add_argument("--out", default="fit_speed", help="name of the result file")
    args = parser.parse_args()
    settings: dict[str, Any] = {"lm": False} if args.no_lm else {}
    large, small = rows(30_000, 50, 60, 6), rows(400, 3, 16, 2)
    before = os.getloadavg()[0]
    made = measured(settings, large, small)
    missed = [name for name, most in MOST.items() if made[name] > most]
    config = {
        "settings": settings,
        "large": "30,000 rows x 50 columns, 60 runs, 6 classes",
        "small": "400 rows x 3 columns, 16 runs, 2 classes",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    content = sha256(pd.util.hash_pandas_object(large).to_numpy().tobytes()).hexdigest()
    load = {"before": round(before, 1), "after": round(os.getloadavg()[0], 1)}
    figures = {"seconds": made, "most": MOST, "missed": missed, "load_of_the_machine": load}
    print(write_result(args.out, config, content, figures))
    print("Missed: " + ", ".join(missed) if missed else "All are within their limits.")


if __name__ == "__main__":
    main()
