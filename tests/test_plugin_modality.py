"""A modality of another package: installed, it works with every command, and nothing in Faultwise changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

PLUGIN = Path(__file__).parents[1] / "examples" / "plugin_modality"
Ran = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Install the package into a folder of its own, and run commands that see it."""
    site = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", str(site), str(PLUGIN)], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*argv: object) -> Ran:
        words = [sys.executable, "-m", "faultwise.cli.main", *map(str, argv)]
        return subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120, check=False)

    return run


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hum of 100 Hz; in `worn` a whistle of 1,500 Hz beside it."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    seconds = np.arange(8000) / 8000
    for label, whistle in (("normal", 0.0), ("worn", 0.2)):
        (folder / label).mkdir()
        for number in range(6):
            sound = 0.3 * np.sin(200 * np.pi * seconds) + whistle * np.sin(3000 * np.pi * seconds)
            samples = ((sound + 0.01 * rng.normal(size=8000)) * 32767).astype("<i2")
            with wave.open(str(folder / label / f"{number}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(samples.tobytes())
    return folder


def test_the_package_is_small() -> None:
    assert sum(len(file.read_text().splitlines()) for file in PLUGIN.iterdir() if file.is_file()) <= 200


def test_every_command_works(command: Callable[..., Ran], recordings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit = command("fit", recordings, "--out", run, "--set", "bands=5", "--json")
    assert fit.returncode == 0, fit.stderr
    assert json.loads(fit.stdout)["modality"] == "sounds"
    assert "Read as sound recordings: it holds 12 WAV files" in fit.stderr
    judged = command("evaluate", run, recordings, "--json")
    assert json.loads(judged.stdout)["accuracy"] == 1.0, judged.stderr
    found = json.loads(command("diagnose", run, recordings / "worn", "--json").stdout)
    assert found["modality"] == "sounds"
    assert {case["verdict"]["label"] for case in found["cases"]} == {"unusual"}
    assert found["cases"][0]["findings"][0]["about"] == "level at 1000 Hz"
    shown = command("diagnose", run, recordings / "worn" / "0.wav").stdout
    assert "level at 1000 Hz" in shown
    assert command("report", run, recordings / "worn", "--out", tmp_path / "page.html").returncode == 0
    assert "level at 1000 Hz" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_its_settings_are_listed_and_checked(command: Callable[..., Ran], recordings: Path, tmp_path: Path) -> None:
    listed = json.loads(command("settings", "sounds", "--json").stdout)
    assert [line["setting"] for line in listed] == ["lowest", "bands", "sigmas"]
    wrong = command("fit", recordings, "--out", tmp_path / "run", "--set", "bands=99")
    assert wrong.returncode == 2
    assert "bands is 99, expected 1 to 10" in wrong.stderr
    other = command("fit", recordings, "--out", tmp_path / "run", "--window", "3")
    assert "--window is for tables" in other.stderr


def test_what_it_cannot_do_is_refused(command: Callable[..., Ran], recordings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert command("fit", recordings, "--out", run).returncode == 0
    for words, argv in (
        ("cannot be calibrated anew", ("calibrate", run, recordings)),
        ("cannot answer questions", ("chat", run, recordings, "--ask", "Why?")),
        ("cannot follow a growing file", ("diagnose", run, recordings, "--follow")),
    ):
        refused = command(*argv)
        assert (refused.returncode, words in refused.stderr) == (2, True), refused.stderr


def test_a_run_without_its_package_says_so(command: Callable[..., Ran], recordings: Path, tmp_path: Path) -> None:
    assert command("fit", recordings, "--out", tmp_path / "run").returncode == 0
    alone = [sys.executable, "-m", "faultwise.cli.main", "diagnose", str(tmp_path / "run"), str(recordings)]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "`sounds`, which is not installed here" in done.stderr
