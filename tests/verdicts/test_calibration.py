"""Calibrated verdicts of a fitted plant: calibration runs, fault sets, unknown rows, and where all of it is shown.

A plant of five labels and many short runs: 1, 2 and 3 each move one variable far; 4 is 3 but for a little at the
`valve`; 5 is a fault that no fit has seen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser, UserError
from faultwise.contracts.about import About, Variable
from faultwise.tables.bulk import diagnose_file
from faultwise.tables.checks.rules import read_rules
from faultwise.tables.fit.predicting import predicted
from faultwise.tables.fit.settings import TableQuery
from faultwise.tables.model import TableModel, table_model
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.table import Roles, Table
from faultwise.verdicts.calibration import STATUSES
from faultwise.verdicts.conformal import FaultSets
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.splits import split

FAST = ("logistic-regression",)
MOVED = {
    "0": {},
    "1": {"flow": 5.0},
    "2": {"level": -5.0},
    "3": {"temp": 5.0},
    "4": {"temp": 5.0, "valve": 1.2},
    "5": {"speed": -8.0},
}
X_COLUMNS = ["flow", "level", "speed", "temp", "valve"]
KNOWN, UNSEEN = "01234", "5"
SET_COLUMNS = ["status", "fault_set", "p_known"]


def _rows(runs: int, labels: str = KNOWN, rows: int = 8, seed: int = 0) -> pd.DataFrame:
    """Half of the variance is a run's own: rows of a run resemble each other."""
    rng = np.random.default_rng(seed)
    frames = []
    for label in labels:
        moved = np.array([MOVED[label].get(name, 0.0) for name in X_COLUMNS])
        for run in range(runs):
            values = 100 + moved + rng.normal(0, 0.7, 5) + rng.normal(0, 0.7, (rows, 5))
            frames.append(pd.DataFrame(values, columns=X_COLUMNS).assign(fault=label, run=f"{label}-{run}"))
    return pd.concat(frames, ignore_index=True)


def _diagnoser(rows: pd.DataFrame, **settings: Any) -> Diagnoser:
    about = About(normal="0", variables={"valve": Variable(name="Feed valve", unit="%")})
    return Diagnoser(experts=FAST, **settings).fit(rows[X_COLUMNS], rows["fault"], rows["run"], about=about)


def _fit(rows: pd.DataFrame, **settings: Any) -> TableModel:
    return table_model(_diagnoser(rows, **settings).model_)


def _table(rows: pd.DataFrame) -> Table:
    return Table(rows.drop(columns="fault"), Roles(None, "run"), "rows")


def _lines(model: TableModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Lines of all judged rows, with the true label as `true` and whether the set holds it as `held`."""
    lines = model.label_rows(_table(rows))
    lines["true"] = rows["fault"].to_numpy()[lines["row"] - 1]
    lines["held"] = [true in held.split("; ") for true, held in zip(lines["true"], lines["fault_set"], strict=True)]
    return lines


@pytest.fixture(scope="module")
def diagnoser() -> Diagnoser:
    return _diagnoser(_rows(30), calibration=0.3, coverage=0.95)


@pytest.fixture(scope="module")
def fitted(diagnoser: Diagnoser) -> TableModel:
    return table_model(diagnoser.model_)


@pytest.fixture(scope="module")
def windowed() -> TableModel:
    return _fit(_rows(12, seed=1), calibration=0.3, coverage=0.8, window=3)


@pytest.fixture(scope="module")
def new() -> pd.DataFrame:
    """Runs that no fit has seen, of an unseen fault, too."""
    return _rows(20, KNOWN + UNSEEN, seed=9)


@pytest.fixture(scope="module")
def lines(fitted: TableModel, new: pd.DataFrame) -> pd.DataFrame:
    return _lines(fitted, new)


@pytest.fixture(scope="module")
def folder(diagnoser: Diagnoser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return diagnoser.save(tmp_path_factory.mktemp("calibrated") / "run")


# --- calibration runs ------------------------------------------------------------------------------------------


def test_whole_runs_are_held_out_for_calibration(fitted: TableModel) -> None:
    record, calibration = fitted.fitted.record, fitted.fitted.calibration
    assert calibration is not None
    assert calibration.runs_by_class == dict.fromkeys(KNOWN, 9)
    assert (record["calibration_runs"], record["calibration_rows"], record["train_rows"]) == (45, 360, 840)
    assert "45 runs were held out to calibrate threshold, fault sets and novelty." in fitted.fitted.notes
    assert calibration.note() in fitted.fitted.notes
    assert "in 95% of rows of all classes together, for new runs like the 45" in calibration.note()


def test_experts_learn_nothing_from_calibration_runs() -> None:
    """Spoilt calibration runs change what is promised, and no probability."""
    rows = _rows(12, "012", seed=3)
    _, held, _ = split(rows["fault"].to_numpy(), rows["run"].to_numpy(), "group", 0.3, 0)
    spoilt = rows.copy()
    spoilt.loc[held, X_COLUMNS] = 100 + np.random.default_rng(0).normal(0, 30, (len(held), 5))
    one, other = (_fit(made, calibration=0.3, coverage=0.8) for made in (rows, spoilt))
    new = _rows(2, "012", seed=4)
    np.testing.assert_array_equal(one.predict_proba(new[X_COLUMNS]), other.predict_proba(new[X_COLUMNS]))
    assert one.fitted.ensemble.detector.threshold != other.fitted.ensemble.detector.threshold
    assert (_lines(other, new)["fault_set"].str.len() > _lines(one, new)["fault_set"].str.len()).mean() > 0.9


def test_the_threshold_is_that_of_normal_calibration_runs() -> None:
    """Whatever the held-out rows of the fit have shown: on the calibration rows the rate is the requested one."""
    rows = _rows(12, "012", seed=3)
    _, held, _ = split(rows["fault"].to_numpy(), rows["run"].to_numpy(), "group", 0.3, 0)
    normal = rows.loc[held].query("fault == '0'")
    made = _fit(rows, calibration=0.3, false_alarm_rate=0.1)
    assert len(normal) == 32
    assert (made.predict(normal[X_COLUMNS]) != "0").sum() == 3  # the most of 32 that a tenth allows
    assert any("rests on only 32 normal" in note for note in made.fitted.notes)


@pytest.mark.parametrize(
    ("runs", "labels", "settings", "held"),
    [
        (8, KNOWN, {}, 10),
        (7, KNOWN, {"calibration": 0.0}, 0),
        (8, "0123", {"coverage": 0.85}, 8),
        (3, "012", {"calibration": 0.3}, 3),  # requested, so done, with a note on what three runs can guarantee
    ],
)
def test_calibration_runs_are_held_out_where_there_are_enough(
    runs: int, labels: str, settings: dict[str, Any], held: int
) -> None:
    rows = _rows(runs, labels, rows=4)
    made = _fit(rows, **settings).fitted
    assert made.record["calibration_runs"] == held
    assert made.record["calibration_rows"] == 4 * held
    assert made.record["train_rows"] == len(rows) - 4 * held
    assert (made.calibration is None) == (held == 0)
    assert any("held out to calibrate" in note for note in made.notes) == (held > 0)
    assert any("75% at most" in note for note in made.notes) == (held == 3)


@pytest.mark.parametrize(("runs", "labels"), [(7, KNOWN), (8, "0123")])  # too few of a class; a quarter is too few
def test_all_runs_calibrate_in_turn_where_a_quarter_is_too_few(runs: int, labels: str) -> None:
    rows = _rows(runs, labels, rows=4)
    made = _fit(rows).fitted
    assert made.calibration is not None
    assert made.calibration.runs == made.record["calibration_runs"] == runs * len(labels)
    assert made.calibration.promised == 0.9
    assert made.record["train_rows"] == made.record["calibration_rows"] == len(rows)
    assert not any("held out to calibrate" in note for note in made.notes)


@pytest.mark.parametrize(("runs", "labels", "settings"), [(10, "0123", {}), (9, KNOWN, {"coverage_per": "class"})])
def test_runs_are_not_held_out_for_less_than_is_requested(runs: int, labels: str, settings: dict[str, Any]) -> None:
    """Where it was not requested: a quarter of ten runs is two of each class, eight in all, and 90% needs nine."""
    calibration = _fit(_rows(runs, labels, rows=4), **settings).fitted.calibration
    assert calibration is None or calibration.promised >= calibration.coverage


# --- sets ----------------------------------------------------------------------------------------------------


def test_new_runs_are_covered(lines: pd.DataFrame) -> None:
    by_run = lines[lines["true"] != UNSEEN].groupby("run")["held"].mean()
    assert len(by_run) == 100
    assert by_run.mean() > 0.95 - 3 * by_run.std() / 10


def test_labels_that_are_alike_stay_possible_together(lines: pd.DataFrame) -> None:
    alike = lines[lines["true"].isin(["3", "4"])]
    both = alike["fault_set"] == "3; 4"
    assert both.mean() > 0.4
    known = alike["status"] != "unknown"
    assert (alike.loc[both & known, "status"] == "several").all()
    others = lines[lines["true"].isin(["1", "2"])]
    assert (others["fault_set"] == others["true"]).mean() > 0.95
    assert ((others["status"] == "named") | (others["status"] == "unknown")).mean() > 0.95


def test_the_label_is_in_its_set(lines: pd.DataFrame) -> None:
    sets = lines["fault_set"].str.split("; ")
    assert all(label in held for label, held in zip(lines["label"], sets, strict=True))
    assert all(held == sorted(set(held)) for held in sets)
    assert set(lines["status"]) <= set(STATUSES)


def test_the_label_is_in_its_set_where_a_rule_says_it(fitted: TableModel, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {name: Flow over 60, variable: flow, above: 60}\n")
    ruled = replace(fitted.fitted, rules=read_rules(rules))
    rows = _rows(10, "0", seed=5)
    free, forced = predicted(fitted.fitted, _table(rows)), predicted(ruled, _table(rows))
    assert (free.labels == "0").mean() > 0.8
    assert (forced.labels != "0").all()
    assert forced.sets is not None
    assert free.sets is not None
    at = np.arange(len(rows)), np.searchsorted(fitted.classes, forced.labels.astype(str))
    assert forced.sets.members[at].all()
    assert not free.sets.members[at].all()


def test_sets_grow_with_the_coverage(fitted: TableModel, new: pd.DataFrame) -> None:
    calibration = fitted.fitted.calibration
    assert calibration is not None
    before: np.ndarray | None = None
    for coverage in (0.3, 0.6, 0.8, 0.95, 0.98, 0.999):
        requested = replace(fitted.fitted, calibration=replace(calibration, coverage=coverage))
        sets = predicted(requested, _table(new)).sets
        assert sets is not None
        assert (sets.members.sum(axis=1) >= 1).all()
        if before is not None:
            assert (sets.members >= before).all()
        before = sets.members


def test_per_class_is_what_a_class_can_promise(new: pd.DataFrame) -> None:
    made = _fit(_rows(20), calibration=0.5, coverage=0.9, coverage_per="class")
    calibration = made.fitted.calibration
    assert calibration is not None
    assert calibration.promised == 0.9
    assert "in 90% of rows of each class" in calibration.note()
    lines = _lines(made, new)
    of_alike = lines[lines["true"].isin(["3", "4"])].groupby(["true", "run"])["held"].mean()
    for _, held in of_alike.groupby("true"):
        assert held.mean() > 0.9 - 3 * held.std() / np.sqrt(len(held)) - 0.05  # of one calibration


def test_a_class_without_calibration_windows_stays_possible() -> None:
    """Runs of fault 2 but one are shorter than the window, so none of its rows can be calibrated on."""
    rows = _rows(10, "012", seed=6)
    short = rows["fault"].eq("2") & rows["run"].ne("2-0") & rows.groupby("run").cumcount().ge(3)
    made = _fit(rows[~short], calibration=0.3, window=4, coverage_per="class")
    calibration = made.fitted.calibration
    assert calibration is not None
    assert calibration.runs_by_class["2"] == 0
    assert calibration.promised == 0
    assert "calibration runs of a class are 0" in calibration.note()
    assert _lines(made, _rows(2, "012", seed=7))["fault_set"].str.contains("2").all()


# --- unknown -------------------------------------------------------------------------------------------------


def test_a_fault_never_seen_is_unknown_and_others_are_not(lines: pd.DataFrame) -> None:
    unknown = lines["status"] == "unknown"
    assert unknown[lines["true"] == UNSEEN].mean() > 0.95
    assert 0 < unknown[lines["true"] != UNSEEN].mean() < 0.12
    np.testing.assert_array_equal(unknown, lines["p_known"] <= 0.05)
    assert lines["p_known"].between(1 / 46 - 1e-4, 1).all()


def test_more_may_be_classified_as_unknown(fitted: TableModel, new: pd.DataFrame) -> None:
    calibration = fitted.fitted.calibration
    assert calibration is not None
    shares = []
    for rate in (0.02, 0.05, 0.2, 0.5):  # 45 runs cannot tell one row in fifty
        sets = predicted(replace(fitted.fitted, calibration=replace(calibration, novel_rate=rate)), _table(new)).sets
        assert sets is not None
        shares.append(float((sets.status == "unknown")[new["fault"] != UNSEEN].mean()))
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[2:] == pytest.approx([0.2, 0.5], abs=0.12)


# --- what would tell labels apart ----------------------------------------------------------------------------


def _verdict(model: TableModel, rows: pd.DataFrame, at: int) -> Any:
    """The verdict on a row, counted from 0, of rows taken as one run."""
    return model.diagnose(rows[X_COLUMNS], TableReading(), TableQuery(row=at + 1)).cases[0].verdict


def _of_alike(lines: pd.DataFrame) -> int:
    """Return the first row whose set holds the two labels that are alike, and no other."""
    return int(lines.loc[(lines["fault_set"] == "3; 4") & (lines["status"] == "several"), "row"].iloc[0]) - 1


def test_what_tells_labels_apart(fitted: TableModel, new: pd.DataFrame, lines: pd.DataFrame) -> None:
    at = _of_alike(lines)
    verdict = _verdict(fitted, new, at)
    assert verdict.status == "several"
    assert verdict.reason.endswith("2 labels stay possible.")
    assert verdict.fault_set.labels == tuple(label for label in verdict.probabilities if label in "34")
    assert verdict.fault_set.coverage == 0.95
    assert verdict.p_known == pytest.approx(lines["p_known"][at], abs=1e-4)
    (found,) = verdict.tell_apart
    assert (found.first, found.second) == verdict.fault_set.labels
    assert (found.variable, found.measure, found.name, found.unit) == ("valve", "value", "Feed valve", "%")
    assert found.value == pytest.approx(new["valve"][at], rel=1e-6)
    usual = dict(zip((found.first, found.second), found.usual, strict=True))
    assert (usual["3"], usual["4"]) == (pytest.approx(100, abs=0.4), pytest.approx(101.2, abs=0.4))
    assert found.distance == pytest.approx(abs(usual["4"] - usual["3"]), rel=0.15)  # a class varies by about 1


def test_what_was_not_measured_has_no_value(fitted: TableModel, new: pd.DataFrame, lines: pd.DataFrame) -> None:
    row = new.iloc[[_of_alike(lines)]].assign(valve=np.nan)
    verdict = _verdict(fitted, row, 0)
    assert {"3", "4"} <= set(verdict.fault_set.labels)
    assert [(one.variable, one.value) for one in verdict.tell_apart if {one.first, one.second} == {"3", "4"}] == [
        ("valve", None)
    ]


def test_three_labels_are_told_apart_pair_by_pair(fitted: TableModel, new: pd.DataFrame) -> None:
    """With everything possible: the three likeliest, the most telling pair first, a variable once."""
    calibration = fitted.fitted.calibration
    assert calibration is not None
    made = copy(fitted)
    made.fitted = replace(fitted.fitted, calibration=replace(calibration, sets=FaultSets()))
    verdict = _verdict(made, new, 0)
    assert verdict.status == "undecided"
    assert verdict.reason.endswith("5 of 5 labels stay possible: nothing is decided.")
    assert verdict.fault_set.labels == tuple(verdict.probabilities)
    apart = verdict.tell_apart
    assert {label for one in apart for label in (one.first, one.second)} <= set(list(verdict.probabilities)[:3])
    assert [one.distance for one in apart] == sorted((one.distance for one in apart), reverse=True)
    assert len({one.variable for one in apart}) == len(apart) > 1
    for one in apart:
        assert {one.variable} <= set(MOVED[one.first]) | set(MOVED[one.second])


def test_a_named_verdict_needs_nothing_to_tell_apart(
    fitted: TableModel, new: pd.DataFrame, lines: pd.DataFrame
) -> None:
    named = lines[(lines["status"] == "named") & (lines["true"] == "1")]
    verdict = _verdict(fitted, new, int(named["row"].iloc[0]) - 1)
    assert (verdict.status, verdict.fault_set.labels, verdict.tell_apart) == ("named", ("1",), ())
    assert "possible" not in verdict.reason
    assert "resembles" not in verdict.reason


def test_what_is_unknown_has_a_nearest_label_all_the_same(
    fitted: TableModel, new: pd.DataFrame, lines: pd.DataFrame
) -> None:
    unknown = lines[(lines["status"] == "unknown") & (lines["true"] == UNSEEN)]
    verdict = _verdict(fitted, new, int(unknown["row"].iloc[0]) - 1)
    assert verdict.status == "unknown"
    assert "The row resembles no known class: 2.2% of rows of known classes lie as far out." in verdict.reason
    assert verdict.p_known == pytest.approx(1 / 46)
    assert verdict.label in KNOWN


# --- kept and shown ------------------------------------------------------------------------------------------


def test_a_loaded_run_gives_the_same_sets(folder: Path, fitted: TableModel, new: pd.DataFrame) -> None:
    loaded = table_model(Diagnoser.load(folder).model_)
    assert loaded.fitted.calibration == fitted.fitted.calibration
    assert isinstance(loaded.fitted.novelty, Novelty)
    one, other = predicted(fitted.fitted, _table(new)).sets, predicted(loaded.fitted, _table(new)).sets
    assert one is not None
    assert other is not None
    for name in ("members", "p_known", "status"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    at = int(np.flatnonzero((one.members.sum(axis=1) > 1) & (new["fault"] != UNSEEN))[0])
    assert _verdict(loaded, new, at) == _verdict(fitted, new, at)


def test_the_manifest_has_the_settings_of_the_calibration(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    requested = {"calibration": 0.3, "coverage": 0.95, "coverage_per": "all", "novel_rate": 0.05}
    assert {key: manifest["settings"][key] for key in requested} == requested
    assert (manifest["calibration_runs"], manifest["calibration_rows"]) == (45, 360)
    assert "novelty.safetensors" in manifest["files"]


def test_a_run_without_its_novelty_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / "novelty.safetensors").unlink()
    with pytest.raises(UserError, match=r"novelty\.safetensors"):
        Diagnoser.load(tmp_path / "run")


def test_diagnose_gives_status_and_sets(cli: Any, folder: Path, new: pd.DataFrame, tmp_path: Path) -> None:
    source = tmp_path / "new.csv"
    new.query("fault in ['1', '4', '5']").groupby("run").head(2).drop(columns="fault").to_csv(source, index=False)
    ran = cli("diagnose", folder, source, "--json", "--cases", "60")
    assert ran.code == 0
    verdicts = {case["name"]: case["verdict"] for case in json.loads(ran.out)["cases"]}
    assert len(verdicts) == 60
    for verdict in verdicts.values():
        assert verdict["fault_set"]["coverage"] == 0.95
        assert "for new runs like the 45" in verdict["fault_set"]["note"]
        assert verdict["label"] in verdict["fault_set"]["labels"]
        assert (verdict["status"] == "unknown") == (verdict["p_known"] <= 0.05)
    statuses = pd.Series({run: verdict["status"] for run, verdict in verdicts.items()})
    assert (statuses[statuses.index.str.startswith("5")] == "unknown").mean() > 0.9
    assert (statuses[statuses.index.str.startswith("1")] == "named").mean() > 0.7
    variables = [one["variable"] for verdict in verdicts.values() for one in verdict["tell_apart"]]
    assert variables.count("valve") > len(variables) / 2


@pytest.mark.parametrize("pieces", [1, 7])
def test_a_stream_gives_what_the_whole_gives(windowed: TableModel, new: pd.DataFrame, pieces: int) -> None:
    rows = new[new["run"].str.endswith(("-0", "-1"))].groupby("run").head(5)
    rows = rows.sort_values("run", key=lambda run: run.groupby(run).cumcount(), kind="stable").drop(columns="fault")
    rows = rows.reset_index(drop=True)  # runs take turns
    stream = windowed.stream(roles=Roles(None, "run"))
    made = [stream.push(rows.iloc[at : at + pieces]) for at in range(0, len(rows), pieces)]
    assert [list(piece) for piece in made] == [list(made[0])] * len(made)  # also those without a full window
    assert not len(made[0])
    whole = windowed.label_rows(Table(rows, Roles(None, "run"), "rows"))
    assert len(set(whole["status"])) > 1
    for name in ("row", *SET_COLUMNS):
        assert pd.concat(made)[name].tolist() == whole[name].tolist()


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_a_file_of_lines_has_status_and_sets(
    fitted: TableModel, new: pd.DataFrame, lines: pd.DataFrame, tmp_path: Path, ending: str
) -> None:
    source, out = tmp_path / "new.csv", tmp_path / f"lines{ending}"
    new.drop(columns="fault").to_csv(source, index=False)
    diagnose_file(fitted, source, out)
    found = pd.read_parquet(out) if ending == ".parquet" else pd.read_csv(out, dtype={"fault_set": str})
    for name in SET_COLUMNS:
        assert found[name].tolist() == lines[name].tolist()


def test_a_file_shorter_than_the_window_keeps_its_columns(windowed: TableModel, tmp_path: Path) -> None:
    source, out = tmp_path / "new.csv", tmp_path / "lines.parquet"
    _rows(1, "0", rows=2).drop(columns="fault").to_csv(source, index=False)
    assert diagnose_file(windowed, source, out)["judged"] == 0
    assert set(SET_COLUMNS) <= set(pd.read_parquet(out))


# --- uncalibrated ---------------------------------------------------------------------------------------------


def _uncalibrated(model: TableModel, rows: pd.DataFrame) -> None:
    assert predicted(model.fitted, _table(rows)).sets is None
    assert not set(SET_COLUMNS) & set(model.label_rows(_table(rows)))
    verdict = _verdict(model, rows, 0)
    assert (verdict.fault_set.coverage, verdict.p_known, verdict.tell_apart) == (None, None, ())
    assert "No coverage is promised" in verdict.fault_set.note


def test_one_expert_alone_is_not_calibrated(fitted: TableModel, new: pd.DataFrame) -> None:
    """Sets and novelty were calibrated for the fused verdict; its own threshold rests on the calibration rows."""
    alone = fitted.only(FAST[0])
    _uncalibrated(alone, new)
    assert alone.fitted.ensemble.detector.threshold == fitted.fitted.ensemble.alone[FAST[0]]
    assert fitted.fitted.calibration is not None


def test_a_fit_without_calibration_runs(new: pd.DataFrame, tmp_path: Path) -> None:
    made = _diagnoser(_rows(4, rows=4), calibration=0.0)
    _uncalibrated(table_model(made.model_), new)
    _uncalibrated(table_model(Diagnoser.load(made.save(tmp_path / "run")).model_), new)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"calibration": 0.9}, ["calibration is 0.9, expected 0 to 0.8"]),
        ({"calibration": -0.1}, ["calibration is -0.1"]),
        ({"coverage": 1.0}, ["coverage is 1, expected between 0 and 1"]),
        ({"coverage": 0.0}, ["coverage is 0, expected between 0 and 1"]),
        ({"coverage_per": "x"}, ["coverage_per is `x`, expected all or class"]),
        ({"novel_rate": 0.0}, ["novel_rate is 0, expected between 0 and 1"]),
        ({"novel_rate": 1.0, "coverage": 2.0, "calibration": 1.0}, ["novel_rate is 1", "coverage is 2", "is 1, exp"]),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], words: Sequence[str]) -> None:
    with pytest.raises(UserError) as error:
        _fit(_rows(2, "01", rows=3), **settings)
    assert all(part in str(error.value) for part in words)


def test_settings_that_cannot_be_at_the_command_line(cli: Any, plant_csv: Path, tmp_path: Path) -> None:
    wrong = ["--coverage", "1"]
    wrong += [part for pair in ("calibration=0.9", "coverage_per=x", "novel_rate=0") for part in ("--set", pair)]
    ran = cli("fit", plant_csv, "--out", tmp_path / "run", "--target", "fault", "--group", "run", *wrong)
    assert (ran.code, ran.out) == (2, "")
    assert all(name in ran.err for name in ("calibration is 0.9", "coverage is 1", "coverage_per is `x`", "novel_rate"))
    assert not (tmp_path / "run").exists()


def test_calibration_needs_runs() -> None:
    rows = _rows(2, "012")
    for kind, groups in (("row", None), ("block", rows["run"])):
        with pytest.raises(UserError, match="Promises are calibrated on whole runs"):
            Diagnoser(experts=FAST, split=kind, calibration=0.3).fit(rows[X_COLUMNS], rows["fault"], groups)
    with pytest.raises(UserError, match="--group COL"):
        Diagnoser(experts=FAST, calibration=0.3).fit(rows[X_COLUMNS], rows["fault"])


def test_calibration_needs_an_expert_beside_the_language_model() -> None:
    rows = _rows(3, "012")
    with pytest.raises(UserError, match="another expert"):
        Diagnoser(experts=("language-model",), calibration=0.3).fit(rows[X_COLUMNS], rows["fault"], rows["run"])


def test_a_class_of_one_run_is_learnt_from_and_promises_nothing() -> None:
    rows = _rows(4, "012").query("fault != '2' or run == '2-0'")
    model = _fit(rows, calibration=0.3)
    assert list(model.classes) == ["0", "1", "2"]
    assert "Too few runs: `2` is learnt from" in " ".join(model.notes)
