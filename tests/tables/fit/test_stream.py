"""Rows in pieces are judged as the whole table is: any cut, any window, several runs at once, over a restart."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError
from faultwise.tables.fit.stream import RowStream
from faultwise.tables.reading.table import Roles, Table

RULES = """
rules:
  - {name: Flow high, variable: flow, above: 12, for: 3}
  - {name: Level falls, variable: level, falls_by: 3, within: 5}
"""


@pytest.fixture(scope="module", params=[1, 5])
def fitted(request: Any, plant: Any, tmp_path_factory: Any) -> Diagnoser:
    rules = tmp_path_factory.mktemp("rules") / "rules.yaml"
    rules.write_text(RULES)
    rows = plant(runs=4, rows=24)
    table = Table(rows, Roles("fault", "run"), "plant")
    return Diagnoser(window=request.param, experts=("extra-trees", "logistic-regression")).fit(table, rules=rules)


def _mixed(plant: Any, seed: int = 5) -> pd.DataFrame:
    """Rows of several runs that take turns, as a historian writes them."""
    rows = plant(runs=2, rows=20, seed=seed).sample(frac=1, random_state=seed)
    return rows.sort_values("run", key=lambda run: run.groupby(run).cumcount(), kind="stable").reset_index(drop=True)


def _whole(fitted: Diagnoser, rows: pd.DataFrame) -> pd.DataFrame:
    return fitted.model_.label_rows(Table(rows, Roles(None, "run"), "rows"))


def _alike(left: pd.DataFrame, right: pd.DataFrame) -> None:
    left, right = left.reset_index(drop=True), right.reset_index(drop=True)
    assert list(left) == list(right)
    for name in left:
        if left[name].dtype.kind == "f":
            np.testing.assert_allclose(left[name], right[name], rtol=0, atol=1e-9)
        else:
            assert left[name].tolist() == right[name].tolist(), name


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 119), max_size=8, unique=True))
def test_any_cut_gives_the_same(fitted: Diagnoser, plant: Any, cuts: list[int]) -> None:
    rows = _mixed(plant)
    stream = fitted.stream(roles=Roles(None, "run"))
    pieces = np.split(np.arange(len(rows)), sorted(cuts))
    made = [stream.push(rows.iloc[piece].reset_index(drop=True)) for piece in pieces]
    _alike(pd.concat(made), _whole(fitted, rows))


def test_one_row_at_a_time_over_a_restart(fitted: Diagnoser, plant: Any) -> None:
    rows = _mixed(plant, seed=6)
    first = fitted.stream(roles=Roles(None, "run"))
    made = [first.push(rows.iloc[[at]]) for at in range(50)]
    second = fitted.stream(roles=Roles(None, "run"))
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    made += [second.push(rows.iloc[[at]]) for at in range(50, len(rows))]
    _alike(pd.concat(made), _whole(fitted, rows))


def test_skipped_rows_count(fitted: Diagnoser, plant: Any) -> None:
    rows = _mixed(plant, seed=7)
    stream = fitted.stream(roles=Roles(None, "run"))
    stream.skip(rows.iloc[:40])
    made = stream.push(rows.iloc[40:].reset_index(drop=True))
    whole = _whole(fitted, rows)
    _alike(made, whole[whole["row"] > 40])


def test_rules_fire_in_a_stream(fitted: Diagnoser, plant: Any) -> None:
    lines = _whole(fitted, _mixed(plant, seed=8))
    assert lines["rules"].str.contains("Flow high").any()
    assert (lines.loc[lines["rules"] != "", "label"] != "0").all()  # a rule that holds is a detection


def test_memory_does_not_grow(fitted: Diagnoser, plant: Any) -> None:
    """Many short runs: what is kept of each is bounded, and so is the number of runs remembered."""
    rows = plant(runs=1, rows=6)[["flow", "level", "temp"]]
    most = 100
    stream = fitted.stream(roles=Roles(None, "run"), most_runs=most)
    held = []
    tracemalloc.start()
    for number in range(3 * most):
        stream.skip(rows.assign(run=f"r{number}"))
        if number % most == most - 1:
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(stream.state()["seen"]) == most
    assert held[2] - held[1] < 0.2 * held[1]  # as many runs again: without a bound it would be nearly as much again


def test_missing_columns_are_named(fitted: Diagnoser, plant: Any) -> None:
    stream = fitted.stream(roles=Roles(None, "run"))
    with pytest.raises(DataError, match="flow"):
        stream.push(plant().drop(columns="flow"))
    with pytest.raises(DataError, match="`run`"):
        stream.push(plant().drop(columns="run"))


@pytest.mark.parametrize(
    "state", [{}, {"row": "x", "seen": {}, "tails": {}}, {"row": 1, "seen": {}, "tails": {"a": {}}}]
)
def test_a_strange_state_is_refused(fitted: Diagnoser, state: dict[str, Any]) -> None:
    if fitted.model_.settings.window == 1 and state.get("tails") == {"a": {}}:
        pytest.skip("without windows tails are empty anyway")
    with pytest.raises(DataError, match="does not belong"):
        fitted.stream(roles=Roles(None, "run")).restore(state)


def test_the_language_model_alone_is_too_slow(fitted: Diagnoser) -> None:
    import copy

    other = copy.deepcopy(fitted.model_.fitted)
    other.ensemble.fusion.weights_without.clear()
    with pytest.raises(DataError, match="too slow"):
        RowStream(other, Roles())
