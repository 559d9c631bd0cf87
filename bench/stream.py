"""Stream and batch: equal verdicts on 20 runs fed line by line, and memory over days of 3-minute data.

A file grows by one line at a time and is followed; what the follower writes is compared with what a
batch over the whole file gives. Then one day (480 lines) and ten days more are followed, and the process's memory is
read off.

    python bench/stream.py
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise import Diagnoser
from faultwise.tables.follow import Follower
from faultwise.tables.reading.benchmarks.samples import companion_path, sample_path
from faultwise.tables.reading.readers import read_source
from recipe import write_result

EXPERTS = ("gradient-boosting", "logistic-regression")
PER_DAY = 480


def resident() -> float:
    """Return the process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def followed(run: Diagnoser, rows: pd.DataFrame, folder: Path, watch: bool = False) -> dict[str, Any]:
    """Write `rows` line by line into a file that is followed; return lines, seconds and memory by day."""
    source, out = folder / "log.csv", folder / "rows.csv"
    head, *lines = rows.to_csv(index=False).splitlines(keepends=True)
    source.write_text(head)
    follower = Follower(run.model_, source, out=out, poll=0.0, idle=0.0)
    memory: list[float] = []
    started = time.monotonic()
    with source.open("a") as file:
        for number, line in enumerate(lines, start=1):
            file.write(line)
            file.flush()
            for _ in follower:
                pass
            if (watch and number in (PER_DAY // 8, PER_DAY)) or number % PER_DAY == 0:
                memory.append(round(resident(), 2))
    seconds = time.monotonic() - started
    return {"out": out, "rows_per_s": round(len(lines) / seconds, 1), "memory_mb": memory}


def main() -> None:
    """Fit on part of the shipped sample, follow the rest, print and write results/stream.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--days", type=int, default=1)
    args = parser.parse_args()
    about = companion_path("tep-sample")
    table = read_source(sample_path("tep-sample"), target="fault", group="run", time="hour", about=about)
    number = np.array([int(run[-2:]) for run in table.frame["run"]])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = Diagnoser(window=20, experts=EXPERTS).fit(table.rows(number < 5))
        run = Diagnoser.load(made.save(folder / "run"))
        rest = table.rows(number >= 5).frame.drop(columns="fault")
        chosen = rest["run"].drop_duplicates().iloc[: args.runs]
        rows = rest[rest["run"].isin(chosen)]
        result = followed(run, rows, folder)
        rows.to_csv(folder / "whole.csv", index=False)
        batch = run.model_.label_rows(run.model_.read(folder / "whole.csv"))
        stream = pd.read_csv(result["out"], dtype={"label": str, "run": str})
        equal = bool((stream["label"].to_numpy() == batch["label"].to_numpy()).all()) and len(stream) == len(batch)
        apart = float(np.abs(stream["fault_score"].to_numpy() - batch["fault_score"].to_numpy()).max())
        (folder / "day").mkdir()
        long = pd.concat([rest.assign(run="line")] * 9, ignore_index=True).iloc[: args.days * PER_DAY]
        day = followed(run, long, folder / "day", watch=True)
        memory = day["memory_mb"]
    figures = {
        "runs": len(chosen),
        "rows": len(batch),
        "equal_labels": equal,
        "largest_difference_of_scores": apart,
        "rows_per_s": result["rows_per_s"],
        "days": args.days,
        "memory_mb_after_3_h_then_each_day": memory,
        "growth_in_the_first_day": round(memory[1] / memory[0] - 1, 4),
        "growth_over_all_days": round(memory[-1] / memory[0] - 1, 4),
    }
    print(figures)
    write_result("stream", {"experts": EXPERTS, "window": 20, "runs": args.runs}, table.hash(), figures)


if __name__ == "__main__":
    main()
