"""The language model as an expert, alone and in a run, on a random two-layer LLaMA."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser, UserError
from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.language import loading
from faultwise.language.classifier.expert import LanguageExpert, language_model
from faultwise.language.classifier.token_input import TokenInput
from faultwise.language.classifier.validation_rows import held_out

COLUMNS = ["flow", "level", "temp"]


def _expert(tiny_lm: Path, seed: int = 0, **more: Any) -> LanguageExpert:
    return LanguageExpert(LanguageSettings(**{"model": str(tiny_lm), "steps": 2, **more}), seed)


# --- the expert ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "per_class"), [(3, 14), (11, 4)], ids=["one-digit", "two-digits"])
def test_probabilities_are_equal_after_loading(
    tiny_lm: Path, rows: Any, tmp_path: Path, classes: int, per_class: int
) -> None:
    X, y, groups = rows(classes, per_class)
    expert = _expert(tiny_lm, 1, input="short", steps=4).fit(X, y, groups)
    assert expert.log["steps"] == 4
    p = expert.predict_proba(X[:9])
    assert p.shape == (9, classes)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert expert.classes_.tolist() == sorted(set(y))
    assert (len(expert._tree().branches) > 1) == (classes > 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # PEFT warns when it looks for the base on a hub: saving must not
        expert.save(tmp_path)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir() if path.suffix != ".md") == [
        "adapter_config.json", "adapter_model.safetensors", "method.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["peft_type"] == "LORA"
    loaded = LanguageExpert(LanguageSettings()).load(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(X[:9]), p)
    np.testing.assert_allclose(expert.predict_proba(X[:9]), p, atol=1e-5)  # saving does not change it
    with pytest.raises(UserError, match="no encoder"):
        expert.quick_proba(X[:1])


@pytest.mark.parametrize("way", ["short", "tokens"])
def test_few_rows_a_class(tiny_lm: Path, rows: Any, way: str) -> None:
    X, y, groups = rows(3, 3)
    expert = _expert(tiny_lm, input=way).fit(X, y, groups)
    assert expert.predict_proba(X).shape == (9, 3)
    assert expert.predict_proba(X[:0]).shape == (0, 3)


def test_where_rows_are_few_all_of_them_are_trained_on(tiny_lm: Path, rows: Any) -> None:
    """A handful of held-out rows would stop the tuning by chance; perturbed rows do it then, and the log notes it."""
    few, enough = (_expert(tiny_lm).fit(*rows(3, per_class)) for per_class in (6, 90))
    assert few.log["validated_on"].startswith("perturbed rows")
    assert few.log["validation_rows"] > 24
    assert "validated_on" not in enough.log
    assert few.log["training_samples"] == 600 + 18  # see conftest
    assert enough.log["training_samples"] == (1 + 4) * (270 - enough.log["validation_rows"])
    assert isinstance(few._input, TokenInput)
    samples, labels = few._input.validation_samples(0)
    agreed = (few.quick_proba(samples).argmax(axis=1) == labels).mean()
    assert agreed > 0.6  # the labels are those of the rows


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_held_out_whole(seed: int) -> None:
    """Runs that begin normal and end in a fault: nobody could learn a class whose only rows were held out."""
    y = np.array(["0"] * 12 + ["1"] * 4 + ["0"] * 12 + ["2"])
    held = held_out(y, np.repeat([0, 1, 2], [8, 8, 13]), seed)
    assert held.any()
    assert set(y[~held]) == {"0", "1", "2"}


def test_one_row_of_each_class_is_too_few(tiny_lm: Path) -> None:
    X = pd.DataFrame({"value(a)": np.arange(4.0)})
    with pytest.raises(UserError, match=r"two training rows of one class at least.*--no-lm"):
        _expert(tiny_lm, input="short").fit(X, np.array(list("abcd")), np.arange(4))


@pytest.mark.parametrize(("way", "steps"), [("short", 5), ("tokens", 1), ("tokens", 12)])
def test_steps_are_as_many_as_requested(tiny_lm: Path, rows: Any, way: str, steps: int) -> None:
    """Also where the projector takes its share; a watch sees them counted through."""
    expert = _expert(tiny_lm, input=way, steps=steps)
    seen: list[dict[str, float]] = []
    expert.watch = seen.append
    expert.fit(*rows(3, 14))
    assert expert.log["planned_steps"] == steps
    counted = [one["step"] for one in seen]
    assert counted == [one["step"] for one in expert.log["history"]]
    assert counted == sorted(set(counted))
    assert counted[-1] == expert.log["steps"]
    assert {one["validation_rows"] for one in seen} == {expert.log["validation_rows"]}
    stages = [entry["stage"] for entry in expert.log["history"]]
    assert [bool(one["last_stage"]) for one in seen] == [stage == "lora" for stage in stages]


def test_an_exception_of_the_watch_ends_the_fit(tiny_lm: Path, rows: Any) -> None:
    class Enough(Exception):
        pass

    end = Enough("of this")
    seen = []

    def watch(figures: dict[str, float]) -> None:
        seen.append(figures)
        if len(seen) == 2:
            raise end

    expert = _expert(tiny_lm, steps=20)
    expert.watch = watch
    with pytest.raises(Enough) as raised:
        expert.fit(*rows(3, 14))
    assert raised.value is end
    assert len(seen) == 2
    assert {"step", "loss", "accuracy", "log_loss", "likeliest"} <= seen[0].keys()


def test_an_expert_without_a_fit() -> None:
    with pytest.raises(RunFolderError, match="neither fitted nor loaded"):
        LanguageExpert(LanguageSettings()).predict_proba(pd.DataFrame({"a": [1.0]}))


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"A GPU was requested .* take --set language.device=auto or cpu"):
        language_model(ExpertContext(language=LanguageSettings(device="cuda")))
    assert loading.device_named("auto").type == "cpu"


# --- in a run ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_lm(tiny_lm: Path, plant: Any) -> Diagnoser:
    rows = plant()
    language = {"model": str(tiny_lm), "steps": 3, "score_rows": 20}
    made = Diagnoser(experts=("logistic-regression", "language-model"), folds=2, language=language)
    made.fit(rows[COLUMNS], rows["fault"], rows["run"])
    # The random model is of no use, so it is dropped; it must count here.
    fusion = made.model_.fitted.ensemble.fusion  # type: ignore[attr-defined]
    fusion.weights = {"logistic-regression": 0.7, "language-model": 0.3}
    return made


def test_only_the_budgeted_rows_are_scored(with_lm: Diagnoser, plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    predict = LanguageExpert.predict_proba

    def counting(self: LanguageExpert, X: pd.DataFrame) -> np.ndarray:
        counts.append(len(X))
        return predict(self, X)

    monkeypatch.setattr(LanguageExpert, "predict_proba", counting)
    rows = plant(seed=3)[COLUMNS]
    p = with_lm.predict_proba(rows)
    assert counts == [20]
    np.testing.assert_allclose(p.sum(axis=1), 1)
    counts.clear()
    diagnosis = with_lm.diagnose(rows, row=77)
    assert counts == [20]
    assert "language-model" in diagnosis.cases[0].verdict.by_expert
    assert any("language model scored 20 of 144 rows" in note for note in diagnosis.notes)
    counts.clear()
    without = with_lm.diagnose(rows, row=77, score_rows=0)
    assert counts == []
    assert list(without.cases[0].verdict.by_expert) == ["logistic-regression"]


def test_a_run_with_the_language_model(
    with_lm: Diagnoser, plant: Any, plant_csv: Path, tmp_path: Path, cli: Any
) -> None:
    rows = plant(seed=3)[COLUMNS]
    before = with_lm.predict_proba(rows)
    folder = with_lm.save(tmp_path / "run")
    np.testing.assert_array_equal(Diagnoser.load(folder).predict_proba(rows), before)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["language_model"]["steps"] == 3
    assert not any("lora" not in n and n.endswith((".bin", ".pt", ".pkl")) for n in manifest["files"])
    for count in (0, 5):
        ran = cli("diagnose", folder, plant_csv, "--score-rows", count, "--json")
        assert ran.code == 0, ran.err
        assert (f"scored {count} of 144 rows" in ran.err) or count == 0
        ran = cli("evaluate", folder, plant_csv, "--score-rows", count, "--json")
        assert ran.code == 0, ran.err
        figures = json.loads(ran.out)["experts"].get("language-model")
        assert figures is None or figures["rows"] == count


def test_the_language_model_alone(tiny_lm: Path, plant: Any) -> None:
    """Alone it gives verdicts too; rows that it does not score have none instead of an invented one."""
    rows = plant(rows=8)
    language = {"model": str(tiny_lm), "steps": 2, "score_rows": 10}
    made = Diagnoser(experts=("language-model",), folds=2, language=language)
    made.fit(rows[COLUMNS], rows["fault"], rows["run"])
    case = made.diagnose(rows[COLUMNS], row=30).cases[0]
    assert list(case.verdict.by_expert) == ["language-model"]
    assert len(set(case.verdict.probabilities.values())) > 1
    assert len(case.findings) == 3
    labels = made.predict(rows[COLUMNS])
    unscored = np.isnan(made.predict_proba(rows[COLUMNS])).any(axis=1)
    assert unscored.sum() == len(rows) - 10
    assert all(label is None for label in labels[unscored])


def test_a_run_tuned_on_a_gpu_is_used_without_one(
    tiny_lm: Path, plant_csv: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sets = ("--set", f"language.model={tiny_lm}", "--set", "language.steps=2", "--set", "language.device=cuda")
    given = ("fit", plant_csv, "--target", "fault", "--group", "run", "--out", tmp_path / "run", *sets)
    ran = cli(*given, "--experts", "knn,language-model")
    assert ran.code == 2
    assert "A GPU was requested" in ran.err
    assert "fold" not in ran.err  # nothing was fitted before
    assert not (tmp_path / "run").exists()
    with monkeypatch.context() as there:
        there.setattr(loading, "device_named", lambda name: torch.device("cpu"))
        ran = cli(*given, "--experts", "language-model")
        assert ran.code == 0, ran.err
    rows = pd.read_csv(plant_csv).drop(columns="fault")
    assert np.isfinite(Diagnoser.load(tmp_path / "run").predict_proba(rows, rows["run"])).any()


def test_a_run_knows_the_files_it_was_tuned_on(
    tiny_lm: Path, plant: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file, save_file

    home = tmp_path / "home"
    shutil.copytree(tiny_lm, home / "own")
    monkeypatch.chdir(home)
    rows = plant(rows=8)
    X, runs = rows[COLUMNS], rows["run"]
    language = {"model": "own", "steps": 2, "score_rows": 8}
    made = Diagnoser(experts=("language-model",), folds=2, language=language)
    p = made.fit(X, rows["fault"], runs).predict_proba(X, runs)
    folder = made.save(tmp_path / "run")
    monkeypatch.chdir(tmp_path)  # a relative name means the same from elsewhere
    np.testing.assert_array_equal(Diagnoser.load(folder).predict_proba(X, runs), p)
    weights = load_file(home / "own" / "model.safetensors")
    weights = {name: value + 0.1 for name, value in weights.items()}
    save_file(weights, home / "own" / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunFolderError, match="not those that the run was tuned on"):
        Diagnoser.load(folder).predict_proba(X, runs)
