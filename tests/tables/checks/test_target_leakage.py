"""Columns that give the label away are found; good sensors are not left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.tables.checks.leaks.target_leakage import leaking_columns, without_leaking_columns
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Roles, Table


def _table(**columns: Any) -> Table:
    labels = ["0"] * 160 + ["1"] * 40
    return Table(pd.DataFrame({**columns, "fault": labels}), Roles("fault"))


def test_what_gives_the_label_away() -> None:
    code = ["ok"] * 160 + ["broken"] * 40
    alarm = [0] * 170 + [1] * 30
    assert leaking_columns(_table(code=code)) == {"code": "gives the label one to one"}
    assert leaking_columns(_table(alarm=alarm)) == {
        "alarm": "is `1` in 30 rows, all of them labelled `1`",
    }


@pytest.mark.parametrize(
    "column",
    [
        [0] * 169 + [1] * 31 + [],  # fine: but one normal row below
        np.r_[np.zeros(159), 1, np.ones(40)],  # one exception
        np.r_[np.ones(5), np.zeros(195)],  # too rare to say anything
        np.r_[np.arange(160), np.arange(1000, 1040)],  # a sensor that separates perfectly
        ["a", "b", "c", "d"] * 50,
    ],
    ids=["flag", "exception", "rare", "sensor", "categories"],
)
def test_what_does_not_leak(column: Any) -> None:
    values = np.asarray(column, dtype=object)
    if len(set(column)) == 2 and values.sum() == 31:
        values[3] = 1
    assert leaking_columns(_table(column=values)) == {}


def test_left_out_with_a_message_and_kept_on_demand(plant: Any) -> None:
    rows = plant(runs=4, rows=20)
    rows["code"] = rows["fault"].map({"0": "none", "1": "F17", "2": "F18"})
    X = rows.drop(columns=["fault", "run"])
    made = Diagnoser(experts=("logistic-regression",)).fit(X, rows["fault"], rows["run"])
    assert "code" not in made.model_.fitted.encoder.learnt.used
    assert made.model_.roles.ignored == ("code",)
    assert any(
        "`code` gives the label one to one" in note and "--keep 'code'" in note for note in made.model_.fitted.notes
    )
    kept = Diagnoser(experts=("logistic-regression",), keep=("code",)).fit(X, rows["fault"], rows["run"])
    assert "code" in kept.model_.fitted.encoder.learnt.used


def test_ai4i_flags(data_root: Path) -> None:
    """Four flags from the data; the fifth, which is wrong 18 times of 19, by the reader's table of roles."""
    table = read_source(data_root / "ai4i" / "ai4i2020.csv")
    assert table.roles.target == "Machine failure"
    assert "RNF" in table.roles.ignored
    assert set(leaking_columns(table)) == {"TWF", "HDF", "PWF", "OSF"}
    left = without_leaking_columns(table)
    assert set(left.features) == {
        "Type",
        "Air temperature [K]",
        "Process temperature [K]",
        "Rotational speed [rpm]",
        "Torque [Nm]",
        "Tool wear [min]",
    }


def test_a_rare_event_of_one_fault_is_evidence_and_a_failure_code_is_not() -> None:
    """33 of 1,000 faulty rows hold an event that normal ones never have: kept. Codes that add up to the fault: not."""
    faulty = np.arange(2000) >= 1000
    event = np.where(np.arange(2000) >= 1967, 1, 0)
    kind = np.arange(2000) % 3
    codes = {f"code {one}": np.where(faulty & (kind == one), 1, 0) for one in range(3)}
    frame = pd.DataFrame(
        {"fault": np.where(faulty, "abnormal", "normal"), "event": event, **codes, "flow": range(2000)}
    )
    assert set(leaking_columns(Table(frame, Roles(target="fault")))) >= {*codes}
    assert not leaking_columns(Table(frame.drop(columns=[*codes]), Roles(target="fault")))
