"""What commands print, as a page shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["transcript"]


def transcript(command: str, folder: Path, most: int) -> str:
    """Run a command of Faultwise in a folder; return it with the first `most` lines that it prints, as Markdown."""
    argv = [sys.executable, "-m", "faultwise.cli.main", *command.split()]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True)
    shown = [line.rstrip() for line in (done.stderr + done.stdout).splitlines()]
    more = ["..."] if len(shown) > most else []
    return "\n".join(["", "```", f"$ faultwise {command}", *shown[:most], *more, "```"])
