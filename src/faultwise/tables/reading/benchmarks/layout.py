"""The columns of a known data set: roles, columns to leave out, and names in this package.

A layout is found by `benchmarks.recognise`. It reads no files and works on a whole frame or a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from faultwise.contracts.about import About
from faultwise.tables.reading.table import Roles

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How a recognised data set is read.

    `roles` (with its ignored columns), `about` and `split` are in the names that `apply` gives; `renamed` leads
    there from the names in the file, and `dropped` names columns that `apply` leaves behind. `reasons` holds in
    words why a column is ignored. `part` ("train", "test") and `onset`, the number of samples before a fault
    sets in, hold for sets that have them.
    """

    name: str
    roles: Roles
    split: str = ""
    about: About = field(default_factory=About)
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    part: str = ""
    onset: int | None = None
    transform: Callable[[pd.DataFrame, int | None], pd.DataFrame] | None = None
    settle: Callable[[Layout, pd.DataFrame], Layout | None] | None = None

    @property
    def ignored(self) -> tuple[str, ...]:
        """Columns that take no part unless they are asked for."""
        return self.roles.ignored

    def apply(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows in the layout's own columns; any chunk of rows will do. Raises DataError."""
        return frame if self.transform is None else self.transform(frame, self.onset)

    def settled(self, frame: pd.DataFrame) -> Layout | None:
        """Check counts on the whole frame, before `apply`, and fill in what the name left open.

        Returns None when the values show that it is another data set. Raises DataError for a damaged one.
        """
        return self if self.settle is None else self.settle(self, frame)

    def keeping(self, names: Collection[str]) -> Layout:
        """Return the layout with these columns no longer ignored."""
        left = tuple(name for name in self.roles.ignored if name not in names)
        return replace(self, roles=replace(self.roles, ignored=left))

    def all_notes(self) -> tuple[str, ...]:
        """Return the notes, and a sentence about the columns that are left out."""
        by_reason: dict[str, list[str]] = {}
        for name in self.roles.ignored:
            by_reason.setdefault(self.reasons.get(name, "not a measurement"), []).append(f"`{name}`")
        if not by_reason:
            return self.notes
        left_out = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in by_reason.items())
        return (*self.notes, f"Left out: {left_out}. To use such a column nevertheless, pass --keep COL.")
