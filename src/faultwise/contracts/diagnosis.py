"""What `diagnose` and `evaluate` return: cases with verdicts, findings and sentences; figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faultwise.contracts.findings import Finding, Interval
from faultwise.contracts.verdicts import Verdict

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Case", "Diagnosis", "Evaluation", "Json", "Picture", "RunSummary", "Sentence", "Series"]

Json = bool | int | float | str | None | list["Json"] | dict[str, "Json"]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence of a narrative and the ids of the findings that carry it; `()` only for the verdict."""

    text: str
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """One variable over the run around a case, for plots: positions and values of equal length."""

    variable: str
    label: str
    unit: str | None
    positions: tuple[int, ...]
    values: tuple[float, ...]
    normal_low: float | None
    normal_high: float | None


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of a case, for reports: `read` gives pixels (height, width, 3; uint8), `scores` the anomaly map (rows,
    columns; of any size), coloured from `threshold` on.
    """

    read: Callable[[], np.ndarray]
    scores: np.ndarray
    threshold: float
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One diagnosed item with everything needed to check the verdict.

    `name` is the item: an image's file, or the run of a row, whose number is `row` and whose window is `interval`.
    `series` (variables over the run) and `picture` are for reports.
    """

    name: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    narrative: tuple[Sentence, ...]
    row: int | None = None
    interval: Interval | None = None
    series: tuple[Series, ...] = ()
    picture: Picture | None = None

    def to_dict(self) -> dict[str, Json]:
        """Return plain dicts and lists, ready for JSON; pictures stay in reports."""
        return {one.name: plain(getattr(self, one.name)) for one in dataclasses.fields(self) if one.name != "picture"}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One line per run: how many rows were judged and flagged, and the label given most often to those."""

    run: str
    rows: int
    judged: int
    flagged: int
    label: str | None
    probability: float
    first_flag: int | None
    first_flag_time: str | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All that one `diagnose` call says: cases in detail, an overview by run, notes, provenance.

    `modality` names the kind of trace. `leaderboard` holds the experts of an evaluation beside it, one mapping a row.
    """

    source: str
    runs: tuple[RunSummary, ...]
    cases: tuple[Case, ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, object]
    leaderboard: tuple[Mapping[str, object], ...] = ()
    modality: str = "tables"

    def to_dict(self) -> dict[str, Json]:
        """Return plain dicts and lists, ready for JSON."""
        own = {one.name: plain(getattr(self, one.name)) for one in dataclasses.fields(self) if one.name != "cases"}
        return {**own, "cases": [case.to_dict() for case in self.cases]}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model judged labelled items: `figures` under the metric names of the field (for JSON), the same as
    `tables` (a title, and rows of name and value) and `sentences` for people, and notes.
    """

    figures: Mapping[str, object]
    tables: tuple[tuple[str, tuple[Mapping[str, object], ...]], ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def plain(value: object) -> Json:
    """Return a value as dicts, lists, numbers and text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return plain(value.tolist())
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
