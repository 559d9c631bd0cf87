"""Diagnosing a file while it grows: rows judged as their lines are completed, and a state that survives a restart.

With an output file every row is written once, also over restarts: the state holds the output's length, and what was
written after the state was saved is cut off and written again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from faultwise.contracts.errors import DataError, UserError
from faultwise.runs.files import write_atomic
from faultwise.runs.tables import csv_text
from faultwise.tables.fit.stream import RowStream, Streams
from faultwise.tables.reading.text.growing import GrowingFile

__all__ = ["Follower", "Lines"]

_SAVE_EVERY_S = 1.0


class Follower:
    """Follows `source`; iterating it yields the lines of new rows (see `stream.RowStream.push`), without end.

    `state` is a file that is kept up to date and read at the start; `out` is a CSV file that lines are added to. With
    `idle` the iteration ends when nothing new came for so many seconds; `poll` is the wait between two looks.
    """

    def __init__(
        self,
        model: Streams,
        source: str | Path,
        *,
        state: str | Path | None = None,
        out: str | Path | None = None,
        poll: float = 1.0,
        idle: float | None = None,
    ) -> None:
        if not Path(source).exists() and not Path(source).absolute().parent.is_dir():
            raise DataError(f"There is no folder for `{source}`: check the path.")
        for path in (state, out):
            if path is not None and not Path(path).absolute().parent.is_dir():
                raise UserError(f"There is no folder for `{path}`: create it first.")
        self.model, self.poll, self.idle = model, poll, idle
        self.file = GrowingFile(source, model.texts)
        self.stream: RowStream | None = None
        self.rows = 0
        self._state = None if state is None else Path(state)
        self._out = None if out is None else Path(out)
        self._saved: dict[str, Any] | None = None
        self._size = 0
        self._dirty, self._last = True, 0.0
        experts = sorted(model.fitted.ensemble.fusion.weights_without)
        self._key = f"{Path(source).absolute()} {model.manifest.get('files')} {experts}"
        if self._state is not None and self._state.exists():
            self._read_state()
        elif self._out is not None and self._out.exists():
            raise UserError(f"`{self._out}` exists, and there is no state to go on from: choose another --out.")
        elif self._state is not None:
            self._save()  # so that what is written before the first state is known to belong to it

    def __iter__(self) -> Iterator[pd.DataFrame]:
        quiet = time.monotonic()
        while True:
            rows = self.file.read()
            if rows is not None:
                lines = self._classified(rows)
                self._keep(lines)
                quiet = time.monotonic()
                if quiet - self._last >= _SAVE_EVERY_S:
                    self._save()
                if len(lines):
                    yield lines
                continue
            self._save()
            if self.idle is not None and time.monotonic() - quiet >= self.idle:
                return
            time.sleep(self.poll if self.idle is None else min(self.poll, self.idle))

    def _classified(self, rows: pd.DataFrame) -> pd.DataFrame:
        if self.stream is None:
            here = self.model.roles_in(rows.columns)
            roles = replace(self.model.roles, target=None, group=here.group)
            self.stream = self.model.stream(roles, run=self.file.path.stem)
            if self._saved is not None and self._saved["stream"] is not None:
                self.stream.restore(self._saved["stream"])
        self.rows += len(rows)
        return self.stream.push(rows)

    def _keep(self, lines: pd.DataFrame) -> None:
        """Add lines to the output; the state follows, soon enough: what is written after it is written again."""
        self._dirty = True
        if self._out is not None:
            new = not self._out.exists() or not self._out.stat().st_size
            try:
                with self._out.open("a", encoding="utf-8", newline="") as file:
                    file.write(csv_text(lines, header=new) if len(lines) or new else "")
            except OSError as error:
                raise UserError(f"`{self._out}` could not be written ({error.strerror or error}): make room.") from None
            self._size = self._out.stat().st_size

    def _save(self) -> None:
        """Bring the state file up to date, if there is one and something is new."""
        if self._state is None or not self._dirty:
            return
        self._dirty, self._last = False, time.monotonic()
        rows = None if self.stream is None else self.stream.state()
        state = {"run": self._key, "out": self._size, "file": self.file.state(), "stream": rows}
        write_atomic(self._state, json.dumps(state))

    def _read_state(self) -> None:
        assert self._state is not None
        try:
            saved = json.loads(self._state.read_text(encoding="utf-8"))
            same, size = saved["run"] == self._key, saved["out"]
            self.file.restore(saved["file"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"`{self._state}` is no state of a followed file ({error}): remove it.") from None
        if not same:
            raise DataError(
                f"`{self._state}` belongs to another run or another file: remove it, or name another --state."
            )
        self._saved, self._size, self._dirty = saved, size or 0, False
        written = self._out.stat().st_size if self._out is not None and self._out.exists() else 0
        if self._out is not None and (size is None or written < size):
            raise DataError(f"`{self._out}` does not belong to `{self._state}`: remove both, or name others.")
        if self._out is not None and self._out.exists():
            with self._out.open("r+b") as file:
                file.truncate(size)


class Lines:
    """The rows that a follower diagnoses, one by one; see `contracts.modality.Following`."""

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    @property
    def rows(self) -> int:
        """How many rows were read."""
        return self._follower.rows

    @property
    def left_out(self) -> int:
        """How many broken lines were left out."""
        return self._follower.file.skipped

    def __iter__(self) -> Iterator[Mapping[str, object]]:
        for frame in self._follower:
            for line in frame.to_dict("records"):
                yield {str(name): value for name, value in line.items()}
