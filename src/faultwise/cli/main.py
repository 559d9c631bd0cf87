"""`faultwise`: the commands. Results on stdout (`--json` for machines), progress and notes on stderr.

Exit codes: 0 ok, 2 wrong use or bad input, 1 failure, 130 interrupted. A command is imported when it is used, so that
`--help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from faultwise import __version__
from faultwise.cli.out import note
from faultwise.contracts.errors import UserError
from faultwise.contracts.threads import set_threads

__all__ = ["COMMANDS", "build_parser", "main"]

# In the order of the help, which shows these words.
COMMANDS = {
    "demo": "see the whole way on a sample",
    "fit": "learn from a table, from images, ...",
    "evaluate": "judge a run on unseen labelled items",
    "diagnose": "diagnose new rows, images, ...",
    "report": "write the report of a diagnosis",
    "calibrate": "calibrate a run's promises on new runs",
    "compare": "compare experts on identical splits",
    "alarms": "delays, false alarms and alarm load on rows in time order",
    "faithfulness": "measure whether findings carry the verdict",
    "tune": "search the language model's settings",
    "chat": "ask questions about an item",
    "export": "write a run as ONNX",
    "bench": "1, 2 and 4 good images, beside published figures",
    "settings": "list all settings of a fit",
    "data": "list, get, simulate and check data",
    "models": "list and fetch models",
}


_OF_TABLES = ("alarms", "compare", "data", "demo", "faithfulness", "tune")


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser with the arguments of all commands, or of `only` one."""
    parser = argparse.ArgumentParser(
        prog="faultwise",
        description="From what a machine leaves behind to a verdict an engineer can check.",
        epilog="Start with `faultwise demo`. Every command has --help.",
    )
    parser.add_argument("--version", action="version", version=f"faultwise {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the full traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, words in COMMANDS.items():
        if only is not None and name != only:
            commands.add_parser(name, help=words)
            continue
        room = "faultwise.cli.tables" if name in _OF_TABLES else "faultwise.cli"
        import_module(f"{room}.{name}").add(commands)
        its = commands.choices[name]
        complete = its.get_default("complete")
        if complete is not None:
            complete(its)
        its.add_argument("--threads", type=int, metavar="N", help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = sys.argv[1:] if argv is None else list(argv)
    traceback = "--traceback" in given
    try:
        # The first word that names a command is the command: only its module is needed.
        parser = build_parser(next((word for word in given if word in COMMANDS), ""))
        args, unknown = parser.parse_known_args(given)
        if unknown:
            parser.error(f"`{args.command}` does not know `{' '.join(unknown)}`: see `faultwise {args.command} --help`")
        set_threads(args.threads)  # before a command loads the numerical libraries
        return int(args.run(args) or 0)
    except UserError as error:
        if traceback:
            raise
        note(f"faultwise: {error}")
        return 2
    except KeyboardInterrupt:
        note("faultwise: interrupted; nothing half-written was left behind.")
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; do not let the interpreter complain while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        if traceback:
            raise
        note(f"faultwise: {type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
