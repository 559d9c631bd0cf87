"""The commands as people and scripts use them: what goes to stdout, what to stderr, and the exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from argparse import SUPPRESS
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from faultwise import __version__
from faultwise.cli.main import build_parser, main
from faultwise.contracts.settings import options_of
from faultwise.images.settings import ImageSettings
from faultwise.tables.fit.settings import TableSettings

ROLES = ("--target", "fault", "--group", "run")
FAST = ("--experts", "logistic-regression,knn")


def _strict(text: str) -> Any:
    """Parse JSON as strictly as JavaScript does."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _clear_fault(path: Path) -> int:
    """The row, counted from 1, with the highest flow: fault 1 beyond doubt."""
    return int(pd.read_csv(path)["flow"].argmax()) + 1


def test_fit_evaluate_diagnose(cli: Callable[..., Any], tmp_path: Path, plant: Any) -> None:
    rows, new = tmp_path / "rows.csv", tmp_path / "new.parquet"
    plant().to_csv(rows, index=False)
    plant(seed=1).to_parquet(new)
    fit = cli("fit", rows, "--out", tmp_path / "run", *ROLES, *FAST, "--seed", 3, "--json")
    assert fit.code == 0
    made = _strict(fit.out)
    assert made["run"] == str(tmp_path / "run")
    assert made["labels"] == ["0", "1", "2"]
    assert made["normal"] == "0"
    assert set(made["validation"]["experts"]) == {"logistic-regression", "knn"}
    assert "Label `0` is taken to mean normal" in fit.err

    evaluate = cli("evaluate", tmp_path / "run", new, "--json")
    assert evaluate.code == 0
    figures = _strict(evaluate.out)
    assert figures["rows"] == 144
    assert figures["verdict"]["accuracy"] > 0.9
    assert 0 <= figures["verdict"]["far"] <= 0.2 < 0.9 < figures["verdict"]["fdr"]
    assert set(figures["recall_by_class"]["verdict"]) == {"0", "1", "2"}
    assert not any("very rows" in note for note in figures["notes"])

    diagnose = cli("diagnose", tmp_path / "run", new, "--json", "--cases", "2")
    assert diagnose.code == 0
    said = _strict(diagnose.out)
    assert len(said["cases"]) == 2
    assert len(said["runs"]) == 9
    assert said["provenance"]["settings"]["seed"] == 3
    assert said["provenance"]["data_hash"] == made["data_hash"]
    for case in said["cases"]:
        ids = {finding["id"] for finding in case["findings"]}
        assert all(set(sentence["findings"]) <= ids for sentence in case["narrative"])


def test_plain_output(cli: Callable[..., Any], run_folder: Path, plant_csv: Path) -> None:
    evaluate = cli("evaluate", run_folder, plant_csv)
    assert evaluate.code == 0
    assert re.search(r"expert +mean recall", evaluate.out)
    assert "fused verdict" in evaluate.out
    assert "Recall by label" in evaluate.err
    assert "Leak: 144 of 144 rows" in evaluate.err
    diagnose = cli("diagnose", run_folder, plant_csv, "--row", _clear_fault(plant_csv))
    assert diagnose.code == 0
    assert re.search(r"^Fault 1 — \d+%|^Fault 1 — >99", diagnose.out)
    assert "flow" in diagnose.out


def test_row_is_the_row_of_the_file(cli: Callable[..., Any], run_folder: Path, plant_csv: Path) -> None:
    for row in (1, 60, 144):
        (case,) = _strict(cli("diagnose", run_folder, plant_csv, "--row", row, "--json").out)["cases"]
        line = pd.read_csv(plant_csv).iloc[row - 1]
        assert (case["row"], case["name"]) == (row, line["run"])
        for finding in case["findings"]:
            assert finding["value"] == pytest.approx(line[finding["variable"]], rel=1e-6)


def test_reports(cli: Callable[..., Any], run_folder: Path, plant_csv: Path, tmp_path: Path) -> None:
    for name in ("r.html", "r.md", "r.json", "R.HTML"):
        ran = cli("diagnose", run_folder, plant_csv, "--row", "60", "--report", tmp_path / name)
        assert ran.code == 0
        assert f"Report: {tmp_path / name}" in ran.err
        content = (tmp_path / name).read_text(encoding="utf-8")
        assert "valve" not in content
        assert "flow" in content
    whole = _strict((tmp_path / "r.json").read_text())
    assert whole == _strict(cli("diagnose", run_folder, plant_csv, "--row", "60", "--json").out)
    assert (tmp_path / "r.html").read_text().lstrip().lower().startswith("<!doctype html>")


def test_csv_has_one_line_per_row(cli: Callable[..., Any], run_folder: Path, plant_csv: Path, tmp_path: Path) -> None:
    assert cli("diagnose", run_folder, plant_csv, "--out", tmp_path / "rows.csv").code == 0
    rows = pd.read_csv(tmp_path / "rows.csv", dtype={"label": str})
    named = ["row", "run", "label", "probability", "fault_score", "status", "fault_set", "p_known"]
    assert list(rows) == [*named, "p(0)", "p(1)", "p(2)"]
    assert rows["row"].tolist() == list(range(1, 145))
    assert (rows["label"] == pd.read_csv(plant_csv, dtype=str)["fault"]).mean() > 0.9
    assert rows["probability"].between(0, 1).all()


def test_rows_without_runs_and_labels(cli: Callable[..., Any], run_folder: Path, plant: Any, tmp_path: Path) -> None:
    """New rows need neither the label nor the run of training."""
    plant().query("run == '2a'")[["temp", "level", "flow"]].to_csv(tmp_path / "new.csv", index=False)
    ran = cli("diagnose", run_folder, tmp_path / "new.csv", "--json")
    assert ran.code == 0
    said = _strict(ran.out)
    assert len(said["runs"]) == 1
    assert said["cases"][0]["verdict"]["label"] == "2"


def test_times_are_told(cli: Callable[..., Any], tmp_path: Path, plant: Any) -> None:
    rows = plant()
    rows["at"] = pd.date_range("2024-03-05 14:00", periods=len(rows), freq="min").strftime("%H:%M")
    rows.to_csv(tmp_path / "rows.csv", index=False)
    argv = (tmp_path / "rows.csv", "--out", tmp_path / "run", *ROLES, *FAST, "--time", "at", "--window", "3")
    assert cli("fit", *argv).code == 0
    (case,) = _strict(cli("diagnose", tmp_path / "run", tmp_path / "rows.csv", "--row", 60, "--json").out)["cases"]
    assert (case["interval"]["start"], case["interval"]["end"]) == ("14:57", "14:59")
    assert (case["interval"]["first"], case["interval"]["last"]) == (10, 12)


# --- settings ------------------------------------------------------------------------------------------------


def test_flags_win_over_the_config(cli: Callable[..., Any], plant_csv: Path, tmp_path: Path) -> None:
    config = tmp_path / "fit.yaml"
    config.write_text("seed: 4\nfolds: 2\nexperts: [knn]\nfalse_alarm_rate: 0.1\n")
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--config", config, "--set", "folds=3", "--json")
    assert cli(*argv).code == 0
    made = json.loads((tmp_path / "run" / "manifest.json").read_text())
    asked = {key: made["settings"][key] for key in ("seed", "folds", "experts", "false_alarm_rate", "window")}
    assert asked == {"seed": 4, "folds": 3, "experts": ["knn"], "false_alarm_rate": 0.1, "window": "auto"}


def test_few_settings_are_flags_and_all_are_listed(cli: Callable[..., Any]) -> None:
    """`fit --help` shows 25 options at most; `settings` lists every field with its meaning, default and range."""
    parser = build_parser("fit")
    (commands,) = (action for action in parser._actions if hasattr(action, "choices") and action.dest == "command")
    shown = [action for action in commands.choices["fit"]._actions if action.option_strings and action.help != SUPPRESS]
    assert len(shown) <= 25
    listed = json.loads(cli("settings", "--json").out)
    for name, kind in (("tables", TableSettings), ("images", ImageSettings)):
        own = [line["setting"] for line in listed if line["modality"] == name]
        assert own == [option.name for option in options_of(kind)]
    assert all(line["meaning"] and line["default"] for line in listed)
    assert "rank of LoRA" in cli("settings", "language.rank").out
    assert "did you mean `language.rank`" in cli("settings", "languag.rank").err


def test_any_setting_is_reached_by_set_and_config(cli: Callable[..., Any], plant_csv: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("window: 3\nlanguage: {rank: 8}\n")
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, "--config", config)
    assert cli(*argv, "--set", "folds=2", "--set", "language.alpha=4", "--window", 2).code == 0
    settings = json.loads((tmp_path / "run" / "manifest.json").read_text())["settings"]
    chosen = (settings["window"], settings["folds"], settings["language.rank"], settings["language.alpha"])
    assert chosen == (2, 2, 8, 4)
    for wrong, words in (
        ("language.rnk=8", "did you mean `language.rank`"),
        ("folds", "NAME=VALUE"),
        ("folds=many", "expected a number, 2 or more"),
        ("normal_only=maybe", "expected yes or no"),
    ):
        assert words in cli(*argv, "--set", wrong).err


def test_no_lm_leaves_the_language_model_out(cli: Callable[..., Any], plant_csv: Path, tmp_path: Path) -> None:
    argv = ("fit", plant_csv, "--out", tmp_path / "run", *ROLES, "--experts", "knn,language-model", "--no-lm")
    assert cli(*argv).code == 0
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["experts"] == ["knn"]


def test_the_companion_words_the_findings(cli: Callable[..., Any], plant_csv: Path, tmp_path: Path) -> None:
    about = tmp_path / "about.yaml"
    about.write_text("normal: 0\nvariables:\n  flow: {name: Coolant flow, unit: m3/h}\nfaults: {1: valve stuck open}\n")
    assert cli("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST, "--about", about).code == 0
    ran = cli("diagnose", tmp_path / "run", plant_csv, "--row", _clear_fault(plant_csv))
    assert "Fault 1: valve stuck open" in ran.out
    assert "Coolant flow (flow) is " in " ".join(ran.out.split())
    assert "m3/h" in ran.out


def test_notes_are_said_once(cli: Callable[..., Any], plant_csv: Path, tmp_path: Path) -> None:
    ran = cli("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST)
    notes = [line for line in ran.err.splitlines() if line.startswith("  - ")]
    assert len(set(notes)) == len(notes)


# --- models and data -----------------------------------------------------------------------------------------


def test_models_list(cli: Callable[..., Any]) -> None:
    listed = cli("models", "list", "--json")
    assert listed.code == 0
    models = _strict(listed.out)
    assert {"name", "role", "licence", "provenance", "size", "cached"} <= set(models[0])
    plain = cli("models", "list")
    assert all(model["name"] in plain.out for model in models)


def test_unknown_model(cli: Callable[..., Any]) -> None:
    for action in ("pull", "path"):
        ran = cli("models", action, "smollm2-135m")
        assert (ran.code, ran.out) == (2, "")
        assert "did you mean `smollm2-135m-instruct`?" in ran.err


def test_data(cli: Callable[..., Any], tmp_path: Path) -> None:
    listed = _strict(cli("data", "list", "--json").out)
    shipped = next(one["name"] for one in listed if one["shipped"])
    assert shipped in cli("data", "list").out
    got = cli("data", "get", shipped, "--out", tmp_path, "--json")
    assert got.code == 0
    files = [Path(name) for name in _strict(got.out)["files"]]
    assert files
    assert all(file.is_file() and file.parent == tmp_path for file in files)
    ran = cli("data", "get", shipped + "x", "--out", tmp_path)
    assert ran.code == 2
    assert f"`{shipped}`" in ran.err


# --- the process ---------------------------------------------------------------------------------------------


def test_wrong_use_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["fitt"], ["fit", "x.csv"], ["diagnose", "run"], ["diagnose", "a", "b", "--poll", "x"]):
        with pytest.raises(SystemExit) as left:
            main(argv)
        assert left.value.code == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "usage: faultwise" in said.err
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"faultwise {__version__}\n"


def test_traceback_on_demand(tmp_path: Path) -> None:
    from faultwise import UserError

    with pytest.raises(UserError, match="no run folder"):
        main(["--traceback", "diagnose", str(tmp_path / "none"), "x.csv"])


def test_failure_of_the_machine_exits_with_1(
    cli: Callable[..., Any], plant_csv: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("faultwise.tables.fit.storage.save_file", full)
    ran = cli("fit", plant_csv, "--out", tmp_path / "run", *ROLES, *FAST)
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == "faultwise: OSError: [Errno 28] No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_bug_keeps_its_traceback(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("faultwise.hub.available", broken)
    with pytest.raises(ZeroDivisionError):
        cli("models", "list")


def test_as_a_process(tmp_path: Path, run_folder: Path, plant_csv: Path) -> None:
    """The installed module; a reader that has seen enough (`| head -1`) is no error."""
    code = "import sys; from faultwise.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "diagnose", str(run_folder), str(plant_csv), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read().decode()
        assert process.wait() == 0
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_help_is_light() -> None:
    """`--help` must not wait for torch or scikit-learn."""
    code = (
        "import sys; from faultwise.cli.main import build_parser; build_parser(); "
        "print([m for m in ('torch', 'sklearn', 'pandas', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert build_parser().prog == "faultwise"
