"""Leaks in words: what was found, what it does to a score, what to do. Nothing is found here; that is `leaks`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faultwise.tables.checks.look_ahead import Ahead

__all__ = [
    "ANSWERS",
    "FUTURE",
    "SHARED",
    "TWINS",
    "Leak",
    "ahead_leak",
    "answer_leak",
    "copy_leak",
    "twin_leak",
]

SHARED, TWINS = "shared runs", "near-duplicate rows"
ANSWERS, FUTURE = "answer columns", "looks into the future"
_MEMORY = "A model that has seen the one knows the other, so the score is memory, not skill."


@dataclass(frozen=True)
class Leak:
    """One leak: its kind, severity ("high", "warning"), what was found, what it does to a score, what to do.

    `columns` are those accused, `rows` examples of pairs of row numbers (from 1; the second in the other source where
    the pair lies across), `count` how many rows or pairs of rows are concerned.
    """

    kind: str
    severity: str
    found: str
    effect: str
    remedy: str
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[int, int], ...] = ()
    count: int = 0

    def line(self) -> str:
        """Say it all in one line."""
        return f"[{self.severity}] {self.kind}: {self.found} {self.effect} {self.remedy}"


def copy_leak(runs: tuple[str, str], across: bool, shared: int, of: int, example: tuple[int, int], how: str) -> Leak:
    """Word a run that occurs twice; `across` tells that the second lies in the other source."""
    first, second = (f"`{run[:60]}`" for run in runs)
    if across and first == second:
        what = f"the run {first} is in both sources"
    else:
        what = f"the runs {first} and {second}{' of the other source' * across} are copies"
    return Leak(
        SHARED,
        "high",
        f"{what}: {shared:,} of {of:,} rows are equal {how} (such as rows {example[0]} and {example[1]}).",
        _MEMORY,
        "Remove it from one of the sources." if across else "Keep one of them, or give both the same run.",
        rows=(example,),
        count=shared,
    )


def twin_leak(
    count: int, share: float, how: str, by_chance: float, examples: Sequence[tuple[int, int]], named: bool, across: bool
) -> Leak:
    """Word pairs of rows that agree; `share` of the rows have a twin, `named` tells whether runs have names."""
    where = "a row here and one of the other source" if across else "rows of different runs" if named else "rows"
    shown = ", ".join(f"{first} and {second}" for first, second in examples)
    keep = "" if across else " or give both the same run with --group"
    return Leak(
        TWINS,
        "high",
        f"{count:,} pairs of {where} are equal {how} ({share:.1%} of the rows; by chance it would be {by_chance:.1f} "
        f"pairs), such as rows {shown}.",
        _MEMORY,
        f"Remove one row of each pair{keep}.",
        rows=tuple(examples),
        count=count,
    )


def answer_leak(name: str, why: str, certain: bool) -> Leak:
    """Word a column that tells the label, `certain` if without exception."""
    return Leak(
        ANSWERS,
        "high" if certain else "warning",
        f"`{name[:60]}` {why}.",
        "A model reads the answer off it; it will not be there, or not in time, when a fault comes."
        if certain
        else "If whoever or whatever finds the fault sets it, the score is that of the flag.",
        f"Pass --ignore {name!r}, unless it is known before the fault is.",
        columns=(name,),
    )


def ahead_leak(ahead: Ahead) -> Leak:
    """Word a column that knows of later rows."""
    name, samples = f"`{ahead.column[:60]}`", "1 sample" if ahead.samples == 1 else f"{ahead.samples} samples"
    severity, unless = "high", ""
    if ahead.kind == "label":
        found = f"{name} changes as the label does, but {samples} before it (in {ahead.runs} runs looked at)."
        effect = "A model is told of the fault before it is there."
        unless = ", unless it is an early sign that the machine really gives"
    elif ahead.kind == "event":
        found = (
            f"{name} tells how long it takes to {ahead.of} (in {ahead.runs} runs looked at, but for "
            f"{ahead.unexplained:.1%} of its variance)."
        )
        effect = "Nobody knows that while the run goes on; a model reads the answer off it."
    else:
        how = "the ends of the runs show that it was shifted" if ahead.shown else "or that one is a delayed copy"
        found = f"{name} is `{ahead.of[:60]}` {samples} later ({how})."
        effect = "What was computed from later rows is not known when a verdict is due."
        severity = "high" if ahead.shown else "warning"
        unless = "" if ahead.shown else f", unless it is `{ahead.of[:60]}` that was delayed"
    remedy = f"Pass --ignore {ahead.column!r}{unless}."
    return Leak(FUTURE, severity, found, effect, remedy, columns=(ahead.column,))
