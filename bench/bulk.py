"""Labels and probabilities of millions of rows: time and memory against rows, Parquet in and Parquet out.

Rows are those of simulated runs drawn with replacement, with a little noise, 52 variables and 21 classes. One
calibrated histogram boosting classifies them through the command line, each size in a process of its own, so that its
highest memory is its own. Sizes in the result file are not run again for the same configuration.

    python bench/bulk.py --cache FOLDER [--sizes 100000,1000000,10000000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from faultwise.tables.reading.benchmarks.samples import sample_path
from recipe import RESULTS, write_result

PIECE = 200_000
VARIABLES = 52


def make_rows(path: Path, rows: int) -> None:
    """Write `rows` rows in row groups of 200,000, in runs of 960."""
    base = pq.read_table(sample_path("tep-sample")).to_pandas()
    names = [name for name in base.columns if name.startswith("XM")][:VARIABLES]
    X, y = base[names].to_numpy(), base["fault"].astype(str).to_numpy()
    # Classes evenly: normal rows outnumber the others in the sample.
    by_class = [np.flatnonzero(y == label) for label in np.unique(y)]
    spread = X.std(axis=0)
    rng = np.random.default_rng(0)
    writer = None
    making = path.with_suffix(".making")
    for start in range(0, rows, PIECE):
        count = min(PIECE, rows - start)
        label = rng.integers(0, len(by_class), count)
        at = np.array(
            [by_class[one][int(u * len(by_class[one]))] for one, u in zip(label, rng.random(count), strict=True)]
        )
        values = X[at] + 0.01 * spread * rng.normal(size=(count, VARIABLES))
        run = (start + np.arange(count)) // 960
        columns = {"run": np.char.add("r", run.astype(str)), **dict(zip(names, values.T, strict=True)), "fault": y[at]}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(making, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    os.replace(making, path)


def run(*argv: str) -> tuple[float, float, Any]:
    """Run the command line in a process of its own; return seconds, highest memory in MB, and what it printed."""
    code = "import sys; from faultwise.cli.main import main; sys.exit(main(sys.argv[1:]))"
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", code, *argv, "--json"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    out = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"faultwise {' '.join(argv)} ended with {status}")
    return time.monotonic() - started, used.ru_maxrss / 1024, json.loads(out)


def main() -> None:
    """Fit once, diagnose each size, write results/bulk.json and the chart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sizes", default="100000,300000,1000000,3000000,10000000")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    folder = args.cache / "bulk-run"
    training = args.cache / "bulk-train.parquet"
    if not training.exists():
        make_rows(training, 1_000_000)
    config = {"variables": VARIABLES, "expert": "hist-gradient-boosting", "rows_per_run": 960}
    before = json.loads((RESULTS / "bulk.json").read_text()) if (RESULTS / "bulk.json").exists() else {}
    made = before.get("sizes", []) if before.get("config") == config else []
    fit = before.get("fit", {}) if made else {}
    if not (folder / "manifest.json").exists() or not fit:
        roles = ["--target", "fault", "--group", "run", "--split", "row"]
        experts = ["--experts", "hist-gradient-boosting"]
        seconds, memory, record = run("fit", str(training), "--out", str(folder), *roles, *experts)
        verdict = record["validation"]["experts"]["hist-gradient-boosting"]
        fit = {"seconds": round(seconds, 1), "memory_mb": round(memory), "mean_recall": verdict["mean_recall"]}
        print("fit", fit, flush=True)
    for size in map(int, args.sizes.split(",")):
        if size in [one["rows"] for one in made]:
            continue
        source, out = args.cache / f"bulk-{size}.parquet", args.cache / f"bulk-{size}-out.parquet"
        if not source.exists():
            make_rows(source, size)
        seconds, memory, record = run("diagnose", str(folder), str(source), "--out", str(out))
        row_seconds, row_memory, _ = run("diagnose", str(folder), str(source), "--row", str(size // 2))
        found = pq.ParquetFile(out).metadata
        assert (record["judged"], found.num_rows, found.num_columns) == (size, size, 5 + 21)
        made.append(
            {
                "rows": size,
                "seconds": round(seconds, 1),
                "rows_per_s": round(size / seconds),
                "memory_mb": round(memory),
                "findings_of_one_row_s": round(row_seconds, 1),
                "findings_memory_mb": round(row_memory),
                "source_mb": round(source.stat().st_size / 2**20),
            }
        )
        made.sort(key=lambda one: one["rows"])
        write_result("bulk", config, "simulated", {"fit": fit, "sizes": made, "own_memory_mb": round(_own())})
        print(made[-1], flush=True)
        if size > 1_000_000:
            source.unlink()
    chart(made)


def _own() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def chart(made: list[dict[str, Any]]) -> None:
    """Draw rows per second and highest memory against rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 3), layout="constrained")
    axes = figure.subplots(1, 2)
    rows = [one["rows"] for one in made]
    for ax, key, words in zip(
        axes, ("rows_per_s", "memory_mb"), ("rows per second", "highest memory, MB"), strict=True
    ):
        ax.plot(rows, [one[key] for one in made], "o-", color="#1b2026")
        ax.set_xscale("log")
        ax.set_ylim(0)
        ax.set_xlabel("rows (52 variables, 21 classes)")
        ax.set_title(words, fontsize=10, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(RESULTS / "bulk.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
