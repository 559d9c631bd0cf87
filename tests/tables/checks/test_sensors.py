"""Sensor faults of each kind are named, machine faults are not, unusual input, state without pickle, data drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from faultwise.contracts.errors import DataError, RunFolderError
from faultwise.tables.checks.data_drift import PSI_LIMIT, drift_of_data, summary_of
from faultwise.tables.checks.sensors.sensor_check import SensorCheck, SensorFault
from faultwise.tables.checks.sensors.signs import longest_holds, spikes

ROWS = 96


def _process(runs: int, seed: int, fault: bool = False) -> list[pd.DataFrame]:
    """Runs of a small process: two slow causes seen by six sensors; `gas` is analysed every third sample.

    A machine fault lets the first cause run away, with everything that follows it.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(runs):
        cause = rng.normal(size=(ROWS, 2)).cumsum(axis=0) * 0.1 + rng.normal(size=2)
        if fault:
            cause[30:, 0] += 0.08 * np.arange(ROWS - 30) * rng.choice([-1, 1])
        one, two = cause.T
        noise = rng.normal(size=(ROWS, 6)) * 0.2
        values = np.c_[one, one + two, one - two, two, 0.5 * one, two - 0.3 * one] + noise
        values[:, 5] = values[np.arange(ROWS) // 3 * 3, 5]
        frame = pd.DataFrame(values, columns=["flow", "level", "temp", "speed", "load", "gas"])
        made.append(frame * [1, 5, 2, 10, 1, 1] + [10, 50, 300, 1000, 14, 0])
    return made


def _table(frames: list[pd.DataFrame]) -> tuple[pd.DataFrame, np.ndarray]:
    return pd.concat(frames, ignore_index=True), np.repeat(np.arange(len(frames)), ROWS)


@pytest.fixture(scope="module")
def check() -> SensorCheck:
    X, runs = _table([*_process(40, 1), *_process(40, 2, fault=True)])
    return SensorCheck().fit(X, runs, normal=np.arange(len(X)) < 40 * ROWS)


def _named(faults: list[SensorFault]) -> list[tuple[str, str]]:
    return [(fault.variable, fault.kind) for fault in faults]


def _one(check: SensorCheck, frame: pd.DataFrame) -> list[SensorFault]:
    return check.check(frame, np.zeros(ROWS))


@pytest.mark.parametrize("fault", [False, True])
def test_clean_runs_are_rarely_reported(check: SensorCheck, fault: bool) -> None:
    X, runs = _table(_process(60, 11, fault))
    assert len({found.run for found in check.check(X, runs)}) <= 9


@pytest.mark.parametrize("fault", [False, True])
def test_a_frozen_sensor(check: SensorCheck, fault: bool) -> None:
    for frame in _process(5, 12, fault):
        frame.loc[50:, "gas"] = frame.loc[50, "gas"]
        (found, *_) = _one(check, frame)
        assert (found.variable, found.kind, found.last) == ("gas", "frozen", ROWS)
        assert 49 <= found.first <= 51  # the analyser held the same value before it froze
        assert "held no value for more than 3" in found.sentence


def test_a_hold_as_in_training_is_no_frozen_sensor(check: SensorCheck) -> None:
    frame = _process(1, 13)[0]
    frame.loc[30:35, "gas"] = frame.loc[30, "gas"]  # six, where three were usual
    frame.loc[60:66, "flow"] = frame.loc[60, "flow"]  # seven, where one was
    assert [found.variable for found in _one(check, frame) if found.kind == "frozen"] == ["flow"]


@pytest.mark.parametrize("fault", [False, True])
def test_single_samples_far_out(check: SensorCheck, fault: bool) -> None:
    for frame in _process(5, 14, fault):
        frame.loc[[20, 41, 77], "level"] += [40.0, -40.0, 40.0]
        (found,) = [found for found in _one(check, frame) if found.kind != "drifting"]
        assert (found.variable, found.kind, found.first, found.last) == ("level", "spiking", 21, 78)
        assert "3 single samples" in found.sentence


def test_a_jump_that_several_see_is_the_machine(check: SensorCheck) -> None:
    frame = _process(1, 15)[0]
    frame.loc[41, ["flow", "level", "temp"]] += [8, 40, 16]
    assert "spiking" not in [fault.kind for fault in _one(check, frame)]


@pytest.mark.parametrize("fault", [False, True])
@pytest.mark.parametrize("pair", [("flow", "speed"), ("load", "flow"), ("temp", "gas")])
def test_swapped_sensors_are_both_named(check: SensorCheck, pair: tuple[str, str], fault: bool) -> None:
    for frame in _process(3, 16, fault):
        one, two = pair
        found = _one(check, frame.assign(**{one: frame[two], two: frame[one]}))[0]
        assert (found.kind, {found.variable, found.other}) == ("swapped", set(pair))
        assert (found.first, found.last) == (1, ROWS)


def test_sensors_that_read_alike_are_not_told_apart() -> None:
    frames = [frame.assign(again=frame["flow"] + 0.01) for frame in _process(40, 17)]
    made = SensorCheck().fit(*_table(frames))
    other = _process(1, 18)[0].assign(again=lambda rows: rows["flow"] + 0.01)
    swapped = other.assign(flow=other["again"], again=other["flow"])
    assert "swapped" not in [fault.kind for fault in _one(made, swapped)]


def test_out_of_range(check: SensorCheck) -> None:
    frame = _process(1, 19)[0]
    frame.loc[40:, "temp"] = 900 + np.random.default_rng(0).normal(size=ROWS - 40)
    assert _named(_one(check, frame)) == [("temp", "out of range")]


@pytest.mark.parametrize(("fault", "fewest"), [(False, 9), (True, 9)])
def test_a_sensor_that_drifts_away_from_the_others(check: SensorCheck, fault: bool, fewest: int) -> None:
    right = 0
    for frame in _process(12, 20, fault):
        frame.loc[30:, "level"] += 0.15 * np.arange(ROWS - 30)  # stays within what the machine fault itself reaches
        found = _one(check, frame)
        right += bool(found) and (found[0].variable, found[0].kind) == ("level", "drifting")
    assert right >= fewest


def test_missing_values_and_interleaved_runs(check: SensorCheck) -> None:
    clean, frozen = _process(2, 21)
    frozen.loc[40:, "speed"] = frozen.loc[40, "speed"]
    frozen.loc[::7, ["speed", "flow"]] = np.nan
    clean["load"] = np.nan
    order = np.arange(2 * ROWS).reshape(2, ROWS).T.ravel()
    X = pd.concat([clean, frozen], ignore_index=True).iloc[order]
    found = check.check(X.assign(extra="text"), np.repeat(["a", "b"], ROWS)[order])
    assert [(f.run, f.variable, f.kind) for f in found if f.kind != "drifting"] == [("b", "speed", "frozen")]
    assert {fault.variable for fault in found} <= {"speed", "level", "temp", "flow", "gas"}


def test_a_long_run_is_checked_piece_by_piece_and_reported_once(check: SensorCheck) -> None:
    frame = pd.concat(_process(3, 22), ignore_index=True).iloc[: 2 * ROWS + 40]
    frame.loc[[50, 150, 220], "speed"] += 400.0
    (found,) = [f for f in check.check(frame, np.zeros(len(frame))) if f.kind == "spiking"]
    assert (found.variable, found.first, found.last) == ("speed", 51, 221)


def test_state_travels_without_pickle(check: SensorCheck, tmp_path: Path) -> None:
    arrays, state = check.to_arrays()
    save_file(arrays, tmp_path / "sensors.safetensors")
    again = SensorCheck.from_arrays(load_file(tmp_path / "sensors.safetensors"), json.loads(json.dumps(state)))
    X, runs = _table(_process(6, 23, fault=True))
    X.loc[60:90, "flow"] += 0.1 * np.arange(31)
    X.loc[ROWS + 40 :, "load"] = 14.0
    assert again.check(X, runs) == check.check(X, runs) != []


def test_constant_columns_and_few_runs_are_noted() -> None:
    X, runs = _table([frame.assign(idle=1.0) for frame in _process(3, 24)])
    made = SensorCheck().fit(X, runs)
    assert "constant columns are not checked: `idle`" in made.notes[0]
    assert "found 3 stretches of 96 rows" in made.notes[1]
    X.loc[20:, "flow"] = np.where(runs[20:] == 0, 11.0, X.loc[20:, "flow"])
    assert _named(made.check(X, runs)) == [("flow", "frozen")]


def test_what_cannot_be_checked(check: SensorCheck) -> None:
    frame = _process(1, 25)[0]
    runs = np.zeros(ROWS)
    with pytest.raises(DataError, match=r"1 of 6 sensors known .* missing: `flow`. Perhaps `Flow` is `flow`"):
        check.check(frame.rename(columns={"flow": "Flow"}), runs)
    with pytest.raises(DataError, match="these columns are not: `flow`"):
        check.check(frame.assign(flow="high"), runs)
    with pytest.raises(DataError, match="96 rows and 3 runs"):
        check.check(frame, runs[:3])
    with pytest.raises(DataError, match="96 rows and 3 marks"):
        SensorCheck().fit(frame, runs, runs[:3] == 0)
    with pytest.raises(DataError, match="varies"):
        SensorCheck().fit(frame[["flow"]] * 0, runs)
    with pytest.raises(RunFolderError, match="neither fitted nor loaded"):
        SensorCheck().check(frame, runs)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 6)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_holds_are_what_was_laid_down(pieces: list[tuple[int, int]]) -> None:
    values = np.concatenate([np.full(length, float(value)) for value, length in pieces])
    (longest,), (first,), (last,) = (part.tolist() for part in longest_holds(values[:, None]))
    assert last - first + 1 == longest
    assert len(set(values[first : last + 1])) == 1
    assert longest >= max(length for _, length in pieces)
    edges = values[max(first - 1, 0) : first].tolist() + values[last + 1 : last + 2].tolist()
    assert values[first] not in edges


def test_a_step_is_no_spike() -> None:
    values = np.r_[np.zeros(10), np.full(10, 9.0)][:, None]
    assert spikes(values, np.ones(1)).max() == 0
    values[5] = 4.0
    assert spikes(values, np.ones(1))[:, 0].argmax() == 5


def test_shifts_are_ranked_and_chance_is_allowed_for() -> None:
    rng = np.random.default_rng(3)
    before = pd.DataFrame({"a": rng.normal(size=4000), "b": rng.normal(size=4000), "c": 5.0, "name": "x"})
    summary = json.loads(json.dumps(summary_of(before)))
    now = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400) + 1.5, "c": 5.0})
    shifts = drift_of_data(summary, now)
    assert [(shift.variable, shift.shifted) for shift in shifts] == [("b", True), ("a", False), ("c", False)]
    assert shifts[0].limit == PSI_LIMIT < shifts[0].psi
    assert "`b` has shifted: index" in shifts[0].sentence
    # Few rows, and rows that follow one another closely, prove little.
    flagged = 0
    for _ in range(60):
        slow: Any = rng.normal(size=200)
        for at in range(1, 200):
            slow[at] = 0.8 * slow[at - 1] + 0.6 * slow[at]
        flagged += drift_of_data(summary, now.assign(b=0.0, a=np.resize(slow, 400)).iloc[:200])[1].shifted
    assert flagged <= 6


def test_a_constant_that_moved_and_values_that_went_missing_are_shifts() -> None:
    rng = np.random.default_rng(4)
    before = pd.DataFrame({"a": rng.normal(size=1000), "c": 5.0})
    summary = summary_of(before)
    now = pd.DataFrame({"a": rng.normal(size=200), "c": 5.1})
    now.loc[:120, "a"] = np.nan
    assert {shift.variable: shift.shifted for shift in drift_of_data(summary, now)} == {"a": True, "c": True}
    empty = drift_of_data(summary, now.assign(a=np.nan))
    assert next(shift for shift in empty if shift.variable == "a").median_now is None


def test_what_cannot_be_compared() -> None:
    summary = summary_of(pd.DataFrame({"a": [1.0, 2.0]}))
    with pytest.raises(DataError, match="missing: `a`"):
        drift_of_data(summary, pd.DataFrame({"b": [1.0]}))
    with pytest.raises(DataError, match="not numeric: `a`"):
        drift_of_data(summary, pd.DataFrame({"a": ["x"]}))
    with pytest.raises(DataError, match="no rows to compare"):
        drift_of_data(summary, pd.DataFrame({"a": np.zeros(0)}))
    with pytest.raises(DataError, match="no numeric column"):
        summary_of(pd.DataFrame({"a": ["x"]}))
    with pytest.raises(DataError, match="no rows to summarise"):
        summary_of(pd.DataFrame({"a": np.zeros(0)}))
