"""p-values and fault sets calibrated on whole runs: checked against the formula, against crepes, and by trying.

The scores are drawn here; what a fitted plant makes of them is in test_calibration.py.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():  # crepes switches all warnings on as it is imported
    from crepes import ConformalClassifier

from faultwise.verdicts.calibration import Calibration, statuses
from faultwise.verdicts.conformal import FaultSets, PValues, most_coverage, nonconformity
from faultwise.verdicts.novelty import Novelty

FLOATS = st.floats(-1e6, 1e6, allow_subnormal=False)
ROWS = st.lists(st.tuples(FLOATS, st.integers(0, 6)), min_size=1, max_size=30)
CLASSES = np.array(["0", "1", "2", "3"])


def _fitted(rows: list[tuple[float, int]], seed: int = 0) -> tuple[PValues, np.ndarray, np.ndarray]:
    scores, runs = np.array([score for score, _ in rows]), np.array([run for _, run in rows])
    return PValues().fit(scores, runs, seed), scores, runs


# --- p-values ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(FLOATS, max_size=10))
def test_p_values_fall_with_the_score_and_keep_their_bounds(rows: list[tuple[float, int]], more: list[float]) -> None:
    p, scores, runs = _fitted(rows)
    count = len(set(runs))
    assert p.runs == count
    found = p(np.sort(np.r_[scores, more, scores.min() - 1, scores.max() + 1]))
    assert (np.diff(found) <= 1e-12).all()
    assert found[0] == 1
    assert found.min() == pytest.approx(1 / (count + 1))  # no score is stranger than this
    np.testing.assert_array_equal(p(np.reshape(scores, (1, -1))), p(scores)[None])  # any shape


@settings(max_examples=40, deadline=None)
@given(st.lists(FLOATS, min_size=1, max_size=40), st.lists(FLOATS, max_size=10))
def test_with_one_row_a_run_they_are_those_of_split_conformal(scores: list[float], requested: list[float]) -> None:
    p = PValues().fit(np.array(scores), np.arange(len(scores)))
    at = np.r_[scores, requested, np.nextafter(scores, np.inf), np.nextafter(scores, -np.inf)]
    direct = ConformalClassifier().fit(np.array(scores)).predict_p(at, smoothing=False)
    np.testing.assert_allclose(p(at), direct, rtol=0, atol=1e-12)


def test_coarse_steps_never_exclude_more() -> None:
    """From 501 different scores on a step holds several, and the highest p-value among them."""
    rng = np.random.default_rng(0)
    scores, at = rng.normal(size=1500), np.r_[rng.normal(size=500), -9.0, 9.0]
    p = PValues().fit(scores, np.arange(1500))
    assert len(p.steps) <= 500
    direct = ConformalClassifier().fit(scores).predict_p(at, smoothing=False)
    assert (p(at) >= direct - 1e-12).all()
    assert (p(at) - direct).max() < 0.01
    assert p(np.array([scores.max()]))[0] >= 2 / 1501
    assert p(np.array([9.0]))[0] == pytest.approx(1 / 1501)


@settings(max_examples=25, deadline=None)
@given(ROWS, st.lists(FLOATS, min_size=1, max_size=10))
def test_they_are_those_for_hierarchical_data(rows: list[tuple[float, int]], requested: list[float]) -> None:
    """(1 + the sum over runs of the share of rows as strange) / (K + 1), by Lee, Barber and Willett, but for chance."""
    p, scores, runs = _fitted(rows)
    at = np.r_[scores, requested]
    shares = np.array([(scores[runs == run][:, None] >= at).mean(axis=0) for run in np.unique(runs)])
    chance = np.sqrt((shares * (1 - shares)).sum(axis=0) / 100) / (len(shares) + 1)  # of 100 draws
    assert (np.abs(p(at) - (1 + shares.sum(axis=0)) / (len(shares) + 1)) <= 6 * chance + 0.06 / (len(shares) + 1)).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(FLOATS, st.integers(1, 5)), min_size=1, max_size=8))
def test_more_rows_of_the_same_count_for_nothing(runs: list[tuple[float, int]]) -> None:
    scores, lengths = np.array([score for score, _ in runs]), [length for _, length in runs]
    once = PValues().fit(scores, np.arange(len(runs)))
    often = PValues().fit(np.repeat(scores, lengths), np.repeat(np.arange(len(runs)), lengths))
    assert often == once


def test_a_seed_gives_the_same_draws() -> None:
    rows = [(float(value), at % 3) for at, value in enumerate(np.random.default_rng(1).normal(size=30))]
    assert _fitted(rows, seed=4)[0] == _fitted(rows, seed=4)[0]
    assert _fitted(rows, seed=4)[0] != _fitted(rows, seed=5)[0]


# --- coverage ------------------------------------------------------------------------------------------------


def _correlated(rng: np.random.Generator, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and runs: rows of a run are nearly equal, and every third run or so is short and hard."""
    hard = rng.random(runs) < 0.3
    lengths = np.where(hard, 3, 24)
    level = np.where(hard, 3.0, 0.0) + rng.normal(size=runs)
    scores = np.repeat(level, lengths) + rng.normal(0, 0.1, lengths.sum())
    return scores.round(1), np.repeat(np.arange(runs), lengths)  # few different scores: crepes takes its time


def _conforming_by_run(p: PValues, scores: np.ndarray, runs: np.ndarray, coverage: float) -> float:
    """Return the share of a run's rows that conform, on average over runs: a row drawn from a run drawn."""
    return float(pd.Series(p.conforming(scores, coverage)).groupby(runs).mean().mean())


@pytest.mark.parametrize(("runs", "coverage"), [(9, 0.9), (19, 0.8)])
def test_new_runs_have_the_requested_coverage(runs: int, coverage: float) -> None:
    """Over many calibrations. Taking rows for exchangeable, as row-wise split conformal does, fails here clearly."""
    rng = np.random.default_rng(runs)
    by_run, by_row = [], []
    for _ in range(50):
        scores, of = _correlated(rng, runs)
        new = _correlated(rng, 300)
        by_run.append(_conforming_by_run(PValues().fit(scores, of), *new, coverage))
        limit = np.quantile(scores, coverage * (1 + 1 / len(scores)), method="higher")
        by_row.append(float(pd.Series(new[0] <= limit).groupby(new[1]).mean().mean()))
    error = np.std(by_run) / np.sqrt(len(by_run))
    assert error < 0.02
    assert np.mean(by_run) > coverage - 3 * error
    assert np.mean(by_run) < coverage + 2 / (runs + 1)  # and not because everything conforms
    assert np.mean(by_row) < coverage - 0.08


@given(st.integers(0, 10_000))
def test_the_largest_promise(runs: int) -> None:
    assert most_coverage(runs) == pytest.approx(1 - 1 / (runs + 1))
    assert most_coverage(runs) < most_coverage(runs + 1) < 1


@pytest.mark.parametrize("coverage", [0.75, 0.9, 0.999])
def test_too_few_runs_promise_what_they_can(coverage: float) -> None:
    """Three runs can promise 75%, and not by leaving nothing out."""
    p = PValues().fit(np.array([1.0, 2.0, 3.0]), np.arange(3))
    assert p.conforming(np.array([0.0, 3.0, 3.1]), coverage).tolist() == [True, True, False]


# --- nonconformity and sets -----------------------------------------------------------------------------------


def test_the_label_of_the_verdict_conforms_always() -> None:
    p = np.array([[0.2, 0.5, 0.2, 0.1], [0.1, 0.1, 0.7, 0.1]])
    made = nonconformity(p, CLASSES, np.array(["0", "2"], dtype=object))
    np.testing.assert_allclose(made, [[0.0, 0.5, 0.8, 0.9], [0.9, 0.9, 0.0, 0.9]])
    assert p[0, 0] == 0.2  # what was given is left alone


@st.composite
def _calibrations(draw: Any) -> tuple[FaultSets, np.ndarray, np.ndarray]:
    """Sets calibrated on drawn rows, perhaps without some of the classes, and new rows with their verdicts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, new = draw(st.integers(1, 25)), 12
    p = rng.dirichlet(np.full(4, draw(st.sampled_from([0.05, 0.5, 5.0]))), rows + new)
    verdict = np.where(rng.random(rows + new) < 0.8, CLASSES[p.argmax(axis=1)], "0")  # detection comes first
    y = rng.choice(CLASSES[: draw(st.integers(1, 4))], rows)
    scores = nonconformity(p, CLASSES, verdict)
    sets = FaultSets().fit(scores[:rows], y, CLASSES, rng.integers(0, draw(st.integers(1, 30)), rows))
    return sets, scores[rows:], verdict[rows:]


@settings(max_examples=25, deadline=None)
@given(_calibrations(), st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), st.booleans())
def test_sets_hold_the_verdict_and_grow_with_the_coverage(
    made: tuple[FaultSets, np.ndarray, np.ndarray], coverages: tuple[float, float], per_class: bool
) -> None:
    sets, scores, verdict = made
    small, large = (sets.members(scores, CLASSES, coverage, per_class) for coverage in sorted(coverages))
    assert small.shape == scores.shape
    assert small[np.arange(len(verdict)), np.searchsorted(CLASSES, verdict)].all()
    assert (large >= small).all()
    likelier = scores[:, :, None] < scores[:, None, :]
    if not per_class:  # one limit for all labels: a likelier one is never left out before another
        assert (small[:, :, None] | ~small[:, None, :] | ~likelier).all()


@pytest.mark.parametrize("coverage", [0.1, 0.9])
def test_a_label_without_calibration_runs_stays_in_every_set(coverage: float) -> None:
    scores = np.array([[0.0, 0.9, 0.9, 0.9], [0.9, 0.0, 1.0, 0.9]])
    sets = FaultSets().fit(scores[[0] * 9], np.repeat("0", 9), CLASSES, np.arange(9))
    held = sets.members(scores, CLASSES, coverage, per_class=True)
    assert held.tolist() == [[True, True, True, True], [False, True, True, True]]


def _uneven(rng: np.random.Generator, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nonconformity, labels, classes and runs: one run in four is of label "1", which is often taken for "0"."""
    labels = np.repeat(np.tile(["0", "1", "0", "0"], runs), 4)
    of = np.repeat(np.arange(4 * runs), 4)
    level = rng.normal(size=4 * runs)[of] + 0.3 * rng.normal(size=len(of))
    of_one = (1 / (1 + np.exp(-np.where(labels == "1", level, level - 6)))).round(2)
    p = np.column_stack([1 - of_one, of_one])
    return nonconformity(p, CLASSES[:2], CLASSES[:2][p.argmax(axis=1)]), labels, CLASSES[:2], of


def test_coverage_within_each_class() -> None:
    """Over all runs the easy class pays for the hard one; calibrated class by class it does not."""
    rng = np.random.default_rng(3)
    covered: dict[tuple[bool, str], list[float]] = {(per, label): [] for per in (False, True) for label in "01"}
    for _ in range(30):
        sets = FaultSets().fit(*_uneven(rng, 9))
        scores, labels, classes, _ = _uneven(rng, 100)
        for per, label in covered:
            held = sets.members(scores[labels == label], classes, 0.9, per)
            covered[per, label].append(float(held[:, int(label)].mean()))
    mean = {key: float(np.mean(values)) for key, values in covered.items()}
    error = {key: float(np.std(values)) / np.sqrt(30) for key, values in covered.items()}
    assert max(error.values()) < 0.025
    assert 0.75 * mean[False, "0"] + 0.25 * mean[False, "1"] > 0.9 - 3 * error[False, "1"] / 4
    assert mean[False, "1"] < 0.8
    assert 0.9 - 3 * error[True, "1"] < mean[True, "1"] < 0.97
    assert mean[True, "0"] > 0.9 - 3 * error[True, "0"]


def test_a_class_with_few_runs_does_not_change_the_others() -> None:
    scores = np.column_stack([np.r_[np.linspace(0, 0.5, 20), [0.9] * 2], np.r_[[0.9] * 20, 0.2, 0.4]])
    labels = np.array(["0"] * 20 + ["1"] * 2)
    sets = FaultSets().fit(scores, labels, CLASSES[:2], np.arange(22))
    requested = np.array([[0.46, 0.41], [0.5, 0.4], [0.51, 0.3]])
    # Twenty runs hold 90% in the 19 smallest of 21; two hold 67% in all that they have shown.
    assert sets.members(requested, CLASSES[:2], 0.9, per_class=True).tolist() == [
        [True, False],
        [False, True],
        [False, True],
    ]


# --- notes ----------------------------------------------------------------------------------------------------


def _calibration(runs: dict[str, int], **settings: Any) -> Calibration:
    counted = PValues(runs=sum(runs.values()))
    return Calibration(FaultSets(counted), counted, runs_by_class=runs, **settings)


@pytest.mark.parametrize(
    ("runs", "settings", "promised", "words", "absent"),
    [
        ({"0": 9, "1": 9}, {}, 0.9, "in 90% of rows of all classes together, for new runs like the 18", "requested"),
        ({"0": 9, "1": 9}, {"per": "class"}, 0.9, "in 90% of rows of each class", "requested"),
        ({"0": 2, "1": 2}, {}, 0.8, "90% was requested: the 4 calibration runs guarantee 80%", "by itself"),
        ({"0": 20, "1": 4}, {"per": "class"}, 0.8, "the fewest calibration runs of a class are 4", "by itself"),
        (
            {"0": 20, "1": 4},
            {},
            0.9,
            "does not hold for each class by itself: the fewest calibration runs",
            "requested",
        ),
        ({"0": 30, "1": 3}, {"coverage": 0.5}, 0.5, "in 50% of rows", "by itself"),
        ({"0": 6, "1": 4}, {"coverage": 0.95}, 10 / 11, "it needs 19.", "by itself"),
    ],
)
def test_what_is_promised_and_what_cannot_be(
    runs: dict[str, int], settings: dict[str, Any], promised: float, words: str, absent: str
) -> None:
    made = _calibration(runs, **settings)
    assert made.runs == sum(runs.values())
    assert made.promised == pytest.approx(promised)
    assert words in made.note()
    assert absent not in made.note()


@pytest.mark.parametrize(("runs", "coverage"), [(18, 0.95), (400, 0.999), (50, 0.995)])
def test_no_figure_is_rounded_into_another_promise(runs: int, coverage: float) -> None:
    """18 runs guarantee 94.7%, which is not the requested 95%; and nothing guarantees 100%."""
    note = _calibration({"0": runs}, coverage=coverage).note()
    figures = [float(word.rstrip("%,.")) for word in note.split() if "%" in word]
    assert len(set(figures)) >= 2
    assert max(figures) < 100


@settings(max_examples=15, deadline=None)
@given(_calibrations())
def test_sets_survive_json(made: tuple[FaultSets, np.ndarray, np.ndarray]) -> None:
    sets, scores, _ = made
    calibration = Calibration(sets, sets.over_all, 0.8, "class", 0.1, {"0": 3})
    back = Calibration.from_dict(json.loads(json.dumps(calibration.to_dict(), allow_nan=False)))
    assert back == calibration
    np.testing.assert_array_equal(back.sets.members(scores, CLASSES, 0.8), sets.members(scores, CLASSES, 0.8))
    assert FaultSets.from_dict(asdict(sets)) == sets


# --- unknown -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", [19, 49, 99, 199])
def test_what_is_stranger_than_all_runs_is_unknown_at_the_least_rate(runs: int) -> None:
    """K runs can tell 1 row in K + 1, also where the mean of 100 draws differs from it in its last digit."""
    p = PValues().fit(np.arange(runs, dtype=float), np.arange(runs))
    found = statuses(np.ones((2, 1), bool), p(np.array([runs + 1.0, 0.0])), 1 / (runs + 1))
    assert found.tolist() == ["unknown", "named"]


def test_statuses_by_size() -> None:
    """Half of the labels at most are a help; two always are."""
    sizes = np.tril(np.ones((8, 8), bool))
    known = np.full(8, 0.5)
    assert statuses(sizes, known, 0.05).tolist() == ["named", *["several"] * 3, *["undecided"] * 4]
    assert statuses(np.ones((1, 2), bool), known[:1], 0.05).tolist() == ["several"]
    assert statuses(np.ones((1, 3), bool), known[:1], 0.05).tolist() == ["undecided"]
    assert statuses(sizes, np.full(8, 0.05), 0.05).tolist() == ["unknown"] * 8  # whatever the set is


# --- novelty -------------------------------------------------------------------------------------------------


def _known(rows: int = 600, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Two classes: `flow` moves, `level` follows it within a class, `ripple` is a deviation above zero."""
    rng = np.random.default_rng(seed)
    y = np.repeat(["ok", "leak"], rows // 2)
    flow = rng.normal(size=rows) + np.where(y == "leak", 6.0, 0.0)
    level = flow + 0.1 * rng.normal(size=rows)
    return pd.DataFrame({"flow": flow, "level": level, "ripple": np.exp(0.2 * rng.normal(size=rows))}), y


LOGGED = np.array([False, False, True])


def test_what_resembles_a_class_is_nearer_than_what_resembles_none() -> None:
    X, y = _known()
    known = Novelty.fit(X, y, LOGGED)
    usual = np.quantile(known.scores(_known(seed=1)[0]), 0.99)
    unlike = pd.DataFrame(
        {"flow": [3.0, 0.0, 6.0, 0.0], "level": [3.0, 2.0, 6.0, 0.0], "ripple": [1.0, 1.0, 1 / 8, 8.0]},
        index=["between", "broken relation", "a calm", "an unrest"],
    )
    scores = pd.Series(known.scores(unlike), unlike.index)
    assert (scores.drop("between") > usual).all()
    centres = known.scores(pd.DataFrame({"flow": [0.0, 6.0], "level": [0.0, 6.0], "ripple": [1.0, 1.0]}))
    assert centres.max() < min(usual, scores["between"] - 4)
    # Eightfold and an eighth are equally far at the centre of a class.
    apart = known.scores(pd.DataFrame({"flow": [0.0] * 2, "level": [0.0] * 2, "ripple": [8.0, 1 / 8]}))
    assert apart[0] == pytest.approx(apart[1], rel=0.2)


def test_each_class_has_its_own_shape() -> None:
    """In one class `level` follows `flow`, in the other it opposes it; a third varies little, so it is denser."""
    rng = np.random.default_rng(0)
    flow, noise = rng.normal(size=900), 0.1 * rng.normal(size=900)
    y = np.repeat(["follows", "opposes", "still"], 300)
    flow[y == "still"] *= 0.1
    level = np.where(y == "opposes", -flow, flow) + noise
    X = pd.DataFrame({"flow": flow + np.repeat([0.0, 20.0, 40.0], 300), "level": level})
    known = Novelty.fit(X, y, np.zeros(2, bool))
    at = {"flow": [2.0, 2.0, 22.0, 22.0, 0.0, 40.0], "level": [2.0, -2.0, 2.0, -2.0, 0.0, 0.0]}
    follows, broken, other_broken, opposes, loose, dense = known.scores(pd.DataFrame(at))
    assert max(follows, opposes) + 3 < min(broken, other_broken)
    assert dense < loose - 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.lists(st.floats(-50, 50), min_size=2, max_size=2))
def test_units_do_not_matter(powers: list[float], offsets: list[float]) -> None:
    X, y = _known(200)
    factor, offset = 10.0 ** np.array(powers), np.array([*offsets, 0.0])
    new = _known(100, seed=2)[0]
    plain = Novelty.fit(X, y, LOGGED).scores(new)
    other = Novelty.fit((X + offset) * factor, y, LOGGED).scores((new + offset) * factor)
    np.testing.assert_allclose(other, plain, rtol=1e-3, atol=1e-2)


def test_rows_are_judged_one_by_one() -> None:
    """Many rows are judged in pieces; a row's score is its own."""
    known = Novelty.fit(*_known(200), LOGGED)
    new = _known(11_002, seed=3)[0]
    whole = known.scores(new)
    some = [0, 4_999, 5_000, 9_999, 10_000, 11_001]
    np.testing.assert_allclose(whole[some], known.scores(new.iloc[some]), rtol=1e-9)
    assert known.scores(new.iloc[:0]).shape == (0,)


def test_means_are_in_the_features_own_units() -> None:
    X, y = _known()
    known = Novelty.fit(X, y, LOGGED)
    for at, label in enumerate(["leak", "ok"]):
        mine = X[y == label]
        assert known.means(at)[:2] == pytest.approx(mine[["flow", "level"]].mean().to_numpy(), rel=1e-4)
        assert known.means(at)[2] == pytest.approx(np.exp(np.log(mine["ripple"]).mean()), rel=1e-2)


def test_a_constant_feature_counts_when_it_moves() -> None:
    X, y = _known(200)
    known = Novelty.fit(X.assign(still=7.0), y, np.r_[LOGGED, False])
    new = X.iloc[:1].assign(still=7.0)
    assert np.isfinite(known.scores(new)).all()
    assert known.scores(new.assign(still=47.0))[0] > known.scores(new)[0] + 100


def test_rare_classes_among_many_rows_are_not_forgotten() -> None:
    """More rows than are drawn for learning: classes of one row must keep their places among the means."""
    X, y = _known(40_000)
    y = y.astype(object)
    y[:12] = [f"0 rare {at:02}" for at in range(12)]
    known = Novelty.fit(X, y.astype(str), LOGGED)
    assert known.centres.shape == (14, 3)
    means = [known.means(at)[0] for at in range(12)]
    np.testing.assert_allclose(means, X["flow"].iloc[:12], rtol=1e-3)
