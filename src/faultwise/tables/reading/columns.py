"""Names of columns as files have them: repeated, missing, padded; and nameless columns without information.

No cells are read but those of nameless columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np
import pandas as pd

__all__ = ["unique_names", "without_counters"]


def unique_names(names: Iterable[object]) -> tuple[list[str], list[str], list[str]]:
    """Trim names, name the nameless `column N`, and number repeated ones by `.2`, `.3`, ...

    Returns the names (as many, in order), those that had none, and sentences about the renaming.

    >>> unique_names(["a", " a ", ""])[:2]
    (['a', 'a.2', 'column 3'], ['column 3'])
    """
    trimmed = [" ".join(str(name).split()) for name in names]
    taken: set[str] = set(trimmed)
    seen: set[str] = set()
    counts: dict[str, int] = {}
    unique: list[str] = []
    nameless: list[str] = []
    renamed: list[str] = []
    for position, name in enumerate(trimmed, start=1):
        base = name or f"column {position}"
        # Counting goes on from the last one: thousands of columns of one name must not take thousands of tries each.
        final, count = base, counts.get(base, 1)
        while final in seen or (final in taken and final != name):
            count += 1
            final = f"{base}.{count}"
        counts[base] = count
        if not name:
            nameless.append(final)
        elif final != name:
            renamed.append(f"`{name[:60]}` as `{final[:60]}`")
        seen.add(final)
        unique.append(final)
    notes = []
    if renamed:
        more = f" and {len(renamed) - 8} more" if len(renamed) > 8 else ""
        notes.append(f"Column names that occur more than once were renamed: {', '.join(renamed[:8])}{more}.")
    return unique, nameless, notes


def without_counters(frame: pd.DataFrame, nameless: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    """Return the frame without nameless columns that are empty or only number the rows (a saved index, with gaps where
    rows were taken out before saving), and sentences about them.

    A row counter would let a classifier infer the label from the position in the file.
    """
    reasons = {}
    for name in nameless:
        values = frame[name]
        if values.isna().all():
            reasons[name] = "it is empty"
        elif (
            pd.api.types.is_numeric_dtype(values)
            and len(values) > 1
            and bool((values.astype(float) % 1 == 0).all())
            and bool((np.diff(values.to_numpy(dtype=float)) >= 1).all())
        ):
            reasons[name] = "it only numbers the rows"
    notes = [f"A column without a name (`{name}`) was left out: {why}." for name, why in reasons.items()]
    if len(notes) > 3:
        empty = list(reasons.values()).count("it is empty")
        notes = [
            f"{len(reasons)} columns without a name were left out: {empty} are empty, {len(reasons) - empty} only "
            "number the rows."
        ]
    return frame.drop(columns=list(reasons)) if reasons else frame, notes
