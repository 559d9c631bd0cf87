"""Drawing rows: as many of each class, the same share of each run, and in folds no others than in the fit on all."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.contracts.experts import ExpertContext
from faultwise.tables.fit.experts import classical
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Labelled


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(1, 200), st.integers(0, 99))
def test_each_run_gives_the_same_share_of_its_rows(lengths: list[int], most: int, seed: int) -> None:
    groups = np.repeat(np.arange(len(lengths)), lengths)
    drawn = draw_evenly(np.zeros(len(groups)), groups, most, seed)
    assert len(drawn) == min(most, len(groups)) == len(set(drawn))
    share = len(drawn) / len(groups)
    counts = np.bincount(groups[drawn], minlength=len(lengths))
    # A random start for each run: one row more or less, and one for the rows that share a turn.
    assert (np.abs(counts - share * np.array(lengths)) <= 2 + 0.1 * np.array(lengths)).all()


def test_a_run_of_one_row_is_drawn_as_often_as_any_other_row() -> None:
    groups = np.r_[np.zeros(99, int), np.arange(1, 100)]
    drawn = [draw_evenly(np.zeros(198), groups, 50, seed) for seed in range(40)]
    single = np.mean([(groups[rows] > 0).mean() for rows in drawn])
    assert 0.4 < single < 0.6


def _data(seed: int = 0) -> Labelled:
    """Forty runs with a short normal piece before a fault, and four that are long and normal throughout."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.tile(np.repeat(["normal", "leak", "wear"], [3, 20, 20]), 40), np.repeat("normal", 400)]
    groups = np.r_[np.repeat(np.arange(40), 43), 40 + np.repeat(np.arange(4), 100)]
    X = pd.DataFrame(rng.normal(size=(len(y), 4)), columns=list("abcd"))
    X.loc[y == "leak", "a"] += 1.5
    X.loc[groups >= 40, "a"] += 0.8  # normal rows long after the start are harder to tell from a leak
    return Labelled(X, y, groups)


def test_a_fold_learns_classes_in_the_shares_of_the_fit_on_all_rows() -> None:
    data, context = _data(), ExpertContext()
    limits = classical.Limits(300)
    expert = classical.ClassicalExpert("x", classical.logistic_regression(context)._unfitted, limits)
    of_all = expert.draw(data.X, data.y, data.groups)
    seen: list[pd.Series] = []

    class Watched(classical.ClassicalExpert):
        def _learn(self, X: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray | None) -> object:
            seen.append(pd.Series(codes).value_counts(normalize=True).sort_index())
            return super()._learn(X, codes, sample_weight)

    watched = Watched("x", expert._unfitted, limits)
    half = np.flatnonzero(data.groups % 2 == 0)
    for rows in (None, half):
        data.learnt(watched, rows)
    assert len(of_all) == 300
    assert np.allclose(seen[0], 1 / 3, atol=0.01)
    assert np.allclose(
        seen[1], seen[0], atol=0.05
    )  # drawn anew from the fold, normal rows would have been a fifth of it
    normal = of_all[data.y[of_all] == "normal"]
    assert 0.6 < (data.groups[normal] >= 40).mean() < 0.9  # 77% of the normal rows


def test_long_normal_runs_beside_short_normal_pieces_keep_the_rate_asked_for() -> None:
    known, new = _data(), _data(1)
    made = Diagnoser(experts=("logistic-regression",), false_alarm_rate=0.05, normal="normal")
    made.fit(known.X, known.y, known.groups)
    healthy = new.X[new.y == "normal"]
    assert (made.predict(healthy) != "normal").mean() < 0.08
