"""Figures in the README and in docs/benchmarks come from result files and from nowhere else."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`bench/tables.py`."""
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    spec = importlib.util.spec_from_file_location("tables", ROOT / "bench" / "tables.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_readme_shows_what_the_result_files_hold(tables: ModuleType) -> None:
    assert tables.headline() in (ROOT / "README.md").read_text(encoding="utf-8"), "run: python bench/tables.py"


def test_benchmark_pages_show_what_the_result_files_hold(tables: ModuleType) -> None:
    old = [path.name for path, text in tables.pages().items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run: python bench/tables.py"


def test_every_benchmark_page_is_made_from_result_files(tables: ModuleType) -> None:
    there = set((ROOT / "docs" / "benchmarks").iterdir())
    assert there <= set(tables.pages()), "pages of benchmarks are made by bench/tables.py"


def test_every_result_file_is_shown(tables: ModuleType) -> None:
    """A result that no page reads is either old or forgotten."""
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "bench").glob("*.py"))
    # `verdicts` is the record that refactorings are compared with; names with a variable part are made in loops.
    parts = ("language_", "study_", "images_promises_", "thesis_", "mutations-")
    names = {path.stem for path in (ROOT / "bench" / "results").glob("*.json")} - {"verdicts"}
    forgotten = [name for name in names if not name.startswith(parts) and f'"{name}"' not in sources]
    assert forgotten == []
