"""The effect of leaks on a score: one quick classifier on random rows and on whole runs, with leaks and without.

The figures compare ways of validation, not classifiers: 40 extremely randomised trees (P. Geurts, D. Ernst, L.
Wehenkel: Extremely randomized trees, 2006) on some thousand rows, mean of three draws. Large tables are thinned
evenly within their runs, which makes the inflated score too small rather than too large.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.leaks.leak_report import LeakReport
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.reading.table import Table, label_text
from faultwise.verdicts.splits import split

__all__ = ["LeakScores", "Score", "side_by_side"]

_MOST_ROWS = 6000
_TREES, _DRAWS, _HELD = 40, 3, 0.3
_MEANS = {
    ("random rows", True): "Rows held out at random, everything used: what a careless validation would report.",
    ("random rows", False): "Rows held out at random, without what leaks; rows of one run are still on both sides.",
    ("whole runs", True): "Whole runs held out, but with what leaks.",
    ("whole runs", False): "Whole runs held out, without what leaks: what to expect of new runs.",
    ("ends of runs", True): "The end of every run held out, but with what leaks.",
    ("ends of runs", False): "The end of every run held out, without what leaks; scores on new runs will be lower.",
    ("other source", True): "Trained on the one source and evaluated on the other, with what leaks.",
    ("other source", False): "Trained on the one source and evaluated on the other, without what leaks.",
}
_ALONE = "Rows held out at random, without what leaks: honest if every row is a separate measurement."


class Score(TypedDict):
    """Scores of one way of validation. `leaks`: whether leaking columns and duplicate rows take part; `means`: a
    sentence on what the scores mean.
    """

    split: str
    leaks: bool
    macro_f1: float
    mean_recall: float
    rows: int
    means: str


class LeakScores(TypedDict):
    """Scores by several ways of validation; `inflated` and `honest` are two of them, None where there are none."""

    scores: list[Score]
    inflated: Score | None
    honest: Score | None
    notes: list[str]


def side_by_side(table: Table, report: LeakReport, against: Table | None = None) -> LeakScores:
    """Return the same classifier's scores by several ways of validation, and what each of them means.

    `notes` say why scores are missing, and whether rows were thinned out. With `against`, a classifier fitted on
    `table` is evaluated on that table.
    """
    made: LeakScores = {"scores": [], "inflated": None, "honest": None, "notes": []}
    try:
        whole, other = _labelled(table), None if against is None else _labelled(against)
    except DataError as error:
        made["notes"].append(f"No scores: {error}")
        return made
    kept = np.ones(len(table.frame), bool)
    kept[report.duplicates] = False
    kept = kept[label_text(table.frame[str(table.roles.target)]).notna().to_numpy()]
    thin = _thinned(whole)
    if len(thin) < len(whole.frame):
        made["notes"].append(f"Scores are on {len(thin):,} of {len(whole.frame):,} rows, evenly spread over each run.")
    leaky = whole.rows(thin)
    clean = replace(whole, roles=replace(whole.roles, ignored=(*whole.roles.ignored, *report.columns))).rows(
        thin[kept[thin]]
    )
    sides = {True: leaky, False: clean} if report.columns or len(report.duplicates) else {False: leaky}
    if other is not None:
        _score(made, sides, "other source", other)
    else:
        _score(made, {True: leaky} | (sides if len(sides) == 2 else {}), "random rows")
        _score(made, sides, "whole runs")
        if whole.groups is not None and not _of(made, "whole runs"):
            _score(made, sides, "ends of runs")
    made["inflated"] = next((one for one in made["scores"] if one["leaks"]), None)
    made["honest"] = next((one for one in reversed(made["scores"]) if not one["leaks"]), None)
    return made


def _of(made: LeakScores, validation: str) -> list[Score]:
    return [one for one in made["scores"] if one["split"] == validation]


def _labelled(table: Table) -> Table:
    """Return the rows that have a label. Raises DataError when there are fewer than two labels."""
    if table.roles.target is None:
        raise DataError(f"no column of `{table.source}` holds the label: pass --target COL.")
    known = label_text(table.frame[table.roles.target]).notna().to_numpy()
    kept = table if known.all() else table.rows(known)
    if len(set(kept.y)) < 2:
        raise DataError(f"`{table.source}` has fewer than two labels in `{table.roles.target}`.")
    return kept


def _thinned(table: Table) -> np.ndarray:
    """Return positions of about 6000 rows, every n-th of each run."""
    step = -(-len(table.frame) // _MOST_ROWS)
    place = pd.Series(table.runs).groupby(table.runs).cumcount().to_numpy()
    return np.flatnonzero(place % step == 0)


def _score(made: LeakScores, sides: dict[bool, Table], validation: str, other: Table | None = None) -> None:
    """Add the scores of one way of validation, or a note on why there are none."""
    for leaks, table in sides.items():
        try:
            results = [_evaluated(table, validation, other, draw) for draw in range(_DRAWS if other is None else 1)]
        except DataError as error:
            made["notes"].append(f"No score by {validation}: {error}")
            return
        f1, recall = (float(value) for value in np.mean(results, axis=0))
        alone = validation == "random rows" and table.groups is None and not leaks
        made["scores"].append(
            {
                "split": validation,
                "leaks": leaks,
                "macro_f1": f1,
                "mean_recall": recall,
                "rows": len(table.frame),
                "means": _ALONE if alone else _MEANS[validation, leaks],
            }
        )


_KINDS = {"random rows": "row", "whole runs": "group", "ends of runs": "block"}


def _evaluated(table: Table, validation: str, other: Table | None, seed: int) -> tuple[float, float]:
    """Return macro-F1 and mean recall of one draw. Raises DataError when the split cannot be made."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import f1_score, recall_score

    X, y = table.X, table.y.astype(str)
    if other is None:
        train, test, _ = split(y, table.groups, _KINDS[validation], _HELD, seed)
        a, b, known, wanted = X.iloc[train], X.iloc[test], y[train], y[test]
    else:
        columns = [name for name in table.features if name in set(other.features)]
        a, b, known, wanted = X[columns], other.X[columns], y, other.y.astype(str)
    encoder = ColumnEncoder().fit(a)
    trees = ExtraTreesClassifier(_TREES, random_state=seed, n_jobs=1)
    guess = trees.fit(encoder.transform(a)[0].astype(np.float32), known).predict(
        encoder.transform(b)[0].astype(np.float32)
    )
    labels = sorted(set(wanted))
    shared = {"labels": labels, "average": "macro", "zero_division": 0}
    return float(f1_score(wanted, guess, **shared)), float(recall_score(wanted, guess, **shared))
