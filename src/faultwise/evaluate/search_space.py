"""What a search of settings may choose from: ranges and lists of values, two presets, and a YAML file of one's own.

Nothing is drawn here and no optimiser is known here. Names are those of `LanguageSettings`; a fit has them under
`language`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faultwise.contracts.errors import UserError, closest
from faultwise.contracts.language import INPUTS, METHODS, SCORINGS
from faultwise.contracts.settings import read_settings

__all__ = [
    "KEYS",
    "PRESETS",
    "Choice",
    "Dimension",
    "Preset",
    "Range",
    "Space",
    "Value",
    "plain_space",
    "points",
    "read_space",
]

Value = bool | int | float | str

# The settings that can be searched, with their types.
KEYS: dict[str, type] = {
    "alpha": int,
    "column_names": bool,
    "digits": int,
    "dropout": float,
    "features": int,
    "input": str,
    "learning_rate": float,
    "method": str,
    "normalise": bool,
    "rank": int,
    "scoring": str,
    "steps": int,
    "tokens": int,
}
# Names of earlier versions.
_RENAMED = {
    "form": "method",
    "judge": "scoring",
    "lora_alpha": "alpha",
    "lora_dropout": "dropout",
    "lora_r": "rank",
    "names": "column_names",
    "text": "input",
}
# The lowest and highest value each may take: a LoRA rank of 0 has no weights to tune.
_LIMITS: dict[str, tuple[float, float]] = {
    "digits": (1, 2),
    "learning_rate": (1e-12, 1),
    "dropout": (0, 1),
}
_COUNTS = (1, math.inf)
_ALLOWED = {"input": INPUTS, "method": METHODS, "scoring": SCORINGS}
_CUT = 5  # points of a range without a step, in a grid
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}


@dataclass(frozen=True, slots=True)
class Range:
    """All numbers from `low` to `high`, both included, in steps of `step` if given; `log` draws evenly in logarithm."""

    low: float
    high: float
    step: float | None = None
    log: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One of these values."""

    values: tuple[Value, ...]


Dimension = Range | Choice
Space = dict[str, Dimension]


@dataclass(frozen=True, slots=True)
class Preset:
    """A search by name: its space, how many trials and folds, and settings of the language model that go with it."""

    space: Space
    trials: int
    folds: int
    language: dict[str, Value] = field(default_factory=dict)


_YES_NO = Choice((False, True))
PRESETS = {
    "default": Preset(
        {
            "learning_rate": Range(1e-4, 3e-3, log=True),
            "rank": Choice((4, 8, 16, 32)),
            "alpha": Choice((8, 16, 32, 64)),
            "steps": Range(30, 150, 30),
        },
        trials=20,
        folds=3,
    ),
    # The published study's: every validation row of every fold is scored.
    "thesis": Preset(
        {
            "rank": Range(4, 256, 1),
            "alpha": Range(4, 128, 1),
            "dropout": Range(0.05, 1.0, 0.01),
            "normalise": _YES_NO,
            "learning_rate": Range(1e-5, 1e-2, 1e-5),
            "column_names": _YES_NO,
        },
        trials=100,
        folds=5,
        language={"input": "thesis", "score_rows": 100_000},
    ),
}


def points(name: str, dimension: Dimension) -> list[Value]:
    """Return the values a grid takes of a dimension: all of a list or of a range with steps, else five of the range.

    >>> points("learning_rate", Range(0.001, 0.1, log=True))
    [0.001, 0.00316227766017, 0.01, 0.0316227766017, 0.1]
    >>> points("rank", Range(4, 12, 4))
    [4, 8, 12]
    """
    if isinstance(dimension, Choice):
        return list(dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if step is None and KEYS.get(name, float) is int and high - low < _CUT:
        step = 1
    if step is not None:
        found = [low + at * step for at in range(math.floor((high - low) / step + 1e-9) + 1)]
    elif dimension.log:
        found = [low * (high / low) ** (at / (_CUT - 1)) for at in range(_CUT)]
    else:
        found = [low + (high - low) * at / (_CUT - 1) for at in range(_CUT)]
    if KEYS.get(name, float) is int:
        return list(dict.fromkeys(round(value) for value in found))
    return [float(f"{value:.12g}") for value in found]


def plain_space(space: Space) -> dict[str, object]:
    """Return the space as plain values for JSON.

    >>> plain_space({"rank": Choice((4, 8))})
    {'rank': [4, 8]}
    """
    return {
        name: list(dimension.values) if isinstance(dimension, Choice) else asdict(dimension)
        for name, dimension in space.items()
    }


def read_space(path: str | Path) -> Space:
    """Read a space from a YAML file: `rank: [4, 8]`, or `learning_rate: {low: 1e-4, high: 1e-2, log: true}`.

    Raises UserError with everything that is wrong with it.
    """
    raw = read_settings(path)
    space: Space = {}
    errors: list[str] = []
    for key, given in raw.items():
        if key not in KEYS:
            errors.append(f"unknown key `{key}` ({_hint(key)})")
            continue
        made, wrong = _dimension(key, given)
        errors += [f"`{key}` {words}" for words in wrong]
        if made is not None:
            space[key] = made
    if errors or not space:
        raise UserError(f"{path}: " + ("; ".join(errors) or "nothing to search: name one key at least") + ".")
    return space


def _hint(key: str) -> str:
    name = key.removeprefix("lm_").removeprefix("language.")
    if name in _RENAMED:
        return f"its name is `{_RENAMED[name]}` now"
    near = closest(name, KEYS)
    return f"did you mean `{near}`?" if near else f"there are {', '.join(KEYS)}"


def _dimension(key: str, given: object) -> tuple[Dimension | None, list[str]]:
    """Return a dimension, or what is wrong with it."""
    if isinstance(given, Mapping):
        return _range(key, given)
    values = [_number(value) for value in (given if isinstance(given, list) else [given])]
    wrong = [words for value in values if (words := _unfit(key, value))]
    if not values:
        wrong.append("has an empty list: give one value at least")
    if wrong:
        return None, wrong
    kind = KEYS[key]
    return Choice(tuple(dict.fromkeys(kind(value) for value in values))), []


def _range(key: str, given: Mapping[str, object]) -> tuple[Range | None, list[str]]:
    fields = ("low", "high", "step", "log")
    wrong = [f"has an unknown `{name}` (a range has low, high, step, log)" for name in given if name not in fields]
    if KEYS[key] not in (int, float):
        return None, [*wrong, f"is {_WORDS[KEYS[key]]}: give a list of values"]
    low, high, step = (_number(given.get(name)) for name in ("low", "high", "step"))
    log = given.get("log", False)
    wrong += [f"lacks `{name}`" for name in ("low", "high") if name not in given]
    wrong += [words for name, end in (("low", low), ("high", high)) if name in given and (words := _unfit(key, end))]
    if not isinstance(log, bool):
        wrong.append(f"has log {log!r}, expected true or false")
    if words := _wrong_step(key, step):
        wrong.append(words)
    if wrong:
        return None, wrong
    made = Range(low, high, step, bool(log))  # type: ignore[arg-type]
    if made.low >= made.high:
        wrong.append(f"runs from {low} to {high}: low must be below high")
    if made.log and made.step is not None:
        wrong.append("has both log and step: leave one out")
    if made.log and made.low <= 0:
        wrong.append("cannot be drawn in logarithm from 0 on: choose a low above 0")
    return (None, wrong) if wrong else (made, [])


def _wrong_step(key: str, step: object) -> str:
    if step is None:
        return ""
    if isinstance(step, bool) or not isinstance(step, int | float) or not 0 < step < math.inf:
        return f"has step {step!r}, expected a number above 0"
    return f"has step {step!r}, expected a whole number" if KEYS[key] is int and not isinstance(step, int) else ""


def _number(value: object) -> object:
    """Read a number that YAML takes for text: it reads 1.0e-4 as a number and 1e-4 as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _unfit(key: str, value: object) -> str:
    """Return why a value is not allowed for this key; empty where it is."""
    kind = KEYS[key]
    right = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not right or (isinstance(value, bool) and kind is not bool):
        return f"has {value!r}, expected {_WORDS[kind]}"
    if key in _ALLOWED and value not in _ALLOWED[key]:
        return f"has {value!r}, expected one of {', '.join(_ALLOWED[key])}"
    if kind in (bool, str):
        return ""
    low, high = _LIMITS.get(key, _COUNTS)
    if not isinstance(value, int | float) or not low <= value <= high:
        limits = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
        return f"has {value!r}, expected {limits}"
    return ""
