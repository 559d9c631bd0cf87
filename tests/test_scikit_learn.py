"""`Diagnoser` among scikit-learn and dataframes: its checks, labels as they came, copies, searches, weights."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from faultwise import Diagnoser, UserError
from faultwise.contracts.errors import DataError
from faultwise.tables.reading.memory.labels import LabelValues

FAST = ("logistic-regression",)
X_COLUMNS = ["flow", "level", "temp"]
KINDS: dict[str, Callable[[pd.Series], Any]] = {
    "int": lambda y: y.astype(int).to_numpy(),
    "small int": lambda y: y.astype("int8"),
    "nullable int": lambda y: y.astype("Int64"),
    "float": lambda y: y.astype(float).to_numpy(),
    "fraction": lambda y: y.map({"0": 0.007, "1": 0.014, "2": 0.021}).to_numpy(),
    "bool": lambda y: (y == "1").to_numpy(),
    "text": lambda y: y.map({"0": "normal", "1": "leak", "2": "stuck"}).to_numpy(str),
    "object": lambda y: y.map({"0": "normal", "1": "leak", "2": "stuck"}).to_numpy(object),
    "padded": lambda y: y.map({"0": " ok", "1": "leak ", "2": "4.0"}).tolist(),
    "category": lambda y: y.map({"0": 30, "1": 4, "2": 10}).astype("category"),
}
# What `Diagnoser` does on purpose otherwise than these checks ask.
OTHERWISE = {
    "check_classifiers_train": "it asks for predict = argmax of predict_proba; here a fault is detected before it is "
    "named, by the threshold that keeps the chosen rate of false alarms",
    "check_sample_weight_equivalence_on_dense_data": "experts are compared, fused and calibrated on rows held out in "
    "folds, and a row that is there twice is held out twice",
}


@pytest.fixture(scope="module")
def rows(plant: Any) -> pd.DataFrame:
    made: pd.DataFrame = plant(runs=4)
    return made


@pytest.fixture(scope="module")
def diagnoser(rows: pd.DataFrame) -> Diagnoser:
    return Diagnoser(experts=FAST).fit(rows[X_COLUMNS], rows["fault"].astype(int), rows["run"])


def test_scikit_learns_own_checks() -> None:
    made = check_estimator(Diagnoser(experts=FAST), on_skip=None, on_fail=None, expected_failed_checks=OTHERWISE)
    failed = {one["check_name"]: str(one["exception"]) for one in made if one["status"] == "failed"}
    assert failed == {}, failed
    assert {one["check_name"] for one in made if one["status"] == "xfail"} == set(OTHERWISE)
    assert sum(one["status"] == "passed" for one in made) > 50


# --- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_labels_come_back_as_they_came(rows: pd.DataFrame, kind: str, tmp_path: Path) -> None:
    X, y = rows[X_COLUMNS], KINDS[kind](rows["fault"])
    made = Diagnoser(experts=FAST, false_alarm_rate=0.2).fit(X, y, rows["run"])
    labels = made.predict(X)
    truth = np.array(y.tolist()) if kind == "nullable int" else np.asarray(y)
    if kind != "fraction":  # which scikit-learn's metrics take for a measurement
        assert accuracy_score(truth, labels) > 0.8
    assert np.mean(labels == truth) > 0.8
    np.testing.assert_array_equal(made.classes_, np.unique(truth))
    assert labels.dtype.kind == made.classes_.dtype.kind == np.unique(truth).dtype.kind
    p = made.predict_proba(X)
    assert np.mean(made.classes_[p.argmax(axis=1)] == truth) > 0.8
    again = Diagnoser.load(made.save(tmp_path / "run"))
    np.testing.assert_array_equal(again.classes_, made.classes_)
    np.testing.assert_array_equal(again.predict(X), labels)
    assert again.predict(X).dtype == labels.dtype
    np.testing.assert_array_equal(again.predict_proba(X), p)
    assert again.n_features_in_ == 3
    assert again.feature_names_in_.tolist() == X_COLUMNS


def test_labels_of_a_column_of_the_frame(rows: pd.DataFrame) -> None:
    frame = rows.assign(fault=rows["fault"].astype(int))
    made = Diagnoser(experts=FAST).fit(frame, target="fault", group="run")
    assert made.predict(frame[X_COLUMNS]).dtype == int
    assert made.n_features_in_ == 3


def test_none_only_where_there_is_no_verdict(rows: pd.DataFrame) -> None:
    made = Diagnoser(experts=FAST, window=4).fit(rows[X_COLUMNS], rows["fault"].astype(int), rows["run"])
    labels = made.predict(rows[X_COLUMNS][:6])
    assert labels.dtype == object
    assert [label is None for label in labels] == [True] * 3 + [False] * 3
    assert {type(label) for label in labels[3:]} == {int}


def test_mixed_labels_stay_text(rows: pd.DataFrame) -> None:
    y = [0 if label == "0" else label for label in rows["fault"]]
    made = Diagnoser(experts=FAST).fit(rows[X_COLUMNS], y, rows["run"])
    assert made.classes_.tolist() == ["0", "1", "2"]


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.lists(st.integers(-(2**40), 2**40), min_size=1),
        st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1),
        st.lists(st.booleans(), min_size=1),
        st.lists(st.text("ab c4.0").filter(str.strip), min_size=1),
    )
)
def test_any_label_comes_back(labels: list[Any]) -> None:
    from faultwise.contracts.labels import label_of

    known = LabelValues.of(np.array(labels))
    assert known is not None
    known = LabelValues.from_dict(known.to_dict())
    back = known.typed([label_of(label) for label in labels])
    assert back.dtype.kind == np.array(labels).dtype.kind
    if not isinstance(labels[0], str):  # of texts that differ in spaces alone one is as good as another
        assert back.tolist() == labels
    else:
        assert [label_of(one) for one in back] == [label_of(one) for one in labels]


# --- copies and tools ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "experts",
    [("extra-trees", "knn"), ("svm",), ("sklearn.naive_bayes.GaussianNB",)],
)
def test_pickled_copied_and_in_other_processes(rows: pd.DataFrame, tmp_path: Path, experts: tuple[str, ...]) -> None:
    X = rows[X_COLUMNS]
    made = Diagnoser(experts=experts, folds=2).fit(X, rows["fault"], rows["run"])
    expected = made.predict_proba(X)
    loaded = Diagnoser.load(made.save(tmp_path / "run"))
    stored = pickle.dumps(loaded)
    for file in (tmp_path / "run").rglob("*.skops"):
        file.unlink()  # a pickle does not lean on the folder
    for one in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made), pickle.loads(stored)):
        np.testing.assert_array_equal(one.predict_proba(X), expected)
        assert one.get_params() == pickle.loads(pickle.dumps(one)).get_params()
    refitted = pickle.loads(pickle.dumps(made)).fit(X, rows["fault"], rows["run"])
    np.testing.assert_array_equal(refitted.predict_proba(X), expected)


def test_a_monitor_can_be_pickled(rows: pd.DataFrame) -> None:
    normal = rows[rows["fault"] == "0"]
    made = Diagnoser(normal_only=True).fit(normal[X_COLUMNS], groups=normal["run"])
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict(rows[X_COLUMNS]), made.predict(rows[X_COLUMNS]))


def test_forests_are_as_scikit_learn_says(rows: pd.DataFrame) -> None:
    made = Diagnoser(experts=("random-forest",), folds=2).fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    expert = made.model_.fitted.ensemble.experts["random-forest"]
    X = rows[X_COLUMNS].astype(np.float32)
    np.testing.assert_array_equal(expert.predict_proba(X), expert._model.predict_proba(X.to_numpy()))


def test_processes_pipelines_and_searches(rows: pd.DataFrame) -> None:
    X, y, runs = rows[X_COLUMNS], rows["fault"].astype(int), rows["run"]
    scaler, one = StandardScaler().set_output(transform="pandas"), Diagnoser(experts=FAST, false_alarm_rate=0.2)
    piped = make_pipeline(scaler, one)
    alone = cross_val_predict(piped, X, y, groups=runs, cv=GroupKFold(2))
    by_processes = cross_val_predict(piped, X, y, groups=runs, cv=GroupKFold(2), n_jobs=2)
    np.testing.assert_array_equal(alone, by_processes)
    assert accuracy_score(y, alone) > 0.8
    made = cross_validate(piped, X, y, groups=runs, cv=GroupKFold(2), scoring=["balanced_accuracy", "f1_macro"])
    assert made["test_balanced_accuracy"].min() > 0.8
    found = GridSearchCV(piped, {"diagnoser__experts": [FAST, ("knn",)], "diagnoser__seed": [1]}, cv=GroupKFold(2))
    found.fit(X, y, groups=runs)
    assert found.best_score_ > 0.8
    assert found.best_estimator_[-1].seed == 1
    assert found.best_estimator_[-1].feature_names_in_.tolist() == X_COLUMNS
    assert get_scorer("roc_auc_ovr")(found, X, y) > 0.9


def test_runs_are_routed(rows: pd.DataFrame) -> None:
    """With metadata routing the fit inside a search knows the runs, and holds them out whole."""
    X, y, runs = rows[X_COLUMNS], rows["fault"].astype(int), rows["run"]
    with config_context(enable_metadata_routing=True):
        one = Diagnoser(experts=FAST).set_fit_request(groups=True, sample_weight=True)
        made = cross_validate(
            one.set_score_request(groups=False, sample_weight=False),
            X,
            y,
            cv=GroupKFold(2),
            params={"groups": runs, "sample_weight": np.ones(len(y))},
            return_estimator=True,
        )
    assert [one.model_.fitted.record["split"] for one in made["estimator"]] == ["group", "group"]


def test_signature_names_all_settings() -> None:
    import inspect

    known = inspect.signature(Diagnoser).parameters
    assert known["window"].default == Diagnoser().window
    assert {"progress", "modality", "experts", "language"} <= set(known)
    assert "settings" not in known


# --- columns ---------------------------------------------------------------------------------------------------------


def test_arrays_after_frames_and_frames_after_arrays(diagnoser: Diagnoser, rows: pd.DataFrame) -> None:
    X, y, runs = rows[X_COLUMNS], rows["fault"].astype(int), rows["run"]
    expected = diagnoser.predict_proba(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(diagnoser.predict_proba(X[X_COLUMNS[::-1]]), expected)  # by name
        by_array = Diagnoser(experts=FAST).fit(X.to_numpy(), y, runs)
        np.testing.assert_array_equal(by_array.predict_proba(X.to_numpy()), expected)
        assert not hasattr(by_array, "feature_names_in_")
    with pytest.warns(UserWarning, match="X does not have valid feature names, but Diagnoser was fitted with"):
        np.testing.assert_array_equal(diagnoser.predict_proba(X.to_numpy()), expected)
    with pytest.warns(UserWarning, match="X has feature names, but Diagnoser was fitted without"):
        np.testing.assert_array_equal(by_array.predict_proba(X), expected)
    numbered = X.set_axis(range(3), axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_number = Diagnoser(experts=FAST).fit(numbered, y, runs)
        np.testing.assert_array_equal(by_number.predict_proba(numbered[[2, 0, 1]]), expected)
        np.testing.assert_array_equal(by_number.predict_proba(X.to_numpy()), expected)


def test_index_is_no_column(diagnoser: Diagnoser, rows: pd.DataFrame) -> None:
    X = rows[X_COLUMNS].set_index(pd.Index(np.arange(len(rows))[::-1] * 7, name="stamp"))
    y = pd.Series(rows["fault"].astype(int).to_numpy(), index=X.index)
    made = Diagnoser(experts=FAST).fit(X, y, rows["run"])
    assert made.feature_names_in_.tolist() == X_COLUMNS
    np.testing.assert_array_equal(made.predict_proba(X), diagnoser.predict_proba(rows[X_COLUMNS]))


def test_separate_rows_are_said(rows: pd.DataFrame) -> None:
    mixed = rows.sample(frac=1, random_state=0)
    made = Diagnoser(experts=FAST).fit(mixed[X_COLUMNS].to_numpy(), mixed["fault"].astype(int))
    assert made.model_.fitted.record["split"] == "row"
    assert any("each row of X counts as a separate measurement" in note for note in made.model_.notes)
    # Labels in stretches and an index of times are those of a record, whose neighbours must not be torn apart.
    made = Diagnoser(experts=FAST).fit(rows[X_COLUMNS].to_numpy(), rows["fault"].astype(int))
    assert made.model_.fitted.record["split"] == "block"
    stamps = pd.date_range("2026-01-01", periods=len(rows), freq="min")
    with pytest.raises(DataError, match="without runs"):
        Diagnoser(experts=FAST).fit(mixed[X_COLUMNS].set_index(stamps), mixed["fault"].to_numpy())


def test_objects_that_are_numbers(diagnoser: Diagnoser, rows: pd.DataFrame) -> None:
    from decimal import Decimal

    X = rows[X_COLUMNS].astype(object).assign(level=[Decimal(repr(value)) for value in rows["level"]])
    made = Diagnoser(experts=FAST).fit(X, rows["fault"].astype(int), rows["run"])
    np.testing.assert_array_equal(made.predict_proba(X), diagnoser.predict_proba(rows[X_COLUMNS]))


# --- dataframes of other libraries -----------------------------------------------------------------------------------


def _frames(rows: pd.DataFrame) -> dict[str, Callable[[], Any]]:
    def arrow() -> Any:
        return pytest.importorskip("pyarrow").Table.from_pandas(rows, preserve_index=False)

    def polars() -> Any:
        return pytest.importorskip("polars").from_arrow(arrow())

    def duck() -> Any:
        here = arrow()
        return pytest.importorskip("duckdb").sql("SELECT * FROM here") if here else None

    return {"arrow": arrow, "polars": polars, "polars lazy": lambda: polars().lazy(), "duckdb": duck}


@pytest.mark.parametrize("library", ["arrow", "polars", "polars lazy", "duckdb"])
def test_frames_of_other_libraries(rows: pd.DataFrame, library: str) -> None:
    frame = rows.assign(fault=rows["fault"].astype(int), state=np.where(rows.index % 3, "on", "off"))
    expected = Diagnoser(experts=FAST).fit(frame, target="fault", group="run")
    other = _frames(frame)[library]()
    made = Diagnoser(experts=FAST).fit(other, target="fault", group="run")
    np.testing.assert_array_equal(made.predict_proba(other), expected.predict_proba(frame))
    assert made.predict(other).dtype == int
    assert made.feature_names_in_.tolist() == expected.feature_names_in_.tolist()
    assert made.evaluate(other).figures["verdict"] == expected.evaluate(frame).figures["verdict"]
    verdicts = [one.diagnose(X, row=70).cases[0].verdict for one, X in ((made, other), (expected, frame))]
    assert verdicts[0] == verdicts[1]


def test_labels_and_runs_of_other_libraries(diagnoser: Diagnoser, rows: pd.DataFrame) -> None:
    arrow = pytest.importorskip("pyarrow").Table.from_pandas(rows.assign(fault=rows["fault"].astype(int)))
    made = Diagnoser(experts=FAST).fit(arrow.select(X_COLUMNS), arrow["fault"], arrow["run"])
    assert made.predict(arrow.select(X_COLUMNS)).dtype == int
    np.testing.assert_array_equal(made.predict_proba(arrow.select(X_COLUMNS)), diagnoser.predict_proba(rows[X_COLUMNS]))


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expert", ["logistic-regression", "gradient-boosting", "sklearn.naive_bayes.GaussianNB"])
def test_weights_reach_the_experts(rows: pd.DataFrame, expert: str) -> None:
    """Of two labels for the same rows the heavier one is learnt."""
    X = pd.concat([rows[X_COLUMNS]] * 2, ignore_index=True)
    X += np.random.default_rng(0).normal(scale=1e-3, size=X.shape)
    y = np.r_[rows["fault"].to_numpy(), np.roll(rows["fault"].to_numpy(), 64)]
    runs = np.r_[rows["run"].to_numpy(), "b" + rows["run"].to_numpy()]
    for first in (0.999, 0.001):
        weights = np.repeat([first, 1 - first], len(rows))
        made = Diagnoser(experts=(expert,), calibration=0.0, folds=2).fit(X, y, runs, sample_weight=weights)
        p = made.model_.fitted.ensemble.experts[expert].predict_proba(
            made.model_.fitted.encoder.transform(rows[X_COLUMNS], np.zeros(len(rows), int)).frame
        )
        right = (made.classes_[p.argmax(axis=1)] == rows["fault"]).mean()
        assert right > 0.8 if first > 0.5 else right < 0.2
        assert not any("sample weights" in note for note in made.model_.notes)


def test_who_takes_no_weights_is_said(rows: pd.DataFrame) -> None:
    made = Diagnoser(experts=("knn", *FAST))
    made.fit(rows[X_COLUMNS], rows["fault"], rows["run"], sample_weight=np.ones(len(rows)))
    (note,) = (note for note in made.model_.notes if "sample weights" in note)
    assert "`knn`" in note
    assert FAST[0] not in note
    assert "sample_weight" not in made.feature_names_in_


# --- bad input --------------------------------------------------------------------------------------------------------


def test_bad_input_is_told(diagnoser: Diagnoser, rows: pd.DataFrame) -> None:
    from scipy.sparse import csr_array
    from sklearn.exceptions import NotFittedError

    X, y = rows[X_COLUMNS], rows["fault"].astype(int)
    one = Diagnoser(experts=FAST)
    with pytest.raises(NotFittedError, match="call fit"):
        one.predict(X)
    with pytest.raises(DataError, match="sparse input is not supported"):
        one.fit(csr_array(X.to_numpy()), y)
    with pytest.raises(DataError, match="Complex data not supported"):
        one.fit(X.to_numpy() + 1j, y)
    with pytest.raises(DataError, match="X has 1 sample"):
        one.fit(X[:1], y[:1])
    with pytest.raises(DataError, match=r"X has 0 feature\(s\)"):
        one.fit(X[[]], y)
    with pytest.raises(DataError, match="Unknown label type: y is continuous"):
        one.fit(X, X["flow"])
    with pytest.raises(DataError, match=r"y should be a 1d array, got an array of shape \(192, 2\)"):
        one.fit(X, np.column_stack([y, y]))
    with pytest.raises(UserError, match="requires y to be passed"):
        one.fit(X)
    for weights, words in (
        (np.ones(3), r"shape \(3,\), expected \(192,\)"),
        (np.full(192, -1.0), "zero or more"),
        (np.full(192, np.nan), "zero or more"),
        (["heavy"] * 192, "something else than numbers"),
    ):
        with pytest.raises(DataError, match=words):
            one.fit(X, y, sample_weight=weights)
    with pytest.raises(DataError, match="X has 2 features, but Diagnoser is expecting 3 features as input"):
        diagnoser.predict(X.to_numpy()[:, :2])
    with pytest.raises(DataError, match="every row needs one run"):
        diagnoser.predict(X, groups=[1, 2])
    assert not hasattr(one, "model_")


# --- speed ------------------------------------------------------------------------------------------------------------


def test_one_row_is_quick(rows: pd.DataFrame) -> None:
    """The time of this process, which other processes do not change: the best of several."""
    import time

    made = Diagnoser(experts=("extra-trees", *FAST), folds=2).fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    many = pd.concat([rows[X_COLUMNS]] * 6, ignore_index=True)[:1000]

    def seconds(X: pd.DataFrame) -> float:
        start = time.process_time()
        made.predict(X)
        return time.process_time() - start

    assert min(seconds(many[:1]) for _ in range(9)) < 0.05
    assert min(seconds(many) for _ in range(3)) < 1


def test_examples_of_the_guide() -> None:
    import doctest

    page = Path(__file__).parents[1] / "docs" / "how-to" / "python.md"
    found = doctest.testfile(str(page), module_relative=False, verbose=False)
    assert found.attempted > 15
    assert found.failed == 0
