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
from faultwise.errors import DataError

MORE = ("noise", "drift")


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    """The small plant with two more columns that tell nothing, so that a few can be lost."""
    rng = np.random.default_rng(len(rows))
    return rows.assign(**{name: rng.normal(size=len(rows)) for name in MORE})


@pytest.fixture(scope="module")
def folder(tiny_lm: Path, plant: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = _wide(plant(runs=8))
    made = Diagnoser(
        experts=("logistic-regression", "language-model"), model=str(tiny_lm), lm_steps=12, lm_score_rows=12, folds=2,
        normal="0",
    ).fit(rows.drop(columns=["fault", "run"]), rows["fault"], rows["run"])  # fmt: skip
    return made.save(tmp_path_factory.mktemp("lost") / "run")


@pytest.fixture
def new(plant: Any) -> pd.DataFrame:
    return _wide(plant(runs=2, seed=9)).drop(columns="fault")


def test_without_a_sensor(cli: Callable[..., Any], folder: Path, new: pd.DataFrame, tmp_path: Path) -> None:
    whole = Diagnoser.load(folder).diagnose(new)
    assert all(case.verdict.standing for case in whole.cases)
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
        assert any("the others are judged by its encoder" in note for note in found[name]["notes"])
        assert "gave no value" in report.read_text()
        assert not any("distributed unlike" in note and "`level`" in note for note in found[name]["notes"])
    assert found["absent"]["cases"] == found["empty"]["cases"]
    for case in found["absent"]["cases"]:
        assert list(case["verdict"]["by_expert"]) == ["language-model"]
        assert case["verdict"]["fault_set"]["coverage"] is None
        assert case["findings"]
        assert all(finding["variable"] != "level" for finding in case["findings"])
        assert all(finding["expert"] == "row encoder" for finding in case["findings"])


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
    lines = diagnoser.label_rows(_table(rows.drop(columns=["fault", "level"])))
    assert len(lines) == len(rows)
    assert "standing" not in lines


def _table(rows: pd.DataFrame) -> Any:
    from faultwise.data.table import Roles, Table

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
