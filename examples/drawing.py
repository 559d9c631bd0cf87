"""What the scripts of the gallery share: where they write, and how their pictures look."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

__all__ = ["ACCENT", "BAND", "INK", "MARK", "MUTED", "OUT", "RULE", "canvas", "places", "plain", "save"]

# The colours of the reports.
INK, MUTED, RULE, BAND, MARK = "#1b2026", "#59636e", "#c9cfd6", "#dbe7f3", "#f3d9a4"
OUT, ACCENT = "#b3261e", "#1d5fa6"

_GALLERY = Path(__file__).resolve().parents[1] / "docs" / "gallery"
_DPI = 120


def places(script: str, what: str | None) -> tuple[Path, Path]:
    """Read `--out` and return the file of the script's picture and a folder for all else that it writes."""
    name = Path(script).stem
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=_GALLERY, metavar="FOLDER", help="default: docs/gallery")
    out = parser.parse_args().out
    work = out / "work" / name
    work.mkdir(parents=True, exist_ok=True)
    return out / f"{name}.png", work


def canvas(width: float, height: float, title: str) -> Figure:
    """Return an empty figure (inches) with a title."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return figure


def plain(axes: Any, title: str = "", x: str = "", y: str = "") -> Any:
    """Take what is not needed off the axes, and name them."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=MUTED, labelsize=9, length=3, width=0.6, pad=3)
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.set_xlabel(x, fontsize=9.5, color=MUTED)
    axes.set_ylabel(y, fontsize=9.5, color=MUTED)
    return axes


def save(figure: Figure, path: Path) -> None:
    """Write a picture without date or program, so that the same figure gives the same file."""
    with matplotlib.rc_context({"font.family": ["DejaVu Sans"], "text.usetex": False}):
        figure.savefig(path, format="png", dpi=_DPI, facecolor="white", metadata={"Software": None})
    print(f"Picture: {path}")
