"""The gallery runs, its scripts keep what their words promise, and its page is current."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("[0-9][0-9]_*.py"))
# What the words of a script tell people to notice, as it says it.
PROMISED = {
    "01_own_csv": (r"semicolons, decimal comma", r"Today: Fault worn bearing", r"Speaking against it"),
    "02_tep": (r"hold the truth in (8[5-9]|9\d)\.\d%", r"never seen: [5-9]\d% of its rows are called unknown"),
    "03_ai4i": (r"GENERATED", r"give the label away: `TWF` .*`HDF` .*`PWF` .*`OSF`", r"Left out: .*`RNF`"),
    "04_unlabelled": (
        r"first alarm in minute (6[1-9]|[7-9]\d|1\d\d): Not normal — SPE",
        r"Of 40 new normal runs [0-4] ",
    ),
    "05_stream": (r"the followed file: 100%", r"180 pieces: 100%", r"14 pieces: 100%"),
    "06_plugin_expert": (r"pump-balance .*weight (0\.[5-9]|1\.0)", r"same labels: True"),
    "07_compare": (r"logistic-regression +0\.\d+  best", r"knn .* worse than the best"),
    "08_alarms": (r"3[56] of 36 fault episodes raised an alarm", r"false alarms per machine-day"),
    "09_sensors": (
        r"frozen \(flow\):\n  `flow` reads",
        r"drifting \(flow\):\n  `flow` drifts",
        r"spiking \(suction\):\n  `suction` jumps",
        r"out of range \(bearing\):\n  `bearing` leaves",
        r"Clogged strainer \(suction\):\n  no sensor is broken",
    ),
}


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery_run", EXAMPLES / "run.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the scripts write to, each into one of its own."""
    return tmp_path_factory.mktemp("gallery")


def _runs(gallery: ModuleType, name: str, out: Path) -> str:
    """Run a script and return what it said."""
    (out / "work").mkdir(parents=True, exist_ok=True)
    good, said, _ = gallery.run(EXAMPLES / f"{name}.py", out)
    assert good, said
    return said


def _is_picture(path: Path) -> bool:
    content = path.read_bytes()
    return content.startswith(b"\x89PNG") and 5_000 < len(content) < 150_000


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_show_what_they_promise(
    gallery: ModuleType, name: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAULTWISE_DATA", raising=False)
    said = _runs(gallery, name, out / name)
    missing = [words for words in PROMISED[name] if not re.search(words, said)]
    assert missing == [], said
    pictures = [path for path in (out / name).iterdir() if path.is_file()]
    assert [path.suffix for path in pictures] == [".png"], "one picture, everything else in work/"
    assert _is_picture(pictures[0])
    assert (pictures[0].stem == name) == (name != "03_ai4i"), "made-up data has a picture of another name"


def test_ai4i_with_the_real_table(
    gallery: ModuleType, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (data_root / "ai4i" / "ai4i2020.csv").is_file():
        pytest.skip(f"no AI4I 2020 in {data_root}")
    monkeypatch.setenv("FAULTWISE_DATA", str(data_root))
    said = _runs(gallery, "03_ai4i", tmp_path)
    assert "GENERATED" not in said
    alone, feigned = (float(found) for found in re.findall(r"^PR-AUC, .*: (\S+)$", said, re.MULTILINE))
    assert 0.6 < alone < 0.85
    assert feigned > 0.95
    assert _is_picture(tmp_path / "03_ai4i.png")


def test_a_rerun_changes_no_picture(gallery: ModuleType, out: Path) -> None:
    picture = out / "09_sensors" / "09_sensors.png"
    if not picture.exists():  # it was run above, unless this test is run alone
        _runs(gallery, "09_sensors", picture.parent)
    before = picture.read_bytes()
    _runs(gallery, "09_sensors", picture.parent)
    assert picture.read_bytes() == before


def test_the_page_is_current(gallery: ModuleType) -> None:
    page = gallery.PAGE.read_text(encoding="utf-8")
    assert page == gallery.page(), "run `make gallery`"
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", page)
    assert len(pictures) == len(SCRIPTS)
    assert [name for name in pictures if not _is_picture(gallery.PAGE.parent / name)] == []


def test_scripts_are_short_and_use_public_names_only() -> None:
    for name in SCRIPTS:
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert 30 <= len(text.splitlines()) <= 90, name
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.ImportFrom) else []
            private = [one for one in names if one.startswith("_")]
            assert private == [], name


def test_a_failure_is_told(gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    broken = tmp_path / "10_broken.py"
    broken.write_text("raise SystemExit('it broke')\n")
    monkeypatch.setattr(gallery, "HERE", tmp_path)
    assert gallery.main(["--out", str(tmp_path / "out")]) == 1
    assert "it broke" in capsys.readouterr().out
    assert gallery.main(["--only", "77"]) == 2
    assert "choose one of 10" in capsys.readouterr().err
