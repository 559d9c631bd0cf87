"""Accuracies over several seeds as means with intervals, the study's published figures, and the limits of both.

The study is the one of `tables.evaluate.thesis`; its figures are copied as published and enter no computation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from faultwise.evaluate.record import Entries, Entry

__all__ = ["PUBLISHED", "caveats", "interval", "summary"]

# Train and test accuracy as published, each measured once. "language-model" is LLaMA 2 7B chat with QLoRA.
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "hst": {
        "random-forest": (1.000, 0.850),
        "logistic-regression": (0.867, 0.800),
        "svm": (0.854, 0.767),
        "knn": (0.771, 0.717),
        "gradient-boosting": (1.000, 0.867),
        "language-model": (0.858, 0.883),
    },
    "tep": {
        "random-forest": (0.985, 0.819),
        "logistic-regression": (0.900, 0.694),
        "svm": (0.573, 0.506),
        "knn": (0.580, 0.569),
        "gradient-boosting": (0.985, 0.844),
        "language-model": (0.942, 0.731),
    },
}


def summary(results: Entries, published: str | None = None) -> list[Entry]:
    """Return one line per expert, best test accuracy first: means over seeds, 95% intervals (t), published figures.

    Intervals cover the random draws only: seeds draw from the same rows, so they do not cover other plants.

    >>> lines = summary([{"seed": s, "expert": "knn", "train": 1.0, "test": t} for s, t in enumerate([0.6, 0.8])])
    >>> {key: lines[0][key] for key in ("expert", "seeds", "train", "test", "test_low", "test_high")}
    {'expert': 'knn', 'seeds': 2, 'train': 1.0, 'test': 0.7, 'test_low': 0.0, 'test_high': 1.0}
    """
    beside = PUBLISHED[published] if published else {}
    lines = []
    for name in dict.fromkeys(str(result["expert"]) for result in results):
        mine = [result for result in results if result["expert"] == name]
        line: Entry = {"expert": name, "seeds": len(mine)}
        for part in ("train", "test"):
            line[part], line[f"{part}_low"], line[f"{part}_high"] = interval([float(one[part]) for one in mine])
        if published:
            line["published_train"], line["published_test"] = beside.get(name, (None, None))
        lines.append(line)
    return sorted(lines, key=lambda line: -line["test"])


def caveats(test_rows: int, seeds: int, published: str | None) -> list[str]:
    """Return sentences on the limits of the figures: the weight of one of `test_rows`, what an interval over `seeds`
    covers, and how the published figures were measured.
    """
    notes = [
        f"Accuracy on {test_rows} test rows a seed: one row is {100 / test_rows:.1f} points."
        + (
            " One seed gives no interval."
            if seeds < 2
            else f" Intervals: 95% over {seeds} seeds, which share their rows."
        )
    ]
    words = {
        "tep": (
            "the Rieth files, which are other simulations",
            160,
            " One table of the report repeats LLaMA 2's figures for the other data set there, by mistake.",
        ),
        "hst": ("high-speed-train braking", 60, ""),
    }
    if published:
        rows, size, more = words[published]
        notes.append(
            "The published figures were measured once, with LLaMA 2 7B as language model, on one test of "
            f"{size} rows of {rows}: one row is {100 / size:.1f} points. They are not the same rows and are given "
            f"for orientation only.{more}"
        )
    return notes


def interval(
    shares: Sequence[float], ratio: float = 0.0, most: float = 1.0
) -> tuple[float, float | None, float | None]:
    """Mean and 95% interval of Student's t, within 0 and `most`; one value has no interval.

    Values over repeated splits of the same rows are not independent: with `ratio`, test rows per training row, the
    variance of the mean is (1/n + ratio) times theirs instead of 1/n (Nadeau and Bengio 2003).
    """
    mean = float(np.mean(shares))
    if len(shares) < 2:
        return mean, None, None
    from scipy.stats import t

    half = float(t.ppf(0.975, len(shares) - 1) * np.std(shares, ddof=1) * np.sqrt(1 / len(shares) + ratio))
    return mean, max(0.0, mean - half), min(most, mean + half)
