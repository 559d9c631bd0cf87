"""Parameters and options of `Diagnoser`: they are the settings of the modalities, which other packages may add."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, Signature

from faultwise.contracts.errors import closest
from faultwise.contracts.modality import Modality, modalities
from faultwise.contracts.settings import options_of

__all__ = ["ModalitySignature", "default_of", "known", "nested", "options_for"]


class ModalitySignature:
    """The signature of `Diagnoser` with all settings in place of `**settings`: for help, completion and scikit-learn.

    It is made when somebody looks, because it loads the modalities.
    """

    def __get__(self, instance: object, owner: type) -> Signature:
        """Return the signature of the class."""
        names = sorted(known())
        defaults = {"progress": False, "modality": None, **{name: default_of(name) for name in names}}
        return Signature([Parameter(name, Parameter.KEYWORD_ONLY, default=one) for name, one in defaults.items()])


def known() -> set[str]:
    """Return the names of all settings of all modalities, as `Diagnoser` takes them."""
    return {option.name.partition(".")[0] for one in modalities().values() for option in options_of(one.settings)}


def default_of(name: str) -> object:
    """Return the default of a setting, None for settings inside settings. Raises KeyError for one that nobody knows."""
    found = False
    for one in sorted(modalities().values(), key=lambda one: not one.fallback):
        for option in options_of(one.settings):
            if option.name == name:
                return option.default
            found = found or option.name.startswith(f"{name}.")
    if not found:
        raise KeyError(name)
    return None


def options_for(found: Modality, part: str, given: Mapping[str, object], command: str) -> object:
    """Build the reading or query of a modality. Raises TypeError for an option that does nothing in a command."""
    kind: type = getattr(found, part)
    names = [option.name for option in options_of(kind) if option.serves(command)]
    for name in given:
        if name not in names:
            near = closest(name, names)
            hint = f": did you mean `{near}`?" if near else f"; {found.name} knows {', '.join(names) or 'none'}."
            raise TypeError(f"{command} has no option `{name}`{hint}")
    return kind(**given)


def nested(flat: Mapping[str, object]) -> dict[str, object]:
    """Return settings by the names that `Diagnoser` takes, those with a dot as mappings."""
    made: dict[str, object] = {}
    for name, value in flat.items():
        first, _, rest = name.partition(".")
        if not rest:
            made[first] = value
            continue
        inner = made.setdefault(first, {})
        assert isinstance(inner, dict)
        inner[rest] = value
    return made
