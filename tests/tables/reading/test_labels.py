"""Labels as people keep them: events, failures ahead, partial labels, spellings, several at once, runs from pauses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError, UserError
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.labels.clock import clock, span_of
from faultwise.tables.reading.labels.several import with_several
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.table import Roles, Table
from faultwise.tables.reading.time.stamps import Kind
from faultwise.tables.sources import read_for_fit

QUICK = settings(deadline=None, max_examples=25)


def record(assets: int = 3, hours: int = 60) -> pd.DataFrame:
    """Hourly rows of some pumps, from 2026-01-01 on."""
    times = pd.date_range("2026-01-01", periods=hours, freq="h")
    parts = [pd.DataFrame({"stamp": times, "pump": f"P{one}", "flow": np.arange(hours) % 7.0}) for one in range(assets)]
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Table]:
    """Read rows for a fit, with a table of events beside them where one is given."""

    def made(rows: pd.DataFrame, events: pd.DataFrame | None = None, **reading: Any) -> Table:
        rows.to_csv(tmp_path / "rows.csv", index=False)
        if events is not None:
            events.to_csv(tmp_path / "events.csv", index=False)
            reading["events"] = str(tmp_path / "events.csv")
        return read_for_fit(str(tmp_path / "rows.csv"), TableSettings(normal=reading.pop("normal", None)), how(reading))

    return made


def how(reading: dict[str, Any]) -> TableReading:
    return replace(TableReading(), **reading)


START, END = "2026-01-01 10:00", "2026-01-01 13:00"
ROLES = {"group": "pump", "time": "stamp"}


def said(table: Table) -> str:
    return " ".join(table.notes)


def labels(table: Table, pump: str) -> list[str]:
    return [str(label) for label in table.y[table.groups == pump]]


# --- events ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        pd.DataFrame({"machineID": ["P1"], "start": [START], "end": [END], "fault": ["leak"]}),
        pd.DataFrame({"Failure Mode": ["leak"], "Equipment": ["p1"], "from": [START], "to": ["2026-01-01T13:00"]}),
        pd.DataFrame({"pump": ["P1"], "datetime": ["2026-01-01 10:00"], "duration_h": [3.0], "code": ["leak"]}),
        pd.DataFrame({"unit": ["P1"], "begin": ["2026-01-01 10:00"], "duration": ["3:00"], "type": ["leak"]}),
        pd.DataFrame({"x": ["P1"], "a": ["2026-01-01 10:00"], "b": ["2026-01-01 13:00"], "what": ["leak"]}),
        pd.DataFrame({"asset": ["P1"], "start": ["01.01.2026 10:00"], "end": ["01.01.2026 13:00"], "label": ["leak"]}),
    ],
    ids=["names", "synonyms", "hours", "clock", "content", "day-first"],
)  # fmt: skip
def test_events_give_rows_their_label(read: Callable[..., Table], events: pd.DataFrame) -> None:
    table = read(record(), events, **ROLES)
    assert labels(table, "P1") == ["normal"] * 10 + ["leak"] * 3 + ["normal"] * 47
    assert set(labels(table, "P0")) == {"normal"}
    assert table.roles.target == "fault"
    assert "1 events gave 3 of 180 rows their label" in said(table)


def test_events_of_one_asset_need_no_name(read: Callable[..., Table]) -> None:
    events = pd.DataFrame({"start": [10, 30], "end": [12, 33], "code": [7, 8]})
    rows = pd.DataFrame({"hour": np.arange(40.0), "flow": np.arange(40) % 7.0})
    table = read(rows, events, time="hour", normal="ok")
    assert table.y.tolist() == ["ok"] * 10 + ["7"] * 2 + ["ok"] * 18 + ["8"] * 3 + ["ok"] * 7


def test_names_that_look_like_numbers_and_dates_without_hours(read: Callable[..., Table]) -> None:
    rows = record().assign(pump=lambda rows: rows["pump"].str.replace("P", "00"))
    events = pd.DataFrame({"pump": ["001"], "start": ["2026-01-01"], "end": ["2026-01-02"], "fault": ["01"]})
    table = read(rows, events, **ROLES)
    assert labels(table, "001") == ["01"] * 48 + ["normal"] * 12


def test_the_target_names_the_column_of_the_fault(read: Callable[..., Table]) -> None:
    events = pd.DataFrame(
        {"pump": ["P0"], "start": ["2026-01-01 10:00"], "end": ["2026-01-01 13:00"], "fault": ["x"], "cause": ["dirt"]}
    )
    assert set(read(record(), events, target="cause", **ROLES).y) == {"dirt", "normal"}


def test_what_cannot_be_used_is_left_out_and_named(read: Callable[..., Table]) -> None:
    events = pd.DataFrame(
        [
            ("P0", "2026-01-01 10:00", "2026-01-01 13:00", "leak"),
            ("P0", "2027-01-01 10:00", "2027-01-01 13:00", "leak"),
            ("P9", "2026-01-01 10:00", "2026-01-01 13:00", "leak"),
            ("P1", None, "2026-01-01 13:00", "leak"),
            ("P1", "2026-01-03 10:00", None, "wear"),
        ],
        columns=["pump", "start", "end", "fault"],
    )
    table = read(record(), events, **ROLES)
    assert labels(table, "P1") == ["normal"] * 58 + ["wear"] * 2
    for words in (
        "1 events cover no row and were left out: `leak` at 2027-01-01 10:00",
        "1 events of assets without rows were left out: `P9`",
        "1 events without a time or a fault were left out (rows `4`)",
        "1 events have no end: they last to the end",
    ):
        assert words in said(table)


EVENT = {"pump": ["P0"], "start": ["2026-01-01 10:00"], "end": ["2026-01-01 13:00"], "fault": ["leak"]}


@pytest.mark.parametrize(
    ("changes", "reading", "message"),
    [
        ({"end": ["2026-01-01 09:00"]}, {}, r"event 1 \(`leak`\) ends at 2026-01-01 09:00, before its start"),
        ({"start": ["2027-01-01"], "end": ["2027-01-02"]}, {}, "None of the 1 events .* covers a row.*time zones"),
        ({"pump": ["Q7"]}, {}, "`Q7`, none of which is among the assets of the rows .*`P0`"),
        ({"start": None, "end": None}, {}, "no column that says when an event was"),
        ({"end": None}, {}, "pass --before SPAN .*or add a column `end` or `duration`"),
        ({"start": [5], "end": [6]}, {}, "holds numbers, and the rows have time stamps"),
        ({"pump": None}, {}, "does not say which asset an event belongs to, and the rows are of 3"),
        ({}, {"time": None}, "read without times.*pass --time COL"),
        ({}, {"target": "cause"}, "no column `cause`"),
        ({"end": None}, {"before": "3000h"}, "longer than the record of any asset"),
        ({"end": None}, {"before": "soon"}, "--before is `soon`: write a number with a unit"),
        ({"end": None}, {"before": "5"}, "--before is `5`: write a number with a unit"),
    ],
    ids=[
        "end-before-start", "outside", "unknown-asset", "no-time", "points", "other-times", "no-asset",
        "record-without-time", "no-such-fault", "long-horizon", "no-span", "no-unit",
    ],
)  # fmt: skip
def test_events_that_are_refused(
    read: Callable[..., Table], changes: dict[str, Any], reading: dict[str, Any], message: str
) -> None:
    events = pd.DataFrame({name: values for name, values in {**EVENT, **changes}.items() if values is not None})
    with pytest.raises(UserError, match=message):
        read(record(), events, **{**ROLES, **reading})


def test_an_empty_file_of_events_is_refused(read: Callable[..., Table]) -> None:
    with pytest.raises(DataError, match=r"events.csv"):
        read(record(), pd.DataFrame(EVENT).iloc[:0], **ROLES)


def test_a_horizon_without_events_is_refused(read: Callable[..., Table]) -> None:
    with pytest.raises(UserError, match="--events FILE"):
        read(record().assign(fault="a"), target="fault", before="24h", **ROLES)


@QUICK
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 65), st.integers(0, 9), st.sampled_from("ab")), min_size=1),
    st.randoms(use_true_random=False),
)
def test_a_row_has_a_fault_if_and_only_if_an_event_covers_it(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[int, int, int, str]], random: Any
) -> None:
    folder = tmp_path_factory.mktemp("events")
    rows = pd.DataFrame({"hour": np.tile(np.arange(60.0), 3), "pump": np.repeat(["P0", "P1", "P2"], 60), "flow": 1.0})
    order = list(range(len(rows)))
    random.shuffle(order)
    rows.iloc[order].to_csv(folder / "rows.csv", index=False)
    frame = pd.DataFrame([(f"P{a}", s, s + d, f) for a, s, d, f in events], columns=["pump", "start", "end", "fault"])
    frame.to_csv(folder / "events.csv", index=False)
    reading = TableReading(group="pump", time="hour", events=str(folder / "events.csv"))
    covers = [(a, s, max(s + d, s + 1), f) for a, s, d, f in events]
    true = [
        {f for a, s, e, f in covers if pump == f"P{a}" and s <= hour < e}
        for hour, pump in zip(rows["hour"].iloc[order], rows["pump"].iloc[order], strict=True)
    ]
    if not any(true):
        with pytest.raises(DataError, match="covers a row"):
            read_for_fit(str(folder / "rows.csv"), TableSettings(), reading)
        return
    table = read_for_fit(str(folder / "rows.csv"), TableSettings(), reading)
    also = table.also if table.also is not None else [()] * len(rows)
    found = {
        row: {label, *more} - {"normal"} for row, label, more in zip(table.row_numbers, table.y, also, strict=True)
    }
    assert found == dict(enumerate(true, start=1))


# --- failures ahead --------------------------------------------------------------------------------------------


def test_rows_before_a_failure_announce_it_and_what_is_unknown_is_left_out(read: Callable[..., Table]) -> None:
    events = pd.DataFrame(
        {"machineID": ["P1"], "time": ["2026-01-01 20:00"], "end": ["2026-01-01 23:00"], "code": ["leak"]}
    )
    table = read(record(), events, before="6h", **ROLES)
    # 20 rows before the failure, three of repair, then up to six hours before the end.
    assert labels(table, "P1") == ["normal"] * 14 + ["leak"] * 6 + ["normal"] * 31
    assert labels(table, "P0") == ["normal"] * 54
    assert table.row_numbers[table.groups == "P1"].tolist() == [*range(61, 81), *range(84, 115)]
    assert table.failures is not None
    assert (table.failures.horizon, table.failures.unit) == (6 * 3600, 1.0)
    for words in (
        "6 rows within 6h before 1 failures",
        "3 rows from a failure to the end of its repair",
        "18 rows less",
    ):
        assert words in said(table)


def test_a_failure_without_an_end_is_repaired_by_the_next_pause(read: Callable[..., Table]) -> None:
    rows = record(1).drop(index=range(22, 50))
    events = pd.DataFrame({"time": ["2026-01-01 20:00"], "fault": ["leak"]})
    table = read(rows, events, before="30h", time="stamp")
    assert table.y.tolist() == ["leak"] * 20
    assert "2 rows from a failure" in said(table)


def test_a_failure_at_the_end_of_a_run_to_failure(read: Callable[..., Table]) -> None:
    rows = pd.DataFrame({"cycle": [*range(40), *range(30)], "engine": ["1"] * 40 + ["2"] * 30, "flow": 1.0})
    events = pd.DataFrame({"engine": [1, 2], "cycle": [40, 30], "failure": ["worn", "worn"]})
    table = read(rows, events, before="10", group="engine", time="cycle")
    assert table.y.tolist() == ["normal"] * 30 + ["worn"] * 10 + ["normal"] * 20 + ["worn"] * 10


def test_failures_close_to_each_other_are_announced_one_by_one(read: Callable[..., Table]) -> None:
    events = pd.DataFrame(
        {"pump": "P0", "start": ["2026-01-01 10:00", "2026-01-01 16:00"], "duration_h": [2, 2], "fault": ["a", "b"]}
    )
    table = read(record(1), events, before="8h", **ROLES)
    assert labels(table, "P0")[:14] == ["normal"] * 2 + ["a"] * 8 + ["b"] * 4


@pytest.mark.parametrize(
    ("text", "hours"), [("24h", 24), ("1.5 h", 1.5), ("30min", 0.5), ("7d", 168), ("2 weeks", 336)]
)
def test_spans(text: str, hours: float) -> None:
    assert span_of(text, Kind("numbers", 3600.0), "--before") == pytest.approx(3600 * hours)


def test_times_of_unknown_unit_take_bare_numbers_only() -> None:
    with pytest.raises(UserError, match=r"unit is not known.*time \[h\]"):
        span_of("24h", Kind("numbers", None), "--before")
    assert clock(pd.Series(["a", "b", "2026-01-01"])) is None


def test_a_column_of_times_may_be_text() -> None:
    numbers = clock(pd.Series(["1", "2.5", None], name="hour"))
    assert numbers is not None
    assert not numbers.stamps
    assert numbers.values[:2].tolist() == [3600.0, 9000.0]
    stamps = clock(pd.Series(["13/01/2026 10:00", "01/02/2026 10:00", "never"]))
    assert stamps is not None
    assert stamps.values[1] - stamps.values[0] == 19 * 86400
    assert np.isnan(stamps.values[2])


# --- partial labels and spellings ------------------------------------------------------------------------------


def test_rows_without_a_label_are_left_out(read: Callable[..., Table]) -> None:
    rows = record().assign(fault=["ok", "leak", None] * 60)
    table = read(rows, target="fault", **ROLES)
    assert table.y.tolist() == ["ok", "leak"] * 60
    assert table.row_numbers[:4].tolist() == [1, 2, 4, 5]
    assert "60 of 180 rows have no label in `fault`: left out" in said(table)
    assert "--fill-labels" not in said(table)


def test_labels_in_the_first_row_of_each_event_are_filled_where_that_is_wanted(read: Callable[..., Table]) -> None:
    rows = record(2).assign(fault=None)
    rows.loc[[0, 20, 40, 70], "fault"] = ["ok", "leak", "ok", "wear"]
    assert "--fill-labels forward" in said(read(rows, target="fault", **ROLES))
    table = read(rows, target="fault", fill_labels="forward", **ROLES)
    assert table.y.tolist() == ["ok"] * 20 + ["leak"] * 20 + ["ok"] * 20 + ["wear"] * 50
    assert "10 of 120 rows have no label" in said(table)


def test_a_table_without_any_label_is_refused(read: Callable[..., Table]) -> None:
    with pytest.raises(DataError, match="none of 180 rows has a label in `fault`"):
        read(record().assign(fault=None), target="fault", **ROLES)


def test_spellings_are_merged_and_slips_are_named(read: Callable[..., Table]) -> None:
    spelt = ["leak"] * 20 + ["LEAK"] * 3 + ["leak "] * 3 + ["Inner  ring"] * 4 + ["laek", "leak-"] + ["ok"] * 28
    rows = record(1).assign(fault=spelt)
    table = read(rows, target="fault", **ROLES)
    assert sorted(set(table.y)) == ["Inner  ring", "laek", "leak", "leak-", "ok"]
    assert (table.y == "leak").sum() == 26
    assert "`LEAK` (3 rows) into `leak`" in said(table)
    assert "slips: `laek` (1 row) for `leak`, `leak-` (1 row) for `leak`" in said(table)
    assert "LEAK" in set(read(rows, target="fault", variants="keep", **ROLES).y)


def test_the_label_of_normal_keeps_its_spelling(read: Callable[..., Table]) -> None:
    rows = record(1).assign(fault=["ok"] * 30 + ["OK"] * 10 + ["leak"] * 20)
    assert set(read(rows, target="fault", normal="OK", **ROLES).y) == {"OK", "leak"}


# --- several at once, runs from pauses -------------------------------------------------------------------------


def test_several_faults_in_one_cell(read: Callable[..., Table]) -> None:
    rows = record(1).assign(fault=["ok"] * 20 + ["leak"] * 20 + ["wear"] * 10 + ["leak;wear"] * 5 + ["a/c"] * 5)
    table = read(rows, target="fault", **ROLES)
    assert table.y[50:].tolist() == ["wear"] * 5 + ["a/c"] * 5
    assert table.also is not None
    assert table.also[50:].tolist() == [("leak",)] * 5 + [()] * 5
    assert "5 rows have several faults at once (`leak;wear`)" in said(table)


def test_pauses_of_a_record_make_runs(read: Callable[..., Table]) -> None:
    hours = np.concatenate([np.arange(20.0) + 100 * run for run in range(4)])
    rows = pd.DataFrame({"hour": hours, "flow": hours % 7, "fault": np.tile(["ok"] * 10 + ["leak"] * 10, 4)})
    shuffled = rows.sample(frac=1, random_state=0)
    table = read(shuffled, target="fault", time="hour")
    assert table.roles.group == "run"
    assert table.runs.tolist() == [str(int(hour // 100) + 1) for hour in rows["hour"]]
    assert table.split == ""
    assert "3 pauses of more than 20 usual steps" in said(table)
    once = rows.assign(fault=["a"] * 20 + ["b"] * 20 + ["c"] * 20 + ["d"] * 20)
    assert read(once, target="fault", time="hour").split == "block"


def test_no_runs_where_steps_are_irregular_or_assets_share_times(read: Callable[..., Table]) -> None:
    mixed = np.cumsum(np.tile([1.0, 1.0, 900.0], 30))
    rows = pd.DataFrame({"hour": mixed, "flow": mixed % 7, "fault": ["ok", "leak"] * 45})
    assert read(rows, target="fault", time="hour").roles.group is None
    both = record(2).assign(fault="ok").drop(columns="pump")
    assert read(both, target="fault", time="stamp").roles.group is None


def test_dates_of_events_are_written_like_those_of_the_rows(read: Callable[..., Table]) -> None:
    times = pd.date_range("2026-01-01", periods=120, freq="D").strftime("%d/%m/%Y")
    rows = pd.DataFrame({"time": times, "x": np.arange(120.0)})
    events = pd.DataFrame({"start": ["02/03/2026"], "end": ["05/03/2026"], "fault": ["leak"]})
    table = read(rows, events, time="time")
    assert set(np.flatnonzero(table.y == "leak")) == {60, 61, 62, 63}  # 2 to 5 March


def test_rows_left_out_are_no_pauses(read: Callable[..., Table]) -> None:
    times = pd.date_range("2026-01-01", periods=900, freq="min")
    labels = np.where(np.arange(900) // 60 % 2, "leak", "normal").astype(object)
    labels[np.arange(900) % 150 >= 120] = None
    table = read(pd.DataFrame({"time": times, "x": np.arange(900.0), "fault": labels}), target="fault", time="time")
    assert table.roles.group is None
    assert "pauses" not in said(table)


def test_labels_of_several_faults_are_cut_by_those_of_the_fit() -> None:
    table = Table(pd.DataFrame({"fault": ["ok", "leak", "leak;wear"]}), Roles(target="fault"))
    assert with_several(table).y.tolist() == ["ok", "leak", "leak;wear"]
    made = with_several(table, ("ok", "leak", "wear"))
    assert (made.y.tolist()[-1], made.also is not None) == ("wear", True)
