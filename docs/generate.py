"""Write every page that is made from the code, the examples and the result files.

    python docs/generate.py            # write
    python docs/generate.py --check    # say which pages are not current, and write nothing

A test does the latter. Pages: docs/reference (commands, settings, Python), docs/tutorials, docs/gallery/index.md,
docs/benchmarks, docs/studies/index.md, the diagrams of rooms, and the marked parts of README.md and
docs/explanation/design.md.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
sys.path[:0] = [str(DOCS), str(ROOT / "bench"), str(ROOT / "examples")]

import reference_pages  # noqa: E402
import rooms  # noqa: E402

import run as gallery  # noqa: E402
import tables  # noqa: E402

__all__ = ["main", "pages"]

DESIGN = DOCS / "explanation" / "design.md"
README = ROOT / "README.md"
_ROOMS = "<!-- rooms: made by docs/generate.py -->", "<!-- end of rooms -->"
_HELPERS = {"charts": "draws the pictures", "drawing": "holds the style of the pictures", "pump": "makes the data"}


def marked(path: Path, marks: tuple[str, str], content: str) -> str:
    """Return a file's text with the part between two marks replaced. Raises ValueError where a mark is missing."""
    text = path.read_text(encoding="utf-8")
    start, end = marks
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{path} has no single part between `{start}` and `{end}`.")
    before, rest = text.split(start)
    return f"{before}{start}\n\n{content}\n\n{end}{rest.split(end)[1]}"


def readme() -> str:
    """Return README.md with its headline table and its diagram."""
    text = marked(README, (tables.START, tables.END), "\n".join(tables.headline_rows()))
    before, rest = text.split(_ROOMS[0])
    return f"{before}{_ROOMS[0]}\n\n{rooms.mermaid()}\n\n{_ROOMS[1]}{rest.split(_ROOMS[1])[1]}"


def tutorial(script: Path) -> str:
    """Return the page of one example: its words, its picture and its code."""
    text = script.read_text(encoding="utf-8")
    tree = ast.parse(text)
    title, _, words = str(ast.get_docstring(tree)).partition("\n\n")
    title = title.rstrip(".")
    code = "\n".join(text.splitlines()[tree.body[1].lineno - 1 :])
    used = [name for name in _HELPERS if re.search(rf"^from {name} import", code, re.MULTILINE)]
    helpers = "; ".join(f"`examples/{name}.py` {_HELPERS[name]}" for name in used)
    lines = [
        f"# {title}",
        "",
        f"<!-- made by docs/generate.py from examples/{script.name} -->",
        "",
        words,
        "",
        f"![{title}](../gallery/{script.stem}.png)",
        "",
        "## Run it",
        "",
        "In a copy of the repository, after `make test` or `make demo` has set up the environment:",
        "",
        "```sh",
        f".venv/bin/python examples/{script.name}",
        "```",
        "",
        f"The picture is written to `docs/gallery/`, everything else to `docs/gallery/work/{script.stem}/`.",
        "",
        "## The script",
        "",
        "```python",
        code.rstrip(),
        "```",
        "",
        f"Beside it: {helpers}.",
    ]
    return "\n".join(lines) + "\n"


def _title(script: Path) -> str:
    return str(ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))).partition("\n")[0].rstrip(".")


def tutorials() -> dict[Path, str]:
    """Return the pages of all examples, and their list."""
    scripts = gallery.scripts()
    made = {DOCS / "tutorials" / f"{script.stem}.md": tutorial(script) for script in scripts}
    lines = [
        "# Tutorials",
        "",
        "<!-- made by docs/generate.py -->",
        "",
        "Each tutorial is one script of 30 to 90 lines that runs in seconds on a laptop, without a network and "
        "without a "
        "language model. The scripts are run by the tests, so that they work with the current version. Their pictures "
        "together: [gallery](../gallery/index.md).",
        "",
        *(f"{number}. [{_title(script)}]({script.stem}.md)" for number, script in enumerate(scripts, 1)),
    ]
    made[DOCS / "tutorials" / "index.md"] = "\n".join(lines) + "\n"
    return made


def pages() -> dict[Path, Callable[[], str]]:
    """Return what makes each page, by path."""
    fixed = {**tables.pages(), **tutorials()}
    made: dict[Path, Callable[[], str]] = {path: lambda text=text: text for path, text in fixed.items()}  # type: ignore[misc]
    return made | {
        README: readme,
        DESIGN: lambda: marked(DESIGN, _ROOMS, "\n".join(["![Rooms and imports](rooms.svg)", "", *rooms.table()])),
        DOCS / "explanation" / "rooms.svg": rooms.svg,
        gallery.PAGE: gallery.page,
        DOCS / "reference" / "commands.md": reference_pages.commands_page,
        DOCS / "reference" / "settings.md": reference_pages.settings_page,
        DOCS / "reference" / "python.md": reference_pages.python_page,
    }


def main(argv: list[str] | None = None) -> int:
    """Write all pages, or name those that are not current; return 1 if one is not, or cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 where a page is not current")
    args = parser.parse_args(argv)
    failed = 0
    for path, make in pages().items():
        name = path.relative_to(ROOT)
        try:
            text = make()
        except (ImportError, AttributeError, ValueError) as error:
            print(f"{name}: cannot be made: {error}", file=sys.stderr)
            failed += 1
            continue
        current = path.exists() and path.read_text(encoding="utf-8") == text
        if current:
            continue
        if args.check:
            print(f"{name} is not current: run `python docs/generate.py`.", file=sys.stderr)
            failed += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"{name} written.")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
