"""Private words that were replaced by the field's terms stay replaced: in code, in documents, in what is printed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import faultwise

PACKAGE = Path(faultwise.__file__).parent
ROOT = Path(__file__).parents[1]

# Word -> the term in its place. None of them may stand in any text of src/ or docs/.
WORDS = {
    r"doubts?": "temperature for missing sensors",
    r"suspects?": "training outlier, or sensor finding",
    r"odd(er|ly|ness)?": "anomaly score",
    r"good[_ ]limits?": "threshold",
    r"held[_ ]rows": "validation rows",
    r"lessons?": "training samples",
    r"exams?": "validation samples",
    r"(token|text)_way": "token input, text input",
    r"ways? in": "input",
    r"masters": "float32 master weights",
    r"foresight": "look-ahead columns",
    r"twins?": "near duplicates",
    r"doubles": "duplicate rows",
    r"gathering": "patch store",
    r"strangers?": "unknown labels",
    r"as (it|they) stands?": "unchanged",
    r"set aside": "held out",
    r"may be called (a fault|defective|unknown)": "may be flagged, may be classified",
}
# Parts of names that code may not have; as plain English verbs the words are no private ones.
NAMES = {
    "say": "note, message",
    "said": "note, message",
    "told": "record, result",
    "asked": "requested",
    "strange": "nonconformity",
    "incoming": "input checks",
    "lost": "missing",
    "copies": "duplicated runs",
    "voice": "reply model",
    "sight": "image vector",
}
CLASSES = (
    "Asked",
    "Gathered",
    "GoodLimit",
    "Incoming",
    "Judged",
    "OddPatches",
    "Stand",
    "Standing",
    "TextWay",
    "TokenWay",
)


def _texts() -> list[Path]:
    files = [file for ending in ("*.py", "*.j2", "*.css", "*.yaml") for file in PACKAGE.rglob(ending)]
    return [*files, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("word", sorted(WORDS))
def test_a_replaced_word_stays_replaced(word: str) -> None:
    pattern = re.compile(rf"(?<![A-Za-z]){word}(?![A-Za-z])", re.IGNORECASE)
    found = []
    for file in _texts():
        lines = file.read_text(encoding="utf-8").splitlines()
        found += [f"{file}:{number}: {line.strip()}" for number, line in enumerate(lines, 1) if pattern.search(line)]
    assert found == [], f"say `{WORDS[word]}`"


def _names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.keyword):
            names.add(node.arg or "")
    return names


def test_names_have_no_private_parts() -> None:
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        for name in _names(ast.parse(file.read_text(encoding="utf-8"))):
            parts = {part.lower() for part in re.findall(r"[A-Z]?[a-z]+", name)}
            wrong += [f"{file.name}: {name} (say {NAMES[part]})" for part in parts & set(NAMES)]
            wrong += [f"{file.name}: {name}"] if name in CLASSES else []
    assert sorted(wrong) == []
