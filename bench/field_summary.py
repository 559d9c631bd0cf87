"""Means, intervals, ranks and checks of `field.py`, as JSON, as lines of Markdown and as a chart.

A difference of balanced accuracies has two intervals: over seeds, by the corrected resampled t-test, and over the runs
of the tests, by a Bayesian bootstrap that gives a run the same weight in every seed in which it is tested (Rubin 1981).
The second is narrower and decides, except where a class has one run only in a test: its recall cannot be resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, t

from faultwise.evaluate.paired import corrected_test

__all__ = ["chart", "lines_of", "summary"]

METRICS = {"balanced_accuracy": 1, "macro_f1": 1, "pr_auc": 1, "log_loss": -1}
RANKED = ("boosting", "forest", "logistic")
COLUMNS = {"verdict": "largest fused probability", "detected": "label of `predict`"}
_MARGIN, _DRAWS = 0.01, 1000
Json = dict[str, Any]


def summary(pieces: Sequence[Json]) -> Json:
    """Return `tables`, `ranks` and `checks` of pieces, one for each table and seed, as `field.py` keeps them."""
    names = dict.fromkeys(one["table"] for one in pieces)
    tables = {name: _of_table([one for one in pieces if one["table"] == name]) for name in names}
    whole = {name: one for name, one in tables.items() if "figures" in one}
    others = [m for m in next(iter(whole.values()))["figures"] if not m.startswith(("expert ", "verdict", "detected"))]
    ranks = {
        column: {metric: _ranks(whole, metric, (column, *others)) for metric in METRICS} for column in COLUMNS if whole
    }
    plain = {column: _ranks(whole, "balanced_accuracy", (column, *RANKED)) for column in COLUMNS}
    return {
        "tables": tables,
        "ranks": {"plain": plain, "all": ranks},
        "checks": {column: _checks(tables, plain[column], column) for column in COLUMNS},
    }


def _of_table(pieces: list[Json]) -> Json:
    known = [one for one in pieces if "figures" in one]
    refused = {str(one["seed"]): one.get("refused", "") for one in pieces if "figures" not in one}
    if not known:
        return {"seeds": 0, "refused": refused}
    ratio = float(np.mean([one["test_rows"] / one["train_rows"] for one in known]))
    figures = {}
    for method in known[0]["figures"]:
        mine = [one["figures"].get(method, {}) for one in known]
        figures[method] = {
            key: _mean([one[key] for one in mine], ratio)
            for key in (*METRICS, "far", "fdr")
            if all(one.get(key) is not None for one in mine)
        }
    experts = [name for name in figures if name.startswith("expert ")]
    best = max(experts, key=lambda name: figures[name]["balanced_accuracy"]["mean"], default=None)
    made = {
        **{key: known[0][key] for key in ("words", "real", "normal", "data_hash", "train_rows", "test_rows")},
        "seeds": len(known),
        "refused": refused,
        "commits": sorted({str(one["commit"]) for one in known}),
        "fit_s": float(np.median([one["fit_s"] for one in known])),
        "windows": [one["window"] for one in known],
        "share_with_verdict": float(np.mean([one["share_with_verdict"] for one in known])),
        "best_expert": best,
        "figures": figures,
        "against": {},
    }
    for other in (*(name for name in figures if not name.startswith(("expert", "verdict", "detected"))), best):
        if other is not None:
            made["against"][other] = {column: difference(known, column, other, ratio) for column in COLUMNS}
    return made


def _mean(values: list[float], ratio: float) -> Json:
    half = _half(values, ratio)
    return {"mean": float(np.mean(values)), "half": half, "values": [round(value, 5) for value in values]}


def _half(values: Sequence[float], ratio: float) -> float | None:
    """Half of the 95% interval of the corrected resampled t-test; None for one value."""
    n = len(values)
    if n < 2:
        return None
    return float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) * np.sqrt(1 / n + ratio))


def difference(pieces: list[Json], method: str, other: str, ratio: float) -> Json:
    """Return the mean difference of balanced accuracies over seeds with both intervals, and the one that decides."""
    by_seed = [one["figures"][method]["balanced_accuracy"] for one in pieces]
    theirs = [one["figures"][other]["balanced_accuracy"] for one in pieces]
    values = [mine - their for mine, their in zip(by_seed, theirs, strict=True)]
    mean, half = float(np.mean(values)), _half(values, ratio)
    draws, single = _bootstrap([one["rows"] for one in pieces], method, other)
    low, high = (float(value) for value in np.quantile(draws, [0.025, 0.975]))
    by_t = single and half is not None
    return {
        "mean": mean,
        "by_run": [low, high],
        "by_seed": None if half is None else [mean - half, mean + half],
        "p": corrected_test(values, ratio),
        "decides": "by_seed" if by_t else "by_run",
        "interval": [mean - float(half or 0), mean + float(half or 0)] if by_t else [low, high],
    }


def _bootstrap(tests: list[dict[str, np.ndarray]], method: str, other: str) -> tuple[np.ndarray, bool]:
    """Return differences (draws,) with weights drawn for units, and whether a class has one unit only in some test."""
    units = np.unique(np.concatenate([one["unit"] for one in tests]))
    weights = np.random.default_rng(0).exponential(size=(_DRAWS, len(units)))
    draws, single = np.zeros(_DRAWS), False
    for one in tests:
        at, (classes, label) = np.searchsorted(units, one["unit"]), np.unique(one["y"], return_inverse=True)
        shape = (len(units), len(classes))
        size, mine, theirs = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        np.add.at(size, (at, label), 1)
        np.add.at(mine, (at, label), one[method] == one["y"])
        np.add.at(theirs, (at, label), one[other] == one["y"])
        single |= bool(((size > 0).sum(axis=0) < 2).any())
        draws += ((weights @ (mine - theirs)) / (weights @ size)).mean(axis=1) / len(tests)
    return draws, single


def _ranks(tables: dict[str, Json], metric: str, methods: Sequence[str]) -> dict[str, float]:
    """Return mean ranks over the tables that have the figure of all methods; 1 is best, equal figures share a rank."""
    rows = []
    for one in tables.values():
        values = [one["figures"].get(name, {}).get(metric, {}).get("mean") for name in methods]
        if None not in values:
            rows.append(rankdata([-METRICS[metric] * round(value, 4) for value in values]))
    return {} if not rows else dict(zip(methods, np.mean(rows, axis=0).round(3).tolist(), strict=True))


def _checks(tables: dict[str, Json], ranks: dict[str, float], column: str) -> list[Json]:
    """Return each check with whether it holds and where it does not; a table without a verdict fails it."""
    without = [name for name, one in tables.items() if "figures" not in one]
    below, behind = list(without), list(without)
    for name, one in tables.items():
        if name in without:
            continue
        against = one["against"]["boosting"][column]
        if against["interval"][1] < 0:
            below.append(f"{name} ({against['mean']:+.3f})")
        best = one["best_expert"]
        gap = one["against"][best][column] if best else None
        if gap and -gap["mean"] > max(_MARGIN, (gap["interval"][1] - gap["interval"][0]) / 2):
            behind.append(f"{name} ({gap['mean']:+.3f} to {best.removeprefix('expert ')})")
    first = bool(ranks) and all(ranks[column] < value for name, value in ranks.items() if name != column)
    return [
        {"check": "its mean rank is the best", "holds": first, "not": [] if first else [str(ranks)]},
        {"check": "nowhere below plain boosting by more than the interval", "holds": not below, "not": below},
        {
            "check": "where one of its experts is best, it is within 0.01 or the interval of it",
            "holds": not behind,
            "not": behind,
        },
    ]


def lines_of(made: Json) -> list[str]:
    """Return tables and checks as lines of Markdown."""
    whole = {name: one for name, one in made["tables"].items() if "figures" in one}
    others = [name for name in next(iter(whole.values()), {"against": {}})["against"] if not name.startswith("expert")]
    heads = ["verdict", "predict", *others, "best expert", "verdict - boosting"]
    lines = [
        "| table | window | rows with a verdict | " + " | ".join(heads) + " |",
        "|---|" + "---|" * (len(heads) + 2),
    ]
    for name, one in whole.items():
        against, best = one["against"]["boosting"]["verdict"], one["best_expert"]
        cells = [_figure(one, method) for method in ("verdict", "detected", *others)]
        cells.append(f"{_figure(one, best)} {best.removeprefix('expert ')}" if best else "")
        cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(against["mean"], *against["interval"]))
        window = ", ".join(str(w) for w in sorted(set(one["windows"])))
        lines.append(f"| {name} | {window} | {one['share_with_verdict']:.1%} | {' | '.join(cells)} |")
    for name, one in made["tables"].items():
        lines += [f"| {name}, seed {seed} | no verdict: {why} |" for seed, why in one["refused"].items()]
    lines += ["", "| mean rank | " + " | ".join(["verdict", *others]) + " |", "|---|" + "---|" * (len(others) + 1)]
    for column, words in COLUMNS.items():
        for metric in METRICS if column == "verdict" else ("balanced_accuracy", "macro_f1"):
            ranks = made["ranks"]["all"][column][metric]
            cells = [f"{ranks[key]:.2f}" for key in (column, *others) if key in ranks]
            lines.append(f"| {metric}, {words} | {' | '.join(cells)} |")
    lines += ["", "| check, balanced accuracy | by | holds | where not |", "|---|---|---|---|"]
    for column, words in COLUMNS.items():
        for check in made["checks"][column]:
            holds = "yes" if check["holds"] else "no"
            lines.append(f"| {check['check']} | {words} | {holds} | {'; '.join(check['not'])} |")
    return lines


def _figure(one: Json, method: str) -> str:
    return f"{one['figures'][method]['balanced_accuracy']['mean']:.3f}"


def chart(made: Json, path: Path) -> None:
    """Draw the differences of balanced accuracy to plain boosting, with the intervals of the verdict's."""
    from matplotlib.figure import Figure

    whole = {name: one for name, one in made["tables"].items() if "figures" in one}
    figure = Figure(figsize=(7.5, 0.42 * len(whole) + 1.2), layout="constrained")
    axes, at = figure.subplots(), np.arange(len(whole))[::-1]
    points = pd.DataFrame(
        {
            method: [
                one["figures"][method]["balanced_accuracy"]["mean"]
                - one["figures"]["boosting"]["balanced_accuracy"]["mean"]
                for one in whole.values()
            ]
            for method in ("verdict", "detected", "forest", "logistic")
        }
    )
    spans = np.array([one["against"]["boosting"]["verdict"]["interval"] for one in whole.values()])
    axes.hlines(at, spans[:, 0], spans[:, 1], color="#1b2026", linewidth=1)
    axes.plot(points["verdict"], at, "o", color="#1b2026", label="verdict, largest probability")
    axes.plot(points["detected"], at, "o", color="#1b2026", fillstyle="none", label="verdict, label of predict")
    axes.plot(points["forest"], at, "|", color="#1d5fa6", markersize=9, label="random forest")
    axes.plot(points["logistic"], at, "x", color="#b3261e", markersize=5, label="logistic regression")
    axes.axvline(0, color="#c9cfd6", zorder=0)
    axes.set_yticks(at, list(whole))
    axes.set_xlabel("balanced accuracy minus that of plain boosting (95% intervals over runs)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(fontsize=8, frameon=False, loc="best")
    figure.savefig(path, metadata={"Date": None})
