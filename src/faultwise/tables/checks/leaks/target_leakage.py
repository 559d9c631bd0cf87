"""Target leakage: columns that give the label away are found from the data, left out, and named in a note.

Two kinds are found: a column that gives every label one to one, and a flag, which is a column of two values whose rarer
one goes with one single label, without exception and too often for chance. Failure codes and alarm bits, set when the
fault is already known, look like that. Flags that together stand in few rows of their label only are kept: a rare event
that is seen in one kind of fault alone looks the same, and is evidence. Columns that are wrong in a few rows are not
left out, but reported (`nearly_leaking_columns`). A flag that is wrong more often cannot be found in the data, so a
table of roles has to name it. Measurements with many values never count as leaking: a sensor that separates a fault
well is what one hopes for.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.tables.reading.table import Table, label_text

__all__ = ["ONE_TO_ONE", "leaking_columns", "left_out", "nearly_leaking_columns", "without_leaking_columns"]

ONE_TO_ONE = "gives the label one to one"
_FEWEST_ROWS = 10
_COVERED = 0.2  # share of a label's rows that its flags have to cover together to give it away
_FEW = 0.05  # of a label's rows may differ in a column that is almost the label
_CHANCE = 1e-9  # how improbable the agreement must be if the column knew nothing of the label


def leaking_columns(table: Table, normal: str | None = None) -> dict[str, str]:
    """Return the columns that give the label away, each with the reason in words; empty without a target.

    With the label that means `normal`, flags that go with faults of any kind are found, too.

    >>> frame = pd.DataFrame({"fault": ["ok"] * 80 + ["leak"] * 20, "alarm": [0] * 85 + [1] * 15, "flow": range(100)})
    >>> from faultwise.tables.reading.table import Roles
    >>> leaking_columns(Table(frame, Roles(target="fault")))
    {'alarm': 'is `1` in 15 rows, all of them labelled `leak`'}
    """
    known, codes, names = _labels(table)
    if len(codes) < _FEWEST_ROWS or len(names) < 2:
        return {}
    found = {}
    for name in table.features:
        values = table.frame[name][known]
        reason = _reason(values, codes, names)
        if not reason and normal in set(names) and len(names) > 2:
            faulty = np.asarray(names != normal)[codes].astype(int)
            reason = _reason(values, faulty, pd.Index([str(normal), "a fault"]))
        if reason:
            found[name] = reason
    return {name: why for name, why in found.items() if name in _covering(table, found, known, codes)}


def _covering(table: Table, found: Mapping[str, str], known: np.ndarray, codes: np.ndarray) -> set[str]:
    """Return which of the columns found cover, with the others of their label, more than a few of its rows."""
    marked: dict[int, np.ndarray] = {}
    labels: dict[str, set[int]] = {}
    for name in found:
        marks = pd.factorize(table.frame[name][known], use_na_sentinel=False)[0]
        rare = marks == np.bincount(marks).argmin()
        labels[name] = set(codes[rare].tolist())
        for code in labels[name]:
            marked[code] = marked.get(code, np.zeros(len(codes), bool)) | rare
    covered = {code for code, rows in marked.items() if rows[codes == code].mean() >= _COVERED}
    return {name for name in found if found[name] == ONE_TO_ONE or labels[name] & covered}


def nearly_leaking_columns(table: Table, normal: str | None = None) -> dict[str, str]:
    """Return the columns that give the label but for a few rows (at most 5% of each label), with the reason in words.

    Checked are columns of as many values as there are labels, and of two values, which may stand for one label or, with
    the label that means `normal`, for any fault. What `leaking_columns` finds is not named again.

    >>> frame = pd.DataFrame({"fault": ["ok"] * 80 + ["leak"] * 20, "alarm": [0] * 79 + [1] * 21, "flow": range(100)})
    >>> from faultwise.tables.reading.table import Roles
    >>> nearly_leaking_columns(Table(frame, Roles(target="fault")))
    {'alarm': 'separates `leak` from the rest in all but 1 of 100 rows'}
    """
    known, codes, names = _labels(table)
    if len(codes) < _FEWEST_ROWS or len(names) < 2:
        return {}
    certain = leaking_columns(table, normal)
    found = {}
    for name in table.features:
        values = table.frame[name][known]
        distinct = values.nunique(dropna=False)
        if name in certain or not 2 <= distinct <= max(2, len(names)):
            continue
        marks = pd.factorize(values, use_na_sentinel=False)[0]
        if distinct == len(names) > 2 and (wrong := _wrong(marks, codes)) is not None:
            found[name] = f"gives the label in all but {wrong:,} of {len(codes):,} rows"
        if distinct != 2:
            continue
        rarest_first = np.bincount(codes).argsort(kind="stable")
        sides = {f"`{names[code]}` from the rest": codes == code for code in rarest_first}
        if normal in set(names):
            sides = {"faults from normal": np.asarray(names != normal)[codes], **sides}
        for what, side in sides.items():
            if (wrong := _wrong(marks, side.astype(int))) is not None:
                found[name] = f"separates {what} in all but {wrong:,} of {len(codes):,} rows"
                break
    return found


def _labels(table: Table) -> tuple[np.ndarray, np.ndarray, pd.Index]:
    """Return which rows have a label (rows,), its number for each that has one, and the labels by their numbers."""
    if table.roles.target is None:
        return np.zeros(len(table.frame), bool), np.empty(0, int), pd.Index([])
    labels = label_text(table.frame[table.roles.target])
    known = labels.notna().to_numpy()
    return known, *pd.factorize(labels[known])


def without_leaking_columns(table: Table, keep: Collection[str] = (), normal: str | None = None) -> Table:
    """Return the table with its leaking columns ignored, and a note that names them; those in `keep` stay."""
    found = {name: why for name, why in leaking_columns(table, normal).items() if name not in keep}
    if not found:
        return table
    return left_out(table, found, "Left out because they give the label away", "--keep ", 8)


def left_out(table: Table, found: Mapping[str, str], what: str, flag: str, most: int) -> Table:
    """Return the table without the columns found, each with its reason, and with a note that begins with `what` and
    names `most` of them; `flag` is what keeps one.
    """
    named = "; ".join(f"`{name[:60]}` {why}" for name, why in list(found.items())[:most])
    more = f"; and {len(found) - most} more" if len(found) > most else ""
    note = f"{what}: {named}{more}. If a column is known before the fault is, keep it with {flag}{next(iter(found))!r}."
    roles = replace(table.roles, ignored=tuple(dict.fromkeys([*table.roles.ignored, *found])))
    return replace(table, roles=roles, notes=(*table.notes, note))


def _wrong(marks: np.ndarray, codes: np.ndarray) -> int | None:
    """Return in how many rows two numberings (rows,) differ, each value standing for the label it is met with most;
    None if they differ in more than a few rows of any label or value.
    """
    counts = np.zeros((marks.max() + 1, codes.max() + 1), int)
    np.add.at(counts, (marks, codes), 1)
    stands_for = counts.argmax(axis=1)
    if len(set(stands_for)) < counts.shape[1]:
        return None
    right = counts.max(axis=1)
    of_label = counts.sum(axis=0)
    few = (of_label[stands_for] - right <= _FEW * of_label[stands_for]) & (counts.sum(axis=1) - right <= _FEW * right)
    return int(len(codes) - right.sum()) if few.all() and right.min() >= _FEWEST_ROWS else None


def _reason(values: pd.Series, codes: np.ndarray, names: pd.Index) -> str:
    """Return why a column gives the label away; "" if it does not. `codes` (rows,) number the labels `names`."""
    distinct = values.nunique(dropna=False)
    if not 2 <= distinct <= max(2, len(names)):
        return ""
    marks, cells = pd.factorize(values, use_na_sentinel=False)
    counts = np.zeros((len(cells), len(names)), int)
    np.add.at(counts, (marks, codes), 1)
    of_label = counts.sum(axis=0)
    if distinct == len(names) and ((counts > 0).sum(axis=1) == 1).all() and ((counts > 0).sum(axis=0) == 1).all():
        return ONE_TO_ONE
    if distinct != 2:
        return ""
    rare = int(counts.sum(axis=1).argmin())
    label = int(counts[rare].argmax())
    rows = int(counts[rare].sum())
    share = of_label[label] / of_label.sum()
    if counts[rare, label] != rows or rows < _FEWEST_ROWS or rows * math.log(share) > math.log(_CHANCE):
        return ""
    cell = label_text(pd.Series([cells[rare]])).iloc[0]
    return f"is `{cell}` in {rows:,} rows, all of them labelled `{names[label]}`"
