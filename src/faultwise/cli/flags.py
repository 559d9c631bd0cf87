"""Flags from the options of modalities: what is shown as a flag, and what `--set` and `--config` reach."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TypeVar

from faultwise.contracts.errors import UserError, closest
from faultwise.contracts.modality import Modality, modalities, modality
from faultwise.contracts.settings import Option, built, options_of, read_settings

__all__ = [
    "add_config_flags",
    "add_modality_flags",
    "add_reading_flags",
    "add_run_arguments",
    "add_setting_flags",
    "options_for",
    "reading_of",
    "set_values",
    "settings_of",
]

Kind = TypeVar("Kind")
_TYPES = {"int": int, "float": float}


def add_modality_flags(parser: argparse.ArgumentParser, *parts: str) -> None:
    """Add the flags of every modality for these parts of it ("settings", "reading", "query"), a group each."""
    known: dict[str, argparse.Action] = {}
    for one in modalities().values():
        group = None
        for option in (option for part in parts for option in options_of(getattr(one, part)) if option.flag):
            if option.name in known:
                if (shown := _default(option)) not in (known[option.name].help or ""):
                    known[option.name].help = f"{known[option.name].help}; {one.traces}: {shown}"
                continue
            group = group or parser.add_argument_group(one.traces)
            known[option.name] = _add_flag(group, option)


def add_setting_flags(
    parser: argparse.ArgumentParser, only: Collection[str] = (), name: str = "tables", **defaults: object
) -> None:
    """Add flags for those settings of a modality that have one (of those in `only`), `--config` and `--set`."""
    group = parser.add_argument_group("settings")
    for option in options_of(modality(name).settings):
        if option.name in only or (option.flag and not only):
            _add_flag(group, option, defaults.get(option.name, option.default))
    add_config_flags(group)


def add_config_flags(group: argparse._ActionsContainer) -> None:
    """Add `--config FILE` and `--set NAME=VALUE`."""
    group.add_argument("--config", metavar="FILE", help="YAML file of settings; --set and flags win over it")
    words = "any other setting, such as language.rank=8; may be given again (list: faultwise settings)"
    group.add_argument("--set", action="append", metavar="NAME=VALUE", help=words, default=[])


def add_reading_flags(parser: argparse.ArgumentParser, name: str = "tables", but: Collection[str] = ()) -> None:
    """Add the flags that say how a source of one modality is read, without those in `but`."""
    group = parser.add_argument_group("columns")
    for option in options_of(modality(name).reading):
        if option.name not in but:
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


def _add_flag(group: argparse._ActionsContainer, option: Option, default: object = None) -> argparse.Action:
    flag, dest = "--" + option.name.replace("_", "-").replace(".", "-"), option.name.replace(".", "__")
    shown = _default(option, default)
    choices = f": {', '.join(map(str, option.choices))}" if option.choices else ""
    words = option.help + choices + (f" (default: {shown})" if shown else "")
    words = words.replace("%", "%%")
    if option.type.startswith("bool"):
        if option.default is False:
            return group.add_argument(flag, dest=dest, action="store_true", default=None, help=words)
        words = f"switch this off: {option.help}".replace("%", "%%")
        return group.add_argument("--no-" + flag[2:], dest=dest, action="store_false", default=None, help=words)
    kind = _TYPES.get(option.type.split(" ")[0], str)
    return group.add_argument(flag, dest=dest, type=kind, metavar=option.metavar, help=words)


def _given(args: argparse.Namespace, options: Iterable[Option]) -> dict[str, object]:
    """Return the values of flags that were given, by name of their option."""
    made: dict[str, object] = {}
    for option in options:
        value = getattr(args, option.name.replace(".", "__"), None)
        if value is not None:
            several = option.several and isinstance(value, str)
            made[option.name] = [part.strip() for part in value.split(",") if part.strip()] if several else value
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
        made[name] = _read(known[name], text.strip())
    return made


def _read(option: Option, text: str) -> object:
    """Read a value as its option's type. Raises UserError."""
    if "None" in option.type and text.lower() in ("none", "null", ""):
        return None
    if option.several:
        return [part.strip() for part in text.split(",") if part.strip()]
    if option.type.startswith("bool"):
        if text.lower() in ("yes", "true", "on", "1", "no", "false", "off", "0"):
            return text.lower() in ("yes", "true", "on", "1")
        raise UserError(f"--set {option.name}={text}: expected yes or no.")
    kind = _TYPES.get(option.type.split(" ")[0])
    try:
        return text if kind is None else kind(text)
    except ValueError:
        raise UserError(f"--set {option.name}={text}: expected a number{option.range and f', {option.range}'}.") from None


def settings_of(args: argparse.Namespace, kind: type[Kind], **defaults: object) -> Kind:
    """Build settings: defaults, then --config, then --set, then flags. Raises UserError."""
    values: dict[str, object] = {**defaults, **(read_settings(args.config) if getattr(args, "config", None) else {})}
    values |= set_values(getattr(args, "set", None) or (), kind)
    values |= _given(args, options_of(kind))
    return built(kind, values, str(getattr(args, "config", None) or "settings"))


def reading_of(args: argparse.Namespace, kind: type[Kind]) -> Kind:
    """Build what says how a source is read, or what is asked of it, from flags. Raises UserError."""
    return built(kind, _given(args, options_of(kind)), "flags")


def options_for(args: argparse.Namespace, found: Modality, *parts: str) -> None:
    """Refuse flags that only other modalities know. Raises UserError naming them."""
    mine = {option.name for part in parts for option in options_of(getattr(found, part))}
    for other in modalities().values():
        theirs = [option for part in parts for option in options_of(getattr(other, part)) if option.name not in mine]
        given = _given(args, (option for option in theirs if option.flag))
        if given:
            flags = ["--" + _shown(name, value) for name, value in given.items()]
            verb, them = ("is", "it") if len(flags) == 1 else ("are", "them")
            raise UserError(
                f"{', '.join(flags)} {verb} for {other.traces}, and `{args.source}` is read as {found.traces}: "
                f"leave {them} out."
            )


def _shown(name: str, value: object) -> str:
    return ("no-" if value is False else "") + name.replace("_", "-").replace(".", "-")
