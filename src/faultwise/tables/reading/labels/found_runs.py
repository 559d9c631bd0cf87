"""Runs of one asset found from pauses of its record: what lies between two long pauses is a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.tables.reading.folders import free_name
from faultwise.tables.reading.labels.clock import row_clock
from faultwise.tables.reading.table import Table

__all__ = ["found_runs", "with_found_runs"]

_PAUSE = 20  # usual steps
_FEWEST_ROWS = 10  # the median of the runs' rows: below it the steps are irregular, and pauses say nothing
_SAME_TIME = 0.01  # share of rows at the time of another one: more means several assets


def found_runs(table: Table) -> pd.Series | None:
    """Return the run of each row as text, by its number in the source, where the times of one asset have pauses.

    Asked of all rows: those that are left out for want of a label are no pauses.
    """
    if table.roles.time is None or table.roles.group is not None or len(table.frame) < 2 * _FEWEST_ROWS:
        return None
    found = row_clock(table)
    if found is None or not np.isfinite(found.values).all():
        return None
    order = np.argsort(found.values, kind="stable")
    steps = np.diff(found.values[order])
    if (steps == 0).mean() > _SAME_TIME or not (steps > 0).any():
        return None
    starts = steps > _PAUSE * np.median(steps[steps > 0])
    numbers = np.r_[0, np.cumsum(starts)]
    if not starts.any() or np.median(np.bincount(numbers)) < _FEWEST_ROWS:
        return None
    runs = np.empty(len(order), dtype=object)
    runs[order] = (numbers + 1).astype(str)
    return pd.Series(runs, index=table.row_numbers)


def with_found_runs(table: Table, found: pd.Series | None) -> Table:
    """Return a table with the runs that were found (see `found_runs`) in a new column; unchanged without any.

    Where the runs do not allow to hold whole ones out, the table asks for blocks in time.
    """
    if found is None:
        return table
    name, runs = free_name(table.frame.columns), found.loc[table.row_numbers].to_numpy()
    frame = table.frame.copy()
    frame.insert(0, name, pd.Series(runs, index=frame.index, dtype=object))
    whole = _allows_whole_runs(table, runs)
    note = (
        f"`{table.roles.time}` has {found.nunique() - 1} pauses of more than {_PAUSE} usual steps: what lies between "
        f"two of them is a run, whose number is in the new column `{name}`."
    )
    return replace(
        table,
        frame=frame,
        roles=replace(table.roles, group=name),
        notes=(*table.notes, note),
        split=table.split or ("" if whole else "block"),
    )


def _allows_whole_runs(table: Table, runs: np.ndarray) -> bool:
    """Whether two classes occur in several runs, one of them at least without a class that occurs nowhere else."""
    pairs = pd.DataFrame({"y": table.y, "g": runs}).drop_duplicates()
    runs_of = pairs.groupby("y").size()
    forced = set(pairs["g"][pairs["y"].map(runs_of) < 2])
    free = pairs[~pairs["g"].isin(forced)]
    return int(free["y"].nunique()) >= 2
