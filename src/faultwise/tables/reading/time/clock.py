"""The clock of a table: how its times are written, how often rows come, and how long a silence is a gap.

It is learnt once, from the rows of the fit, and then holds for later files and streams.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.spans import UNITS, seconds_of, span_text
from faultwise.tables.reading.time.stamps import Kind, seconds

__all__ = ["Clock", "gap_numbers", "steps_back"]

_SILENT = 5.0  # so many times the usual longest step is a gap


@dataclass(frozen=True, slots=True)
class Clock:
    """`step` is the usual time between rows of a run (where it is `mixed`, a short one), `gap` the longest one within a
    stretch, both in seconds (or in units of the column where nothing tells what they are: see `stamps.Kind`).
    """

    column: str
    kind: Kind
    step: float
    gap: float
    mixed: bool = False

    @classmethod
    def of(cls, table: Table) -> Clock | None:
        """Learn from a table in time order; None without a column of times that can be understood."""
        if table.stamps is None or table.roles.time is None:
            return None
        kind, at = table.stamps
        _, steps = _steps(table.runs, at)
        steps = steps[steps > 0]
        if not len(steps):
            return None
        shortest, usual, longest = (float(one) for one in np.quantile(steps, [0.05, 0.5, 0.9], method="lower"))
        mixed = longest > 3 * shortest
        return cls(table.roles.time, kind, shortest if mixed else usual, _SILENT * longest, mixed)

    def seconds(self, frame: pd.DataFrame) -> np.ndarray | None:
        """Return the time of each row, shape (rows,); None where the column is absent."""
        return seconds(frame[self.column], self.kind) if self.column in frame.columns else None

    def seconds_in(self, table: Table) -> np.ndarray | None:
        """Return the time of each row of a table, shape (rows,), as `seconds` does of its frame."""
        if table.roles.time == self.column and table.stamps is not None and table.stamps[0] == self.kind:
            return table.stamps[1]
        return self.seconds(table.frame)

    def gaps(self, runs: np.ndarray, at: np.ndarray | None) -> np.ndarray:
        """Return a number for each row, shape (rows,), that changes within a run where a gap lies before the row."""
        return np.zeros(len(runs), int) if at is None else gap_numbers(runs, at, self.gap)

    @property
    def unit(self) -> tuple[float, str]:
        """The length of a unit for rates of change, in seconds, and its name: `min`, or the unit of the column."""
        if self.kind.unit is None:
            return 1.0, f"unit of `{self.column}`"
        name = next((one for one in ("d", "h", "min") if self.step >= UNITS[one] / 6), "s")
        return UNITS[name], name

    def span(self, text: str) -> float:
        """Return a span such as `10min` in seconds. Raises UserError where the unit of the column is unknown."""
        if self.kind.unit is None:
            raise UserError(
                f"A window of `{text}` needs to know the unit of `{self.column}`: name it in the header, such as "
                f"`{self.column} [s]`, or give --window as a number of samples."
            )
        return seconds_of(text, "--window")

    def span_text(self, length: float) -> str:
        """Return a length of time in words."""
        return f"{length:.4g} of `{self.column}`" if self.kind.unit is None else span_text(length)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `from_dict` takes back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, state: dict[str, object] | None) -> Clock | None:
        """Read what `to_dict` gave."""
        if state is None:
            return None
        kind = state["kind"]
        assert isinstance(kind, dict)
        return cls(**{**state, "kind": Kind(**kind)})  # type: ignore[arg-type]


def gap_numbers(runs: np.ndarray, at: np.ndarray, gap: float) -> np.ndarray:
    """Return numbers (rows,) that change where a gap lies before a row: more than `gap` seconds, or a step backwards.

    >>> gap_numbers(np.array(["a", "b", "a", "a"]), np.array([0.0, 0.0, 1.0, 60.0]), 5.0).tolist()
    [0, 1, 0, 1]
    """
    order, steps = _steps(runs, at)
    made = np.zeros(len(runs), int)
    made[order] = np.cumsum((steps > gap) | (steps < 0))
    return made


def steps_back(runs: np.ndarray, at: np.ndarray) -> int:
    """Return how many rows come before the row above them of the same run, by their times `at` (rows,).

    >>> steps_back(np.array(["a", "a", "b", "b"]), np.array([2.0, 1.0, 1.0, 2.0]))
    1
    """
    alone = len(runs) == 0 or bool((runs == runs[0]).all())
    return int(((np.diff(at) if alone else _steps(runs, at)[1]) < 0).sum())


def _steps(runs: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of rows, run after run, and in this order the time since the row before of the same run; NaN
    for the first ones.
    """
    codes = pd.factorize(runs)[0]
    order = np.argsort(codes, kind="stable")
    made = np.full(len(runs), np.nan)
    if len(runs) > 1:
        same = np.diff(codes[order]) == 0
        made[1:][same] = np.diff(at[order])[same]
    return order, made
