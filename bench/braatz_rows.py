"""Braatz protocol, faults 0, 1, 4, 5: 100 training and 40 test rows a class, several seeds.

The seven classical experts and the language model (short text, LoRA) on the same rows. For each seed the
classical expert is chosen by 5-fold cross-validation on its 400 training rows; the language model stops on
part of its training rows. Resumable: a seed that stands in the result file is not run again.

    python bench/braatz_rows.py [--seeds 5] [--minutes 3] [--no-lm]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score

from faultwise.data.folds import folds
from faultwise.data.readers import read_source
from faultwise.data.table import Table
from faultwise.encoders.windows import WindowEncoder
from faultwise.experts.registry import LANGUAGE_MODEL, ExpertContext, make
from faultwise.settings import DEFAULT_EXPERTS, FitSettings
from faultwise.training import language_settings
from recipe import RESULTS, data_folder, write_result

FAULTS = (0, 1, 4, 5)
PUBLISHED = {"random forest": 0.819, "gradient boosting": 0.844, "LLaMA 2 7B, QLoRA": 0.731}


def drawn(table: Table, rows: int, rng: np.random.Generator) -> Table:
    """Draw `rows` rows of each class."""
    y = table.y
    picked = [rng.permutation(np.flatnonzero(y == label))[:rows] for label in sorted(set(y))]
    return table.rows(np.sort(np.concatenate(picked)))


def one_seed(train: Table, test: Table, seed: int, minutes: float, steps: int | None, lm: bool) -> dict[str, Any]:
    """Fit all experts on one draw and judge them on one draw of the test files."""
    rng = np.random.default_rng(seed)
    train, test = drawn(train, 100, rng), drawn(test, 40, rng)
    encoder = WindowEncoder(1).fit(train.X)
    none = np.arange
    a = encoder.transform(train.X, none(len(train.y))).frame
    b = encoder.transform(test.X, none(len(test.y))).frame
    y, groups = train.y, np.arange(len(train.y)).astype(str)
    settings = language_settings(FitSettings(lm_minutes=minutes, lm_steps=steps))
    context = ExpertContext(seed, True, replace(settings, rows=400))
    parts, _ = folds(y, None, "row", 5, seed)
    made: dict[str, Any] = {"seed": seed, "validation": {}, "test": {}, "seconds": {}}
    for name in DEFAULT_EXPERTS:
        if name == LANGUAGE_MODEL:
            continue
        right = []
        for fit_rows, held in parts:
            expert = make(name, context).fit(a.iloc[fit_rows], y[fit_rows], groups[fit_rows])
            right.append(expert.classes_[expert.predict_proba(a.iloc[held]).argmax(1)] == y[held])
        made["validation"][name] = float(np.concatenate(right).mean())
    made["chosen"] = max(made["validation"], key=made["validation"].get)
    for name in DEFAULT_EXPERTS:
        if name == LANGUAGE_MODEL and not lm:
            continue
        started = time.monotonic()
        expert = make(name, context).fit(a, y, groups)
        made["seconds"][name] = round(time.monotonic() - started, 2)
        labels = expert.classes_[expert.predict_proba(b).argmax(1)]
        made["test"][name] = float(accuracy_score(test.y, labels))
        if name == LANGUAGE_MODEL:
            made["language_model"] = expert.log
    return made


def main() -> None:
    """Run what is missing and write results/braatz_rows.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--no-lm", action="store_true")
    args = parser.parse_args()
    folder = data_folder("tep-braatz")
    train = read_source(folder, part="train", faults=FAULTS)
    test = read_source(folder, part="test", faults=FAULTS)
    config = {"faults": FAULTS, "minutes": args.minutes, "steps": args.steps, "lm": not args.no_lm}
    path = RESULTS / "braatz_rows.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    same = before.get("config") == json.loads(json.dumps(config))
    runs = before["runs"] if same else []
    for seed in range(args.seeds):
        if seed in [run["seed"] for run in runs]:
            continue
        runs.append(one_seed(train, test, seed, args.minutes, args.steps, not args.no_lm))
        figures = {"chosen_mean": float(np.mean([run["test"][run["chosen"]] for run in runs]))}
        for name in runs[0]["test"]:
            figures[name] = float(np.mean([run["test"][name] for run in runs]))
        write_result("braatz_rows", config, train.hash(), {"mean": figures, "published": PUBLISHED, "runs": runs})
        print(seed, runs[-1]["chosen"], runs[-1]["test"], runs[-1]["seconds"].get(LANGUAGE_MODEL), flush=True)
    print(json.dumps(figures if runs else {}, indent=1))


if __name__ == "__main__":
    main()
