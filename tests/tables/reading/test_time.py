"""Times as plants write them: read into seconds, sorted within runs, gaps found; what is unclear is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError, UserError
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.clock import Clock
from faultwise.tables.reading.time.spans import seconds_of, span_text
from faultwise.tables.reading.time.stamps import kind_of, seconds

BEGIN = pd.Timestamp("2026-03-02 23:00")
WAYS = {
    "iso": lambda at: at.strftime("%Y-%m-%d %H:%M:%S"),
    "offset": lambda at: at.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
    "german": lambda at: at.strftime("%d.%m.%Y %H:%M:%S"),
    "american": lambda at: at.strftime("%m/%d/%Y %I:%M:%S %p"),
    "epoch seconds": lambda at: at.timestamp(),
    "epoch milliseconds": lambda at: at.timestamp() * 1000,
    "Excel serial": lambda at: (at - pd.Timestamp("1899-12-30")) / pd.Timedelta(days=1),
}


def _read(tmp_path: Path, frame: pd.DataFrame, **roles: str) -> Table:
    frame.to_csv(tmp_path / "record.csv", index=False)
    return read_source(tmp_path / "record.csv", **{"time": "time", **roles})  # type: ignore[arg-type]


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(1, 100_000), min_size=2, max_size=30), day=st.integers(0, 20_000))
def test_times_are_the_same_seconds_however_they_are_written(way: str, steps: list[int], day: int) -> None:
    stamps = pd.Timestamp("1995-01-01 07:08") + pd.to_timedelta(np.r_[day * 86400, day * 86400 + np.cumsum(steps)], "s")
    if way == "american" and max(stamps.day.max(), 12) == 12:
        return  # nothing tells days from months
    values = pd.Series([WAYS[way](at) for at in stamps])
    kind = kind_of(values, "Timestamp")
    assert kind is not None
    np.testing.assert_allclose(np.diff(seconds(values, kind)), steps, atol=0.002)


def _record(rows: int = 40, runs: tuple[str, ...] = ("r1", "r2", "r10")) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame(
            {"time": BEGIN + pd.to_timedelta(np.arange(rows) * 60, "s"), "run": run, "flow": rng.normal(size=rows)}
        )
        for run in runs
    ]
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("order", ["shuffled", "reversed"])
def test_any_order_of_the_file_gives_the_same_rows_and_a_note(tmp_path: Path, order: str) -> None:
    record = _record()
    other = record.sample(frac=1, random_state=3) if order == "shuffled" else record.iloc[::-1]
    sorted_, again = _read(tmp_path, record, group="run"), _read(tmp_path, other, group="run")
    pd.testing.assert_frame_equal(sorted_.frame, again.frame)
    assert any("not in time order in 3 of 3 runs: sorted by `time`" in note for note in again.notes)
    assert not any("sorted" in note for note in sorted_.notes)
    assert sorted_.frame["run"].unique().tolist() == ["r1", "r2", "r10"]
    # A row's number stays that of the file.
    np.testing.assert_array_equal(other["flow"].to_numpy()[again.row_numbers - 1], again.frame["flow"])


def test_gaps_and_mixed_sampling_are_found_and_said(tmp_path: Path) -> None:
    record = _record(60, ("r1",))
    record.loc[30:, "time"] += pd.Timedelta(days=3)
    table = _read(tmp_path, record)
    clock = Clock.of(table)
    assert clock is not None
    assert (clock.step, clock.unit) == (60, (60, "min"))
    assert any("1 gaps of more than 5 min" in note for note in table.notes)
    found = table.stamps
    assert found is not None
    assert np.flatnonzero(np.diff(clock.gaps(table.runs, found[1]))).tolist() == [29]
    slow = record.iloc[:30].assign(time=BEGIN + pd.to_timedelta(np.arange(30), "h") - pd.Timedelta(days=9))
    mixed = _read(tmp_path, pd.concat([slow, record.iloc[:30]]))
    assert any("The time between rows varies" in note for note in mixed.notes)


def test_the_end_of_summer_time_and_midnight_go_forward(tmp_path: Path) -> None:
    utc = pd.date_range("2026-10-24 23:30", periods=180, freq="min", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").tz_localize(None)
    table = _read(tmp_path, pd.DataFrame({"time": local.astype(str), "flow": np.arange(180.0)}))
    assert table.frame["flow"].tolist() == list(range(180))
    assert any("end of summer time" in note for note in table.notes)
    clocks = pd.Series(pd.date_range("2026-01-01 23:00", periods=120, freq="min").strftime("%H:%M:%S"))
    table = _read(tmp_path, pd.DataFrame({"time": clocks, "flow": np.arange(120.0)}))
    assert table.frame["flow"].tolist() == list(range(120))
    assert any("midnight passed" in note for note in table.notes)


def test_what_is_unclear_about_times_is_named(tmp_path: Path) -> None:
    record = _record(20, ("r1",)).astype({"time": str})
    record.loc[3, "time"] = "Bad"
    table = _read(tmp_path, record)
    assert len(table.frame) == 19
    assert any("1 row has no time in `time` that can be read (`Bad`): left out" in note for note in table.notes)
    assert table.row_numbers.tolist() == [1, 2, 3, *range(5, 21)]
    record = _record(20, ("r1",))
    twice = pd.concat([record, record.iloc[[5]], record.iloc[[7]].assign(flow=9.0)])
    notes = " ".join(_read(tmp_path, twice).notes)
    assert "1 rows repeat another row of their run in everything" in notes
    assert "1 rows have the same time as the row before" in notes
    record["time"] = "later"
    assert any("could not be understood as times" in note for note in _read(tmp_path, record).notes)


def test_most_times_unreadable_is_refused(tmp_path: Path) -> None:
    record = _record(20, ("r1",)).astype({"time": str})
    record["time"] = ["2026-01-01 10:00"] * 8 + ["later"] * 12
    with pytest.raises(DataError, match=r"12 of 20 values of `time` are no times \(`later`\): name another --time COL"):
        _read(tmp_path, record)


def test_spans_are_read_and_written_as_people_do() -> None:
    assert [seconds_of(text) for text in ("30s", "10 min", "1,5h", "7 days")] == [30, 600, 5400, 604800]
    assert [span_text(value) for value in (0.5, 90, 7200, 259200)] == ["0.5 s", "1.5 min", "2 h", "3 d"]
    for wrong in ("10", "min", "-5min", "0h", "5 fortnights"):
        with pytest.raises(UserError, match=r"30s, 10min, 24h|longer than nothing"):
            seconds_of(wrong)


def test_rows_of_one_time_keep_their_order(tmp_path: Path) -> None:
    """Five rows a second with stamps in whole seconds, of a file in order: with labels and without."""
    rows = pd.DataFrame({"time": np.repeat(pd.date_range("2026-01-01", periods=8, freq="s"), 5), "x": np.arange(40)})
    rows.assign(fault=["a", "b"] * 20).to_csv(tmp_path / "known.csv", index=False)
    rows.to_csv(tmp_path / "new.csv", index=False)
    for name, target in (("known", "fault"), ("new", None)):
        table = read_source(tmp_path / f"{name}.csv", time="time", target=target)
        assert table.frame["x"].tolist() == list(range(40))
        assert not any("not in time order" in note for note in table.notes)


def test_a_far_future_stays_in_the_future() -> None:
    kind = kind_of(pd.Series(["2026-01-01", "9999-12-31"]), "end")
    assert kind is not None
    first, last = seconds(pd.Series(["2026-01-01", "9999-12-31"]), kind)
    assert last > first + 7000 * 365 * 86400
