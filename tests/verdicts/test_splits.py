"""No run on both sides, every class on both sides, the gap kept; leaks between tables found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.leaks.overlap import shared
from faultwise.tables.reading.table import Roles, Table
from faultwise.verdicts.folds import folds
from faultwise.verdicts.splits import split
from faultwise.verdicts.stretches import stretches

QUICK = settings(deadline=None, max_examples=150)


@st.composite
def runs_with_onset(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two to four runs of each of some faults, normal before the onset; rows of the runs may interleave."""
    y: list[str] = []
    groups: list[str] = []
    for fault in range(draw(st.integers(1, 4))):
        for number in range(draw(st.integers(2, 4))):
            before, after = draw(st.integers(0, 5)), draw(st.integers(1, 6))
            y += ["0"] * before + [str(fault)] * after
            groups += [f"{fault}/{number}"] * (before + after)
    order = np.arange(len(y))
    if draw(st.booleans()):
        order = np.random.default_rng(draw(st.integers(0, 99))).permutation(len(y))
    return np.array(y, dtype=object)[order], np.array(groups, dtype=object)[order]


@QUICK
@given(runs_with_onset(), st.floats(0.05, 0.95), st.integers(0, 2**32))
def test_whole_runs(data: tuple[np.ndarray, np.ndarray], fraction: float, seed: int) -> None:
    y, groups = data
    train, held, notes = split(y, groups, "group", fraction, seed)
    assert not set(groups[train]) & set(groups[held])
    assert set(y[train]) == set(y[held]) == set(y)
    assert sorted([*train, *held]) == list(range(len(y)))
    assert (np.diff(train) > 0).all()
    again = split(y, groups, "group", fraction, seed)
    assert np.array_equal(train, again[0])
    assert notes == again[2]


@QUICK
@given(runs_with_onset(), st.floats(0.05, 0.95), st.integers(0, 3), st.booleans())
def test_blocks_keep_the_gap(data: tuple[np.ndarray, np.ndarray], fraction: float, gap: int, named: bool) -> None:
    y, groups = data
    try:
        train, held, notes = split(y, groups if named else None, "block", fraction, 0, gap=gap)
    except DataError:
        # Only tables with classes of short stretches may be refused.
        ids = stretches(groups if named else np.zeros(len(y)), y)
        longest = [np.unique(ids[y == label], return_counts=True)[1].max() for label in set(y)]
        assert min(longest) < 2 * gap + 2
        return
    assert "optimistic" in notes[0]
    assert set(y[train]) == set(y)
    missing = set(y) - set(y[held])
    assert all(f"`{label}`" in notes[-1] for label in missing)
    assert bool(missing) == notes[-1].startswith("Too few")
    runs = groups if named else np.zeros(len(y))
    ids = stretches(runs, y)
    place = np.empty(len(y), dtype=int)
    for run in set(runs):
        where = np.flatnonzero(runs == run)
        place[where] = np.arange(len(where))
    for i in held:
        same = train[runs[train] == runs[i]]
        assert (np.abs(place[same] - place[i]) > gap).all()
        # Held-out rows are the end of their stretch, but where a class that is learnt from alone took rows back.
        assert missing or (place[train[ids[train] == ids[i]]] < place[i]).all()


@QUICK
@given(
    st.lists(st.sampled_from("abc"), min_size=2, max_size=40).filter(lambda y: min(y.count(x) for x in y) > 1),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_rows_at_random_are_stratified_and_warned_of(y: list[str], fraction: float, seed: int) -> None:
    labels = np.array(y, dtype=object)
    train, held, notes = split(labels, None, "row", fraction, seed)
    assert set(labels[train]) == set(labels[held]) == set(y)
    assert sorted([*train, *held]) == list(range(len(y)))
    assert notes[0].startswith("Warning")


def test_block_by_hand() -> None:
    y = np.array(["0"] * 10 + ["4"] * 10, dtype=object)
    train, held, _ = split(y, np.array(["r"] * 20, dtype=object), "block", 0.3, 0, gap=2)
    assert held.tolist() == [7, 8, 9, 17, 18, 19]
    assert train.tolist() == [0, 1, 2, 3, 4, 12, 13, 14]


def test_classes_shared_across_runs_are_still_placed() -> None:
    y = np.array(list("ABACBC" * 2), dtype=object)
    groups = np.array(["1", "1", "2", "2", "3", "3", "4", "4", "5", "5", "6", "6"], dtype=object)
    train, held, _ = split(y, groups, "group", 0.5, 1)
    assert set(y[train]) == set(y[held]) == set("ABC")


Y = np.array(["0", "0", "4", "4"], dtype=object)
G = np.array(["a", "a", "b", "b"], dtype=object)


@pytest.mark.parametrize(
    ("y", "groups", "kind", "fraction", "message"),
    [
        (Y, None, "group", 0.2, "--group COL.*--split row"),
        (Y, G, "group", 0.2, "`0`, `4` occurs in one run only.*--split block"),
        (Y, np.array(["a"] * 4, dtype=object), "group", 0.2, "one run"),
        (np.array(list("AABBAA"), dtype=object), np.array(list("112233"), dtype=object), "group", 0.3, "`B` occurs in"),
        (np.array(["0", "1"], dtype=object), None, "row", 0.2, "`0`, `1` has a single row"),
        (np.array(["0", "1"], dtype=object), None, "block", 0.2, "too short"),
        (Y, G, "random", 0.2, "no kind of split"),
        (Y, G, "row", 1.0, "fraction"),
        (Y, G[:2], "row", 0.5, "4 labels and 2 runs"),
        (Y[:0], None, "row", 0.5, "no rows"),
    ],
)
def test_splits_that_cannot_be(
    y: np.ndarray, groups: np.ndarray | None, kind: str, fraction: float, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split(y, groups, kind, fraction, 0)


def test_a_class_of_one_run_is_learnt_from_and_never_held_out() -> None:
    y = np.array(list("001100110022"), dtype=object)
    groups = np.array(list("aabbccddeeff"), dtype=object)
    for made, notes in (
        ([split(y, groups, "group", 0.3, 0)[:2]], split(y, groups, "group", 0.3, 0)[2]),
        folds(y, groups, "group", 3, 0),
    ):
        for train, held in made:
            assert set(y[train]) == set("012")
            assert not set(groups[train]) & set(groups[held])
            assert "f" not in groups[held]
        assert "Too few runs: `2` is learnt from" in notes[-1]
    assert sorted(np.concatenate([held for _, held in folds(y, groups, "group", 2, 0)[0]])) == list(range(10))


def test_the_only_row_of_a_class_is_learnt_from() -> None:
    y = np.array(list("000011112"), dtype=object)
    made, notes = folds(y, None, "row", 3, 0)
    assert all(8 in train and 8 not in held for train, held in made)
    assert sorted(np.concatenate([held for _, held in made])) == list(range(8))
    assert "Too few rows: `2`" in notes[-1]


def test_a_class_of_short_stretches_is_learnt_from() -> None:
    y = np.array(["0"] * 20 + ["1"] * 2 + ["2"] * 20, dtype=object)
    train, held, notes = split(y, np.zeros(42), "block", 0.3, 0, gap=4)
    assert set(y[train]) == set("012")
    assert set(y[held]) == {"0", "2"}
    assert "`1`" in notes[-1]


def test_one_record_holds_later_events_out_whole_with_rows_dropped_between() -> None:
    y = np.array((["0"] * 200 + ["1"] * 100) * 4, dtype=object)
    train, held, notes = split(y, None, "block", 0.25, 0)
    assert set(held) == set(range(900, 1200))
    assert train.max() == 889
    assert "2 later stretches of one label whole" in notes[0]
    assert "10 rows between them" in notes[1]


@QUICK
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("12345")), min_size=2, max_size=30),
    st.sampled_from(["group", "block", "row"]),
    st.integers(0, 4),
    st.integers(0, 9),
)
def test_whatever_the_classes_each_is_learnt_from(rows: list[tuple[str, str]], kind: str, gap: int, seed: int) -> None:
    y, groups = (np.array(column, dtype=object) for column in zip(*rows, strict=True))
    try:
        made, _ = folds(y, groups, kind, 3, seed, gap)
    except DataError:
        return
    for train, held in made:
        assert set(y[train]) == set(y)
        assert len(held)
        assert not set(train) & set(held)
        assert kind != "group" or not set(groups[train]) & set(groups[held])


def test_negative_gap() -> None:
    with pytest.raises(DataError, match="gap"):
        split(Y, G, "block", 0.5, 0, gap=-1)


def test_stretches() -> None:
    groups = np.array(list("aabab"), dtype=object)
    assert stretches(groups).tolist() == [0, 0, 1, 0, 1]
    assert stretches(groups, np.array(list("00040"), dtype=object)).tolist() == [0, 0, 2, 1, 2]
    assert stretches(np.zeros(0)).shape == (0,)
    with pytest.raises(DataError):
        stretches(groups, np.array(["0"]))


def table(rows: int, seed: int, source: str) -> Table:
    frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 3)), columns=list("xyz"))
    frame["word"] = ["on", None] * (rows // 2)
    frame["run"] = ["1", "2"] * (rows // 2)
    return Table(frame=frame, roles=Roles(group="run"), source=source)


def test_shared_finds_equal_runs_and_rows() -> None:
    a = table(20, 0, "a")
    said = shared(a, replace(a, source="b"))
    assert said[0].startswith("Leak: 2 runs are in both")
    assert said[1].startswith("Leak: 20 of 20 rows")


def test_same_names_of_runs_are_no_leak() -> None:
    (said,) = shared(table(20, 0, "a"), table(20, 1, "b"))
    assert "taken as different runs" in said
    assert "Leak" not in said


def test_shared_rows_whatever_the_type_of_their_columns() -> None:
    a = Table(frame=pd.DataFrame({"n": [1, 2, 3], "w": ["a", "b", None]}), source="a")
    b = Table(frame=pd.DataFrame({"w": pd.Series(["b", None], dtype=object), "n": [2.0, 4.0]}), source="b")
    assert shared(a, b) == ["Leak: 1 of 2 rows of `b` are also in `a`, value for value."]
    assert shared(a, Table(frame=pd.DataFrame({"other": [1.0]}), source="c")) == []


def test_braatz_parts_share_nothing(data_root) -> None:  # type: ignore[no-untyped-def]
    from faultwise.tables.reading.benchmarks.braatz import read_braatz

    folder = data_root / "tep-braatz"
    assert shared(read_braatz(folder, faults=[0, 1]), read_braatz(folder, "test", [0, 1])) == []
