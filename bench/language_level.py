"""The language model beside every classical expert on the same rows, whole and with sensors missing.

Three protocols, each in parts that are finished once and kept in the cache, so that it can be interrupted and resumed:

- *braatz*: faults 0, 1, 4, 5 of the classical files, 100 training and 40 test rows a class, five seeds.
- *tep*: simulated runs (seed 52; choices were made on seed 51), classes 0 to 20, windows of 20 samples, 15 training and
  5 test runs a class drawn anew in each part; at most 300 test rows a class, spread evenly over its runs.
- *ai4i*: `Machine failure`, 5 x 2 folds, the columns that leak it left out.

In the first two, 30% and 50% of the variables are also hidden at diagnosis, drawn anew for every test run (on the
classical files: row, five times over, because one draw of so few rows shows little). The language model is compared
with the classical experts (hidden values take the training median) and with three kinds of trees that were *trained*
with variables hidden in the same way as the language model's encoder.

`confidence` is the mean of the largest probability: where it is above the accuracy, an expert is overconfident.
Differences are language model minus classical, with 95% intervals: pooled, bootstrapped by row (braatz) or run (tep),
one that several parts drew counting as one; or by the corrected resampled t-test (ai4i). The differences of each part
are listed too. The best classical expert is the one that is best on these very test rows.

    python bench/language_level.py PROTOCOL --cache FOLDER [--minutes 18]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.language.classifier.expert import LanguageExpert
from faultwise.language.classifier.row_encoder import variables
from faultwise.tables.checks.leaks.overlap import row_hashes
from faultwise.tables.checks.leaks.target_leakage import without_leaking_columns
from faultwise.tables.evaluate.thesis import ROWS, draw, read_parts
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import DEFAULT_EXPERTS
from faultwise.tables.reading.readers import read_source
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.registry import LANGUAGE_MODEL, make
from faultwise.verdicts.stretches import stretches
from promises import pool, some_runs, table
from recipe import data_folder, write_result

CLASSICAL = [name for name in DEFAULT_EXPERTS if name != LANGUAGE_MODEL]
TREES = ("extra-trees", "hist-gradient-boosting", "random-forest")  # these take missing values as they are
SHARES = (0.0, 0.3, 0.5)
DRAWS = 5
STEPS = {"braatz": 100, "tep": 100, "ai4i": 60}
PARTS = {"braatz": 5, "tep": 3, "ai4i": 10}
TRAIN_ROWS, TEST_ROWS, REPEATS = 26_000, 6_300, 2
Rows = tuple[pd.DataFrame, np.ndarray, np.ndarray]  # features, labels, runs


def braatz(seed: int) -> tuple[Rows, Rows]:
    """Training and test rows of one seed."""
    train, test = draw(read_parts(data_folder("tep-braatz")), *ROWS["braatz"], seed)
    encoder = WindowEncoder(1).fit(train.X)
    a, b = (encoder.transform(part.X, np.arange(len(part.y))).frame for part in (train, test))
    # A test row may be drawn by several seeds: it is one row, and identified by its values.
    return (a, train.y, np.arange(len(a)).astype(str)), (b, test.y, row_hashes(test, encoder.learnt.used).astype(str))


def tep(number: int, cache: Path) -> tuple[Rows, Rows]:
    """Windows of one draw of training and test runs."""
    runs = pool("promises-judge", cache)
    chosen = some_runs(runs, 5, np.random.default_rng([54, number]))
    made: list[Rows] = []
    encoder = None
    for mask, most in ((~runs["run"].isin(chosen), TRAIN_ROWS), (runs["run"].isin(chosen), TEST_ROWS)):
        rows = table(runs[mask])
        encoder = encoder or WindowEncoder(20).fit(rows.X)
        features = encoder.transform(rows.X, stretches(rows.runs, rows.y))
        y, groups = rows.y[features.rows].astype(str), rows.runs[features.rows].astype(str)
        at = draw_evenly(y, groups, most, number)
        made.append((features.frame.iloc[at].reset_index(drop=True), y[at], groups[at]))
    return made[0], made[1]


def ai4i(number: int) -> tuple[Rows, Rows]:
    """One of the ten folds."""
    rows = without_leaking_columns(read_source(data_folder("ai4i") / "ai4i2020.csv"))
    y = rows.y.astype(str)
    halves = [held for _, held in StratifiedKFold(2, shuffle=True, random_state=number // 2).split(y, y)]
    train, test = halves if number % 2 == 0 else halves[::-1]
    encoder = ColumnEncoder().fit(rows.X.iloc[train])
    names = [f"is({name})" if "=" in name else f"value({name})" for name in encoder.names]
    a, b = (
        pd.DataFrame(encoder.transform(rows.X.iloc[part])[0].astype(np.float32), columns=names)
        for part in (train, test)
    )
    return (a, y[train], train.astype(str)), (b, y[test], test.astype(str))


def hidden(X: pd.DataFrame, runs: np.ndarray, share: float, seed: int) -> pd.DataFrame:
    """Hide so many of the variables, drawn anew for every run."""
    of = variables([str(name) for name in X.columns])
    count = int(of.max()) + 1
    rng = np.random.default_rng([7, seed])
    missing = np.zeros((len(X), count), bool)
    for run in np.unique(runs):
        missing[np.ix_(runs == run, rng.permutation(count)[: round(share * count)])] = True
    return X.mask(missing[:, of])


def with_dropout(rows: Rows, seed: int) -> Rows:
    """The rows, and the same rows again with up to 60% of the variables hidden, as in the encoder's training."""
    X, y, runs = rows
    of = variables([str(name) for name in X.columns])
    rng = np.random.default_rng([8, seed])
    parts = [X]
    for _ in range(REPEATS):
        parts.append(X.mask((rng.random((len(X), int(of.max()) + 1)) < rng.random((len(X), 1)) * 0.6)[:, of]))
    times = REPEATS + 1
    return pd.concat(parts, ignore_index=True), np.tile(y, times), np.tile(runs, times)


def one_part(protocol: str, number: int, cache: Path) -> dict[str, Any]:
    """Fit everything on one draw; keep the labels given to each test row."""
    train, test = {"braatz": braatz, "ai4i": ai4i}[protocol](number) if protocol != "tep" else tep(number, cache)
    shares = SHARES if protocol != "ai4i" else SHARES[:1]
    made: dict[str, Any] = {
        "number": number,
        "y": test[1].tolist(),
        "runs": test[2].tolist(),
        "labels": {},
        "confidence": {},
        "seconds": {},
    }
    medians = train[0].median()
    times = {share: DRAWS if protocol == "braatz" and share else 1 for share in shares}
    hidden_tests = {
        share: pd.concat([hidden(test[0], test[2], share, number + 100 * n) for n in range(times[share])])
        for share in shares
    }

    def predict(name: str, expert: Any, fill: bool) -> None:
        for share, X in hidden_tests.items():
            p = expert.predict_proba(X.fillna(medians) if fill else X)
            made["labels"].setdefault(str(share), {})[name] = expert.classes_[p.argmax(axis=1)].astype(str).tolist()
            made["confidence"].setdefault(str(share), {})[name] = float(p.max(axis=1).mean())

    for name in CLASSICAL:
        started = time.monotonic()
        expert = make(name, ExpertContext(seed=number)).fit(*train)
        made["seconds"][name] = round(time.monotonic() - started, 1)
        predict(name, expert, fill=True)
    if len(shares) > 1:
        for name in TREES:
            predict(
                f"{name}, trained with dropout",
                make(name, ExpertContext(seed=number)).fit(*with_dropout(train, number)),
                False,
            )
    language = LanguageExpert(LanguageSettings(steps=STEPS[protocol]), seed=number, progress=True)
    started = time.monotonic()
    language.fit(*train)
    made["seconds"][LANGUAGE_MODEL] = round(time.monotonic() - started, 1)
    started = time.monotonic()
    predict(LANGUAGE_MODEL, language, fill=False)
    made["seconds"]["scoring"] = round(time.monotonic() - started, 1)
    for share, X in hidden_tests.items():  # how much of it is the encoder's own?
        p = language.quick_proba(X)
        made["labels"][str(share)]["row encoder alone"] = language.classes_[p.argmax(axis=1)].astype(str).tolist()
    made["log"] = {key: value for key, value in language.log.items() if key != "history"}
    return made


def of(part: dict[str, Any], key: str, share: str) -> np.ndarray:
    """A part's labels or runs, as often as its test rows were predicted with that share hidden."""
    return np.resize(np.array(part[key]), len(part["labels"][share][LANGUAGE_MODEL]))


def figure(protocol: str, y: np.ndarray, labels: np.ndarray) -> float:
    """Macro-F1 for AI4I, else accuracy, which equals mean recall where classes are even."""
    return float(f1_score(y, labels, average="macro")) if protocol == "ai4i" else float((y == labels).mean())


def difference(protocol: str, parts: list[dict[str, Any]], share: str, name: str) -> dict[str, float]:
    """Language model minus `name`, with a 95% interval."""
    if protocol == "ai4i":
        folds = [
            figure(protocol, np.array(p["y"]), np.array(p["labels"][share][LANGUAGE_MODEL]))
            - figure(protocol, np.array(p["y"]), np.array(p["labels"][share][name]))
            for p in parts
        ]
        mean, deviation = float(np.mean(folds)), float(np.std(folds, ddof=1)) if len(folds) > 1 else np.nan
        half = float(t.ppf(0.975, max(len(folds) - 1, 1))) * deviation * np.sqrt(1 / len(folds) + 1.0)
        made = mean, mean - half, mean + half  # as `summary.interval`, which is for shares and stops at 0
    else:
        right = {
            n: np.concatenate([np.array(p["labels"][share][n]) == of(p, "y", share) for p in parts]).astype(float)
            for n in (LANGUAGE_MODEL, name)
        }
        gained = right[LANGUAGE_MODEL] - right[name]
        runs = np.concatenate([of(p, "runs", share) for p in parts])
        codes = np.unique(runs, return_inverse=True)[1]
        sums, counts = np.bincount(codes, gained), np.bincount(codes)
        picks = np.random.default_rng(0).integers(len(sums), size=(4000, len(sums)))
        drawn = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
        made = (gained.mean(), *np.quantile(drawn, [0.025, 0.975]))
    return {key: round(float(value), 4) for key, value in zip(("mean", "low", "high"), made, strict=True)}


def summarised(protocol: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Means, the best classical expert, and the difference to it, by share of hidden variables."""
    made: dict[str, Any] = {"parts": len(parts), "by_share": {}}
    for share in parts[0]["labels"]:
        names = list(parts[0]["labels"][share])
        means = {
            n: round(
                float(np.mean([figure(protocol, of(p, "y", share), np.array(p["labels"][share][n])) for p in parts])), 4
            )
            for n in names
        }
        plain = max((n for n in names if n in CLASSICAL), key=lambda n: means[n])
        sure = {
            n: round(float(np.mean([p["confidence"][share][n] for p in parts])), 4)
            for n in parts[0]["confidence"][share]
        }
        one = {
            "by_part": [
                round(
                    figure(protocol, of(p, "y", share), np.array(p["labels"][share][LANGUAGE_MODEL]))
                    - figure(protocol, of(p, "y", share), np.array(p["labels"][share][plain])),
                    4,
                )
                for p in parts
            ],
            "means": means,
            "confidence": sure,
            "best_classical": plain,
            "against_best": difference(protocol, parts, share, plain),
        }
        dropout = [n for n in names if "dropout" in n]
        if dropout and share != "0.0":
            best = max(dropout, key=lambda n: means[n])
            one |= {"best_with_dropout": best, "against_dropout": difference(protocol, parts, share, best)}
        made["by_share"][share] = one
    made["seeds"] = [figure(protocol, np.array(p["y"]), np.array(p["labels"]["0.0"][LANGUAGE_MODEL])) for p in parts]
    made["seconds"] = {n: round(float(np.mean([p["seconds"][n] for p in parts])), 1) for n in parts[0]["seconds"]}
    made["teachers"] = [p["log"]["teacher"] for p in parts]
    return made


def main() -> None:
    """Run what is missing within the minutes given; write results/language_PROTOCOL.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocol", choices=sorted(PARTS))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0, help="start nothing new after so many minutes")
    parser.add_argument("--parts", type=int)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    wanted = args.parts or PARTS[args.protocol]
    args.cache.mkdir(parents=True, exist_ok=True)
    path = args.cache / f"language-{args.protocol}.json"
    steps = STEPS[args.protocol]
    config = {"protocol": args.protocol, "steps": steps, "settings": str(LanguageSettings(steps=steps))}
    before = json.loads(path.read_text()) if path.exists() else {}
    parts = before["parts"] if before.get("config") == config else []
    for number in range(wanted):
        if number in [part["number"] for part in parts]:
            continue
        if time.monotonic() > end:
            print("Run it again for the rest.")
            break
        parts.append(one_part(args.protocol, number, args.cache))
        path.write_text(json.dumps({"config": config, "parts": parts}))
        for share, one in summarised(args.protocol, parts[-1:])["by_share"].items():
            print(
                number,
                share,
                {n: one["means"][n] for n in sorted(one["means"], key=lambda n: -one["means"][n])},
                flush=True,
            )
    figures = summarised(args.protocol, parts)
    print(json.dumps(figures["by_share"], indent=1))
    if len(parts) == wanted:
        data = f"{args.protocol} (see bench/language_level.py)"
        write_result(f"language_{args.protocol}", config, data, figures)


if __name__ == "__main__":
    main()
