"""Blocks: what a report is made of, as plain values. Three writers (`html`, `markdown`, `text`) know how to show each.

A block holds ready words and numbers, and nothing in it is escaped. Those of `drawings` that repeat what tables state
are left out by the writers of plain text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from faultwise.report.drawings import Bars, Link, Meter, Overlay, PictureBlock, Plots, Tuning

__all__ = [
    "Block",
    "Bullets",
    "CaseBlock",
    "Cell",
    "Chips",
    "Column",
    "Contents",
    "Details",
    "Entry",
    "Figures",
    "Pair",
    "Report",
    "Row",
    "Section",
    "State",
    "Table",
    "Text",
]

State = Literal["fault", "normal", "named", "unknown"]


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or an item of `Bullets`, with the findings that it rests on; `small` is for remarks."""

    text: str
    links: tuple[Link, ...] = ()
    small: bool = False


@dataclass(frozen=True, slots=True)
class Bullets:
    """Items, each on a line of its own; as a `story` they are the sentences of a narrative."""

    items: tuple[Text, ...]
    title: str = ""
    story: bool = False
    small: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `terse` is its name in a terminal (empty: left out) and `most` its width
    there (0: what the others leave); `page_only` columns are in HTML only.

    `kind` tells how cells are set: "wide" ones wrap, those of a "line" never do, a "value" is a number that may.
    """

    name: str
    kind: Literal["", "number", "value", "wide", "line"] = ""
    terse: str = ""
    most: int = 20
    page_only: bool = False

    @property
    def right(self) -> bool:
        """Whether cells are aligned to the right."""
        return self.kind in ("number", "value")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its text, remarks beside and below it, another text for terminals; `out` stands out."""

    text: str
    beside: str = ""
    below: str = ""
    terse: str | None = None
    out: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; `anchor` is what links lead to."""

    cells: tuple[Cell, ...]
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns. `remark` comes before the table in HTML, after it elsewhere; `rest` counts what is left out.

    A terminal shows `most` rows at most. `cards`: on a narrow screen every row becomes a card.
    """

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    remark: str = ""
    rest: str = ""
    most: int = 200
    cards: bool = False


@dataclass(frozen=True, slots=True)
class Chips:
    """A few labels in frames under a title, with remarks."""

    title: str
    labels: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """Names and values below each other."""

    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Section:
    """Blocks under a title (empty: none); `level` 2 is a part of the report, 3 one of a case.

    Without `terminal` it is left out there.
    """

    title: str
    blocks: tuple[Block, ...]
    level: Literal[2, 3] = 2
    terminal: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """Blocks side by side where there is room."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that stay folded up until they are wanted; `about` is what they hold."""

    title: str
    about: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the table of contents."""

    state: State
    title: str
    beside: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Contents:
    """A table of contents."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class CaseBlock:
    """One case: its state, its verdict as a title, and its blocks, of which those of the `head` belong to the verdict.

    `facts` say where it is, and `where` the same as a sentence; both may be empty. `single` is the only case of a
    report, whose title it gives.
    """

    anchor: str
    state: State
    state_words: str
    title: str
    facts: tuple[str, ...]
    where: str
    head: tuple[Block, ...]
    blocks: tuple[Block, ...]
    single: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report. `headed`: it has a title of its own, because it is not about a single case."""

    title: str
    source: str
    headed: bool
    blocks: tuple[Block, ...]


Block = (
    Text
    | Bullets
    | Bars
    | Meter
    | Plots
    | PictureBlock
    | Overlay
    | Table
    | Chips
    | Figures
    | Tuning
    | Section
    | Pair
    | Details
    | Contents
    | CaseBlock
)
