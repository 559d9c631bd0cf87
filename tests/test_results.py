"""Numbers in the README come from result files and from nowhere else."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_readme_shows_what_the_result_files_say(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    spec = importlib.util.spec_from_file_location("tables", ROOT / "bench" / "tables.py")
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    assert tables.results() in (ROOT / "README.md").read_text(encoding="utf-8"), "run: python bench/tables.py"
    assert tables.studies_page() == (ROOT / "docs" / "studies.md").read_text(encoding="utf-8"), (
        "and docs/studies.md too"
    )
