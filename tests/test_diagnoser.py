"""The Python interface: scikit-learn's conventions, and evidence that can be checked number by number.

The golden file is compared exactly. Regenerate it with FAULTWISE_REGEN=1 pytest tests/test_diagnoser.py.
"""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import cross_val_score

from faultwise import Diagnoser, UserError
from faultwise.contracts.about import About, Variable
from faultwise.contracts.diagnosis import Case
from faultwise.contracts.errors import DataError
from faultwise.contracts.findings import Finding
from faultwise.verdicts.folds import folds

GOLDEN = Path(__file__).parent / "golden" / "diagnosis.json"
X_COLUMNS = ["flow", "level", "temp"]
FAST = ("logistic-regression",)
ABOUT = About(
    normal="0",
    variables={"flow": Variable(name="Coolant flow", unit="m3/h"), "temp": Variable(unit="K", description="inlet")},
    faults={"1": "valve stuck open", "2": "leak"},
)


@pytest.fixture(scope="module")
def fitted(plant: Any) -> Diagnoser:
    rows = plant(runs=4)
    return Diagnoser(experts=FAST).fit(rows[X_COLUMNS], rows["fault"], rows["run"], about=ABOUT)


@pytest.fixture(scope="module")
def windowed(plant: Any) -> Diagnoser:
    rows = plant(runs=4)
    return Diagnoser(window=4, experts=FAST).fit(rows[X_COLUMNS], rows["fault"], rows["run"], about=ABOUT)


# --- scikit-learn --------------------------------------------------------------------------------------------


def test_the_default_fit_is_quick_and_without_the_language_model(plant: Any) -> None:
    rows = plant(runs=4)
    started = time.process_time()
    made = Diagnoser().fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    assert set(made.model_.fitted.ensemble.experts) == {"extra-trees", "hist-gradient-boosting", "logistic-regression"}
    assert time.process_time() - started < 60  # minutes, if the language model took part


def test_parameters_and_clone() -> None:
    diagnoser = Diagnoser(window=5, experts=["knn"], seed=2)
    copy = clone(diagnoser)
    assert copy.get_params() == diagnoser.get_params()
    assert copy.get_params()["experts"] == ["knn"]
    assert copy.set_params(window=7, false_alarm_rate=0.1).window == 7
    assert not hasattr(copy, "classes_")
    assert is_classifier(diagnoser)
    with pytest.raises(ValueError, match="Invalid parameter 'windw'"):
        copy.set_params(windw=1)
    with pytest.raises(UserError, match="not been fitted: call fit"):
        copy.predict(pd.DataFrame({"a": [1]}))


def test_wrong_parameters_are_told_at_fit_and_at_once(plant: Any) -> None:
    rows = plant()
    wrong = Diagnoser(window=0, folds=1, split="runs")
    with pytest.raises(UserError, match=r"(?=.*window is 0)(?=.*split is `runs`)(?=.*folds is 1)"):
        wrong.fit(rows[X_COLUMNS], rows["fault"], rows["run"])


def test_probabilities(fitted: Diagnoser, plant: Any) -> None:
    rows = plant(seed=5)
    p = fitted.predict_proba(rows[X_COLUMNS])
    assert p.shape == (len(rows), 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert fitted.classes_.tolist() == ["0", "1", "2"] == sorted(fitted.classes_)
    assert fitted.score(rows[X_COLUMNS], rows["fault"]) > 0.9
    assert fitted.score(rows[X_COLUMNS], rows["fault"].astype(int)) > 0.9
    weights = (rows["fault"] == "1").to_numpy(float)
    wrong = rows["fault"].where(rows["fault"] == "1", "never")
    assert fitted.score(rows[X_COLUMNS], wrong, sample_weight=weights) > 0.9


def test_arrays_lists_and_number_labels(plant: Any) -> None:
    rows = plant()
    X, y = rows[X_COLUMNS].to_numpy(), rows["fault"].astype(float)
    by_array = Diagnoser(experts=FAST).fit(X, y, groups=rows["run"].tolist())
    by_frame = Diagnoser(experts=FAST).fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    assert by_array.classes_.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(by_array.predict_proba(X), by_frame.predict_proba(rows[X_COLUMNS]))
    numbered = pd.DataFrame(X, columns=range(3))
    by_number = Diagnoser(experts=FAST).fit(numbered, y, rows["run"])
    assert by_number.diagnose(numbered).cases[0].findings[0].variable in ("0", "1", "2")


def test_shapes_that_do_not_fit(plant: Any) -> None:
    rows = plant()
    X, y, runs = rows[X_COLUMNS], rows["fault"], rows["run"]
    with pytest.raises(DataError, match="X has 143 rows, y 144"):
        Diagnoser(experts=FAST).fit(X[1:], y, runs)
    with pytest.raises(DataError, match="every row needs one label"):
        Diagnoser(experts=FAST).fit(X, y, runs[1:])
    with pytest.raises(DataError, match="1 dimensions, expected 2"):
        Diagnoser(experts=FAST).fit(X["flow"].to_numpy(), y, runs)
    with pytest.raises(DataError, match="several columns named `flow`"):
        Diagnoser(experts=FAST).fit(X[["flow", "flow", "temp"]], y, runs)


def test_columns_may_be_called_like_ours(plant: Any) -> None:
    """`fault` and `run` as names of measured columns do not clash with labels and runs."""
    rows = plant()
    X = rows[X_COLUMNS].set_axis(["fault", "run", "temp"], axis=1)
    made = Diagnoser(experts=FAST).fit(X, rows["fault"], rows["run"])
    assert made.score(X, rows["fault"]) > 0.9
    assert {f.variable for f in made.diagnose(X, row=60).cases[0].findings} == {"fault", "run", "temp"}


def test_cross_validation_by_scikit_learn(plant: Any) -> None:
    rows = plant().sample(frac=1, random_state=0)
    scores = cross_val_score(Diagnoser(experts=FAST, split="row"), rows[X_COLUMNS], rows["fault"], cv=3)
    assert scores.min() > 0.8


def test_inputs_are_left_alone(plant: Any) -> None:
    rows = plant()
    X, before = rows[X_COLUMNS], rows[X_COLUMNS].copy()
    made = Diagnoser(experts=FAST).fit(X, rows["fault"], rows["run"])
    made.predict(X)
    made.diagnose(X)
    pd.testing.assert_frame_equal(X, before)


# --- runs, windows and leakage -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["group", "row", "block"])
def test_held_out_rows_are_never_trained_on(plant: Any, kind: str) -> None:
    rows = plant(runs=4, rows=20)
    y, runs = rows["fault"].to_numpy(object), rows["run"].to_numpy(object)
    made, _ = folds(y, runs, kind, 3, seed=1, gap=2 if kind == "block" else 0)
    held_ever = np.concatenate([held for _, held in made])
    assert len(set(held_ever)) == len(held_ever)
    for train, held in made:
        assert not set(train) & set(held)
        assert set(y[train]) == set(y)
        if kind == "group":
            assert not set(runs[train]) & set(runs[held])
        if kind == "block":
            # No training row within the window of a held-out row of the same run.
            near = [abs(t - h) for t in train for h in held if runs[t] == runs[h]]
            assert min(near) > 2
    if kind != "block":
        assert sorted(held_ever) == list(range(len(rows)))


def test_experts_are_judged_on_runs_they_have_not_seen(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen through the expert itself: every held-out prediction is of rows that this fit was not given."""
    from faultwise.tables.fit.experts.classical import ClassicalExpert
    from faultwise.verdicts import cross_calibration

    # How the final experts judge what they learnt serves as a bound of the false-alarm rate alone.
    monkeypatch.setattr(cross_calibration, "_learnt", lambda *_: None)
    fit, predict = ClassicalExpert.fit, ClassicalExpert.predict_proba
    judged = []

    def fit_noting(self: Any, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Any:
        self.seen = {tuple(row) for row in X.to_numpy()}
        self.runs = set(groups)
        return fit(self, X, y, groups)

    def predict_noting(self: Any, X: pd.DataFrame) -> np.ndarray:
        judged.append(len(X))
        assert not self.seen & {tuple(row) for row in X.to_numpy()}
        return predict(self, X)

    monkeypatch.setattr(ClassicalExpert, "fit", fit_noting)
    monkeypatch.setattr(ClassicalExpert, "predict_proba", predict_noting)
    rows = plant()
    Diagnoser(experts=FAST).fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    assert sum(judged) == len(rows)


def test_noise_is_not_learnt(plant: Any) -> None:
    """Labels dealt to runs by chance: the figures on held-out runs stay near chance."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(480, 3)), columns=X_COLUMNS)
    runs = np.repeat(np.arange(24), 20)
    X["offset"] = rng.normal(size=24)[runs] * 5  # each run is recognised at once, no label is
    y = np.where(rng.permutation(24) < 12, "a", "b")[runs]
    made = Diagnoser(experts=("knn",), calibration=0.0).fit(X, y, runs)
    assert made.score(X, y) > 0.95  # on its own rows
    assert made.model_.fitted.record["validation"]["experts"]["knn"]["accuracy"] < 0.7


def test_short_run_in_one_fold(plant: Any) -> None:
    """Runs shorter than the window leave no rows; a fold of such runs alone must not break the fit."""
    rows = plant(runs=4, rows=12)
    short = rows[(rows.groupby("run").cumcount() < 3) | rows["run"].str.endswith(("a", "b"))]
    for seed in range(4):
        made = Diagnoser(window=4, folds=4, experts=FAST, seed=seed)
        made.fit(short[X_COLUMNS], short["fault"], short["run"])
        assert made.classes_.tolist() == ["0", "1", "2"]


def test_rows_before_the_first_full_window(windowed: Diagnoser, plant: Any) -> None:
    rows = plant(rows=6)
    p, labels = (ask(rows[X_COLUMNS], rows["run"]) for ask in (windowed.predict_proba, windowed.predict))
    early = (rows.groupby("run").cumcount() < 3).to_numpy()
    assert np.isnan(p[early]).all()
    assert not np.isnan(p[~early]).any()
    assert [label is None for label in labels] == early.tolist()
    assert windowed.score(rows[X_COLUMNS], rows["fault"], groups=rows["run"]) > 0.9
    with pytest.raises(DataError, match="no run has the 4 samples"):
        windowed.diagnose(rows[X_COLUMNS][:3])
    with pytest.raises(DataError, match=r"Row 2 has no full window.*first row with one is 4"):
        windowed.diagnose(rows[X_COLUMNS], row=2)


# --- verdicts, findings, sentences ---------------------------------------------------------------------------


def _case(diagnoser: Diagnoser, X: pd.DataFrame, row: int) -> Case:
    (case,) = diagnoser.diagnose(X, row=row).cases
    assert case.row == row
    return case


@pytest.mark.parametrize(("label", "variable", "direction"), [("1", "flow", "high"), ("2", "level", "low")])
def test_the_physical_effect_ranks_first(
    fitted: Diagnoser, windowed: Diagnoser, plant: Any, label: str, variable: str, direction: str
) -> None:
    rows = plant(seed=7).query("fault == @label")[X_COLUMNS]
    for diagnoser in (fitted, windowed):
        case = _case(diagnoser, rows[:16], 12)
        assert case.verdict.label == label
        assert case.verdict.detected is True
        first = case.findings[0]
        assert (first.variable, first.direction, first.id) == (variable, direction, "F1")
        assert first.contribution > 1
        assert first.contribution > 4 * max(abs(f.contribution) for f in case.findings[1:])


def test_contributions_have_the_right_sign(fitted: Diagnoser) -> None:
    """A row that looks like fault 1 by its flow and a little like fault 2 by its level: level speaks against it."""
    X = pd.DataFrame({"flow": [15.5], "level": [46.5], "temp": [300.0]})
    case = _case(fitted, X, 1)
    assert case.verdict.label == "1"
    moved = {f.variable: f.contribution for f in case.findings}
    assert moved["flow"] > 0 > moved["level"]
    assert [f.contribution for f in case.findings] == sorted(moved.values(), reverse=True)
    against = [s for s in case.narrative if s.text.startswith("Speaking against it: ")]
    assert any("level" in s.text for s in against)


def test_findings_say_what_the_row_holds(fitted: Diagnoser, plant: Any) -> None:
    rows = plant(seed=3)[X_COLUMNS]
    normal = plant(runs=4).query("fault == '0'")
    for finding in _case(fitted, rows, 70).findings:
        assert finding.measure == "value"
        assert finding.value == pytest.approx(rows[finding.variable].iloc[69], rel=1e-6)
        low, high = np.quantile(normal[finding.variable], [0.005, 0.995])
        assert (finding.normal_low, finding.normal_high) == pytest.approx((low, high), rel=1e-5)
        sigma = (finding.value - normal[finding.variable].mean()) / normal[finding.variable].std(ddof=0)
        assert finding.deviation == pytest.approx(sigma, rel=1e-3)
    named = {f.variable: f for f in _case(fitted, rows, 70).findings}
    assert (named["flow"].name, named["flow"].unit) == ("Coolant flow", "m3/h")
    assert (named["temp"].unit, named["temp"].description) == ("K", "inlet")


def _numbers(text: str) -> list[float]:
    return [
        float(number.replace(",", "")) for number in re.findall(r"(?<![\w.])[-+]?\d[\d,]*\.?\d*(?:e[-+]\d+)?", text)
    ]


def test_sentences_hold_no_number_that_their_findings_lack(fitted: Diagnoser, windowed: Diagnoser, plant: Any) -> None:
    rows = plant(seed=11)[X_COLUMNS]
    for diagnoser in (fitted, windowed):
        for row in (10, 60, 130):
            case = _case(diagnoser, rows, row)
            known: dict[str, Finding] = {f.id: f for f in case.findings}
            assert len(known) == len(case.findings)
            assert case.narrative[0].findings == ()
            for sentence in case.narrative[1:]:
                assert sentence.findings
                assert set(sentence.findings) <= set(known)
                allowed: list[float] = []
                for finding in (known[i] for i in sentence.findings):
                    assert finding.variable in sentence.text
                    allowed += [finding.interval.first, finding.interval.last]
                    numbers = (finding.value, finding.normal_low, finding.normal_high, finding.deviation)
                    allowed += [float(number) for number in numbers if isinstance(number, float)]
                said = _numbers(sentence.text.replace("m3/h", "").replace("99%", ""))
                assert said
                for number in said:
                    near = [a for a in allowed if number == pytest.approx(a, rel=6e-4, abs=0.051)]
                    assert near, (number, sentence.text, allowed)


def test_verdict_sentence(fitted: Diagnoser) -> None:
    faulty = _case(fitted, pd.DataFrame({"flow": [15.0], "level": [50.0], "temp": [300.0]}), 1)
    assert "A fault is detected" in faulty.narrative[0].text
    assert "1 (valve stuck open)" in faulty.narrative[0].text
    assert faulty.verdict.label_description == "valve stuck open"
    normal = _case(fitted, pd.DataFrame({"flow": [10.0], "level": [50.0], "temp": [300.0]}), 1)
    assert normal.verdict.label == "0"
    assert normal.verdict.detected is False
    assert normal.verdict.fault_score <= normal.verdict.threshold < faulty.verdict.fault_score
    assert normal.narrative[0].text.startswith("No fault is detected")
    assert "A fault is detected" not in normal.narrative[0].text


def test_verdict_adds_up(fitted: Diagnoser, plant: Any) -> None:
    verdict = _case(fitted, plant(seed=2)[X_COLUMNS], 50).verdict
    assert sum(verdict.probabilities.values()) == pytest.approx(1)
    assert list(verdict.probabilities.values()) == sorted(verdict.probabilities.values(), reverse=True)
    assert verdict.probability == verdict.probabilities[verdict.label]
    assert verdict.fault_score == pytest.approx(1 - verdict.probabilities["0"])
    assert sum(verdict.probabilities[label] for label in verdict.fault_set.labels) >= 0.9
    assert sum(verdict.probabilities[label] for label in verdict.fault_set.labels[:-1]) < 0.9
    assert list(verdict.by_expert) == list(FAST)
    assert sum(verdict.by_expert[FAST[0]].values()) == pytest.approx(1)


def test_without_a_normal_class(plant: Any) -> None:
    rows = plant().replace({"fault": {"0": "bent", "1": "worn", "2": "loose"}})
    made = Diagnoser(experts=FAST).fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    diagnosis = made.diagnose(rows[X_COLUMNS], row=60)
    verdict = diagnosis.cases[0].verdict
    assert verdict.label == "worn"
    assert (verdict.detected, verdict.threshold, verdict.fault_score, verdict.false_alarm_rate) == (None,) * 4
    assert diagnosis.cases[0].narrative[0].text.startswith("The most likely label is worn")
    assert diagnosis.runs[0].flagged == 0
    assert any("No label means normal" in note for note in made.model_.fitted.notes)


def test_categories_as_findings(plant: Any) -> None:
    rows = plant(rows=20)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(len(rows), 2))
    X = pd.DataFrame(noise, columns=["a", "b"])
    X["state"] = rows["fault"].map({"0": "auto", "1": "manual", "2": "off"})
    made = Diagnoser(experts=FAST, keep=("state",)).fit(X, rows["fault"], rows["run"])
    for row, label, cell in ((70, "1", "manual"), (130, "2", "off")):
        case = _case(made, X, row)
        first = case.findings[0]
        assert case.verdict.label == label
        assert (first.variable, first.measure, first.value, first.direction) == ("state", "category", cell, "unusual")
        assert (first.normal_low, first.normal_high, first.deviation) == (None, None, None)
        assert first.contribution > 0
        assert case.narrative[1].text == f"state is {cell} at sample {row}."
        assert all(series.variable != "state" for series in case.series)
    assert next(f for f in _case(made, X, 5).findings if f.variable == "state").direction == "within"


def test_missing_value_in_the_decisive_variable(fitted: Diagnoser) -> None:
    for gap in (np.nan, np.inf, None):
        X = pd.DataFrame({"flow": pd.Series([15.0, gap], dtype=float), "level": 50.0, "temp": 300.0})
        case = _case(fitted, X, 2)
        flow = next(f for f in case.findings if f.variable == "flow")
        assert (flow.direction, flow.value, flow.deviation) == ("missing", None, None)
        text = [s.text for s in case.narrative if flow.id in s.findings]
        assert all("Coolant flow (flow) has no value at sample 2." in t for t in text)
        json.dumps(case.verdict.probabilities, allow_nan=False)


def test_missing_last_value_in_a_window(windowed: Diagnoser) -> None:
    """A gap at the end of a window does not make its mean or slope a missing value."""
    X = pd.DataFrame({"flow": [15.0, 15.2, 14.8, 15.1, np.nan], "level": 50.0 + np.arange(5) % 2, "temp": 300.0})
    case = _case(windowed, X, 5)
    flow = next(f for f in case.findings if f.variable == "flow")
    assert (flow.direction == "missing") == (flow.measure == "value")
    assert (flow.value is None) == (flow.measure == "value")


def test_normal_that_never_varies_has_no_sigmas(plant: Any) -> None:
    rows = plant()
    X = rows[X_COLUMNS].assign(valve=np.where(rows["fault"] == "2", 1.0 + np.arange(len(rows)) % 2, 0.0))
    made = Diagnoser(experts=FAST).fit(X, rows["fault"], rows["run"])
    valve = next(f for f in _case(made, X, 140).findings if f.variable == "valve" and f.kind == "variable")
    assert (valve.direction, valve.deviation, valve.normal_low, valve.normal_high) == ("high", None, 0.0, 0.0)


def test_cases_are_the_most_flagged_runs(fitted: Diagnoser, plant: Any) -> None:
    rows = plant(seed=4)
    assert len(fitted.diagnose(rows[X_COLUMNS], cases=2).runs) == 1  # without its column of runs it is one run
    diagnosis = fitted.diagnose(rows, cases=2)
    assert [run.run for run in diagnosis.runs] == rows["run"].drop_duplicates().tolist()
    assert len(diagnosis.cases) == 2
    flagged = {run.run: run.flagged for run in diagnosis.runs}
    assert [flagged[case.name] for case in diagnosis.cases] == sorted(flagged.values(), reverse=True)[:2]
    for run in diagnosis.runs:
        mine = rows[rows["run"] == run.run]
        labels = fitted.predict(mine[X_COLUMNS])
        assert (run.rows, run.judged, run.flagged) == (16, 16, int((labels != "0").sum()))
        if run.flagged:
            assert run.first_flag == 1 + int(np.flatnonzero(labels != "0")[0])


def test_of_a_fault_that_has_ended_no_fading_window_is_explained(windowed: Diagnoser, plant: Any) -> None:
    rows = plant(seed=4)
    normal, broken = (rows[rows["run"] == run] for run in ("0a", "1a"))
    record = pd.concat([normal, broken, normal], ignore_index=True).assign(run="a")
    case = windowed.diagnose(record).cases[0]
    flagged = [at + 1 for at, label in enumerate(windowed.predict(record[X_COLUMNS])) if label == "1"]
    assert flagged[-1] > 32, "windows that still hold rows of the fault are flagged"
    assert flagged[0] < case.row <= 32
    assert case.verdict.label == "1"


# --- golden --------------------------------------------------------------------------------------------------


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value


def test_golden_diagnosis(windowed: Diagnoser, plant: Any) -> None:
    rows = plant(seed=21).query("fault == '1'")[X_COLUMNS][:8].round(3)
    made = _rounded(windowed.diagnose(rows, row=8).to_dict())
    kept = ("settings", "trained_on", "training_rows", "weights", "chosen_on_validation")
    made["provenance"] = {key: made["provenance"][key] for key in kept}
    text = json.dumps(made, indent=1, sort_keys=True) + "\n"
    if os.environ.get("FAULTWISE_REGEN"):
        GOLDEN.write_text(text, encoding="utf-8")
    assert json.loads(text) == json.loads(GOLDEN.read_text(encoding="utf-8"))
