"""Failure modes of work orders: every expert of texts, the language model tuned and untuned, few examples a class.

The 570 observations of the published training and development parts (22 failure modes) are put together and divided
into five folds, three times with another seed; near duplicates stay on one side. Printed and written are accuracy
and weighted F1, with 95% intervals over the 15 folds by the corrected resampled t-test. `verdict` is the default call.

Finished pieces are kept in the cache and are not run again; `--minutes` limits what is started.

    python bench/texts.py --cache FOLDER [--minutes 18] [--methods a,b] [--seeds 3] [--write]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import f1_score

from faultwise import Diagnoser
from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.texts.cleaning import Cleaner
from faultwise.texts.fitting import framed
from faultwise.texts.near_duplicates import groups_of
from faultwise.verdicts.folds import folds
from faultwise.verdicts.registry import make
from recipe import data_folder, write_result

FOLDS, SHOTS = 5, (1, 4, 16)
SYSTEM = "Name the failure mode that this maintenance note describes."
# Written for this benchmark in the sense of ISO 14224, before any figure was seen.
DESCRIPTIONS = {
    "Abnormal instrument reading": "false alarm, faulty reading or indication",
    "Breakdown": "serious damage, seized, broken, no longer usable",
    "Contamination": "dirt, water or another medium where it should not be",
    "Electrical": "short circuit, blown fuse, no power, wiring, battery, light",
    "Erratic output": "unstable, oscillating, hunting",
    "Fail to close": "does not close on demand",
    "Fail to function": "does not work as required, no response",
    "Fail to open": "does not open on demand",
    "Failure to rotate": "does not turn",
    "Failure to start on demand": "does not start",
    "Failure to stop on demand": "does not stop",
    "High output": "too much pressure, flow or speed",
    "Leaking": "loses oil, water, air or another medium",
    "Low output": "too little pressure, flow, speed or power",
    "Minor in-service problems": "loose, dirty, worn, due for replacement, needs adjustment",
    "Noise": "abnormal noise",
    "Other": "none of the others",
    "Overheating": "too hot, burnt, smoke",
    "Plugged / choked": "blocked, stuck, jammed, no flow",
    "Spurious stop": "unexpected shutdown or trip",
    "Structural deficiency": "crack, hole, corrosion, bent, torn, damaged part",
    "Vibration": "abnormal vibration, unbalance, misalignment",
}
DESCRIBED = SYSTEM + " Failure modes: " + "; ".join(f"{label}: {words}" for label, words in DESCRIPTIONS.items()) + "."
UNTUNED: dict[str, Any] = {"method": "context"}
LANGUAGE: dict[str, dict[str, Any]] = {
    "language model, LoRA, 1.5 minutes": {},
    "language model, LoRA, 1.5 minutes, descriptions": {"system": DESCRIBED},
    "language model, untuned, zero-shot": {**UNTUNED, "examples": 0},
    "language model, untuned, zero-shot, descriptions": {**UNTUNED, "examples": 0, "system": DESCRIBED},
    "language model, untuned, 1 example a class": {**UNTUNED, "examples": 1},
    "language model, untuned, 4 examples a class": {**UNTUNED, "examples": 4},
}
EXPERTS = ("words", "sentence-embeddings", "sentence-model")
Predict = Callable[[list[str], np.ndarray, np.ndarray, list[str], int], np.ndarray]


def observations() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Return texts, labels and groups of near duplicates."""
    folder = data_folder("work-orders")
    parts = [pd.read_csv(folder / f"failure_modes_{part}.csv") for part in ("train", "dev")]
    frame = pd.concat(parts, ignore_index=True)
    texts = frame["observation"].astype(str).tolist()
    cleaner = Cleaner.fit(texts)
    return texts, frame["failure_mode"].to_numpy(str), groups_of([cleaner(text) for text in texts])


def by_expert(name: str, shots: int | None = None) -> Predict:
    """Return what fits one expert on texts with labels (of `shots` texts a class) and gives labels of others."""

    def predict(texts: list[str], y: np.ndarray, groups: np.ndarray, others: list[str], seed: int) -> np.ndarray:
        kept = np.arange(len(y))
        if shots is not None:
            order = np.random.default_rng(seed).permutation(len(y))
            turn = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
            kept = np.sort(order[turn < shots])
        cleaner = Cleaner.fit([texts[at] for at in kept])
        expert = make(name, ExpertContext(seed)).fit(framed([cleaner(texts[at]) for at in kept]), y[kept], groups[kept])
        p = expert.predict_proba(framed([cleaner(text) for text in others]))
        return expert.classes_[p.argmax(axis=1)]

    return predict


def by_language_model(settings: dict[str, Any], minutes: float = 1.5) -> Predict:
    """Return the same for the language model; without examples it is asked as it is."""

    def predict(texts: list[str], y: np.ndarray, groups: np.ndarray, others: list[str], seed: int) -> np.ndarray:
        from faultwise.language.classifier.expert import LanguageExpert

        given = {"input": "text", "minutes": minutes, **settings}
        bare = given.get("examples") == 0
        made = LanguageExpert(LanguageSettings(**{**given, "examples": 1} if bare else given), seed)
        cleaner = Cleaner.fit(texts)
        known = framed([cleaner(text) for text in texts])
        made.fit(known, y, groups)
        if bare:
            made._input._examples = []  # type: ignore[union-attr]
        return made.classes_[made.predict_proba(framed([cleaner(text) for text in others])).argmax(axis=1)]

    return predict


def verdict(texts: list[str], y: np.ndarray, groups: np.ndarray, others: list[str], seed: int) -> np.ndarray:
    """Return labels of the default call."""
    return np.asarray(Diagnoser(seed=seed).fit(texts, y).predict(others))


def majority(texts: list[str], y: np.ndarray, groups: np.ndarray, others: list[str], seed: int) -> np.ndarray:
    """Return the commonest label."""
    return np.full(len(others), pd.Series(y).mode()[0], dtype=object)


METHODS: dict[str, Predict] = {
    "majority": majority,
    **{name: by_expert(name) for name in EXPERTS},
    **{f"{name}, {shots} a class": by_expert(name, shots) for name in EXPERTS for shots in SHOTS},
    **{name: by_language_model(settings) for name, settings in LANGUAGE.items()},
    "verdict": verdict,
}


def figures(lines: list[dict[str, Any]], ratio: float) -> dict[str, Any]:
    """Return means with half intervals over folds and seeds."""
    made: dict[str, Any] = {
        "folds": len(lines),
        "seconds": round(float(np.median([one["seconds"] for one in lines])), 1),
    }
    for metric in ("accuracy", "weighted_f1"):
        values = [one[metric] for one in lines]
        made[metric] = round(float(np.mean(values)), 4)
        if len(values) > 1:
            half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) * np.sqrt(1 / len(values) + ratio)
            made[f"{metric}_half"] = round(float(half), 4)
    return made


def main() -> None:
    """Run what is missing within the minutes given, print the table, and write results/texts.json on request."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--methods", default=",".join(name.replace(",", ";") for name in METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    end, (texts, y, groups) = time.monotonic() + 60 * args.minutes, observations()
    args.cache.mkdir(parents=True, exist_ok=True)
    file = args.cache / "texts.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    done = {(one["method"], one["seed"], one["fold"]) for one in lines}
    wanted = [name.replace(";", ",") for name in args.methods.split(",")]
    divisions = {seed: folds(y, groups, "group", FOLDS, seed)[0] for seed in range(args.seeds)}
    for seed, name, fold in product(range(args.seeds), wanted, range(FOLDS)):
        if (name, seed, fold) in done or time.monotonic() > end:
            continue
        train, held = divisions[seed][fold]
        started = time.monotonic()
        found = METHODS[name]([texts[at] for at in train], y[train], groups[train], [texts[at] for at in held], seed)
        scored = {
            "accuracy": float((found == y[held]).mean()),
            "weighted_f1": float(f1_score(y[held], found.astype(str), average="weighted", zero_division=0)),
        }
        line = {"method": name, "seed": seed, "fold": fold, "seconds": time.monotonic() - started, **scored}
        with file.open("a") as kept:
            kept.write(json.dumps(line) + "\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    table = {
        name: figures(of, 1 / (FOLDS - 1)) for name in METHODS if (of := [o for o in lines if o["method"] == name])
    }
    print(pd.DataFrame(table).T.to_string())
    if args.write:
        config = {"folds": FOLDS, "seeds": args.seeds, "language": LANGUAGE, "texts": len(texts)}
        write_result("texts", config, sha256("\n".join(texts).encode()).hexdigest(), {"table": table})


if __name__ == "__main__":
    main()
