"""Flags from the options of modalities: what is shown as a flag, and what `--set` and `--config` reach."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faultwise.contracts.errors import UserError, closest
from faultwise.contracts.modality import Modality, modalities, modality
from faultwise.contracts.settings import Option, built, dotted, options_of, read_settings

if TYPE_CHECKING:
    from faultwise.diagnoser import Diagnoser

__all__ = [
    "add_config_flags",
    "add_modality_flags",
    "add_reading_flags",
    "add_run_arguments",
    "add_setting_flags",
    "opened",
    "options_for",
    "reading_of",
    "set_values",
    "settings_of",
]

Kind = TypeVar("Kind")
_TYPES = {"int": int, "float": float}


def add_modality_flags(parser: argparse.ArgumentParser, command: str, *parts: str) -> None:
    """Add the flags that a command shows of every modality's parts ("settings", "reading", "query"), a group each."""
    known: dict[str, argparse.Action] = {}
    taken = {flag for action in parser._actions for flag in action.option_strings}
    for one in modalities().values():
        group = None
        for option in _shown(one, command, parts):
            if option.name in known:
                known[option.name].type = None  # text: each modality reads it as its own option
                words, default = known[option.name].help or "", _default(option)
                if words != argparse.SUPPRESS and default not in words:
                    known[option.name].help = f"{words}; {one.traces}: {default}"
            elif _flag(option) not in taken:  # what a command needs itself stays its own; --set reaches the setting
                group = group or parser.add_argument_group(one.traces)
                known[option.name] = _add_flag(group, option)
                if command not in option.flags:
                    known[option.name].help = argparse.SUPPRESS


def _shown(one: Modality, command: str, parts: Iterable[str]) -> list[Option]:
    """Return the options of a modality that a command shows as flags."""
    options = (option for part in parts for option in options_of(getattr(one, part)))
    return [option for option in options if option.serves(command)]


def add_setting_flags(
    parser: argparse.ArgumentParser, only: Collection[str] = (), name: str = "tables", **defaults: object
) -> None:
    """Add flags for those settings of a modality that have one (of those in `only`), `--config` and `--set`."""
    group = parser.add_argument_group("settings")
    for option in options_of(modality(name).settings):
        if option.name in only or (option.flags and not only):
            _add_flag(group, option, defaults.get(option.name, option.default))
    add_config_flags(group)


def add_config_flags(group: argparse._ActionsContainer) -> None:
    """Add `--config FILE` and `--set NAME=VALUE`."""
    group.add_argument("--config", metavar="FILE", help="YAML file of settings; --set and flags win over it")
    words = "any other setting, such as language.rank=8; may be given again (list: faultwise settings)"
    group.add_argument("--set", action="append", metavar="NAME=VALUE", help=words, default=[])


def add_reading_flags(
    parser: argparse.ArgumentParser, name: str = "tables", but: Collection[str] = (), command: str = ""
) -> None:
    """Add the flags that say how a source of one modality is read, without those in `but`; with a `command` those that
    it takes.
    """
    group = parser.add_argument_group("columns")
    for option in options_of(modality(name).reading):
        if option.name not in but and (not command or option.serves(command)):
            _add_flag(group, option)


def add_run_arguments(parser: argparse.ArgumentParser, source: str) -> None:
    """Add what commands that use a fitted run take: its folder, and the source (in these words)."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help=source)


def _default(option: Option, default: object = None) -> str:
    value = option.default if default is None else default
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def _flag(option: Option) -> str:
    return "--" + option.name.replace("_", "-").replace(".", "-")


def _add_flag(group: argparse._ActionsContainer, option: Option, default: object = None) -> argparse.Action:
    flag, dest = _flag(option), option.name.replace(".", "__")
    shown = _default(option, default)
    choices = f": {', '.join(map(str, option.choices))}" if option.choices else ""
    words = option.help + choices + (f" (default: {shown})" if shown else "")
    words = words.replace("%", "%%")
    if option.type.startswith("bool"):
        if option.default is None:
            off = "--no-" + flag[2:]
            group.add_argument(off, dest=dest, action="store_false", default=None, help=argparse.SUPPRESS)
            return group.add_argument(flag, dest=dest, action="store_true", default=None, help=words)
        if option.default is False:
            return group.add_argument(flag, dest=dest, action="store_true", default=None, help=words)
        words = f"switch this off: {option.help}".replace("%", "%%")
        return group.add_argument("--no-" + flag[2:], dest=dest, action="store_false", default=None, help=words)
    kind = str if "str" in option.type else _TYPES.get(option.type.split(" ")[0], str)
    return group.add_argument(flag, dest=dest, type=kind, metavar=option.metavar, help=words)


def _given(args: argparse.Namespace, options: Iterable[Option]) -> dict[str, object]:
    """Return the values of flags that were given, by name of their option."""
    made: dict[str, object] = {}
    for option in options:
        value = getattr(args, option.name.replace(".", "__"), None)
        if value is not None:
            made[option.name] = _read(option, value, _flag(option)) if isinstance(value, str) else value
    return made


def set_values(pairs: Iterable[str], kind: type) -> dict[str, object]:
    """Read NAME=VALUE pairs as settings of a kind. Raises UserError with the nearest known name.

    >>> from faultwise.contracts.language import LanguageSettings
    >>> set_values(["steps=60", "learning_rate=none"], LanguageSettings)
    {'steps': 60, 'learning_rate': None}
    """
    known = {option.name: option for option in options_of(kind)}
    made: dict[str, object] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals:
            raise UserError(f"--set {pair}: write NAME=VALUE, such as --set language.rank=8.")
        if name not in known:
            near = closest(name, known)
            hint = f"did you mean `{near}`?" if near else "see `faultwise settings`."
            raise UserError(f"--set {pair}: there is no setting `{name}`: {hint}")
        made[name] = _read(known[name], text.strip(), f"--set {name}")
    return made


def _read(option: Option, text: str, given: str) -> object:
    """Read a value as its option's type; `given` is how it was given. Raises UserError."""
    empty = ("", "none", "null") if not option.type.startswith("str") else ("", "null")
    if "None" in option.type and text.lower() in empty:
        return None
    if option.several:
        return [part.strip() for part in text.split(",") if part.strip()]
    if option.type.startswith("bool"):
        if text.lower() in ("yes", "true", "on", "1", "no", "false", "off", "0"):
            return text.lower() in ("yes", "true", "on", "1")
        raise UserError(f"{given} is `{text}`: expected yes or no.")
    kind = _TYPES.get(option.type.split(" ")[0])
    if "str" in option.type and not text.lstrip("-").isdecimal():
        kind = None
    try:
        return text if kind is None else kind(text)
    except ValueError:
        limits = option.range and f", {option.range}"
        raise UserError(f"{given} is `{text}`: expected a number{limits}.") from None


def settings_of(args: argparse.Namespace, kind: type[Kind], **defaults: object) -> Kind:
    """Build settings: defaults, then --config, then --set, then flags. Raises UserError."""
    values = dotted(defaults) | (dotted(read_settings(args.config)) if getattr(args, "config", None) else {})
    values |= set_values(getattr(args, "set", None) or (), kind)
    values |= _given(args, options_of(kind))
    return built(kind, values, str(getattr(args, "config", None) or "settings"))


def reading_of(args: argparse.Namespace, kind: type[Kind]) -> Kind:
    """Build what says how a source is read, or what is asked of it, from flags. Raises UserError."""
    return built(kind, _given(args, options_of(kind)), "flags")


def options_for(args: argparse.Namespace, found: Modality, command: str, *parts: str) -> None:
    """Refuse flags that only other modalities know. Raises UserError naming them."""
    mine = {option.name for option in _shown(found, command, parts)}
    for other in modalities().values():
        theirs = [option for option in _shown(other, command, parts) if option.name not in mine]
        given = _given(args, theirs)
        if given:
            flags = ["--" + ("no-" if value is False else "") + name.replace("_", "-") for name, value in given.items()]
            verb, them = ("is", "it") if len(flags) == 1 else ("are", "them")
            raise UserError(
                f"{', '.join(flags)} {verb} for {other.traces}, and `{args.source}` is read as {found.traces}: "
                f"leave {them} out."
            )


def opened(args: argparse.Namespace, command: str, *parts: str) -> tuple[Diagnoser, object, object]:
    """Load a run and return it with how the source is to be read and what is asked, after refusing foreign flags."""
    from faultwise.cli.out import watched
    from faultwise.diagnoser import Diagnoser

    made = Diagnoser.load(args.run_folder, progress=watched(args))
    kind = modality(made.modality_)
    options_for(args, kind, command, *parts)
    return made, reading_of(args, kind.reading), reading_of(args, kind.query)
