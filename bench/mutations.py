"""Ten thousand damaged files through every reader: each is read or refused with a message, soon, in little memory.

Valid files of every kind are damaged at random (bits, cuts, lines, delimiters, encodings, numbers, quotes, glued
files) and read in a worker process with ten seconds and two gigabytes each. Anything but a table or a `UserError`
is a failure. Every case follows from the seed and its number, so that `--from 1234 --count 1 --show` repeats it.

    python bench/mutations.py [--from 0] [--count 10000] [--seed 0] [--show]
    python bench/mutations.py --reader workbook --count 10000

With `--reader` all cases go to one reader (comma: to several), and the result is results/mutations-READER.json.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import gzip
import hashlib
import importlib.util
import io
import json
import lzma
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

# Threads and pools reserve address space that the memory limit counts.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import numpy as np
import pandas as pd

from faultwise.contracts.about import read_about
from faultwise.contracts.errors import UserError
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.text.delimited import read_delimited
from faultwise.tables.reading.text.delimited_batches import read_delimited_batches
from mutation_files import files

SECONDS = 10
BYTES = 2 << 30
_LABELLED = ("comma.csv", "semicolon.csv", "tabs.tsv", "pipes.txt", "packed.csv.gz", "plain.parquet")
OUTCOMES = ("read", "refused", "traceback", "hang", "crash")


@dataclass(frozen=True)
class Base:
    """A valid file: its name on disk, its bytes, and what reads it."""

    name: str
    raw: bytes
    reader: str


# --- valid files -----------------------------------------------------------------------------------------------


def _frame(rows: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "when": [f"2026-11-21 06:{i % 60:02}:00" for i in range(rows)],
            "Druck [bar]": (2.5 + rng.normal(size=rows)).round(3),
            "temp, °C": [None if i % 9 == 4 else round(300 + 5 * x, 2) for i, x in enumerate(rng.normal(size=rows))],
            "count": rng.integers(0, 100_000, size=rows),
            "zustand": [("geöffnet", 'zu "halb"', "two\nlines")[i % 3] for i in range(rows)],
            "on": [i % 4 == 0 for i in range(rows)],
            "run": [f"r{i // 10}" for i in range(rows)],
            "fault": [str(i // 10 % 2) for i in range(rows)],
        }
    )


def _parquet(frame: pd.DataFrame, **options: Any) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, **options)
    return buffer.getvalue()


def _zstandard(raw: bytes) -> bytes:
    import pyarrow as pa

    return bytes(pa.compress(raw, codec="zstd", asbytes=True))


def _zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw, zipfile.ZIP_DEFLATED)
    return out.getvalue()


ABOUT = """asset: Pump 7
normal: "0"
variables:
  Druck [bar]: {name: Druck, unit: bar, low: 1.5, high: 4}
  count: {description: "pieces since start", low: 0}
faults:
  "1": Seal leaks
  2: Bearing worn
"""
RULES = """rules:
  - name: Pressure high
    variable: Druck [bar]
    above: 3.5
    for: 2
  - {name: Level falls fast, variable: count, falls_by: 10, within: 20}
  - name: Hot although open
    all: [{variable: "temp, °C", above: 301}, {variable: zustand, is: geöffnet, for: 2}]
    note: Check the valve.
"""


@cache
def bases() -> tuple[Base, ...]:
    """Return the valid files. RData and rules are among them where the package reads them."""
    frame = _frame()
    flat = frame.assign(zustand=frame["zustand"].str.replace("\n", " "))
    text = frame.to_csv(index=False)
    german = flat.to_csv(index=False, sep=";", decimal=",")
    excel = "Werk 7;;;\nExport;21.11.2026;;\nt;p;n;s;;\ns;[bar];%;text;;\n" + "".join(
        f"{i};1.{i:03},5;{i}%;an;;\n" for i in range(30)
    )
    thousands = 'a,b,c\n"1,234.5",0.5,#DIV/0!\n' + '"12,345","6,789",1\n' * 20
    numbers = frame[["Druck [bar]", "count"]].set_axis(["p", "n"], axis=1)
    packed = gzip.compress(text.encode() * 3, mtime=0)
    rng = np.random.default_rng(6)
    lying = io.StringIO()
    np.savetxt(lying, rng.normal(size=(52, 500)), fmt="%.5e")
    upright = io.StringIO()
    np.savetxt(upright, rng.normal(size=(480, 52)), fmt="%.5e")
    found = [
        Base("comma.csv", text.encode(), "table"),
        Base("semicolon.csv", german.encode("cp1252"), "table"),
        Base("tabs.tsv", flat.to_csv(index=False, sep="\t").encode("utf-16"), "table"),
        Base("pipes.txt", text.replace(",", "|").encode("utf-8-sig"), "table"),
        Base("excel.csv", excel.encode(), "table"),
        Base("thousands.csv", thousands.encode(), "table"),
        Base("spaces.txt", numbers.to_string(index=False).encode(), "table"),
        Base("packed.csv.gz", packed, "table"),
        Base("packed.csv.bz2", bz2.compress(text.encode()), "packed"),
        Base("packed.csv.xz", lzma.compress(text.encode()), "packed"),
        Base("packed.csv.zst", _zstandard(text.encode()), "packed"),
        Base("packed.csv.zip", _zipped({"rows.csv": text.encode()}), "packed"),
        Base("comma.csv", text.encode(), "delimited"),
        Base("semicolon.csv", german.encode(), "delimited"),
        Base("comma.csv", text.encode(), "batches"),
        Base("excel.csv", excel.encode("cp1252"), "batches"),
        Base("packed.csv.gz", packed, "batches"),
        Base("plain.parquet", _parquet(frame), "parquet"),
        Base("dictionary.parquet", _parquet(frame.astype({"zustand": "category"}), compression="zstd"), "parquet"),
        Base("indexed.pq", _parquet(frame.set_index("run"), compression=None), "parquet"),
        Base("d00.dat", lying.getvalue().encode(), "braatz"),
        Base("d01.dat", upright.getvalue().encode(), "braatz"),
        Base("about.yaml", ABOUT.encode(), "about"),
    ]
    if importlib.util.find_spec("faultwise.tables.checks.rules"):
        found.append(Base("rules.yaml", RULES.encode(), "rules"))
    if importlib.util.find_spec("faultwise.tables.reading.r_data") and importlib.util.find_spec("rdata"):
        import rdata

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.RData"
            whole = {"rows": numbers.assign(s=pd.Series(["a", "b"] * 20, dtype=object))}
            rdata.write_rda(path, whole)
            found.append(Base("packed.RData", path.read_bytes(), "rdata"))
            rdata.write_rda(path, whole, compression=None)
            found.append(Base("plain.RData", path.read_bytes(), "rdata"))
    found += [Base(*one) for one in files(frame)]
    return tuple(found)


# --- damage ----------------------------------------------------------------------------------------------------

_UNUSUAL = (
    *(b"\0", b"\xff", b"\x1a", b"\r", b"\x85", b"\xef\xbb\xbf", b"\xff\xfe", b'"', b"'", b"=1+1", b"{", b"[", b": "),
    *(b"\n\n", b",,,,", b"*a ", b"&a "),
    *(letter.encode() for letter in "\u2028\u202e\u2212\u00a0🙂"),
)
_NUMBERS = (
    *(b"1e999", b"-1e-999", b"9" * 400, b"1" * 5000, b"0x1F", b"1_000", b"1.2.3", b"1,234,567.89", b"NaN", b"-inf"),
    *(b"18446744073709551616", b"-9223372036854775809", b"+-1", b".e1", b"2026-13-45", b"12:99:99", b"True"),
)
_CODECS = ("utf-8", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp500", "shift-jis")


def _place(rng: random.Random, raw: bytes) -> int:
    return rng.randrange(len(raw) + 1)


def _flip(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    made = bytearray(raw)
    for _i in range(rng.choice((1, 1, 1, 2, 8, 50))):
        if made:
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _cut(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    return raw[: _place(rng, raw)] if rng.random() < 0.8 else raw[_place(rng, raw) :]


def _put(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    at = _place(rng, raw)
    return raw[:at] + rng.choice((rng.choice(_UNUSUAL), rng.randbytes(rng.randrange(1, 20)))) + raw[at:]


def _drop(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    at = _place(rng, raw)
    return raw[:at] + raw[at + rng.choice((1, 2, 10, 200)) :]


def _repeat(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    at = _place(rng, raw)
    part = raw[at : at + rng.choice((1, 5, 50, 500))]
    return raw[:at] + part * rng.choice((2, 3, 30)) + raw[at:]


def _lines(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    lines = raw.split(b"\n")
    at = rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(rng.randrange(len(lines) + 1), lines[at])
    elif what == 2:
        other = rng.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] *= rng.choice((2, 100))
    return b"\n".join(lines)


def _delimiters(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    old, new = rng.sample((b",", b";", b"\t", b"|", b" ", b".", b":", b"-", b"\n"), 2)
    return raw.replace(old, new, rng.choice((-1, 1, 5)))


def _encoded(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    text = raw.decode(rng.choice(("utf-8", "latin-1")), "replace")
    return text.encode(rng.choice(_CODECS), rng.choice(("replace", "ignore")))


def _number(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    cells = raw.split(b",") if rng.random() < 0.5 else raw.split(b" ")
    for _i in range(rng.choice((1, 3, len(cells)))):
        cells[rng.randrange(len(cells))] = rng.choice(_NUMBERS)
    return (b"," if b"," in raw else b" ").join(cells)


def _quotes(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    for _i in range(rng.choice((1, 2, 20))):
        at = _place(rng, raw)
        raw = raw[:at] + rng.choice((b'"', b'""', b"'", b'",', b',"', b'\\"')) + raw[at:]
    return raw


def _unicode(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    letters = "".join(chr(rng.choice((rng.randrange(32, 0xD800), rng.randrange(0xE000, 0x11_0000)))) for _i in range(9))
    at = _place(rng, raw)
    return raw[:at] + letters.encode() + raw[at:]


def _glued(rng: random.Random, raw: bytes, other: bytes) -> bytes:
    return rng.choice((raw + other, other + raw, raw + raw, raw[: _place(rng, raw)] + other[_place(rng, other) :]))


def _swept(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    """Damage the bytes of a packed file, then pack them again, so that the damage gets through."""
    if raw[:4] == b"PK\x03\x04":
        return _swept_member(rng, raw)
    if raw[:6] == b"MATLAB" and raw[128:132] == b"\x0f\0\0\0":
        return _swept_variable(rng, raw)
    if raw[:2] != b"\x1f\x8b":
        return gzip.compress(raw, mtime=0)
    try:
        return gzip.compress(rng.choice((_flip, _lines, _put, _cut))(rng, gzip.decompress(raw), b""), mtime=0)
    except (OSError, EOFError, ValueError):
        return raw
    except Exception as error:  # zlib's own
        return raw if type(error).__name__ == "error" else raw[:0]


def _swept_member(rng: random.Random, raw: bytes) -> bytes:
    """Damage one file of a zip archive, such as the XML of a sheet, so that its checksum holds."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # the archive is damaged already
        return raw
    if members:
        name = rng.choice(list(members))
        members[name] = rng.choice((_flip, _put, _cut, _drop, _repeat, _number, _digits))(rng, members[name], b"")
    return _zipped(members)


def _swept_variable(rng: random.Random, raw: bytes) -> bytes:
    """Damage the first packed variable of a MATLAB file before it is packed."""
    size = int.from_bytes(raw[132:136], "little")
    try:
        inner = zlib.compress(rng.choice((_flip, _put, _drop))(rng, zlib.decompress(raw[136 : 136 + size]), b""))
    except zlib.error:
        return raw
    return raw[:132] + len(inner).to_bytes(4, "little") + inner + raw[136 + size :]


def _digits(rng: random.Random, raw: bytes, _: bytes) -> bytes:
    """Make a number in a text large: counts, addresses of cells, sizes."""
    places = [at for at, byte in enumerate(raw) if 48 <= byte < 58]
    if not places:
        return raw
    at = rng.choice(places)
    return raw[:at] + rng.choice((b"9", b"99999", b"1048576", b"-1", b"4294967296")) + raw[at + 1 :]


_DAMAGES: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (
    _flip, _cut, _put, _drop, _repeat, _lines, _delimiters, _encoded, _number, _quotes, _unicode, _glued, _swept,
    _digits,
)  # fmt: skip


def case(seed: int, number: int, only: str = "") -> tuple[Base, bytes, list[str]]:
    """Return the valid file, its damaged bytes and the kinds of damage of one case; `only` names readers, by commas."""
    rng = random.Random(f"{seed}:{number}")
    # Each reader gets the same share, whatever the number of its files.
    readers = only.split(",") if only else sorted({base.reader for base in bases()})
    reader = readers[number % len(readers)]
    base = rng.choice([base for base in bases() if base.reader == reader])
    raw, damage = base.raw, []
    # Many formats notice the first wrong byte: a single flipped bit gets furthest.
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        change = rng.choice((*_DAMAGES, _flip, _flip))
        raw = change(rng, raw, rng.choice(bases()).raw)[: 1 << 22]
        damage.append(change.__name__.strip("_"))
    return base, raw, damage


def read(base: Base, path: Path, rng: random.Random) -> None:
    """Read a damaged file as its kind is read. Raises whatever the reader raises."""
    if base.reader == "batches":
        for _ in read_delimited_batches(path, rng.choice((1, 7, 1000))):
            pass
    elif base.reader == "delimited":
        read_delimited(path, encoding=rng.choice((None, None, "utf-8", "latin-1", "utf-16")), as_text=("fault", "run"))
    elif base.reader == "about":
        read_about(path)
    elif base.reader == "rules":
        from faultwise.tables.checks.rules import read_rules

        read_rules(path)
    else:
        labelled = base.name in _LABELLED and rng.random() < 0.3
        roles = {"target": "fault", "group": "run"} if labelled else {}
        read_source(path, **roles)  # type: ignore[arg-type]


class _TooLongError(BaseException):
    """Not an Exception, so that no reader takes it for a broken file."""


def _too_long(_: int, __: FrameType | None) -> None:
    raise _TooLongError


def attempt(seed: int, number: int, folder: Path, only: str = "") -> dict[str, Any]:
    """Run one case in this process; return its reader, outcome, seconds and, for failures, what happened."""
    base, raw, damage = case(seed, number, only)
    path = folder / base.name
    path.write_bytes(raw)
    started = time.perf_counter()
    outcome, detail = "read", ""
    before = signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        read(base, path, random.Random(number))
    except UserError as error:
        outcome = "refused"
        if not str(error).strip():
            outcome, detail = "traceback", "an error without a message"
    except _TooLongError:
        outcome, detail = "hang", f"more than {SECONDS} s"
    except BaseException as error:
        frames = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
        outcome, detail = "traceback", f"{type(error).__name__}: {str(error)[:200]} ({' '.join(frames[-6:])})"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        path.unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 3)
    return {"case": number, "reader": base.reader, "file": base.name, "damage": damage, "outcome": outcome,
            "detail": detail, "seconds": seconds}  # fmt: skip


# --- running them ----------------------------------------------------------------------------------------------


def _work(pipe: Connection, seed: int, numbers: range, only: str) -> None:
    import resource
    import warnings

    warnings.simplefilter("ignore")
    csv.field_size_limit()
    bases()
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            pipe.send(number)
            pipe.send(attempt(seed, number, Path(folder), only))
    pipe.send(None)


def run(seed: int, numbers: range, note: Callable[[dict[str, Any]], None], only: str = "") -> None:
    """Run cases in a worker process; a worker that dies or hangs is replaced, and the case noted."""
    context = multiprocessing.get_context("spawn")
    left = numbers
    while left:
        pipe, inner = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(inner, seed, left, only), daemon=True)
        worker.start()
        inner.close()
        at, outcome, patience = left[0], "", 120  # the first message waits for imports
        while not outcome:
            try:
                message = pipe.recv() if pipe.poll(patience) else "hang"
            except (EOFError, OSError):
                message = "crash"
            patience = 3 * SECONDS
            if isinstance(message, dict):
                note(message)
                left = left[1:]
            elif isinstance(message, int):
                at = message
            else:
                outcome = message or "done"
        worker.kill()
        worker.join()
        if outcome != "done":
            base, _, damage = case(seed, at, only)
            note({"case": at, "reader": base.reader, "file": base.name, "damage": damage, "outcome": outcome,
                  "detail": f"the worker ended with code {worker.exitcode}", "seconds": 0.0})  # fmt: skip
            left = left[1:]


def _code() -> str:
    """Hash the readers and rules, so that all pieces of one result come from the same code."""
    import faultwise

    root = Path(faultwise.__file__).parent
    sources = sorted([*(root / "tables" / "reading").rglob("*.py"), *(root / "tables" / "checks").glob("*.py")])
    return hashlib.sha256(b"".join(path.read_bytes() for path in [*sources, Path(__file__)])).hexdigest()[:16]


def main() -> None:
    """Run a piece of the cases, join it with the earlier pieces, write results/mutations.json."""
    from tqdm import tqdm

    from recipe import RESULTS, write_result

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="start", type=int, default=0, metavar="CASE")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--reader", default="", help="all cases for this reader (or these, by commas)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--show", action="store_true", help="print the damaged bytes and the traceback; write no result"
    )
    args = parser.parse_args()
    numbers = range(args.start, args.start + args.count)
    if args.show:
        for number in numbers:
            base, raw, damage = case(args.seed, number, args.reader)
            print(number, base.reader, base.name, damage, raw[:2000])
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / base.name).write_bytes(raw)
                read(base, Path(folder) / base.name, random.Random(number))
        return
    known = sorted({base.reader for base in bases()})
    if wrong := set(filter(None, args.reader.split(","))) - set(known):
        parser.error(f"no reader {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    name = "mutations" + (f"-{args.reader.replace(',', '-')}" if args.reader else "")
    code, config = _code(), {"seed": args.seed, "seconds": SECONDS, "gigabytes": BYTES >> 30}
    data = hashlib.sha256(b"".join(base.raw for base in bases())).hexdigest()
    path = RESULTS / f"{name}.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    same = (old.get("code"), old.get("config"), old.get("data_hash")) == (code, config, data)
    if old and not same:
        print("Readers, seed or files have changed: earlier pieces do not count.", file=sys.stderr)
    pieces = {piece["from"]: piece for piece in old.get("pieces", []) if same and piece["from"] != args.start}
    counts: dict[str, Counter[str]] = {base.reader: Counter() for base in bases()}
    failures: list[dict[str, Any]] = []
    slowest = 0.0
    with tqdm(total=len(numbers)) as bar:

        def note(done: dict[str, Any]) -> None:
            nonlocal slowest
            counts[done["reader"]][done["outcome"]] += 1
            slowest = max(slowest, done["seconds"])
            if done["outcome"] not in ("read", "refused"):
                failures.append(done)
                bar.write(json.dumps(done))
            bar.update()

        run(args.seed, numbers, note, args.reader)
    readers = {reader: {key: found[key] for key in OUTCOMES} for reader, found in counts.items()}
    pieces[args.start] = {
        "from": args.start, "count": args.count, "slowest_s": slowest, "readers": readers, "failures": failures,
    }  # fmt: skip
    whole = sorted(pieces.values(), key=lambda piece: int(piece["from"]))
    total = {r: {k: sum(p["readers"][r][k] for p in whole) for k in OUTCOMES} for r in sorted(readers)}
    figures = {
        "code": code,
        "cases": sum(piece["count"] for piece in whole),
        "failed": sum(len(piece["failures"]) for piece in whole),
        "slowest_s": max(piece["slowest_s"] for piece in whole),
        "readers": total,
        "pieces": whole,
    }
    print(json.dumps({**figures, "pieces": len(whole)}, indent=1), write_result(name, config, data, figures))


if __name__ == "__main__":
    main()
