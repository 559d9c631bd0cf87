"""The README and CONTRIBUTING tell the truth: the tree is complete, commands parse, the plug-in example works."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import faultwise
from faultwise.cli.main import build_parser
from faultwise.contracts.records import Expert
from faultwise.verdicts.registry import ExpertContext

PACKAGE = Path(faultwise.__file__).parent
ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md")
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
ROOM = re.compile(r"^ {2}(\S+) {2,}(\S.*)$")


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


def test_the_tree_names_every_room_once() -> None:
    trees = [block for _, block in _blocks("README.md") if block.lstrip().startswith("src/faultwise/")]
    assert len(trees) == 1, "one fenced block of README.md starts with src/faultwise/"
    lines = trees[0].strip("\n").splitlines()[1:]
    rooms = [match.groups() for match in map(ROOM.match, lines) if match]
    assert len(rooms) == len(lines), "every line is two spaces, a room, and a phrase"
    there = [file.name for file in PACKAGE.iterdir() if file.suffix == ".py" and file.name != "__init__.py"]
    there += [f"{folder.name}/" for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file()]
    assert sorted(room for room, _ in rooms) == sorted(there)
    assert len({phrase for _, phrase in rooms}) == len(rooms)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_parse(document: str) -> None:
    for argv in _commands(document, "faultwise"):
        said, code = io.StringIO(), 0
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                build_parser().parse_args(argv)
        except SystemExit as end:
            code = end.code or 0
        assert code == 0, f"{document}: faultwise {shlex.join(argv)}\n{said.getvalue()}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_make_targets_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(r"^\s*(?:\$ )?make ([a-z]+)", text, re.MULTILINE)) | set(re.findall(r"`make ([a-z]+)", text))
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_linked_files_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    missing = [link for link in links if link and "://" not in link and not (ROOT / link).exists()]
    assert missing == []


def test_the_example_of_an_expert_works(plant, tmp_path: Path) -> None:
    (example,) = [block for language, block in _blocks("CONTRIBUTING.md") if language == "python"]
    names: dict[str, object] = {}
    exec(example, names)  # our own file
    (toml,) = [block for language, block in _blocks("CONTRIBUTING.md") if language == "toml"]
    name, factory = re.search(r'^([\w-]+) = "[\w.]+:(\w+)"', toml, re.MULTILINE).groups()
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
