"""The benchmark of the default call: how its tables are divided, and how its figures are compared."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from faultwise.diagnoser import Diagnoser
from faultwise.verdicts.metrics import metrics

CLASSES = np.array(["leak", "normal"])
NAMES = ("verdict", "expert knn", "boosting", "forest", "logistic")
METHODS = tuple(name + decision for name in NAMES for decision in ("", " detected"))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of `bench` by name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "bench"))
    return importlib.import_module


def _piece(seed: int, right: dict[str, float], runs: int = 12) -> dict[str, Any]:
    """A table and seed in which each method names a share of the rows of every run rightly."""
    y, unit = np.tile(["normal"] * 10 + ["leak"] * 10, runs), np.repeat([f"run{n}" for n in range(runs)], 20)
    rows, figures = {"y": y, "unit": unit}, {}
    for number, name in enumerate(METHODS):
        rng = np.random.default_rng([seed, number])
        labels = np.where(rng.random(len(y)) < right[name], y, np.where(y == "leak", "normal", "leak"))
        p = np.where(labels[:, None] == CLASSES, 0.9, 0.1)
        rows[name], figures[name] = labels, metrics(y, labels, p, CLASSES, "normal")
    named = {"table": "plant", "words": "a plant", "real": False, "normal": "normal", "data_hash": "", "commit": "c"}
    sizes = {"seed": seed, "train_rows": 480, "test_rows": 240, "fit_s": 1.0, "window": 1, "share_with_verdict": 1.0}
    return {**named, **sizes, "figures": figures, "rows": rows}


def _checked(bench: Any, **right: float) -> tuple[list[bool], dict[str, Any]]:
    shares = {**dict.fromkeys(METHODS, 0.7), **right}
    made = bench("field_summary").summary([_piece(seed, shares) for seed in range(3)])
    return [check["holds"] for check in made["checks"]["largest"]], made


def test_a_verdict_ahead_of_all_passes_every_check(bench: Any) -> None:
    holds, made = _checked(bench, verdict=0.9)
    assert holds == [True, True, True]
    assert made["ranks"]["plain"]["largest"]["balanced_accuracy"]["verdict"] == 1
    low, high = made["tables"]["plant"]["against"]["boosting"]["interval"]
    assert 0.1 < low < high < 0.3


def test_a_verdict_behind_boosting_and_its_own_expert_fails_every_check(bench: Any) -> None:
    holds, made = _checked(bench, verdict=0.6, boosting=0.9, **{"expert knn": 0.9})
    assert holds == [False, False, False]
    assert made["checks"]["largest"][1]["not"][0].startswith("plant (-0.")
    lines = bench("field_summary").lines_of(made)
    assert sum("| no |" in line for line in lines) >= 3


def test_a_table_without_a_verdict_fails_the_checks_and_is_shown(bench: Any) -> None:
    shares = dict.fromkeys(METHODS, 0.7) | {"verdict": 0.9}
    refused = {"table": "other", "seed": 0, "commit": "c", "refused": "it was not done after 20 minutes", "rows": {}}
    made = bench("field_summary").summary([*(_piece(seed, shares) for seed in range(2)), refused])
    assert [check["holds"] for check in made["checks"]["largest"]] == [True, False, False]
    assert any(
        "No verdict for other, seed 0: it was not done" in line for line in bench("field_summary").lines_of(made)
    )


def test_a_class_with_one_run_in_a_test_leaves_the_decision_to_the_seeds(bench: Any) -> None:
    shares = dict.fromkeys(METHODS, 0.7)
    made = bench("field_summary").summary([_piece(seed, shares, runs=1) for seed in range(3)])
    against = made["tables"]["plant"]["against"]["boosting"]
    assert against["decides"] == "by_seed"
    assert against["interval"] == against["by_seed"]


def test_runs_are_never_on_both_sides_and_rows_are_few_enough(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = bench("field_tables")
    monkeypatch.setattr(tables, "MOST_ROWS", 100)
    runs = np.repeat([f"run{n}" for n in range(12)], 20)
    frame = pd.DataFrame({"flow": np.arange(240.0), "run": runs, "fault": np.tile(["0"] * 10 + ["1"] * 10, 12)})
    table = tables.FieldTable("plant", "a plant", False, frame, "fault", "run", None, "0")
    train, test, unit = tables.divided(table, 1)
    assert not set(train["run"]) & set(test["run"])
    assert len(train) == 100
    assert (unit == test["run"]).all()
    other = tables.divided(table, 2)[1]
    assert set(other["run"]) != set(test["run"])


def test_separate_rows_are_divided_by_class(bench: Any) -> None:
    tables = bench("field_tables")
    frame = pd.DataFrame({"flow": np.arange(90.0), "fault": ["0"] * 60 + ["1"] * 30})
    train, test, unit = tables.divided(tables.FieldTable("plant", "a plant", False, frame), 0)
    assert test["fault"].value_counts().to_dict() == {"0": 20, "1": 10}
    assert len(set(unit)) == len(test) == 90 - len(train)


def test_every_original_table_is_read_with_all_its_classes(bench: Any, data_root: Path) -> None:
    tables = bench("field_tables")
    classes = {"ai4i-modes": 5, "steel-plates": 7, "braatz-4": 4, "cmapss": 2, "hdfs": 2}
    for name, number in classes.items():
        table = tables.TABLES[name]()
        train, test, _ = tables.divided(table, 0)
        assert train[table.target].nunique() == test[table.target].nunique() == number, name
        assert table.measured
        assert not {table.target, table.group, table.time} & set(table.measured)


def test_the_verdict_on_steel_plates_is_not_behind_plain_trees(bench: Any, data_root: Path) -> None:
    table = bench("field_tables").TABLES["steel-plates"]()
    train, test, _ = bench("field_tables").divided(table, 0)
    X, y = test[table.measured], test["fault"].to_numpy()
    diagnoser = Diagnoser(seed=0, **table.needs).fit(train, target="fault")
    verdict = np.asarray(diagnoser.classes_)[diagnoser.predict_proba(X).argmax(axis=1)]
    macro = {"verdict": f1_score(y, verdict, average="macro")}
    for name in ("boosting", "forest"):
        plain = bench("field_plain").classifier(name, 0).fit(train[table.measured], train["fault"])
        macro[name] = f1_score(y, plain.predict(X), average="macro")
    assert macro["verdict"] > max(macro.values()) - 0.03, macro


def test_a_plain_classifier_is_given_the_false_alarms_of_the_verdict(bench: Any) -> None:
    rng = np.random.default_rng(0)
    y = np.repeat(["leak", "normal"], 200)
    score = rng.normal(size=400) + 2.0 * (y == "leak")
    p = np.column_stack([1 / (1 + np.exp(-score)), 1 / (1 + np.exp(score))])
    verdict = np.where(np.arange(400) % 20 == 0, "leak", "normal")  # 10 false alarms
    labels = CLASSES[bench("field").detected(p, y, CLASSES, "normal", verdict)]
    assert (labels[y == "normal"] == "leak").sum() == 10
    assert 0.4 < (labels[y == "leak"] == "leak").mean() < 0.8
    without = bench("field").detected(p, y, CLASSES, None, verdict)
    assert (without == p.argmax(axis=1)).all()
