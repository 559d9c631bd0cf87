"""Deletion and sufficiency: a model whose truth is known, an attribution that is wrong, figures, chart, command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError, UserError
from faultwise.report.pages.faithfulness import faithfulness_figure, save_faithfulness, summary
from faultwise.tables.evaluate.faithfulness import Trial, cited_variables, faithfulness, summarised
from faultwise.tables.reading.table import Roles, Table

NAMES = [f"v{at}" for at in range(10)]


def _rows(runs: int, seed: int, rows: int = 20) -> pd.DataFrame:
    """Ten variables; the fault lifts v3 and lowers v7, the other eight tell nothing."""
    rng = np.random.default_rng(seed)
    parts = []
    for label, lift in (("0", 0.0), ("1", 2.5)):
        for run in range(runs):
            part = pd.DataFrame(rng.normal(size=(rows, 10)), columns=NAMES)
            part["v3"] += lift
            part["v7"] -= lift
            parts.append(part.assign(fault=label, run=f"{label}-{seed}-{run}"))
    return pd.concat(parts, ignore_index=True)


def _table(frame: pd.DataFrame) -> Table:
    return Table(frame, Roles("fault", "run"))


@pytest.fixture(scope="module")
def made() -> Diagnoser:
    return Diagnoser(experts=("logistic-regression",)).fit(_table(_rows(6, seed=1)))


@pytest.fixture(scope="module")
def unseen() -> Table:
    return _table(_rows(12, seed=2))


@pytest.fixture(scope="module")
def found(made: Diagnoser, unseen: Table) -> dict[str, Any]:
    return faithfulness(made.model_.fitted, unseen, verdicts=60, cited=2, draws=10)


def test_findings_that_carry_the_verdict(found: dict[str, Any]) -> None:
    assert (found["verdicts"], found["runs"], list(found["by_label"])) == (60, 12, ["1"])
    assert {name for case in found["cases"] for name in case["cited"]} >= {"v3", "v7"}
    deletion, kept = found["deletion"], found["sufficiency"]
    assert deletion["cited"]["mean"] > 0.8
    assert deletion["ratio"]["low"] > 5
    assert kept["cited"]["mean"] > 0.9
    assert kept["uncited"]["mean"] < 0.3
    for part in (deletion["cited"], deletion["uncited"], deletion["ratio"], kept["cited"], kept["uncited"]):
        assert part["low"] <= part["mean"] <= part["high"]


def test_an_attribution_that_cites_at_random_fails(made: Diagnoser, unseen: Table) -> None:
    rng = np.random.default_rng(0)

    def at_random(*_: object) -> list[str]:
        return [str(name) for name in rng.permutation(NAMES)]

    found = faithfulness(made.model_.fitted, unseen, verdicts=200, cited=2, draws=10, cite=at_random)
    ratio = found["deletion"]["ratio"]
    assert 0.6 < ratio["mean"] < 1.6
    assert ratio["low"] < 1 < ratio["high"]
    kept = found["sufficiency"]
    assert kept["cited"]["mean"] == pytest.approx(kept["uncited"]["mean"], abs=0.1)


def test_an_attribution_that_cites_the_wrong_ones_fails(made: Diagnoser, unseen: Table) -> None:
    def backwards(*given: Any) -> list[str]:
        return cited_variables(*given)[::-1]

    found = faithfulness(made.model_.fitted, unseen, verdicts=40, cited=2, draws=10, cite=backwards)
    assert found["deletion"]["ratio"]["high"] < 0.5


def test_what_is_cited_is_what_the_report_shows(plant: Callable[..., pd.DataFrame]) -> None:
    """Windows and a category, too: the variables are those of the findings of `diagnose`, in their order."""
    frame = plant(runs=4, rows=20)
    state = np.where(frame["fault"] == "1", "open", "shut")
    frame = frame.assign(valve=state, hum=np.random.default_rng(0).normal(size=len(frame)))
    made = Diagnoser(experts=("logistic-regression",), window=4).fit(_table(frame))
    table = _table(plant(runs=2, rows=12, seed=3).assign(hum=0.1, valve="open"))
    found = faithfulness(made.model_.fitted, table, verdicts=4, cited=2, draws=2)
    for case in found["cases"]:
        explained = made.diagnose(table, row=case["row"]).cases[0]
        assert explained.verdict.label == case["label"] != "0"
        assert case["probability"] == pytest.approx(explained.verdict.probability)
        shown = [one.variable for one in explained.findings if one.kind == "variable"]  # `hum` holds its value
        assert case["cited"] == tuple(shown[:2])


def test_deleting_and_keeping_everything_swap_roles(made: Diagnoser, unseen: Table) -> None:
    """Two variables hold all that is known: deleting them leaves what keeping the other eight alone would."""
    found = faithfulness(made.model_.fitted, unseen, verdicts=10, cited=5, draws=1, cite=lambda *_: NAMES[:5])
    # With five of ten cited, the only five others are their complement.
    for case in found["cases"]:
        assert case["probability"] - case["fall_cited"] == pytest.approx(case["stays_uncited"])
        assert case["probability"] - case["fall_uncited"] == pytest.approx(case["stays_cited"])


def test_normal_rows_of_other_runs_replace(made: Diagnoser) -> None:
    """Rows labelled normal in the verdict's own run may carry the fault already: they are used only without others."""
    frame = _rows(1, seed=4)
    late = frame[frame["fault"] == "1"].assign(fault="0")
    both = faithfulness(made.model_.fitted, _table(pd.concat([frame, late], ignore_index=True)), 20, 2, 2)
    own = faithfulness(
        made.model_.fitted, _table(pd.concat([frame[frame["fault"] == "1"], late], ignore_index=True)), 20, 2, 2
    )
    assert both["deletion"]["cited"]["mean"] > 0.8
    assert own["deletion"]["cited"]["mean"] < 0.1


def test_the_same_seed_gives_the_same_figures(made: Diagnoser, unseen: Table) -> None:
    one, two, other = (faithfulness(made.model_.fitted, unseen, 8, 2, 3, seed) for seed in (5, 5, 6))
    assert one == two
    assert one["cases"] != other["cases"]


def test_verdicts_are_drawn_evenly(plant: Callable[..., pd.DataFrame]) -> None:
    frame = plant(runs=6, rows=30, seed=8)
    few = frame[(frame["fault"] != "2") | frame["run"].isin(["2a", "2b"])]
    made = Diagnoser(experts=("logistic-regression",)).fit(_table(plant(runs=4, rows=30)))
    found = faithfulness(made.model_.fitted, _table(few.reset_index(drop=True)), verdicts=12, cited=1, draws=2)
    assert {label: line["verdicts"] for label, line in found["by_label"].items()} == {"1": 6, "2": 6}
    # Six verdicts from six runs of fault 1, six from two of fault 2: runs with fewer right rows may give none.
    assert 7 <= found["runs"] <= 8
    assert not any("in the fit" in note for note in found["notes"])


def _case(run: str, label: str = "1", fall: float = 0.6, other: float = 0.1) -> Trial:
    return Trial(1, run, label, 0.9, ("a",), fall, other, 0.9 - other, 0.9 - fall)


def test_figures_of_cases_done_by_hand() -> None:
    cases = [_case("a", "2", 0.6, 0.1), _case("b", "10", 0.2, 0.0), _case("b", "10", 0.4, 0.2)]
    found = summarised(cases)
    assert found["deletion"]["cited"]["mean"] == pytest.approx(0.4)
    assert found["deletion"]["uncited"]["mean"] == pytest.approx(0.1)
    assert found["deletion"]["ratio"]["mean"] == pytest.approx(4.0)
    assert found["sufficiency"]["cited"]["mean"] == pytest.approx(0.8 / 0.9)
    assert list(found["by_label"]) == ["2", "10"]
    assert found["by_label"]["10"]["fall_cited"] == pytest.approx(0.3)
    # One run says nothing of other runs; a fall of nothing or less elsewhere does not make the ratio boundless.
    alone = summarised([_case("a", other=-0.2)])
    assert alone["deletion"]["ratio"] == {"mean": pytest.approx(600.0), "low": None, "high": None}


def test_intervals_resample_runs_and_not_rows() -> None:
    cases = [_case(str(at), fall=0.3 + 0.05 * at) for at in range(8)]
    once, often = summarised(cases), summarised(cases * 10)
    for part in ("low", "mean", "high"):
        assert often["deletion"]["cited"][part] == pytest.approx(once["deletion"]["cited"][part])
    assert once["deletion"]["cited"]["high"] - once["deletion"]["cited"]["low"] > 0.1


def test_chart_page_and_json(found: dict[str, Any], tmp_path: Path) -> None:
    hostile = {**found["by_label"]["1"]}
    shown = {**found, "by_label": {"1": hostile, "$x_{<b>": hostile}, "notes": ["<script>alert(1)</script>"]}
    panels = faithfulness_figure(shown).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["Deletion", "Sufficiency"]
    dots = {line.get_label(): np.asarray(line.get_xdata()) for line in panels[0].lines}
    np.testing.assert_allclose(dots["cited"], [found["deletion"]["cited"]["mean"], *[hostile["fall_cited"]] * 2])
    assert save_faithfulness(shown, tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    page = save_faithfulness(shown, tmp_path / "f.html").read_text()
    assert page == save_faithfulness(shown, tmp_path / "g.html").read_text()
    assert "<script" not in page
    assert "&lt;b&gt;" in page
    assert "<svg" in page
    assert summary(found) in page
    assert re.search(r"\bnan\b|None", page) is None
    assert json.loads(save_faithfulness(found, tmp_path / "f.json").read_text())["verdicts"] == 60


def test_command(cli: Any, run_folder: Path, plant: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    plant(runs=3, seed=9).to_csv(tmp_path / "new.csv", index=False)
    few = ("--cited", 1, "--verdicts", 9, "--draws", 2)
    ran = cli("faithfulness", run_folder, tmp_path / "new.csv", *few, "--json", "--out", tmp_path / "f.html")
    assert ran.code == 0
    assert json.loads(ran.out)["deletion"]["ratio"]["mean"] > 2
    assert "Deleting the first 1 cited" in (tmp_path / "f.html").read_text()
    ran = cli("faithfulness", run_folder, tmp_path / "new.csv", *few)
    assert "a ratio of" in ran.out
    again = cli("faithfulness", run_folder, tmp_path / "new.csv", *few, "--out", tmp_path / "f.pdf")
    assert (again.code, ".html, .png, .json" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--cited", 2), "3 variables: as many uncited ones are needed"),
        (("--cited", 11), "choose 10 or fewer"),
        (("--cited", 1, "--draws", 0), "--draws is 0"),
        (("--verdicts", 0), "--verdicts is 0"),
        (("--seed", -1), "--seed is -1"),
        (("--out", "nowhere/f.png"), "There is no folder `nowhere`"),
    ],
)
def test_wrong_use(cli: Any, run_folder: Path, plant_csv: Path, flags: tuple[object, ...], words: str) -> None:
    ran = cli("faithfulness", run_folder, plant_csv, *flags)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_what_cannot_be_tested(made: Diagnoser, unseen: Table) -> None:
    with pytest.raises(DataError, match="add a normal run"):
        faithfulness(made.model_.fitted, unseen.rows(unseen.y == "1"), cited=2)
    with pytest.raises(DataError, match="No verdict on `table` is right"):
        faithfulness(made.model_.fitted, unseen.rows(unseen.y == "0"), cited=2)
    monitor = Diagnoser(normal_only=True).fit(_table(_rows(6, seed=1)))
    with pytest.raises(UserError, match="A monitor of normal rows"):
        faithfulness(monitor.model_.fitted, unseen, cited=2)
    named = _rows(6, seed=1).replace({"fault": {"0": "a", "1": "b"}})
    nameless = Diagnoser(experts=("logistic-regression",)).fit(_table(named))
    with pytest.raises(UserError, match="--normal LABEL"):
        faithfulness(nameless.model_.fitted, unseen, cited=2)


def test_rows_of_the_fit_and_faults_without_verdicts_are_noted(made: Diagnoser) -> None:
    frame = _rows(6, seed=1)
    unknown = frame[frame["fault"] == "0"].assign(fault="7", run="x")
    table = replace(_table(pd.concat([frame, unknown], ignore_index=True)), source="again.csv")
    notes = " ".join(faithfulness(made.model_.fitted, table, verdicts=4, cited=2, draws=2)["notes"])
    assert "No verdict of `7` was right" in notes
    assert "rows were in the fit" in notes
