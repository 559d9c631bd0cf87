"""Features over the last samples of a run: last value, mean, spread, jitter, slope.

A window holds a number of samples, or those of a duration. It never crosses the edge of a stretch: a run, a gap in
time; in training also a change of label, that is an onset. Rows whose window is not full yet get no features: their
positions are simply absent from what is returned. Categories are not averaged; they enter with their last value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.contracts.findings import Measure
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.clock import Clock
from faultwise.verdicts.stretches import stretches

__all__ = ["Features", "WindowEncoder"]

# Jitter lifted mean recall from 0.77 to 0.80 on held-out blocks of the Braatz training files: it tells a drift,
# which spreads values too, from noise.
WINDOW_MEASURES: tuple[Measure, ...] = ("value", "mean", "spread", "jitter", "slope")
_CHUNK = 20_000  # windows at a time, so that memory stays flat on long runs
_MOST_AT_ONCE = 4_000_000  # numbers gathered at a time for windows by duration


@dataclass(frozen=True, slots=True)
class Features:
    """Encoded rows: `frame` (rows, features) in float32, `rows` their positions in the table. Features of the columns
    `missing` are NaN throughout.
    """

    frame: pd.DataFrame
    rows: np.ndarray
    notes: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(slots=True)
class WindowEncoder:
    """Columns, then windows of `window` samples (1 passes the plain values on), or of `span` seconds by the `clock`.

    With a clock windows end at gaps, and slopes are per unit of time. With a span `window` is the usual number of
    samples.

    >>> encoder = WindowEncoder(window=3).fit(pd.DataFrame({"level": [1.0, 2.0, 3.0, 9.0]}))
    >>> made = encoder.transform(pd.DataFrame({"level": [1.0, 2.0, 3.0, 9.0]}), np.zeros(4, dtype=int))
    >>> made.rows.tolist(), made.frame.round(2).to_dict("list")["slope(level)"]
    ([2, 3], [1.0, 3.5])
    """

    window: int = 1
    columns: ColumnEncoder | None = None
    span: float | None = None
    clock: Clock | None = None

    @property
    def origin(self) -> list[tuple[str, Measure]]:
        """The (column, measure) behind each feature, in feature order."""
        columns = self.learnt
        numeric = list(columns.medians)
        categorical: list[tuple[str, Measure]] = [(c, "category") for c in columns.variables[len(numeric) :]]
        measures: tuple[Measure, ...] = ("value",) if self.window == 1 else WINDOW_MEASURES
        return [(name, measure) for measure in measures for name in numeric] + categorical

    @property
    def names(self) -> list[str]:
        """Feature names such as `mean(XMV(10))`; categories as `is(state=on)`."""
        columns = self.learnt
        made = [f"{measure}({name})" for name, measure in self.origin if measure != "category"]
        return made + [f"is({name})" for name in columns.names[len(columns.medians) :]]

    def words(self) -> str:
        """Return the length of a window in words."""
        if self.span is not None and self.clock is not None:
            return self.clock.span_text(self.span)
        return f"{self.window} samples"

    def fit(self, X: pd.DataFrame) -> WindowEncoder:
        """Learn the columns. Raises DataError for a window below 1."""
        if self.window < 1:
            raise DataError(f"The window is {self.window} samples; expected 1 (no window) or more.")
        self.columns = ColumnEncoder().fit(X)
        return self

    def stretches(self, runs: np.ndarray, at: np.ndarray | None, labels: np.ndarray | None = None) -> np.ndarray:
        """Return the stretch of each row, shape (rows,): of a run, between gaps of the times `at` (rows,) in seconds,
        and, where they are given, of one label. Without windows only labels count.
        """
        if self.clock is None or at is None:
            return stretches(runs, labels)
        gaps = self.clock.gaps(runs, at)
        marks = gaps if labels is None else pd.MultiIndex.from_arrays([labels, gaps]).factorize()[0]
        return stretches(runs, marks)

    def seconds(self, rows: Table | pd.DataFrame) -> np.ndarray | None:
        """Return the time of each row, shape (rows,), by the clock; None without one, or without its column.

        Raises DataError where windows are of a duration and there is no time.
        """
        at = None
        if self.clock is not None:
            at = self.clock.seconds_in(rows) if isinstance(rows, Table) else self.clock.seconds(rows)
        if self.span is not None and at is None:
            column = "" if self.clock is None else f" `{self.clock.column}`"
            raise DataError(f"Windows of {self.words()} need the time of each row: give its column{column}.")
        return at

    def laid_out(self, table: Table, labels: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the stretch and the time of each row of a table (see `stretches` and `seconds`)."""
        at = self.seconds(table)
        return self.stretches(table.runs, at, labels), at

    def full(self, pieces: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """Return the positions of rows with a full window: enough samples, or time, of their stretch up to them."""
        found = [members[keep] for members, _, keep in self._windows(pieces, at)]
        return np.sort(np.concatenate(found)) if found else np.empty(0, int)

    def firsts(self, pieces: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """Return the position of the first row of each row's window, shape (rows,); -1 where it is not full."""
        made = np.full(len(pieces), -1)
        for members, starts, keep in self._windows(pieces, at):
            made[members[keep]] = members[starts[keep]]
        return made

    def _windows(
        self, pieces: np.ndarray, at: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for each stretch the positions of its rows, the place among them where each window starts, and whether
        it is full.
        """
        order = np.argsort(pieces, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(pieces[order])) + 1):
            places = np.arange(len(members))
            if self.span is None or at is None or self.clock is None:
                starts = places - (self.window - 1)
                yield members, starts, starts >= 0
            else:
                t = at[members]
                starts = np.searchsorted(t, t - self.span * (1 - 1e-9), side="right")
                # The first sample of a window lies up to one step after its beginning.
                full = (t - t[:1] >= self.span - 1.001 * self.clock.step) & (places > starts)
                yield members, starts, full

    def transform(
        self,
        X: pd.DataFrame,
        pieces: np.ndarray,
        only: np.ndarray | None = None,
        strict: bool = True,
        at: np.ndarray | None = None,
    ) -> Features:
        """Encode rows; `pieces` (rows,) gives the id of the stretch each row belongs to, `at` (rows,) its time in
        seconds.

        `only` are the sorted positions to keep: the windows of the others are never held in memory. `strict` is that
        of `ColumnEncoder.transform`.
        """
        columns = self.learnt
        values, notes = columns.transform(X, strict)
        wanted = np.ones(len(X), bool) if only is None else np.isin(np.arange(len(X)), only)
        if self.window == 1:
            rows = np.flatnonzero(wanted)
            values = values[rows]
            return Features(pd.DataFrame(values.astype(np.float32), columns=self.names), rows, tuple(notes))
        # The training medians, and not the stretch's own mean: they are known before the stretch ends.
        offset = np.array(list(columns.medians.values()))
        times = None if at is None or self.clock is None else at / self.clock.unit[0]
        parts, positions = [], []
        for members, starts, full in self._windows(pieces, at):
            keep = full & wanted[members]
            if not keep.any():
                continue
            t = None if times is None else times[members]
            if self.span is None:
                made = _fixed(values[members], t, self.window, offset, keep)
            else:
                made = _spans(values[members], t, starts, offset, keep)
            parts.append(made)
            positions.append(members[keep])
        if not parts:
            return Features(pd.DataFrame(columns=self.names, dtype=np.float32), np.empty(0, int), tuple(notes))
        rows = np.concatenate(positions)
        back = np.argsort(rows, kind="stable")
        frame = pd.DataFrame(np.concatenate(parts)[back], columns=self.names)
        return Features(frame, rows[back], tuple(notes))

    @property
    def learnt(self) -> ColumnEncoder:
        """The columns learnt by `fit`. Raises DataError before it."""
        if self.columns is None:
            raise DataError("The encoder has seen no training rows yet: call fit first.")
        return self.columns


# Samples of windows, oldest first: numbers (windows, columns), time before the newest one (windows, 1), and 1 or 0
# where a window has that many samples or not (None: all have).
_Sample = tuple[np.ndarray, np.ndarray | float, np.ndarray | None]


def _fixed(values: np.ndarray, t: np.ndarray | None, window: int, offset: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Features of the windows of `window` samples of a stretch (samples, columns) that end where `keep` holds."""
    parts = []
    for start in range(0, len(values) - window + 1, _CHUNK):
        count = min(_CHUNK, len(values) - window + 1 - start)
        kept = keep[start + window - 1 : start + window - 1 + count]
        if not kept.any():
            continue
        numbers = values[start : start + count + window - 1, : len(offset)] - offset
        newest = None if t is None else t[start + window - 1 : start + window - 1 + count]

        def sample(k: int, numbers: np.ndarray = numbers, start: int = start, count: int = count,
                   newest: np.ndarray | None = newest) -> _Sample:  # fmt: skip
            when: np.ndarray | float = float(k - window + 1)
            if t is not None and newest is not None:
                when = (t[start + k : start + k + count] - newest)[:, None]
            return numbers[k : k + count], when, None

        last = values[start + window - 1 : start + window - 1 + count]
        parts.append(_window_features(sample, window, last, offset)[kept])
    return np.concatenate(parts)


def _spans(
    values: np.ndarray, t: np.ndarray | None, starts: np.ndarray, offset: np.ndarray, keep: np.ndarray
) -> np.ndarray:
    """Features of windows of one stretch (samples, columns) that begin at `starts` and end where `keep` holds."""
    assert t is not None
    numbers, ends, parts = values[:, : len(offset)] - offset, np.flatnonzero(keep), []
    most = int((ends - starts[ends]).max()) + 1
    step = max(1, min(_CHUNK, _MOST_AT_ONCE // max(1, numbers.shape[1])))
    for some in np.split(ends, range(step, len(ends), step)):

        def sample(k: int, some: np.ndarray = some) -> _Sample:
            place = np.minimum(starts[some] + k, some)
            there = (starts[some] + k <= some).astype(float)[:, None]
            return numbers[place], (t[place] - t[some])[:, None], there

        parts.append(_window_features(sample, most, values[some], offset))
    return np.concatenate(parts)


def _window_features(sample: Callable[[int], _Sample], most: int, last: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Features of windows of up to `most` samples: (windows, features). `last` (windows, columns) are the newest rows.

    `offset` (numeric columns,) was taken off the samples: it keeps precision where a large offset carries a small
    change. Sums run over the samples of a window in their order, one addition at a time, so that a row's features are
    the same to the last bit however the rows around it were cut into pieces: a stream gives what a batch gives.
    """
    mean, when, count = _averages(sample, most)
    squares, slope, jitter = np.zeros_like(mean), np.zeros_like(mean), np.zeros_like(mean)
    first, began, _ = sample(0)
    newest = last[:, : len(offset)] - offset
    length = np.maximum(-np.asarray(began, float), 1e-12)
    drift = (newest - first) / length
    around: np.ndarray | float = 0.0
    samples = (sample(k) for k in range(most))
    for (x, t, there), (after, later, also) in pairwise(chain(samples, [(newest, 0.0, None)])):
        weight = 1.0 if there is None else there
        squares += weight * (x - mean) ** 2
        slope += weight * (t - when) * x
        around = around + weight * (t - when) ** 2
        step = later - t if also is None else also * (later - t)
        ahead = after - x - drift * step
        jitter += ahead**2 if also is None else also * ahead**2
    spread, jitter = np.sqrt(squares / (count - 1)), np.sqrt(jitter / (count - 1))
    slope = slope / np.maximum(around, 1e-12)
    made = [last[:, : len(offset)], mean + offset, spread, jitter, slope, last[:, len(offset) :]]
    return np.concatenate(made, axis=1).astype(np.float32)


def _averages(sample: Callable[[int], _Sample], most: int) -> tuple[np.ndarray, np.ndarray | float, np.ndarray | float]:
    """Return the mean of the values (windows, columns) and of the times, and the number of samples of each window."""
    first, when, there = sample(0)
    mean = np.array(first, float) if there is None else first * there
    count: np.ndarray | float = 1.0 if there is None else there
    when = when if there is None else when * there
    for k in range(1, most):
        x, t, there = sample(k)
        mean += x if there is None else x * there
        when = when + (t if there is None else t * there)
        count = count + (1.0 if there is None else there)
    return mean / count, when / count, count
