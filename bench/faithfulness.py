"""Do the cited findings carry the verdicts? Deletion and sufficiency on simulated Tennessee Eastman runs.

Faults 0 to 20, 20 runs each of 8 h at one sample in 3 min, windows of 20 samples. The fit takes the first 14 runs of
each fault of one simulation; everything was chosen on its other 6 runs (`--on dev`, nothing is written). Another
simulation is judged for the figures: 200 right verdicts, drawn evenly over faults and runs, five cited variables,
20 draws of five others. Simulated runs and the fit are kept in --cache; simulating takes some 10 minutes on two cores.

    python bench/faithfulness.py --cache FOLDER
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np

from faultwise import Diagnoser
from faultwise.cli.out import print_table
from faultwise.contracts.errors import RunFolderError
from faultwise.report.pages.faithfulness import faithfulness_figure, summary
from faultwise.tables.evaluate.faithfulness import faithfulness
from faultwise.tables.reading.benchmarks.simulate import simulate
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Table
from recipe import RESULTS, write_result

SEEDS = {"dev": 51, "judge": 52}
RUNS, FITTED_RUNS, HOURS = 20, 14, 8.0
SETTINGS = {
    "experts": ("extra-trees", "hist-gradient-boosting", "logistic-regression"),
    "window": 20,
    "most_rows": 20_000,
}


def pool(name: str, cache: Path) -> Path:
    """Return the file with a simulation, making it if it is not there."""
    path = cache / f"promises-{name}.parquet"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        simulate(range(21), RUNS, HOURS, seed=SEEDS[name], progress=True).to_parquet(path)
    return path


def parts(path: Path) -> tuple[Table, Table]:
    """Return the runs of the fit and those to choose on, by their number."""
    table = read_source(path, target="fault", group="run", time="hour")
    number = np.array([int(run[-2:]) for run in table.runs])
    return table.rows(number <= FITTED_RUNS), table.rows(number > FITTED_RUNS)


def fitted(training: Table, cache: Path) -> Diagnoser:
    """Return the fit, from the cache where it is there, rests on these rows and can still be read."""
    folder = cache / "faithfulness-run"
    with contextlib.suppress(RunFolderError):
        made = Diagnoser.load(folder)
        if made.model_.manifest["data_hash"] == training.hash():
            return made
    made = Diagnoser(**SETTINGS, progress=True).fit(training)
    made.save(folder)
    return made


def main() -> None:
    """Fit, test, print, and write results/faithfulness.json with its chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--on", choices=("dev", "judge"), default="judge")
    parser.add_argument("--verdicts", type=int, default=200)
    args = parser.parse_args()
    training, chosen_on = parts(pool("dev", args.cache))
    diagnoser = fitted(training, args.cache)
    table = chosen_on
    if args.on == "judge":
        table = read_source(pool("judge", args.cache), target="fault", group="run", time="hour")
    started = time.monotonic()
    result = faithfulness(diagnoser.model_.fitted, table, args.verdicts, progress=sys.stderr.isatty())
    seconds = time.monotonic() - started
    print_table([{"label": label, **line} for label, line in result["by_label"].items()])
    print(summary(result))
    if args.on == "dev":
        return
    digest = hashlib.sha256(b"".join(pool(name, args.cache).read_bytes() for name in SEEDS)).hexdigest()
    config = {**SETTINGS, "seeds": SEEDS, "runs": RUNS, "fitted_runs": FITTED_RUNS, "hours": HOURS, **result["config"]}
    keys = ("right_verdicts", "verdicts", "runs", "probability", "deletion", "sufficiency", "by_label", "notes")
    figures = {"seconds": round(seconds, 1), **{key: result[key] for key in keys}}
    print(write_result("faithfulness", config, digest, figures))
    with matplotlib.rc_context({"svg.hashsalt": "faultwise"}):
        faithfulness_figure(result).savefig(RESULTS / "faithfulness.svg", facecolor="white", metadata={"Date": None})


if __name__ == "__main__":
    main()
