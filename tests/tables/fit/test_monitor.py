"""Monitoring without fault labels: statistics and their parts, thresholds by row and by run, rules, the same report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError, UserError
from faultwise.report.html import render_html
from faultwise.report.markdown import render_markdown
from faultwise.report.text import render_text
from faultwise.tables.evaluate.protocol import evaluate_table
from faultwise.tables.fit.experts.monitor import Monitor, index_of
from faultwise.tables.fit.monitoring import run_threshold
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Roles, Table

X_COLUMNS = ["flow", "level", "temp"]
COMMAND = ("--target", "fault", "--group", "run", "--normal-only")


def _normal(plant: Any, runs: int = 8, rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Runs of the small plant in which nothing is wrong; `echo` follows `flow`, as a second sensor would."""
    parts = [plant(runs=1, rows=rows, seed=seed + at).query("fault == '0'").assign(run=f"n{at}") for at in range(runs)]
    frame = pd.concat(parts, ignore_index=True)
    rng = np.random.default_rng(seed)
    return frame.assign(echo=2 * frame["flow"] + 0.01 * rng.normal(size=len(frame)))


@pytest.fixture(scope="module")
def made(plant: Any) -> Diagnoser:
    rows = _normal(plant, runs=12)
    about = About(variables={"echo": Variable(name="Second flow meter", unit="m3/h", high=40.0)})
    monitor = Diagnoser(normal_only=True, window=3, false_alarm_rate=0.1, false_alarm_per="run")
    return monitor.fit(rows[[*X_COLUMNS, "echo"]], groups=rows["run"], about=about)


def test_parts_add_up_to_the_statistics(plant: Any) -> None:
    rows = _normal(plant)[[*X_COLUMNS, "echo"]]
    monitor = Monitor().fit(rows, np.repeat("normal", len(rows)), np.zeros(len(rows)))
    new = _normal(plant, runs=1, seed=50)[[*X_COLUMNS, "echo"]] * 1.1
    statistics, parts = monitor.statistics(new), monitor.parts(new)
    for name in ("T2", "SPE"):
        np.testing.assert_allclose(parts[name].sum(axis=1), statistics[name], rtol=1e-9)
    assert index_of(monitor.predict_proba(new)[:, 0]) == pytest.approx(statistics.to_numpy().max(axis=1))


def test_a_broken_relation_is_seen_by_spe_and_named(made: Diagnoser, plant: Any) -> None:
    """Each value stays within its limits; only that the two flow meters disagree gives it away."""
    rows = _normal(plant, runs=1, seed=70)[[*X_COLUMNS, "echo"]]
    rows["echo"] = rows["echo"].mean()
    diagnosis = made.diagnose(rows)
    case = diagnosis.cases[0]
    assert case.verdict.label == "abnormal"
    assert max(case.verdict.statistics, key=case.verdict.statistics.__getitem__) == "SPE"
    assert {case.findings[0].variable, case.findings[1].variable} == {"echo", "flow"}
    assert case.verdict.probabilities == {}
    shares = case.narrative[-1]
    assert shares.text.startswith("Of SPE these variables make up: ")
    assert set(shares.findings) <= {finding.id for finding in case.findings}
    for view in (render_text(diagnosis), render_markdown(diagnosis), render_html(diagnosis)):
        text = " ".join(view.split())
        assert "Not normal — SPE is" in text
        assert "of normal runs with any alarm" in text
        assert re.search(r"\bnan\b", text, re.IGNORECASE) is None
    json.dumps(diagnosis.to_dict())


def test_new_normal_runs_stay_quiet(plant: Any) -> None:
    """The promise holds on average over calibrations: 12 runs alone may be lucky or not."""
    alarmed = []
    for seed in range(8):
        rows, new = _normal(plant, 12, seed=1000 * seed), _normal(plant, 20, seed=1000 * seed + 200)
        monitor = Diagnoser(normal_only=True, window=3, false_alarm_rate=0.1, false_alarm_per="run")
        lines = monitor.fit(rows[X_COLUMNS], groups=rows["run"]).model_.label_rows(Table(new, Roles(None, "run")))
        assert list(lines) == ["row", "run", "label", "times_limit", "fault_score"]
        assert ((lines["times_limit"] > 1) == (lines["label"] == "abnormal")).all()
        alarmed.append(lines.groupby("run")["label"].apply(lambda run: (run == "abnormal").any()).mean())
    assert np.mean(alarmed) <= 0.13


def test_threshold_by_run_is_the_conformal_order_statistic() -> None:
    rng = np.random.default_rng(0)
    exceeded = []
    for _ in range(400):
        scores = rng.normal(size=(40, 5))
        threshold, note = run_threshold(scores[:39].ravel(), np.repeat(np.arange(39), 5), 0.1)
        exceeded.append(scores[39].max() > threshold)
        assert note == ""
    assert 0.06 < np.mean(exceeded) < 0.14
    threshold, note = run_threshold(np.arange(20.0), np.repeat(np.arange(4), 5), 0.1)
    assert threshold == 19
    assert "needs 9 normal runs; there are 4" in note


def test_operating_limits_and_rules_raise_alarms(plant: Any, tmp_path: Path) -> None:
    rows = _normal(plant)
    about = About(variables={"flow": Variable(high=100.0), "absent": Variable(high=1.0)})
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules:\n  - {name: Too warm, variable: temp, above: 299, for: 2, note: Open the window.}\n")
    monitor = Diagnoser(normal_only=True).fit(rows[X_COLUMNS], groups=rows["run"], about=about, rules=rules)
    assert [rule.name for rule in monitor.model_.fitted.rules.rules] == ["flow above its operating limit", "Too warm"]
    new = rows[X_COLUMNS].iloc[:5].assign(temp=[300.0, 298.0, 300.0, 300.0, 298.0])
    lines = monitor.model_.label_rows(Table(new))
    assert lines["rules"].tolist() == ["", "", "", "Too warm", ""]
    assert lines["label"][3] == "abnormal"
    case = monitor.diagnose(new, row=4).cases[0]
    finding = case.findings[0]
    assert (finding.id, finding.expert, finding.variable, finding.value) == ("R1", "rules", "temp", 300.0)
    assert finding.rule == "Too warm: above 299 for 2 samples"
    assert "against the rule “Too warm: above 299 for 2 samples”" in case.narrative[1].text
    assert case.narrative[1].findings == ("R1",)


def test_only_rows_labelled_normal_are_used(plant: Any) -> None:
    rows = plant(runs=4, rows=40)
    monitor = Diagnoser(normal_only=True, false_alarm_rate=0.05)
    monitor.fit(rows[X_COLUMNS], rows["fault"], rows["run"])
    assert any("480 rows" in note or "of 480 rows are labelled" in note for note in monitor.model_.fitted.notes)
    assert monitor.model_.fitted.record["validation"]["far"] == pytest.approx(0.05, abs=0.01)
    told = evaluate_table(monitor.model_.fitted, Table(plant(runs=2, rows=40, seed=9), Roles("fault", "run")))
    assert told["recall_by_class"]["detected"]["1"] > 0.6
    assert told["verdict"]["far"] < 0.15


def test_commands_and_a_saved_monitor(plant: Any, tmp_path: Path, cli: Any) -> None:
    plant(runs=4, rows=40).to_csv(tmp_path / "train.csv", index=False)
    plant(runs=1, rows=20, seed=5).drop(columns="fault").to_csv(tmp_path / "new.csv", index=False)
    folder = tmp_path / "run"
    assert cli("fit", tmp_path / "train.csv", "--out", folder, *COMMAND).code == 0
    ran = cli("diagnose", folder, tmp_path / "new.csv", "--report", tmp_path / "r.html", "--json")
    assert ran.code == 0
    verdict = json.loads(ran.out)["cases"][0]["verdict"]
    assert verdict["probability"] is None
    assert set(verdict["statistics"]) == {"T2", "SPE", "largest deviation"}
    assert cli("diagnose", folder, tmp_path / "new.csv", "--out", tmp_path / "rows.parquet").code == 0
    assert "times_limit" in pd.read_parquet(tmp_path / "rows.parquet")
    assert cli("evaluate", folder, tmp_path / "train.csv", "--json").code == 0
    # Without labels at all, every row is taken to be normal.
    rows = plant(runs=4, rows=40).query("fault == '0'").drop(columns="fault")
    rows.to_csv(tmp_path / "unlabelled.csv", index=False)
    ran = cli("fit", tmp_path / "unlabelled.csv", "--out", folder, "--group", "run", "--normal-only", "--json")
    assert any("no labels: all rows are taken to be normal" in note for note in json.loads(ran.out)["notes"])


def test_one_long_run_is_enough(plant: Any) -> None:
    rows = _normal(plant, runs=1, rows=200)
    monitor = Diagnoser(normal_only=True, window=5).fit(rows[X_COLUMNS])
    assert monitor.model_.fitted.record["split"] == "block"


def test_what_cannot_be_monitored(plant: Any, tmp_path: Path, cli: Any) -> None:
    rows = _normal(plant, runs=2, rows=6)
    with pytest.raises(DataError, match="no normal stretch of 50 samples"):
        Diagnoser(normal_only=True, window=50).fit(rows[X_COLUMNS], groups=rows["run"])
    with pytest.raises(DataError, match="expected 10 at least"):
        Diagnoser(normal_only=True).fit(rows[X_COLUMNS], groups=rows["run"])
    labelled = plant().replace({"fault": {"0": "a", "1": "b", "2": "c"}})
    with pytest.raises(UserError, match="Which label means normal"):
        Diagnoser(normal_only=True).fit(labelled[X_COLUMNS], labelled["fault"])
    with pytest.raises(UserError, match="needs normal_only"):
        TableSettings(false_alarm_per="run")
    with pytest.raises(UserError, match="normal_only=True"):
        Diagnoser().fit(labelled[X_COLUMNS])
    with pytest.raises(DataError, match="--normal-only instead"):
        Diagnoser(experts=("monitor",)).fit(labelled[X_COLUMNS], labelled["fault"], labelled["run"])
    plant().to_csv(tmp_path / "train.csv", index=False)
    ran = cli("fit", tmp_path / "train.csv", "--out", tmp_path / "run", *COMMAND, "--rules", tmp_path / "none.yaml")
    assert ran.code == 2
