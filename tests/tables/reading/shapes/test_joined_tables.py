"""Other tables are joined to a record: each kind is recognised, and no row gets what was known later than itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.shapes.beside import together
from faultwise.tables.reading.shapes.joining import joined
from faultwise.tables.reading.table import Roles, Table

START = pd.Timestamp("2026-01-01")
HOURS = 120


def _at(hours: object) -> pd.Series:
    return pd.Series(START + pd.to_timedelta(np.asarray(hours), unit="h"))


@pytest.fixture
def rows() -> pd.DataFrame:
    """Six machines, an hour a row; machines 2, 4 and 6 fail at hour 80 and stay faulty until the end."""
    rng = np.random.default_rng(0)
    made = []
    for machine in range(1, 7):
        faulty = (np.arange(HOURS) >= 80) & (machine % 2 == 0)
        volt = 170 + 3 * faulty + rng.normal(size=HOURS)
        values = {"datetime": _at(range(HOURS)), "machineID": machine, "volt": volt}
        made.append(pd.DataFrame({**values, "fault": np.where(faulty, "comp1", "normal")}))
    return pd.concat(made, ignore_index=True)


def _join(folder: Path, rows: pd.DataFrame, max_age: str | None = None, **others: pd.DataFrame) -> Table:
    rows.to_csv(folder / "telemetry.csv", index=False)
    for name, frame in others.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    how = TableReading(join=tuple(str(folder / f"{name}.csv") for name in others), max_age=max_age)
    return read_source(folder / "telemetry.csv", target="fault", group="machineID", time="datetime", how=how)


def _machine(table: Table, machine: int, column: str) -> np.ndarray:
    return np.asarray(table.frame.loc[table.frame["machineID"] == str(machine), column])


def test_attributes_of_assets(tmp_path: Path, rows: pd.DataFrame) -> None:
    machines = pd.DataFrame({"machineID": range(1, 8), "model": list("abcabca"), "age": [3, 1, 4, 1, 5, 9, 2]})
    table = _join(tmp_path, rows, machines=machines.assign(installed="2025-12-31"))
    assert table.features == ["volt", "model", "age", "time since installed"]
    assert set(_machine(table, 3, "model")) == {"c"}
    assert _machine(table, 6, "age").tolist() == [9] * HOURS
    assert _machine(table, 1, "time since installed")[:2].tolist() == [24, 25]
    assert any("`machines.csv` was joined on `machineID` as attributes of assets" in note for note in table.notes)
    assert any("lines of assets without rows, which were not used: `7`" in note for note in table.notes)


def test_events_are_counted_over_a_span_up_to_each_row(tmp_path: Path, rows: pd.DataFrame) -> None:
    errors = pd.DataFrame({"datetime": _at([10, 20, 50]), "machineID": [1, 1, 2], "errorID": ["e1", "e1", "e2"]})
    table = _join(tmp_path, rows, errors=errors)
    counts = _machine(table, 1, "e1 in the last 24 h")
    assert [int(counts[hour]) for hour in (9, 10, 19, 20, 33, 34, 43, 44)] == [0, 1, 1, 2, 2, 1, 1, 0]
    since = _machine(table, 1, "time since e1")
    assert since[[9, 10, 19, 20, 21]].tolist() == [2400, 0, 9, 0, 1]
    assert _machine(table, 3, "e1 in the last 24 h").sum() == 0


def test_maintenance_gives_the_time_since_it_was_over(tmp_path: Path, rows: pd.DataFrame) -> None:
    repairs = pd.DataFrame({"machine": [1], "start": _at([10]), "end": _at([15]), "component": ["pump"]})
    table = _join(tmp_path, rows, maintenance=repairs)
    assert table.features == ["volt", "time since pump"]
    assert _machine(table, 1, "time since pump")[[10, 14, 15, 16]].tolist() == [2400, 2400, 0, 1]


def test_slow_measurements_hold_up_to_an_age(tmp_path: Path, rows: pd.DataFrame) -> None:
    lab = pd.DataFrame(
        {"sampled at": _at([0, 24, 48]), "machine": 1, "iron": [1.0, 2.0, 3.0], "grade": ["a", "b", "a"]}
    )
    table = _join(tmp_path, rows, lab=lab)
    assert _machine(table, 1, "iron")[[0, 23, 24, 119]].tolist() == [1, 1, 2, 3]
    assert list(_machine(table, 1, "grade")[[23, 24]]) == ["a", "b"]
    assert any("up to an age of 3 d: `iron`, `grade`" in note for note in table.notes)
    assert any("has no line for `2`, `3`, `4`, `5`, `6`" in note for note in table.notes)
    aged = _join(tmp_path, rows, max_age="6h", lab=lab)
    assert pd.notna(_machine(aged, 1, "iron"))[:9].tolist() == [True] * 7 + [False] * 2


def test_what_was_measured_over_a_time_is_known_at_its_end(tmp_path: Path, rows: pd.DataFrame) -> None:
    lab = pd.DataFrame({"start": _at([0, 24]), "end": _at([8, 32]), "machineID": 1, "yield": [91.5, 93.0]})
    table = _join(tmp_path, rows, lab=lab)
    assert np.isnan(_machine(table, 1, "yield")[:8]).all()
    assert _machine(table, 1, "yield")[[8, 31, 32]].tolist() == [91.5, 91.5, 93.0]


@settings(max_examples=25, deadline=None)
@given(
    stamps=st.lists(st.tuples(st.integers(1, 3), st.integers(-30, 60), st.integers(0, 2)), min_size=3, max_size=20),
    now=st.integers(5, 39),
    kind=st.sampled_from(["errors", "maintenance", "lab", "failures"]),
)
def test_what_is_written_later_changes_no_row(stamps: list[tuple[int, int, int]], now: int, kind: str) -> None:
    rows = pd.DataFrame({"t": np.tile(range(40), 3), "machine": np.repeat([1, 2, 3], 40), "volt": 1.0, "fault": "no"})
    other = pd.DataFrame(stamps, columns=["machine", "t", "code"])
    other["value" if kind == "lab" else "code"] = (
        other.pop("code") * 1.5 if kind == "lab" else "c" + other["code"].astype(str)
    )
    known = pd.DataFrame({"machine": [1, 2, 3], "t": -40})
    known["value" if kind == "lab" else "code"] = 0.5 if kind == "lab" else ["c0", "c1", "c2"]
    made = []
    for upto in (1000, now):
        with TemporaryDirectory() as folder:
            rows.to_csv(Path(folder) / "rows.csv", index=False)
            pd.concat([known, other[other["t"] <= upto]]).to_csv(Path(folder) / f"{kind}.csv", index=False)
            how = TableReading(join=(str(Path(folder) / f"{kind}.csv"),), max_age="20")
            table = read_source(Path(folder) / "rows.csv", target="fault", group="machine", time="t", how=how)
            frame = table.frame[table.frame["t"] <= now].reset_index(drop=True)
            made.append(frame[sorted(frame)])
    pd.testing.assert_frame_equal(made[0], made[1])


def _left_out(folder: Path, rows: pd.DataFrame, **others: pd.DataFrame) -> str:
    """Fit with other tables, and return the note on what would be known too late."""
    _join(folder, rows, **others)
    made = Diagnoser(experts=("logistic-regression",), split="row", window=1).fit(
        folder / "telemetry.csv",
        target="fault",
        group="machineID",
        time="datetime",
        join=[str(folder / f"{name}.csv") for name in others],
    )
    return next((note for note in made.model_.notes if note.startswith("Left out of what was joined")), "")


@pytest.mark.parametrize(
    ("column", "values"), [("total_failures", [0, 1, 0, 1, 0, 1]), ("hours", [0, 40, 0, 39, 0, 38])]
)
def test_an_attribute_from_the_whole_future_is_left_out(
    tmp_path: Path, rows: pd.DataFrame, column: str, values: list[int]
) -> None:
    late = (rows["machineID"] == 4) & (rows["datetime"] == START + pd.Timedelta(80, "h"))
    later = (rows["machineID"] == 6) & (rows["datetime"] <= START + pd.Timedelta(81, "h"))
    rows = rows.assign(fault=rows["fault"].mask(late | later, "normal"))
    machines = pd.DataFrame({"machineID": range(1, 7), "age": [3, 1, 4, 1, 5, 9], column: values})
    note = _left_out(tmp_path, rows, machines=machines)
    assert f"`{column}`" in note
    assert "`age`" not in note


def test_a_date_after_the_rows_is_left_out(tmp_path: Path, rows: pd.DataFrame) -> None:
    dates = ["2026-01-04", *["2025-12-01"] * 5]
    table = _join(tmp_path, rows, machines=pd.DataFrame({"machineID": range(1, 7), "checked": dates, "age": 1}))
    assert table.features == ["volt", "age"]
    assert any("`checked` of `machines.csv` was left out, because it looks ahead" in note for note in table.notes)


@pytest.mark.parametrize("hours", [(80, 80, 80), (85, 90, 95)])
def test_records_made_at_or_after_the_failure_are_left_out(
    tmp_path: Path, rows: pd.DataFrame, hours: tuple[int, ...]
) -> None:
    after = {"datetime": _at([*hours, 100, 105, 110]), "machineID": [2, 4, 6] * 2, "errorID": "e9"}
    before = {"datetime": _at([5, 15, 25, 35, 45, 55]), "machineID": range(1, 7), "errorID": "e1"}
    note = _left_out(tmp_path, rows, errors=pd.concat([pd.DataFrame(after), pd.DataFrame(before)]))
    assert "`time since e9` is of records that were made when the fault was there already (6 of 6)" in note
    assert "`e9 in the last 24 h`" in note
    assert "e1" not in note


def test_repairs_and_failures_of_the_fault_are_left_out(tmp_path: Path, rows: pd.DataFrame) -> None:
    hours, machines = [80, 80, 80, 100, 100, 100], [2, 4, 6, 2, 4, 6]
    maint = pd.DataFrame({"datetime": _at(hours), "machineID": machines, "comp": "comp1"})
    failures = pd.DataFrame({"datetime": _at(hours), "machineID": machines, "failure": "broken"})
    note = _left_out(tmp_path, rows, maint=maint, failures=failures)
    assert "`time since comp1`" in note
    assert "`time since broken`" in note
    strict = _join(tmp_path, rows, failures=failures)
    assert _machine(strict, 2, "broken in the last 24 h")[[80, 81]].tolist() == [0, 1]


def test_a_slow_measurement_taken_after_the_failure_serves_no_earlier_row(tmp_path: Path, rows: pd.DataFrame) -> None:
    lab = pd.DataFrame({"datetime": _at([80, 80, 80, 0]), "machineID": [2, 4, 6, 1], "iron": [9.0, 9, 9, 1]})
    table = _join(tmp_path, rows, max_age="30d", lab=lab)
    assert pd.isna(_machine(table, 2, "iron")[:80].astype(float)).all()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pd.DataFrame({"colour": ["red", "blue"], "mass": [1.5, 2.5]}), "no column in common"),
        (
            pd.DataFrame({"machineID": [1, 1, 2], "age": [1, 2, 3]}),
            "several lines for one `machineID` and no column of",
        ),
        (pd.DataFrame({"machineID": [91, 92], "age": [1, 2]}), "is a `machineID` of the rows"),
        (pd.DataFrame({"datetime": ["2030-01-01"] * 2, "machineID": [1, 2], "iron": [1.5, 2]}), "known in time"),
        (
            pd.DataFrame({"datetime": [1.5, 2.5], "machineID": [1, 1], "iron": [1.5, 2]}),
            "expected the same kind of time",
        ),
        (pd.DataFrame({"machineID": [], "age": []}), "header and no rows"),
    ],
)
def test_tables_that_cannot_be_joined(tmp_path: Path, rows: pd.DataFrame, other: pd.DataFrame, words: str) -> None:
    with pytest.raises(DataError, match=words):
        _join(tmp_path, rows, other=other)


def test_lines_later_than_every_row_serve_none(tmp_path: Path, rows: pd.DataFrame) -> None:
    lab = pd.DataFrame({"datetime": _at([0, 500]), "machineID": [1, 1], "iron": [1.0, 2.0]})
    table = _join(tmp_path, rows, max_age="300d", lab=lab)
    assert set(_machine(table, 1, "iron")) == {1.0}
    assert any("1 lines of `lab.csv` are later than every row of their asset" in note for note in table.notes)


def test_what_gives_the_labels_is_not_joined(tmp_path: Path, rows: pd.DataFrame) -> None:
    rows.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(DataError, match="by --events and by --join"):
        read_source(tmp_path / "rows.csv", how=TableReading(join=("f.csv",), events="f.csv"))


def test_the_command_line_needs_the_tables_again(
    tmp_path: Path, rows: pd.DataFrame, cli: Callable[..., object]
) -> None:
    machines = pd.DataFrame({"machineID": range(1, 7), "age": [3, 1, 4, 1, 5, 9]})
    errors = pd.DataFrame({"datetime": _at([5, 15, 90]), "machineID": [1, 2, 3], "errorID": ["e1", "e2", "e1"]})
    _join(tmp_path, rows, machines=machines, errors=errors)
    files = f"{tmp_path / 'machines.csv'},{tmp_path / 'errors.csv'}"
    roles = ("--target", "fault", "--group", "machineID", "--time", "datetime", "--experts", "logistic-regression")
    source, run = tmp_path / "telemetry.csv", tmp_path / "run"
    made = cli("fit", source, *roles, "--split", "row", "--window", "1", "--join", files, "--out", run)
    assert made.code == 0, made.err  # type: ignore[attr-defined]
    without = cli("diagnose", run, source)
    assert (without.code, "fitted with `machines.csv` joined" in without.err) == (2, True)  # type: ignore[attr-defined]
    for command in ("diagnose", "evaluate"):
        assert cli(command, run, source, "--join", files).code == 0  # type: ignore[attr-defined]
    # Later errors of other codes: the columns are those of the fit.
    errors.assign(errorID="e7").to_csv(tmp_path / "june_errors.csv", index=False)
    later = f"{tmp_path / 'machines.csv'},{tmp_path / 'june_errors.csv'}"
    assert cli("diagnose", run, source, "--join", later, "--out", tmp_path / "rows.csv").code == 0  # type: ignore[attr-defined]
    assert len(pd.read_csv(tmp_path / "rows.csv")) == len(rows)


def _folder(folder: Path, **frames: pd.DataFrame) -> Path:
    folder.mkdir()
    for name, frame in frames.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    return folder


def test_a_folder_of_different_tables_is_put_together(tmp_path: Path, rows: pd.DataFrame) -> None:
    lab = pd.DataFrame({"datetime": _at([0, 24, 48]), "machineID": 1, "iron": [1.0, 2.0, 3.0]})
    failures = pd.DataFrame({"datetime": _at([80]), "machineID": [2], "failure": ["comp1"]})
    source = _folder(tmp_path / "plant", telemetry=rows, lab=lab, failures=failures)
    table = read_source(source, target="fault", group="machineID")
    assert table.features == ["volt", "iron"]
    assert table.roles.time == "datetime"
    assert "The rows are those of `telemetry.csv`; other tables are joined to them." in table.notes
    assert any("`failures.csv` holds faults and their times" in note and "--events" in note for note in table.notes)


def test_seconds_beside_a_sample_a_day_without_assets(tmp_path: Path) -> None:
    fast = pd.DataFrame({"time": range(400), "flow": 1.5, "fault": "no"})
    source = _folder(tmp_path / "plant", fast=fast, slow=pd.DataFrame({"time": [0, 100, 200], "iron": [1.0, 2.0, 3.0]}))
    iron = read_source(source, target="fault").frame["iron"]
    assert iron[[0, 99, 100, 399]].tolist() == [1, 1, 2, 3]
    assert not read_source(source, target="fault", how=TableReading(max_age="50")).frame["iron"][51:99].notna().any()


def test_sheets_of_a_workbook(rows: pd.DataFrame) -> None:
    lab = pd.DataFrame({"datetime": _at([0, 24]), "machineID": 1, "iron": [1.0, 2.0]})
    table = together({"Lab": lab, "Data": rows}, {}, "plant.xlsx", what="workbook of {} sheets")
    assert list(table.frame) == list(rows)
    assert len(table.frame) == len(rows)
    assert list(table.beside) == ["Lab"]
    table = joined(replace(table, roles=Roles("fault", "machineID", "datetime")), table.beside)
    assert table.features == ["volt", "iron"]
    runs = together({"r1": rows[:9], "r2": rows[9:20]}, {}, "plant.xlsx", what="workbook of {} sheets")
    assert runs.frame["run"].tolist() == ["r1"] * 9 + ["r2"] * 11
    assert runs.notes[0] == "A workbook of 2 sheets with the same columns."


def test_rows_in_memory(tmp_path: Path, rows: pd.DataFrame) -> None:
    pd.DataFrame({"machineID": range(1, 7), "age": [3, 1, 4, 1, 5, 9]}).to_csv(tmp_path / "machines.csv", index=False)
    files = [str(tmp_path / "machines.csv")]
    made = Diagnoser(experts=("logistic-regression",), split="row", window=1).fit(
        rows[["volt", "machineID"]], rows["fault"], rows["machineID"], group="machineID", join=files
    )
    case = made.diagnose(rows.drop(columns="fault"), row=100, join=files).cases[0]
    assert {finding.variable for finding in case.findings} == {"volt", "age"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (pd.DataFrame({"mass": [1.5, 2.5]}), "no column in common"),
        (
            pd.DataFrame({"time": [1, 2], "flow": [1.5, 2], "temp": [1, 2], "fault": ["no"] * 2}),
            "has `temp` more beside",
        ),
    ],
)
def test_files_that_do_not_belong_together(tmp_path: Path, other: pd.DataFrame, words: str) -> None:
    fast = pd.DataFrame({"time": range(40), "flow": 1.5, "level": 2.5, "fault": "no"})
    with pytest.raises(DataError, match=words):
        read_source(_folder(tmp_path / "plant", fast=fast, other=other), target="fault")


def test_several_levels_of_column_names_are_refused(rows: pd.DataFrame) -> None:
    levels = pd.DataFrame(
        rows[["volt", "machineID"]].to_numpy(), columns=pd.MultiIndex.from_product([["a"], ["x", "y"]])
    )
    with pytest.raises(DataError, match=r"X has 2 levels of column names, such as \('a', 'x'\); expected one name"):
        Diagnoser(experts=("logistic-regression",)).fit(levels, rows["fault"], rows["machineID"])
