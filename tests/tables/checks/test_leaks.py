"""Leaks: planted ones are found and named, what is alike by nature is not reported, scores are compared."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.leaks.leak_report import LeakReport, find_leaks
from faultwise.tables.checks.leaks.target_leakage import nearly_leaking_columns
from faultwise.tables.evaluate.leakage import side_by_side
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Roles, Table

ROLES = Roles("fault", "run")
NAMES = [f"x{i}" for i in range(8)]


def _frame(runs: int = 12, rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Runs of independent noise around a slow wave; the fault sets in between row 20 and 40 of each second run."""
    rng = np.random.default_rng(seed)
    frames = []
    for run in range(runs):
        wave = np.cumsum(rng.normal(size=(rows, 8)), axis=0) * 0.2
        frame = pd.DataFrame(wave + rng.normal(size=(rows, 8)), columns=NAMES)
        onset = int(rng.integers(20, 41)) if run % 2 else rows
        frame["run"] = f"r{run:02d}"
        frame["fault"] = np.where(np.arange(rows) < onset, "ok", f"f{run % 4}")
        frame.loc[onset:, "x0"] += 3 + run % 4
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _found(frame: pd.DataFrame, against: pd.DataFrame | None = None, roles: Roles = ROLES) -> LeakReport:
    other = None if against is None else Table(against, roles, "test.csv")
    return find_leaks(Table(frame, roles, "train.csv"), other, "ok")


def _kinds(report: LeakReport) -> list[tuple[str, str]]:
    return [(leak.kind, leak.severity) for leak in report.leaks]


def _with_duplicates(frame: pd.DataFrame, noise: float, rows: int = 8) -> tuple[pd.DataFrame, set[tuple[int, int]]]:
    """Copy rows of the first run over rows of other ones."""
    rng = np.random.default_rng(1)
    goals = np.sort(rng.choice(np.arange(60, len(frame)), rows, replace=False))
    origins = rng.choice(60, rows, replace=False)
    made = frame.copy()
    made.loc[goals, NAMES] = frame.loc[origins, NAMES].to_numpy() + noise * rng.normal(size=(rows, 8))
    return made, {(int(a) + 1, int(b) + 1) for a, b in zip(origins, goals, strict=True)}


def test_a_clean_table_has_no_leaks_and_lists_what_was_looked_for() -> None:
    report = _found(_frame(), _frame(seed=5))
    assert report.leaks == ()
    assert any("duplicates" in what for what in report.looked_for)
    assert any("noise" in what for what in report.looked_for)
    assert any("give the label away" in what for what in report.looked_for)
    assert list(report.not_checked) == ["countdown to the end of the run"]


@pytest.mark.parametrize("name", ["r03", "other"])
def test_a_run_in_both_sources(name: str) -> None:
    train, test = _frame(), _frame(seed=5).assign(run=lambda f: "t" + f["run"])
    copied = train[train["run"] == "r03"].assign(run=name)
    report = _found(train, pd.concat([test, copied], ignore_index=True))
    assert _kinds(report) == [("duplicated runs", "high")]
    assert "`r03`" in report.leaks[0].found
    assert ("is in both sources" in report.leaks[0].found) == (name == "r03")
    assert report.leaks[0].rows == ((181, 721),)
    assert report.duplicates.tolist() == list(range(180, 240))


def test_the_same_name_of_other_rows_is_no_leak() -> None:
    assert _found(_frame(), _frame(seed=5)).leaks == ()


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_run_under_two_names(noise: float) -> None:
    frame = _frame()
    copied = frame[frame["run"] == "r05"].assign(run="r99")
    copied[NAMES] += noise * np.random.default_rng(0).normal(size=(60, 8))
    report = _found(pd.concat([frame, copied], ignore_index=True))
    assert _kinds(report) == [("duplicated runs", "high")]
    assert "`r05` and `r99` are duplicates" in report.leaks[0].found
    assert ("value for value" in report.leaks[0].found) == (noise == 0)


@given(noise=st.sampled_from([0.0, 1e-6, 1e-4, 1e-3]), seed=st.integers(0, 50))
@settings(max_examples=8, deadline=None)
def test_one_row_in_a_hundred_copied_is_found(noise: float, seed: int) -> None:
    frame, pairs = _with_duplicates(_frame(seed=seed), noise)
    report = _found(frame)
    assert _kinds(report) == [("near-duplicate rows", "high")]
    assert report.leaks[0].count == 8
    assert set(report.leaks[0].rows) <= pairs


def test_rows_shared_with_the_other_source() -> None:
    train, test = _frame(), _frame(seed=5).assign(run=lambda f: "t" + f["run"])
    test.loc[100:107, NAMES] = train.loc[300:307, NAMES].to_numpy() + 1e-5
    report = _found(train, test)
    assert _kinds(report) == [("near-duplicate rows", "high")]
    assert report.leaks[0].rows[0][0] in range(301, 309)
    assert report.leaks[0].rows[0][1] in range(101, 109)
    assert report.duplicates.tolist() == list(range(300, 308))


def test_rows_without_runs() -> None:
    frame = _frame().sample(frac=1, random_state=0, ignore_index=True)
    assert _found(frame, roles=Roles("fault", ignored=("run",))).leaks == ()
    twice, _ = _with_duplicates(frame, 1e-4)
    report = _found(twice, roles=Roles("fault", ignored=("run",)))
    assert _kinds(report) == [("near-duplicate rows", "high")]
    assert "--group" in report.not_checked["duplicated runs"]
    assert "time order" in report.not_checked["look-ahead columns"]


def _idle(frame: pd.DataFrame) -> pd.DataFrame:
    """Many runs stand still for a while, at one and the same state."""
    resting = frame.groupby("run").cumcount().between(5, 17) & (frame["run"] > "r02")
    frame.loc[resting, NAMES] = 1.0
    return frame


def _frozen(frame: pd.DataFrame) -> pd.DataFrame:
    """One run goes on with its last row."""
    frame.loc[700:719, NAMES] = frame.loc[699, NAMES].to_numpy(dtype=float)
    return frame


def _slow(frame: pd.DataFrame) -> pd.DataFrame:
    """Neighbours in time are nearly equal."""
    frame[NAMES] = frame.groupby("run")[NAMES].transform(lambda values: values.rolling(40, min_periods=1).mean())
    return frame


def _coarse(frame: pd.DataFrame) -> pd.DataFrame:
    frame[NAMES] = (frame[NAMES] / 2).round()
    return frame


def _half(frame: pd.DataFrame) -> pd.DataFrame:
    frame[NAMES[2:]] = (frame[NAMES[2:]] > 0).astype(int)
    frame[NAMES[:2]] = frame[NAMES[:2]].round(1)
    return frame


def _starts(frame: pd.DataFrame) -> pd.DataFrame:
    """All runs start from the same rows."""
    for at in range(5):
        frame.loc[frame.groupby("run").cumcount() == at, NAMES] = frame.loc[at, NAMES].to_numpy(dtype=float)
    return frame


def _delayed(frame: pd.DataFrame) -> pd.DataFrame:
    """A delayed column looks back, not ahead."""
    return frame.assign(lag=frame.groupby("run")["x3"].shift(4))


def _clocks(frame: pd.DataFrame) -> pd.DataFrame:
    place = frame.groupby("run").cumcount()
    return frame.assign(hour=place / 20, total=np.arange(len(frame)), emptying=100 - place)


def test_names_of_rows_do_not_hide_duplicates() -> None:
    frame, _ = _with_duplicates(_frame(), 1e-4)
    number = np.random.default_rng(0).permutation(len(frame))
    hour = frame.groupby("run").cumcount() / 20
    report = _found(frame.assign(number=number, name=[f"row {at}" for at in number], hour=hour))
    assert _kinds(report) == [("near-duplicate rows", "high")]


@pytest.mark.parametrize("nature", [_idle, _frozen, _slow, _coarse, _half, _starts, _delayed, _clocks])
@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_alike_by_nature_is_not_reported(nature: Any, seed: int) -> None:
    assert [leak.line() for leak in _found(nature(_frame(seed=seed))).leaks] == []


def test_almost_the_label() -> None:
    labels = np.array(["ok"] * 160 + ["leak"] * 40)
    wrong = labels == "leak"
    wrong[[3, 199]] ^= True
    code = np.where(labels == "ok", "a", "b").astype(object)
    code[5] = "b"
    poor = labels == "leak"
    poor[150:170] ^= True
    table = Table(pd.DataFrame({"flag": wrong, "code": code, "poor": poor, "fault": labels}), Roles("fault"))
    assert nearly_leaking_columns(table) == {
        "flag": "separates `leak` from the rest in all but 2 of 200 rows",
        "code": "separates `leak` from the rest in all but 1 of 200 rows",
    }


def test_target_leakage_has_a_severity() -> None:
    frame = _frame()
    fault = frame["fault"] != "ok"
    report = _found(frame.assign(code="c" + frame["fault"]))
    assert _kinds(report) == [("target leakage", "high")]
    assert "--ignore 'code'" in report.leaks[0].remedy
    report = _found(frame.assign(alarm=fault ^ (frame.index % 97 == 0)))
    assert _kinds(report) == [("target leakage", "warning")]
    assert report.columns == ["alarm"]


def test_a_value_of_later_rows() -> None:
    frame = _frame()
    later = frame.groupby("run")["x3"].shift(-4)
    shown = _found(frame.assign(next=later))
    assert _kinds(shown) == [("look-ahead columns", "high")]
    assert shown.leaks[0].columns == ("next",)
    assert "`next` is `x3` 4 samples later" in shown.leaks[0].found
    cut = _found(frame.assign(next=later).dropna().reset_index(drop=True))
    assert [(leak.severity, leak.columns) for leak in cut.leaks] == [("warning", ("next",))]
    noisy = 7 + 2 * later + 0.01 * np.random.default_rng(0).normal(size=len(frame))
    assert _found(frame.assign(next=noisy)).columns == ["next"]


def test_the_label_of_later_rows() -> None:
    frame = _frame()
    early = (frame["fault"] != "ok").groupby(frame["run"]).shift(-3)
    early = early.groupby(frame["run"]).ffill().astype(float)
    report = _found(frame.assign(sign=early + 0.02 * np.random.default_rng(0).normal(size=len(frame))))
    assert _kinds(report) == [("look-ahead columns", "high")]
    assert "`sign` changes as the label does, but 3 samples earlier" in report.leaks[0].found


@pytest.mark.parametrize("shape", ["plain", "held", "capped", "logarithm"])
def test_a_countdown_to_the_fault(shape: str) -> None:
    frame = _frame(runs=24)
    left = (frame["fault"] == "ok").groupby(frame["run"]).transform("sum") - frame.groupby("run").cumcount()
    left = {"plain": left, "held": left.clip(0), "capped": left.clip(0, 15), "logarithm": np.log1p(left.clip(0))}[shape]
    report = _found(frame.assign(left=left.astype(float)))
    assert _kinds(report) == [("look-ahead columns", "high")]
    assert "`left` gives the time left until the change of label" in report.leaks[0].found


def test_a_countdown_to_the_end_of_the_run() -> None:
    frame = _frame().assign(fault="ok")
    place = frame.groupby("run").cumcount()
    frame = frame[place < 30 + frame["run"].str[1:].astype(int)].reset_index(drop=True)
    left = frame.groupby("run")["x0"].transform("size") - frame.groupby("run").cumcount()
    report = _found(frame.assign(life=left / 7))
    assert [leak.columns for leak in report.leaks] == [("life",)]
    assert "the end of the run" in report.leaks[0].found


@pytest.mark.parametrize(
    "frame",
    [
        _frame().iloc[:1],
        _frame().iloc[:3],
        _frame().assign(**dict.fromkeys(NAMES, 1.0)),
        _frame().assign(**dict.fromkeys(NAMES, "text")),
        _frame().assign(x1=np.nan, x2=np.inf),
        pd.concat([_frame(runs=2)] * 3, ignore_index=True),
    ],
    ids=["one row", "three rows", "constant", "text", "gaps", "repeated"],
)
def test_ugly_tables_give_a_report(frame: pd.DataFrame) -> None:
    report = _found(frame)
    json.dumps(report.to_dict())
    assert report.looked_for or report.not_checked


def test_nothing_to_check_is_refused() -> None:
    with pytest.raises(DataError, match=r"train.csv` has no rows"):
        _found(_frame().iloc[:0])
    with pytest.raises(DataError, match="no measured columns"):
        _found(_frame()[["run", "fault"]])
    with pytest.raises(DataError, match="no measured column in common"):
        _found(_frame(), _frame().rename(columns=lambda name: name.replace("x", "y")))


def test_scores_side_by_side() -> None:
    frame = _frame(runs=16)
    early = (frame["fault"] != "ok").groupby(frame["run"]).shift(-3).groupby(frame["run"]).ffill().astype(float)
    table = Table(frame.assign(sign=early + 0.02 * np.random.default_rng(0).normal(size=len(frame))), ROLES)
    made = side_by_side(table, find_leaks(table, normal="ok"))
    assert [(one["split"], one["leaks"]) for one in made["scores"]] == [
        ("random rows", True),
        ("random rows", False),
        ("whole runs", True),
        ("whole runs", False),
    ]
    assert made["inflated"] == made["scores"][0]
    assert made["honest"] == made["scores"][3]
    assert made["inflated"]["macro_f1"] > made["honest"]["macro_f1"] + 0.05


def test_scores_against_another_source_leave_out_shared_rows() -> None:
    train, test = _frame(), _frame(seed=5).assign(run=lambda f: "t" + f["run"])
    shared = train[train["run"].isin(["r01", "r02", "r03"])]
    both = Table(train, ROLES), Table(pd.concat([test, shared], ignore_index=True), ROLES)
    made = side_by_side(both[0], find_leaks(*both), both[1])
    assert [one["split"] for one in made["scores"]] == ["other source"] * 2
    assert made["honest"]["rows"] == made["inflated"]["rows"] - 180


def test_scores_that_cannot_be_computed_say_why() -> None:
    table = Table(_frame(), replace(ROLES, target=None, ignored=("fault",)))
    made = side_by_side(table, find_leaks(table))
    assert made["scores"] == []
    assert "--target" in made["notes"][0]
    table = Table(_frame(), Roles("fault", ignored=("run",)))
    made = side_by_side(table, find_leaks(table))
    assert [one["split"] for one in made["scores"]] == ["random rows"]
    assert made["honest"] is None
    assert any("--group" in note for note in made["notes"])


def test_the_command(cli: Any, tmp_path: Path) -> None:
    frame = _frame()
    frame.to_csv(tmp_path / "clean.csv", index=False)
    frame.assign(code="c" + frame["fault"]).to_csv(tmp_path / "leaky.csv", index=False)
    roles = ("--target", "fault", "--group", "run")
    done = cli("data", "check", tmp_path / "clean.csv", *roles, "--no-scores")
    assert done.code == 0
    assert done.out.startswith("No leak was found.\nLooked for:\n")
    assert "Not checked:\n  - countdown to the end of the run: " in done.out
    done = cli("data", "check", tmp_path / "leaky.csv", *roles)
    assert done.code == 0
    assert "[high] target leakage: `code` gives the label one to one." in done.out
    assert "Honest score: macro-F1 0." in done.out
    done = cli("data", "check", tmp_path / "leaky.csv", *roles, "--ignore", "code", "--no-scores", "--json")
    made = json.loads(done.out)
    assert made["leaks"] == []
    assert made["scores"] is None
    done = cli("data", "check", tmp_path / "clean.csv", "--against", tmp_path / "leaky.csv", *roles, "--json")
    made = json.loads(done.out)
    assert {leak["kind"] for leak in made["leaks"]} == {"duplicated runs"}
    assert len(made["leaks"]) == 12
    assert any("No score" in note for note in made["scores"]["notes"])


def test_the_other_source_may_be_without_labels(cli: Any, tmp_path: Path) -> None:
    frame = _frame()
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[frame["run"] == "r03"].drop(columns="fault").to_csv(tmp_path / "test.csv", index=False)
    roles = ("--target", "fault", "--group", "run")
    done = cli("data", "check", tmp_path / "train.csv", "--against", tmp_path / "test.csv", *roles)
    assert done.code == 0
    assert "[high] duplicated runs: The run `r03` is in both sources: 60 of 60 rows" in done.out
    assert "No scores" in done.err


def test_one_run_cannot_be_compared_with_others() -> None:
    assert _found(_frame(runs=1)).not_checked["near-duplicate rows"] == "all rows are of one run"


def test_wrong_use_of_the_command(cli: Any, plant_csv: Path) -> None:
    assert cli("data", "check", plant_csv, "--target", "fualt").code == 2
    assert cli("data", "check", plant_csv.parent / "missing.csv").code == 2
    done = cli(
        "data", "check", plant_csv, "--target", "fault", "--group", "run", "--against", plant_csv.parent / "no.csv"
    )
    assert done.code == 2
    assert "no.csv" in done.err


def test_the_files_of_braatz_are_clean(data_root: Path) -> None:
    """Frozen rows after a trip, held analysers, constant columns and one start state are no leaks."""
    parts = [read_source(data_root / "tep-braatz", part=part, faults=(0, 1, 6, 18)) for part in ("train", "test")]
    assert [leak.line() for leak in find_leaks(*parts, normal="0").leaks] == []
