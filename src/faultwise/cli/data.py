"""`faultwise data`: samples that ship, data sets and where to get them, simulated runs, sets of images, a look for
leaks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from faultwise.cli.check import add_check, run_check
from faultwise.cli.out import print_json, print_table, say, watched

__all__ = ["add", "run"]


def add(commands: Any) -> None:
    """Register the command."""
    parser = commands.add_parser("data", help="list, get, simulate and check data", description=__doc__)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="known data sets, their licence and where they come from")
    got = actions.add_parser("get", help="copy a shipped sample out of the package")
    got.add_argument("name", help="a name from `faultwise data list`")
    got.add_argument("--out", type=Path, default=Path(), metavar="PATH", help="folder or file (default: here)")
    made = actions.add_parser("simulate", help="simulate Tennessee Eastman runs (extra: faultwise[simulate])")
    made.add_argument("--faults", default="0-20", metavar="A,B-C", help="fault numbers (default: 0-20; 0 is normal)")
    made.add_argument("--runs", type=int, default=6, metavar="N", help="runs per fault (default: 6)")
    made.add_argument("--hours", type=float, default=8.0, metavar="H", help="length of a run (default: 8)")
    made.add_argument("--onset", type=float, metavar="H", help="hour of onset (default: between 1 and 2 by chance)")
    made.add_argument("--seed", type=int, default=20261121, metavar="N", help="seed (default: 20261121)")
    made.add_argument("--workers", type=int, metavar="N", help="processes (default: one per core)")
    made.add_argument("--out", type=Path, required=True, metavar="FILE", help=".parquet or .csv file to write")
    turned = actions.add_parser("convert", help="bring a set of images into the MVTec layout")
    turned.add_argument(
        "source", type=Path, metavar="FOLDER", help="unpacked set: Magnetic Tile, DeepPCB, ELPV, VisA, AeBAD"
    )
    turned.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="new folder to write")
    turned.add_argument("--share", type=float, default=0.8, metavar="S", help="share of good images for training (0.8)")
    turned.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the draw (default: 0)")
    for sub in (listed, got, made, turned, add_check(actions)):
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, get, simulate or check."""
    if args.action == "check":
        return run_check(args)
    if args.action == "convert":
        return _convert(args)
    if args.action == "list":
        from faultwise.tables.reading.benchmarks import samples

        known = samples.available()
        if args.json:
            print_json(known)
        else:
            print_table([{key: one[key] for key in ("name", "rows", "shipped", "licence")} for one in known])
            for one in known:
                print(f"\n{one['name']}: {one['provenance']}.")
        return 0
    if args.action == "get":
        from faultwise.tables.reading.benchmarks import samples

        paths = [str(path) for path in samples.get(args.name, args.out)]
        print_json({"files": paths}) if args.json else print("\n".join(paths))
        return 0
    return _simulate(args)


def _convert(args: argparse.Namespace) -> int:
    from faultwise.contracts.errors import UserError
    from faultwise.images.data.image_converting import convert

    if not 0 < args.share < 1:
        raise UserError(f"--share is {args.share:g}: choose a share of the good images between 0 and 1.")
    folders = [str(one) for one in convert(args.source, args.out, args.seed, args.share, progress=watched(args))]
    if args.json:
        print_json({"folders": folders})
    else:
        print("\n".join(folders))
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
    summary = {"file": str(args.out), "rows": len(frame), "runs": int(frame["run"].nunique()), "seed": args.seed}
    if args.json:
        print_json(summary)
    else:
        say(f"{summary['rows']:,} rows of {summary['runs']} runs in {args.out}")
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
