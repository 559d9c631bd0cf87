"""`faultwise chat`: the verdict on one image, and questions about it to the language model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from faultwise.cli.out import plain, print_json, say, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser(
        "chat", help="ask questions about an image", description=__doc__, epilog="An empty line or Ctrl-D ends."
    )
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="run folder made by fit with --talk")
    parser.add_argument("source", metavar="IMAGE", help="image file")
    parser.add_argument("--ask", action="append", metavar="TEXT", help="ask this and end; may be given more than once")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Say the verdict, then answer: the image is looked at once, whatever is asked."""
    from faultwise.contracts.errors import UserError
    from faultwise.images.dialogue.dialogues import QUESTIONS, read_reply
    from faultwise.images.inspector import Inspector

    inspector = Inspector.load(args.run_folder, progress=watched(args))
    if inspector.voice is None:
        raise UserError(f"The run in `{args.run_folder}` cannot talk: fit again with --talk.")
    verdict, seen = inspector.look(args.source)
    own = inspector.voice.reply(seen, QUESTIONS["whether"][0])
    believed = read_reply(own).defective
    agrees = believed is verdict.defective
    turns = list[tuple[str, str]]()
    if not args.json:
        print(plain(verdict.words))
        say(f"The language model's own reply: {own}" + ("" if agrees else " The verdict stands; it does not agree."))
    for question in args.ask or _typed():
        turns.append((question, inspector.voice.reply(seen, question, turns)))
        if not args.json:
            print(plain(turns[-1][1]))
    if args.json:
        said = [{"question": question, "reply": reply} for question, reply in turns]
        print_json({"verdict": verdict.to_dict(), "own_reply": own, "agrees": agrees, "turns": said})
    return 0


def _typed() -> Any:
    """Yield what is typed, up to an empty line or the end of the input."""
    while True:
        if sys.stdin.isatty():
            print("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line
