"""How long a fit takes beside busy processes: 40 images, and a table without the language model.

`python bench/threads.py` fits alone and beside one and as many busy processes as there are cores, with threads that
wait asleep (as the commands set it) and, for the images, spinning (the libraries' own default), and writes
bench/results/threads.json after each fit. Fits that the file holds are not run again. Give it a machine to itself: the
load before each fit is in the result.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from faultwise.contracts.threads import cores
from faultwise.tables.reading.benchmarks.samples import sample_path
from recipe import RESULTS, read_result, write_result

WAITING = {"asleep": {}, "spinning": {"OMP_WAIT_POLICY": "ACTIVE", "OPENBLAS_THREAD_TIMEOUT": "26"}}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="smaller fits, for a look; no result is written")
    small = parser.parse_args().small
    there = not small and (RESULTS / "threads.json").exists()
    rows = list[dict[str, Any]](read_result("threads")["rows"] if there else [])
    with tempfile.TemporaryDirectory() as folder:
        for what, command in commands(Path(folder), small).items():
            for busy, waiting in product(sorted({0, 1, cores()}), WAITING if what == "images" else ["asleep"]):
                named = {"fit": what, "busy": busy, "waiting": waiting}
                if any(named.items() <= row.items() for row in rows):
                    continue
                with busy_processes(busy):
                    row = timed([*command, "--out", f"{folder}/run"], WAITING[waiting])
                alone = {**named, "busy": 0}
                first = next((one["wall_s"] for one in rows if alone.items() <= one.items()), row["wall_s"])
                rows.append({**named, **row, "ratio": round(row["wall_s"] / first, 2)})
                print(rows[-1], flush=True)
                if not small:
                    write_result("threads", {"cores": cores()}, "simulated", {"rows": rows})


def commands(folder: Path, small: bool) -> dict[str, list[str]]:
    """Return the commands by what they fit."""
    images = folder / "images"
    images.mkdir()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        lines = rng.normal(120, 9, (1, 256, 1)) + rng.normal(0, 3, (256, 256, 1))
        Pillow.fromarray(np.clip(lines, 0, 255).astype(np.uint8).repeat(3, axis=2)).save(images / f"{seed}.png")
    fewer = ["--set", "side=128", "--set", "simulated=4", "--set", "bank=2000"] if small else []
    cheap = ["--experts", "logistic-regression,hist-gradient-boosting,svm"] if small else []
    table = ["--target", "fault", "--group", "run", "--time", "hour", "--no-lm", *cheap]
    return {"images": ["fit", str(images), *fewer], "table": ["fit", str(sample_path("tep-sample")), *table]}


def timed(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command; return its wall and processor time, and the load before it. Raises where it fails."""
    load, before, started = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "OPENBLAS_", "MKL_"))}
    ran = subprocess.run(
        [sys.executable, "-m", "faultwise.cli.main", *command],
        env={**clean, **environment},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise SystemExit(ran.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(time.monotonic() - started, 1), "cpu_s": round(spent, 1), "load_before": round(load, 2)}


@contextmanager
def busy_processes(number: int) -> Iterator[None]:
    """Keep processes busy meanwhile."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
