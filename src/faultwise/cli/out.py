"""Printing: JSON or tables on stdout, words on stderr. Text from data is stripped of control characters."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["note", "plain", "print_json", "print_json_line", "print_notes", "print_table", "watched"]

_WIDE = 240  # cells of a table that goes into a file or a pipe


def watched(args: argparse.Namespace) -> bool:
    """Return whether somebody watches: bars belong on a terminal, not into a log or beside JSON."""
    return not args.json and sys.stderr.isatty()


def plain(value: object) -> str:
    """Write a value from data as text without control characters."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def note(text: str) -> None:
    """Print one line to stderr, without control characters."""
    print(plain(text), file=sys.stderr, flush=True)


def print_notes(notes: Iterable[str]) -> None:
    """Print notes to stderr, indented."""
    for one in notes:
        note(f"  - {one}")


def print_json(value: object) -> None:
    """Print strict JSON to stdout; what is not a number becomes null."""
    print(json.dumps(_strict(value), indent=1, ensure_ascii=True, allow_nan=False))


def print_json_line(value: object) -> None:
    """Print strict JSON as one line, at once."""
    print(json.dumps(_strict(value), ensure_ascii=True, allow_nan=False), flush=True)


def _strict(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(rows: Sequence[Mapping[str, object]], title: str | None = None) -> None:
    """Print rows as an aligned table to stdout: columns of numbers to the right, underscores as spaces."""
    if not rows:
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="", pad_edge=False)
    for column in columns:
        numbers = all(isinstance(row.get(column), int | float | None) for row in rows)
        table.add_column(column.replace("_", " "), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(column))) for column in columns))
    # Colours and a terminal's width only where there is a terminal.
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE, no_color=True, highlight=False)
    console.print(table)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else plain(value)
