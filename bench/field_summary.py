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
from scipy.stats import rankdata, t

from faultwise.evaluate.paired import corrected_test

__all__ = ["chart", "lines_of", "summary"]

METRICS = {"balanced_accuracy": 1, "macro_f1": 1, "pr_auc": 1, "log_loss": -1}
RANKED = ("verdict", "boosting", "forest", "logistic")
# What ends the names of methods, and how their labels are found.
DECISIONS = {"": "largest probability", " detected": "at the false-alarm rate of `predict`"}
_OF = {"": tuple(METRICS), " detected": ("balanced_accuracy", "macro_f1")}  # probabilities are the same both ways
_MARGIN, _DRAWS = 0.01, 1000
Json = dict[str, Any]


def summary(pieces: Sequence[Json]) -> Json:
    """Return `tables`, `ranks` and `checks` of pieces, one for each table and seed, as `field.py` keeps them."""
    names = dict.fromkeys(one["table"] for one in pieces)
    tables = {name: _of_table([one for one in pieces if one["table"] == name]) for name in names}
    whole = {name: one for name, one in tables.items() if "figures" in one}
    every = ["verdict", *_others(whole)]
    kinds = {"plain": RANKED, "all": every}
    ranks = {
        kind: {
            decision or "largest": {
                metric: _ranks(whole, metric, decision, names) for metric in METRICS if metric in _OF[decision]
            }
            for decision in DECISIONS
        }
        for kind, names in kinds.items()
    }
    first = {decision: ranks["plain"][decision or "largest"]["balanced_accuracy"] for decision in DECISIONS}
    checks = {decision or "largest": _checks(tables, first[decision], decision) for decision in DECISIONS}
    return {"tables": tables, "ranks": ranks, "checks": checks}


def _others(tables: dict[str, Json]) -> list[str]:
    """Return the names of what stands beside the verdict, experts apart."""
    figures = next(iter(tables.values()))["figures"] if tables else {}
    return [name for name in figures if not name.startswith(("expert ", "verdict")) and not name.endswith(" detected")]


def _of_table(pieces: list[Json]) -> Json:
    known = [one for one in pieces if "figures" in one]
    refused = {str(one["seed"]): one.get("refused", "") for one in pieces if "figures" not in one}
    if not known:
        return {"seeds": 0, "refused": refused}
    ratio = float(np.mean([one["test_rows"] / one["train_rows"] for one in known]))
    figures = {}
    for method in known[0]["figures"]:
        if any(method not in one["figures"] for one in known):  # another package that was not done in time
            continue
        mine = [one["figures"][method] for one in known]
        figures[method] = {
            key: _mean([one[key] for one in mine], ratio)
            for key in (*METRICS, "far", "fdr")
            if all(one.get(key) is not None for one in mine)
        }
    best = {}
    for decision in DECISIONS:
        experts = [
            name for name in figures if name.startswith("expert ") and name.endswith(" detected") == bool(decision)
        ]
        best[decision] = max(experts, key=lambda name: figures[name]["balanced_accuracy"]["mean"], default=None)
    made = {
        **{key: known[0][key] for key in ("words", "real", "normal", "data_hash", "train_rows", "test_rows")},
        "seeds": len(known),
        "refused": refused,
        "commits": sorted({str(one["commit"]) for one in known}),
        "fit_s": float(np.median([one["fit_s"] for one in known])),
        "windows": [one["window"] for one in known],
        "share_with_verdict": float(np.mean([one["share_with_verdict"] for one in known])),
        "best_expert": {decision or "largest": name for decision, name in best.items()},
        "figures": figures,
        "against": {},
    }
    for decision in DECISIONS:
        for other in (*(name + decision for name in _others({"": made})), best[decision]):
            if other is not None:
                made["against"][other] = difference(known, f"verdict{decision}", other, ratio)
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


def _ranks(tables: dict[str, Json], metric: str, decision: str, methods: Sequence[str]) -> dict[str, float]:
    """Return mean ranks over the tables that have the figure of all methods; 1 is best, equal figures share a rank."""
    rows = []
    for one in tables.values():
        values = [one["figures"].get(name + decision, {}).get(metric, {}).get("mean") for name in methods]
        if None not in values:
            rows.append(rankdata([-METRICS[metric] * round(value, 4) for value in values]))
    return {} if not rows else dict(zip(methods, np.mean(rows, axis=0).round(3).tolist(), strict=True))


def _checks(tables: dict[str, Json], ranks: dict[str, float], decision: str) -> list[Json]:
    """Return each check with whether it holds and where it does not; a table without a verdict fails it."""
    without = [name for name, one in tables.items() if "figures" not in one]
    below, behind = list(without), list(without)
    for name, one in tables.items():
        if name in without:
            continue
        against = one["against"][f"boosting{decision}"]
        if against["interval"][1] < 0:
            below.append(f"{name} ({against['mean']:+.3f})")
        best = one["best_expert"][decision or "largest"]
        gap = one["against"][best] if best else None
        if gap and -gap["mean"] > max(_MARGIN, (gap["interval"][1] - gap["interval"][0]) / 2):
            behind.append(f"{name} ({gap['mean']:+.3f} to {_short(best)})")
    first = bool(ranks) and all(ranks["verdict"] < value for name, value in ranks.items() if name != "verdict")
    return [
        {"check": "its mean rank is the best", "holds": first, "not": [] if first else [_words(ranks)]},
        {"check": "nowhere below plain boosting by more than the interval", "holds": not below, "not": below},
        {
            "check": "where one of its experts is best, it is within 0.01 or the interval of it",
            "holds": not behind,
            "not": behind,
        },
    ]


def _words(ranks: dict[str, float]) -> str:
    return ", ".join(f"{name} {rank:.2f}" for name, rank in ranks.items())


def _short(expert: str) -> str:
    return expert.removeprefix("expert ").removesuffix(" detected")


def lines_of(made: Json) -> list[str]:
    """Return tables, mean ranks and checks as lines of Markdown."""
    whole = {name: one for name, one in made["tables"].items() if "figures" in one}
    others = _others(whole)
    lines = []
    for decision, words in DECISIONS.items():
        lines += ["", f"Balanced accuracy, {words}:", "", *_figures(whole, others, decision)]
    refused = {f"{name}, seed {n}": why for name, one in made["tables"].items() for n, why in one["refused"].items()}
    lines += ["", *(f"- No verdict for {which}: {why}" for which, why in refused.items())] if refused else []
    kinds = {"plain": list(RANKED[1:])}
    if set(others) - set(RANKED):
        kinds["all"] = others
    for kind, names in kinds.items():
        lines += ["", *_rank_lines(made["ranks"][kind], names, whole)]
    lines += ["", "| check, by balanced accuracy | labels | holds | where not |", "|---|---|---|---|"]
    for decision, words in DECISIONS.items():
        for check in made["checks"][decision or "largest"]:
            holds = "yes" if check["holds"] else "no"
            lines.append(f"| {check['check']} | {words} | {holds} | {'; '.join(check['not'])} |")
    return lines


def _rank_lines(ranks: Json, others: list[str], tables: dict[str, Json]) -> list[str]:
    """Return the table of mean ranks; only tables with the figures of all methods count."""
    count = sum(all(name in one["figures"] for name in others) for one in tables.values())
    lines = [
        f"| mean rank, {count} tables | verdict | " + " | ".join(others) + " |",
        "|---|" + "---|" * (len(others) + 1),
    ]
    for decision, words in DECISIONS.items():
        for metric, by_name in ranks[decision or "largest"].items():
            if by_name:
                cells = " | ".join(f"{by_name[name]:.2f}" for name in ("verdict", *others))
                lines.append(f"| {metric}, {words} | {cells} |")
    return lines


def _figures(tables: dict[str, Json], others: list[str], decision: str) -> list[str]:
    """Return the table of balanced accuracies of one way to find labels."""
    heads = ["table", "window", "rows with a verdict", "verdict", *others, "best expert", "verdict - boosting"]
    heads += ["false alarms", "faults detected"] if decision else []
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---|" * (len(heads) - 1)]
    for name, one in tables.items():
        figures, best = one["figures"], one["best_expert"][decision or "largest"]
        against = one["against"][f"boosting{decision}"]
        cells = [name, ", ".join(str(w) for w in sorted(set(one["windows"]))), f"{one['share_with_verdict']:.1%}"]
        for method in ("verdict", *others):
            known = figures.get(method + decision, {}).get("balanced_accuracy")
            cells.append(f"{known['mean']:.3f}" if known else "")
        cells.append(f"{figures[best]['balanced_accuracy']['mean']:.3f} {_short(best)}" if best else "")
        cells.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(against["mean"], *against["interval"]))
        if decision:
            rates = [figures[f"verdict{decision}"].get(key) for key in ("far", "fdr")]
            cells += [f"{rate['mean']:.1%}" if rate else "" for rate in rates]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def chart(made: Json, path: Path) -> None:
    """Draw the differences of balanced accuracy to plain boosting, with the intervals of the verdict's."""
    from matplotlib.figure import Figure

    whole = {name: one for name, one in made["tables"].items() if "figures" in one}
    figure = Figure(figsize=(7.5, 0.42 * len(whole) + 1.6), layout="constrained")
    axes, at = figure.subplots(), np.arange(len(whole))[::-1]
    for number, (decision, words) in enumerate(DECISIONS.items()):
        spans = np.array([one["against"][f"boosting{decision}"]["interval"] for one in whole.values()])
        middle = np.array([one["against"][f"boosting{decision}"]["mean"] for one in whole.values()])
        lower = at + 0.14 - 0.28 * number
        axes.hlines(lower, spans[:, 0], spans[:, 1], color="#1b2026", linewidth=1)
        axes.plot(
            middle, lower, "o", color="#1b2026", fillstyle="none" if decision else "full", label=f"verdict, {words}"
        )
    for name, mark, colour in (("forest", "|", "#1d5fa6"), ("logistic", "x", "#b3261e")):
        values = [one["figures"][name]["balanced_accuracy"]["mean"] for one in whole.values()]
        plain = [one["figures"]["boosting"]["balanced_accuracy"]["mean"] for one in whole.values()]
        axes.plot(np.subtract(values, plain), at + 0.14, mark, color=colour, markersize=6, label=name)
    axes.axvline(0, color="#c9cfd6", zorder=0)
    axes.set_yticks(at, list(whole))
    axes.set_xlabel("balanced accuracy minus that of plain boosting (95% intervals over runs)")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(fontsize=8, frameon=False, loc="outside upper left", ncols=2)
    figure.savefig(path, metadata={"Date": None})
