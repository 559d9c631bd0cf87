"""Fusion and detection: what must hold whatever the experts say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.contracts.errors import UserError
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.fusion import Fusion, apply_temperature, fit_temperature, mixture_weights


def _probabilities(seed: int, rows: int, classes: int, sharpness: float) -> np.ndarray:
    raised = np.exp(sharpness * np.random.default_rng(seed).normal(size=(rows, classes)))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


_CASE = st.tuples(st.integers(0, 10_000), st.integers(3, 40), st.integers(2, 6), st.floats(0.1, 30.0))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 30), st.floats(0.05, 0.95))
def test_weights_respect_the_cap_and_add_up(seed: int, experts: int, rows: int, cap: float) -> None:
    likelihood = np.maximum(np.random.default_rng(seed).random((rows, experts)) ** 4, 1e-4)
    caps = np.array([cap, *[1.0] * (experts - 1)])
    weights = mixture_weights(likelihood, caps)
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert (weights <= caps + 1e-9).all()


def test_weights_are_those_of_the_greatest_likelihood() -> None:
    likelihood = np.random.default_rng(3).random((200, 2))
    weights = mixture_weights(likelihood, np.ones(2))
    grid = np.linspace(0, 1, 2001)
    best = grid[np.argmax([np.log(likelihood @ [w, 1 - w]).sum() for w in grid])]
    assert weights[0] == pytest.approx(best, abs=0.01)


@settings(max_examples=50, deadline=None)
@given(_CASE, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_temperature_keeps_order_and_flattens(case: tuple[int, int, int, float], a: float, b: float) -> None:
    p = _probabilities(*case)
    cool, warm = apply_temperature(p, min(a, b)), apply_temperature(p, max(a, b))
    np.testing.assert_allclose(cool.sum(axis=1), 1)
    np.testing.assert_allclose(warm.sum(axis=1), 1)
    assert (warm.max(axis=1) <= cool.max(axis=1) + 1e-12).all()
    # The order of the classes stays; only classes below the floor may become equal.
    for before, after in zip(p, cool, strict=True):
        assert (np.diff(after[np.argsort(before)]) >= -1e-12).all()


def test_temperature_calibrates() -> None:
    """Experts that are right four times of five and say 99.9% are brought to about 80%."""
    p, codes = np.tile([0.999, 0.001], (1000, 1)), np.repeat([0, 1], [800, 200])
    assert apply_temperature(p, fit_temperature(p, codes))[0, 0] == pytest.approx(0.8, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(_CASE)
def test_fused_rows_add_up(case: tuple[int, int, int, float]) -> None:
    seed, rows, classes, sharpness = case
    p = {"a": _probabilities(seed, rows, classes, sharpness), "b": _probabilities(seed + 1, rows, classes, 1.0)}
    codes = np.random.default_rng(seed).integers(0, classes, rows)
    fusion = Fusion().fit(p, codes)
    fused = fusion.mix(p)
    np.testing.assert_allclose(fused.sum(axis=1), 1)
    assert sum(fusion.weights.values()) == pytest.approx(1)
    fusion.drop_light(0.2)
    assert sum(fusion.weights.values()) == pytest.approx(1)
    assert min(fusion.weights.values()) >= 0.2
    again = Fusion(**json.loads(json.dumps(fusion.to_dict())))
    np.testing.assert_array_equal(again.mix(p), fusion.mix(p))


def test_rows_without_the_language_model_use_their_own_weights() -> None:
    codes = np.random.default_rng(0).integers(0, 3, 60)
    right = 0.1 + 0.7 * np.eye(3)[codes]
    p = {"a": _probabilities(1, 60, 3, 1.0), "b": 0.5 * right + 0.5 / 3, "lm": right}
    scored = np.arange(60) % 2 == 0
    fusion = Fusion(capped="lm").fit(p, codes, scored)
    assert 0 < fusion.weights["lm"] <= fusion.cap
    assert "lm" not in fusion.weights_without
    assert sum(fusion.weights.values()) == pytest.approx(1)
    assert sum(fusion.weights_without.values()) == pytest.approx(1)
    fused = fusion.mix(p, scored)
    classical = {name: q for name, q in p.items() if name != "lm"}
    np.testing.assert_array_equal(fused[~scored], fusion.mix(classical)[~scored])
    assert (fused[scored] != fusion.mix(classical)[scored]).any(axis=1).all()
    # What stands in the rows that it did not score is never read.
    p["lm"] = np.where(scored[:, None], p["lm"], np.nan)
    again = Fusion(capped="lm").fit({**p, "lm": np.where(scored[:, None], p["lm"], 1 / 3)}, codes, scored)
    assert again.weights == fusion.weights


def test_language_model_alone() -> None:
    codes = np.arange(30) % 2
    p = {"lm": _probabilities(2, 30, 2, 1.0)}
    fusion = Fusion(capped="lm").fit(p, codes, np.ones(30, bool))
    assert fusion.weights == {"lm": 1.0}
    np.testing.assert_allclose(fusion.mix(p).sum(axis=1), 1)


def test_impossible_is_not_believed_entirely() -> None:
    """An expert that gives the true class zero leaves finite figures and does not overrule the other."""
    sure, codes = np.tile([1.0, 0.0, 0.0], (20, 1)), np.full(20, 1)
    p = {"sure": sure, "fair": np.tile([0.3, 0.4, 0.3], (20, 1))}
    fused = Fusion().fit(p, codes).mix(p)
    assert np.isfinite(np.log(fused)).all()
    assert (fused.argmax(axis=1) == 1).all()


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=300),
    st.floats(0.001, 0.5),
)
def test_threshold_gives_at_most_the_rate_asked_for(scores: list[float], rate: float) -> None:
    detector = Detector("ok", rate)
    p, classes = np.column_stack([1 - np.array(scores), scores]), np.array(["ok", "worn"])
    found = detector.scores(p, classes)
    assert found is not None
    note = detector.fit(found)
    alarms = detector.decide(p, classes) == "worn"
    assert alarms.mean() <= rate
    assert bool(note) == (len(scores) * rate < 5)


def test_detect_first_then_name() -> None:
    detector = Detector("ok", 0.02, threshold=0.2)
    classes = np.array(["bent", "ok", "worn"])
    p = np.array([[0.1, 0.85, 0.05], [0.1, 0.6, 0.3], [0.2, 0.8, 0.0]])
    assert detector.decide(p, classes).tolist() == ["ok", "worn", "ok"]
    assert Detector(None).decide(p, classes).tolist() == ["ok", "ok", "ok"]
    assert Detector(None).scores(p, classes) is None


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_rate_out_of_range(rate: float) -> None:
    with pytest.raises(UserError, match="between 0 and 1"):
        Detector("ok", rate)


def test_an_expert_that_does_not_help_has_no_say() -> None:
    """Forty columns of noise ruin nearest neighbours: the verdict is logistic regression's, and as good on new runs."""
    rng = np.random.default_rng(0)

    def rows(runs: int) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        run = np.repeat(np.arange(runs), 20)
        leak = run % 2 == 1
        values = rng.normal(size=(len(run), 42))
        values[:, :2] += 1.2 * leak[:, None]
        return pd.DataFrame(values).add_prefix("x"), np.where(leak, "leak", "normal"), run

    made = Diagnoser(experts=("logistic-regression", "knn"), window=1).fit(*rows(20))
    assert set(made.model_.fitted.ensemble.fusion.weights_without) == {"logistic-regression"}
    X, y, run = rows(40)

    def right(model: Any) -> float:
        return float((made.classes_[model.predict_proba(X, run).argmax(axis=1)] == y).mean())

    alone = {name: right(made.model_.only(name)) for name in ("logistic-regression", "knn")}
    assert right(made) >= max(alone.values()) - 0.01
    assert alone["knn"] < alone["logistic-regression"] - 0.05
