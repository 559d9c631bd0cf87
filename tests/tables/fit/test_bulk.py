"""Files of any size: a line per row, interrupted and resumed, one expert alone, findings on demand, sampled fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError, UserError
from faultwise.tables import bulk
from faultwise.tables.bulk import diagnose_file
from faultwise.tables.reading import batches
from faultwise.tables.reading.sampling import read_sample

ROLES = ("--target", "fault", "--group", "run")


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any, plant: Any) -> Diagnoser:
    rows = plant(runs=4, rows=24)
    made = Diagnoser(window=4, experts=("extra-trees", "hist-gradient-boosting", "logistic-regression"))
    made.fit(rows.drop(columns=["fault", "run"]), rows["fault"], rows["run"])
    return Diagnoser.load(made.save(tmp_path_factory.mktemp("bulk") / "run"))


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read everything in pieces of 50 rows, as if it were huge."""
    monkeypatch.setattr(batches, "_LARGE_CELLS", 10)
    monkeypatch.setattr(batches, "_LARGE_TEXT", {"plain": 100, "gz": 100})
    monkeypatch.setattr(bulk, "_MOST_ROWS", 50)


@pytest.fixture(params=["csv", "parquet", "csv.gz", "folder"])
def source(request: Any, tmp_path: Path, plant: Any) -> Path:
    rows = plant(runs=5, rows=20, seed=3)
    if request.param == "folder":
        folder = tmp_path / "runs"
        folder.mkdir()
        for name, part in rows.groupby("run"):
            part.drop(columns="run").to_csv(folder / f"{name}.csv", index=False)
        return folder
    path = tmp_path / f"new.{request.param}"
    rows.to_parquet(path) if request.param == "parquet" else rows.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_pieces_give_what_the_whole_gives(
    run: Diagnoser, source: Path, tmp_path: Path, small_pieces: None, ending: str
) -> None:
    out = tmp_path / f"rows{ending}"
    told = diagnose_file(run.model_, source, out)
    lines = pd.read_parquet(out) if ending == ".parquet" else pd.read_csv(out, dtype={"label": str, "run": str})
    whole = run.model_.label_rows(run.model_.read(source))
    assert lines["row"].tolist() == whole["row"].tolist()
    assert lines["run"].tolist() == whole["run"].tolist()
    assert lines["label"].tolist() == whole["label"].tolist()
    assert lines["probability"].to_numpy() == pytest.approx(whole["probability"].to_numpy(), abs=1e-6)
    assert lines[["p(0)", "p(1)", "p(2)"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert (told["rows"], told["judged"]) == (300, len(whole))
    assert told["labels"] == whole["label"].value_counts().to_dict()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_it_goes_on_where_it_was_interrupted(
    run: Diagnoser, source: Path, tmp_path: Path, small_pieces: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnose_file(run.model_, source, tmp_path / "reference.parquet")
    pushed = 0
    push = bulk.pq.write_table

    def interrupted(*args: Any, **options: Any) -> None:
        nonlocal pushed
        pushed += 1
        if pushed == 4:
            raise KeyboardInterrupt
        push(*args, **options)

    out = tmp_path / "rows.parquet"
    with monkeypatch.context() as patch:
        patch.setattr(bulk.pq, "write_table", interrupted)
        with pytest.raises(KeyboardInterrupt):
            diagnose_file(run.model_, source, out)
    assert not out.exists()
    told = diagnose_file(run.model_, source, out)
    assert told["resumed_parts"] == 3
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(tmp_path / "reference.parquet"))


def test_parts_of_other_work_are_not_used(run: Diagnoser, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.parquet"
    parts = tmp_path / ".rows.parquet.parts"
    parts.mkdir()
    (parts / "key").write_text("something else")
    (parts / "part-000000.parquet").write_bytes(b"rubbish")
    assert diagnose_file(run.model_, source, out)["resumed_parts"] == 0


def test_a_full_disk_says_so_and_keeps_what_is_done(
    run: Diagnoser, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bulk.pq, "write_table", full)
        with pytest.raises(UserError, match=r"No space left.*goes on from there"):
            diagnose_file(run.model_, source, tmp_path / "rows.parquet")
    assert not (tmp_path / "rows.parquet").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX limits")
def test_a_limit_on_file_size_leaves_nothing_half_written(run: Diagnoser, plant_csv: Path, tmp_path: Path) -> None:
    """The operating system refuses to write more than 64 bytes: fit and diagnose both end with a sentence."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from faultwise.cli.main import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64)); sys.exit(main(sys.argv[1:]))"
    )
    folder = tmp_path / "run"
    run.save(folder)
    fit = ("fit", plant_csv, "--out", tmp_path / "new", *ROLES, "--experts", "logistic-regression")
    for argv in (fit, ("diagnose", folder, plant_csv, "--out", tmp_path / "rows.csv")):
        command = [sys.executable, "-c", code, *map(str, argv)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (1, 2), done.stderr
        assert "File too large" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "rows.csv").exists()


def test_one_expert_alone(run: Diagnoser, cli: Any, plant: Any, tmp_path: Path) -> None:
    rows = plant(runs=3, rows=20, seed=9)
    rows.to_csv(tmp_path / "new.csv", index=False)
    folder = run.save(tmp_path / "run")
    ran = cli(
        "diagnose", folder, tmp_path / "new.csv", "--out", tmp_path / "r.csv", "--expert", "extra-trees", "--json"
    )
    assert ran.code == 0
    assert json.loads(ran.out)["judged"] == 9 * 17
    alone = run.model_.only("extra-trees")
    assert set(alone.fitted.ensemble.experts) == {"extra-trees"}
    p = alone.predict_proba(rows[["flow", "level", "temp"]], rows["run"])
    known = p[~pd.isna(p).any(axis=1)]
    assert known.sum(axis=1) == pytest.approx(1)
    assert alone.fitted.ensemble.detector.threshold != run.model_.fitted.ensemble.detector.threshold
    with pytest.raises(UserError, match="did you mean `extra-trees`"):
        run.model_.only("extra-tree")


def test_findings_on_demand_in_a_large_file(
    run: Diagnoser, tmp_path: Path, plant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = plant(runs=5, rows=20, seed=3)
    path = tmp_path / "new.parquet"
    rows.to_parquet(path)
    small = run.diagnose(path, row=270)
    monkeypatch.setattr(batches, "_LARGE_CELLS", 10)
    monkeypatch.setattr("faultwise.tables.model._NEAR", 8)
    large = run.diagnose(path, row=270)
    assert large.cases[0].findings == small.cases[0].findings
    assert (large.cases[0].row, large.cases[0].interval) == (270, small.cases[0].interval)
    assert large.cases[0].verdict.label == small.cases[0].verdict.label
    assert any("Only the 8 rows" in note for note in large.notes)
    with pytest.raises(DataError, match="rows 1 to 300"):
        run.diagnose(path, row=301)


def test_outputs_that_cannot_be(run: Diagnoser, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"choose \.parquet or \.csv"):
        diagnose_file(run.model_, source, tmp_path / "rows.xlsx")
    with pytest.raises(UserError, match="does not exist"):
        diagnose_file(run.model_, source, tmp_path / "nowhere" / "rows.csv")


def test_a_large_source_is_sampled_for_a_fit(
    tmp_path: Path, plant: Any, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = plant(runs=8, rows=50)
    rows = pd.concat([rows, rows[rows["fault"] == "0"].assign(run="0z")], ignore_index=True)
    path = tmp_path / "large.parquet"
    rows.to_parquet(path)
    monkeypatch.setattr(batches, "_LARGE_CELLS", 10)
    table = read_sample(path, 300, target="fault", group="run")
    assert table.frame["fault"].value_counts().to_dict() == {"0": 100, "1": 100, "2": 100}
    assert any("of its 1,600 rows 300 were drawn" in note for note in table.notes)
    runs = read_sample(path, 300, whole_runs=True, target="fault", group="run")
    sizes = runs.frame.groupby("run").size()
    assert (sizes.drop("0z", errors="ignore") == 50).all()
    assert set(runs.y) == {"0", "1", "2"}
    monkeypatch.setattr("faultwise.tables.sources._SPARE", 1)
    flags = ("--experts", "logistic-regression", "--set", "most_rows=300", "--window", "3")
    ran = cli("fit", path, "--out", tmp_path / "run", *ROLES, *flags)
    assert ran.code == 0
    assert "were drawn" in ran.err
    with pytest.raises(DataError, match="pass --group"):
        read_sample(path, 300, whole_runs=True, target="fault")
    with pytest.raises(DataError, match="no column `nope`"):
        read_sample(path, 300, target="nope")
