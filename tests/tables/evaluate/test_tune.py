"""The search of settings: same trials after a kill, pruning, samplers, workers, bad input, and one real search."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

pytest.importorskip("optuna")

from faultwise.contracts.errors import UserError
from faultwise.evaluate.search import Job, Part, Trial, resume_state, search
from faultwise.evaluate.search_space import PRESETS, Choice, Range, points, read_space
from faultwise.evaluate.search_store import grid_size
from faultwise.evaluate.search_workers import search_with

X = pd.DataFrame({"a": [0.0, 1.0] * 10})
Y = np.array(["0", "1"] * 10)
PARTS = [Part(X, Y, Y, X, Y)] * 3
SPACE = {"x": Range(0.0, 1.0), "k": Choice((0, 1, 2))}


class Stub:
    """An expert that is right with a probability that its parameters set; it counts its fits in a file, if any."""

    name = "stub"

    def __init__(self, params: Mapping[str, Any], log: Path | None = None, pause: float = 0.0) -> None:
        self.params, self.log, self.pause = params, log, pause
        self.classes_ = np.array(["0", "1"])
        self.watch: Callable[[dict[str, float]], object] | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Stub:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(json.dumps(dict(self.params)) + "\n")
        time.sleep(self.pause)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        good = max(0.55, 0.99 - abs(self.params["x"] - 0.3) / 3 - 0.02 * self.params["k"])
        return np.where(X[["a"]].to_numpy() == np.array([[0, 1]]), good, 1 - good)

    def save(self, folder: Any) -> None:
        raise NotImplementedError

    load = save


class Build:
    """A factory that can be sent to another process."""

    def __init__(self, log: Path | None = None, pause: float = 0.0) -> None:
        self.log, self.pause = log, pause

    def __call__(self, params: Mapping[str, Any]) -> Stub:
        return Stub(params, self.log, self.pause)


def _key(trials: list[Trial]) -> list[Any]:
    """What must be the same: everything but seconds."""
    return [(t.number, t.state, t.params, t.value, [f["log_loss"] for f in t.folds], t.reason) for t in trials]


def _job(folder: Path, trials: int = 14, **other: Any) -> Job:
    return replace(Job(SPACE, PARTS, Build(), folder, trials), **other)


# --- the same trials -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    """The trials of a search that nobody interrupted."""
    return search(_job(tmp_path_factory.mktemp("search") / "whole")).trials


def test_same_seed_same_trials_and_tpe_finds_the_place(tmp_path: Path, whole: list[Trial]) -> None:
    # In two goes, too: what is drawn depends on the trials there are, not on the process.
    search(_job(tmp_path / "a", trials=5))
    again = search(_job(tmp_path / "a"))
    assert _key(again.trials) == _key(whole)
    assert [one.number for one in whole] == list(range(14))
    other = search(_job(tmp_path / "b", seed=1, trials=2)).trials
    assert other[0].params != whole[0].params
    assert again.best is not None
    assert abs(again.best.params["x"] - 0.3) < 0.15
    assert again.best.value == min(one.value for one in whole if one.value is not None)
    assert sum(again.importance.values()) == pytest.approx(1)
    assert max(again.importance, key=lambda name: again.importance[name]) == "x"
    assert {one.state for one in whole} == {"complete", "pruned"}  # the median at work
    assert all("median" in one.reason for one in whole if one.state == "pruned")


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_tune import Build, _job
from faultwise.evaluate.search import search
search(_job(Path(sys.argv[1]), build=Build(Path(sys.argv[2]), 0.1)))
"""


def test_a_killed_search_ends_in_the_same_trials(tmp_path: Path, whole: list[Trial]) -> None:
    """Each trial is drawn from those before it alone, so fewer trials are the first of more."""
    folder, log = tmp_path / "search", tmp_path / "fits"
    code = KILLED.format(here=str(Path(__file__).parent))
    command = [sys.executable, "-c", code, str(folder), str(log)]
    process = subprocess.Popen(command)
    end = time.monotonic() + 60
    while not log.exists() or len(log.read_text().splitlines()) < 5:  # in the second fold of a trial
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    # A trial was half done when its process ended.
    assert "running" in [one.state for one in resume_state(_job(folder)).trials]
    found = search(_job(folder, trials=6, build=Build(log)))
    assert _key(found.trials) == _key(whole)[:6]
    # A finished fold is not fitted again: one fit is lost by the kill.
    assert len(log.read_text().splitlines()) <= sum(len(one.folds) for one in found.trials) + 1
    assert not list(folder.glob("worker-*"))


def test_an_interrupted_trial_goes_on(tmp_path: Path, whole: list[Trial]) -> None:
    fits = 0

    class Interrupted(Stub):
        def fit(self, *given: Any) -> Stub:
            nonlocal fits
            fits += 1
            if fits == 8:
                raise KeyboardInterrupt
            return super().fit(*given)

    with pytest.raises(KeyboardInterrupt):
        search(_job(tmp_path / "a", build=Interrupted))
    assert _key(search(_job(tmp_path / "a", trials=4)).trials) == _key(whole)[:4]


def test_two_workers_share_a_search(tmp_path: Path) -> None:
    log = tmp_path / "fits"
    seen: list[int] = []
    job = _job(tmp_path / "a", trials=6, build=Build(log, 0.05))
    found = search_with(2, job, lambda trials: seen.append(len(trials)))
    assert [one.number for one in found.trials] == list(range(6))
    assert found.count("complete") + found.count("pruned") == 6
    # No fold was fitted twice.
    assert len(log.read_text().splitlines()) == sum(len(one.folds) for one in found.trials)
    assert seen[-1] == 6
    assert search_with(1, job).trials == found.trials  # nothing is left to do


class Broken:
    """Builds nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, params: Mapping[str, Any]) -> Stub:
        raise self.error


def test_a_worker_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'no such thing'"):
        search_with(2, _job(tmp_path / "a", trials=1, build=Broken(KeyError("no such thing"))))


# --- pruning ---------------------------------------------------------------------------------------------------


class Watched(Stub):
    """Reports the figures that a case gives it; the fit goes on unless it is stopped."""

    figures: tuple[dict[str, float], ...] = ()
    wrong = False
    ended = False

    def fit(self, *given: Any) -> Stub:
        for step, one in enumerate(self.figures):
            assert self.watch is not None
            self.watch({"step": float(step), **one})
        type(self).ended = True
        return super().fit(*given)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict_proba(X * 0 if self.wrong else X)


def _watched(figures: list[dict[str, float]], wrong: bool = False) -> type[Watched]:
    return type("Case", (Watched,), {"figures": tuple(figures), "wrong": wrong})


GOOD = {"loss": 0.5, "log_loss": 0.5, "accuracy": 0.9}
CHANCE = {"loss": 0.7, "log_loss": 0.7, "accuracy": 0.52}
NAN = float("nan")


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ([GOOD, {**GOOD, "loss": NAN}], "loss became nan at step 1"),
        ([{**GOOD, "log_loss": float("inf")}], "log_loss became inf at step 0"),
        ([CHANCE] * 4, "accuracy 0.520 at step 3 is still at chance (0.500)"),
    ],
)
def test_a_fit_that_leads_nowhere_is_stopped(tmp_path: Path, figures: list[Any], reason: str) -> None:
    build = _watched(figures)
    (trial,) = search(_job(tmp_path / "a", build=build, trials=1)).trials
    assert (trial.state, trial.value, trial.folds, trial.reason) == ("pruned", None, [], reason)
    assert not build.ended


def test_a_fit_may_begin_slowly(tmp_path: Path) -> None:
    (trial,) = search(_job(tmp_path / "a", build=_watched([CHANCE] * 3 + [GOOD] + [CHANCE] * 2), trials=1)).trials
    assert trial.state == "complete"


def test_predictions_at_chance_end_a_trial_after_the_fold(tmp_path: Path) -> None:
    """The same label for all rows is right for half of them."""
    (trial,) = search(_job(tmp_path / "a", build=_watched([], wrong=True), trials=1)).trials
    assert (trial.state, len(trial.folds)) == ("pruned", 1)
    assert trial.reason == "accuracy 0.500 on fold 1 is at chance (0.500)"


def test_a_rare_fault_that_is_found_is_above_chance(tmp_path: Path) -> None:
    """19 of 20 rows are normal: to classify all as normal is chance, to find the fault is not."""
    y = np.array(["0"] * 57 + ["1"] * 3)
    rare = Part(X, Y, Y, pd.DataFrame({"a": (y == "1").astype(float)}), y)
    found, never = (
        search(_job(tmp_path / name, parts=[rare], build=build, trials=1)).trials[0]
        for name, build in (("found", Build()), ("never", _watched([], wrong=True)))
    )
    assert found.state == "complete"
    assert never.state == "pruned"
    assert never.folds[0]["accuracy"] == pytest.approx(0.95)


def test_few_rows_and_a_lone_label_are_not_judged(tmp_path: Path) -> None:
    parts = [Part(X, Y, Y, X[:2], Y[:2]), Part(X, Y, Y, X[::2], Y[::2])]
    (trial,) = search(_job(tmp_path / "a", parts=parts, trials=1)).trials
    assert trial.state == "complete"


class Refusing(Stub):
    """Refuses to learn with k = 0, and gives no numbers with k = 1."""

    def fit(self, *given: Any) -> Stub:
        if self.params["k"] == 0:
            raise UserError("The loss became nan.")
        return super().fit(*given)

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return super().predict_proba(X) * (NAN if self.params["k"] == 1 else 1)


def test_a_fit_that_fails_ends_its_trial_only(tmp_path: Path) -> None:
    found = search(_job(tmp_path / "a", sampler="grid", space={**SPACE, "x": Choice((0.3,))}, build=Refusing, trials=9))
    reasons = {one.params["k"]: (one.state, one.reason) for one in found.trials}
    assert reasons == {
        0: ("pruned", "The loss became nan."),
        1: ("pruned", "probabilities that are not numbers"),
        2: ("complete", ""),
    }


# --- samplers and spaces ---------------------------------------------------------------------------------------


def test_a_grid_takes_every_point_once(tmp_path: Path) -> None:
    space = {"x": Range(0.0, 1.0), "k": Choice((0, 1))}
    assert grid_size(space) == 10
    job = _job(tmp_path / "a", space=space, sampler="grid", median=False)
    search(replace(job, trials=4))
    found = search(replace(job, trials=99))
    drawn = [(one.params["x"], one.params["k"]) for one in found.trials]
    assert sorted(drawn) == [(x, k) for x in (0.0, 0.25, 0.5, 0.75, 1.0) for k in (0, 1)]
    assert drawn != sorted(drawn)  # so that the first few are no corner
    assert found.best is not None
    assert (found.best.params["x"], found.best.params["k"]) == (0.25, 0)


def test_random_draws_keep_steps_and_ends(tmp_path: Path) -> None:
    space = {
        "x": Range(0.0, 1.0),
        "k": Range(0, 2),
        "dropout": Range(0.05, 1.0, 0.01),
        "rank": Range(4, 18, 4),
        "steps": Range(1, 512, log=True),
    }
    found = search(_job(tmp_path / "a", space=space, sampler="random", trials=20, median=False, parts=PARTS[:1]))
    drawn = [one.params["x"] for one in found.trials]
    assert min(drawn) < 0.15
    assert max(drawn) > 0.85
    assert len(set(drawn)) == 20
    for one in found.trials:
        assert one.params["dropout"] == round(one.params["dropout"], 2)
        assert one.params["rank"] in (4, 8, 12, 16)
        assert isinstance(one.params["steps"], int)
    assert min(one.params["steps"] for one in found.trials) < 20  # half of the draws, in logarithm


def test_what_was_tried_is_not_fitted_again(tmp_path: Path) -> None:
    log = tmp_path / "fits"
    found = search(_job(tmp_path / "a", space={"x": Choice((0.3,)), "k": Choice((0, 1))}, build=Build(log), trials=6))
    assert len(found.trials) == 6
    assert len(log.read_text().splitlines()) <= 2 * len(PARTS)
    for k in (0, 1):
        assert len({one.value for one in found.trials if one.params["k"] == k and one.value is not None}) <= 1


def test_the_thesis_space() -> None:
    preset = PRESETS["thesis"]
    assert (preset.trials, preset.folds, preset.language["input"]) == (100, 5, "thesis")
    sizes = {name: len(points(name, dimension)) for name, dimension in preset.space.items()}
    assert sizes == {
        "rank": 253, "alpha": 125, "dropout": 96, "normalise": 2, "learning_rate": 1000, "column_names": 2,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"12,144,000,000,000? points|points, expected 10,000"):
        grid_size(preset.space)


def test_a_space_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        "learning_rate: {low: 1e-4, high: 1e-2, log: true}\nrank: [4, 8, 8]\nsteps: 60\ncolumn_names: [no, yes]\n"
    )
    assert read_space(path) == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "rank": Choice((4, 8)),
        "steps": Choice((60,)),
        "column_names": Choice((False, True)),
    }


BAD = [
    ("lora_rank: [4]", "unknown key `lora_rank` (did you mean `rank`?)"),
    ("language.steps: [4]", "unknown key `language.steps` (did you mean `steps`?)"),
    ("lora_r: [4]", "unknown key `lora_r` (its name is `rank` now)"),
    ("lm_judge: [generate]", "unknown key `lm_judge` (its name is `scoring` now)"),
    ("text: [short]", "unknown key `text` (its name is `input` now)"),
    ("form: [lora]", "unknown key `form` (its name is `method` now)"),
    ("lost: [0.5]", "unknown key `lost` (there are alpha, column_names,"),
    ("steps: {low: 4}", "`steps` lacks `high`"),
    ("steps: {low: 9, high: 4}", "`steps` runs from 9 to 4: low must be below high"),
    ("steps: {low: 1, high: 4, by: 2}", "`steps` has an unknown `by`"),
    ("steps: {low: 1, high: 4, step: 0.5}", "`steps` has step 0.5, expected a whole number"),
    ("rank: [0, 4]", "`rank` has 0, expected 1 or more"),
    ("dropout: {low: 0, high: 2}", "`dropout` has 2, expected 0 to 1"),
    ("learning_rate: {low: 0.1, high: 0.2, step: 0.1, log: true}", "has both log and step"),
    ("dropout: {low: 0, high: 1, log: true}", "cannot be drawn in logarithm from 0 on"),
    ("column_names: {low: 0, high: 1}", "`column_names` is true or false: give a list of values"),
    ("column_names: [1]", "`column_names` has 1, expected true or false"),
    ("learning_rate: [fast]", "`learning_rate` has 'fast', expected a number"),
    ("steps: []", "`steps` has an empty list"),
    ("{}", "nothing to search"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_a_wrong_space_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "space.yaml").write_text(text)
    with pytest.raises(UserError) as error:
        read_space(tmp_path / "space.yaml")
    assert words in str(error.value)


def test_all_errors_of_a_space_at_once(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("rnk: [4]\nsteps: [0]\ncolumn_names: [maybe]\n")
    with pytest.raises(UserError, match=r"rnk.*steps.*column_names"):
        read_space(tmp_path / "space.yaml")


# --- folders ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search with one trial."""
    folder = tmp_path_factory.mktemp("search") / "begun"
    search(_job(folder, trials=1))
    return folder


@pytest.mark.parametrize("other", [{"seed": 7}, {"sampler": "random"}, {"median": False}, {"head": {"rows": 3}}])
def test_the_folder_of_another_search_is_refused(begun: Path, other: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"another search .differing: {next(iter(other)).replace('head', 'rows')}"):
        search(_job(begun, **other))
    assert len(resume_state(_job(begun)).trials) == 1


def test_the_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no search"):
        search(_job(tmp_path))
    (tmp_path / "trials.db").write_text("no database at all, but long enough to be looked at as one" * 9)
    with pytest.raises(UserError, match="no database of a search"):
        search(_job(tmp_path))


# --- the command -----------------------------------------------------------------------------------------------

ROLES = ("--target", "fault", "--group", "run")


def _sets(**language: object) -> list[str]:
    """Flags for settings of the language model."""
    return [part for name, value in language.items() for part in ("--set", f"language.{name}={value}")]


@pytest.fixture(scope="module")
def two_faults(tmp_path_factory: pytest.TempPathFactory, plant: Any) -> Path:
    """Two classes far apart: a tiny model learns them in 40 steps."""
    rows = plant(runs=4, rows=10).query("fault != '2'").drop(columns="temp")
    rows["flow"] += 20 * (rows["fault"] == "1")
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    rows.to_csv(path, index=False)
    return path


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "space.yaml"
    path.write_text("learning_rate: {low: 5e-4, high: 2e-3, log: true}\nrank: [8, 16]\nsteps: [40, 48]\n")
    return str(path)


def test_a_real_search(cli: Callable[..., Any], two_faults: Path, tiny_lm: Path, own: str, tmp_path: Path) -> None:
    out = tmp_path / "search"
    text = _sets(model=tiny_lm, input="short", features=2)
    given = (two_faults, *ROLES, "--space", own, "--folds", 2, *text, "--out", out)
    ran = cli("tune", *given, "--trials", 2, "--json")
    assert ran.code == 0, ran.err
    record = json.loads(ran.out)
    assert record["trials"] == 2
    assert record["pruned"] < 2
    assert record["value"] == min(one["value"] for one in record["history"] if one["value"] is not None)
    assert record["value"] < np.log(2)
    assert record["config"]["folds"] == 2
    assert json.loads((out / "record.json").read_text())["history"] == record["history"]
    page = (out / "report.html").read_text()
    assert page.count("<svg") >= 1
    assert "http" not in page.replace("http-equiv", "")
    # What was found is what a fit takes.
    settings = yaml.safe_load((out / "best.yaml").read_text())
    best = record["best"]["params"]
    assert settings == {"language": {**best, "model": str(tiny_lm), "input": "short", "features": 2}}
    run = tmp_path / "run"
    fitted = cli(
        "fit", two_faults, *ROLES, "--config", out / "best.yaml", "--experts", "logistic-regression", "--out", run
    )
    assert fitted.code == 0, fitted.err
    assert json.loads((run / "manifest.json").read_text())["settings"]["language.steps"] == best["steps"]
    # Started again, there is nothing to do; asked for another folds' number, it is another search.
    again = cli("tune", *given, "--trials", 2, "--json")
    assert json.loads(again.out)["history"] == record["history"]
    other = cli("tune", *given, "--trials", 2, "--window", 2)
    assert other.code == 2
    assert "another search (differing: config)" in other.err


def test_values_that_do_not_go_together_cost_one_trial(
    cli: Callable[..., Any], two_faults: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("input: [tokens, short]\nscoring: [generate]\nsteps: [2]\n")
    given = (*_sets(model=tiny_lm), "--space", space, "--folds", 2, "--sampler", "grid", "--trials", 2)
    ran = cli("tune", two_faults, *ROLES, *given, "--out", tmp_path / "a", "--json")
    history = json.loads(ran.out)["history"]
    assert len(history) == 2
    assert sum("which writes answers to texts" in one["reason"] for one in history) == 1
    space.write_text("input: [shrt]\nmethod: [lroa]\n")
    ran = cli("tune", two_faults, *ROLES, *given, "--out", tmp_path / "b")
    assert ran.code == 2
    assert "`input` has 'shrt', expected one of tokens, short" in ran.err
    assert "`method` has 'lroa', expected one of context" in ran.err


def test_all_trials_pruned_is_an_error_with_the_reason(
    cli: Callable[..., Any], two_faults: Path, tiny_lm: Path, tmp_path: Path
) -> None:
    (tmp_path / "space.yaml").write_text("digits: [1]\n")
    given = (*_sets(model=tiny_lm, steps=1), "--space", tmp_path / "space.yaml", "--folds", 2, "--trials", 1)
    ran = cli("tune", two_faults, *ROLES, *given, "--out", tmp_path / "a")
    assert ran.code == 2
    assert "All 1 trials were pruned" in ran.err
    assert "at chance" in ran.err
    assert not (tmp_path / "a" / "best.yaml").exists()
    assert "pruned" in (tmp_path / "a" / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--preset", "thesi"), "no preset `thesi` (did you mean `thesis`?)"),
        (("--sampler", "tp"), "no sampler `tp` (did you mean `tpe`?)"),
        (("--trials", "0"), "--trials is 0"),
        (("--workers", "0"), "--workers is 0"),
        (("--folds", "1"), "folds is 1"),
        (("--preset", "thesis", "--sampler", "grid"), "points, expected 10,000 at most"),
        (("--space", "nowhere.yaml"), "There is no file `nowhere.yaml`"),
    ],
)
def test_wrong_use_is_refused_before_reading(cli: Callable[..., Any], given: tuple[str, ...], words: str) -> None:
    ran = cli("tune", "no-such-file.csv", "--target", "fault", *given)
    assert ran.code == 2
    assert words in ran.err


def test_no_target(cli: Callable[..., Any], two_faults: Path, own: str, tiny_lm: Path) -> None:
    ran = cli("tune", two_faults, "--group", "run", "--space", own, *_sets(model=tiny_lm))
    assert ran.code == 2
    assert "pass --target COL" in ran.err


def test_settings_that_leave_nothing_to_search(cli: Callable[..., Any], two_faults: Path, own: str) -> None:
    ran = cli("tune", two_faults, *ROLES, "--space", own, *_sets(steps=2, learning_rate=1e-3, rank=4))
    assert ran.code == 2
    assert "--set fixes everything" in ran.err


def test_help_needs_no_optuna_and_the_command_says_how_to_get_it(two_faults: Path) -> None:
    code = (
        "import sys\nsys.modules['optuna'] = None\nfrom faultwise.cli.main import main\n"
        "try:\n    main(['tune', '--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "assert not {'torch', 'sqlalchemy', 'numpy'} & set(sys.modules)\n"
        f"sys.exit(main(['tune', {str(two_faults)!r}, '--target', 'fault', '--group', 'run']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ)
    )
    assert done.returncode == 2, done.stderr
    assert 'pip install "faultwise[tune]"' in done.stderr
