"""Windows, against a slow and obvious implementation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError
from faultwise.tables.fit.features.windows import WINDOW_MEASURES, WindowEncoder


def _slow(values: pd.Series, stretches: np.ndarray, window: int) -> pd.DataFrame:
    """One window after the other, with pandas; NaN where the window is not full."""
    steps = np.arange(window)
    what = {
        "value": lambda w: w.iloc[-1],
        "mean": lambda w: w.mean(),
        "spread": lambda w: w.std(ddof=1),
        "jitter": lambda w: w.diff().dropna().std(ddof=0),
        "slope": lambda w: np.polyfit(steps, w, 1)[0],
    }
    rolled = values.groupby(stretches).rolling(window)
    made = {
        name: rolled.apply(one, raw=False).reset_index(level=0, drop=True).sort_index() for name, one in what.items()
    }
    return pd.DataFrame(made)


@st.composite
def _runs(draw: st.DrawFn) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Rows of up to four stretches, interleaved at will, and a window."""
    stretches = np.array(draw(st.lists(st.integers(0, 3), min_size=2, max_size=24)))
    number = st.floats(-1e4, 1e4, width=32)
    values = draw(st.lists(number, min_size=len(stretches), max_size=len(stretches)))
    offset = draw(st.sampled_from([0.0, 1e5]))
    frame = pd.DataFrame({"a": np.array(values) + offset, "b": np.arange(len(stretches)) % 3 * 1.0})
    return frame, stretches, draw(st.integers(2, 6))


@settings(max_examples=60, deadline=None)
@given(_runs())
def test_features_are_those_of_the_slow_way(case: tuple[pd.DataFrame, np.ndarray, int]) -> None:
    frame, stretches, window = case
    columns = WindowEncoder(window).fit(pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 1.0]}))
    made = columns.transform(frame, stretches)
    assert list(made.frame.columns) == [f"{m}({c})" for m in WINDOW_MEASURES for c in "ab"]
    for column in "ab":
        slow = _slow(frame[column], stretches, window)
        full = slow.index[slow["value"].notna()]
        assert made.rows.tolist() == full.tolist() == columns.full(stretches).tolist()
        size = max(1.0, float(frame[column].abs().max()))
        for measure in WINDOW_MEASURES:
            # float32 keeps seven digits of the value itself; slopes and spreads lose the common offset first.
            expected = slow.loc[full, measure].to_numpy()
            np.testing.assert_allclose(made.frame[f"{measure}({column})"], expected, rtol=1e-4, atol=2e-6 * size)


@settings(max_examples=40, deadline=None)
@given(_runs(), st.data())
def test_chosen_rows_are_those_of_the_whole(case: tuple[pd.DataFrame, np.ndarray, int], data: st.DataObject) -> None:
    frame, stretches, window = case
    encoder = WindowEncoder(window).fit(pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 1.0]}))
    whole = encoder.transform(frame, stretches)
    only = np.array(sorted(data.draw(st.sets(st.integers(0, len(frame) - 1)))), dtype=int)
    some = encoder.transform(frame, stretches, only)
    kept = np.isin(whole.rows, only)
    assert some.rows.tolist() == whole.rows[kept].tolist()
    pd.testing.assert_frame_equal(some.frame, whole.frame[kept].reset_index(drop=True), check_exact=True)


@settings(max_examples=30, deadline=None)
@given(_runs(), st.floats(-1e4, 1e4, width=32))
def test_no_window_sees_another_stretch(case: tuple[pd.DataFrame, np.ndarray, int], value: float) -> None:
    """Whatever happens in one stretch leaves the features of the others untouched to the last bit."""
    frame, stretches, window = case
    encoder = WindowEncoder(window).fit(pd.DataFrame({"a": [0.0, 1.0], "b": [0.0, 1.0]}))
    changed = frame.assign(a=frame["a"].where(stretches != stretches[0], value))
    before, after = encoder.transform(frame, stretches), encoder.transform(changed, stretches)
    others = stretches[before.rows] != stretches[0]
    pd.testing.assert_frame_equal(before.frame[others], after.frame[others], check_exact=True)


def test_interleaved_runs_are_put_together() -> None:
    frame = pd.DataFrame({"a": [1.0, 100.0, 2.0, 300.0, 3.0, 500.0]})
    made = WindowEncoder(3).fit(frame).transform(frame, np.array([0, 1, 0, 1, 0, 1]))
    assert made.rows.tolist() == [4, 5]
    assert made.frame["slope(a)"].tolist() == [1.0, 200.0]
    assert made.frame["jitter(a)"].tolist() == [0.0, 0.0]


def test_chunks_of_a_long_run_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    from faultwise.tables.fit.features import windows

    frame = pd.DataFrame({"a": np.random.default_rng(0).normal(size=50)})
    encoder, one = WindowEncoder(4).fit(frame), np.zeros(50, int)
    whole = encoder.transform(frame, one)
    monkeypatch.setattr(windows, "_CHUNK", 7)
    pieces = encoder.transform(frame, one)
    assert pieces.rows.tolist() == whole.rows.tolist() == list(range(3, 50))
    np.testing.assert_allclose(pieces.frame, whole.frame, rtol=1e-5, atol=1e-6)


def test_gaps_take_the_median_of_training() -> None:
    training = pd.DataFrame({"a": [1.0, 2.0, 9.0, np.nan], "state": ["on", "off", "on", None]})
    encoder = WindowEncoder(2).fit(training)
    new = pd.DataFrame({"a": [4.0, np.nan, np.inf], "state": ["on", None, "off"]})
    made = encoder.transform(new, np.zeros(3, int))
    assert made.frame["value(a)"].tolist() == [2.0, 2.0]
    assert made.frame["mean(a)"].tolist() == [3.0, 2.0]
    assert made.frame[["is(state=off)", "is(state=on)"]].to_numpy().tolist() == [[0.0, 0.0], [1.0, 0.0]]


def test_categories_enter_with_their_last_value() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "state": ["on", "off", "on"]})
    made = WindowEncoder(2).fit(frame).transform(frame, np.zeros(3, int))
    assert [name for name in made.frame if "state" in name] == ["is(state=off)", "is(state=on)"]
    assert made.frame["is(state=on)"].tolist() == [0.0, 1.0]


def test_no_full_window_gives_no_rows() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    made = WindowEncoder(3).fit(frame).transform(frame, np.zeros(2, int))
    assert made.rows.tolist() == []
    assert made.frame.shape == (0, len(WINDOW_MEASURES))
    with pytest.raises(DataError, match="window is 0"):
        WindowEncoder(0).fit(frame)
