"""Leaks in words: what was found, what it does to a score, what to do about it. `leak_report` finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faultwise.tables.checks.leaks.look_ahead import LookAhead

__all__ = [
    "DUPLICATED_RUNS",
    "LOOK_AHEAD",
    "NEAR_DUPLICATES",
    "TARGET_LEAKAGE",
    "Leak",
    "duplicated_run_leak",
    "look_ahead_leak",
    "near_duplicate_leak",
    "target_leak",
]

DUPLICATED_RUNS, NEAR_DUPLICATES = "duplicated runs", "near-duplicate rows"
TARGET_LEAKAGE, LOOK_AHEAD = "target leakage", "look-ahead columns"
_MEMORISED = "A model that was trained on one of them has memorised the other, so the score does not show its skill."


@dataclass(frozen=True)
class Leak:
    """One leak: its kind, severity ("high", "warning"), what was found, what it does to a score, what to do.

    `columns` are those that leak, `rows` examples of pairs of row numbers (from 1; the second in the other source where
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
        """Return severity, kind, finding, effect and remedy in one line."""
        return f"[{self.severity}] {self.kind}: {self.found} {self.effect} {self.remedy}"


def duplicated_run_leak(
    runs: tuple[str, str], across: bool, shared: int, of: int, example: tuple[int, int], how: str
) -> Leak:
    """Describe a run that occurs twice: `shared` of `of` rows are equal; with `across`, the second run lies in the
    other source.
    """
    first, second = (f"`{run[:60]}`" for run in runs)
    if across and first == second:
        what = f"The run {first} is in both sources"
    else:
        what = f"The runs {first} and {second}{' of the other source' * across} are duplicates"
    return Leak(
        DUPLICATED_RUNS,
        "high",
        f"{what}: {shared:,} of {of:,} rows are equal {how} (such as rows {example[0]} and {example[1]}).",
        _MEMORISED,
        "Remove it from one of the sources." if across else "Keep one of them, or give both the same run name.",
        rows=(example,),
        count=shared,
    )


def near_duplicate_leak(
    count: int, share: float, how: str, by_chance: float, examples: Sequence[tuple[int, int]], named: bool, across: bool
) -> Leak:
    """Describe pairs of rows that agree; `share` of the rows are in such a pair, `named`: whether runs have names."""
    where = "a row here and one of the other source" if across else "rows of different runs" if named else "rows"
    shown = ", ".join(f"{first} and {second}" for first, second in examples)
    keep = "" if across else " or give both the same run with --group"
    return Leak(
        NEAR_DUPLICATES,
        "high",
        f"{count:,} pairs of {where} are equal {how} ({share:.1%} of the rows; by chance it would be {by_chance:.1f} "
        f"pairs), such as rows {shown}.",
        _MEMORISED,
        f"Remove one row of each pair{keep}.",
        rows=tuple(examples),
        count=count,
    )


def target_leak(name: str, why: str, certain: bool) -> Leak:
    """Describe a column that gives the label away, `certain` if without exception."""
    return Leak(
        TARGET_LEAKAGE,
        "high" if certain else "warning",
        f"`{name[:60]}` {why}.",
        "A model reads the label off it, but in operation its value is not known, or not in time, when a fault comes."
        if certain
        else "If whoever or whatever finds the fault sets it, the score is that of the flag and not of the model.",
        f"Pass --ignore {name!r}, unless its value is known before the fault is.",
        columns=(name,),
    )


def look_ahead_leak(found: LookAhead) -> Leak:
    """Describe a column whose values depend on later rows."""
    name, samples = f"`{found.column[:60]}`", "1 sample" if found.samples == 1 else f"{found.samples} samples"
    severity, unless = "high", ""
    if found.kind == "label":
        what = f"{name} changes as the label does, but {samples} earlier (in the {found.runs} runs that were compared)."
        effect = "A model learns of the fault before it sets in."
        unless = ", unless it is an early sign that the machine really gives"
    elif found.kind == "event":
        what = (
            f"{name} gives the time left until {found.of} (in the {found.runs} runs that were compared, but for "
            f"{found.unexplained:.1%} of its variance)."
        )
        effect = "Nobody knows that while the run goes on, but a model reads the label off it."
    else:
        how = (
            "the ends of the runs show that it was shifted"
            if found.shown
            else "or the other one is delayed: the data cannot show which"
        )
        what = f"{name} is `{found.of[:60]}` {samples} later ({how})."
        effect = "A value that was computed from later rows is not known when a verdict is due."
        severity = "high" if found.shown else "warning"
        unless = "" if found.shown else f", unless `{found.of[:60]}` was delayed"
    return Leak(LOOK_AHEAD, severity, what, effect, f"Pass --ignore {found.column!r}{unless}.", columns=(found.column,))
