"""The general comparison: identical splits, corrected intervals and tests, risk by coverage, the report."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from faultwise.contracts.errors import DataError
from faultwise.evaluate.memory import peak_memory
from faultwise.evaluate.packing import packed, unpacked
from faultwise.evaluate.paired import corrected_test, holm
from faultwise.evaluate.record import unfinished
from faultwise.evaluate.risk import at_shares, aurc, risk_curve
from faultwise.evaluate.summary import interval
from faultwise.tables.evaluate.comparison import plan
from faultwise.tables.evaluate.ranking import ALIKE, BEST, UNTESTED, WORSE, ranking
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.readers import read_source

ROLES = ("--target", "fault", "--group", "run")
FAST = ("--experts", "logistic-regression,knn")


@pytest.fixture
def rows(tmp_path: Path, plant: Any) -> Path:
    """Four runs a class, so that each half has two."""
    path = tmp_path / "rows.csv"
    plant(runs=4).to_csv(path, index=False)
    return path


# --- statistics ----------------------------------------------------------------------------------------------


def test_the_corrected_test_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, variance 1. With half as many test rows as training rows the variance of the mean is
    # 1/3 + 1/2 = 5/6, so t = 2 / sqrt(5/6) = 2.19089, and for 2 degrees of freedom p = 1 - t / sqrt(t * t + 2).
    t = 2 / (5 / 6) ** 0.5
    assert corrected_test([1, 2, 3], ratio=0.5) == pytest.approx(1 - t / (t * t + 2) ** 0.5, rel=1e-9)
    assert corrected_test([1, 2, 3], ratio=0.5) == pytest.approx(0.1598319, abs=1e-7)
    mean, low, high = interval([0.4, 0.5, 0.6], ratio=0.5)
    assert (mean, high - mean, mean - low) == pytest.approx((0.5, *[4.302653 * 0.1 * (5 / 6) ** 0.5] * 2), rel=1e-5)


def test_the_corrected_test_at_its_limits() -> None:
    assert corrected_test([0.3], 1.0) is None
    assert corrected_test([0.0, 0.0, 0.0], 1.0) == 1.0
    assert corrected_test([0.1, 0.1, 0.1], 1.0) == 0.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=12), st.floats(0.1, 3))
def test_the_correction_only_makes_it_harder(values: list[float], ratio: float) -> None:
    if np.std(values) < 1e-3:
        return
    plain = float(ttest_1samp(values, 0).pvalue)
    assert corrected_test(values, 0.0) == pytest.approx(plain, abs=1e-9)
    assert corrected_test(values, ratio) >= plain - 1e-12
    assert corrected_test([-v for v in values], ratio) == pytest.approx(corrected_test(values, ratio))


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=6), st.floats(0.001, 0.999))
def test_holm_rejects_what_its_steps_reject(p: list[float], level: float) -> None:
    rejected = set()
    for step, at in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        if p[at] * (len(p) - step) > level:
            break
        rejected.add(at)
    assert {at for at, adjusted in enumerate(holm(p)) if adjusted <= level} == rejected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6))
def test_risk_by_coverage_against_brute_force(rows: list[tuple[int, bool]]) -> None:
    """The mean over all orders that the uncertainty allows, of the errors among the first k."""
    uncertainty, wrong = np.array([d for d, _ in rows], float), np.array([w for _, w in rows])
    curves = [
        np.cumsum(wrong[list(order)]) / np.arange(1, len(rows) + 1)
        for order in itertools.permutations(range(len(rows)))
        if (np.diff(uncertainty[list(order)]) >= 0).all()
    ]
    curve = risk_curve(uncertainty, wrong)
    np.testing.assert_allclose(curve, np.mean(curves, axis=0), atol=1e-12)
    assert aurc(curve) == pytest.approx(np.mean([one.mean() for one in curves]))
    assert curve[-1] == pytest.approx(wrong.mean())
    for share in (0.01, 0.5, 0.8, 1.0):
        most = max(1, int(np.ceil(share * len(rows) - 1e-9)))
        assert at_shares(curve, np.array([share]))[0] == curve[most - 1]


def test_memory_counts_what_the_work_took() -> None:
    with peak_memory() as peak:
        np.ones(8 << 20).sum()  # 64 MiB, gone again at the end
    if peak.mb is None:
        pytest.skip("memory cannot be measured on this system")
    assert 60 < peak.mb < 80
    with peak_memory() as again:
        np.ones(8).sum()
    assert again.mb is not None
    assert again.mb < 5


@settings(deadline=None)
@given(st.lists(st.integers(0, 65535), max_size=50))
def test_packed_arrays_come_back_and_nothing_else_does(values: list[int]) -> None:
    kind = np.dtype("<u2")
    text = packed(np.array(values, kind))
    assert unpacked(text, kind, len(values)).tolist() == values
    for wrong in (lambda: unpacked(text, kind, len(values) + 1), lambda: unpacked("?" + text, kind, len(values))):
        with pytest.raises(ValueError, match=r"."):
            wrong()


def _result(expert: str, at: int, recall: float) -> dict[str, Any]:
    figures = {"mean_recall": recall, "accuracy": recall, "macro_f1": recall, "aurc": 1 - recall}
    return {"expert": expert, "seed": at // 2, "fold": at % 2, "figures": figures} | dict.fromkeys(
        ("fit_s", "rows_per_s", "peak_rss_mb"), 1.0
    )


def test_who_is_worse_and_who_cannot_be_told_apart() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 10))
    given = [
        _result(name, at, 0.9 - less + noise[row, at])
        for row, (name, less) in enumerate((("a", 0.0), ("b", 0.005), ("c", 0.2)))
        for at in range(10)
    ]
    lines = ranking([*given, _result("d", 0, 1.0)], ratio=1.0)
    assert [(line["expert"], line["against_best"]) for line in lines] == [
        ("a", BEST), ("b", ALIKE), ("c", WORSE), ("d", UNTESTED)
    ]  # fmt: skip
    assert lines[2]["p"] < 0.001 < 0.05 < lines[1]["p"]
    assert lines[0]["mean_recall_low"] < lines[0]["mean_recall"] < lines[0]["mean_recall_high"]
    assert lines[3]["mean_recall_low"] is None


# --- splits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["group", "block"])
def test_no_window_is_on_both_sides(rows: Path, kind: str) -> None:
    table = read_source(rows, target="fault", group="run")
    window = 4
    made = plan(table, TableSettings(window=window, split=kind), repeats=2)
    assert list(made.splits) == ([(0, 0), (0, 1), (1, 0), (1, 1)] if kind == "group" else [(0, 0)])
    for split in made.splits.values():
        reached = [{int(row) - back for row in side for back in range(window)} for side in (split.train, split.test)]
        assert reached[0].isdisjoint(reached[1])
        for side in (split.train, split.test):
            assert set(made.y[side]) == {"0", "1", "2"}
            for row in side:  # no window crosses a run
                assert len(set(table.runs[row - window + 1 : row + 1])) == 1
        if kind == "group":
            assert set(table.runs[split.train]).isdisjoint(table.runs[split.test])
    halves = [set(made.splits[0, fold].test.tolist()) for fold in range(2)] if kind == "group" else []
    if halves:
        assert halves[0].isdisjoint(halves[1])
        assert len(halves[0] | halves[1]) == 12 * (16 - window + 1)


# --- the command ---------------------------------------------------------------------------------------------


def test_compare_runs(cli: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    ran = cli("compare", rows, *ROLES, *FAST, "--repeats", "2", "--out", out, "--json")
    assert ran.code == 0, ran.err
    printed, record = json.loads(ran.out), json.loads(out.read_text())
    assert "held_out" not in printed["results"][0]
    assert printed["summary"] == record["summary"]
    assert [line["splits"] for line in record["summary"]] == [4, 4]
    assert record["config"]["split"] == "group"
    assert record["ratio"] == 1
    assert any("variance factor 1/4 + 1.00" in note for note in record["caveats"])
    classes, frame = record["config"]["labels"], pd.read_csv(rows, dtype=str)
    splits = {(one["seed"], one["fold"]): one for one in record["splits"]}
    assert set(splits) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    matrix = np.zeros((3, 3), int)
    for one in record["results"]:
        split = splits[one["seed"], one["fold"]]
        assert one["drawn"] == split["drawn"]  # the same for all experts
        truth = unpacked(split["truth"], np.dtype("<u2"), one["test_rows"])
        numbers = unpacked(split["rows"], np.dtype("<u4"), one["test_rows"])
        assert [classes[code] for code in truth] == frame["fault"].iloc[numbers - 1].tolist()
        assert frame["run"].iloc[numbers - 1].value_counts().tolist() == [16] * 6  # whole runs, half of them
        labels = unpacked(one["held_out"]["label"], np.dtype("<u2"), one["test_rows"])
        uncertainty = unpacked(one["held_out"]["uncertainty"], np.dtype("<f2"), one["test_rows"])
        assert one["figures"]["accuracy"] == pytest.approx((labels == truth).mean())
        assert one["figures"]["aurc"] == pytest.approx(aurc(risk_curve(uncertainty, labels != truth)))
        assert one["rows_per_s"] > 0 < one["train_rows"]
        if one["expert"] == record["confusion"]["expert"] == record["summary"][0]["expert"]:
            np.add.at(matrix, (truth, labels), 1)
    assert record["confusion"]["rows"] == matrix.tolist()
    for name, curve in record["curves"].items():
        (line,) = (line for line in record["summary"] if line["expert"] == name)
        assert curve[-1] == pytest.approx(1 - line["accuracy"], abs=1e-5)
    plain = cli("compare", rows, *ROLES, *FAST, "--repeats", "2", "--out", out)
    assert "8 of 8 fits are in" in plain.err
    assert plain.out.split()[:4] == ["expert", "splits", "mean", "recall"]
    assert re.search(r"not\s+distinguishable|worse", plain.out)
    for ending in (".csv", ".md"):
        cli("compare", rows, *ROLES, *FAST, "--repeats", "1", "--out", tmp_path / f"out{ending}")
        assert "logistic-regression" in (tmp_path / f"out{ending}").read_text()


def test_killed_and_continued(cli: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    out, flags = tmp_path / "out.json", (*ROLES, *FAST, "--repeats", "2")
    command = [sys.executable, "-m", "faultwise.cli.main", "compare", str(rows), *flags, "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        ends = time.monotonic() + 60
        while not out.exists() and time.monotonic() < ends and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
    before = json.loads(out.read_text())["results"]
    assert 0 < len(before) < 8
    ran = cli("compare", rows, *flags, "--out", out)
    assert ran.code == 0
    assert f"{len(before)} of 8 fits are in" in ran.err
    after = json.loads(out.read_text())
    assert after["results"][: len(before)] == before  # with their seconds, so they were not run again
    assert len(after["results"]) == 8
    fresh = json.loads(cli("compare", rows, *flags, "--json").out)
    for one, other in zip(fresh["summary"], after["summary"], strict=True):
        costs = ("fit_s", "rows_per_s", "peak_rss_mb")
        assert {k: v for k, v in one.items() if k not in costs} == {k: v for k, v in other.items() if k not in costs}


def test_interrupted_by_hand(
    cli: Callable[..., Any], rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faultwise.tables.fit.experts.classical import ClassicalExpert

    fit, fitted = ClassicalExpert.fit, []

    def third_is_interrupted(self: ClassicalExpert, *given: Any) -> ClassicalExpert:
        fitted.append(self.name)
        if len(fitted) == 4:
            raise KeyboardInterrupt
        return fit(self, *given)

    monkeypatch.setattr(ClassicalExpert, "fit", third_is_interrupted)
    out, report = tmp_path / "out.json", tmp_path / "out.html"
    flags = (*ROLES, *FAST, "--repeats", "2", "--out", out, "--report", report)
    assert cli("compare", rows, *flags).code == 130
    assert len(json.loads(out.read_text())["results"]) == 3
    assert "5 fits have not been run yet" in report.read_text()
    fitted.extend([""] * 4)
    assert cli("compare", rows, *flags).code == 0
    assert fitted[8:] == ["knn", *["logistic-regression", "knn"] * 2]
    assert "have not been run yet" not in report.read_text()


def test_a_record_grows_and_refuses_what_is_not_its_own(
    cli: Callable[..., Any], rows: Path, tmp_path: Path, plant: Any
) -> None:
    out = tmp_path / "out.json"
    knn = ("--experts", "knn", "--out", out)
    assert cli("compare", rows, *ROLES, *knn, "--repeats", "1").code == 0
    more = cli("compare", rows, *ROLES, "--experts", "svm,knn", "--out", out, "--repeats", "2")
    assert "2 of 8 fits are in" in more.err
    before = out.read_text()
    assert {line["expert"] for line in json.loads(before)["summary"]} == {"knn", "svm"}
    other = cli("compare", rows, *ROLES, *knn, "--window", "3", "--repeats", "1")
    assert (other.code, "another configuration (differing: window)" in other.err) == (2, True)
    thesis = ("--protocol", "thesis", "--train-rows", "5", "--test-rows", "5", "--seeds", "1")
    assert "another protocol and another configuration" in cli("compare", rows, *ROLES, *knn, *thesis).err
    record = json.loads(before)
    label, drawn = record["results"][0]["held_out"]["label"], record["results"][0]["drawn"]
    for broken, words in (
        ("[]", "is no record of a comparison"),
        (before.replace('"mean_recall": 0.', '"mean_recall": 7.'), "is no record of a comparison"),
        (before.replace('"fit_s": ', '"fit_s": "a", "x": '), "is no record of a comparison"),
        (before.replace(label, "AAAA"), "predictions of `knn` that cannot be read"),
        (before.replace(label, packed(np.full(96, 3, "<u2"))), "predictions of `knn` that cannot be read"),
        (before.replace(drawn, "0" * 16), "results of other splits"),
    ):
        out.write_text(broken)
        refused = cli("compare", rows, *ROLES, *knn, "--repeats", "1")
        assert (refused.code, out.read_text()) == (2, broken)
        assert words in refused.err
    out.write_text(before)
    plant(runs=4, seed=1).to_csv(rows, index=False)
    assert "another data (the rows differ)" in cli("compare", rows, *ROLES, *knn, "--repeats", "1").err
    assert out.read_text() == before


def test_one_split_by_blocks_has_no_interval(cli: Callable[..., Any], rows: Path) -> None:
    ran = cli("compare", rows, *ROLES, *FAST, "--split", "block", "--window", "3", "--json")
    record = json.loads(ran.out)
    assert [(line["splits"], line["mean_recall_low"]) for line in record["summary"]] == [(1, None), (1, None)]
    assert [line["against_best"] for line in record["summary"]] == [BEST, UNTESTED]
    assert any("One split gives no interval and no test" in note for note in record["caveats"])


def test_the_language_model_comes_last() -> None:
    left = unfinished([0, 1], ["language-model", "knn", "svm"], {(0, "knn"), (1, "language-model")})
    assert list(left) == [(0, ["svm"]), (1, ["knn", "svm"]), (0, ["language-model"])]


def test_compare_runs_wrong_use(cli: Callable[..., Any], rows: Path, tmp_path: Path, plant: Any) -> None:
    single, lone = tmp_path / "single.csv", tmp_path / "lone.csv"
    plant().assign(fault="1").to_csv(single, index=False)
    plant(runs=1).to_csv(lone, index=False)
    mixed = tmp_path / "mixed.csv"
    plant().sample(frac=1, random_state=0).to_csv(mixed, index=False)
    for argv, words in (
        ((rows, "--group", "run"), "which column holds the label? It has"),
        ((mixed, "--target", "fault"), "pass --group COL (the run, batch or machine of each row), --time COL"),
        ((rows, "--target", "fault", "--split", "row", "--window", "3"), "pass --group COL or --window 1"),
        ((rows, *ROLES, "--experts", "knnn"), "did you mean `knn`?"),
        ((rows, *ROLES, "--window", "17"), "no full window is left for `0`, `1`, `2`"),
        ((rows, *ROLES, "--normal", "9"), "No row is labelled `9`"),
        ((rows, *ROLES, "--repeats", "0"), "--repeats is 0: choose 1 or more"),
        ((rows, *ROLES, "--seeds", "3"), "--seeds belongs to --protocol thesis, and this is runs"),
        ((rows, *ROLES, "--published", "x"), "--published belongs to --protocol thesis"),
        ((rows, *ROLES, "--protocol", "run"), "no protocol `run` (did you mean `runs`?)"),
        ((rows, *ROLES, "--protocol", "thesis", "--repeats", "3"), "--repeats belongs to --protocol runs"),
        ((rows, *ROLES, "--protocol", "thesis", "--split", "row"), "thesis's protocol has no setting split"),
        ((rows, *ROLES, "--report", "x.pdf"), "give it the ending .html"),
        ((rows, *ROLES, "--report", tmp_path / "none" / "x.html"), "There is no folder"),
        ((single, *ROLES), "has only the class `1` in `fault`"),
        ((lone, *ROLES), "`0`, `1`, `2` occurs in one run only"),
    ):
        ran = cli("compare", *argv)
        assert (ran.code, ran.out) == (2, ""), (argv, ran.err)
        assert words in ran.err, (argv, ran.err)
    config = tmp_path / "c.yaml"
    config.write_text("normal_only: true\n")
    assert "leave normal_only out" in cli("compare", rows, *ROLES, "--config", config).err
    with pytest.raises(DataError, match="only the class"):
        plan(read_source(single, target="fault", group="run"), TableSettings())


# --- the report ----------------------------------------------------------------------------------------------


def test_the_report_is_one_page_that_nothing_can_break_out_of(
    cli: Callable[..., Any], tmp_path: Path, plant: Any
) -> None:
    names = {"0": "normal", "1": "<script>alert(1)</script>", "2": r"$\frac{1}$ & 'q' \u202e"}
    path, report, out = tmp_path / "<b>rows.csv", tmp_path / "out.html", tmp_path / "out.json"
    plant(runs=4).replace({"fault": names}).to_csv(path, index=False)
    flags = (*ROLES, "--experts", "knn,svm", "--repeats", "2", "--out", out, "--report", report)
    assert cli("compare", path, *flags).code == 0
    page = report.read_text()
    assert "<script" not in page.lower()
    assert "<b>rows" not in page
    assert not re.search(r"(?:src|href)=\"(?!#)|https?://|@import|url\((?!#)", page)
    assert page.count("&lt;script&gt;alert(1)") >= 2
    assert page.count('<svg role="img"') == 2
    assert "$\\frac{1}$ &amp; &#39;q&#39;" in page
    record = json.loads(out.read_text())
    for line in record["summary"]:
        assert f"{line['mean_recall']:.3f}" in page
        assert line["expert"] in page
    shares = [round(100 * n / sum(row)) for row in record["confusion"]["rows"] for n in row]
    cells = re.findall(r'<td class="(?:same|other)[^>]*>(\d*)</td>', page)
    assert [int(cell or 0) for cell in cells] == shares
    assert cli("compare", path, *flags).code == 0
    assert report.read_text() == page  # the same record gives the same page


def test_many_labels_leave_the_matrix_out(cli: Callable[..., Any], tmp_path: Path) -> None:
    from faultwise.report.pages.comparison_page import render_page

    rng = np.random.default_rng(0)
    y = np.repeat([f"label {at}" for at in range(45)], 6)
    frame = pd.DataFrame({"a": rng.normal(size=len(y)), "b": rng.normal(size=len(y)), "y": y})
    path, out = tmp_path / "many.csv", tmp_path / "many.json"
    frame.to_csv(path, index=False)
    assert (
        cli("compare", path, "--target", "y", "--split", "row", "--experts", "knn", "--out", out, "--repeats", "1").code
        == 0
    )
    page = render_page(json.loads(out.read_text()))
    assert "Confusion matrix" not in page
    assert "Most frequent confusions" in page
    assert "halves of rows drawn at random" in page


def test_a_plan_of_seeds(rows: Path) -> None:
    """Repeats are seeds: those from another first seed on are the same where they overlap."""
    table = read_source(rows, target="fault", group="run")
    first, later = plan(table, TableSettings(), 3), plan(table, TableSettings(seed=1), 2)
    assert all(first.splits[at].drawn == split.drawn for at, split in later.splits.items())
    assert len({split.drawn for split in first.splits.values()}) == 6
    assert replace(first, splits=later.splits).ratio == 1.0
