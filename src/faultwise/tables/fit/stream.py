"""Rows judged as they come, in pieces of any size, with the same features and verdicts as a whole table gives.

Per run only the rows are kept that the next window (and the longest rule) reaches back to, so memory does not grow
with time. A table is the case of one large piece; a followed file that of many small ones.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, without_figures
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.predicting import Judgements, judgements_of, prediction_lines
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.table import Roles, Table, run_text, time_text
from faultwise.tables.reading.time.clock import steps_back

__all__ = ["RowStream", "Streams"]

_DENSER = 20  # times the usual number of samples that a window by duration may hold
MOST_RUNS = 4096  # runs remembered at once; the one that was silent longest is forgotten first


class Streams(Protocol):
    """What a model of tables offers to those who diagnose rows as they come (see `tables.model.TableModel`)."""

    fitted: Fitted
    roles: Roles
    manifest: Mapping[str, object]

    @property
    def texts(self) -> list[str]:
        """Columns that are words, whatever they look like in a new file."""
        ...

    def read(self, source: str | Path, part: str = "test", *, reading: TableReading | None = None) -> Table:
        """Read a file with the columns' roles of the fit, its rows in time order."""
        ...

    def roles_in(self, columns: Collection[str] | pd.Index, own: Roles | None = None) -> Roles:
        """Return the roles of the fit that these columns can play."""
        ...

    def stream(self, roles: Roles | None = None, every: bool = False, **options: object) -> RowStream:
        """Return a classifier of rows as they come."""
        ...


class RowStream:
    """Judges pieces of rows by the experts other than the language model.

    `roles` names the run and the time column; without a run column all rows are one run, called `run`. `every` adds
    the probabilities of all labels to the lines; `most_runs` are remembered at once. `row` counts the rows pushed so
    far, `notes` keeps what was noticed, each kind once.
    """

    def __init__(
        self, fitted: Fitted, roles: Roles, every: bool = False, run: str = "stream", most_runs: int = MOST_RUNS
    ) -> None:
        if fitted.ensemble.language_only:
            raise DataError("This run has only the language model, which is too slow for a stream: fit others, too.")
        self.fitted, self.roles, self.every, self.run, self.most_runs = fitted, roles, every, run, most_runs
        self.row = 0
        self.notes: dict[str, str] = {}
        # A window by duration may hold more samples than usual.
        longest = fitted.encoder.window - 1 if fitted.encoder.span is None else _DENSER * fitted.encoder.window
        self._reach = max(longest, fitted.rules.memory)
        clock = fitted.encoder.clock
        self._columns = list(dict.fromkeys([*fitted.encoder.learnt.used, *fitted.rules.variables]))
        self._clock: str | None = None  # the column of times, where it is kept for the windows alone
        if clock is not None and clock.column not in self._columns and fitted.encoder.window > 1:
            self._clock = clock.column
            self._columns.append(clock.column)
        self._tails: dict[str, pd.DataFrame] = {}
        self._seen: OrderedDict[str, int] = OrderedDict()  # rows per run, the run that was silent longest first

    def push(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Take the next rows; return a line for each that has a full window (see `predicting.prediction_lines`).

        Raises DataError when columns of the fit are missing.
        """
        whole, runs, new = self._with_tails(rows)
        at = self.fitted.encoder.seconds(whole)
        pieces = self.fitted.encoder.stretches(runs, at)
        # The column of times comes last where it is kept for the windows alone.
        measured = whole.iloc[:, :-1] if len(whole.columns) and whole.columns[-1] == self._clock else whole
        made = self.fitted.encoder.transform(measured, pieces, np.flatnonzero(new), strict=False, at=at)
        self._note(made.notes)
        if at is not None and self.fitted.encoder.window > 1 and steps_back(runs, at):
            self._note(["Rows are not in time order, and windows begin anew where time goes back: sort them first."])
        first, self.row = self.row, self.row + len(rows)
        at = np.flatnonzero(np.isin(np.flatnonzero(new), made.rows))  # which of `rows` have a full window
        place = self._places(runs[new])[at]
        self._remember(whole, runs)
        fired = self.fitted.rules.fired(whole, pieces)[made.rows]
        judgements = self._judgements(made, runs[made.rows], place, fired)
        lines = prediction_lines(self.fitted, judgements, first + at + 1, self.every)
        if self.roles.time is not None:  # also where this piece has none: lines must not change their shape
            known = self.roles.time in rows.columns
            times = time_text(rows[self.roles.time]) if known else np.full(len(rows), "", object)
            lines.insert(2, "time", times[at])
        return lines

    def _note(self, notes: Iterable[str]) -> None:
        for note in notes:
            self.notes.setdefault(without_figures(note), f"From row {self.row + 1:,} on: {note}" if self.row else note)

    def skip(self, rows: pd.DataFrame) -> None:
        """Take the next rows without judging them: what follows is judged as if they had been pushed."""
        whole, runs, new = self._with_tails(rows)
        self.row += len(rows)
        self._places(runs[new])
        self._remember(whole, runs)

    def state(self) -> dict[str, Any]:
        """Return what a later process needs to go on, as JSON-ready values."""
        return {
            "row": self.row,
            "seen": dict(self._seen),
            "tails": {run: _plain(tail) for run, tail in self._tails.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`. Raises DataError when it is not one of this run's."""
        try:
            tails = {str(run): pd.DataFrame(tail) for run, tail in state["tails"].items()}
            if any(list(tail.columns) != self._columns for tail in tails.values()):
                raise ValueError("other columns")
            seen = OrderedDict((str(run), int(count)) for run, count in state["seen"].items())
            row = int(state["row"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"The saved state does not belong to this run ({error}): remove it to start anew."
            ) from None
        self.row, self._seen, self._tails = row, seen, tails

    def _judgements(self, made: Any, runs: np.ndarray, place: np.ndarray, fired: np.ndarray) -> Judgements:
        nobody = np.zeros(len(made.rows), bool)
        ensemble = self.fitted.ensemble
        if len(made.rows):
            by_expert = ensemble.by_expert(made.frame)
        else:  # scikit-learn refuses an empty table
            by_expert = dict.fromkeys(ensemble.fusion.weights_without, np.empty((0, len(ensemble.classes))))
        return judgements_of(self.fitted, made, by_expert, nobody, runs, place, fired)

    def _with_tails(self, rows: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
        """Return the remembered rows of the runs at hand and the new ones, their runs, and a mask of the new."""
        self.fitted.encoder.learnt.check(rows)
        self.fitted.rules.check(rows.columns)
        group = self.roles.group
        if group is None:
            runs = np.full(len(rows), self.run, dtype=object)
        else:
            if group not in rows.columns:
                raise DataError(f"The rows have no column `{group}`, which names the run: add it.")
            runs = run_text(rows[group])
        used = rows[[name for name in self._columns if name in rows.columns]]
        tails = [(run, self._tails[run]) for run in pd.unique(runs) if run in self._tails]
        if not tails:
            return used.reset_index(drop=True), runs, np.ones(len(rows), bool)
        whole = pd.concat([*(tail for _, tail in tails), used], ignore_index=True)
        old = np.repeat(np.array([run for run, _ in tails], dtype=object), [len(tail) for _, tail in tails])
        return whole, np.concatenate([old, runs]), np.arange(len(whole)) >= len(old)

    def _places(self, runs: np.ndarray) -> np.ndarray:
        """Return each new row's position within its run, from 1, and count on."""
        before = pd.Series(runs).map(self._seen).fillna(0).to_numpy(dtype=int)
        place = before + pd.Series(runs).groupby(runs).cumcount().to_numpy() + 1
        for run, count in zip(*np.unique(runs.astype(str), return_counts=True), strict=True):
            self._seen[str(run)] = self._seen.get(str(run), 0) + int(count)
            self._seen.move_to_end(str(run))
        return np.asarray(place)

    def _remember(self, whole: pd.DataFrame, runs: np.ndarray) -> None:
        """Keep the last rows of each run at hand, and forget the runs that were silent longest."""
        if self._reach and len(runs):
            codes = pd.factorize(runs)[0]
            back = pd.Series(codes[::-1]).groupby(codes[::-1]).cumcount().to_numpy()[::-1]
            kept = np.flatnonzero(back < self._reach)
            kept = kept[np.argsort(codes[kept], kind="stable")]
            for part in np.split(kept, np.flatnonzero(np.diff(codes[kept])) + 1):
                # A copy, because a tail must not keep the piece alive that it was cut from.
                self._tails[str(runs[part[0]])] = whole.iloc[part].reset_index(drop=True).copy()
        if len(self._seen) > self.most_runs:
            self._note(
                [f"More than {self.most_runs:,} runs: those that were silent longest begin anew if they return."]
            )
        while len(self._seen) > self.most_runs:
            forgotten, _ = self._seen.popitem(last=False)
            self._tails.pop(forgotten, None)


def _plain(tail: pd.DataFrame) -> dict[str, list[Any]]:
    """Write a tail as lists; Python's JSON keeps every digit of a number."""
    times = tail.select_dtypes(["datetime", "datetimetz"]).columns
    tail = tail.astype(dict.fromkeys(times, str))
    return {str(name): values.astype(object).where(values.notna(), None).tolist() for name, values in tail.items()}
