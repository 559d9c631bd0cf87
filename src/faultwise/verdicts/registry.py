"""Experts by name, through one plug-in door: the entry points of the group `faultwise.experts`.

The built-in experts are registered there too, so the expert of another package is found, made, saved and loaded in the
same way. An entry point names a factory that takes an `ExpertContext` and returns an `Expert`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from faultwise.contracts.errors import UserError, closest, listing
from faultwise.contracts.experts import Expert, ExpertContext

__all__ = ["LANGUAGE_MODEL", "ROW_ENCODER", "available", "make", "registered"]

LANGUAGE_MODEL = "language-model"
ROW_ENCODER = "row-encoder"  # part of the language model; it classifies where sensors are missing
_GROUP = "faultwise.experts"
_BY_PATH = "by-path"  # makes an expert from the path of a class, such as `xgboost.XGBClassifier`


@cache
def registered() -> Sequence[EntryPoint]:
    """Return the entry points of all installed experts. They are read once: that takes a third of a small fit."""
    return tuple(entry_points(group=_GROUP))


def available() -> list[str]:
    """Return the names of all installed experts, sorted."""
    return sorted({point.name for point in registered()} - {_BY_PATH})


def make(name: str, context: ExpertContext) -> Expert:
    """Build an unfitted expert by name. Raises UserError for a name nobody registered."""
    for point in registered():
        if point.name == name:
            factory: Callable[[ExpertContext], Expert] = point.load()
            return factory(context)
        if point.name == _BY_PATH and "." in name:
            by_path: Callable[[ExpertContext, str], Expert] = point.load()
            return by_path(context, name)
    near = closest(name, available())
    hint = f"did you mean `{near}`?" if near else "install the package that provides it."
    raise UserError(f"There is no expert `{name}`; there are {listing(available(), 20)}: {hint}")
