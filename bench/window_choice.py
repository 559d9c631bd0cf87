"""A window chosen by itself beside single rows: balanced accuracy on the tables with times of `field.py`.

The verdicts of the default call are those in the cache of `field.py` (run it first); here the same rows are fitted with
`window=1`. Both are judged on the rows that have a verdict of the default call, by the largest probability. A table and
seed that the result holds for the same verdicts is not run again.

    python bench/window_choice.py [--seeds 3] [--cache FOLDER]
"""

from __future__ import annotations

import argparse
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from faultwise.diagnoser import Diagnoser
from field import CACHE
from field_tables import TABLES, divided
from recipe import RESULTS, read_result, write_result


def compared(name: str, seed: int, cache: Path) -> dict[str, Any]:
    """Return the window chosen and the balanced accuracy of both, on one table and seed."""
    with np.load(cache / f"{name}-{seed}.npz") as held:
        known, y, chosen = held["known"], held["y"], held["verdict"]
    table = TABLES[name]()
    train, test, _ = divided(table, seed)
    roles = {"target": table.target, "group": table.group, "time": table.time}
    started = time.monotonic()
    diagnoser = Diagnoser(seed=seed, **table.needs, window=1).fit(train, **{k: v for k, v in roles.items() if v})
    fit_s = time.monotonic() - started
    p = diagnoser.predict_proba(test.drop(columns=table.target), test[table.group])[known]
    single = np.asarray(diagnoser.classes_).astype(str)[p.argmax(axis=1)]
    both = {"chosen": balanced_accuracy_score(y, chosen), "single": balanced_accuracy_score(y, single)}
    return {"table": name, "seed": seed, **{k: round(float(v), 4) for k, v in both.items()}, "fit_s": round(fit_s, 1)}


def main() -> None:
    """Compare, print, and write results/window_choice.json after each table and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=CACHE)
    args = parser.parse_args()
    field = read_result("field")
    windows = {name: one["windows"] for name, one in field["tables"].items() if _has_time(name)}
    base = sha256((RESULTS / "field.json").read_bytes()).hexdigest()
    before = read_result("window_choice") if (RESULTS / "window_choice.json").exists() else {}
    rows: list[dict[str, Any]] = before["rows"] if before.get("data_hash") == base else []
    for seed, name in [(seed, name) for seed in range(args.seeds) for name in windows]:
        if any((row["table"], row["seed"]) == (name, seed) for row in rows):
            continue
        rows.append({**compared(name, seed, args.cache), "window": windows[name][seed]})
        print(rows[-1], flush=True)
        write_result("window_choice", {"seeds": args.seeds}, base, {"rows": rows, "summary": summary(rows)})
    print(summary(rows))


def _has_time(name: str) -> bool:
    return TABLES[name]().time is not None


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the mean of both and of their difference, by table."""
    made = {}
    for name in dict.fromkeys(row["table"] for row in rows):
        mine = [row for row in rows if row["table"] == name]
        chosen, single = (float(np.mean([row[key] for row in mine])) for key in ("chosen", "single"))
        made[name] = {"chosen": round(chosen, 4), "single": round(single, 4), "difference": round(chosen - single, 4)}
    return made


if __name__ == "__main__":
    main()
