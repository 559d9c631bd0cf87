"""Windows by duration, across gaps, chosen by themselves; the same verdicts for any order of rows and for streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.errors import UserError
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.reading import batches
from faultwise.tables.reading.table import Roles, Table

FAST = ("logistic-regression",)
ROLES = {"target": "fault", "group": "run", "time": "time"}


def _pump(runs: int = 8, rows: int = 60, seed: int = 0, step: str = "10s") -> pd.DataFrame:
    """Runs of a pump: correlated noise, an offset of each run; in the second half flow varies more: a leak."""
    rng = np.random.default_rng(seed)
    frames = []
    for run in range(runs):
        noise = rng.normal(size=(rows, 2))
        for at in range(1, rows):
            noise[at] += 0.6 * noise[at - 1]
        leak = np.arange(rows) >= rows // 2
        noise[leak, 0] += rng.normal(size=leak.sum()) * 1.5
        values = noise + rng.normal(0, 0.6, 2)
        times = (
            pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(rows) * pd.Timedelta(step)) + pd.Timedelta(days=run)
        )
        made = {"time": times, "run": f"r{run}", "flow": values[:, 0], "level": values[:, 1]}
        frames.append(pd.DataFrame({**made, "fault": np.where(leak, "leak", "normal")}))
    return pd.concat(frames, ignore_index=True)


@pytest.mark.parametrize("window", [5, "1min"])
def test_sorted_shuffled_and_reversed_files_give_identical_verdicts(tmp_path: Path, window: int | str) -> None:
    train, test = _pump(), _pump(4, seed=1)
    figures = []
    for order in (lambda one: one, lambda one: one.sample(frac=1, random_state=5), lambda one: one.iloc[::-1]):
        order(train).to_csv(tmp_path / "train.csv", index=False)
        order(test).to_csv(tmp_path / "test.csv", index=False)
        made = Diagnoser(experts=FAST, window=window).fit(tmp_path / "train.csv", **ROLES)
        rows = made.diagnose(tmp_path / "test.csv")
        figures.append((made.evaluate(tmp_path / "test.csv").figures["verdict"], [case.verdict for case in rows.cases]))
    assert figures[0] == figures[1] == figures[2]


@pytest.mark.parametrize("large", [False, True])
def test_a_line_per_row_is_the_same_from_unsorted_files(
    tmp_path: Path, large: bool, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Any]
) -> None:
    train, test = _pump(), _pump(3, seed=1).drop(columns="fault")
    train.sample(frac=1, random_state=5).to_parquet(tmp_path / "shuffled.parquet")
    train.to_parquet(tmp_path / "train.parquet")
    test.to_csv(tmp_path / "test.csv", index=False)
    order = np.random.default_rng(0).permutation(len(test))
    test.iloc[order].to_csv(tmp_path / "mixed.csv", index=False)
    lines = {}
    with monkeypatch.context() as patched:
        if large:  # fits on samples of large sources are put in time order, too
            patched.setattr(batches, "_LARGE_CELLS", 10)
        for source in ("train.parquet", "shuffled.parquet"):
            made = Diagnoser(experts=FAST, window=5).fit(tmp_path / source, **ROLES)
            made.save(tmp_path / "run")
            lines[source] = made.model_.fitted.encoder.learnt.medians, made.diagnose(tmp_path / "test.csv").cases
    assert lines["train.parquet"] == lines["shuffled.parquet"]
    found = {}
    for source in ("test", "mixed"):
        out = tmp_path / f"{source}-rows.csv"
        ran = cli("diagnose", tmp_path / "run", tmp_path / f"{source}.csv", "--out", out, "--json")
        assert ran.code == 0, ran.err
        assert "unknown" not in ran.out
        found[source] = pd.read_csv(out)
    mixed = found["mixed"].assign(row=order[found["mixed"]["row"] - 1] + 1).sort_values("row", ignore_index=True)
    pd.testing.assert_frame_equal(mixed, found["test"])
    assert len(mixed) == 3 * (60 - 4)


def test_one_record_without_runs_has_windows(tmp_path: Path) -> None:
    rows = _pump(1, rows=1200)
    rows["fault"] = np.where(np.arange(1200) // 100 % 2, "leak", "normal")
    rows.loc[rows["fault"] == "leak", "flow"] += 4
    rows.drop(columns="run").to_csv(tmp_path / "record.csv", index=False)
    for window in ("auto", "1min", 5):
        made = Diagnoser(experts=FAST, window=window).fit(tmp_path / "record.csv", target="fault", time="time")
        assert made.model_.fitted.record["split"] == "block"
        assert made.evaluate(tmp_path / "record.csv").figures["verdict"]["mean_recall"] > 0.9
    assert made.model_.fitted.encoder.window == 5


def test_rows_in_memory_get_their_own_verdict_in_any_order() -> None:
    made = Diagnoser(experts=FAST, window="1min").fit(_pump(), **ROLES)
    test = _pump(3, seed=2).drop(columns="fault")
    p = made.predict_proba(test, groups=test["run"])
    order = np.random.default_rng(0).permutation(len(test))
    mixed = test.iloc[order].reset_index(drop=True)
    np.testing.assert_array_equal(made.predict_proba(mixed, groups=mixed["run"]), p[order])


def test_no_window_crosses_a_gap_and_slopes_are_per_unit_of_time() -> None:
    times = pd.Timestamp("2026-01-01") + pd.to_timedelta([0, 60, 120, 180, 9000, 9060, 9120], "s")
    frame = pd.DataFrame({"time": times, "level": [0.0, 2.0, 4.0, 6.0, 50.0, 51.0, 52.0]})
    table = Table(frame, Roles(time="time"))
    encoder = encoder_of(3, table).fit(table.X)
    pieces, at = encoder.laid_out(table)
    made = encoder.transform(table.X, pieces, at=at)
    assert made.rows.tolist() == [2, 3, 6]
    assert made.frame["slope(level)"].tolist() == [2.0, 2.0, 1.0]  # per minute
    assert encoder.clock is not None
    assert encoder.clock.unit[1] == "min"


def test_windows_by_duration_hold_what_lies_within_it() -> None:
    """Sampled every second, then every ten seconds: the same slope per second, from as many samples as there are."""
    at = np.r_[np.arange(0, 60), np.arange(60, 300, 10)].astype(float)
    frame = pd.DataFrame({"time [s]": at, "level": 3 * at})
    table = Table(frame, Roles(time="time [s]"))
    encoder = encoder_of("40s", table).fit(table.X)
    pieces, seconds = encoder.laid_out(table)
    made = encoder.transform(table.X, pieces, at=seconds)
    assert made.rows[0] == 39  # forty samples of a second
    np.testing.assert_allclose(made.frame["slope(level)"] / encoder.clock.unit[0], 3.0, rtol=1e-5)  # type: ignore[union-attr]
    np.testing.assert_allclose(made.frame["mean(level)"].iloc[-1], 3 * np.mean([260, 270, 280, 290]), rtol=1e-6)


@pytest.mark.parametrize("window", [4, "1min"])
def test_a_stream_gives_what_the_table_gives_across_gaps(window: int | str) -> None:
    made = Diagnoser(experts=FAST, window=window).fit(_pump(), **ROLES)
    test = _pump(2, seed=3).drop(columns="fault")
    test.loc[30:59, "time"] += pd.Timedelta(hours=5)
    whole = made.predict_proba(test, groups=test["run"])
    stream = made.stream(every=True)
    lines = pd.concat([stream.push(test.iloc[start : start + 7]) for start in range(0, len(test), 7)])
    known = ~np.isnan(whole).any(axis=1)
    assert lines["row"].tolist() == (np.flatnonzero(known) + 1).tolist()
    got = lines[[f"p({label})" for label in made.classes_]].to_numpy()
    np.testing.assert_allclose(got, whole[known].astype(np.float32), rtol=1e-5)
    assert not known[30:33].any()


def test_the_window_is_chosen_where_it_helps_and_said() -> None:
    made = Diagnoser(experts=FAST).fit(_pump(12, 80), **ROLES)
    assert made.model_.fitted.encoder.window > 1
    assert len(made.model_.fitted.record["windows_tried"]) >= 3
    assert any("were chosen on held-out runs" in note for note in made.model_.notes)
    rng = np.random.default_rng(0)
    single = _pump(12, 80).assign(flow=lambda one: rng.normal(size=len(one)) + 3 * (one["fault"] == "leak"), level=0.0)
    single["level"] = rng.normal(size=len(single))
    single["fault"] = rng.permutation(single["fault"])
    single["flow"] = rng.normal(size=len(single)) + 6 * (single["fault"] == "leak")
    assert Diagnoser(experts=FAST).fit(single, **ROLES).model_.fitted.encoder.window == 1


def test_a_duration_without_times_or_units_is_refused_with_the_way_out() -> None:
    train = _pump()
    with pytest.raises(UserError, match=r"needs the time of each row: pass --time COL"):
        Diagnoser(experts=FAST, window="1min").fit(train.drop(columns="time"), target="fault", group="run")
    counted = train.assign(time=np.tile(np.arange(60.0), 8))
    with pytest.raises(UserError, match=r"name it in the header, such as `time \[s\]`"):
        Diagnoser(experts=FAST, window="1min").fit(counted, **ROLES)
    with pytest.raises(UserError, match=r"holds less than two rows, which come every 10 s"):
        Diagnoser(experts=FAST, window="12s").fit(train, **ROLES)
    with pytest.raises(UserError, match=r"expected a number, 10min or auto"):
        Diagnoser(experts=FAST, window="soon").fit(train, **ROLES)
