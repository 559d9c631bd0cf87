"""AI4I 2020, `Machine failure`: every classical expert over 5 x 2 folds, with intervals; flags that leak are left out.

Two random halves, five times, each half once training and once test (Dietterich 1998). The ten results share rows, so
the intervals are those for repeated splits (`summary.interval`, 9 degrees of freedom). The figures are of each expert
alone, without tuning on this set. `leaky` shows what the flags would have given.

    python bench/ai4i.py
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from faultwise.contracts.experts import ExpertContext
from faultwise.evaluate.summary import interval
from faultwise.tables.checks.leaks.target_leakage import leaking_columns, without_leaking_columns
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.fit.settings import DEFAULT_EXPERTS
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Table
from faultwise.verdicts.metrics import metrics
from faultwise.verdicts.registry import LANGUAGE_MODEL, make
from recipe import data_folder, write_result

KEYS = ("macro_f1", "pr_auc")


def evaluated(table: Table, names: tuple[str, ...], repeats: int) -> dict[str, Any]:
    """Return per expert the ten results and their mean with interval, of each figure in KEYS."""
    y = table.y.astype(str)
    results: dict[str, dict[str, list[float]]] = {name: {key: [] for key in KEYS} for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for repeat in range(repeats):
        halves = [held for _, held in StratifiedKFold(2, shuffle=True, random_state=repeat).split(y, y)]
        for train, test in (halves, halves[::-1]):
            encoder = ColumnEncoder().fit(table.X.iloc[train])
            a, b = (
                pd.DataFrame(encoder.transform(table.X.iloc[rows])[0].astype(np.float32), columns=encoder.names)
                for rows in (train, test)
            )
            for name in names:
                started = time.monotonic()
                expert = make(name, ExpertContext(seed=repeat)).fit(a, y[train], train)
                seconds[name] += time.monotonic() - started
                p = expert.predict_proba(b)
                labels = expert.classes_[p.argmax(axis=1)]
                figures = metrics(y[test], labels, p, expert.classes_, "0")
                for key in KEYS:
                    results[name][key].append(figures[key])
    made = {}
    for name, by_key in results.items():
        made[name] = {"fit_seconds": round(seconds[name] / (2 * repeats), 2)}
        for key, values in by_key.items():
            reach = interval(values, ratio=1.0)  # as many test rows as training rows
            made[name][key] = {k: round(v, 4) for k, v in zip(("mean", "low", "high"), reach, strict=True)}
            made[name][key]["folds"] = [round(value, 4) for value in values]
    return made


def main() -> None:
    """Evaluate without and with the flags, print and write results/ai4i.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    table = read_source(data_folder("ai4i") / "ai4i2020.csv")
    found = leaking_columns(table)
    print("From the data:", found)
    print("By the table of roles:", table.roles.ignored)
    names = tuple(name for name in DEFAULT_EXPERTS if name != LANGUAGE_MODEL)
    honest = evaluated(without_leaking_columns(table), names, args.repeats)
    ignored = tuple(name for name in table.roles.ignored if name != "RNF")
    leaky = evaluated(replace(table, roles=replace(table.roles, ignored=ignored)), ("random-forest",), 1)
    for name, figures in sorted(honest.items(), key=lambda item: -item[1]["macro_f1"]["mean"]):
        line = ", ".join(
            f"{key} {figures[key]['mean']:.3f} [{figures[key]['low']:.3f}, {figures[key]['high']:.3f}]" for key in KEYS
        )
        print(f"{name:24s} {line}, {figures['fit_seconds']} s")
    print("random forest with the flags:", {key: leaky["random-forest"][key]["mean"] for key in KEYS})
    config = {"repeats": args.repeats, "target": table.roles.target, "experts": names}
    result = {"leaks_found": found, "left_out_by_roles": table.roles.ignored, "experts": honest, "leaky": leaky}
    write_result("ai4i", config, table.hash(), result)


if __name__ == "__main__":
    main()
