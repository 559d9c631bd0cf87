"""README, CONTRIBUTING and docs/ tell the truth: commands and code parse, settings exist, plug-in examples work."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import sys
import wave
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import yaml

from faultwise import Diagnoser
from faultwise.cli.main import build_parser
from faultwise.contracts.experts import Expert, ExpertContext
from faultwise.contracts.modality import modalities
from faultwise.contracts.settings import options_of

ROOT = Path(__file__).parents[1]
# The journal is a record of the past: its commands are those of its time.
PAST = {"docs/journal.md"}
DOCUMENTS = ["README.md", "CONTRIBUTING.md"]
DOCUMENTS += sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = [name for name in DOCUMENTS if name not in PAST]
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
MOST_LINES = 150


def _blocks(document: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block."""
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def _commands(document: str, program: str) -> list[list[str]]:
    """Arguments of every call of a program in the shell blocks; lines joined, pipes and comments cut off."""
    found = []
    for language, block in _blocks(document):
        if language not in ("", "bash", "console", "sh", "shell"):
            continue
        for line in block.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|", line.strip().removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                if words and words[0] == program:
                    cut = next((i for i, word in enumerate(words) if word.startswith((">", "2>"))), None)
                    found.append(words[1:cut])
    return found


def _known_settings() -> set[str]:
    kinds = [kind for one in modalities().values() for kind in (one.settings, one.reading, one.query)]
    return {option.name for kind in kinds for option in options_of(kind)}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= MOST_LINES


def test_the_main_commands_are_shown() -> None:
    shown = {argv[0] for argv in _commands("README.md", "faultwise")}
    assert {"fit", "evaluate", "diagnose", "data"} <= shown
    everywhere = {argv[0] for document in DOCUMENTS for argv in _commands(document, "faultwise")}
    commands = set(build_parser()._subparsers._group_actions[0].choices)
    # `settings` prints what reference/settings.md shows, and is named there.
    assert commands - {"settings"} <= everywhere


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_parse(document: str) -> None:
    for argv in _commands(document, "faultwise"):
        printed, code = io.StringIO(), 0
        try:
            with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
                build_parser(argv[0]).parse_args(argv)
        except SystemExit as end:
            code = end.code or 0
        assert code == 0, f"{document}: faultwise {shlex.join(argv)}\n{printed.getvalue()}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"--set ([a-z_.]+)=", text)) | set(re.findall(r"`(language\.[a-z_]+)[=`]", text))
    rooms = {name for name in named if (ROOT / "src" / "faultwise" / name.replace(".", "/")).is_dir()}
    assert named - rooms <= _known_settings()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_parses(document: str) -> None:
    for language, block in _blocks(document):
        if language == "yaml":
            yaml.safe_load(block)
        if language != "python" or document == "docs/reference/python.md":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Diagnoser":
                given = {one.arg: ast.literal_eval(one.value) for one in node.keywords if one.arg and _is_literal(one)}
                Diagnoser(**given)  # raises TypeError for a parameter that does not exist


def _is_literal(keyword: ast.keyword) -> bool:
    try:
        ast.literal_eval(keyword.value)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"^\s*(?:\$ )?make ([a-z]+)", text, re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)", text))
    assert named <= targets


def _entry_point(document: str) -> tuple[str, str]:
    """The name and the object of the entry point that a page shows."""
    (toml,) = [block for language, block in _blocks(document) if language == "toml"]
    return re.search(r'^([\w-]+) = "[\w.]+:(\w+)"', toml, re.MULTILINE).groups()


def _names(document: str) -> dict[str, object]:
    """What the single Python block of a page defines."""
    (example,) = [block for language, block in _blocks(document) if language == "python"]
    module = ModuleType("example_of_the_documents")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(example, module.__dict__)  # our own file
    return module.__dict__


def test_the_example_of_an_expert_works(plant, tmp_path: Path) -> None:
    page = "docs/how-to/own-expert.md"
    names, (name, factory) = _names(page), _entry_point(page)
    rows = plant()
    X, y, groups = rows[["flow", "level", "temp"]], rows["fault"].to_numpy(), rows["run"].to_numpy()
    expert = names[factory](ExpertContext()).fit(X, y, groups)
    assert isinstance(expert, Expert)
    assert expert.name == name
    p = expert.predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (expert.classes_[p.argmax(axis=1)] == y).mean() > 0.9
    expert.save(tmp_path)
    np.testing.assert_array_equal(names[factory](ExpertContext()).load(tmp_path).predict_proba(X), p)


def _record(path: Path, loudness: float, seed: int) -> None:
    samples = np.random.default_rng(seed).normal(0, loudness * 32768, 4000).clip(-32768, 32767).astype("<i2")
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())


def test_the_example_of_a_modality_works(tmp_path: Path) -> None:
    page = "docs/how-to/own-modality.md"
    names, (name, thing) = _names(page), _entry_point(page)
    modality = names[thing]
    assert modality.name == name
    for number in range(6):
        _record(tmp_path / "normal" / f"{number}.wav", 0.1 * 1.02**number, number)
    _record(tmp_path / "new" / "loud.wav", 0.5, 7)
    _record(tmp_path / "new" / "usual.wav", 0.105, 8)
    assert modality.recognise(tmp_path / "normal")
    assert modality.recognise(tmp_path) is None
    settings, reading, query = modality.settings(), modality.reading(), modality.query()
    model = modality.fit(tmp_path / "normal", settings, reading)
    (tmp_path / "run").mkdir()
    manifest = model.write(tmp_path / "run")
    again = modality.load(tmp_path / "run", manifest)
    diagnosis = again.diagnose(tmp_path / "new", reading, query)
    assert {case.name: case.verdict.detected for case in diagnosis.cases} == {"loud.wav": True, "usual.wav": False}
    # By their text, because a probability that is not a number equals nothing.
    assert repr(diagnosis) == repr(model.diagnose(tmp_path / "new", reading, query))
    assert all(set(s.findings) <= {f.id for f in case.findings} for case in diagnosis.cases for s in case.narrative)
    assert diagnosis.to_dict()["cases"][0]["findings"][0]["kind"] == "statement"
    assert [option.name for option in options_of(modality.settings)] == ["deviations"]
