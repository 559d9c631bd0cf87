"""An engineer's own rules from a small YAML file: limits, rates, categories and gaps, alone or combined.

    rules:
      - name: Reactor pressure high
        variable: XMEAS(7)
        above: 2895         # or below: 5, outside: [5, 9], is: open, missing: true
        for: 5              # samples in a row; 1 if left out
      - {name: Level falls fast, variable: XMEAS(8), falls_by: 10, within: 20}  # also rises_by, changes_by
      - name: Hot although cooled
        all: [{variable: XMEAS(9), above: 121}, {variable: XMV(10), above: 60, for: 2}]  # or any
        for: 3
        note: Check the cooling water valve.

Nothing in rules is executed as code. They count samples, not time, and do not decide what a rule that fires means for a
verdict.
"""

from __future__ import annotations

import math
import reprlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from pandas.api.types import is_numeric_dtype

from faultwise.contracts.about import About
from faultwise.contracts.errors import DataError, closest, listing
from faultwise.tables.checks.conditions import KINDS, TRUTH, Condition, Kind, Rule, checked_rule, known_keys, words_of
from faultwise.tables.reading.cleaning import MISSING_WORDS
from faultwise.tables.reading.table import label_text

__all__ = ["Condition", "Reason", "Rule", "Rules", "from_limits", "read_rules"]


@dataclass(frozen=True, slots=True)
class Reason:
    """A condition that holds at a row, with the `value` found there and the limits `low` and `high` that it left.

    For a rate all three are changes over `within` samples. `samples` counts the rows that the condition rests on, the
    evaluated one included: 1 for a plain limit, 5 for one held `for: 5`, 21 for a change `within: 20`.
    """

    variable: str
    value: float | str | None
    low: float | None
    high: float | None
    kind: Kind
    samples: int
    text: str


@dataclass(frozen=True)
class Rules:
    """Rules in the order of their file; `source` names it in messages."""

    rules: tuple[Rule, ...] = ()
    source: str = field(default="rules", compare=False)

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the columns that the rules use, each once."""
        return tuple(dict.fromkeys(one.variable for rule in self.rules for one in rule.conditions))

    @property
    def memory(self) -> int:
        """Number of earlier samples of the same run that must be known to evaluate a row; 0 for plain limits."""
        return max((rule.memory for rule in self.rules), default=0)

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that `from_dict` reads; JSON can hold it."""
        return {"rules": [rule.to_dict() for rule in self.rules]}

    @classmethod
    def from_dict(cls, raw: object, source: str = "rules") -> Rules:
        """Check and build from plain dicts and lists. Raises DataError that names all errors together.

        >>> Rules.from_dict({"rules": [{"name": "Hot", "variable": "temp", "above": 90, "for": 3}]}).memory
        2
        """
        return _built(raw, source, [])

    def merged(self, other: Rules) -> Rules:
        """Return these rules and the other's; where names are the same, the other's rule is kept."""
        by_name = {rule.name: rule for rule in (*self.rules, *other.rules)}
        return Rules(tuple(by_name.values()), " and ".join(one.source for one in (self, other) if one.rules))

    def check(self, columns: Iterable[object]) -> None:
        """Check that every variable is a column. Raises DataError naming the missing ones and the nearest."""
        names = dict.fromkeys(map(str, columns))
        missing = {name: closest(name, names) for name in self.variables if name not in names}
        if missing:
            shown = [
                f"`{name[:60]}`" + (f" (did you mean `{near}`?)" if near else "") for name, near in missing.items()
            ]
            raise DataError(
                f"The rules of `{self.source}` use columns that the data lack: {', '.join(shown[:8])}; "
                f"the data have {listing(names)}: correct the rules, or rename the columns."
            )

    def fired(self, frame: pd.DataFrame, stretches: np.ndarray) -> np.ndarray:
        """Return where each rule fires, bool of shape (rows, rules).

        `frame` holds at least `variables`, shape (rows, columns); `stretches` are the ids of the rows' runs, shape
        (rows,). Rows are in time order within their run; runs may be interleaved. What is missing or no number never
        fires a limit, rate or category. Given `memory` earlier rows of its run, a row fires the same rules as in the
        whole run. Raises DataError when a column is missing or the lengths differ.
        """
        self.check(frame.columns)
        if np.shape(stretches) != (len(frame),):
            raise DataError(f"Found {len(frame)} rows and runs of shape {np.shape(stretches)}: give one run per row.")
        cells = _Cells(frame, np.asarray(stretches))
        fired = np.zeros((len(frame), len(self.rules)), dtype=bool)
        for at, rule in enumerate(self.rules):
            held = [cells.held(one) for one in rule.conditions]
            joined = np.logical_and.reduce(held) if rule.how == "all" else np.logical_or.reduce(held)
            fired[cells.order, at] = cells.lasting(joined, rule.lasting)
        return fired

    def reasons(self, rule: int, frame: pd.DataFrame, position: int) -> tuple[Reason, ...]:
        """Return the conditions of rule number `rule` that hold at a row: at least one where it fires.

        `frame` holds rows of one run in time order; those up to `position` (both count from 0) are used, and
        `memory` earlier ones are enough. Raises DataError when a column is missing, IndexError beyond the rows.
        """
        self.check(frame.columns)
        if not 0 <= position < len(frame):
            raise IndexError(f"Position {position} of {len(frame)} rows.")
        chosen = self.rules[rule]
        known = frame.iloc[max(0, position - chosen.memory) : position + 1]
        cells = _Cells(known, np.zeros(len(known), dtype=np.int64))
        # If all conditions must last, so must each of them; of any, this one may just have begun to hold.
        more = chosen.lasting - 1 if chosen.how == "all" else 0
        found = []
        for one in chosen.conditions:
            if cells.lasting(cells.held(one), 1 + more)[-1]:
                kind, samples = KINDS[one.test], one.within + one.lasting + more
                found.append(Reason(one.variable, cells.last(one), *one.bounds, kind, samples, one.text(more)))
        return tuple(found)


class _Cells:
    """The cells of a frame, run after run in `order`, and what holds there; all arrays have the shape (rows,)."""

    def __init__(self, frame: pd.DataFrame, stretches: np.ndarray) -> None:
        self.order = np.argsort(stretches, kind="stable")
        self.frame = frame if (np.diff(self.order) == 1).all() else frame.iloc[self.order]
        self.rows = np.arange(len(frame))
        starts = np.diff(stretches[self.order], prepend=-1) != 0
        self.age = self.rows - np.maximum.accumulate(np.where(starts, self.rows, 0))  # earlier rows of the run

    def held(self, one: Condition) -> np.ndarray:
        """Return where a condition holds for as long as it requires."""
        column, limit = self.frame[one.variable], one.limit
        if one.test in ("is", "missing") and not is_numeric_dtype(column.dtype) and not isinstance(limit, float):
            if one.test == "missing":
                words = column.astype("str").str.strip().str.lower()
                holds = words.isna() | words.isin(MISSING_WORDS)
            else:
                words = label_text(column).astype("str")
                holds = words.str.lower().isin(TRUTH[limit]) if isinstance(limit, bool) else words == limit
            return self.lasting(holds.to_numpy(dtype=bool), one.lasting)
        values = self.numbers(one)
        low, high = (np.nan if bound is None else bound for bound in one.bounds)
        if one.test == "missing":
            return self.lasting(np.isnan(values), one.lasting)
        if one.test == "is":  # numbers as numbers: 4, 4.0 and "4" are one
            return self.lasting(values == (np.nan if isinstance(limit, str) else limit), one.lasting)
        beyond = (values < low) | (values > high)
        return self.lasting(beyond | (values == low) | (values == high) if one.within else beyond, one.lasting)

    def lasting(self, holds: np.ndarray, samples: int) -> np.ndarray:
        """Return where something has held for so many samples of the run in a row."""
        since = self.rows - np.maximum.accumulate(np.where(holds, -1, self.rows))
        return holds if samples == 1 else np.minimum(since, self.age + 1) >= samples

    def last(self, one: Condition) -> float | str | None:
        """Return what a condition that holds has met at the last row."""
        if one.test == "is":
            return str(label_text(self.frame[one.variable].iloc[-1:]).iloc[0])
        return None if one.test == "missing" else float(self.numbers(one)[-1])

    def numbers(self, one: Condition) -> np.ndarray:
        """Return the values, or for a rate their changes, as floats; NaN where there is none."""
        column = self.frame[one.variable]
        # As objects, or to_numeric would turn dates into nanoseconds.
        column = column if is_numeric_dtype(column.dtype) else column.astype(object)
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        values = np.where(np.isfinite(values), values, np.nan)
        if not one.within:
            return values
        before = np.where(self.age < one.within, np.nan, np.roll(values, one.within))
        with np.errstate(over="ignore"):  # from -1e308 to 1e308 is a rise
            return values - before


def from_limits(about: About) -> Rules:
    """Make rules of a companion's operating limits, such as `Reactor pressure above its operating limit`."""
    names = Counter(known.name or column for column, known in about.variables.items())
    rules = []
    for column, known in about.variables.items():
        name = known.name or column
        name = name if names[name] == 1 else f"{name} ({column})"
        for test, limit in (("below", known.low), ("above", known.high)):
            if limit is not None and math.isfinite(limit):
                rules.append(Rule(f"{name} {test} its operating limit", (Condition(column, test, float(limit)),)))
    return Rules(tuple(rules), "operating limits")


def read_rules(path: str | Path) -> Rules:
    """Read a YAML file of rules. Raises DataError that names all problems together."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        return _built(yaml.safe_load(text), str(path), _twice(text))
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"There is no rules file `{path}`: check its name.") from None
    except Exception as error:  # whatever the bytes: PyYAML also lets KeyError, RecursionError and others escape
        mark = getattr(error, "problem_mark", None)
        what = str(getattr(error, "problem", None) or error or type(error).__name__).splitlines()[0]
        where = f"line {mark.line + 1}: " if mark else ""
        advice = "indent with spaces, and put names with any of : # [ ] { } , in quotes"
        raise DataError(f"`{path}` is not a readable YAML file ({where}{what}): {advice}.") from None


def _twice(text: str) -> list[str]:
    """Find keys given twice in one entry, of which YAML keeps the last in silence."""
    found, seen = [], set()
    todo: list[yaml.Node | None] = [yaml.compose(text, Loader=yaml.SafeLoader)]
    while todo:
        node = todo.pop()
        if isinstance(node, yaml.CollectionNode) and id(node) not in seen:  # aliases may form loops
            seen.add(id(node))
            pairs = isinstance(node, yaml.MappingNode)
            keys = Counter(str(key.value)[:60] for key, _ in node.value) if pairs else {}
            found += [(node.start_mark.line + 1, key) for key, times in keys.items() if times > 1]
            todo += [pair[1] for pair in node.value] if pairs else node.value
    return [f"the entry from line {line} on has `{key}` more than once: keep one" for line, key in sorted(found)]


def _built(raw: object, source: str, errors: list[str]) -> Rules:
    entries = raw.get("rules") if isinstance(raw, Mapping) else None
    if not isinstance(raw, Mapping) or not isinstance(entries, list):
        found = f"holds {reprlib.repr(raw)}" if raw else "is empty"
        raise DataError(f"`{source}` {found}; expected `rules:` and under it a list of entries like `- name: ...`.")
    known_keys(raw, ("rules",), "the file", errors)
    names = Counter(words_of(entry.get("name")) for entry in entries if isinstance(entry, Mapping))
    rules = tuple(checked_rule(entry, f"rule {at}", errors) for at, entry in enumerate(entries, start=1))
    errors += [f"{n} rules are named `{name[:60]}`: rename all but one" for name, n in names.items() if name and n > 1]
    if errors:
        raise DataError(f"`{source}`: " + "; ".join(errors) + ".")
    return Rules(rules, source)
