"""The tabular study's protocol: few rows of every class for training, few for test, and the accuracy on both.

Source: a report on Zheng, Pan, Liu and Chen, "Empirical study on fine-tuning pre-trained large language models for
fault diagnosis of complex systems" (Reliability Engineering & System Safety 252, 2024), which tested each method once.
Here it is drawn anew for several seeds, and no test row can equal a training row in all columns that can be used: the
study's own loader could hand the training set back as the test set. Nothing is printed, written or summed up.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from faultwise import hub
from faultwise.contracts.errors import DataError, listing
from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.evaluate.record import Entry, unfinished
from faultwise.tables.checks.leaks.overlap import row_hashes, shared
from faultwise.tables.checks.leaks.target_leakage import without_leaking_columns
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.reading.benchmarks.benchmarks import recognise
from faultwise.tables.reading.benchmarks.braatz import braatz_fault
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Table
from faultwise.verdicts.registry import LANGUAGE_MODEL, make

__all__ = ["FAULTS", "ROWS", "Parts", "compared", "draw", "read_parts"]

FAULTS = (0, 1, 4, 5)
# Training and test rows a class: the study's 400 and 160 rows of four classes, 240 and 60 of two.
ROWS = {"braatz": (100, 40), "hst": (120, 30), "table": (120, 30)}


@dataclass(frozen=True)
class Parts:
    """The rows to draw from. `test` is None where one table gives both; `kind` is "braatz", "hst" or "table"."""

    train: Table
    test: Table | None
    kind: str
    notes: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """A hash of all rows."""
        return self.train.hash() + ("" if self.test is None else self.test.hash())


def read_parts(source: str | Path, reading: TableReading | None = None, keep: Sequence[str] = ()) -> Parts:
    """Read a Braatz folder (faults 0, 1, 4, 5; training and test files) or a labelled table.

    Columns that give the label away are left out as in a fit, but for those in `keep`. Rows that equal an earlier row,
    or a training row, in all usable columns are left out too. Notes name both.

    Raises DataError for what cannot be read, a table without a target, and one with fewer than two labels.
    """
    path, reading = Path(source), reading or TableReading()
    if path.is_dir() and any(braatz_fault(entry.name) for entry in path.iterdir()):
        return _braatz(path, reading, keep)
    table = _read(path, reading, keep)
    if table.roles.target is None:
        raise DataError(f"`{source}`: which column holds the label? Pass --target COL.")
    table = without_leaking_columns(table, keep)
    labels = sorted(set(table.y))
    if len(labels) < 2:
        raise DataError(
            f"`{source}` has the label {listing(labels)} only; expected two or more: pass another --target."
        )
    hashes = _hashes(table, table)
    first = np.zeros(len(hashes), bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    notes = []
    if not first.all():
        notes.append(
            f"{int((~first).sum())} of {len(first)} rows equal an earlier row in all usable columns and were left out, "
            "whatever their label: a test row must not be known from training."
        )
    if table.groups is not None:
        notes.append(
            f"Rows are drawn one by one, as in the study, so rows of one `{table.roles.group}` are in training and "
            "test: where rows of a run resemble each other this flatters every method."
        )
    layout = recognise(table.frame.columns, path.name)
    kind = "hst" if layout is not None and layout.name == "HST" else "table"
    return Parts(table.rows(first), None, kind, (*table.notes, *notes))


def _braatz(path: Path, reading: TableReading, keep: Sequence[str]) -> Parts:
    train, test = (_read(path, reading, keep, part, FAULTS) for part in ("train", "test"))
    again = np.isin(_hashes(train, test), _hashes(train, train))
    notes = [
        f"Tennessee Eastman files of Braatz, faults {', '.join(map(str, FAULTS))}: training rows from the training "
        "files, test rows from the test files (of faults: after the onset), one run of each."
    ]
    notes += [f"{int(again.sum())} test rows that equal a training row were left out."] if again.any() else []
    return Parts(train, test.rows(~again), "braatz", tuple(notes))


def _read(
    path: Path, reading: TableReading, keep: Sequence[str], part: str = "", faults: Sequence[int] | None = None
) -> Table:
    return read_source(
        path,
        target=reading.target,
        group=reading.group,
        time=reading.time,
        ignore=reading.ignore,
        about=reading.about,
        part=part,
        faults=faults,
        keep=keep,
    )


def draw(parts: Parts, train_rows: int, test_rows: int, seed: int) -> tuple[Table, Table]:
    """Draw so many rows of each class at random for training and test, no row in both.

    Raises DataError where a class has too few rows, and if a row were in both all the same.
    """
    rng = np.random.default_rng(seed)
    if parts.test is not None:
        train = _each(parts.train, rng, 0, train_rows, "--train-rows")
        test = _each(parts.test, rng, 0, test_rows, "--test-rows")
    else:
        # The same order twice: the test rows are those behind the training rows.
        train = _each(parts.train, np.random.default_rng(seed), 0, train_rows, "--train-rows")
        test = _each(parts.train, rng, train_rows, test_rows, "--train-rows or --test-rows")
    if np.isin(_hashes(parts.train, test), _hashes(parts.train, train)).any():
        raise DataError(f"Rows of `{test.source}` are in training and test: {' '.join(shared(train, test))}")
    return train, test


def compared(
    parts: Parts,
    sizes: tuple[int, int],
    seeds: Sequence[int],
    experts: Sequence[str],
    language: LanguageSettings,
    finished: Collection[tuple[int, str]] = (),
    progress: bool = False,
    starting: Callable[[int, str], object] | None = None,
) -> Iterator[Entry]:
    """Fit each expert on each seed's draw; yield `seed`, `expert`, `train` and `test` (accuracies), `seconds`, `log`.

    `sizes` are training and test rows a class. Fits in `finished` are left out; `starting` is called with the seed and
    the expert before each fit. Raises UserError for an unknown expert, HubError for a missing model, both before
    anything is fitted; DataError as `draw` does.
    """
    for name in experts:
        make(name, ExpertContext(language=language))
    if LANGUAGE_MODEL in experts:
        hub.resolve(language.model)
    for seed, todo in unfinished(seeds, experts, finished):
        train, test = draw(parts, *sizes, seed)
        encoder = WindowEncoder(1).fit(train.X)  # on training rows only, medians of gaps included
        a, b = (encoder.transform(table.X, np.arange(len(table.y))).frame for table in (train, test))
        context = ExpertContext(seed, progress, replace(language, rows=len(train.y)))
        for name in todo:
            if starting is not None:
                starting(seed, name)
            started = time.monotonic()
            expert = make(name, context).fit(a, train.y, np.arange(len(train.y)).astype(str))
            seconds = round(time.monotonic() - started, 2)
            right = {
                part: float((expert.classes_[expert.predict_proba(X).argmax(axis=1)] == table.y).mean())
                for part, X, table in (("train", a, train), ("test", b, test))
            }
            yield {"seed": seed, "expert": name, **right, "seconds": seconds, "log": getattr(expert, "log", {})}


def _hashes(columns_of: Table, table: Table) -> np.ndarray:
    """Hash the values of the columns that an encoder uses: an identifier must not make equal rows differ.

    In float32, as the experts see them.
    """
    used = ColumnEncoder().fit(columns_of.X).used
    frame = table.frame[used].copy()
    for name in frame.select_dtypes("number"):
        frame[name] = frame[name].astype(np.float32)
    return row_hashes(replace(table, frame=frame), used)


def _each(table: Table, rng: np.random.Generator, skip: int, rows: int, flag: str) -> Table:
    y, picked = table.y, []
    for label in sorted(set(y)):
        where = rng.permutation(np.flatnonzero(y == label))
        if len(where) < skip + rows:
            raise DataError(
                f"`{table.source}` has {len(where)} rows of `{label}` that can be used; expected {skip + rows} or more "
                f"of every label: lower {flag}, or leave rare labels out of the file."
            )
        picked.append(where[skip : skip + rows])
    return table.rows(np.sort(np.concatenate(picked)))
