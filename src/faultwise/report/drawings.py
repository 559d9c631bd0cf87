"""Blocks that are drawn: bars, plots of variables, pictures, curves of a tuning. Nothing here draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from faultwise.contracts.diagnosis import Picture, Series
from faultwise.contracts.findings import Interval

__all__ = [
    "Bar",
    "Bars",
    "Box",
    "Fact",
    "Link",
    "Meter",
    "Overlay",
    "PictureBlock",
    "Plot",
    "Plots",
    "Tuning",
]


@dataclass(frozen=True, slots=True)
class Link:
    """The id of a finding and where it is in the report (None: nowhere)."""

    id: str
    anchor: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its `label` with remarks beside it, from `start` on (shares of the whole width), and its value in words.

    `style` is "chosen" for what stands out, "for" and "against" for contributions.
    """

    label: str
    beside: str
    value: str
    width: float
    start: float = 0.0
    share: float = 0.0
    style: Literal["", "chosen", "for", "against"] = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars below each other. `axis` is where zero lies, where bars go both ways; `rest` is a row without a bar.

    As a `drawing` it repeats what a table states. `narrow` labels stand close to their bars.
    """

    caption: str
    head: tuple[str, str]
    bars: tuple[Bar, ...]
    axis: float | None = None
    rest: tuple[str, str] | None = None
    remark: str = ""
    drawing: bool = False
    narrow: bool = False


@dataclass(frozen=True, slots=True)
class Meter:
    """A share from 0 to 1 as a bar with a line at the threshold `at`."""

    share: float
    at: float
    caption: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A finding in a few words, beside a plot: its measure and value, and how unusual (`out`) that is."""

    link: Link
    words: str
    deviation: str
    out: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """One variable over the run, with its findings; `interval` is shaded.

    `key` (letters and digits) keeps ids in the drawing apart, `title` is its text for those who cannot see it.
    """

    name: str
    column: str
    unit: str
    facts: tuple[Fact, ...]
    series: Series
    interval: Interval | None
    key: str
    title: str


@dataclass(frozen=True, slots=True)
class Plots:
    """Variables over the run, and how to read the drawings."""

    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A frame in a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PictureBlock:
    """The image of a case with its anomaly map above it and frames around regions."""

    name: str
    picture: Picture
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Overlay:
    """The choice of how strongly anomaly maps are laid over pictures, and what their colours mean."""

    meanings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tuning:
    """The curves of a tuning (`log` is a summary of them), what its best evaluation reached, and the key to the lines.

    `chance` and `best` are empty where they are not known.
    """

    log: Mapping[str, object]
    loss_fact: str
    accuracy_fact: str
    chance: str = ""
    best: str = ""
