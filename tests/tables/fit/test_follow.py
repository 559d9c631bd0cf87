"""A file that grows: whole lines only, through rotation, truncation and restarts; verdicts equal those of the batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError, UserError
from faultwise.tables.follow import Follower
from faultwise.tables.reading.text.growing import GrowingFile


@pytest.fixture(scope="module")
def run(tmp_path_factory: Any, plant: Any) -> Diagnoser:
    rows = plant(runs=4, rows=24)
    made = Diagnoser(window=4, experts=("extra-trees",))
    made.fit(rows.drop(columns=["fault", "run"]), rows["fault"], rows["run"])
    return Diagnoser.load(made.save(tmp_path_factory.mktemp("follow") / "run"))


def _csv(rows: pd.DataFrame, header: bool = True) -> str:
    return str(rows.to_csv(index=False, header=header))


def _add(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(text)


def _all(file: GrowingFile) -> pd.DataFrame:
    """Read until there is nothing new."""
    frames = []
    while (rows := file.read()) is not None:
        frames.append(rows)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def test_only_whole_lines_count(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    file = GrowingFile(path)
    assert file.read() is None  # not there yet
    path.write_text("a,b\n1,2\n3")
    assert _all(file).to_dict("list") == {"a": [1], "b": [2]}
    _add(path, ",4\n5,6\n\n7,")
    assert _all(file).to_dict("list") == {"a": [3, 5], "b": [4, 6]}
    assert file.read() is None


def test_semicolons_decimal_commas_and_words(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes('\ufeffZeit;Druck;Zustand\r\n06:30;1,5;"läuft; gut"\r\n'.encode())
    file = GrowingFile(path, texts=("Zeit", "Zustand"))
    rows = _all(file)
    assert rows.to_dict("list") == {"Zeit": ["06:30"], "Druck": [1.5], "Zustand": ["läuft; gut"]}


def test_rotation_reads_the_rest_of_the_old_file_first(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,1\n")
    file = GrowingFile(path)
    assert _all(file)["a"].tolist() == [1]
    _add(path, "2,2\n")
    path.rename(tmp_path / "log.csv.1")
    assert _all(file)["a"].tolist() == [2]
    path.write_text("a,b\n3,3\n")
    assert _all(file)["a"].tolist() == [3]
    path.rename(tmp_path / "log.csv.2")
    path.write_text("4,4\n")  # some loggers write the header once only
    assert _all(file)["a"].tolist() == [4]


def test_truncation_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,1\n2,2\n3,3\n")
    file = GrowingFile(path)
    assert len(_all(file)) == 3
    path.write_text("a,b\n9,9\n")
    assert _all(file)["a"].tolist() == [9]


def test_broken_lines_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text('a,b\n1,1\n2,2,2,2\n3,"x"y",3\n4,4\n')
    file = GrowingFile(path)
    assert 1 in _all(file)["a"].tolist()
    assert file.skipped >= 1


def test_a_restart_goes_on_only_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n1,1\n2,2\n")
    first = GrowingFile(path)
    _all(first)
    state = json.loads(json.dumps(first.state()))
    _add(path, "3,3\n")
    second = GrowingFile(path)
    second.restore(state)
    assert _all(second)["a"].tolist() == [3]
    path.write_text("a,b\n7,7\n8,8\n9,9\n")
    third = GrowingFile(path)
    third.restore(state)
    assert _all(third)["a"].tolist() == [7, 8, 9]
    with pytest.raises(DataError, match="remove it"):
        GrowingFile(path).restore({"offset": "x"})


@pytest.mark.parametrize("name", ["log.csv.gz", "log.parquet"])
def test_what_does_not_grow_by_lines_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="does not grow by lines"):
        GrowingFile(tmp_path / name)


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("faultwise.tables.reading.text.growing._LONGEST_LINE", 1000)
    monkeypatch.setattr("faultwise.tables.reading.text.growing._MOST_BYTES", 100)
    path = tmp_path / "log.csv"
    path.write_text("a,b\n" + "1" * 2000)
    file = GrowingFile(path)
    with pytest.raises(DataError, match="no table"):
        _all(file)


def test_followed_equals_batch_over_restarts_and_rotation(run: Diagnoser, plant: Any, tmp_path: Path) -> None:
    rows = plant(runs=3, rows=20, seed=4).drop(columns="fault")
    path, out, state = tmp_path / "log.csv", tmp_path / "rows.csv", tmp_path / "state.json"
    parts = np.array_split(np.arange(len(rows)), 6)
    path.write_text(_csv(rows.iloc[:0]))
    for number, part in enumerate(parts):
        if number == 3:
            path.rename(tmp_path / "log.csv.1")
            path.write_text(_csv(rows.iloc[:0]))
        _add(path, _csv(rows.iloc[part], header=False))
        # A new process each time: only the state file remembers.
        for _ in Follower(run.model_, path, state=state, out=out, poll=0.01, idle=0):
            pass
    lines = pd.read_csv(out, dtype={"run": str, "label": str})
    whole = run.model_.label_rows(run.model_.read(tmp_path / "whole.csv")) if _whole(tmp_path, rows) else None
    assert whole is not None
    for name in ("row", "run", "label", "probability", "fault_score"):
        assert lines[name].tolist() == whole[name].tolist(), name


def _whole(tmp_path: Path, rows: pd.DataFrame) -> bool:
    rows.to_csv(tmp_path / "whole.csv", index=False)
    return True


def test_lines_after_the_saved_state_are_written_once(run: Diagnoser, plant: Any, tmp_path: Path) -> None:
    rows = plant(runs=1, rows=12, seed=4).drop(columns="fault")
    path, out, state = tmp_path / "log.csv", tmp_path / "rows.csv", tmp_path / "state.json"
    path.write_text(_csv(rows))
    list(Follower(run.model_, path, state=state, out=out, idle=0))
    before = out.read_text()
    _add(out, '99,"torn","0",1.0,0.')  # what a killed process may leave
    list(Follower(run.model_, path, state=state, out=out, idle=0))
    assert out.read_text() == before


def test_strangers_are_refused(run: Diagnoser, plant: Any, tmp_path: Path) -> None:
    path, out, state = tmp_path / "log.csv", tmp_path / "rows.csv", tmp_path / "state.json"
    path.write_text(_csv(plant(runs=1, rows=8)))
    out.write_text("something")
    with pytest.raises(UserError, match="no state to go on from"):
        Follower(run.model_, path, out=out)
    state.write_text("{}")
    with pytest.raises(DataError, match="no state of a followed file"):
        Follower(run.model_, path, state=state)
    state.write_text(json.dumps({"run": "other", "out": None, "file": GrowingFile(path).state(), "stream": None}))
    with pytest.raises(DataError, match="another run"):
        Follower(run.model_, path, state=state)
    with pytest.raises(DataError, match="no folder"):
        Follower(run.model_, tmp_path / "nowhere" / "log.csv")


def test_the_command_says_changes_and_ends_on_ctrl_c(run: Diagnoser, plant: Any, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "run")
    path = tmp_path / "log.csv"
    rows = plant(runs=1, rows=8, seed=4).drop(columns="fault")
    path.write_text(_csv(rows))
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from faultwise.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "diagnose", str(folder), str(path), "--follow", "--poll", "0.05"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = [process.stdout.readline() for _ in range(3)]
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert [line.split(" row")[0] for line in said] == ["0a", "1a", "2a"]
    assert "24 rows followed" in err


def test_the_command_as_json_lines(run: Diagnoser, plant: Any, tmp_path: Path, cli: Any) -> None:
    folder = run.save(tmp_path / "run")
    path = tmp_path / "log.csv"
    path.write_text(_csv(plant(runs=1, rows=6, seed=4).drop(columns="fault")))
    ran = cli("diagnose", folder, path, "--follow", "--idle", "0", "--json")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert (ran.code, len(lines)) == (0, 9)
    assert {"row", "run", "label", "probability", "fault_score"} <= set(lines[0])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--follow", "--out", "rows.parquet"), "choose .csv"),
        (("--follow", "--row", "3"), "leave --report and --row out"),
        (("--state", "s.json"), "belong to --follow"),
        (("--follow", "--poll", "0"), "seconds above 0"),
    ],
)
def test_flags_that_do_not_go_together(
    run: Diagnoser, tmp_path: Path, cli: Any, plant_csv: Path, flags: tuple[str, ...], words: str
) -> None:
    os.chdir(tmp_path)
    ran = cli("diagnose", run.save(tmp_path / "run"), plant_csv, *flags)
    assert ran.code == 2
    assert words in ran.err
