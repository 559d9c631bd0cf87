"""Flags from the settings dataclass, and the roles of columns: shared by the commands that fit."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection
from pathlib import Path
from typing import Any

from faultwise.contracts.errors import UserError
from faultwise.contracts.settings import built, read_settings
from faultwise.images.settings import ImageSettings
from faultwise.tables.fit.settings import FitSettings, from_mapping

__all__ = [
    "add_fit_flags",
    "add_image_flags",
    "add_role_flags",
    "add_run_arguments",
    "check_no_image_flags",
    "check_score_rows",
    "fit_settings",
    "image_settings",
    "refuse",
]

_ROLES = ("target", "group", "time", "ignore", "about")
_OF_TABLES, _OF_IMAGES = ([field.name for field in dataclasses.fields(kind)] for kind in (FitSettings, ImageSettings))
_KINDS = {"int": int, "float": float}


def add_role_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which column is what."""
    group = parser.add_argument_group("columns")
    group.add_argument("--target", metavar="COL", help="column with the label (fault)")
    group.add_argument("--group", metavar="COL", help="column with the run, batch or machine of each row")
    group.add_argument("--time", metavar="COL", help="column with the time of each row")
    group.add_argument("--ignore", metavar="A,B", help="columns to leave out")
    group.add_argument("--about", metavar="FILE", help="companion YAML: names, units, limits, fault descriptions")


def add_fit_flags(parser: argparse.ArgumentParser, only: Collection[str] = (), /, **defaults: Any) -> None:
    """Add one flag per field of `FitSettings` (of those in `only`); unset flags stay None, so that --config can fill
    them.
    """
    group = parser.add_argument_group("settings")
    group.add_argument("--config", metavar="FILE", help="YAML file with these settings; flags win over it")
    for field in dataclasses.fields(FitSettings):
        if not only or field.name in only:
            _add_flag(group, field, defaults.get(field.name, field.default))
    if not only or "experts" in only:
        group.add_argument("--no-lm", action="store_true", help="leave the language model out")


def add_image_flags(parser: argparse.ArgumentParser) -> None:
    """Add one flag per field of `ImageSettings` that is none of `FitSettings`, and the choice among categories."""
    group = parser.add_argument_group("images (where SOURCE is a folder of them)")
    group.add_argument("--category", metavar="NAME", help="which of several categories in the MVTec layout")
    group.add_argument(
        "--zero-shot", metavar="PART", help="no good images: judge by texts about this part (needs --backbone CLIP)"
    )
    for field in dataclasses.fields(ImageSettings):
        if field.name not in _OF_TABLES:
            _add_flag(group, field, field.default)


def _add_flag(group: Any, field: Any, default: Any) -> None:
    kind = str(field.type).split(" ")[0]
    flag = "--" + field.name.replace("_", "-")
    if kind == "bool":
        words = f"{field.metadata['help']} (default: {'yes' if default else 'no'})"
        group.add_argument(flag, dest=field.name, action=argparse.BooleanOptionalAction, help=words.replace("%", "%%"))
        return
    shown = (", ".join(default) or None) if isinstance(default, tuple) else default
    words = field.metadata["help"] + ("" if shown is None else f" (default: {shown})")
    group.add_argument(
        flag,
        dest=field.name,
        type=_KINDS.get(kind, str),
        metavar=field.metadata["metavar"],
        help=words.replace("%", "%%"),
    )


def check_no_image_flags(args: argparse.Namespace) -> None:
    """Refuse flags that only images know. Raises UserError."""
    theirs = [name for name in _OF_IMAGES if name not in _OF_TABLES]
    refuse(args, ["category", "zero_shot", *theirs], f"is for images, and `{args.source}` holds tables")


def refuse(args: argparse.Namespace, names: Collection[str], why: str) -> None:
    """Raise UserError naming those flags that were given, and why they cannot be."""
    values = {name: getattr(args, name, None) for name in names}
    given = [name for name, value in values.items() if value is not None and value is not False]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise UserError(f"{flags} {why}: leave it out.")


def add_run_arguments(parser: argparse.ArgumentParser, source: str) -> None:
    """Add what commands that judge with a fitted run take: its folder, the rows (in these words), and their label."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit")
    parser.add_argument("source", help=source)
    parser.add_argument("--target", metavar="COL", help="column with the label (default: that of the fit)")


def check_score_rows(args: argparse.Namespace) -> None:
    """Refuse a negative --lm-score-rows. Raises UserError."""
    if args.lm_score_rows is not None and args.lm_score_rows < 0:
        raise UserError(f"--lm-score-rows is {args.lm_score_rows}: choose 0 or more.")


def fit_settings(args: argparse.Namespace, **defaults: Any) -> FitSettings:
    """Build settings: defaults, then --config, then flags. Raises UserError."""
    values: dict[str, Any] = {**defaults, **(read_settings(args.config) if args.config else {})}
    for field in dataclasses.fields(FitSettings):
        given = getattr(args, field.name, None)
        if given is not None:
            several = str(field.type).startswith("tuple")
            values[field.name] = [p.strip() for p in given.split(",") if p.strip()] if several else given
    settings = from_mapping(values, str(args.config or "settings"))
    if getattr(args, "no_lm", False):
        left = tuple(name for name in settings.experts if name != "language-model")
        settings = dataclasses.replace(settings, experts=left)
    return settings


def image_settings(args: argparse.Namespace) -> ImageSettings:
    """Build the settings of a fit on images: defaults, then --config, then flags.

    Raises UserError, also for a flag that only tables know.
    """
    values: dict[str, Any] = read_settings(args.config) if args.config else {}
    theirs = [name for name in _OF_TABLES if name not in _OF_IMAGES]
    refuse(args, [*_ROLES, "rules", "no_lm", *theirs], f"is for tables, and `{args.source}` holds images")
    values |= {name: getattr(args, name) for name in _OF_IMAGES if getattr(args, name, None) is not None}
    return built(ImageSettings, values, str(args.config or "settings"))
