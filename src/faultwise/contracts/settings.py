"""How settings are described, read and checked: one dataclass per configuration gives defaults, flags, YAML and docs.

A field made with `option` knows its meaning, its range and whether it is a flag of a command. Settings inside settings
are reached by a dot (`language.rank`). Unknown keys are refused with the nearest known one, and all errors are told at
once.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from faultwise.contracts.errors import UserError, closest

__all__ = [
    "Option",
    "built",
    "changed",
    "dotted",
    "flattened",
    "nested",
    "option",
    "options_of",
    "problems",
    "read_settings",
    "refuse_problems",
]

Kind = TypeVar("Kind")
Value = bool | int | float | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of one setting. `name` has dots for settings inside settings.

    `low` and `high` are included in the range; `above` and `below` are not. `flags` names the commands that show it as
    a flag of its own, `quiet` those that take the flag without listing it in their help; other settings are reached by
    `--set NAME=VALUE`. `was` is an earlier name, which is refused with the present one.
    """

    name: str
    type: str
    default: Value
    help: str
    metavar: str | None = None
    choices: tuple[object, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    below: float | None = None
    flags: tuple[str, ...] = ()
    quiet: tuple[str, ...] = ()
    was: str | None = None

    def serves(self, command: str) -> bool:
        """Whether a command takes it as a flag."""
        return command in self.flags or command in self.quiet

    @property
    def several(self) -> bool:
        """Whether the value is a list of names."""
        return self.type.startswith("tuple")

    @property
    def range(self) -> str:
        """The values that are possible, in words.

        >>> Option("folds", "int", 3, "", low=2).range, Option("rate", "float", 0.1, "", above=0, below=1).range
        ('2 or more', 'between 0 and 1')
        """
        if self.choices:
            words = [str(choice) for choice in self.choices]
            return " or ".join(words) if len(words) == 2 else f"one of {', '.join(words)}"
        if self.type.startswith("bool"):
            return "yes or no"
        return _limits(self.low, self.high, self.above, self.below)

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, None where it may be so."""
        if value is None or isinstance(value, bool | tuple):
            return None
        if self.choices:
            fits = value in self.choices
        elif isinstance(value, int | float):
            fits = self._within(float(value))
        else:
            fits = True
        if fits:
            return None
        shown = f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else str(value)
        return f"{self.name} is {shown}, expected {self.range}"

    def _within(self, value: float) -> bool:
        return (
            (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def _limits(low: float | None, high: float | None, above: float | None, below: float | None) -> str:
    first = None if low is None and above is None else low if low is not None else above
    last = None if high is None and below is None else high if high is not None else below
    if first is None:
        return "" if last is None else f"up to {last:g}" if high is not None else f"below {last:g}"
    if last is None or last == float("inf"):
        return f"{first:g} or more" if low is not None else f"more than {first:g}"
    if low is None and high is None:
        return f"between {first:g} and {last:g}"
    start = f"{first:g}" if low is not None else f"above {first:g}"
    return f"{start} to {last:g}" if high is not None else f"from {start} to below {last:g}"


def option(default: Value, words: str, metavar: str | None = None, **known: object) -> typing.Any:
    """Return a dataclass field (typed as any value) with its default, its meaning, and what else an `Option` knows."""
    return field(default=default, metadata={"help": words, "metavar": metavar, **known})


def nested(kind: type[Kind]) -> typing.Any:
    """Return a dataclass field (typed as any value) for settings inside settings."""
    return field(default_factory=kind, metadata={"nested": kind})


def options_of(kind: type, before: str = "") -> tuple[Option, ...]:
    """Return all settings of a dataclass, those of settings inside it too."""
    made: list[Option] = []
    for one in dataclasses.fields(kind):
        if "nested" in one.metadata:
            made += options_of(one.metadata["nested"], f"{before}{one.name}.")
        else:
            known = {key: value for key, value in one.metadata.items() if key not in ("help", "metavar")}
            words, metavar = one.metadata.get("help", ""), one.metadata.get("metavar")
            default = typing.cast("Value", one.default)
            made.append(Option(before + one.name, str(one.type), default, words, metavar, **known))
    return tuple(made)


def problems(settings: object) -> list[str]:
    """Return every value that lies outside its range, in words. Settings inside settings check themselves."""
    known = {one.name: one for one in options_of(type(settings)) if "." not in one.name}
    found = (one.problem(getattr(settings, name)) for name, one in known.items())
    return [problem for problem in found if problem]


def refuse_problems(settings: object, *others: str) -> None:
    """Raise UserError where values lie outside their range, or for other problems that were found."""
    errors = [*problems(settings), *filter(None, others)]
    if errors:
        raise UserError("Settings: " + "; ".join(errors) + ".")


def flattened(settings: object, before: str = "") -> dict[str, Value]:
    """Return the values of settings by name, those of settings inside them with a dot."""
    made: dict[str, Value] = {}
    for one in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, one.name)
        if "nested" in one.metadata:
            made |= flattened(value, f"{before}{one.name}.")
        else:
            made[before + one.name] = value
    return made


def built(kind: type[Kind], raw: Mapping[str, object], source: str = "settings") -> Kind:
    """Build settings from plain values, by dotted name or as mappings in mappings.

    Raises UserError that names wrong types, unknown keys and the nearest known ones together.
    """
    known = {one.name: one for one in options_of(kind)}
    earlier = {one.was: one.name for one in known.values() if one.was}
    values: dict[str, Value] = {}
    errors: list[str] = []
    for key, value in dotted(raw).items():
        if key in earlier:
            errors.append(f"`{key}` is now `{earlier[key]}`")
        elif key not in known:
            near = closest(key, known)
            errors.append(
                f"unknown key `{key}`" + (f" (did you mean `{near}`?)" if near else " (see `faultwise settings`)")
            )
        elif not _fits(value, known[key].type):
            errors.append(f"`{key}` is {value!r}, expected {known[key].type}")
        elif problem := known[key].problem(value):
            errors.append(problem)
        else:
            values[key] = tuple(value) if isinstance(value, list) else value  # type: ignore[assignment]
    if errors:
        raise UserError(f"{source}: " + "; ".join(errors) + ".")
    return _made(kind, values)


def changed(settings: Kind, values: Mapping[str, object], source: str = "settings") -> Kind:
    """Return settings with some values changed, by dotted name. Raises UserError as `built` does."""
    return built(type(settings), {**flattened(settings), **dotted(values)}, source)


def read_settings(path: str | Path) -> dict[str, object]:
    """Read a YAML file of settings. Raises UserError when it is no mapping."""
    import yaml

    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"There is no file `{path}`: check the path.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"`{path}` is no readable YAML file ({str(error).splitlines()[0]}).") from None
    if not isinstance(raw, dict):
        raise UserError(f"`{path}` holds no settings: expected lines such as `window: 20`.")
    return raw


def dotted(raw: Mapping[str, object], before: str = "") -> dict[str, object]:
    """Return settings by dotted name: mappings in mappings are flattened.

    >>> dotted({"window": 3, "language": {"rank": 8}})
    {'window': 3, 'language.rank': 8}
    """
    made: dict[str, object] = {}
    for key, value in raw.items():
        name = before + str(key)
        made |= dotted(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return made


def _made(kind: type[Kind], values: Mapping[str, Value]) -> Kind:
    given: dict[str, object] = {key: value for key, value in values.items() if "." not in key}
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        if "nested" in one.metadata:
            start = f"{one.name}."
            inner = {key.removeprefix(start): value for key, value in values.items() if key.startswith(start)}
            given[one.name] = _made(one.metadata["nested"], inner)
    return kind(**given)


def _fits(value: object, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if isinstance(value, bool) or kind.startswith("bool"):
        return isinstance(value, bool) and kind.startswith("bool")
    if kind.startswith("int"):
        return isinstance(value, int | str if "str" in kind else int)
    if kind.startswith("float"):
        return isinstance(value, int | float)
    if kind.startswith("tuple"):
        return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return isinstance(value, str)
