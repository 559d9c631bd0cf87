"""From flagged rows to alarms: the debounce, delays, false alarms and load against brute force; the command as used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.cli.main import main
from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError, UserError
from faultwise.evaluate.alarm_load import alarm_load
from faultwise.evaluate.alarms import Debounce, detection, predicted_false_alarms, raise_alarms
from faultwise.report.pages.alarms import faults, save_alarms, sentences
from faultwise.tables.evaluate.row_time import minutes_per_row
from faultwise.tables.reading.table import Roles, Table

ALL = Debounce(1, 1)
DEBOUNCES = st.tuples(st.integers(1, 5), st.integers(0, 4)).map(lambda kn: Debounce(kn[0], kn[0] + kn[1]))
# Rows of a few runs, interleaved as they come: run, label, flagged, judged.
ROWS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("0012"), st.booleans(), st.booleans()), max_size=60)


class Watch:
    """One run's debounce, row after row, as a person would do it."""

    def __init__(self, debounce: Debounce) -> None:
        self.debounce, self.flags, self.standing = debounce, [], False  # type: ignore[var-annotated]

    def see(self, flag: bool) -> bool:
        """Return whether an alarm is raised."""
        self.flags.append(flag)
        before, self.standing = self.standing, sum(self.flags[-self.debounce.n :]) >= self.debounce.k
        return self.standing and not before


def brute(rows: list[tuple[str, str, bool, bool]], debounce: Debounce) -> dict[str, Any]:
    """Detection of `rows` by the definitions, one row at a time."""
    false, exposed, episodes = 0, 0, []
    for run in dict.fromkeys(row[0] for row in rows):
        watch, last, own = Watch(debounce), None, Watch(debounce)
        for _, label, flag, judged in (row for row in rows if row[0] == run):
            if label != last:
                own, last = Watch(debounce), label
                if label != "0":
                    episodes.append({"label": label, "length": 0, "at": None})
            raised = bool(judged) and watch.see(flag)
            if judged:
                own.see(flag)
            if label == "0":
                false += raised
                exposed += judged and len(watch.flags) >= debounce.k
                continue
            if episodes[-1]["at"] is None and (raised or (judged and own.standing)):
                episodes[-1]["at"] = episodes[-1]["length"]
            episodes[-1]["length"] += 1
    return {"false": false, "exposed": exposed, "episodes": episodes}


def columns(rows: list[tuple[str, str, bool, bool]]) -> list[np.ndarray]:
    return [np.array([row[at] for row in rows], kind) for at, kind in ((0, str), (1, str), (2, bool), (3, bool))]


@given(ROWS, DEBOUNCES)
def test_alarms_are_what_watching_row_by_row_gives(rows: list[Any], debounce: Debounce) -> None:
    runs, _, flags, _ = columns(rows)
    alarms = raise_alarms(flags, runs, debounce)
    watches = {run: Watch(debounce) for run in "ab"}
    for at, (run, flag) in enumerate(zip(runs, flags, strict=True)):
        assert watches[run].see(bool(flag)) == alarms.raised[at]
        assert watches[run].standing == alarms.standing[at]
        assert (len(watches[run].flags) >= debounce.k) == alarms.ready[at]


@settings(deadline=None, max_examples=150)
@given(ROWS, DEBOUNCES)
def test_detection_is_what_watching_row_by_row_gives(rows: list[Any], debounce: Debounce) -> None:
    runs, labels, flags, judged = columns(rows)
    made = detection(flags, labels, runs, "0", 3.0, debounce, judged)
    true = brute(rows, debounce)
    episodes = true["episodes"]
    hits = [one["at"] for one in episodes if one["at"] is not None]
    assert (made["episodes"], made["detected"]) == (len(episodes), len(hits))
    assert made["missed"] == len(episodes) - len(hits)
    assert made["episode_recall"] == (len(hits) / len(episodes) if episodes else None)
    assert made["delay_samples"] == (median(hits) if hits else None)
    assert made["delay_min"] == (3 * median(hits) if hits else None)
    ends = [one["length"] if one["at"] is None else one["at"] for one in episodes]
    assert made["delay_samples_restricted"] == (pytest.approx(np.mean(ends)) if episodes else None)
    assert made["arl1"] == (pytest.approx((sum(ends) + len(hits)) / len(hits)) if hits else None)
    assert (made["false_alarms"], made["normal_rows"]) == (true["false"], true["exposed"])
    assert made["arl0"] == (pytest.approx(true["exposed"] / true["false"]) if true["false"] else None)
    days = true["exposed"] * 3 / 1440
    assert made["false_alarms_per_day"] == (pytest.approx(true["false"] / days) if days else None)
    if episodes and true["exposed"]:
        chances = [1 - np.exp(-true["false"] / true["exposed"] * one["length"]) for one in episodes]
        assert made["chance_recall"] == pytest.approx(np.mean(chances))
    else:
        assert made["chance_recall"] is None
    assert list(made["by_fault"]) == list(dict.fromkeys(one["label"] for one in episodes))
    for label, own in made["by_fault"].items():
        mine = [one["at"] for one in episodes if one["label"] == label]
        assert (own["episodes"], own["missed"]) == (len(mine), mine.count(None))
        faulty = flags[(labels == label) & judged]
        assert own["fdr"] == (pytest.approx(faulty.mean()) if len(faulty) else None)


def test_an_alarm_at_the_onset_detects_only_where_it_persists() -> None:
    #            normal    | fault
    flags = [0, 0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1]
    labels = np.array(list("000001111111"))
    runs = np.zeros(12)

    def made(first: int) -> dict[str, Any]:
        mine = list(flags)
        mine[5:8] = [first] * 3
        return detection(np.array(mine, bool), labels, runs, "0", None, Debounce(2, 3))

    faded, persists = made(0), made(1)
    # The second of the first three faulty rows is the second flag since the onset; without them it takes five more.
    assert (faded["delay_samples"], persists["delay_samples"]) == (5.0, 1.0)
    assert faded["false_alarms"] == persists["false_alarms"] == 1
    assert faded["standing_at_onset"] == persists["standing_at_onset"] == 1
    assert faded["delay_min"] is None
    assert faded["machine_days"] is faded["false_alarms_per_day"] is None


def test_a_prediction_holds_for_other_runs() -> None:
    """Bursty flags, as real ones are: calibration on 40 runs, judged on 400 others."""
    rng = np.random.default_rng(5)

    def history(runs: int, rows: int = 240) -> tuple[np.ndarray, np.ndarray]:
        bursts = rng.random((runs, rows)) < 0.03
        flags = bursts | np.roll(bursts, 1, axis=1) & (rng.random((runs, rows)) < 0.7)
        return flags.ravel(), np.repeat(np.arange(runs), rows)

    for debounce in (ALL, Debounce(2, 3)):
        made = predicted_false_alarms(*history(40), 3.0, debounce)
        found = predicted_false_alarms(*history(400), 3.0, debounce)
        assert made["alarms"] > 60
        assert made["low"] < found["per_day"] < made["high"]
        assert 1 / 1.5 < made["per_day"] / found["per_day"] < 1.5


def test_prediction_at_the_edges() -> None:
    none = predicted_false_alarms(np.zeros(480, bool), np.zeros(480), 3.0, ALL)
    assert (none["per_day"], none["low"], none["high"], none["machine_days"]) == (0.0, 0.0, 3.0, 1.0)
    one_run = predicted_false_alarms(np.arange(480) == 7, np.zeros(480), 3.0, ALL)
    assert (one_run["per_day"], one_run["low"], one_run["high"]) == (1.0, None, None)
    short = predicted_false_alarms(np.ones(4, bool), np.arange(4), 3.0, Debounce(2, 2))  # runs of one row
    assert (short["per_day"], short["alarms"], short["machine_days"]) == (None, 0, 0.0)
    begins = predicted_false_alarms(np.ones(4, bool), np.arange(4), 3.0, ALL)
    assert begins["alarms"] == 4


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.integers(0, 29), max_size=25, unique=True),
    st.integers(1, 30),
    st.sampled_from([2.0, 3.0, 4.0, 15.0]),
)
def test_floods_are_those_of_assets_shifted_at_random(flagged: list[int], assets: int, minutes: float) -> None:
    flags = np.isin(np.arange(60), 2 * np.array(flagged, int))  # alarms apart: every flag is one
    made = alarm_load(flags, np.repeat(np.arange(3), 20), minutes, ALL, assets)
    length = 60 * minutes
    times = np.flatnonzero(flags) * minutes
    rng = np.random.default_rng(0)
    shifts = rng.uniform(0, length, (2000, assets, 1))
    if len(times):
        inside = ((times + shifts) % length < 10).sum(axis=(1, 2))
        assert made["flood_share"] == pytest.approx((inside > 10).mean(), abs=0.06)
        assert made["alarms_per_10_min"] == pytest.approx(assets * len(times) * 10 / length)
    else:
        assert made["flood_share"] == 0.0


def test_load_grades_and_intervals() -> None:
    rng = np.random.default_rng(1)
    runs = np.repeat(np.arange(30), 480)
    flags = rng.random(len(runs)) < 0.02
    grades = [alarm_load(flags, runs, 3.0, ALL, assets)["grade"] for assets in (1, 20, 200)]
    assert grades == ["acceptable", "manageable", "too many"]
    made = alarm_load(flags, runs, 3.0, ALL, 60)
    assert made["flood_share_low"] <= made["flood_share"] <= made["flood_share_high"]
    assert made["alarms_per_day_low"] < made["alarms_per_day"] < made["alarms_per_day_high"]
    most = made["assets_acceptable"]
    assert [alarm_load(flags, runs, 3.0, ALL, n)["alarms_per_day"] <= 150 for n in (most, most + 1)] == [True, False]
    # Bursts of all at once: the same mean, more floods.
    calm = alarm_load(np.arange(4800) % 48 == 0, np.zeros(4800), 1.0, ALL, 20)
    burst = alarm_load(np.isin(np.arange(4800) % 480, range(0, 20, 2)), np.zeros(4800), 1.0, ALL, 20)
    assert calm["alarms_per_day"] == pytest.approx(burst["alarms_per_day"])
    assert burst["flood_share"] > 10 * calm["flood_share"]
    counted = alarm_load(np.ones(480, bool), np.zeros(480), 3.0, counted=np.zeros(480, bool))
    assert counted["grade"] is counted["alarms_per_day"] is counted["flood_share"] is None


@pytest.mark.parametrize("text", ["5/3", "0/2", "x", "3", "3/", "-1/2", "1/2/3", "", "1.5/2"])
def test_debounces_that_cannot_be(text: str) -> None:
    with pytest.raises(UserError, match="3/5"):
        Debounce.read(text)


def test_lengths_and_minutes_that_cannot_be() -> None:
    with pytest.raises(DataError, match="one per row"):
        raise_alarms(np.zeros(3, bool), np.zeros(2), ALL)
    with pytest.raises(DataError, match="one per row"):
        detection(np.zeros(3, bool), np.zeros(3), np.zeros(2), "0")
    for minutes in (0.0, -3.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="above 0"):
            predicted_false_alarms(np.zeros(3, bool), np.zeros(3), minutes)
    with pytest.raises(UserError, match="1 or more"):
        alarm_load(np.zeros(3, bool), np.zeros(3), 3.0, assets=0)


@pytest.mark.parametrize(
    ("name", "values", "minutes"),
    [
        ("hour", ["0.05", "0.10", "0.15"], 3.0),
        ("t_s", [0, 30, 60], 0.5),
        ("time [min]", [10, 12, 14], 2.0),
        ("when", ["2026-01-01 00:00", "2026-01-01 00:05", "2026-01-01 00:10"], 5.0),
        ("stamp", pd.date_range("2026-01-01", periods=3, freq="h"), 60.0),
        ("sample", [1, 2, 3], None),
        ("hour", [3, 2, 1], None),
        ("hour", ["-", "", None], None),
    ],
)
def test_time_of_a_row(name: str, values: Any, minutes: float | None) -> None:
    table = Table(pd.DataFrame({name: values, "x": 1.0}), Roles(time=name), about=About())
    found, notes = minutes_per_row(table)
    assert found == (None if minutes is None else pytest.approx(minutes))
    assert bool(notes) == (minutes is None)


def test_time_between_runs_is_no_time_of_a_row() -> None:
    frame = pd.DataFrame({"run": [1, 1, 2, 2, 3, 3, 4, 4], "hour": [0, 1, 10, 11, 30, 31, 60, 61]})
    assert minutes_per_row(Table(frame, Roles(group="run", time="hour"))) == (60.0, [])


def test_time_from_a_stated_unit_and_uneven_steps() -> None:
    frame = pd.DataFrame({"tick": [0, 1, 2, 3, 9, 10, 11, 12]})
    table = Table(frame, Roles(time="tick"), about=About(variables={"tick": Variable(unit="h")}))
    minutes, notes = minutes_per_row(table)
    assert minutes == 60.0
    assert "14%" in notes[0]


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory, plant: Callable[..., pd.DataFrame]) -> tuple[Path, Path]:
    """A run folder that knows normal and the time column, and a labelled file: 10 normal rows, then a fault."""
    folder = tmp_path_factory.mktemp("alarms")

    def with_time(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(hour=frame.groupby("run").cumcount() / 20)

    with_time(plant(4, 40)).to_csv(folder / "fit.csv", index=False)
    roles = [
        "--target",
        "fault",
        "--group",
        "run",
        "--time",
        "hour",
        "--experts",
        "logistic-regression",
        "--window",
        "1",
    ]
    assert main(["fit", str(folder / "fit.csv"), "--out", str(folder / "run"), *roles, "--json"]) == 0
    rows = plant(6, 40, seed=9)
    normal = rows[rows["fault"] == "0"].groupby("run").head(10)
    names = dict(zip(sorted(set(normal["run"])), sorted(set(rows.loc[rows["fault"] == "1", "run"])), strict=True))
    before = normal.assign(run=normal["run"].map(names))
    with_time(pd.concat([before, rows])).to_csv(folder / "new.csv", index=False)
    return folder / "run", folder / "new.csv"


def test_the_command_gives_all_figures(timed: tuple[Path, Path], cli: Callable[..., Any], tmp_path: Path) -> None:
    out = tmp_path / "alarms.html"
    ran = cli("alarms", *timed, "--assets", 12, "--debounce", "2/3", "--json", "--out", out)
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    contract = ("fdr", "far", "delay_min", "false_alarms_per_day", "arl0", "arl1", "episode_recall")
    assert [key for key in contract if key not in result] == []
    assert result["minutes_per_row"] == pytest.approx(3.0)
    assert result["fdr"] > 0.8
    assert (result["episodes"], result["episode_recall"]) == (12, 1.0)
    assert result["delay_min"] == result["delay_samples"] * result["minutes_per_row"] <= 15
    assert set(result["by_fault"]) == {"1", "2"}
    assert result["alarm_load"]["assets"] == 12
    assert result["alarm_load"]["history"]["alarms"] == result["false_alarms"]
    assert result["alarm_load"]["history"]["machine_days"] == result["machine_days"]
    assert any(one["debounce"] == "2/3" and one["delay_min"] == result["delay_min"] for one in result["debounces"])
    # The figures are those of the rows' labels as `diagnose` gives them.
    lines = tmp_path / "rows.csv"
    assert cli("diagnose", *timed, "--out", lines, "--labels-only").code == 0
    frame, rows = pd.read_csv(lines, dtype=str), pd.read_csv(timed[1], dtype={"fault": str})
    flags = (frame["label"] != "0").to_numpy()
    assert result["far"] == pytest.approx(flags[rows["fault"] == "0"].mean())
    page = out.read_text(encoding="utf-8")
    assert "<svg" in page
    assert "12 of 12 fault episodes raised an alarm" in page
    assert "<script" not in page
    shown = cli("alarms", *timed)
    assert shown.code == 0
    assert "false alarms per machine-day" in shown.out
    assert "median delay" in shown.out


def test_without_labels_the_load_is_computed(timed: tuple[Path, Path], cli: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    pd.read_csv(timed[1]).drop(columns="fault").to_csv(path, index=False)
    ran = cli("alarms", timed[0], path, "--assets", 3, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert "no labels" in ran.err
    assert result["fdr"] is result["episode_recall"] is result["delay_min"] is None
    assert result["alarm_load"]["alarms_per_day"] == pytest.approx(3 * result["false_alarms_per_day"])
    refused = cli("alarms", timed[0], path, "--out", tmp_path / "a.png")
    assert refused.code == 2
    assert "no faulty rows" in refused.err


def test_without_time_figures_are_by_row(
    run_folder: Path, plant_csv: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    ran = cli("alarms", run_folder, plant_csv, "--json", "--out", tmp_path / "a.png")
    result = json.loads(ran.out)
    assert (ran.code, "--minutes" in ran.err) == (0, True)
    assert (
        result["minutes_per_row"]
        is result["alarm_load"]
        is result["delay_min"]
        is result["false_alarms_per_day"]
        is None
    )
    assert result["delay_samples"] is not None
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    given = json.loads(cli("alarms", run_folder, plant_csv, "--minutes", 2, "--json").out)
    assert given["delay_min"] == 2 * result["delay_samples"]


def test_only_faulty_rows(run_folder: Path, plant_csv: Path, cli: Callable[..., Any], tmp_path: Path) -> None:
    rows = pd.read_csv(plant_csv, dtype={"fault": str})
    rows[rows["fault"] != "0"].groupby("run").head(1).to_csv(tmp_path / "faulty.csv", index=False)  # runs of one row
    ran = cli("alarms", run_folder, tmp_path / "faulty.csv", "--minutes", 3, "--json")
    result = json.loads(ran.out)
    assert ran.code == 0
    assert "No row is labelled `0`" in ran.err
    assert "6 of 6 runs have fewer than 2 classified rows" in ran.err
    assert result["episodes"] == 6
    assert result["far"] is result["arl0"] is result["alarm_load"]["grade"] is None
    assert cli("alarms", run_folder, tmp_path / "faulty.csv").code == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--debounce", "5/3"], "K/N"),
        (["--debounce", "0/2"], "K/N"),
        (["--debounce", "x"], "K/N"),
        (["--minutes", "0"], "above 0"),
        (["--minutes", "-1"], "above 0"),
        (["--minutes", "nan"], "above 0"),
        (["--assets", "0"], "1 or more"),
        (["--out", "a.txt"], ".html"),
        (["--out", "nowhere/a.html"], "create it first"),
        (["--target", "absent"], "absent"),
    ],
)
def test_wrong_use(run_folder: Path, plant_csv: Path, cli: Callable[..., Any], flags: list[str], words: str) -> None:
    ran = cli("alarms", run_folder, plant_csv, *flags)
    assert ran.code == 2
    assert words in ran.err
    assert ran.out == ""


def test_a_run_that_knows_no_normal(
    tmp_path: Path, plant: Callable[..., pd.DataFrame], cli: Callable[..., Any]
) -> None:
    rows = plant(3, 16)
    rows = rows[rows["fault"] != "0"].assign(fault=lambda frame: frame["fault"].map({"1": "leak", "2": "clog"}))
    rows.to_csv(tmp_path / "rows.csv", index=False)
    roles = ("--target", "fault", "--group", "run", "--experts", "logistic-regression", "--json")
    assert cli("fit", tmp_path / "rows.csv", "--out", tmp_path / "run", *roles).code == 0
    ran = cli("alarms", tmp_path / "run", tmp_path / "rows.csv")
    assert (ran.code, "--normal" in ran.err) == (2, True)


def test_a_monitor_and_labels_it_never_saw(
    tmp_path: Path, plant: Callable[..., pd.DataFrame], cli: Callable[..., Any]
) -> None:
    rows = plant(6, 40)
    rows[rows["fault"] == "0"].drop(columns="fault").to_csv(tmp_path / "normal.csv", index=False)
    words = ("--group", "run", "--normal-only", "--window", 5, "--json")
    assert cli("fit", tmp_path / "normal.csv", "--out", tmp_path / "run", *words).code == 0
    rows.to_csv(tmp_path / "rows.csv", index=False)
    ran = cli("alarms", tmp_path / "run", tmp_path / "rows.csv", "--target", "fault", "--minutes", 1, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["episode_recall"] == 1.0
    # The first window is full after 5 rows: waiting for it is part of the delay.
    assert result["delay_samples"] == 5  # and the second flag of the debounce
    assert result["judged_rows"] == result["rows"] - 18 * 4
    renamed = rows.assign(fault=rows["fault"].map({"0": "x", "1": "y", "2": "z"}))
    renamed.to_csv(tmp_path / "renamed.csv", index=False)
    ran = cli("alarms", tmp_path / "run", tmp_path / "renamed.csv", "--target", "fault")
    assert (ran.code, "--about" in ran.err) == (2, True)


def test_hostile_labels_do_nothing(tmp_path: Path) -> None:
    label = "<script>$\\frac{1}{0}$</script>\x1b[31m"
    labels = np.array(["0", "0", label, label])
    made = detection(np.array([0, 0, 1, 1], bool), labels, np.zeros(4), "0", 3.0, ALL)
    result = {
        **made, "source": "<b>x", "rows": 4, "debounce": "1/1", "minutes_per_row": 3.0, "alarm_load": None,
        "debounces": [{"debounce": "1/1", **made}], "notes": ["<i>n"],
    }  # fmt: skip
    page = save_alarms(result, tmp_path / "a.html").read_text(encoding="utf-8")
    assert [bad for bad in ("<script", "<b>", "<i>", "\x1b") if bad in page] == []
    assert "&lt;script&gt;" in page
    assert save_alarms(result, tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "\x1b" not in faults(result)[0]["fault"]
    assert sentences(result)[1].startswith("1 of 1 fault episode raised an alarm")
