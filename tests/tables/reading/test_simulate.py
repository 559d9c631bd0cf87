"""Simulated Tennessee Eastman runs: repeatable, independent of each other, with the right labels."""

from __future__ import annotations

import builtins
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from faultwise.contracts.errors import DataError, UserError
from faultwise.tables.reading.benchmarks.simulate import VARIABLES, simulate


@pytest.fixture(scope="module")
def plant() -> Iterator[None]:
    """Skip without the simulator; shorten the start-up, which costs most of the time, for these tests."""
    pytest.importorskip("tep_studio", reason="the extra `simulate` (tep-studio) is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("faultwise.tables.reading.benchmarks.simulate._START_UP_H", 0.5)
        yield


@pytest.fixture(scope="module")
def pair(plant: None) -> pd.DataFrame:
    """Two runs of fault 4 and two of normal operation, 2.2 h each."""
    return simulate([4, 0], runs=2, hours=2.2, seed=7, workers=1)


def test_columns_runs_and_sampling(pair):
    assert list(pair.columns) == ["run", "hour", *VARIABLES, "fault"]
    assert list(pair["run"].unique()) == ["fault04-run01", "fault04-run02", "fault00-run01", "fault00-run02"]
    for _, run in pair.groupby("run"):
        np.testing.assert_allclose(run["hour"], np.arange(1, 45) * 0.05, atol=1e-6)
    assert np.isfinite(pair[list(VARIABLES)].to_numpy()).all()


def test_a_run_does_not_depend_on_the_others_or_on_processes(pair):
    # In two worker processes, with other faults and more runs around it.
    more = simulate([1, 4], runs=2, hours=2.2, seed=7, workers=2)
    for name in ("fault04-run01", "fault04-run02"):
        expected = pair[pair["run"] == name].reset_index(drop=True)
        pd.testing.assert_frame_equal(more[more["run"] == name].reset_index(drop=True), expected)


def test_runs_and_seeds_differ(pair):
    first, second = (pair.loc[pair["run"] == f"fault00-run0{i}", "XMEAS(1)"].to_numpy() for i in (1, 2))
    assert not np.allclose(first, second)
    other = simulate([0], runs=1, hours=1, seed=8)["XMEAS(1)"].to_numpy()
    assert not np.allclose(first[:20], other)


def test_labels_start_after_the_onset(pair):
    faulty = pair[pair["run"].str.startswith("fault04")]
    onset = faulty[faulty["fault"] == 4].groupby("run")["hour"].min() - 0.05
    assert onset.between(0.999, 2.001).all()
    assert set(faulty["fault"]) == {0, 4}
    assert (pair.loc[pair["run"].str.startswith("fault00"), "fault"] == 0).all()


def test_start_up_is_discarded(plant, monkeypatch):
    monkeypatch.setattr("faultwise.tables.reading.benchmarks.simulate._START_UP_H", 0.0)
    whole = simulate([0], runs=1, hours=1, seed=7, workers=1)
    monkeypatch.setattr("faultwise.tables.reading.benchmarks.simulate._START_UP_H", 0.5)
    rest = simulate([0], runs=1, hours=0.5, seed=7, workers=1)
    columns = list(VARIABLES)
    pd.testing.assert_frame_equal(rest[columns], whole[columns].iloc[10:].reset_index(drop=True))


def test_a_fixed_onset_acts_after_its_row_and_not_before(plant):
    early = simulate([4], runs=1, hours=1, onset=0.5, seed=3, interval_minutes=6)
    late = simulate([4], runs=1, hours=1, onset=0.8, seed=3, interval_minutes=6)
    assert early["fault"].tolist() == [0] * 5 + [4] * 5
    assert late["fault"].tolist() == [0] * 8 + [4] * 2
    np.testing.assert_allclose(early["hour"], np.arange(1, 11) * 0.1)
    columns = list(VARIABLES)
    pd.testing.assert_frame_equal(early[columns].iloc[:5], late[columns].iloc[:5])
    # Warmer cooling water: the controller opens the reactor's cooling valve.
    assert early["XMV(10)"].iloc[-1] > late["XMV(10)"].iloc[7] + 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"faults": [29]}, "Unknown TEP fault `29`"),
        ({"faults": [-1, 4]}, "Unknown TEP fault `-1`"),
        ({"faults": ["4"]}, "Unknown TEP fault `4`"),
        ({"faults": [2.5]}, "Unknown TEP fault"),
        ({"faults": []}, "No fault"),
        ({"runs": 0}, "0 runs"),
        ({"hours": 0}, "positive number of hours"),
        ({"hours": float("nan")}, "positive number of hours"),
        ({"hours": 0.01}, "shorter than one interval"),
        ({"onset": 8}, "below it"),
        ({"onset": -0.5}, "0 or more"),
        ({"hours": 2}, "pass `onset`"),
        ({"interval_minutes": 0}, "sampling interval"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_input_is_named(wrong, message):
    with pytest.raises(DataError, match=message):
        simulate(**{"faults": [4], "runs": 1, **wrong})


def test_bad_worker_count(plant):
    with pytest.raises(DataError, match="at least 1"):
        simulate([0], runs=1, workers=0)


def test_without_the_extra(monkeypatch):
    real = builtins.__import__

    def absent(name: str, *rest: object) -> object:
        if name.startswith("tep_studio"):
            raise ImportError("No module named 'tep_studio'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r'pip install "faultwise\[simulate\]"'):
        simulate([0], runs=1)
