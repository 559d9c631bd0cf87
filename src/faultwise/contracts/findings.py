"""Findings: checkable statements that experts make, one type for each kind of thing that they are about.

Nothing here computes. Every finding says who made it (`expert`), what it is about, its value and unit, how far it moved
the verdict (`contribution`), and where to look. `kind` tells the types apart, also in JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "Direction",
    "Finding",
    "Interval",
    "Measure",
    "NeighbourFinding",
    "OfVariable",
    "RegionFinding",
    "RuleFinding",
    "SensorFinding",
    "StatementFinding",
    "VariableFinding",
    "WordFinding",
]

Direction = Literal["high", "low", "within", "missing", "unusual"]
Measure = Literal["value", "mean", "spread", "jitter", "slope", "change", "category"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A stretch of one run, by row position within the run (both ends included) and, if known, by time."""

    run: str
    first: int
    last: int
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class VariableFinding:
    """One statement about one variable over one interval.

    `deviation` is in standard deviations of the normal rows, signed. `normal_low` and `normal_high` hold the central
    99% of the normal rows. `contribution` is how far the variable moved the log-odds of the verdict's label, in nats:
    positive speaks for the verdict. All three concern `measure` of the variable: its value, or its mean, spread
    (standard deviation), jitter (standard deviation of the changes from sample to sample) or slope (units `per`
    sample, or unit of time) over the interval.
    """

    id: str
    expert: str
    variable: str
    measure: Measure
    value: float | str | None
    normal_low: float | None
    normal_high: float | None
    deviation: float | None
    direction: Direction
    contribution: float
    interval: Interval
    name: str | None = None
    unit: str | None = None
    description: str | None = None
    per: str = "sample"
    kind: Literal["variable"] = "variable"


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One of the user's rules that holds for a variable over an interval.

    The normal range is what the rule allows (of the value or, with measure "change", of its change over the interval);
    `contribution` is 0, because nothing was weighed.
    """

    id: str
    expert: str
    variable: str
    measure: Measure
    value: float | str | None
    normal_low: float | None
    normal_high: float | None
    direction: Direction
    interval: Interval
    rule: str
    name: str | None = None
    unit: str | None = None
    description: str | None = None
    deviation: None = None
    contribution: float = 0.0
    kind: Literal["rule"] = "rule"


@dataclass(frozen=True, slots=True)
class SensorFinding:
    """A sensor that looks broken over an interval; `sensor` says in a sentence how. It explains no fault."""

    id: str
    expert: str
    variable: str
    measure: Measure
    value: float | str | None
    normal_low: float | None
    normal_high: float | None
    direction: Direction
    interval: Interval
    sensor: str
    name: str | None = None
    unit: str | None = None
    description: str | None = None
    deviation: None = None
    contribution: float = 0.0
    kind: Literal["sensor"] = "sensor"


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """One part of an image that lies above the threshold of regions.

    `box` is (left, top, right, bottom) in pixels, right and bottom excluded; `area` is a share of the image; `value` is
    the highest anomaly score inside, `normal_high` the threshold, and `peak` (row, column) where the score was found,
    which `place` puts into words. `contrast` says how much darker (negative) or brighter the region is than its
    surroundings, in grey levels. `defect` is the type of defect and `probability` how sure it is, where types were
    learnt.
    """

    id: str
    expert: str
    box: tuple[int, int, int, int]
    area: float
    value: float
    normal_high: float
    contrast: float
    place: str
    peak: tuple[int, int]
    defect: str | None = None
    probability: float | None = None
    contribution: float = 0.0
    kind: Literal["region"] = "region"


@dataclass(frozen=True, slots=True)
class WordFinding:
    """One word of a text, with its `place` (first letter, letter after the last one).

    `contribution` is how far the log-odds of the verdict's label, in nats, fall when this word alone is left out.
    """

    id: str
    expert: str
    word: str
    place: tuple[int, int]
    contribution: float
    kind: Literal["word"] = "word"


@dataclass(frozen=True, slots=True)
class NeighbourFinding:
    """A labelled text of the fit that a text is like; `similarity` is the cosine of their vectors, `item` says where it
    stands in the source of the fit.
    """

    id: str
    expert: str
    text: str
    label: str
    similarity: float
    item: str
    contribution: float = 0.0
    kind: Literal["neighbour"] = "neighbour"


@dataclass(frozen=True, slots=True)
class StatementFinding:
    """A statement about anything else that has a name: what a modality of one's own finds.

    `about` names it, `place` says where to look, in words.
    """

    id: str
    expert: str
    about: str
    value: float | str | None
    normal_low: float | None = None
    normal_high: float | None = None
    unit: str | None = None
    place: str = ""
    direction: Direction = "unusual"
    contribution: float = 0.0
    kind: Literal["statement"] = "statement"


OfVariable = VariableFinding | RuleFinding | SensorFinding
Finding = (
    VariableFinding | RuleFinding | SensorFinding | RegionFinding | WordFinding | NeighbourFinding | StatementFinding
)
