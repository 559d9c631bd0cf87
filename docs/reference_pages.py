"""Pages of reference made from the code: commands from parsers, settings from options, names from docstrings."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator

__all__ = ["commands_page", "python_page", "settings_page"]

_MADE = "<!-- made by docs/generate.py: run it after a change of the code -->"
_API = (
    ("faultwise.diagnoser", "Fit and diagnose", "`from faultwise import Diagnoser`.", ("Diagnoser",)),
    (
        "faultwise.contracts.diagnosis",
        "Results",
        "What `diagnose` and `evaluate` return. All are frozen dataclasses.",
        ("Diagnosis", "Evaluation", "Case", "Sentence", "RunSummary", "Series", "Picture"),
    ),
    ("faultwise.contracts.verdicts", "Verdicts", "", ("Verdict", "FaultSet", "TellApart")),
    (
        "faultwise.contracts.findings",
        "Findings",
        "`kind` tells the types apart, also in JSON.",
        (
            "VariableFinding",
            "RuleFinding",
            "SensorFinding",
            "RegionFinding",
            "StatementFinding",
            "Interval",
        ),
    ),
    (
        "faultwise.contracts.experts",
        "Experts",
        "What an expert of your own offers, and what its factory gets. See [An expert of your "
        "own](../how-to/own-expert.md).",
        ("Expert", "ExpertContext"),
    ),
    (
        "faultwise.contracts.modality",
        "Modalities",
        "What a modality of your own offers. See [A modality of your own](../how-to/own-modality.md).",
        ("Modality", "Model", "Calibrates", "Converses", "Conversation", "Exports", "WritesRows", "Follows"),
    ),
    (
        "faultwise.contracts.errors",
        "Errors",
        "All errors that a person can correct are `UserError`s; the command line ends with exit code 2.",
        ("UserError", "DataError", "HubError", "RunFolderError"),
    ),
)
_SETTINGS = (
    (
        "Tables: settings of a fit",
        "faultwise.tables.fit.settings",
        "TableSettings",
        "`faultwise fit TABLE`, `Diagnoser(...)`.",
    ),
    ("Tables: reading", "faultwise.tables.reading.options", "TableReading", "How the columns are understood."),
    ("Tables: diagnosis", "faultwise.tables.fit.settings", "TableQuery", "`faultwise diagnose RUN TABLE`."),
    (
        "Images: settings of a fit",
        "faultwise.images.settings",
        "ImageSettings",
        "`faultwise fit FOLDER`, `Diagnoser(...)`.",
    ),
    ("Images: reading", "faultwise.images.settings", "ImageReading", "Which images of a folder are meant."),
    ("Images: diagnosis", "faultwise.images.settings", "ImageQuery", "`faultwise diagnose RUN IMAGES`."),
    (
        "Texts: fit",
        "faultwise.texts.settings",
        "TextSettings",
        "`faultwise fit TABLE_OF_TEXTS --target COL --out RUN`.",
    ),
    ("Texts: reading", "faultwise.texts.settings", "TextReading", "How the columns are understood."),
    ("Texts: diagnosis", "faultwise.texts.settings", "TextQuery", "`faultwise diagnose RUN TEXTS`."),
)


def commands_page() -> str:
    """Return reference/commands.md, from the parsers of the commands."""
    from faultwise.cli.main import build_parser

    parser = build_parser()
    lines = [
        "# Commands",
        "",
        _MADE,
        "",
        "Every command has `--help`. Results are printed on the standard output, progress and notes on the standard "
        "error output; `--json` prints results for machines. Settings that have no flag of their own are given with "
        "`--set NAME=VALUE` or in a file with `--config FILE`; see [Settings](settings.md).",
        "",
        "| exit code | meaning |",
        "|---|---|",
        "| 0 | The command succeeded. |",
        "| 1 | The command failed for a reason that no input explains, such as a full disk. |",
        "| 2 | Wrong use, or input that cannot be used. The message says what was found, what was expected and what "
        "to do. |",
        "| 130 | The command was interrupted; nothing half-written is left behind. |",
        "",
        "| environment variable | meaning |",
        "|---|---|",
        "| `FAULTWISE_CACHE` | Folder in which fetched models lie. |",
        "| `FAULTWISE_OFFLINE` | `1` forbids every fetch; `HF_HUB_OFFLINE` does the same. |",
        "| `FAULTWISE_DATA` | Folder of original data sets, for benchmarks, examples and tests. |",
    ]
    for name, command in _commands(parser):
        lines += ["", f"## faultwise {name}", "", *_command(name, command)]
    return "\n".join(lines) + "\n"


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the commands of a parser by name, in their order; one without a description gets its line of help."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            words = {one.dest: one.help for one in action._choices_actions}
            for name, command in action.choices.items():
                command.description = command.description or words.get(name)
            found |= action.choices
    return found


def _commands(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for name, command in _subparsers(parser).items():
        inner = _subparsers(command)
        if inner:
            yield from _commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def _command(name: str, parser: argparse.ArgumentParser) -> list[str]:
    options = [one for one in parser._actions if one.option_strings and not isinstance(one, argparse._HelpAction)]
    needed = [one.option_strings[-1] + f" {_value(one)}" for one in options if one.required]
    given = [_positional(one) for one in parser._actions if not one.option_strings]
    words = re.sub(r"^`[^`]*`: ", "", " ".join((parser.description or "").split()))
    lines = [f"{words[:1].upper()}{words[1:].rstrip('.')}.", ""] if words else []
    usage = " ".join(["faultwise", name, *given, *needed, *(["[options]"] if len(options) > len(needed) else [])])
    lines += ["```text", usage, "```"]
    for group in parser._action_groups:
        actions = [one for one in group._group_actions if not isinstance(one, argparse._HelpAction) and _shown(one)]
        if not actions:
            continue
        title = {"positional arguments": "Arguments", "options": "Options"}.get(str(group.title), str(group.title))
        lines += ["", f"**{title[:1].upper()}{title[1:]}**", ""]
        if group.description:
            lines += [" ".join(group.description.split()), ""]
        lines += ["| | meaning |", "|---|---|", *(f"| {_name(one)} | {_help(parser, one)} |" for one in actions)]
    if parser.epilog:
        lines += ["", " ".join(parser.epilog.split())]
    return lines


def _shown(action: argparse.Action) -> bool:
    return action.help != argparse.SUPPRESS


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, str):
        return action.metavar
    if action.choices:
        return "{" + ",".join(str(one) for one in action.choices) + "}"
    return action.dest.upper()


def _positional(action: argparse.Action) -> str:
    name = str(action.metavar or action.dest).upper()
    return f"[{name}]" if action.nargs in ("?", "*") else name


def _name(action: argparse.Action) -> str:
    if not action.option_strings:
        return f"`{_positional(action).strip('[]')}`"
    value = _value(action)
    return ", ".join(f"`{flag}{f' {value}' if value else ''}`" for flag in action.option_strings)


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    words = parser._get_formatter()._expand_help(action) if action.help else ""
    return _cell(f"{words[:1].upper()}{words[1:]}")


def _cell(words: str) -> str:
    """Return text as one cell of a table."""
    return " ".join(words.split()).replace("|", "\\|").replace("<", "&lt;")


def settings_page() -> str:
    """Return reference/settings.md, from the dataclasses of settings."""
    lines = [
        "# Settings",
        "",
        _MADE,
        "",
        "Each setting has one name everywhere: as a flag (those marked), with `--set NAME=VALUE`, in a YAML file "
        "given by "
        "`--config FILE`, as a parameter of `Diagnoser`, and in the manifest of a run folder. Names with a dot "
        "belong to a "
        "group: `--set language.steps=60`, or in YAML and Python:",
        "",
        "```yaml",
        "window: 20",
        "language:",
        "  steps: 60",
        "```",
        "",
        "```python",
        'Diagnoser(window=20, language={"steps": 60})',
        "```",
        "",
        "Flags and `--set` take precedence over `--config`. Unknown names are refused with the nearest known one. "
        "`faultwise settings` prints these tables, `faultwise settings NAME` one entry.",
    ]
    for title, module, name, words in _SETTINGS:
        kind = getattr(importlib.import_module(module), name)
        lines += ["", f"## {title}", "", words, "", *_options(kind)]
    return "\n".join(lines) + "\n"


def _options(kind: type) -> list[str]:
    from faultwise.contracts.settings import options_of

    options = options_of(kind)
    if not options:
        return ["There are no settings of this kind yet."]
    lines = ["| name | meaning | default | values | flag |", "|---|---|---|---|---|"]
    for one in options:
        off = "no-" if one.default is True else ""  # what is on can be switched off
        flag = f"`--{off}{one.name.replace('_', '-').replace('.', '-')}`" if one.flags or one.quiet else ""
        words = _cell(f"{one.help[:1].upper()}{one.help[1:]}.")
        lines.append(
            f"| `{one.name}` | {words} | {_default(one.default)} | {_cell(one.range) or _type(one.type)} | {flag} |"
        )
    return lines


def _type(kind: str) -> str:
    words = {"int": "a whole number", "float": "a number", "str": "text", "bool": "yes or no"}
    return "names, separated by commas" if kind.startswith("tuple") else words.get(kind.split(" ")[0], kind)


def _default(value: object) -> str:
    if value is None or value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else f"{value}"


def python_page() -> str:
    """Return reference/python.md, from signatures and docstrings."""
    lines = ["# Python API", "", _MADE, ""]
    lines += [
        "The names on this page are public: their meaning changes only with a new minor version and an entry in the "
    ]
    lines[-1] += "changelog. Everything else may change at any time."
    for module, title, words, names in _API:
        loaded = importlib.import_module(module)
        lines += ["", f"## {title}", "", *([words, ""] if words else []), f"Module `{module}`."]
        for name in names:
            lines += ["", *_class(getattr(loaded, name))]
    return "\n".join(lines) + "\n"


def _class(kind: type) -> list[str]:
    lines = [f"### {kind.__name__}", "", *_docstring(kind)]
    if dataclasses.is_dataclass(kind):
        lines += ["", "| field | type | default |", "|---|---|---|"]
        lines += [f"| `{f.name}` | `{_cell(str(f.type))}` | {_field_default(f)} |" for f in dataclasses.fields(kind)]
    for name, member in vars(kind).items():
        method = getattr(member, "__func__", member)  # classmethods
        if name.startswith("_") or not (inspect.isfunction(method) or isinstance(member, property)):
            continue
        if isinstance(member, property):
            lines += ["", f"#### {kind.__name__}.{name}", "", *_docstring(member)]
        else:
            lines += ["", f"#### {kind.__name__}.{name}", "", "```python", _signature(name, method), "```", ""]
            lines += _docstring(method)
    return lines


def _signature(name: str, method: object) -> str:
    signature = inspect.signature(method)  # type: ignore[arg-type]
    shown = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    text = str(signature.replace(parameters=shown))
    return name + re.sub(r"'([^']*)'", r"\1", text) if "'" in text else name + text


def _field_default(one: dataclasses.Field[object]) -> str:
    if one.default is dataclasses.MISSING:
        return "made anew" if one.default_factory is not dataclasses.MISSING else ""
    return f"`{_cell(repr(one.default))}`"


def _docstring(thing: object) -> list[str]:
    """Return a docstring as Markdown, with its examples as blocks of code."""
    lines: list[str] = []
    for part in (inspect.getdoc(thing) or "").split("\n\n"):
        if part.lstrip().startswith(">>>"):
            lines += ["```pycon", part, "```", ""]
        elif part:
            lines += [*part.splitlines(), ""]
    return lines[:-1]
