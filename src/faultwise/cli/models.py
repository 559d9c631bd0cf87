"""`faultwise models`: list, pull and locate the models that faultwise knows by name."""

from __future__ import annotations

import argparse

from faultwise.cli.out import print_json, print_table, watched

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("models", help="list and fetch models", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="name, use, size, licence, and whether the model is on disk")
    pulled = actions.add_parser("pull", help="fetch a model and check its hash")
    path = actions.add_parser("path", help="print the path of a model, fetching it if need be")
    for sub in (pulled, path):
        sub.add_argument("name", help="a name from `faultwise models list`")
    for sub in (listed, pulled, path):
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, pull or print the path."""
    from faultwise import hub

    if args.action == "list":
        models = hub.available()
        if args.json:
            print_json(models)
            return 0
        print_table(
            [
                {
                    "name": model["name"],
                    "used as": model["role"],
                    "size": f"{model['size'] / 1e6:.0f} MB",
                    "on disk": "yes" if model["cached"] else "no",
                    "licence": model["licence"],
                }
                for model in models
            ]
        )
        return 0
    path = hub.pull(args.name, progress=watched(args)) if args.action == "pull" else hub.path(args.name)
    if args.json:
        print_json({"name": args.name, "path": str(path)})
    else:
        print(path)
    return 0
