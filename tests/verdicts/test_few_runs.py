"""Promises from few runs: all of them calibrate in turn, and what they cannot promise is said with what would do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.report.markdown import render_markdown
from faultwise.report.save import render_json
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.false_alarms import alarm_stretches, rate_interval, rate_on_new_runs

COLUMNS = ["flow", "level", "temp"]
FAST = ("logistic-regression",)


def _runs(runs: int, seed: int = 0, own: float = 0.3, rows: int = 60) -> pd.DataFrame:
    """Runs that are normal first and then have a fault; `own` is the deviation of a run's own level."""
    rng = np.random.default_rng(seed)
    frames = []
    for run in range(runs):
        values = 100 + own * rng.normal(size=3) + rng.normal(size=(rows, 3))
        values[rows // 2 :, 0] += 3.0
        labels = np.where(np.arange(rows) < rows // 2, "normal", "leak")
        frames.append(pd.DataFrame(values, columns=COLUMNS).assign(fault=labels, run=f"run {run}"))
    return pd.concat(frames, ignore_index=True)


def _fit(rows: pd.DataFrame, **options: object) -> Diagnoser:
    return Diagnoser(experts=FAST, **options).fit(rows[COLUMNS], rows["fault"], rows["run"])


@pytest.fixture(scope="module")
def many() -> Diagnoser:
    return _fit(_runs(25), false_alarm_rate=0.05)


def test_runs_with_normal_and_faulty_rows_get_their_promises(many: Diagnoser) -> None:
    fitted = many.model_.fitted
    assert fitted.calibration.runs == fitted.record["calibration_runs"] == 25
    low, high = fitted.ensemble.detector.interval
    assert low < 0.05 < high < 0.2
    new = _runs(100, seed=7)
    normal = new["fault"] == "normal"
    alarms = many.predict(new[COLUMNS]) != "normal"
    assert low <= alarms[normal].mean() <= high
    assert any(
        f"Between {low:.1%} and {high:.1%} of the normal rows of new runs like these 25" in n for n in many.model_.notes
    )
    assert any("alarms per machine-day with a row every second" in note for note in many.model_.notes)


def test_the_interval_is_in_the_verdict_and_in_the_report(many: Diagnoser, tmp_path: Path) -> None:
    diagnosis = many.diagnose(_runs(2, seed=8)[[*COLUMNS]])
    verdict = diagnosis.cases[0].verdict
    low, high = many.model_.fitted.ensemble.detector.interval
    assert verdict.false_alarm_interval == (low, high)
    assert verdict.false_alarm_rate == 0.05
    assert (
        f"Of the normal rows of new runs, {low:.1%} to {high:.1%} will be flagged"
        in diagnosis.cases[0].narrative[0].text
    )
    assert json.loads(render_json(diagnosis))["cases"][0]["verdict"]["false_alarm_interval"] == [low, high]
    assert "of the normal rows of new runs, between" in render_markdown(diagnosis)
    again = Diagnoser.load(many.save(tmp_path / "run"))
    assert again.diagnose(_runs(2, seed=8)[[*COLUMNS]]).cases[0].verdict.false_alarm_interval == (low, high)


def test_what_six_runs_cannot_promise_is_said_with_the_runs_that_would_do() -> None:
    made = _fit(_runs(6))
    fitted = made.model_.fitted
    assert fitted.calibration is None
    assert fitted.ensemble.detector.interval is None
    notes = " ".join(made.model_.notes)
    assert "No false-alarm rate is promised for new runs: 2.0% was requested, and the 6 runs" in notes
    assert "runs like them are needed." in notes
    assert "6 runs can promise a coverage of 85.7% at most, and 90.0% takes 9." in notes


def test_runs_that_differ_much_promise_no_rate() -> None:
    made = _fit(_runs(12, own=3.0, rows=30))
    assert made.model_.fitted.ensemble.detector.interval is None
    assert made.model_.fitted.calibration is not None  # fault sets need nine runs, whatever they are like
    assert "with most false alarms in very few of them" in " ".join(made.model_.notes)


def test_rows_held_out_of_a_learnt_run_promise_nothing() -> None:
    rows = pd.concat([_runs(1), _runs(1, seed=1)], ignore_index=True).assign(run="only")
    made = Diagnoser(experts=FAST, split="block").fit(rows[COLUMNS], rows["fault"], rows["run"])
    assert made.model_.fitted.ensemble.detector.interval is None
    assert "For new runs neither a false-alarm rate nor a coverage of fault sets is promised" in " ".join(
        made.model_.notes
    )
    assert "at least 10 runs" in " ".join(made.model_.notes)


def test_no_run_judges_itself() -> None:
    """A run with labels exchanged spoils what is promised of it, however well the experts learn it by heart."""
    rows = _runs(10)
    exchanged = {"normal": "leak", "leak": "normal"}
    spoilt = rows.assign(fault=rows["fault"].where(rows["run"] != "run 3", rows["fault"].map(exchanged)))
    one, other = (
        Diagnoser(experts=("knn",), coverage=0.8).fit(made[COLUMNS], made["fault"], made["run"])
        for made in (rows, spoilt)
    )
    sizes = []
    for made in (one, other):
        p = made.predict_proba(rows[COLUMNS])
        sizes.append(made.model_.fitted.calibration.members(p, made.classes_, made.predict(rows[COLUMNS])).mean())
    assert sizes[1] > sizes[0]
    assert other.model_.fitted.ensemble.detector.threshold > one.model_.fitted.ensemble.detector.threshold


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(50, 400)), min_size=2, max_size=30))
def test_the_interval_holds_the_rate_of_its_runs_and_narrows_with_more_of_them(runs: list[tuple[int, int]]) -> None:
    alarms, rows = np.array(runs, float).T
    low, high = rate_interval(alarms, rows)
    assert 0 <= low <= high <= 1
    least, most = (alarms / rows).min(), (alarms / rows).max()
    assert low <= most + 0.01
    assert high >= least
    low_4, high_4 = rate_interval(np.tile(alarms, 4), np.tile(rows, 4))
    assert high_4 - low_4 <= high - low + 0.01


def test_runs_needed_falls_with_the_runs_there_are_and_is_enough() -> None:
    rng = np.random.default_rng(0)

    def rate(runs: int) -> object:
        alarms = np.concatenate([rng.random(100) < p for p in rng.beta(0.8, 39, runs)])
        return rate_on_new_runs(alarms, np.repeat(np.arange(runs), 100), 0.02)

    few = rate(8)
    assert not few.stated
    assert 10 <= few.runs_needed <= 200
    assert rate(400).stated
    one = rate(1)
    assert (one.low, one.high, one.interval) == (0.0, 1.0, None)
    assert "belong to one run" in one.note()


def test_one_long_run_does_not_set_the_threshold_alone() -> None:
    rng = np.random.default_rng(0)
    scores = np.r_[rng.uniform(0, 0.1, 9000), rng.uniform(0.3, 0.6, 900)]
    runs = np.r_[np.zeros(9000), np.repeat(np.arange(1, 10), 100)]
    alone, evenly = Detector("normal", 0.1), Detector("normal", 0.1)
    alone.fit(scores)
    evenly.fit(scores, runs)
    assert alone.threshold < 0.4 < 0.5 < evenly.threshold


def test_stretches_of_false_alarms() -> None:
    alarms, runs = np.array([1, 1, 0, 1, 1, 0, 0, 0], bool), np.array(list("aaaabbbb"))
    assert "4 false alarms among 8 normal rows came in 3 stretches of 1.3 rows" in alarm_stretches(alarms, runs)
    assert alarm_stretches(np.zeros(8, bool), runs) == ""
