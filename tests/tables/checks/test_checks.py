"""The report names what is unusual; training is refused where nothing can be learnt."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from faultwise.contracts.errors import DataError
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.reading.table import Roles, Table


def table(target: str | None = "fault", **columns: object) -> Table:
    rows = 20
    base: dict[str, object] = {
        "flow": np.random.default_rng(0).normal(size=rows),
        "fault": ["0"] * 10 + ["4"] * 10,
        "run": ["a", "b"] * 10,
    }
    return Table(pd.DataFrame(base | columns), Roles(target=target, group="run"), "rows.csv", notes=("A note.",))


def test_a_sound_table() -> None:
    report = check(table(kind=["x", "y", "z", "x"] * 5))
    assert report.numeric == ["flow"]
    assert report.categorical == ["kind"]
    assert report.classes == {"0": 10, "4": 10}
    assert report.class_runs == {"0": 2, "4": 2}
    assert report.runs == 2
    assert report.duplicate_rows == 0
    assert not report.identifiers + report.one_to_one + report.constant + report.all_missing
    assert report.lines()[-1] == "A note."
    assert "0: 10 in 2 runs; 4: 10 in 2 runs" in " ".join(report.lines())
    assert json.loads(json.dumps(report.to_dict()))["rows"] == 20
    assert training_problems(table()) == []


def test_unusual_columns_are_named() -> None:
    unusual = table(
        flow=[1.0] * 18 + [np.inf, np.nan],
        serial=[f"SN-{i}" for i in range(20)],
        counter=range(5, 25),
        still=[7] * 20,
        void=[np.nan] * 20,
        answer=["ok"] * 10 + ["bad"] * 10,
    )
    report = check(unusual)
    assert report.identifiers == ["serial", "counter"]
    assert report.constant == ["still"]
    assert report.all_missing == ["void"]
    assert report.one_to_one == ["answer"]
    assert report.infinite == {"flow": 1}
    assert report.missing["flow"] == 0.05
    text = " ".join(report.lines())
    assert "--ignore 'serial' --ignore 'counter'" in text
    assert "--ignore 'answer'" in text
    assert "`flow` (5.0% missing)" in text
    assert training_problems(unusual) == ["Left out because they are empty: `void`."]


def test_duplicates_are_counted_without_run_and_time() -> None:
    report = check(table(flow=[1.0, 2.0] * 10))
    assert report.duplicate_rows == 16
    assert "16 rows repeat" in " ".join(report.lines())


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (table(fault=["4.0"] * 20), "only the class `4`.*--normal-only"),
        (table(fault=[str(row) for row in range(20)]), "a single row of each of its 20 labels"),
        (table(fault=["0"] * 19 + [None]), "1 of 20 rows have no label"),
        (table(flow=[np.nan] * 20), "no column that holds information"),
        (table(flow=[3.0] * 20), "no column that holds information"),
        (table(target=None), "--target COL"),
        (table().rows(np.zeros(20, dtype=bool)), "no rows"),
    ],
)
def test_what_cannot_be_trained_on(bad: Table, message: str) -> None:
    report = check(bad)
    assert report.lines()
    with pytest.raises(DataError, match=message):
        training_problems(bad)


def test_normal_rows_alone_need_no_second_class() -> None:
    assert training_problems(table(fault=["0"] * 20), labelled=False) == []
    assert training_problems(table(target=None), labelled=False) == []


def test_lines_about_classes() -> None:
    assert "only one class" in " ".join(check(table(fault=["0"] * 20)).lines())
    assert "single row: `4`" in " ".join(check(table(fault=["0"] * 19 + ["4"])).lines())
    assert "1 rows have no label" in " ".join(check(table(fault=["0"] * 19 + [None])).lines())
