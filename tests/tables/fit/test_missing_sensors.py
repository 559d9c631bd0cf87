"""Sensors that are lost at diagnosis: with the language model any subset gives a verdict, and says what it is worth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError
from faultwise.language.classifier.expert import LanguageExpert

MORE = ("noise", "drift")


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """The small plant with two more columns that tell nothing, so that a few can be lost."""
    rng = np.random.default_rng(len(rows))
    return rows.assign(**{name: rng.normal(size=len(rows)) for name in MORE})


@pytest.fixture(scope="module")
def folder(tiny_lm: Path, plant: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = _wide(plant(runs=8))
    made = Diagnoser(
        experts=("logistic-regression", "language-model"), folds=2,
        language={"model": str(tiny_lm), "steps": 12, "score_rows": 12},
        normal="0",
    ).fit(rows.drop(columns=["fault", "run"]), rows["fault"], rows["run"])  # fmt: skip
    return made.save(tmp_path_factory.mktemp("lost") / "run")


@pytest.fixture
def new(plant: Any) -> pd.DataFrame:
    return _wide(plant(runs=2, seed=9)).drop(columns="fault")


def test_without_a_sensor(cli: Callable[..., Any], folder: Path, new: pd.DataFrame, tmp_path: Path) -> None:
    whole = Diagnoser.load(folder).diagnose(new)
    assert all(case.verdict.status for case in whole.cases)
    files = {"absent": new.drop(columns="level"), "empty": new.assign(level=np.nan)}
    found = {}
    for name, rows in files.items():
        rows.to_csv(tmp_path / f"{name}.csv", index=False)
        report = tmp_path / f"{name}.html"
        ran = cli("diagnose", folder, tmp_path / f"{name}.csv", "--json", "--report", report)
        assert ran.code == 0, ran.err
        found[name] = json.loads(ran.out)
        (note,) = [note for note in found[name]["notes"] if "gave no value" in note]
        assert note.startswith("1 of 5 columns used in training gave no value (`level`).")
        assert "nothing is promised" in note
        assert "its encoder" in note.replace("the language model's encoder", "its encoder")
        assert "gave no value" in report.read_text()
        assert not any("distributed differently" in note and "`level`" in note for note in found[name]["notes"])
    assert found["absent"]["cases"] == found["empty"]["cases"]
    for case in found["absent"]["cases"]:
        assert "logistic-regression" not in case["verdict"]["by_expert"]
        assert "row-encoder" in case["verdict"]["by_expert"]
        assert case["verdict"]["fault_set"]["coverage"] is None
        assert case["verdict"]["false_alarm_rate"] is None
        assert case["verdict"]["reason"].startswith("Classified without `level`, which gave no value")
        assert case["findings"]
        assert all(finding["variable"] != "level" for finding in case["findings"])
        assert all(finding["expert"] == "row-encoder" for finding in case["findings"])


def test_the_better_of_model_and_encoder_judges(
    folder: Path, new: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = new.drop(columns="level")
    found = {}
    for better in (True, False):
        monkeypatch.setattr(LanguageExpert, "encoder_is_better", better)
        found[better] = Diagnoser.load(folder).diagnose(rows)
        said = " ".join(found[better].notes)
        assert ("which did better than the model" in said) == better
        assert ("the others are classified by its encoder" in said) == (not better)
    for by_encoder, by_model in zip(found[True].cases, found[False].cases, strict=False):
        assert list(by_encoder.verdict.by_expert) == ["row-encoder"]
        assert list(by_model.verdict.by_expert) == ["row-encoder", "language-model"]
        assert by_model.verdict.probabilities == by_model.verdict.by_expert["language-model"]


def test_what_is_silent_in_some_runs_only_is_said(folder: Path, new: pd.DataFrame) -> None:
    first = new["run"].iloc[0]
    rows = new.assign(level=new["level"].where(new["run"] != first))
    found = Diagnoser.load(folder).diagnose(rows)
    (note,) = [note for note in found.notes if "in some runs" in note]
    assert f"({first}): level" in note.replace("`", "")
    assert not any("gave no value" in note for note in found.notes)


def test_an_empty_column_without_the_language_model(cli: Callable[..., Any], plant: Any, tmp_path: Path) -> None:
    rows = plant()
    classical = Diagnoser(experts=("logistic-regression",)).fit(rows.iloc[:, :3], rows["fault"], rows["run"])
    found = classical.diagnose(rows.drop(columns="fault").assign(level=np.nan))
    assert any("`level` holds no value at all: its training median" in note for note in found.notes)


def test_other_commands_with_a_column_absent(cli: Callable[..., Any], folder: Path, plant: Any, tmp_path: Path) -> None:
    rows = _wide(plant(runs=3, seed=11)).rename(columns={"fault": "label"})
    rows.drop(columns="level").to_csv(tmp_path / "new.csv", index=False)
    alarms = cli("alarms", folder, tmp_path / "new.csv", "--target", "label", "--json")
    assert alarms.code == 0, alarms.err
    for argv in (("calibrate", folder, tmp_path / "new.csv", "--target", "label", "--out", tmp_path / "c"),
                 ("evaluate", folder, tmp_path / "new.csv", "--target", "label")):  # fmt: skip
        ran = cli(*argv)
        assert (ran.code, "missing: `level`" in ran.err) == (2, True), ran.err


def test_a_column_called_self_is_lost(tiny_lm: Path, plant: Any) -> None:
    rows = _wide(plant(runs=4)).rename(columns={"level": "self"})
    made = Diagnoser(
        experts=("language-model",), folds=2, language={"model": str(tiny_lm), "steps": 2, "score_rows": 4}
    )
    made.fit(rows.drop(columns=["fault", "run"]), rows["fault"], rows["run"])
    found = made.diagnose(rows.drop(columns=["fault", "self"]))
    assert any("(`self`)" in note for note in found.notes)


def test_uncertainty_is_wider(folder: Path, plant: Any) -> None:
    """`level` alone tells label 2 from 0; `flow` is still there and tells label 1."""
    rows = _wide(plant(runs=4, seed=10))
    X, y, runs = rows.drop(columns=["fault", "run"]), rows["fault"].to_numpy(), rows["run"]
    diagnoser = Diagnoser.load(folder)
    p = {"all": diagnoser.predict_proba(X, runs), "lost": diagnoser.predict_proba(X.drop(columns="level"), runs)}
    np.testing.assert_allclose(p["lost"].sum(axis=1), 1)
    doubt = {name: -(q * np.log(q + 1e-12)).sum(axis=1) for name, q in p.items()}
    assert doubt["lost"][y != "1"].mean() > doubt["all"][y != "1"].mean() + 0.1
    labels = diagnoser.predict(X.drop(columns="level"), runs)
    assert (labels[y == "1"] == "1").mean() > 0.8
    lines = diagnoser.model_.label_rows(_table(rows.drop(columns=["fault", "level"])))
    assert len(lines) == len(rows)
    assert "status" not in lines


def _table(rows: pd.DataFrame) -> Any:
    from faultwise.tables.reading.table import Roles, Table

    return Table(rows, Roles(group="run"))


def test_what_cannot_be_done_without(folder: Path, new: pd.DataFrame, plant: Any) -> None:
    diagnoser = Diagnoser.load(folder)
    with pytest.raises(DataError, match=r"4 of 5 columns used in training are missing or empty.*more than 60%"):
        diagnoser.diagnose(new[["run", "flow"]])
    with pytest.raises(DataError, match=r"Perhaps renamed: `Level` looks like `level`"):
        diagnoser.diagnose(new.rename(columns={"level": "Level"}))
    rows = plant()
    classical = Diagnoser(experts=("logistic-regression",)).fit(
        rows[["flow", "level", "temp"]], rows["fault"], rows["run"]
    )
    with pytest.raises(DataError, match="1 of 3 columns used in training are missing: `level`"):
        classical.diagnose(new.drop(columns="level"))
