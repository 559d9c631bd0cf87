"""Ranking of compared experts: means over splits with intervals, tests against the best, risk curves, confusions.

Everything is computed from the results that `comparison` yields; nothing is fitted, drawn or written.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from faultwise.evaluate.paired import corrected_test, holm
from faultwise.evaluate.record import Entries, Entry
from faultwise.evaluate.risk import at_shares, risk_curve
from faultwise.evaluate.summary import interval
from faultwise.tables.evaluate.comparison import Plan, predictions, uncertainties

__all__ = ["ALIKE", "BEST", "RANKED_BY", "UNTESTED", "WORSE", "caveats", "confusion", "curves", "ranking", "remarks"]

RANKED_BY = "mean_recall"
BEST, ALIKE, WORSE, UNTESTED = (
    "best",
    "not distinguishable from the best",
    "worse than the best",
    "too few splits to tell",
)
# Each figure with the largest value it can have.
_FIGURES = {
    "mean_recall": 1.0,
    "accuracy": 1.0,
    "balanced_accuracy": 1.0,
    "macro_f1": 1.0,
    "pr_auc": 1.0,
    "log_loss": np.inf,
    "aurc": 1.0,
    "fdr": 1.0,
    "far": 1.0,
}
_OTHERS = (
    ("accuracy", "accuracy", 1),
    ("macro_f1", "macro-F1", 1),
    ("pr_auc", "PR-AUC", 1),
    ("log_loss", "log-loss", -1),
    ("aurc", "AURC", -1),
)
_COSTS = ("fit_s", "rows_per_s", "peak_rss_mb")
_SHARES = np.arange(1, 101) / 100
_LEVEL = 0.05


def ranking(results: Entries, ratio: float) -> list[Entry]:
    """Return one line per expert, best mean recall first; an expert with fewer splits comes after those with more.

    A line has the mean of every figure over the splits with its 95% interval (`..._low`, `..._high`; None for one
    split), medians of costs, `p` (corrected resampled t-test of the mean recall against the best, Holm-adjusted) and
    `against_best` in words. `ratio` is test rows per training row.
    """
    by_expert: dict[str, dict[tuple[int, int], Entry]] = {}
    for one in results:
        by_expert.setdefault(one["expert"], {})[one["seed"], one["fold"]] = one
    lines = []
    for name, mine in by_expert.items():
        line: Entry = {"expert": name, "splits": len(mine)}
        for key, most in _FIGURES.items():
            found = [one["figures"].get(key) for one in mine.values()]
            known = [value for value in found if value is not None]
            if known:
                line[key], line[f"{key}_low"], line[f"{key}_high"] = interval(known, ratio, most)
        for key in _COSTS:
            known = [one[key] for one in mine.values() if one[key] is not None]
            line[key] = float(np.median(known)) if known else None
        lines.append(line)
    lines.sort(key=lambda line: (-line["splits"], -line[RANKED_BY]))
    return _tested(lines, by_expert, ratio)


def _tested(lines: list[Entry], by_expert: Mapping[str, Mapping[tuple[int, int], Entry]], ratio: float) -> list[Entry]:
    """Add `p` and `against_best` to each line; the first is the best."""
    if not lines:
        return []
    best = by_expert[lines[0]["expert"]]
    tests = []
    for line in lines[1:]:
        other = by_expert[line["expert"]]
        both = [split for split in best if split in other]
        differences = [best[at]["figures"][RANKED_BY] - other[at]["figures"][RANKED_BY] for at in both]
        tests.append(corrected_test(differences, ratio))
    known = [p for p in tests if p is not None]
    adjusted = iter(holm(known))
    lines[0] |= {"p": None, "against_best": BEST}
    for line, test in zip(lines[1:], tests, strict=True):
        p = None if test is None else next(adjusted)
        line |= {"p": p, "against_best": UNTESTED if p is None else WORSE if p < _LEVEL else ALIKE}
    return lines


def curves(plan: Plan, results: Entries) -> dict[str, list[float]]:
    """Return each expert's error among its most confident 1%, 2%, ... 100% of rows, as the mean over its splits."""
    made: dict[str, list[np.ndarray]] = {}
    for one in results:
        split = plan.split(one)
        wrong = predictions(plan, one) != plan.y[split.test]
        made.setdefault(one["expert"], []).append(at_shares(risk_curve(uncertainties(plan, one), wrong), _SHARES))
    return {name: np.mean(mine, axis=0).round(5).tolist() for name, mine in made.items()}


def confusion(plan: Plan, results: Entries, name: str) -> list[list[int]]:
    """Return how often an expert predicted each label (column) for each true one (row), over all its splits."""
    classes = plan.classes
    made = np.zeros((len(classes), len(classes)), int)
    for one in results:
        if one["expert"] == name:
            truth = np.searchsorted(classes, plan.y[plan.split(one).test])
            np.add.at(made, (truth, np.searchsorted(classes, predictions(plan, one))), 1)
    return made.tolist()


def remarks(lines: Entries) -> list[str]:
    """Return sentences on which experts differ from the best, and which are first by other figures."""
    best, rest = lines[0], lines[1:]
    sentences = []
    for words in (ALIKE, WORSE):
        names = [line["expert"] for line in rest if line["against_best"] == words]
        if names:
            sentences.append(f"{words[0].upper()}{words[1:]} (`{best['expert']}`) in mean recall: {', '.join(names)}.")
    firsts: dict[str, list[str]] = {}
    for key, words, sign in _OTHERS:
        given = [line for line in lines if key in line and line["splits"] == best["splits"]]
        first = max(given, key=lambda line: sign * line[key], default=best)["expert"]
        if first != best["expert"]:
            firsts.setdefault(first, []).append(words)
    others = "; ".join(f"{name} by {', '.join(words)}" for name, words in firsts.items())
    return [*sentences, f"First by other figures: {others}."] if others else sentences


def caveats(lines: Entries, ratio: float) -> list[str]:
    """Return sentences on the limits of intervals, tests and costs; `ratio` is test rows per training row."""
    notes = ["Each expert is compared by itself here: a fit calibrates and fuses them."]
    splits = max(line["splits"] for line in lines)
    if splits > 1:
        notes.append(
            f"Intervals: 95% over {splits} splits by the corrected resampled t-test (Nadeau and Bengio 2003), variance "
            f"factor 1/{splits} + {ratio:.2f}; tests against the best are paired, by the same correction, and adjusted "
            "by Holm. The best was chosen by the same figures, which favours it a little."
        )
    else:
        notes.append("One split gives no interval and no test: the influence of the random draw is unknown.")
    if len({line["splits"] for line in lines}) > 1:
        notes.append("Not all experts have been run on all splits: tests use the splits that both have.")
    measured = any(line["peak_rss_mb"] is not None for line in lines)
    return [
        *notes,
        "Times and memory are medians over splits on this machine. Memory is what fitting and predicting took beyond "
        "what the process held before (resident, at its peak)"
        + ("." if measured else ": not measured on this system."),
    ]
