"""Run folders: what is loaded says exactly what was saved; nothing in them can run code; a save is whole or not."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io

from faultwise import Diagnoser, UserError
from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.experts import ExpertContext
from faultwise.runs.folders import _checksum
from faultwise.tables.fit.predicting import features_of
from faultwise.verdicts import registry
from faultwise.verdicts.stretches import stretches

CLASSICAL = (
    "extra-trees", "gradient-boosting", "hist-gradient-boosting", "knn", "logistic-regression", "random-forest", "svm",
)  # fmt: skip


class NearestMean:
    """An outsider's expert: the nearest class mean. Its state is one text file."""

    name = "nearest-mean"

    def __init__(self) -> None:
        self.classes_ = np.empty(0, dtype=object)
        self.means = np.empty((0, 0))

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> NearestMean:
        self.classes_ = np.unique(y)
        self.means = np.array([X.to_numpy(float)[y == label].mean(axis=0) for label in self.classes_])
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        far = ((X.to_numpy(float)[:, None] - self.means) ** 2).sum(axis=2)
        raised = np.exp(far.min(axis=1, keepdims=True) - far)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        (folder / "means.json").write_text(json.dumps([self.classes_.tolist(), self.means.tolist()]))

    def load(self, folder: Path) -> NearestMean:
        classes, means = json.loads((folder / "means.json").read_text())
        self.classes_, self.means = np.array(classes), np.array(means)
        return self


def nearest_mean(context: ExpertContext) -> NearestMean:
    return NearestMean()


@pytest.fixture(scope="module")
def fitted(plant: Any) -> Diagnoser:
    """Fitted with all seven classical experts on windows, with a categorical column and a gap."""
    rows = plant(rows=12)
    rows["state"] = np.where(np.arange(len(rows)) % 5 == 0, "idle", "busy")
    rows.loc[3, "flow"] = np.nan
    return Diagnoser(window=2, experts=CLASSICAL, seed=3).fit(
        rows.drop(columns=["fault", "run"]), rows["fault"], groups=rows["run"]
    )


@pytest.fixture(scope="module")
def saved(fitted: Diagnoser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted.save(tmp_path_factory.mktemp("saved") / "run")


@pytest.fixture(scope="module")
def unseen(plant: Any) -> pd.DataFrame:
    rows = plant(seed=9, rows=12).assign(state="idle")
    rows.loc[5, "level"] = np.nan
    return rows


def _resigned(folder: Path) -> None:
    """Bring the manifest's hashes up to date, as a forger would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"] = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in manifest["files"]}
    del manifest["checksum"]
    manifest["checksum"] = _checksum(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", CLASSICAL)
def test_expert_says_the_same_after_loading(fitted: Diagnoser, saved: Path, unseen: pd.DataFrame, name: str) -> None:
    """Exactly the same, also where the expert no longer counts in the fusion."""
    X = features_of(fitted.model_.fitted, unseen, stretches(unseen["run"].to_numpy())).frame
    mine, loaded = fitted.model_.fitted.ensemble, Diagnoser.load(saved).model_.fitted.ensemble
    assert list(loaded.experts) == list(CLASSICAL)
    np.testing.assert_array_equal(loaded.predict(name, X), mine.predict(name, X))


def test_everything_says_the_same_after_loading(fitted: Diagnoser, saved: Path, unseen: pd.DataFrame) -> None:
    loaded = Diagnoser.load(saved)
    X, runs = unseen.drop(columns=["fault", "run"]), unseen["run"]
    np.testing.assert_array_equal(loaded.predict_proba(X, runs), fitted.predict_proba(X, runs))
    assert loaded.predict(X, runs).tolist() == fitted.predict(X, runs).tolist()
    mine, theirs = (json.dumps(one.diagnose(X).to_dict()) for one in (fitted, loaded))  # as text, for NaN is not NaN
    assert theirs == mine
    assert loaded.get_params() == fitted.get_params()
    assert loaded.classes_.tolist() == fitted.classes_.tolist()


def test_reference_rows_come_back_in_order(fitted: Diagnoser, saved: Path) -> None:
    pd.testing.assert_frame_equal(
        Diagnoser.load(saved).model_.fitted.reference, fitted.model_.fitted.reference, check_exact=True
    )


def test_saving_what_was_loaded_gives_the_same_run(saved: Path, unseen: pd.DataFrame, tmp_path: Path) -> None:
    again = Diagnoser.load(saved).save(tmp_path / "again")
    X = unseen.drop(columns=["fault", "run"])
    np.testing.assert_array_equal(Diagnoser.load(again).predict_proba(X), Diagnoser.load(saved).predict_proba(X))
    first, second = (json.loads((f / "manifest.json").read_text()) for f in (saved, again))
    assert sorted(second["files"]) == sorted(first["files"])
    assert {k: v for k, v in second.items() if k not in ("files", "checksum")} == {
        k: v for k, v in first.items() if k not in ("files", "checksum")
    }


def test_same_seed_gives_the_same_run(plant: Any, tmp_path: Path) -> None:
    rows = plant()
    X, y, runs = rows[["flow", "level", "temp"]], rows["fault"], rows["run"]
    made = [Diagnoser(experts=("random-forest",), seed=s).fit(X, y, runs).predict_proba(X) for s in (4, 4, 5)]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_plug_in_expert(plant: Any, unseen: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = plant()
    X, y, runs = rows[["flow", "level", "temp"]], rows["fault"], rows["run"]
    with monkeypatch.context() as patch:
        known = registry.registered
        extra = EntryPoint("nearest-mean", f"{__name__}:nearest_mean", "faultwise.experts")
        patch.setattr(registry, "registered", lambda: [*known(), extra])
        fitted = Diagnoser(experts=("nearest-mean", "logistic-regression")).fit(X, y, runs)
        folder = fitted.save(tmp_path / "run")
        loaded = Diagnoser.load(folder)
        assert set(loaded.model_.fitted.ensemble.experts) == {"nearest-mean", "logistic-regression"}
        np.testing.assert_array_equal(loaded.predict_proba(unseen), fitted.predict_proba(unseen))
    with pytest.raises(UserError, match=r"no expert `nearest-mean`.*install the package"):
        Diagnoser.load(folder)


def test_no_pickle_inside(saved: Path) -> None:
    files = [path for path in saved.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".json", ".safetensors", ".skops"}
    for path in files:
        if path.suffix == ".skops":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                contents = [archive.read(name) for name in names]
            assert {Path(name).suffix for name in names} <= {".json", ".npy"}
            # An .npy with Python objects is a pickle: its header says so.
            assert not any(content.startswith(b"\x93NUMPY") and b"'|O'" in content[:200] for content in contents)
        else:
            contents = [path.read_bytes()]
        assert not any(content[:1] == b"\x80" and content[-1:] == b"." for content in contents)


def test_types_that_no_fit_writes_are_refused(saved: Path, unseen: pd.DataFrame, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    for name in CLASSICAL:
        skops.io.dump({"model": NearestMean()}, folder / "experts" / name / "expert.skops")
    _resigned(folder)
    with pytest.raises(RunFolderError, match=r"types that no fit writes \(.*NearestMean.*\): it was not loaded"):
        Diagnoser.load(folder).predict(unseen)


def test_forged_state_is_refused_in_words(saved: Path, tmp_path: Path) -> None:
    for broken in ('{"encoder": {}}', "[]", "not json", '{"encoder": {"window": 1, "columns": null}}'):
        folder = Path(shutil.copytree(saved, tmp_path / str(len(broken))))
        (folder / "state.json").write_text(broken)
        _resigned(folder)
        with pytest.raises(RunFolderError, match=r"cannot be understood .*fit again"):
            Diagnoser.load(folder)


def test_manifest_tells_how_the_run_was_made(saved: Path, fitted: Diagnoser) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    assert manifest["format"] == 2
    assert manifest["settings"]["seed"] == 3
    assert manifest["labels"] == ["0", "1", "2"]
    assert len(manifest["data_hash"]) == 64
    assert set(manifest["files"]) == {
        str(path.relative_to(saved)) for path in saved.rglob("*") if path.is_file() and path.name != "manifest.json"
    }


# --- a save is whole or not at all ---------------------------------------------------------------------------


@pytest.fixture
def small(plant: Any) -> Diagnoser:
    rows = plant()
    return Diagnoser(experts=("knn",)).fit(rows[["flow", "level", "temp"]], rows["fault"], rows["run"])


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_saving_over_an_older_run_replaces_it_whole(saved: Path, small: Diagnoser, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    (folder / "left over.txt").write_text("of the old run")
    small.save(folder)
    assert [path.name for path in (folder / "experts").iterdir()] == ["knn"]
    assert not (folder / "left over.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert list(Diagnoser.load(folder).model_.fitted.ensemble.experts) == ["knn"]


@pytest.mark.parametrize("at", ["expert", "state", "manifest", "replace"])
@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_failed_save_leaves_the_old_run(
    saved: Path, small: Diagnoser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, error: BaseException
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    before = _names(tmp_path)

    def fail(*_: object, **__: object) -> None:
        raise error

    if at == "expert":
        monkeypatch.setattr(skops.io, "dump", fail)
    elif at == "state":
        monkeypatch.setattr("faultwise.tables.fit.storage.save_file", fail)
    elif at == "manifest":
        monkeypatch.setattr("faultwise.runs.folders._checksum", fail)
    else:
        replace, left = os.replace, [error]

        def once(source: Path, target: Path) -> None:
            if Path(target) == folder and left:
                raise left.pop()
            replace(source, target)

        monkeypatch.setattr(os, "replace", once)
    with pytest.raises(type(error)):
        small.save(folder)
    monkeypatch.undo()
    assert _names(tmp_path) == before
    assert list(Diagnoser.load(folder).model_.fitted.ensemble.experts) == list(CLASSICAL)


def test_unfitted_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not been fitted"):
        Diagnoser().save(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["left_child", "right_child", "feature"])
def test_forged_trees_are_refused(saved: Path, tmp_path: Path, field: str) -> None:
    """scikit-learn follows a tree's indices unchecked: one that leads outside must not get as far as that."""
    from sklearn.ensemble import RandomForestClassifier

    folder = Path(shutil.copytree(saved, tmp_path / "run"))
    rng = np.random.default_rng(0)
    forest = RandomForestClassifier(2, random_state=0).fit(rng.normal(size=(30, 4)), np.arange(30) % 3)
    state = forest.estimators_[1].tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = 1_000_000
    forest.estimators_[1].tree_.__setstate__(state)
    skops.io.dump(forest, folder / "experts" / "random-forest" / "expert.skops")
    _resigned(folder)
    with pytest.raises(RunFolderError, match="it was not loaded"):
        Diagnoser.load(folder).model_.fitted.ensemble.experts["random-forest"]._ready()  # type: ignore[attr-defined]
