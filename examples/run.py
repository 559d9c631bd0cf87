"""Runs the gallery: every numbered script in a process of its own, its picture, and the page `docs/gallery/index.md`.

    python examples/run.py              # all, pictures into docs/gallery
    python examples/run.py --only 02    # one; its words are shown

What a script prints lies in `work/` beside the pictures. The page is made from the scripts' docstrings.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

__all__ = ["PAGE", "main", "page", "scripts"]

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "gallery" / "index.md"
PICTURES = PAGE.parent

_HEAD = """# Gallery

Small scripts, each of one idea, that run in seconds on a laptop without a network or a language model.
`make gallery` runs them all and draws these pictures anew; each runs by itself, too, and prints what to look at.

<!-- made by examples/run.py from the scripts' docstrings: change those and run `make gallery` -->
"""


def scripts(only: str = "") -> list[Path]:
    """Return the numbered scripts in order; `only` is the number of one."""
    return sorted(HERE.glob(f"{only or '[0-9][0-9]'}_*.py"))


def page() -> str:
    """Return the page of the gallery as Markdown."""
    made = [_HEAD]
    for script in scripts():
        title, _, words = str(ast.get_docstring(ast.parse(script.read_text("utf-8")))).partition("\n\n")
        title = title.rstrip(".")
        picture = f"![{title}]({script.stem}.png)"
        command = f"    python examples/{script.name}"
        code = f"The script: [tutorial](../tutorials/{script.stem}.md)"
        made.append(f"## {script.stem[:2]} {title}\n\n{words}\n\n{picture}\n\n{command}\n\n{code}\n")
    return "\n".join(made)


def run(script: Path, out: Path) -> tuple[bool, str, float]:
    """Run one script; return whether it went well, what it said, and seconds."""
    started = time.monotonic()
    command = [sys.executable, str(script), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    (out / "work" / f"{script.stem}.txt").write_text(said, "utf-8")
    return done.returncode == 0, said, time.monotonic() - started


def main(argv: list[str] | None = None) -> int:
    """Run what was asked for; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="NN", help="run this one and show what it prints")
    parser.add_argument("--out", type=Path, default=PICTURES, metavar="FOLDER", help="default: docs/gallery")
    args = parser.parse_args(argv)
    chosen = scripts(args.only)
    if not chosen:
        known = ", ".join(script.stem[:2] for script in scripts())
        print(f"There is no script `{args.only}`; choose one of {known}.", file=sys.stderr)
        return 2
    (args.out / "work").mkdir(parents=True, exist_ok=True)
    failed = 0
    for script in chosen:
        good, said, seconds = run(script, args.out)
        failed += not good
        if args.only or not good:
            print(said.rstrip())
        print(f"{script.stem:<20} {seconds:6.1f} s  {'ok' if good else 'failed'}", flush=True)
    if args.out.resolve() == PICTURES:
        PAGE.write_text(page(), "utf-8")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
