"""An even sample of a source that is too large to be read at once: for fitting, which needs no millions of rows.

The source is read twice, piece by piece: once for its labels and runs, once for the rows that were drawn. Classes take
part evenly. Where windows need neighbours, whole runs are drawn instead of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, read_about
from faultwise.contracts.errors import DataError
from faultwise.contracts.progress import ProgressBar
from faultwise.tables.reading.batches import Batches, open_batches
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import in_roles
from faultwise.tables.reading.table import Roles, Table, label_text

__all__ = ["read_sample"]

_PIECE = 50_000


def read_sample(
    source: str | Path,
    most: int,
    *,
    whole_runs: bool = False,
    seed: int = 0,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    ignore: Sequence[str] = (),
    keep: Sequence[str] = (),
    about: str | Path | About | None = None,
    part: str = "",
    even: bool = True,
    progress: bool = False,
    how: TableReading | None = None,
) -> Table:
    """Return about `most` rows of a large source, with its roles as `read_source` gives them, and a note.

    With `even` the classes take part evenly, else as they come. With `whole_runs` complete runs are drawn, as many as
    come close to `most` rows, two of each class at least. Raises
    DataError as `read_source` does, and for whole runs without a run column.
    """
    companion = read_about(about) if isinstance(about, str | Path) else about
    labels = [name for name in (target, group) if name is not None]
    batches = open_batches(source, _PIECE, part=part, as_text=labels, group=group, how=how)
    own = batches.roles
    new = {} if batches.layout is None else batches.layout.renamed
    target, group, time = (name and new.get(name, name) for name in (target, group, time))
    ignore, keep = ([new.get(name, name) for name in names] for names in (ignore, keep))
    target, group = target or own.target, group or own.group
    for flag, name in (("--target", target), ("--group", group)):
        if name is not None and name not in batches.columns:
            raise DataError(f"`{source}` has no column `{name}`: pass {flag} with one of its columns.")
    y, runs = _labels_and_runs(batches, target if even else None, group, progress)
    rng = np.random.default_rng(seed)
    if whole_runs:
        if group is None:
            raise DataError(f"`{source}` is too large to be read at once, and whole runs are needed: pass --group COL.")
        wanted = _runs_drawn(y, runs, most, rng)
        drawn = f"{len(np.unique(runs[wanted])):,} whole runs,"
    else:
        wanted = _rows_drawn(y, most, rng)
        drawn = "rows"
    frame = _collected(batches, wanted, progress)
    drawn += " evenly over the classes" if even else " at random"
    note = f"The source is large: of its {len(y):,} rows {int(wanted.sum()):,} were drawn, {drawn}."
    layout = batches.layout
    table = Table(frame, own, str(source), (*batches.notes, note))
    if layout is not None:
        layout = layout.keeping(keep)
        table = replace(table, roles=layout.roles, about=layout.about, split=layout.split)
    return in_roles(table, Roles(target, group, time, tuple(ignore)), keep, companion)


def _labels_and_runs(
    batches: Batches, target: str | None, group: str | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers for the label and the run of every row, each of shape (rows,); 0 where there is no such column."""
    known: tuple[dict[str, int], dict[str, int]] = ({}, {})
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    with ProgressBar(total=100, desc="labels and runs", disable=not progress) as bar:
        for frame in batches:
            for name, numbers, made in zip((target, group), known, parts, strict=True):
                made.append(_numbered(frame, name, numbers))
            bar.update(round(100 * batches.done) - bar.n)
    return np.concatenate(parts[0]), np.concatenate(parts[1])


def _numbered(frame: pd.DataFrame, name: str | None, numbers: dict[str, int]) -> np.ndarray:
    if name is None:
        return np.zeros(len(frame), np.int32)
    codes, distinct = pd.factorize(label_text(frame[name]).fillna(""))
    own = np.array([numbers.setdefault(str(value), len(numbers)) for value in distinct], np.int32)
    return own[codes]


def _rows_drawn(y: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of `most` rows; a class short of rows leaves its share to the others."""
    counts = np.bincount(y)
    left, wanted = most, np.zeros(len(y), bool)
    for number, label in enumerate(np.argsort(counts, kind="stable")):
        share = min(int(counts[label]), left // (len(counts) - number))
        wanted[rng.choice(np.flatnonzero(y == label), share, replace=False)] = True
        left -= share
    return wanted


def _runs_drawn(y: np.ndarray, runs: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Return a mask of whole runs: each class in turn gets another run, until there are enough rows."""
    sizes = np.bincount(runs)
    pairs = np.unique(np.stack([runs, y]), axis=1)
    spread = np.bincount(pairs[1])
    # A run counts as its rarest class: one that starts normal and then fails counts as its fault.
    order = np.argsort(spread[pairs[1]], kind="stable")
    first = np.unique(pairs[0][order], return_index=True)[1]
    rarest = pairs[1][order][first]
    waiting = [list(rng.permutation(np.flatnonzero(rarest == label))) for label in range(len(spread))]
    taken: list[int] = []
    rows = 0
    for turn in range(max(map(len, waiting))):
        for queue in waiting:
            if turn < len(queue) and (turn < 2 or rows < most):
                taken.append(int(queue[turn]))
                rows += int(sizes[queue[turn]])
    return np.isin(runs, taken)


def _collected(batches: Batches, wanted: np.ndarray, progress: bool) -> pd.DataFrame:
    frames, start = [], 0
    with ProgressBar(total=100, desc="draw", disable=not progress) as bar:
        for frame in batches:
            frames.append(frame[wanted[start : start + len(frame)]])
            start += len(frame)
            bar.update(round(100 * batches.done) - bar.n)
    return pd.concat(frames, ignore_index=True)
