"""Columns of other tables that give the label away: they were written down because of the fault, or after the record.

Joining looks at no later time, so two things remain. An attribute of an asset may sum up what became of it ("total
failures"). And records may be made at or after a failure (its error codes, its repair): they are known in time to no
verdict that is wanted. Columns of measurements are not judged here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from faultwise.tables.checks.leaks.target_leakage import left_out
from faultwise.tables.reading.shapes.kinds import Plan
from faultwise.tables.reading.shapes.names import OUTCOME, hints
from faultwise.tables.reading.table import Table

__all__ = ["leaks_of_joined", "without_leaks_of_joined"]

_FEWEST_ASSETS, _FEWEST_RECORDS = 5, 5
_ALL = 0.9  # of the records of one kind lie in faulty rows
_AGREES = 0.999  # rank correlation of an attribute with what became of the assets


def without_leaks_of_joined(
    table: Table, keep: Collection[str] = (), normal: str | None = None, forecast: bool = False
) -> Table:
    """Return the table with such columns ignored, and a note that names them; those in `keep` stay."""
    found = {name: why for name, why in leaks_of_joined(table, normal, forecast).items() if name not in keep}
    if not found:
        return table
    what = "Left out of what was joined, because it would be known too late"
    return left_out(table, found, what, "--set keep=", 6)


def leaks_of_joined(table: Table, normal: str | None = None, forecast: bool = False) -> dict[str, str]:
    """Return the joined columns that would be known too late, each with the reason in words.

    Without labels, or without the one that means `normal`, only the names of attributes are looked at. In a `forecast`
    rows are faulty before the failure, so that records in them come early enough.
    """
    stored = table.recognised.get("joined")
    found: dict[str, str] = {}
    for raw in stored if isinstance(stored, list) else []:
        assert isinstance(raw, Mapping)
        plan = Plan.from_dict(raw)
        columns = [name for name in plan.columns if name in table.features]
        faulty = _faulty(table, normal)
        if plan.kind == "attributes":
            found |= _of_assets(table, plan, columns, faulty)
        elif plan.kind in ("events", "maintenance") and faulty is not None and not forecast:
            found |= _of_records(table, plan, columns, faulty)
    return found


def _faulty(table: Table, normal: str | None) -> np.ndarray | None:
    """Return which rows are faulty (rows,), None where that is not known."""
    if table.roles.target is None or normal is None:
        return None
    labels = table.frame[table.roles.target]
    return (labels.notna() & (labels != normal)).to_numpy()


def _of_assets(table: Table, plan: Plan, columns: list[str], faulty: np.ndarray | None) -> dict[str, str]:
    found = {name: "tells by its name how the asset fared" for name in columns if hints(name, OUTCOME)}
    if faulty is None or plan.base not in table.frame.columns:
        return found
    by_asset = table.frame[plan.base].to_numpy()
    starts = faulty & ~pd.Series(faulty).groupby(by_asset).shift(fill_value=False).to_numpy(dtype=bool)
    fates = pd.DataFrame(
        {"how often the asset fails": starts, "how long the asset is faulty": faulty, "asset": by_asset}
    )
    fates = fates.groupby("asset", sort=False).sum()
    if len(fates) < _FEWEST_ASSETS:
        return found
    for name in (one for one in columns if one not in found):
        values = table.frame.groupby(by_asset, sort=False)[name].first()
        for fate, counts in fates.items():
            if _tells(values, counts):
                found[name] = f"gives {fate} within these very rows"
                break
    return found


def _tells(values: pd.Series, counts: pd.Series) -> bool:
    """Tell whether an attribute of assets goes with a count of their faults, all but exactly."""
    if not pd.api.types.is_numeric_dtype(values.dtype) or values.nunique() < 3 or counts.nunique() < 3:
        return False
    known = values.notna()
    equal = bool((values[known] == counts[known]).all())
    return equal or abs(values.rank().corr(counts.rank())) > _AGREES


def _of_records(table: Table, plan: Plan, columns: list[str], faulty: np.ndarray) -> dict[str, str]:
    """Return columns of records nearly all of which were made while the fault was there already."""
    runs = table.frame[plan.base].to_numpy() if plan.base in table.frame.columns else table.runs
    share = faulty.mean()
    found: dict[str, str] = {}
    for name in (one for one in columns if one.startswith("time since ")):
        since = table.frame[name]
        new = (since.groupby(runs).diff() < 0).to_numpy()  # the first row that knows of another record
        before = pd.Series(faulty).groupby(runs).shift(fill_value=False).to_numpy(dtype=bool)
        late = new & faulty & (before | (since.to_numpy() <= 0))
        if new.sum() >= _FEWEST_RECORDS and late.sum() >= _ALL * new.sum() and share < 0.5:
            code = name.removeprefix("time since ")
            why = f"is of records that were made when the fault was there already ({late.sum():,} of {new.sum():,})"
            found |= {one: why for one in columns if one == name or one.startswith(f"{code} in the last ")}
    return found
