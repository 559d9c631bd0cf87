"""Experts by name, through one plug-in door: the entry points of the group `faultwise.experts`.

The built-in experts are registered there too, so an outsider's expert is found, made, saved and loaded exactly
like ours. An entry point names a factory that takes an `ExpertContext` and returns an `Expert`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points

from faultwise.contracts.errors import UserError, closest, listing
from faultwise.contracts.records import Expert
from faultwise.language.settings import LanguageSettings

__all__ = ["LANGUAGE_MODEL", "ROW_ENCODER", "ExpertContext", "available", "make"]

LANGUAGE_MODEL = "language-model"
ROW_ENCODER = "row-encoder"  # of the language model: it judges where sensors are lost
_GROUP = "faultwise.experts"


@dataclass(frozen=True, slots=True)
class ExpertContext:
    """What a factory may want to know: the seed, whether to show progress, the language model's settings, and `about`,
    words for columns from a companion file ("pressure [kPa]: of the reactor").
    """

    seed: int = 0
    progress: bool = False
    language: LanguageSettings = field(default_factory=LanguageSettings)
    about: Mapping[str, str] = field(default_factory=dict)


def available() -> list[str]:
    """Return the names of all installed experts, sorted."""
    return sorted({point.name for point in entry_points(group=_GROUP)})


def make(name: str, context: ExpertContext) -> Expert:
    """Build an unfitted expert by name. Raises UserError for a name nobody registered."""
    for point in entry_points(group=_GROUP):
        if point.name == name:
            factory: Callable[[ExpertContext], Expert] = point.load()
            return factory(context)
    near = closest(name, available())
    hint = f"did you mean `{near}`?" if near else "install the package that provides it."
    raise UserError(f"There is no expert `{name}`; there are {listing(available(), 20)}: {hint}")
