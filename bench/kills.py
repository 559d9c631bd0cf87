"""Kill fit and diagnose at random moments: what is loaded afterwards is the old state or the new, never a half.

Each round starts a command, kills it (SIGKILL) after a random time, and looks: a run folder that can be loaded must be
one of the two that a finished fit leaves; an output file must be absent, the old one, or complete and equal to the
reference. After a killed `diagnose --out` the same command is run again and must give the reference. Half of the kills
fall into the last fifth of the command's time, where files are written. Rounds in the result file are not run again.

    python bench/kills.py [--kills 100] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise import Diagnoser
from faultwise.contracts.errors import RunFolderError
from faultwise.runs.folders import read_manifest
from faultwise.tables.reading.benchmarks.samples import sample_path
from recipe import RESULTS, write_result

FLAGS = ["--target", "fault", "--group", "run", "--experts", "logistic-regression", "--set", "most_rows=3000"]
CODE = "import sys; from faultwise.cli.main import main; sys.exit(main(sys.argv[1:]))"


def start(*argv: object) -> subprocess.Popen[bytes]:
    """Start a command in a process of its own, quietly."""
    command = [sys.executable, "-c", CODE, *map(str, argv)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def timed(*argv: object) -> float:
    """Run a command to its end and return its seconds."""
    began = time.monotonic()
    if start(*argv).wait():
        sys.exit(f"faultwise {argv} failed")
    return time.monotonic() - began


def moment(rng: np.random.Generator, seconds: float) -> float:
    """Return when to kill: anywhere, or in the last fifth, where files are written."""
    return float(rng.uniform(0.8, 1.05) * seconds if rng.random() < 0.5 else rng.uniform(0, 1.05) * seconds)


def kill_fit(base: Path, rng: np.random.Generator, seconds: float) -> dict[str, Any]:
    """Refit an existing run with another seed (or fit a new one), kill it, and see what can be loaded."""
    folder = base / "victim"
    anew = bool(rng.random() < 0.3)
    if anew:
        for left in base.glob(".victim*"):
            shutil.rmtree(left)
        shutil.rmtree(folder, ignore_errors=True)
    before = None if anew else seed_of(folder)
    seed = int(rng.integers(1, 10**6))
    process = start("fit", base / "train.parquet", "--out", folder, *FLAGS, "--seed", seed)
    after = moment(rng, seconds)
    time.sleep(after)
    process.kill()
    process.wait()
    found = seed_of(folder)
    fine = found in (before, seed)
    return {"what": "fit", "after_s": round(after, 3), "left": "new" if found == seed else "old", "fine": fine}


def seed_of(folder: Path) -> int | None:
    """Return the seed of the run that loads from a folder and judges rows, None where there is none."""
    try:
        made = Diagnoser.load(folder)
    except RunFolderError as error:
        if "There is no run folder" in str(error):
            return None
        return -1  # something half-written was taken for a run
    made.model_.label_rows(made.model_.read(folder.parent / "few.csv"))
    return int(made.model_.settings.seed)


def kill_diagnose(base: Path, rng: np.random.Generator, seconds: float, suffix: str) -> dict[str, Any]:
    """Kill a diagnosis of many rows; look at the output; run it again and compare."""
    out, reference = base / f"rows{suffix}", base / f"reference{suffix}"
    out.unlink(missing_ok=True)
    argv = ("diagnose", base / "run", base / "many.parquet", "--out", out)
    process = start(*argv)
    after = moment(rng, seconds)
    time.sleep(after)
    process.kill()
    process.wait()
    whole = out.exists()
    fine = not whole or same(out, reference)
    resumed = len(list(base.glob(f".rows{suffix}.parts/part-*.parquet")))
    timed(*argv)
    fine = fine and same(out, reference)
    left = "whole" if whole else "nothing"
    return {"what": f"diagnose {suffix}", "after_s": round(after, 3), "left": left, "parts": resumed, "fine": fine}


def same(left: Path, right: Path) -> bool:
    """Tell whether two outputs hold the same lines."""
    read = pd.read_parquet if left.suffix == ".parquet" else pd.read_csv
    return bool(read(left).equals(read(right)))


def main() -> None:
    """Kill, look, and write results/kills.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    config = {"seed": args.seed, "flags": FLAGS}
    path = RESULTS / "kills.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    rounds = before["rounds"] if before.get("config") == config else []
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        rows = pd.read_parquet(sample_path("tep-sample"))
        rows.to_parquet(base / "train.parquet")
        rows.iloc[::700].to_csv(base / "few.csv")
        pd.concat([rows] * 8).to_parquet(base / "many.parquet")
        fit_s = timed("fit", base / "train.parquet", "--out", base / "run", *FLAGS)
        shutil.copytree(base / "run", base / "victim")
        read_manifest(base / "victim")
        diagnose_s = {}
        for suffix in (".parquet", ".csv"):
            out = base / f"reference{suffix}"
            diagnose_s[suffix] = timed("diagnose", base / "run", base / "many.parquet", "--out", out)
        for number in tqdm(range(len(rounds), args.kills), desc="kill", unit="kill"):
            rng = np.random.default_rng([args.seed, number])
            if number % 2 == 0:
                rounds.append(kill_fit(base, rng, fit_s))
            else:
                suffix = (".parquet", ".csv")[number // 2 % 2]
                rounds.append(kill_diagnose(base, rng, diagnose_s[suffix], suffix))
            left = pd.Series([f"{one['what']}: {one['left']}" for one in rounds]).value_counts().to_dict()
            figures = {"kills": len(rounds), "wrong": sum(not one["fine"] for one in rounds), "left": left}
            write_result("kills", config, "tep-sample", {**figures, "rounds": rounds})
    print(json.dumps(figures, indent=1))
    if figures["wrong"]:
        sys.exit("Something half-written was loaded.")


if __name__ == "__main__":
    main()
