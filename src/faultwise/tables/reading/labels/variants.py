"""Spellings of one label: merged where they differ in case or spaces alone, named where one looks like a slip."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from faultwise.contracts.errors import listing

__all__ = ["merged_variants", "near_misses"]

_SHORTEST = 4  # letters of a word that can be taken for a slip of another one
_RARE = 0.25  # a slip is rarer than this share of what was meant
_MOST = 200  # labels among which slips are looked for


def merged_variants(y: pd.Series, known: Iterable[str] = ()) -> tuple[pd.Series, list[str]]:
    """Return labels (rows,; text or missing) with one spelling each, and notes.

    A spelling in `known` (the classes of a fit, the label of normal) wins, else the commonest one.

    >>> labels, notes = merged_variants(pd.Series(["leak", "LEAK", "leak", None, "ok"]))
    >>> labels.tolist()
    ['leak', 'leak', 'leak', None, 'ok']
    >>> notes
    ['Spellings of one label were merged: `LEAK` (1 row) into `leak`. Keep them apart with --variants keep.']
    """
    counts = y.value_counts(sort=True)
    chosen: dict[str, str] = {}
    for label in [*known, *counts.index]:
        chosen.setdefault(_key(label), str(label))
    wrong = {str(label): chosen[_key(label)] for label in counts.index if chosen[_key(label)] != label}
    notes = []
    if wrong:
        words = [f"`{label[:40]}` ({_rows(int(counts[label]))}) into `{into[:40]}`" for label, into in wrong.items()]
        more = f" and {len(words) - 6} more" if len(words) > 6 else ""
        notes.append(
            f"Spellings of one label were merged: {', '.join(words[:6])}{more}. Keep them apart with --variants keep."
        )
        y = y.map(lambda label: wrong.get(label, label) if isinstance(label, str) else None).astype(object)
        y = y.where(y.notna(), None)
    return y, [*notes, *near_misses(y)]


def near_misses(y: pd.Series) -> list[str]:
    """Return a note on rare labels that differ from a commoner one by one letter or by a mark.

    >>> near_misses(pd.Series(["leak"] * 9 + ["laek", "valve 1", "valve 2"]))[0].partition(":")[0]
    'These labels may be slips'
    """
    counts = y.value_counts()
    labels = [str(label) for label in counts.index[:_MOST]]
    pairs = [
        (rare, common)
        for at, rare in enumerate(labels)
        for common in labels[:at]
        if counts[rare] <= _RARE * counts[common] and _slip(_key(rare), _key(common))
    ]
    if not pairs:
        return []
    words = [f"`{rare[:40]}` ({_rows(int(counts[rare]))}) for `{common[:40]}`" for rare, common in pairs]
    return [
        f"These labels may be slips: {', '.join(words[:5])}{', ...' if len(words) > 5 else ''}. They are kept apart: "
        f"correct {listing([rare for rare, _ in pairs][:1])} in the source if so."
    ]


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _key(label: str) -> str:
    return " ".join(str(label).casefold().split())


def _slip(first: str, second: str) -> bool:
    """Whether two labels differ by marks alone, or in one word by one letter; other numbers are other labels."""
    words = [re.findall(r"\w+", text.replace("_", " ")) for text in (first, second)]
    if words[0] == words[1]:
        return True
    if len(words[0]) != len(words[1]):
        return False
    different = [(a, b) for a, b in zip(*words, strict=True) if a != b]
    if len(different) != 1:
        return False
    a, b = different[0]
    return min(len(a), len(b)) >= _SHORTEST and not any(map(str.isdigit, a + b)) and _one_edit(a, b)


def _one_edit(a: str, b: str) -> bool:
    """Whether one letter was left out, added, replaced, or two neighbours were exchanged."""
    if abs(len(a) - len(b)) > 1:
        return False
    if len(a) == len(b):
        at = np.flatnonzero([x != y for x, y in zip(a, b, strict=True)])
        return len(at) == 1 or (len(at) == 2 and at[1] == at[0] + 1 and a[at[0]] == b[at[1]] and a[at[1]] == b[at[0]])
    long, short = (a, b) if len(a) > len(b) else (b, a)
    return any(long[:at] + long[at + 1 :] == short for at in range(len(long)))
