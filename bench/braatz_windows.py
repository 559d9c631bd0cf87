"""Braatz protocol, classes 0 to 20, windows of 20 samples, and known physics of faults 4 and 5.

Training files only are used to fit and to choose the expert (last quarter of each run held out); the test files
are evaluated once, from sample 161 on. Then the findings of rows rightly diagnosed as fault 4 (5) are ranked: is
the reactor (condenser) cooling-water valve among the first five?

    python bench/braatz_windows.py [--seed 0] [--physics-rows 100]
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from faultwise.tables.evaluate.protocol import evaluate_table
from faultwise.tables.fit.diagnosis import contributions_of
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.predicting import predicted
from faultwise.tables.fit.settings import DEFAULT_EXPERTS, TableSettings
from faultwise.tables.fit.training import fit_table
from faultwise.tables.reading.readers import read_source
from recipe import data_folder, write_result

EXPECTED = {"4": "XMV(10)", "5": "XMV(11)"}


def physics(fitted: Fitted, test: object, rows: int, seed: int) -> dict[str, dict[str, float]]:
    """Share of rightly diagnosed rows with the expected variable among the first five, by fault."""
    made = predicted(fitted, test)
    truth = test.y[made.features.rows]
    found = {}
    for fault, variable in EXPECTED.items():
        right = np.flatnonzero((truth == fault) & (made.labels == fault))
        picked = np.sort(np.random.default_rng(seed).permutation(right)[:rows])
        ranks = []
        for at in picked:
            contribution = contributions_of(fitted, made.features.frame.iloc[[at]], fault)
            order = sorted(contribution, key=lambda name: -contribution[name])
            ranks.append(order.index(variable) + 1)
        found[fault] = {
            "variable": variable,
            "rightly_diagnosed": len(right),
            "examined": len(picked),
            "among_first_five": float(np.mean(np.array(ranks) <= 5)) if len(picked) else None,
            "ranked_first": float(np.mean(np.array(ranks) == 1)) if len(picked) else None,
        }
        print(fault, found[fault], flush=True)
    return found


def main() -> None:
    """Run and write results/braatz_windows.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--physics-rows", type=int, default=100)
    args = parser.parse_args()
    folder = data_folder("tep-braatz")
    train, test = read_source(folder, part="train"), read_source(folder, part="test")
    experts = tuple(name for name in DEFAULT_EXPERTS if name != "language-model")
    settings = TableSettings(window=20, experts=experts, seed=args.seed)
    started = time.monotonic()
    fitted = fit_table(train, settings, progress=True)
    fit_s = time.monotonic() - started
    result = evaluate_table(fitted, test, 0)
    chosen = result["chosen"]
    for name, figures in sorted(result["experts"].items(), key=lambda pair: -pair[1]["mean_recall"]):
        held = fitted.record["validation"]["experts"][name]["mean_recall"]
        mark = "  <- chosen on validation" if name == chosen else ""
        print(f"{name:24} validation {held:.3f}  test {figures['mean_recall']:.3f}{mark}")
    print("fused verdict", {k: round(v, 3) for k, v in result["verdict"].items() if isinstance(v, float)})
    print("recall by fault:", {k: round(v, 2) for k, v in result["recall_by_class"][chosen].items()})
    figures = {
        "fit_s": round(fit_s, 1),
        "chosen": chosen,
        "mean_recall": result["experts"][chosen]["mean_recall"],
        "validation": {n: f["mean_recall"] for n, f in fitted.record["validation"]["experts"].items()},
        "experts": result["experts"],
        "verdict": result["verdict"],
        "recall_by_class": result["recall_by_class"],
        "physics": physics(fitted, test, args.physics_rows, args.seed),
    }
    print(write_result("braatz_windows", vars(args) | {"window": 20}, train.hash(), figures))


if __name__ == "__main__":
    main()
