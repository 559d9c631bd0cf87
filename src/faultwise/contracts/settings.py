"""How settings are read: one dataclass per configuration gives defaults, flags, YAML and the manifest.

Unknown keys are refused and all errors are told at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from faultwise.contracts.errors import UserError, closest

__all__ = ["built", "flag", "read_settings"]


def flag(default: Any, words: str, metavar: str | None = None) -> Any:
    """Return a dataclass field with a default, help and the name of its value in help."""
    return field(default=default, metadata={"help": words, "metavar": metavar})


Kind = TypeVar("Kind")


def built(kind: type[Kind], raw: Mapping[str, Any], source: str = "settings") -> Kind:
    """Build settings from plain values; wrong types and unknown keys are told together."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    errors: list[str] = []
    for key, value in raw.items():
        if key not in fields:
            near = closest(str(key), fields)
            errors.append(f"unknown key `{key}`" + (f" (did you mean `{near}`?)" if near else ""))
        elif not _fits(value, str(fields[key].type)):
            errors.append(f"`{key}` is {value!r}, expected {fields[key].type}")
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    if errors:
        raise UserError(f"{source}: " + "; ".join(errors) + ".")
    return kind(**values)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings. Raises UserError when it is no mapping."""
    import yaml

    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"`{path}` is no readable YAML file ({str(error).splitlines()[0]}).") from None
    if not isinstance(raw, dict):
        raise UserError(f"`{path}` holds no settings: expected lines such as `window: 20`.")
    return raw


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if isinstance(value, bool) or kind.startswith("bool"):
        return isinstance(value, bool) and kind.startswith("bool")
    if kind.startswith("int"):
        return isinstance(value, int)
    if kind.startswith("float"):
        return isinstance(value, int | float)
    if kind.startswith("tuple"):
        return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return isinstance(value, str)
