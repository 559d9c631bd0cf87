"""`faultwise chat`: the verdict on one item, and questions about it to the language model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from faultwise.cli.flags import add_modality_flags, add_run_arguments, opened
from faultwise.cli.out import note, plain, print_json

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    ends = "An empty line or Ctrl-D ends."
    parser = commands.add_parser("chat", help="ask questions about an item", description=__doc__, epilog=ends)
    parser.set_defaults(run=run, complete=complete)


def complete(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_run_arguments(parser, "the item, such as an image file")
    parser.add_argument("--ask", action="append", metavar="TEXT", help="ask this and end; may be given more than once")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_modality_flags(parser, "diagnose", "reading")


def run(args: argparse.Namespace) -> int:
    """Print the verdict, then answer: the item is encoded once, whatever is asked."""
    from faultwise.contracts.modality import Converses, able

    made, reading, _ = opened(args, "diagnose", "reading")
    model = able(made.model_, Converses, "answer questions")  # type: ignore[type-abstract]
    conversation = model.conversation(args.source, reading)
    if not args.json:
        print(plain(conversation.verdict))
        if isinstance(remark := conversation.record.get("remark"), str):
            note(remark)
    turns = []
    for question in args.ask or _typed():
        reply = conversation.ask(question)
        turns.append({"question": question, "reply": reply})
        if not args.json:
            print(plain(reply))
    if args.json:
        print_json({**conversation.record, "turns": turns})
    return 0


def _typed() -> Iterator[str]:
    """Yield what is typed, up to an empty line or the end of the input."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line
