"""Studies of the language model on tables, each one command, resumable; the table and chart are in docs/studies.

All on the training part of the classical files (faults 0, 1, 4, 5), so that nothing is chosen on test rows: rows drawn
at random for training, 100 others a class for evaluation. One thing is varied at a time; the number of steps is
fixed, so that a point is the same again. Every point is kept in the cache as soon as it is done.

- *size*: 4 to 100 training rows a class, five seeds at 4 and 8, beside every classical expert.
- *ways*: rows as tokens, as short text, and in the study's sentence of the eight most decisive variables.
- *wording*: that sentence with and without names, with original values or values scaled to 0 .. 1; tuned row by row
  and evaluated on generated answers, as in the study.
- *missing*: 0, 10, 30 and 50% of the variables missing at diagnosis, beside classical experts with medians in their
  place.
- *k*: how many embeddings a row is, on 16 rows a class, where there is something to gain.
- *forms*: the fine-tuning methods; with tokens on 16 rows a class, with short text on 100.

    python bench/language_studies.py STUDY --cache FOLDER [--minutes 18]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import METHODS, LanguageSettings
from faultwise.language.classifier.expert import LanguageExpert
from faultwise.language.classifier.text import ShortText
from faultwise.tables.evaluate.thesis import read_parts
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import DEFAULT_EXPERTS
from faultwise.verdicts.registry import LANGUAGE_MODEL, make
from language_level import hidden
from recipe import data_folder, write_result

CLASSICAL = [name for name in DEFAULT_EXPERTS if name != LANGUAGE_MODEL]
HELD_OUT, SIZES, FEW = 100, (4, 8, 16, 32, 64, 100), (4, 8)
STEPS = {"tokens": 60, "short": 150, "thesis": 400}


@dataclass(frozen=True)
class Point:
    """One fit: what is varied and its value, rows a class, the seed, what the settings are beside the defaults."""

    label: str
    rows: int = 100
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    shares: tuple[float, ...] = (0.0,)
    variables: int | None = None
    beside: bool = False  # the classical experts too

    @property
    def key(self) -> str:
        """What makes the point what it is."""
        return json.dumps([self.label, self.rows, self.seed, self.settings, self.shares, self.variables, STEPS])


def studies() -> dict[str, list[Point]]:
    """All points of all studies."""
    sizes = [Point(str(n), n, s, beside=True) for n in SIZES for s in range(5 if n in FEW else 1)]
    # As the study tunes and evaluates: row by row, five tokens. In batches, scoring labels, 60 steps taught nothing.
    sentence = {"input": "thesis", "scoring": "generate"}
    words = [
        Point(
            f"{'names' if names else 'numbers'}, {'scaled' if scaled else 'as they are'}",
            settings={**sentence, "column_names": names, "normalise": scaled},
            variables=8,
        )
        for names in (True, False)
        for scaled in (True, False)
    ]
    short = Point("short text", settings={"input": "short"})
    return {
        "size": sizes,
        "ways": [Point("tokens", beside=True), short, Point("sentence, 8 variables", settings=sentence, variables=8)],
        "wording": words,
        "missing": [
            Point("tokens", shares=(0.0, 0.1, 0.3, 0.5), beside=True),
            Point("short text", settings={"input": "short", "missing_rate": 0.5}, shares=(0.0, 0.1, 0.3, 0.5)),
        ],
        "k": [Point(str(k), 16, settings={"tokens": k}) for k in (1, 2, 4, 8)],
        "forms": [
            *(Point(f"tokens, {method}", 16, settings={"method": method}) for method in METHODS),
            *(Point(f"short text, {method}", settings={"method": method, "input": "short"}) for method in METHODS),
        ],
    }


def rows(
    count: int, seed: int, held: int = HELD_OUT, first: int = 100, variables: int | None = None
) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, np.ndarray]:
    """So many training rows a class of the training files, and `held` others with their labels, from the `first` on in
    the seed's order; of the variables only the most decisive, if `variables` are given.
    """
    table = read_parts(data_folder("tep-braatz")).train
    X = WindowEncoder(1).fit(table.X).transform(table.X, np.arange(len(table.y))).frame
    y = table.y.astype(str)
    order = np.random.default_rng(seed).permutation(len(y))
    place = pd.Series(y[order]).groupby(y[order]).cumcount().to_numpy()
    train, test = order[place < count], order[(place >= first) & (place < first + held)]
    if variables is not None:
        X = X[ShortText(1, variables).fit(X.iloc[train], y[train]).features]
    return X.iloc[train].reset_index(drop=True), y[train], X.iloc[test].reset_index(drop=True), y[test]


def measured(point: Point) -> dict[str, Any]:
    """Fit and evaluate; return accuracies by expert and share of missing variables, and seconds."""
    X, y, X_held, y_held = rows(point.rows, point.seed, variables=point.variables)
    groups = np.arange(len(y)).astype(str)
    tests = {s: hidden(X_held, np.arange(len(y_held)).astype(str), s, point.seed) for s in point.shares}
    made: dict[str, Any] = {"label": point.label, "rows": point.rows, "seed": point.seed, "accuracy": {}, "seconds": {}}

    def evaluate(name: str, expert: Any, prepare: Callable[[pd.DataFrame], pd.DataFrame], started: float) -> None:
        made["seconds"][name] = round(time.monotonic() - started, 1)
        made["accuracy"][name] = {
            str(share): float((expert.classes_[expert.predict_proba(prepare(test)).argmax(1)] == y_held).mean())
            for share, test in tests.items()
        }

    for name in CLASSICAL if point.beside else []:
        started = time.monotonic()
        expert = make(name, ExpertContext(seed=point.seed)).fit(X, y, groups)
        evaluate(name, expert, lambda test: test.fillna(X.median()), started)
    steps = STEPS[str(point.settings.get("input", "tokens"))]
    settings = LanguageSettings(**{"steps": steps, **point.settings})
    started = time.monotonic()
    language = LanguageExpert(settings, seed=point.seed, progress=True).fit(X, y, groups)
    evaluate(LANGUAGE_MODEL, language, lambda test: test, started)
    made["steps"] = language.log["steps"]
    return made


def chart(name: str, points: list[dict[str, Any]]) -> Any:
    """A line over a size or a share, bars over kinds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, 3.2), layout="constrained")
    axis = figure.subplots()
    if name == "size":
        for expert in points[0]["accuracy"]:
            means = [np.mean([p["accuracy"][expert]["0.0"] for p in points if p["rows"] == n]) for n in SIZES]
            _line(axis, SIZES, means, expert)
        axis.set(xscale="log", xlabel="training rows a class")
        axis.set_xticks(SIZES, [str(n) for n in SIZES], minor=False)
        axis.minorticks_off()
    elif name == "missing":
        for point in points:
            for expert, by_share in point["accuracy"].items():
                label = point["label"] if expert == LANGUAGE_MODEL else expert
                _line(axis, [float(s) for s in by_share], list(by_share.values()), label, expert == LANGUAGE_MODEL)
        axis.set(xlabel="share of variables missing at diagnosis")
    else:
        shown = {p["label"]: p["accuracy"][LANGUAGE_MODEL]["0.0"] for p in points}
        axis.barh(list(shown)[::-1], list(shown.values())[::-1], color="#1f6f8b", height=0.6)
        for at, value in enumerate(list(shown.values())[::-1]):
            axis.text(value, at, f" {value:.3f}", va="center")
        axis.set(xlim=(0, 1.12), xlabel="accuracy")
        return figure
    axis.set(ylabel="accuracy")
    axis.legend(frameon=False, fontsize=7)
    return figure


def _line(axis: Any, x: Any, y: Any, label: str, ours: bool | None = None) -> None:
    ours = label == LANGUAGE_MODEL if ours is None else ours
    style: dict[str, Any] = {"color": "#c1440e" if label != "short text" else "#e0a030", "lw": 2.2, "zorder": 3}
    axis.plot(x, y, "o-", ms=3, label=label, **(style if ours else {"lw": 1, "alpha": 0.7}))


def main() -> None:
    """Resume a study; once all its points are there write its result, and its chart into docs/studies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", choices=sorted(studies()))
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0, help="start nothing new after so many minutes")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    path = args.cache / f"study-{args.study}.json"
    done = json.loads(path.read_text()) if path.exists() else {}
    points = studies()[args.study]
    for point in points:
        if point.key in done:
            continue
        if time.monotonic() > end:
            print("Run it again for the rest.")
            return
        done[point.key] = measured(point)
        path.write_text(json.dumps(done))
        print(point.label, point.seed, done[point.key]["accuracy"], done[point.key]["seconds"], flush=True)
    made = [done[point.key] for point in points]
    config = {"study": args.study, "held": HELD_OUT, "steps": STEPS}
    write_result(f"study_{args.study}", config, "tep-braatz, training files", {"points": made})
    pictures = Path(__file__).parents[1] / "docs" / "studies"
    pictures.mkdir(exist_ok=True)
    chart(args.study, made).savefig(pictures / f"study_{args.study}.svg")


if __name__ == "__main__":
    main()
