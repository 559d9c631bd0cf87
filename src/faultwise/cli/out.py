"""Printing: JSON or tables on stdout, words on stderr. Text from data is stripped of control characters."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["plain", "print_json", "print_json_line", "print_table", "say", "say_by_kind", "say_notes", "watched"]


def watched(args: Any) -> bool:
    """Tell whether somebody watches: bars belong on a terminal, not into a log or beside JSON."""
    return not args.json and sys.stderr.isatty()


def plain(value: object) -> str:
    """Write a value from data as text without control characters."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def say(text: str) -> None:
    """Print one line to stderr, without control characters."""
    print(plain(text), file=sys.stderr, flush=True)


def say_notes(notes: Iterable[str]) -> None:
    """Print notes to stderr, indented."""
    for note in notes:
        say(f"  - {note}")


def say_by_kind(what: str, figures: Mapping[str, float | None]) -> None:
    """Say a figure of each kind of defect in one line."""
    say(f"{what} by kind: " + ", ".join(f"{k} {'-' if v is None else f'{v:.3f}'}" for k, v in figures.items()))


def print_json(value: Any) -> None:
    """Print strict JSON to stdout; what is not a number becomes null."""
    print(json.dumps(_strict(value), indent=1, ensure_ascii=True, allow_nan=False))


def print_json_line(value: Any) -> None:
    """Print strict JSON as one line, at once."""
    print(json.dumps(_strict(value), ensure_ascii=True, allow_nan=False), flush=True)


def _strict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(inner) for inner in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as an aligned table to stdout."""
    if not rows:
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns, *[[_cell(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for number, line in enumerate(cells):
        print(
            "  ".join(c.ljust(w) if at == 0 else c.rjust(w) for at, (c, w) in enumerate(zip(line, widths, strict=True)))
        )
        if number == 0:
            print("  ".join("-" * w for w in widths))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else plain(value)
