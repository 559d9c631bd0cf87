"""The entries of a rules file: a condition, a rule of one or several, and how they are checked when read.

It evaluates no rows and reads no files; `rules` does, and shows what an entry looks like.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

from faultwise.contracts.errors import closest, listing
from faultwise.tables.reading.cleaning import is_number

__all__ = ["KINDS", "TRUTH", "Condition", "Kind", "Rule", "checked_rule", "known_keys", "words_of"]

Kind = Literal["limit", "rate", "category", "missing"]
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("above", "below", "outside"), "limit"),
    **dict.fromkeys(("rises_by", "falls_by", "changes_by"), "rate"),
    "is": "category",
    "missing": "missing",
}
_ENTRY_KEYS = ("variable", *KINDS, "within", "for")
_RULE_KEYS = ("name", *_ENTRY_KEYS, "all", "any", "note")
_MOST_SAMPLES = 1_000_000  # a stream keeps as many rows in memory: a typing error must not ask for a billion
# YAML reads `on`, `yes` and `true` as one truth value, so any may be meant. Parquet's truth values arrive as 1 and 0.
TRUTH = {True: ("true", "yes", "on", "1"), False: ("false", "no", "off", "0")}

_EXPECTED = {
    "outside": "two ascending numbers as in [5, 9]",
    "is": "a word or a number (dates and the like in quotes)",
    "missing": "true",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of one variable: `test` is the file's key (`above`, `is`, ...), `limit` its value.

    `within` is the distance of a rate in samples (else 0); it must hold for `lasting` consecutive samples.
    """

    variable: str
    test: str
    limit: float | str | bool | tuple[float, float]
    within: int = 0
    lasting: int = 1

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The (low, high) that the value, or for a rate its change, must leave; None where it is free."""
        if isinstance(self.limit, tuple):
            return self.limit
        if not isinstance(self.limit, float) or self.test == "is":
            return None, None
        low = {"below": self.limit, "falls_by": -self.limit, "changes_by": -self.limit}.get(self.test)
        return low, None if self.test in ("below", "falls_by") else self.limit

    def text(self, more: int = 0) -> str:
        """Return the condition in words, without its variable, held for `more` samples longer.

        >>> Condition("flow", "falls_by", 10.0, within=20).text(more=2)
        'falls by 10 or more within 20 samples for 3 samples'
        """
        limit = self.limit
        if isinstance(limit, tuple):
            words = f"outside {limit[0]:.12g} to {limit[1]:.12g}"
        elif isinstance(limit, bool):
            words = "missing" if self.test == "missing" else f"is {TRUTH[limit][0]}"
        else:
            words = f"{self.test.replace('_', ' ')} {limit if isinstance(limit, str) else format(limit, '.12g')}"
        words += f" or more within {self.within} sample{'s' * (self.within > 1)}" if self.within else ""
        return f"{words} for {self.lasting + more} samples" if self.lasting + more > 1 else words

    def to_dict(self) -> dict[str, object]:
        """Return the entry as a file holds it."""
        limit = list(self.limit) if isinstance(self.limit, tuple) else self.limit
        entry = {"variable": self.variable, self.test: limit, "within": self.within, "for": self.lasting}
        return {key: value for key, value in entry.items() if (key, value) not in (("within", 0), ("for", 1))}


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions of which `all` or `any` must hold for `lasting` samples in a row; `note` is for the report."""

    name: str
    conditions: tuple[Condition, ...]
    how: Literal["all", "any"] = "all"
    lasting: int = 1
    note: str | None = None

    @property
    def memory(self) -> int:
        """Number of earlier samples of the run that must be known to evaluate a row."""
        return self.lasting - 1 + max(one.within + one.lasting - 1 for one in self.conditions)

    def to_dict(self) -> dict[str, object]:
        """Return the rule as a file holds it."""
        entries = [one.to_dict() for one in self.conditions]
        alone = len(entries) == 1 and self.lasting == 1
        rule = entries[0] if alone else {self.how: entries, **({"for": self.lasting} if self.lasting > 1 else {})}
        return {"name": self.name, **rule, **({"note": self.note} if self.note else {})}


# From here on errors are collected and something harmless is returned: `rules` refuses the whole file in the end.
def checked_rule(raw: object, where: str, errors: list[str]) -> Rule:
    """Build a rule from plain dicts; what is wrong is added to `errors`, beginning with `where` or the rule's name."""
    name = words_of(raw.get("name")) if isinstance(raw, Mapping) else ""
    where = f"rule `{name[:60]}`" if name else where
    if not known_keys(raw, _RULE_KEYS, where, errors):
        return Rule(name, ())
    note = words_of(raw.get("note"))
    errors += [] if name else [f"{where} has no name: add `name:` and a few words (in quotes)"]
    errors += [] if note or "note" not in raw else [f"{where}: `note` holds no words: put them in quotes"]
    how: Literal["all", "any"] = "all" if "all" in raw else "any"
    if how not in raw:
        return Rule(name, (_condition(raw, where, errors),), note=note or None)
    beside = [key for key in raw if key in ("any", *_ENTRY_KEYS) and key not in ("for", how)]
    if beside:
        errors.append(f"{where} has `{how}` beside {listing(beside)}: move it into `{how}`, or make it another rule")
    given = raw[how]
    entries: list[object] = given if isinstance(given, list) else []
    if not entries:
        errors.append(f"{where}: `{how}` is {reprlib.repr(given)}, expected a list of conditions")
    places = [f"{where}, entry {at} of `{how}`" for at in range(1, len(entries) + 1)]
    found = [
        _condition(entry, place, errors)
        for entry, place in zip(entries, places, strict=True)
        if known_keys(entry, _ENTRY_KEYS, place, errors)
    ]
    return Rule(name, tuple(found), how, _whole(raw, "for", where, errors), note or None)


def _condition(raw: Mapping[str, object], where: str, errors: list[str]) -> Condition:
    variable = words_of(raw.get("variable"))
    errors += [] if variable else [f"{where} has no variable: add `variable:` with the name of a column (in quotes)"]
    tests = [key for key in KINDS if key in raw]
    if len(tests) != 1:
        found = " and ".join(f"`{test}`" for test in tests) or "no condition"
        errors.append(f"{where} has {found}, expected one of {listing(KINDS)}; several go into `all` or `any`")
    limits = [_limit(test, raw[test]) for test in tests]
    for test, limit in zip(tests, limits, strict=True):
        if limit is None:
            expected = _EXPECTED.get(test, "a number above 0" if KINDS[test] == "rate" else "a number")
            errors.append(f"{where}: `{test}` is {reprlib.repr(raw[test])}, expected {expected}")
    rate = any(KINDS[test] == "rate" for test in tests)
    if tests and rate != ("within" in raw):
        advice = "add `within:` and a number of samples" if rate else "leave `within` out, only rates have one"
        errors.append(f"{where}: {advice}")
    within = _whole(raw, "within", where, errors) if "within" in raw else 0
    limit = limits[0] if limits and limits[0] is not None else True
    return Condition(variable, tests[0] if tests else "missing", limit, within, _whole(raw, "for", where, errors))


def _limit(test: str, value: object) -> float | str | bool | tuple[float, float] | None:
    """Return the value of a test as the type that it takes, or None."""
    number = _number(value)
    if test == "missing":
        return True if value is True else None
    if test == "is" and isinstance(value, bool):
        return value
    if test == "is" and number is None and isinstance(value, str):
        return value.strip() or None
    if test == "outside":
        pair = [_number(part) for part in value] if isinstance(value, list | tuple) else []
        low, high = pair if len(pair) == 2 else (None, None)
        return (low, high) if low is not None and high is not None and low < high else None
    return None if number is None or (KINDS[test] == "rate" and number <= 0) else number


def _number(value: object) -> float | None:
    """Return a finite number, also of a text like 1e5, which YAML does not take for one."""
    written = isinstance(value, str) and is_number(value.strip())
    try:
        number = float(value) if written or type(value) in (int, float) else math.nan  # type: ignore[arg-type]
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _whole(raw: Mapping[str, object], key: str, where: str, errors: list[str]) -> int:
    value = raw.get(key, 1)
    if type(value) is int and 1 <= value <= _MOST_SAMPLES:
        return value
    errors.append(f"{where}: `{key}` is {reprlib.repr(value)}, expected a whole number of samples, at least 1")
    return 1


def words_of(value: object) -> str:
    """Return a name as readers trim column names; "" where there is none (YAML's `on` is a truth value, no name)."""
    return " ".join(str(value).split()) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def known_keys(raw: object, known: tuple[str, ...], where: str, errors: list[str]) -> TypeGuard[Mapping[str, object]]:
    """Tell whether this is an entry at all, and add unknown keys to `errors`."""
    if not isinstance(raw, Mapping):
        errors.append(f"{where} is {reprlib.repr(raw)}, expected keys like {listing(known)}")
        return False
    for key in raw:
        if key not in known:
            near = closest(str(key), known)
            hint = f"did you mean `{near}`?" if near else f"known: {listing(known, 20)}"
            errors.append(f"{where}: unknown key `{str(key)[:60]}` ({hint})")
    return True
