"""Diagnosing files of any size: a line per row, written while running, and resumed where it was interrupted.

Each piece of the source becomes a part file beside the output, whole or not there; at the end they are joined into the
output, which appears in one step. The same command, run again after an interruption, goes on after the last part.
Findings are not made here: they are asked for row by row (`TableModel.diagnose`).
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from faultwise import __version__
from faultwise.contracts.errors import UserError
from faultwise.contracts.progress import ProgressBar
from faultwise.runs.tables import csv_text
from faultwise.tables.fit.stream import RowStream, Streams
from faultwise.tables.reading.batches import Batches, cut, fingerprint, is_large, open_batches
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.shapes.reshaping import Known

__all__ = ["SUFFIXES", "diagnose_file"]

SUFFIXES = (".parquet", ".csv")
_MOST_ROWS = 65_536
_MOST_CELLS = 8_000_000  # encoded numbers per piece: about 64 MB, of which a few copies live at once
_MOST_RUNS = 100_000  # a file has an end, so more can be remembered than in a stream
_TEXT = ("run", "time", "label", "status", "fault_set", "rules")


def diagnose_file(
    model: Streams,
    source: str | Path,
    out: str | Path,
    *,
    every: bool = True,
    part: str = "test",
    progress: bool = False,
    how: TableReading | None = None,
    known: Known | None = None,
) -> dict[str, Any]:
    """Write a line per judged row to `out` (.parquet or .csv) and return counts and seconds.

    Lines are those of `stream.RowStream`, with the probabilities of all labels if `every`. The language model takes no
    part. `how` and `known` say how the source is read, as in `read_source`. Raises UserError for an unknown ending, a
    missing folder or a full disk, DataError for a broken source; the parts that are done stay, and the next call with
    the same source and run goes on after them.
    """
    out = _checked(Path(out), Path(source))
    started = time.monotonic()
    rows = int(np.clip(_MOST_CELLS // len(model.fitted.encoder.names), 1000, _MOST_ROWS))
    batches = _opened(model, source, rows, part, how, known)
    roles = replace(model.roles_in(batches.columns, batches.roles), target=None)
    stream = model.stream(roles, every, run=Path(source).stem, most_runs=_MOST_RUNS)
    # Named after the work: another command for the same output has parts of its own.
    key = _key(model, source, rows, every, part, out.suffix, None if how is None else str(how))
    parts = out.absolute().parent / f".{out.name}.{key[:16]}.parts"
    try:
        parts.mkdir(exist_ok=True)
        with FileLock(parts / "lock", timeout=0):
            _tidy(out, parts)
            resumed = len(list(parts.glob("part-*.parquet")))
            read, done = _write_parts(stream, batches, parts, progress)
            if batches.numbers is not None:
                done = [_in_order_of_the_source(parts, done)]
            counts = _join(parts, done, out)
            shutil.rmtree(parts, ignore_errors=True)
    except Timeout:
        raise UserError(f"Another command is writing `{out}` from the same source: wait for it, or stop it.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"`{out}` could not be written ({reason}): make room or choose another folder. What is done is kept in "
            f"`{parts.name}`; the same command goes on from there."
        ) from None
    seconds = time.monotonic() - started
    normal = model.fitted.ensemble.detector.normal
    judged = sum(counts.values())
    return {
        "file": str(out),
        "rows": read,
        "judged": judged,
        "flagged": None if normal is None else judged - counts.get(normal, 0),
        "labels": counts,
        "resumed_parts": resumed,
        "seconds": round(seconds, 2),
        "rows_per_s": round(read / max(seconds, 1e-9)),
        "notes": [*batches.notes, *stream.notes.values()],
    }


def _opened(
    model: Streams, source: str | Path, rows: int, part: str, how: TableReading | None, known: Known | None
) -> Batches:
    """Return the source in pieces of `rows` rows: in time order, unless it is too large to be read at once."""
    if is_large(source) and (how is None or how.query is None):
        text, group = model.texts, model.roles.group
        return open_batches(source, rows, part=part, as_text=text, group=group, how=how, known=known)
    return cut(model.read(source, part, reading=how), rows)


def _checked(out: Path, source: Path) -> Path:
    """Return the output. Raises UserError where nothing can or should be written."""
    if out.suffix not in SUFFIXES:
        raise UserError(f"`{out}` ends in `{out.suffix}`: choose {' or '.join(SUFFIXES)}.")
    if _lies_in(out, source):
        raise UserError(f"`{out}` would overwrite the source, or lie among its files: choose another --out.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        what = "is a folder" if out.is_dir() else f"is in a folder that does not exist (`{out.parent}`)"
        raise UserError(f"`{out}` {what}: name a file in an existing folder.")
    return out


def _lies_in(out: Path, source: Path) -> bool:
    """Tell whether an output is the source, or would become one of the files of a source folder."""
    return out.resolve() == source.resolve() or (source.is_dir() and out.resolve().parent == source.resolve())


def _key(model: Streams, source: str | Path, *request: object) -> str:
    """Name the work: the same key means the same parts. A run that was never saved cannot be recognised again."""
    run = model.manifest.get("files") or os.urandom(8).hex()
    experts = sorted(model.fitted.ensemble.fusion.weights_without)
    work = [__version__, run, experts, str(Path(source).absolute()), fingerprint(source), *request]
    return hashlib.sha256(json.dumps(work).encode()).hexdigest()


def _tidy(out: Path, mine: Path) -> None:
    """Remove the parts of other work for the same output that nobody is at any more."""
    for other in mine.parent.glob(f".{glob.escape(out.name)}.*.parts"):
        if other != mine:
            with contextlib.suppress(Timeout, OSError), FileLock(other / "lock", timeout=0):
                shutil.rmtree(other, ignore_errors=True)


def _write_parts(stream: RowStream, batches: Batches, parts: Path, progress: bool) -> tuple[int, list[Path]]:
    done: list[Path] = []
    read = 0
    with ProgressBar(total=100, desc="diagnose", disable=not progress) as bar:
        for number, frame in enumerate(batches):
            path = parts / f"part-{number:06d}.parquet"
            if _whole(path):
                stream.skip(frame)
            else:
                making = path.with_suffix(".making")
                lines = stream.push(frame)
                if batches.numbers is not None:
                    lines["row"] = batches.numbers[lines["row"].to_numpy() - 1]
                pq.write_table(_table(lines), making, compression="zstd")
                with making.open("rb") as file:  # a power cut must not leave a name without its content
                    os.fsync(file.fileno())
                os.replace(making, path)
            done.append(path)
            read += len(frame)
            bar.update(round(100 * batches.done) - bar.n)
            bar.detail(f"rows {read:,}")
    return read, done


def _whole(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, ValueError):  # ValueError: what pyarrow says of a file that is cut off
        return False
    return True


def _table(lines: pd.DataFrame) -> pa.Table:
    """Give every part the same types, also one without lines."""
    fields = []
    for name, dtype in lines.dtypes.items():
        kind = pa.int64() if name == "row" else pa.string() if name in _TEXT else pa.from_numpy_dtype(dtype)
        fields.append(pa.field(str(name), kind))
    return pa.Table.from_pandas(lines, pa.schema(fields), preserve_index=False).replace_schema_metadata(None)


def _in_order_of_the_source(parts: Path, done: list[Path]) -> Path:
    """Write the lines of rows that were put in time order in the order of the source; return the file."""
    path = parts / "sorted"
    pq.write_table(pa.concat_tables(map(pq.read_table, done)).sort_by("row"), path)
    return path


def _join(parts: Path, done: list[Path], out: Path) -> dict[str, int]:
    """Join the parts into `out`, which appears whole; return how many rows got each label."""
    making = parts / "joined"
    counts: dict[str, int] = {}
    writer: Any = None
    try:
        for path in done:
            table = pq.read_table(path)
            for entry in table.column("label").value_counts().to_pylist():
                counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
            if out.suffix == ".csv":
                with making.open("a" if writer else "w", encoding="utf-8", newline="") as file:
                    file.write(csv_text(table.to_pandas(), header=not writer))
                writer = True
            else:
                writer = writer or pq.ParquetWriter(making, table.schema, compression="zstd")
                writer.write_table(table)
    finally:
        if out.suffix != ".csv" and writer is not None:
            writer.close()
    os.replace(making, out)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
