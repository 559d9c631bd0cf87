"""The compact view of a diagnosis for a terminal: aligned columns of a given width.

Nothing here words a verdict, colours or prints.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faultwise.contracts.diagnosis import Diagnosis
from faultwise.report.blocks import Block, Bullets, CaseBlock, Pair, Section, Table, Text
from faultwise.report.diagnosis import TERMINAL, report_of
from faultwise.report.drawings import Bars, Link

__all__ = ["render_text"]

_LEAST = 14  # cells of a column that gets what others leave


def render_text(diagnosis: Diagnosis, width: int = 110) -> str:
    """Return the view for a terminal of `width` cells: verdicts, top probabilities, findings, narrative.

    At most 10 cases and 10 runs are shown; of several items, such as images, the narratives of the 20 with the highest
    scores. The count of the rest is given.
    """
    report = report_of(diagnosis, TERMINAL)
    parts = [textwrap.wrap(report.title, width)] if report.headed else []
    parts += [_written((block,), width) for block in report.blocks]
    return "\n\n".join("\n".join(part).strip("\n") for part in parts if part) + "\n"


def _written(blocks: Sequence[Block], width: int) -> list[str]:
    return [line for block in blocks if type(block) in _WRITERS for line in _WRITERS[type(block)](block, width)]


def _cells(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _fit(text: str, most: int) -> str:
    """Pad with spaces, or cut, to exactly `most` terminal cells."""
    if _cells(text) > most:
        while _cells(text) > most - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (most - _cells(text))


def _columns(rows: Sequence[Sequence[str]], limits: Sequence[int]) -> list[str]:
    """Align rows of cells; a column is as wide as its widest cell, up to its limit."""
    widths = [min(limit, max(_cells(row[i]) for row in rows)) for i, limit in enumerate(limits)]
    return ["  " + "  ".join(_fit(cell, w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _ids(links: Sequence[Link]) -> str:
    return f" [{', '.join(one.id for one in links)}]" if links else ""


def _text(block: Text, width: int) -> list[str]:
    return textwrap.wrap(block.text + _ids(block.links), width)


def _bullets(block: Bullets, width: int) -> list[str]:
    if block.story:
        return ["", *(line for one in block.items for line in _text(one, width))]
    first, later = ("  ", "    ") if block.title else ("- ", "  ")
    wrap = textwrap.TextWrapper(width, initial_indent=first, subsequent_indent=later)
    lines = [line for one in block.items for line in wrap.wrap(one.text + _ids(one.links))]
    return ["", block.title, *lines] if block.title else lines


def _bars(block: Bars, width: int) -> list[str]:
    if block.drawing:
        return []
    rows = [(bar.label, "█" * round(20 * bar.width) or "▏", bar.value) for bar in block.bars]
    rows += [(block.rest[0], "", block.rest[1])] if block.rest else []
    return _columns(rows, (width // 3, 20, 7))


def _table(block: Table, width: int) -> list[str]:
    kept = [at for at, column in enumerate(block.columns) if column.terse]
    if not kept:
        return []
    head = [block.columns[at].terse for at in kept]
    rows = [
        [cell.text if cell.terse is None else cell.terse for cell in (row.cells[at] for at in kept)]
        for row in block.rows[: block.most]
    ]
    limits = [block.columns[at].most for at in kept]
    taken = sum(
        min(limit, max(map(_cells, column))) + 2
        for limit, column in zip(limits, zip(head, *rows, strict=True), strict=True)
        if limit
    )
    lines = _columns([head, *rows], [limit or max(_LEAST, width - taken - 4) for limit in limits])
    rest = len(block.rows) - len(rows)
    lines += [f"  {rest} more"] if rest else []
    indented = textwrap.TextWrapper(width, initial_indent="  ", subsequent_indent="  ")
    return [*lines, *(line for remark in (block.rest, block.remark) if remark for line in indented.wrap(remark))]


def _section(block: Section, width: int) -> list[str]:
    inner = _written(block.blocks, width) if block.terminal else []
    if not inner or not block.title:
        return inner
    return ["", block.title, *inner]


def _pair(block: Pair, width: int) -> list[str]:
    return _written(block.blocks, width)


def _case(block: CaseBlock, width: int) -> list[str]:
    lines = [*textwrap.wrap(block.title, width), *textwrap.wrap(block.where, width)]
    return [*lines, *_written((*block.head, *block.blocks), width)]


_WRITERS: Mapping[type, Callable[[Any, int], list[str]]] = {
    Text: _text,
    Bullets: _bullets,
    Bars: _bars,
    Table: _table,
    Section: _section,
    Pair: _pair,
    CaseBlock: _case,
}
