"""Braatz protocol, faults 0, 1, 4, 5: 100 training and 40 test rows a class, several seeds.

The seven classical experts and the language model (short text, LoRA) on the same rows, drawn and judged by
`faultwise compare --protocol thesis` (`faultwise.evaluate.thesis`). Beside that, for each seed the classical expert is
chosen by 5-fold cross-validation on its 400 training rows. Resumable: a seed that stands in the result file is not run
again.

    python bench/braatz_rows.py [--seeds 5] [--minutes 3] [--no-lm]
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from faultwise.data.folds import folds
from faultwise.data.table import Table
from faultwise.encoders.windows import WindowEncoder
from faultwise.evaluate.summary import PUBLISHED
from faultwise.evaluate.thesis import FAULTS, ROWS, Parts, compared, draw, read_parts
from faultwise.experts.registry import LANGUAGE_MODEL, ExpertContext, make
from faultwise.experts.settings import LanguageSettings
from faultwise.settings import DEFAULT_EXPERTS, FitSettings
from faultwise.training import language_settings
from recipe import RESULTS, data_folder, write_result

CLASSICAL = [name for name in DEFAULT_EXPERTS if name != LANGUAGE_MODEL]
_NAMES = {
    "random forest": "random-forest",
    "gradient boosting": "gradient-boosting",
    "LLaMA 2 7B, QLoRA": LANGUAGE_MODEL,
}


def validated(train: Table, seed: int) -> dict[str, float]:
    """Accuracy of each classical expert by cross-validation on the training rows: what may be chosen by."""
    X = WindowEncoder(1).fit(train.X).transform(train.X, np.arange(len(train.y))).frame
    y, groups = train.y, np.arange(len(train.y)).astype(str)
    parts, _ = folds(y, None, "row", 5, seed)
    made = {}
    for name in CLASSICAL:
        right = []
        for rows, held in parts:
            expert = make(name, ExpertContext(seed)).fit(X.iloc[rows], y[rows], groups[rows])
            right.append(expert.classes_[expert.predict_proba(X.iloc[held]).argmax(1)] == y[held])
        made[name] = float(np.concatenate(right).mean())
    return made


def one_seed(parts: Parts, seed: int, language: LanguageSettings, lm: bool) -> dict[str, Any]:
    """Judge all experts on one draw, and choose the classical one that its training rows speak for."""
    validation = validated(draw(parts, *ROWS["braatz"], seed)[0], seed)
    made: dict[str, Any] = {"seed": seed, "validation": validation, "test": {}, "train": {}, "seconds": {}}
    made["chosen"] = max(validation, key=lambda name: validation[name])
    for one in compared(parts, ROWS["braatz"], [seed], DEFAULT_EXPERTS if lm else CLASSICAL, language, progress=True):
        for key in ("train", "test", "seconds"):
            made[key][one["expert"]] = one[key]
        if one["expert"] == LANGUAGE_MODEL:
            made["language_model"] = one["log"]
    return made


def main() -> None:
    """Run what is missing and write results/braatz_rows.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--no-lm", action="store_true")
    args = parser.parse_args()
    parts = read_parts(data_folder("tep-braatz"))
    language = language_settings(FitSettings(lm_minutes=args.minutes, lm_steps=args.steps))
    config = {"faults": FAULTS, "minutes": args.minutes, "steps": args.steps, "lm": not args.no_lm}
    published = {words: PUBLISHED["tep"][name][1] for words, name in _NAMES.items()}
    path = RESULTS / "braatz_rows.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    same = before.get("config") == json.loads(json.dumps(config))
    runs = before["runs"] if same else []
    figures: dict[str, float] = {}
    for seed in range(args.seeds):
        if seed in [run["seed"] for run in runs]:
            continue
        runs.append(one_seed(parts, seed, language, not args.no_lm))
        figures = {"chosen_mean": float(np.mean([run["test"][run["chosen"]] for run in runs]))}
        for name in runs[0]["test"]:
            figures[name] = float(np.mean([run["test"][name] for run in runs]))
        write_result("braatz_rows", config, parts.train.hash(), {"mean": figures, "published": published, "runs": runs})
        print(seed, runs[-1]["chosen"], runs[-1]["test"], runs[-1]["seconds"].get(LANGUAGE_MODEL), flush=True)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
