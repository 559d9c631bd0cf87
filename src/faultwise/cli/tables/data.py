"""`faultwise data`: list known data sets, get the shipped sample, simulate runs, convert images, check for leaks."""

from __future__ import annotations

import argparse
from pathlib import Path
from textwrap import fill

from faultwise.cli.out import note, print_json, print_table, watched
from faultwise.cli.tables.check import add_check, run_check

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("data", help="list, get, simulate and check data", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="known data sets, their licence and where to get them")
    got = actions.add_parser("get", help="copy a shipped sample out of the package")
    got.add_argument("name", help="a name from `faultwise data list`")
    got.add_argument("--out", type=Path, default=Path(), metavar="PATH", help="folder or file (default: here)")
    made = _add_simulate(actions)
    turned = actions.add_parser("convert", help="bring a set of images into the MVTec layout")
    words = "unpacked set: Magnetic Tile, DeepPCB, ELPV, VisA, AeBAD"
    turned.add_argument("source", type=Path, metavar="FOLDER", help=words)
    turned.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder to write")
    turned.add_argument("--share", type=float, default=0.8, metavar="S", help="share of good images for training (0.8)")
    turned.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (default: 0)")
    for sub in (listed, got, made, turned, add_check(actions)):
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)


def _add_simulate(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    made = actions.add_parser("simulate", help="simulate Tennessee Eastman runs (extra: faultwise[simulate])")
    made.add_argument("--faults", default="0-20", metavar="A,B-C", help="fault numbers (default: 0-20; 0 is normal)")
    made.add_argument("--runs", type=int, default=6, metavar="N", help="runs per fault (default: 6)")
    made.add_argument("--hours", type=float, default=8.0, metavar="H", help="length of a run (default: 8)")
    made.add_argument("--onset", type=float, metavar="H", help="hour of onset (default: drawn between 1 and 2)")
    made.add_argument("--seed", type=int, default=20261121, metavar="N", help="seed (default: 20261121)")
    made.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet or .csv file to write")
    return made


def run(args: argparse.Namespace) -> int:
    """List, get, simulate, convert or check."""
    actions = {"list": _list, "get": _get, "simulate": _simulate, "convert": _convert, "check": run_check}
    return actions[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from faultwise.tables.reading.benchmarks import samples

    known = samples.available()
    if args.json:
        print_json(known)
        return 0
    print_table(
        [
            {
                "name": one["name"],
                "content": one["title"],
                "rows": one["rows"],
                "comes with faultwise": "yes" if one["shipped"] else "no",
                "licence": one["licence"],
            }
            for one in known
        ]
    )
    for one in known:
        words = f"{one['name']}: {one['provenance']} {one['where']}".rstrip()
        print(fill(words, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
    return 0


def _get(args: argparse.Namespace) -> int:
    from faultwise.tables.reading.benchmarks import samples

    paths = [str(path) for path in samples.get(args.name, args.out)]
    print_json({"files": paths}) if args.json else print("\n".join(paths))
    return 0


def _convert(args: argparse.Namespace) -> int:
    from faultwise.contracts.errors import UserError
    from faultwise.images.data.image_converting import convert

    if not 0 < args.share < 1:
        raise UserError(f"--share is {args.share:g}: choose a share of the good images between 0 and 1.")
    folders = [str(one) for one in convert(args.source, args.out, args.seed, args.share, progress=watched(args))]
    print_json({"folders": folders}) if args.json else print("\n".join(folders))
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from faultwise.contracts.errors import UserError
    from faultwise.runs.tables import write_table
    from faultwise.tables.reading.benchmarks.simulate import simulate

    if args.out.suffix not in (".parquet", ".csv"):
        raise UserError(f"`{args.out}` ends in `{args.out.suffix}`: choose .parquet or .csv.")
    frame = simulate(
        numbers(args.faults),
        args.runs,
        args.hours,
        args.onset,
        seed=args.seed,
        workers=args.workers,
        progress=watched(args),
    )
    write_table(frame, args.out)
    runs = int(frame["run"].nunique())
    if args.json:
        print_json({"file": str(args.out), "rows": len(frame), "runs": runs, "seed": args.seed})
    else:
        note(f"{len(frame):,} rows of {runs} runs were written to {args.out}.")
    return 0


def numbers(text: str) -> list[int]:
    """Read "0,4-6" as [0, 4, 5, 6]. Raises UserError.

    >>> numbers("0,4-6")
    [0, 4, 5, 6]
    """
    from faultwise.contracts.errors import UserError

    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise UserError(f"`{text}` is no list of fault numbers: write it like 0,1,4-6.")
        found += range(int(first), int(last or first) + 1)
    return list(dict.fromkeys(found))
