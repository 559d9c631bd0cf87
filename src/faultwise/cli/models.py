"""`faultwise models`: the models that faultwise knows by name: list, pull, path."""

from __future__ import annotations

import argparse
from typing import Any

from faultwise.cli.out import print_json, print_table, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("models", help="list and fetch models", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="name, role, licence, and whether it is here")
    pulled = actions.add_parser("pull", help="fetch a model and check its hash")
    path = actions.add_parser("path", help="print where a model lies, fetching it if need be")
    for sub in (pulled, path):
        sub.add_argument("name", help="a name from `faultwise models list`")
    for sub in (listed, pulled, path):
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, pull or tell the path."""
    from faultwise import hub

    if args.action == "list":
        models = hub.available()
        if args.json:
            print_json(models)
        else:
            print_table([{**model, "size": f"{model['size'] / 1e6:.0f} MB"} for model in models])
        return 0
    path = hub.pull(args.name, progress=watched(args)) if args.action == "pull" else hub.path(args.name)
    if args.json:
        print_json({"name": args.name, "path": str(path)})
    else:
        print(path)
    return 0
