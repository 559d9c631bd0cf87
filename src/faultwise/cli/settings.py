"""`faultwise settings`: every setting of a fit, with its meaning, default and range."""

from __future__ import annotations

import argparse

from faultwise.cli.out import note, print_json, print_table

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    ends = "Set them with `--set NAME=VALUE` or in a YAML file with `--config FILE`."
    parser = commands.add_parser("settings", help="list all settings", description=__doc__, epilog=ends)
    parser.add_argument("name", nargs="?", metavar="NAME", help="a setting, a part of it (language), or a modality")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, all or those that a name means."""
    from faultwise.contracts.errors import UserError, closest
    from faultwise.contracts.modality import modalities
    from faultwise.contracts.settings import options_of

    lines = [
        {
            "modality": one.name,
            "setting": option.name,
            "meaning": option.help,
            "default": _shown(option.default),
            "range": option.range,
        }
        for one in modalities().values()
        for option in options_of(one.settings)
    ]
    if args.name:
        wanted = [line for line in lines if _meant(args.name, line["modality"], line["setting"])]
        if not wanted:
            near = closest(args.name, [line["setting"] for line in lines] + list(modalities()))
            hint = f"did you mean `{near}`?" if near else "`faultwise settings` lists them all."
            raise UserError(f"There is no setting or modality `{args.name}`: {hint}")
        lines = wanted
    if args.json:
        print_json(lines)
        return 0
    for name in dict.fromkeys(line["modality"] for line in lines):
        print_table(
            [{k: v for k, v in line.items() if k != "modality"} for line in lines if line["modality"] == name], name
        )
    note("Set them with --set NAME=VALUE, or as lines `NAME: VALUE` of a YAML file with --config FILE.")
    return 0


def _meant(name: str, modality: str, setting: str) -> bool:
    return name in (modality, setting) or setting.startswith(f"{name}.")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == "" else f"{value:g}" if isinstance(value, float) else str(value)
