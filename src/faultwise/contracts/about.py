"""What is known about an asset beside its numbers: names, units, limits, descriptions.

It comes from a companion file (YAML, `--about`) or from units that a header states in brackets. It is never
guessed from values, and it never takes part in a verdict: it only words findings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from faultwise.contracts.errors import DataError, listing

__all__ = ["About", "Variable", "read_about", "units_from_headers"]

_VARIABLE_KEYS = ("name", "unit", "low", "high", "description")
_TOP_KEYS = ("asset", "normal", "variables", "faults")
# "Torque [Nm]", "Level [%]": square brackets only, because TEP's XMEAS(1) shows that round ones are names.
_UNIT = re.compile(r"^(?P<name>.*\S)\s*\[(?P<unit>[^\[\]]{1,20})\]\s*$")


@dataclass(frozen=True, slots=True)
class Variable:
    """Human words about one column; `low` and `high` are operating limits in the column's unit."""

    name: str | None = None
    unit: str | None = None
    low: float | None = None
    high: float | None = None
    description: str | None = None

    def words(self) -> str:
        """Return name, unit and description in one line, empty where none is known.

        >>> Variable("pressure", "kPa", description="of the reactor").words(), Variable(unit="kPa").words()
        ('pressure [kPa]: of the reactor', '')
        """
        named = f"{self.name} [{self.unit}]" if self.name and self.unit else self.name or ""
        return ": ".join(part for part in (named, self.description) if part)


@dataclass(frozen=True)
class About:
    """The companion: the asset's name, the label of normal, variables by column, faults by label."""

    asset: str | None = None
    normal: str | None = None
    variables: dict[str, Variable] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return the mapping that `from_dict` reads, without empty entries."""
        variables = {
            column: {key: getattr(known, key) for key in _VARIABLE_KEYS if getattr(known, key) is not None}
            for column, known in self.variables.items()
        }
        whole = {"asset": self.asset, "normal": self.normal, "variables": variables, "faults": self.faults}
        return {key: value for key, value in whole.items() if value}

    @classmethod
    def from_dict(cls, raw: object, source: str = "companion file") -> About:
        """Check and build from plain dicts; all errors are reported at once. Raises DataError."""
        if not isinstance(raw, Mapping):
            raise DataError(f"`{source}` holds a {type(raw).__name__}; expected a mapping with {listing(_TOP_KEYS)}.")
        errors = [f"unknown key `{key}` (known: {listing(_TOP_KEYS)})" for key in raw if key not in _TOP_KEYS]
        variables: dict[str, Variable] = {}
        named = raw.get("variables") or {}
        if not isinstance(named, Mapping):
            errors.append("`variables` must map columns to what is known about them")
            named = {}
        for column, entry in named.items():
            variables[str(column)] = _variable(column, entry, errors)
        faults = raw.get("faults") or {}
        if not isinstance(faults, Mapping):
            errors.append("`faults` must map labels to descriptions")
            faults = {}
        if errors:
            raise DataError(f"`{source}`: " + "; ".join(errors) + ".")
        return cls(
            asset=_text(raw.get("asset")),
            normal=_text(raw.get("normal")),
            variables=variables,
            faults={str(label): str(text) for label, text in faults.items()},
        )

    def merged(self, other: About) -> About:
        """Return this companion with everything `other` knows laid over it."""
        return About(
            asset=other.asset or self.asset,
            normal=other.normal or self.normal,
            variables={**self.variables, **other.variables},
            faults={**self.faults, **other.faults},
        )


def read_about(path: str | Path) -> About:
    """Read a YAML companion file. Raises DataError naming every problem at once."""
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"There is no companion file `{path}`: check --about.") from None
    except (OSError, ValueError, LookupError, AttributeError, OverflowError, RecursionError, yaml.YAMLError) as error:
        # YAML's own tags (dates, numbers) fail with Python's errors where their text is none.
        first_line = (str(error).splitlines() or ["not understood"])[0][:160]
        raise DataError(f"`{path}` is not a readable YAML file ({first_line}): mend it.") from None
    return About.from_dict(raw if raw is not None else {}, str(path))


def _variable(column: object, entry: object, errors: list[str]) -> Variable:
    """Return what is known of one column; what is wrong with it is added to `errors`."""
    if not isinstance(entry, Mapping):
        errors.append(f"variable `{column}` must be a mapping with {listing(_VARIABLE_KEYS)}")
        return Variable()
    errors += [f"variable `{column}`: unknown key `{key}`" for key in entry if key not in _VARIABLE_KEYS]
    limits: dict[str, float | None] = {}
    for key in ("low", "high"):
        value = entry.get(key)
        limits[key] = None if value is None else _limit(value)
        if value is not None and limits[key] is None:
            errors.append(f"variable `{str(column)[:60]}`: `{key}` is {str(value)[:40]!r}, expected a number")
    name, unit, description = (_text(entry.get(key)) for key in ("name", "unit", "description"))
    return Variable(name, unit, limits["low"], limits["high"], description)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _limit(value: object) -> float | None:
    """Return a limit as a finite number, or None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def units_from_headers(columns: Iterable[str]) -> dict[str, Variable]:
    """Take units from headers like `Torque [Nm]`; other headers have none.

    >>> units_from_headers(["Torque [Nm]", "XMEAS(1)", "plain"])["Torque [Nm]"].unit
    'Nm'
    """
    found = {}
    for column in columns:
        match = _UNIT.match(str(column))
        if match:
            found[str(column)] = Variable(name=match["name"], unit=match["unit"].strip())
    return found
