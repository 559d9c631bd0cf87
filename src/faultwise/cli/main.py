"""`faultwise`: the commands. Results on stdout (`--json` for machines), progress and notes on stderr.

Exit codes: 0 ok, 2 wrong use or bad input, 1 failure, 130 interrupted. Every command imports what it needs when
it runs, so that `--help` is instant.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from faultwise import __version__
from faultwise.cli import (
    alarms,
    bench,
    calibrate,
    chat,
    compare,
    data,
    demo,
    diagnose,
    evaluate,
    export,
    faithfulness,
    fit,
    models,
    tune,
)
from faultwise.cli.out import say
from faultwise.contracts.errors import UserError

__all__ = ["build_parser", "main"]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="faultwise",
        description="From what a machine leaves behind to a verdict an engineer can check.",
        epilog="Start with `faultwise demo`. Every command has --help.",
    )
    parser.add_argument("--version", action="version", version=f"faultwise {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the full traceback of an error")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (
        demo,
        fit,
        calibrate,
        evaluate,
        faithfulness,
        compare,
        tune,
        alarms,
        diagnose,
        chat,
        export,
        bench,
        models,
        data,
    ):
        module.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except UserError as error:
        if args.traceback:
            raise
        say(f"faultwise: {error}")
        return 2
    except KeyboardInterrupt:
        say("faultwise: interrupted; nothing half-written was left behind.")
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough; do not let the interpreter complain while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, MemoryError) as error:
        if args.traceback:
            raise
        say(f"faultwise: {type(error).__name__}: {error}")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
