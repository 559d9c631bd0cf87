"""The house as a whole: imports point downstream, importing is cheap, files stay small, nothing is unpickled."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import faultwise

ROOT = Path(faultwise.__file__).parent
MOST_LINES = 350

# A room is a folder of the top two levels, or a module at the root. From the lowest to the highest: a room may import
# those before it, also inside functions. A new room needs a place here.
ROOMS = (
    "contracts",
    "hub",
    "runs",
    "verdicts",
    "language",
    "language.sentences",
    "language.classifier",
    "evidence",
    "evaluate",
    "tables.reading",
    "texts.experts",
    "texts",
    "tables.checks",
    "tables.fit",
    "tables.evaluate",
    "tables",
    "images.data",
    "images.detection",
    "images.dialogue",
    "images",
    "report",
    "report.pages",
    "diagnoser",
    "cli",
    "cli.tables",
)
MOST_ROOMS, MOST_ARROWS = 22, 90
MOST_ROOT_MODULES, MOST_FILES, MOST_FUNCTION_LINES, MOST_COMPLEXITY, MOST_ANY = 8, 16, 60, 10, 80
# The package's own `__init__` is the public door: it hands out names from above, lazily. Inside, only this
# constant, which it holds itself, may be taken from it.
DOOR_GIVES = {"__version__"}
HEAVY = ("torch", "sklearn", "pandas", "transformers", "matplotlib")


@cache
def _trees() -> dict[str, ast.Module]:
    """Every module by dotted name without `faultwise.`; the package itself is ''."""
    trees = {}
    for file in sorted(ROOT.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        trees[name] = ast.parse(file.read_text(encoding="utf-8"))
    return trees


def _imports(name: str, top: bool = False) -> Iterator[str]:
    """Yield what a module imports of this package, anywhere in it or only when it is imported itself (`top`);
    `from room import module` is the module.
    """
    for node in _at_import(_trees()[name]) if top else ast.walk(_trees()[name]):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import in line {node.lineno}"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in found:
            package, _, inner = full.partition(".")
            if package != "faultwise" or inner in DOOR_GIVES:
                continue
            yield inner if inner in _trees() else inner.rpartition(".")[0]


def _at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported: not the insides of functions, nor what is for types only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            continue
        yield node
        yield from _at_import(node)


def _room(name: str) -> str:
    """The room of a module: its folder, two levels deep at most, or the module itself at the root."""
    parts = name.split(".")
    folder = parts if ROOT.joinpath(*parts).is_dir() else parts[:-1]
    return ".".join(folder[:2]) if folder else parts[0]


@cache
def _arrows() -> dict[tuple[str, str], list[str]]:
    """Which imports lead from a room to another one."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for name in filter(None, _trees()):
        for other in _imports(name):
            assert other, f"{name} imports the package's own door"
            if _room(name) != _room(other):
                arrows.setdefault((_room(name), _room(other)), []).append(f"{name} imports {other}")
    return arrows


def test_every_room_has_a_place() -> None:
    assert {_room(name) for name in filter(None, _trees())} == set(ROOMS)


def test_arrows_point_downwards() -> None:
    wrong = [why for (room, other), why in _arrows().items() if ROOMS.index(other) >= ROOMS.index(room)]
    assert wrong == []


def test_rooms_and_arrows_are_few() -> None:
    most = MOST_ARROWS if len(ROOMS) <= MOST_ROOMS else 4 * len(ROOMS)
    assert len(_arrows()) <= most, sorted(_arrows())


def test_no_circle_of_modules() -> None:
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in _imports(name):
                visit(other, (*way, name))
            done.add(name)

    for name in _trees():
        visit(name, ())


def test_folders_stay_small() -> None:
    root = [file.name for file in ROOT.glob("*.py") if file.name != "__init__.py"]
    assert len(root) <= MOST_ROOT_MODULES
    folders = [folder for folder in (ROOT, *ROOT.rglob("*")) if folder.is_dir() and folder.name != "__pycache__"]
    sizes = {str(folder): sum(file.is_file() for file in folder.iterdir()) for folder in folders}
    assert {folder: size for folder, size in sizes.items() if size > MOST_FILES} == {}


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield name, node


def test_functions_stay_short() -> None:
    lengths = {f"{name}.{node.name}": (node.end_lineno or 0) - node.lineno + 1 for name, node in _functions()}
    assert {name: length for name, length in lengths.items() if length > MOST_FUNCTION_LINES} == {}


def test_functions_stay_simple() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "C901", "--config"]
    command += [f"lint.mccabe.max-complexity = {MOST_COMPLEXITY}", "--output-format", "concise", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_public_names_have_docstrings() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select", "D1", "--ignore"]
    command += ["D105,D107", "--output-format", "concise", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_any_is_rare() -> None:
    count = sum(
        isinstance(node, ast.Name) and node.id == "Any" for tree in _trees().values() for node in ast.walk(tree)
    )
    assert count <= MOST_ANY


def test_every_module_says_what_it_is() -> None:
    assert [name for name, tree in _trees().items() if not ast.get_docstring(tree)] == []


def test_public_names_are_sorted_and_exist() -> None:
    for name, tree in _trees().items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                # As ruff sorts them: CONSTANTS, Classes, functions.
                order = sorted(names, key=lambda n: (not n.isupper(), n.lstrip("_")[:1].islower(), n))
                assert names == order, name
                module = importlib.import_module(f"faultwise.{name}".rstrip("."))
                assert [n for n in names if not hasattr(module, n)] == [], name


def test_what_others_use_is_public() -> None:
    wrong = []
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("faultwise"):
                hidden = [alias.name for alias in node.names if re.match(r"_(?!_)", alias.name)]
                wrong += [f"{name}:{node.lineno} imports {node.module}.{one}" for one in hidden]
    assert wrong == []


def test_files_stay_small() -> None:
    sizes = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in ROOT.rglob("*.py")}
    assert {str(file): size for file, size in sizes.items() if size > MOST_LINES} == {}


def test_nothing_is_unpickled() -> None:
    wrong = []
    for name, tree in _trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                modules = [getattr(node, "module", None), *(alias.name for alias in node.names)]
                if {"pickle", "joblib", "dill", "cloudpickle", "marshal", "shelve"} & set(modules):
                    wrong.append(f"{name}:{node.lineno} imports a pickler")
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called == "torch.load" and given.get("weights_only") != "True":
                wrong.append(f"{name}:{node.lineno} torch.load without weights_only=True")
            if called.endswith("read_pickle") or given.get("allow_pickle", "False") != "False":
                wrong.append(f"{name}:{node.lineno} reads a pickle")
            if called in ("eval", "exec", "yaml.load", "os.system") or given.get("shell", "False") != "False":
                wrong.append(f"{name}:{node.lineno} calls {called}")
            if given.get("trust_remote_code", "False") != "False":
                wrong.append(f"{name}:{node.lineno} runs code that came with a model")
    assert wrong == []


def _fresh(code: str) -> Any:
    """Run code in a new interpreter and return what its last line of stdout says, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_does_not_load_torch() -> None:
    names = [f"faultwise.{name}".rstrip(".") for name in _trees() if name not in _with_torch()]
    loaded = _fresh(
        f"""
        import importlib, json, sys
        for name in {names!r}:
            importlib.import_module(name)
        print(json.dumps([name for name in ("torch", "transformers", "peft") if name in sys.modules]))
        """
    )
    assert loaded == []


@cache
def _with_torch() -> set[str]:
    """Modules that import torch at their top."""
    return {
        name
        for name, tree in _trees().items()
        for node in _at_import(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {str(getattr(node, "module", None) or alias.name).partition(".")[0] for alias in node.names} & {"torch"}
    }


def test_only_modules_of_networks_import_torch_at_their_top() -> None:
    """A class of torch cannot be made without torch. Such modules are imported inside functions, where needed."""
    for name in _with_torch():
        bases = {
            ast.unparse(base) for node in _trees()[name].body if isinstance(node, ast.ClassDef) for base in node.bases
        }
        assert bases & {"nn.Module", "torch.nn.Module"}, f"{name} defines no network: import torch inside functions"
    wrong = [
        f"{name} imports {other}" for name in _trees() for other in _imports(name, top=True) if other in _with_torch()
    ]
    assert wrong == []


@pytest.mark.parametrize("argv", [["--help"], ["fit", "--help"]])
def test_help_as_a_process_is_light(argv: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "faultwise.cli.main", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "usage: faultwise" in done.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported & {*HEAVY, "numpy"} == set()


def test_the_help_of_every_command_is_light() -> None:
    commands, loaded = _fresh(
        f"""
        import argparse, contextlib, io, json, sys
        from faultwise.cli.main import main, build_parser

        def ways(parser, way=()):
            yield way
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction):
                    for name, inner in action.choices.items():
                        yield from ways(inner, (*way, name))

        commands = [list(way) for way in ways(build_parser())]
        for way in commands:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                try:
                    main([*way, "--help"])
                except SystemExit as end:
                    assert end.code == 0, (way, end.code)
            assert "usage: faultwise" in out.getvalue(), way
        print(json.dumps([commands, [name for name in {HEAVY!r} if name in sys.modules]]))
        """
    )
    assert ["fit"] in commands
    assert ["data", "simulate"] in commands
    assert loaded == []
