"""Rows and runs that two tables share, found by hashes of their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing
from faultwise.tables.reading.table import Table

__all__ = ["row_hashes", "shared"]


def shared(a: Table, b: Table) -> list[str]:
    """Return, in sentences, what two tables share that would make an evaluation of one by the other worthless.

    Rows are compared by a 64-bit hash of the values of the columns measured in both, exactly. The same name
    of a run is no leak as long as the rows differ: run numbers repeat from file to file.
    """
    common = [name for name in a.features if name in set(b.features)]
    if not common or a.frame.empty or b.frame.empty:
        return []
    rows_a, rows_b = row_hashes(a, common), row_hashes(b, common)
    sentences = []
    name_a, name_b = Path(a.source).name, Path(b.source).name
    if a.groups is not None and b.groups is not None:
        runs_a, runs_b = _runs(rows_a, a.groups), _runs(rows_b, b.groups)
        both = [name for name in runs_a if name in runs_b]
        equal = [name for name in both if np.array_equal(runs_a[name], runs_b[name])]
        other = [name for name in both if name not in set(equal)]
        if equal:
            sentences.append(
                f"Leak: {len(equal)} runs are in both `{name_a}` and `{name_b}` with equal rows ({listing(equal, 4)})."
            )
        if other:
            sentences.append(
                f"{len(other)} names of runs occur in both ({listing(other, 4)}) with differing rows: they are "
                "taken as different runs."
            )
    twice = int(np.isin(rows_b, rows_a).sum())
    if twice:
        sentences.append(f"Leak: {twice} of {len(rows_b)} rows of `{name_b}` are also in `{name_a}`, value for value.")
    return sentences


def row_hashes(table: Table, columns: list[str]) -> np.ndarray:
    """Return a 64-bit hash of each row's values in `columns`, shape (rows,), as uint64."""
    frame = table.frame[columns]
    # One type for numbers and one for words, so that 1 and 1.0 (or -0.0 and 0.0) are one value.
    plain = {
        name: values.to_numpy(dtype=float, na_value=np.nan) + 0.0
        if pd.api.types.is_numeric_dtype(values.dtype)
        else values.astype(object).where(values.notna(), None).map(lambda v: v if v is None else str(v))
        for name, values in frame.items()
    }
    hashed = pd.util.hash_pandas_object(pd.DataFrame(plain), index=False, categorize=True)
    return np.asarray(hashed.to_numpy())


def _runs(hashes: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    places = pd.Series(groups).groupby(groups).indices
    return {str(name): hashes[np.asarray(where)] for name, where in places.items()}
