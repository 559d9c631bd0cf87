"""docs/ holds together: links and anchors resolve, generated pages are current, terms and metrics are explained."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
TERMS = """
asset, run, run folder, row, window, fault, finding, verdict, expert, fusion, fault set, coverage, conformal
prediction, novelty, detection, fdr, far, auroc, aupro, adapter, lora, qlora, token input, text input, near
duplicate, look-ahead column, target leakage, training outlier, memory bank, anomaly score, threshold, defect
type, modality, model, duplicated run, row encoder, missing sensor, missing-sensor calibration, calibration,
abstention, backbone, held out, status, validation rows
"""


def _text(page: Path) -> str:
    """A page without its blocks of code."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them; repeated ones get a number."""
    made: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", _text(page), re.MULTILINE):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", words).strip().lower())
        number = 1
        while slug in made:
            slug, number = f"{slug.removesuffix(f'_{number - 1}')}_{number}", number + 1
        made.add(slug)
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_anchors_resolve(page: Path) -> None:
    wrong = []
    for link in LINK.findall(_text(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.is_relative_to(ROOT) or not target.exists() or (anchor and anchor not in _anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS)))
def test_pages_of_the_site_link_to_pages_of_the_site(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(_text(page)) if "://" not in link]
    outside = [name for name in targets if name and not (page.parent / name).resolve().is_relative_to(DOCS)]
    assert outside == []


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"[\w/-]+\.md", text))
    assert named == {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """`docs/generate.py`; what it puts on the path stays there for its own imports only."""
    before = list(sys.path)
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    sys.path[:] = before
    return made


def test_generated_pages_are_current(generate: ModuleType) -> None:
    made = {path: make() for path, make in generate.pages().items()}
    old = [str(path.relative_to(ROOT)) for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    assert old == [], "run: python docs/generate.py"


def test_every_command_and_setting_is_in_the_reference() -> None:
    from faultwise.cli.main import build_parser
    from faultwise.contracts.modality import modalities
    from faultwise.contracts.settings import options_of

    commands = (DOCS / "reference" / "commands.md").read_text(encoding="utf-8")
    for name in build_parser()._subparsers._group_actions[0].choices:
        assert f"## faultwise {name}" in commands
    settings = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    for modality in modalities().values():
        for kind in (modality.settings, modality.reading, modality.query):
            assert [one.name for one in options_of(kind) if f"| `{one.name}` |" not in settings] == []


def test_metric_names_are_explained() -> None:
    import numpy as np

    from faultwise.images.metrics import image_figures
    from faultwise.verdicts.metrics import metrics

    y = np.array(["0", "0", "1", "1"])
    names = set(metrics(y, y, np.eye(2)[[0, 0, 1, 1]], np.array(["0", "1"]), "0", np.arange(4)))
    names |= set(image_figures(np.array([0.1, 0.9]), np.array([False, True]), 0.5))
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_glossary_explains_each_term_in_one_sentence() -> None:
    entries = re.findall(r"^\*\*(.+?)\*\*: (.+?)(?=\n\n|\Z)", _text(DOCS / "reference" / "glossary.md"), re.M | re.S)
    terms = [term for term, _ in entries]
    assert terms == sorted(terms, key=lambda term: term.lower().replace("-", " "))
    assert {" ".join(term.split()) for term in TERMS.split(",")} <= {term.lower() for term in terms}
    for term, words in entries:
        assert words.rstrip().endswith("."), term
        assert len(re.findall(r"[.!?](?:\s|$)", words)) == 1, f"{term}: one sentence"


def test_the_site_builds_without_a_warning_and_loads_nothing(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the site needs `pip install 'faultwise[docs]'`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]+src=["']?https?://|<link[^>]+rel=["']?stylesheet[^>]+https?://"""
    )
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30
    assert [page.name for page in pages if loaded.search(page.read_text(encoding="utf-8"))] == []
