"""The report as Markdown, for tickets, wikis and pull requests.

Text of the data cannot become a link, an image, HTML or a heading: whatever Markdown would act on is escaped,
and what looks like an address becomes code. No drawings: for these there is the HTML report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from faultwise.contracts.diagnosis import Diagnosis
from faultwise.report import values
from faultwise.report.blocks import Block, Bullets, CaseBlock, Cell, Chips, Details, Figures, Pair, Section, Table, Text
from faultwise.report.diagnosis import PAGE, report_of
from faultwise.report.drawings import Bars, Link

__all__ = ["escape", "render_markdown"]

# Renderers turn bare addresses into links, some even escaped ones; only code is left alone by all of them.
_WORD = r"[^\s<>|`\[\]()]*"
_ADDRESS = re.compile(rf"{_WORD}(?:://|www\.|mailto:|javascript:|data:|@){_WORD}", re.I)
_ACTIVE = re.compile(r"([\\`*_{}\[\]()#!|~$^=])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(value: object, start: bool = False) -> str:
    """Return one line of Markdown that shows the text and does nothing; `start` if a line starts with it.

    >>> print(escape('<b> ![x](http://evil.example) | XMEAS(9)'))
    &lt;b&gt; \\!\\[x\\]\\(`http://evil.example`\\) \\| XMEAS\\(9\\)
    >>> print(escape("1. - item", start=True))
    1\\. - item
    """
    text = values.clean(value)
    out, at = [], 0
    for match in _ADDRESS.finditer(text):
        out += [_plain(text[at : match.start()]), f"`{match.group()}`"]
        at = match.end()
    line = "".join([*out, _plain(text[at:])])
    if not start:
        return line
    # A list marker at the start of a line would begin a list.
    return re.sub(r"^(\d+)([.)])|^([-+])", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", line)


def _plain(text: str) -> str:
    for character, entity in _ENTITIES.items():
        text = text.replace(character, entity)
    return _ACTIVE.sub(r"\\\1", text)


def render_markdown(diagnosis: Diagnosis) -> str:
    """Return the report as GitHub-flavoured Markdown; the same diagnosis always gives the same text.

    At most 50 cases (24 of several items, such as images) are shown in detail and 200 runs in the overview; the count
    of the rest is given.
    """
    report = report_of(diagnosis, PAGE)
    lines = [f"# {escape(report.title)}", ""] if report.headed else []
    lines += _written(report.blocks, "##")
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _written(blocks: Sequence[Block], level: str) -> list[str]:
    """Return the lines of blocks, each with an empty line behind it; `level` is that of a case's sections."""
    return [line for block in blocks if type(block) in _WRITERS for line in _WRITERS[type(block)](block, level)]


def _links(links: Sequence[Link]) -> str:
    return f" \\[{', '.join(escape(one.id) for one in links)}\\]" if links else ""


def _text(block: Text, level: str) -> list[str]:
    return [escape(block.text, start=True) + _links(block.links), ""]


def _bullets(block: Bullets, level: str) -> list[str]:
    title = [f"{escape(block.title)}:", ""] if block.title else []
    return [*title, *(f"- {escape(one.text, start=True)}{_links(one.links)}" for one in block.items), ""]


def _bars(block: Bars, level: str) -> list[str]:
    if block.drawing:
        return []
    rows = [[bar.label + (f" ({bar.beside})" if bar.beside else ""), bar.value] for bar in block.bars]
    return _lines(block.head, [*rows, *([block.rest] if block.rest else [])], (False, True))


def _table(block: Table, level: str) -> list[str]:
    kept = [at for at, column in enumerate(block.columns) if not column.page_only]
    rows = [[_cell(row.cells[at]) for at in kept] for row in block.rows]
    columns = [block.columns[at] for at in kept]
    lines = _lines([one.name for one in columns], rows, [one.right for one in columns])
    for remark in filter(None, (block.rest, block.remark)):
        lines += [escape(remark), ""]
    return lines


def _cell(cell: Cell) -> str:
    return f"{cell.text} ({cell.beside})" if cell.beside else cell.text


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> list[str]:
    line = "|" + "|".join("---:" if one else "---" for one in right) + "|"
    cells = [" | ".join(map(escape, row)) for row in (head, *rows)]
    return [f"| {cells[0]} |", line, *(f"| {row} |" for row in cells[1:]), ""]


def _chips(block: Chips, level: str) -> list[str]:
    remarks = "".join(f" {escape(remark)}" for remark in block.remarks)
    return [f"{escape(block.title)}: {', '.join(map(escape, block.labels))}.{remarks}", ""]


def _figures(block: Figures, level: str) -> list[str]:
    return [*(f"- {escape(name)}: {escape(value)}" for name, value in block.rows), ""]


def _section(block: Section, level: str) -> list[str]:
    inner = _written(block.blocks, level)
    title = [f"{'##' if block.level == 2 else level} {escape(block.title)}", ""] if block.title else []
    return [*title, *inner] if inner else []


def _pair(block: Pair, level: str) -> list[str]:
    return _written(block.blocks, level)


def _details(block: Details, level: str) -> list[str]:
    return [f"## {escape(block.title)}", "", *_written(block.blocks, level)]


def _case(block: CaseBlock, level: str) -> list[str]:
    level = "#" if block.single else "##"
    head = [f"{level} {escape(block.title)}", "", *([escape(block.where, start=True), ""] if block.where else [])]
    return [*head, *_written((*block.head, *block.blocks), f"{level}#")]


_WRITERS: Mapping[type, Callable[[Any, str], list[str]]] = {
    Text: _text,
    Bullets: _bullets,
    Bars: _bars,
    Table: _table,
    Chips: _chips,
    Figures: _figures,
    Section: _section,
    Pair: _pair,
    Details: _details,
    CaseBlock: _case,
}
