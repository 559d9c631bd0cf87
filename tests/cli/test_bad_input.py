"""Every bad input is refused by the command line in one line that says what to do, and leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise.runs.folders import _checksum

ROLES = ("--target", "fault", "--group", "run")
FAST = ("--experts", "logistic-regression")


def _tree(folder: Path) -> dict[str, str]:
    """Every path below a folder, hidden ones too, with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(cli: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """Run a command that must be refused, saying all `words`, with the folder left as it was."""

    def run(*argv: object, words: tuple[str, ...]) -> str:
        before = _tree(tmp_path)
        ran = cli(*argv)
        assert ran.code == 2, ran.err
        assert ran.out == ""
        lines = ran.err.splitlines()
        assert len(lines) == 1, ran.err
        assert lines[0].startswith("faultwise: ")
        assert "Traceback" not in ran.err
        lost = [word for word in words if word not in lines[0]]
        assert not lost, f"{lost} not said in: {lines[0]}"
        assert _tree(tmp_path) == before
        return str(lines[0])

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    """Write a frame as CSV."""

    def to_csv(frame: pd.DataFrame, name: str = "rows.csv") -> Path:
        frame.to_csv(tmp_path / name, index=False)
        return tmp_path / name

    return to_csv


@pytest.fixture
def run_copy(run_folder: Path, tmp_path: Path) -> Path:
    """A run folder to spoil."""
    return Path(shutil.copytree(run_folder, tmp_path / "run copy"))


# --- the file cannot be read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ("is empty", "check how it was exported")),
        (b"\n\n  \n", ("is empty",)),
        (b"flow,level,fault,run\n", ("header and no rows",)),
        (bytes(range(256)) * 20, ("binary", "export it as CSV")),
        ("flow,fault\n1,2\n".encode("utf-16-le"), ("binary", "byte order mark")),
        (b"\xff\xfe" + "flow,fault\n1,2\n".encode("utf-16-le") + b"\x00", ("utf-16", "encoding")),
        (b"flow,fault\n1,2,3\n", ("line 2", "3 fields", "header has 2")),
        (b"1.5,2.5\n1.5,2.5\n", ("only numbers", "add a header line")),
    ],
    ids=["empty", "blank", "header-only", "binary", "utf-16-no-bom", "utf-16-cut", "too-wide", "no-header"],
)
def test_unreadable_text(refused: Any, tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("rows.csv", *words))


def test_truncated_parquet(refused: Any, tmp_path: Path, plant: Any) -> None:
    path = tmp_path / "rows.parquet"
    plant().to_parquet(path)
    path.write_bytes(path.read_bytes()[:-50])
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("not a readable Parquet", "write it again"))


def test_no_such_file_suggests_the_nearest(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    write(plant(), "plant.csv")
    argv = ("fit", tmp_path / "plannt.csv", "--out", tmp_path / "run", *ROLES, *FAST)
    refused(*argv, words=("There is no file or folder", "did you mean", "plant.csv"))


def test_unknown_kind_of_file(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.docx").write_bytes(b"PK\x03\x04")
    argv = ("fit", tmp_path / "rows.docx", "--out", tmp_path / "run", *ROLES, *FAST)
    refused(*argv, words=(".docx", "export it as CSV"))


# --- roles and classes ---------------------------------------------------------------------------------------


def test_no_such_column(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", "--target", "Faultt", "--group", "run", *FAST)
    refused(*argv, words=("no column `Faultt`", "--target 'fault'"))


def test_no_target(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    refused("fit", plant_csv, "--out", tmp_path / "run", *FAST, words=("which column holds the label", "--target"))


def test_no_group_and_no_split(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().sample(frac=1, random_state=0))
    argv = ("fit", path, "--out", tmp_path / "run", "--target", "fault", "--ignore", "run", *FAST)
    refused(*argv, words=("--group COL", "--time COL", "--split block", "--split row"))


def test_several_rows_for_one_time_and_no_group(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(hour=[*range(16)] * 9))
    argv = ("fit", path, "--out", tmp_path / "run", "--target", "fault", "--ignore", "run", "--time", "hour", *FAST)
    refused(*argv, words=("several rows for one time in `hour`", "--group COL"))


def test_one_role_too_many(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", "--target", "fault", "--group", "fault", *FAST)
    refused(*argv, words=("`fault`", "two roles"))


def test_one_class_only(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().query("fault == '0'"))
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("only the class `0`", "two at least"))


def test_each_class_in_one_run_only(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant(runs=1))
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("`2`", "one run only", "--split block"))


def test_no_row_with_a_label(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(fault=None))
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("none of 144 rows has a label", "`fault`"))


def test_events_before_their_start_and_empty_ones(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(hour=[*range(16)] * 9))
    roles = ("--group", "run", "--time", "hour", "--ignore", "fault")
    events = write(pd.DataFrame({"run": ["0a"], "start": [5], "end": [4], "fault": ["leak"]}), "events.csv")
    argv = ("fit", path, "--out", tmp_path / "run", "--events", events, *roles, *FAST)
    refused(*argv, words=("event 1 (`leak`) ends at 4, before its start at 5",))
    events.write_text("run,start,end,fault\n")
    refused(*argv, words=("events.csv",))
    refused(*argv[:4], "--events", tmp_path / "none.csv", *roles, *FAST, words=("There is no file", "none.csv"))
    refused(*argv[:4], "--target", "fault", "--before", "3", *roles[:4], *FAST, words=("--events FILE",))


def test_only_constant_columns(refused: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(flow=1, level=2, temp=3))
    refused("fit", path, "--out", tmp_path / "run", *ROLES, *FAST, words=("no column that holds information",))


def test_normal_label_that_does_not_exist(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, "--normal", "ok")
    refused(*argv, words=("No row is labelled `ok`", "`0`, `1`, `2`", "--normal"))


# --- gaps, texts and infinities: told, and lived with --------------------------------------------------------


def test_empty_column_is_left_out(cli: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(spare=np.nan))
    ran = cli("fit", path, "--out", tmp_path / "run", *ROLES, *FAST)
    assert ran.code == 0
    assert "Left out because they are empty: `spare`" in ran.err
    ran = cli("diagnose", tmp_path / "run", path, "--json")
    assert ran.code == 0
    assert all(f["variable"] != "spare" for case in json.loads(ran.out)["cases"] for f in case["findings"])


def test_text_and_infinities_in_numeric_columns(cli: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    rows = plant().astype({"flow": object, "level": object})
    rows.loc[[5, 6], "flow"] = "sensor error"
    rows.loc[7, "level"] = "inf"
    path = write(rows)
    ran = cli("fit", path, "--out", tmp_path / "run", *ROLES, *FAST)
    assert ran.code == 0
    assert "`flow`: 2 of 144 values are text (`sensor error`): treated as missing" in ran.err
    assert "`level`: 1 of 144 values are infinite: treated as missing" in ran.err


# --- diagnosis -----------------------------------------------------------------------------------------------


def _verdicts(ran: Any) -> list[tuple[Any, ...]]:
    assert ran.code == 0, ran.err
    return [
        (c["name"], c["row"], c["verdict"]["label"], c["verdict"]["fault_score"]) for c in json.loads(ran.out)["cases"]
    ]


def test_missing_column(refused: Any, run_folder: Path, write: Any, plant: Any) -> None:
    words = ("1 of 3 columns", "missing", "`level`", "fit again without")
    refused("diagnose", run_folder, write(plant().drop(columns="level")), words=words)


def test_renamed_column(refused: Any, run_folder: Path, write: Any, plant: Any) -> None:
    words = ("missing: `level`", "Perhaps renamed: `Levels` looks like `level`")
    refused("diagnose", run_folder, write(plant().rename(columns={"level": "Levels"})), words=words)


def test_extra_and_reordered_columns(cli: Any, run_folder: Path, write: Any, plant: Any) -> None:
    rows = plant(seed=1)
    plain = cli("diagnose", run_folder, write(rows, "plain.csv"), "--json")
    turned = write(rows[["temp", "run", "level", "fault", "flow"]].assign(more=1.5), "turned.csv")
    ran = cli("diagnose", run_folder, turned, "--json")
    assert _verdicts(ran) == _verdicts(plain)
    assert "`more`" in ran.err
    assert "ignored" in ran.err


def test_numeric_column_turned_to_text(refused: Any, run_folder: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(flow="open"))
    refused("diagnose", run_folder, path, words=("`flow` was numeric", "only text", "`open`", "give numbers"))


def test_unseen_category(cli: Any, tmp_path: Path, write: Any, plant: Any) -> None:
    rows = plant()
    rows["state"] = np.where(rows["fault"] == "2", "off", "on")
    assert cli("fit", write(rows), "--out", tmp_path / "run", *ROLES, *FAST, "--set", "keep=state").code == 0
    ran = cli("diagnose", tmp_path / "run", write(rows.assign(state="broken"), "new.csv"), "--json")
    assert ran.code == 0
    assert "`state`: 144 rows hold a category never seen in training (`broken`)" in ran.err


def test_row_out_of_range(refused: Any, run_folder: Path, plant_csv: Path) -> None:
    for row in (0, 145):
        words = (f"Row {row} was asked for", "rows 1 to 144")
        refused("diagnose", run_folder, plant_csv, "--row", row, words=words)


def test_report_with_unknown_suffix(refused: Any, tmp_path: Path, run_folder: Path, plant_csv: Path) -> None:
    argv = ("diagnose", run_folder, plant_csv, "--report", tmp_path / "report.pdf")
    refused(*argv, words=("report.pdf", ".html", ".md", ".json"))


@pytest.mark.parametrize("flag", ["--report", "--out"])
def test_output_into_a_missing_folder(
    refused: Any, tmp_path: Path, run_folder: Path, plant_csv: Path, flag: str
) -> None:
    out = tmp_path / "nowhere" / ("out.md" if flag == "--report" else "out.csv")
    refused("diagnose", run_folder, plant_csv, flag, out, words=("no folder", "nowhere", "create it"))


def test_negative_counts(refused: Any, run_folder: Path, plant_csv: Path) -> None:
    refused("diagnose", run_folder, plant_csv, "--cases", "0", words=("cases is 0", "1 or more"))
    for command in ("diagnose", "evaluate"):
        words = ("score_rows is -1", "0 or more")
        refused(command, run_folder, plant_csv, "--score-rows", "-1", words=words)


def test_evaluate_without_labels(refused: Any, run_folder: Path, write: Any, plant: Any) -> None:
    path = write(plant().drop(columns="fault"))
    refused("evaluate", run_folder, path, words=("no column `fault`", "no labels"))


def test_evaluate_with_labels_never_trained(refused: Any, run_folder: Path, write: Any, plant: Any) -> None:
    path = write(plant().assign(fault="77"))
    refused("evaluate", run_folder, path, words=("labelled `77`", "knows `0`, `1`, `2`"))


# --- run folders ---------------------------------------------------------------------------------------------


def test_flipped_byte(refused: Any, run_copy: Path, plant_csv: Path) -> None:
    files = [f for f in run_copy.rglob("*") if f.is_file() and f.name != "manifest.json"]
    assert len(files) > 2
    for file in files:
        raw = file.read_bytes()
        file.write_bytes(raw[:-9] + bytes([raw[-9] ^ 1]) + raw[-8:])
        refused("diagnose", run_copy, plant_csv, words=(file.name, "edited after the fit", "SHA-256", "Fit again"))
        file.write_bytes(raw)


def test_edited_manifest(refused: Any, run_copy: Path, plant_csv: Path) -> None:
    path = run_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["settings"]["seed"] = 7
    path.write_text(json.dumps(manifest))
    refused("diagnose", run_copy, plant_csv, words=("manifest.json", "edited", "checksum", "Fit again"))


@pytest.mark.parametrize("signed", [False, True])
def test_newer_format(refused: Any, run_copy: Path, plant_csv: Path, signed: bool) -> None:
    path = run_copy / "manifest.json"
    manifest = {**json.loads(path.read_text()), "format": 99, "version": "9.9.9"}
    del manifest["checksum"]
    manifest["checksum"] = _checksum(manifest) if signed else "0" * 64
    path.write_text(json.dumps(manifest))
    refused("diagnose", run_copy, plant_csv, words=("format 99", "9.9.9", "update", "pip install"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "x"}', '{"format": 2, "a": NaN}', "\ufeff{"])
def test_manifest_that_is_none(refused: Any, run_copy: Path, plant_csv: Path, content: str) -> None:
    (run_copy / "manifest.json").write_text(content)
    refused("diagnose", run_copy, plant_csv, words=("manifest.json",))


def test_missing_file_in_run(refused: Any, run_copy: Path, plant_csv: Path) -> None:
    (run_copy / "state.json").unlink()
    refused("evaluate", run_copy, plant_csv, words=("incomplete", "`state.json` is missing", "Fit again"))


def test_not_a_run_folder(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    refused("diagnose", tmp_path, plant_csv, words=("no manifest.json", "no run folder"))
    refused("diagnose", tmp_path / "none", plant_csv, words=("no run folder", "faultwise fit", "--out"))
    refused("diagnose", plant_csv, plant_csv, words=("no run folder",))


def test_out_at_a_foreign_folder(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    words = ("mine", "is no run folder", "another --out", "nothing was written")
    refused("fit", plant_csv, "--out", tmp_path / "mine", *ROLES, *FAST, words=words)
    refused("fit", plant_csv, "--out", tmp_path / "mine" / "thesis.txt", *ROLES, *FAST, words=words[1:])


# --- settings ------------------------------------------------------------------------------------------------


def test_unknown_expert(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--experts", "logistic-regression,random-forrest")
    refused(*argv, words=("no expert `random-forrest`", "did you mean `random-forest`"))


def test_bad_settings_are_told_at_once(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    config = tmp_path / "fit.yaml"
    config.write_text("windw: 20\nseed: first\nexperts: svm\nfolds: 2.5\nnormal: true\n")
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--config", config)
    words = ("`windw` (did you mean `window`?)", "`seed` is 'first'", "`experts`", "`folds` is 2.5", "`normal`")
    refused(*argv, words=words)


@pytest.mark.parametrize("content", ["- 1\n", "window: [\n", "just words", "\x00\x01"])
def test_config_that_is_no_mapping(refused: Any, tmp_path: Path, plant_csv: Path, content: str) -> None:
    (tmp_path / "fit.yaml").write_text(content)
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--config", tmp_path / "fit.yaml")
    refused(*argv, words=("fit.yaml",))


def test_config_that_is_not_there(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--config", tmp_path / "no.yaml")
    refused(*argv, words=("no.yaml", "There is no file"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--false-alarm-rate", "0"), ("false_alarm_rate is 0", "between 0 and 1")),
        (("--false-alarm-rate", "1.5"), ("false_alarm_rate is 1.5", "between 0 and 1")),
        (("--false-alarm-rate", "nan"), ("false_alarm_rate is nan", "between 0 and 1")),
        (("--window", "0"), ("window is 0", "1 or more")),
        (("--window", "100"), ("windows of 100 samples", "smaller --window")),
        (("--window", "4", "--split", "row"), ("--group COL", "--window 1")),
        (("--split", "runs"), ("split is `runs`", "group, block, row")),
        (("--set", "folds=1"), ("folds is 1", "2 or more")),
        (("--seed", "-1"), ("seed is -1", "0 or more")),
        (("--set", "language.steps=0"), ("language.steps is 0", "1 or more")),
        (("--set", "language.minutes=nan"), ("language.minutes is nan",)),
        (("--experts", ","), ("no expert is named",)),
        (("--experts", "language-model", "--no-lm"), ("no expert is named",)),
        (("--window", "0", "--set", "folds=0", "--split", "x"), ("window is 0", "folds is 0", "split is `x`")),
    ],
    ids=lambda value: " ".join(value) if value[0].startswith("--") else "",
)
def test_settings_out_of_range(
    refused: Any, tmp_path: Path, plant_csv: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refused("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, *flags, words=words)


def test_too_few_rows_drawn(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, "--set", "most_rows=2")
    refused(*argv, words=("most_rows",))


def test_unknown_model_offline(refused: Any, tmp_path: Path, plant_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTWISE_OFFLINE", "1")
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--experts", "language-model", "--set")
    refused(*argv, "language.model=smollm2-135m-instrct", words=("did you mean `smollm2-135m-instruct`",))
    refused(
        *argv, "language.model=nobody/no-such-model", words=("nobody/no-such-model", "switched off", "local folder")
    )


def test_companion_with_unknown_keys(refused: Any, tmp_path: Path, plant_csv: Path) -> None:
    about = tmp_path / "about.yaml"
    about.write_text("asset: pump\nvariables:\n  flow: {unitt: m3/h, low: little}\ncolour: red\n")
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, "--about", about)
    refused(*argv, words=("unknown key `colour`", "unknown key `unitt`", "`low` is 'little'"))
    refused(*argv[:-1], tmp_path / "none.yaml", words=("no companion file", "--about"))


def test_errors_stay_on_one_line(refused: Any, tmp_path: Path, plant: Any) -> None:
    """Names from data reach the terminal without line breaks and escape sequences."""
    path = tmp_path / "rows.parquet"
    plant().rename(columns={"flow": "a\x1b[31m\u2028b"}).to_parquet(path)
    argv = ("fit", path, "--out", tmp_path / "run", "--target", "x\ny", "--group", "run")
    line = refused(*argv, words=("no column", "--target"))
    assert line.isprintable()


# --- interrupted ---------------------------------------------------------------------------------------------


def test_interrupted_fit_leaves_nothing(
    cli: Any, tmp_path: Path, plant_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sklearn.linear_model import LogisticRegression

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(LogisticRegression, "fit", stop)
    ran = cli("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST)
    assert ran.code == 130
    assert ran.err.strip().splitlines()[-1].endswith("interrupted; nothing half-written was left behind.")
    assert ran.out == ""
    assert list(tmp_path.iterdir()) == []


def test_interrupted_save_keeps_the_old_run(
    cli: Any, tmp_path: Path, run_copy: Path, plant_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skops.io

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = _tree(tmp_path)
    monkeypatch.setattr(skops.io, "dump", stop)
    assert cli("fit", plant_csv, "--out", run_copy, *ROLES, *FAST, "--seed", "5").code == 130
    assert _tree(tmp_path) == before
