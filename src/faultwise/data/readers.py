"""The one door for tables: recognise a file or a folder, read it, give it its roles, say what was done.

It reads tables only (images have their own reader), follows no links into the network, and never opens a
format that can run code (pickle, spreadsheets with macros).
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.data.about import About, Variable, read_about, units_from_headers
from faultwise.data.braatz import braatz_fault, read_braatz, read_braatz_file
from faultwise.data.cleaning import clean
from faultwise.data.delimited import read_delimited
from faultwise.data.parquet import read_parquet
from faultwise.data.table import Roles, Table, label_text, require_columns
from faultwise.errors import DataError, closest, listing

__all__ = ["read_source"]

_TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_READ = "CSV, TSV, text, gzipped text, Parquet, the .dat files of Braatz, or a folder of these"


def read_source(
    source: str | Path,
    *,
    target: str | None = None,
    group: str | None = None,
    time: str | None = None,
    ignore: Sequence[str] = (),
    about: str | Path | About | None = None,
    part: str = "",
    faults: Iterable[int] | None = None,
) -> Table:
    """Read a table from a file or folder, with its roles; its kind is recognised and told in the notes.

    `target`, `group`, `time` and `ignore` name columns; target and group are read as text labels. `about` is
    a companion (or its path) laid over what headers state. `part` ("train", "test") and `faults` choose among
    the Braatz files. In a folder of tables each file is a run. Raises DataError when nothing is there, the
    kind is unknown, the content is broken, or a named column does not exist.
    """
    path = Path(source)
    if part not in ("", "train", "test"):
        raise DataError(f"`{part}` is no part of a source; expected train or test.")
    companion = read_about(about) if isinstance(about, str | Path) else about
    labels = [name for name in (target, group) if name is not None]
    table = _recognised(path, labels, group, part, None if faults is None else list(faults))
    frame = table.frame
    named = [("--target", target), ("--group", group), ("--time", time)]
    require_columns(frame, [*named, *(("--ignore", name) for name in ignore)], str(path))
    twice = [name for name in (target, group, time) if name is not None and name in ignore]
    if target is not None and target in (group, time):
        twice.append(target)
    if twice:
        raise DataError(
            f"`{twice[0]}` was given two roles; expected one role per column among --target, "
            "--group, --time and --ignore (one column may be both run and time): drop one of the flags."
        )
    roles = Roles(
        target=target or table.roles.target,
        group=group or table.roles.group,
        time=time or table.roles.time,
        ignored=tuple(dict.fromkeys(ignore)),
    )
    roles = _without(roles, ignore)
    texts = {name: label_text(frame[name]) for name in (roles.target, roles.group) if name is not None}
    notes = list(table.notes)
    known, said = _about(table, companion)
    # Another target asks for another split than the file's own one run per class.
    split = table.split if roles.target == table.roles.target and roles.group == table.roles.group else ""
    return replace(
        table,
        frame=frame.assign(**texts),
        roles=roles,
        notes=tuple(notes + said),
        about=known,
        split=split,
    )


def _without(roles: Roles, ignore: Collection[str]) -> Roles:
    """Ignoring a column that the format itself gave a role takes that role away."""
    return replace(
        roles,
        target=None if roles.target in ignore else roles.target,
        group=None if roles.group in ignore else roles.group,
        time=None if roles.time in ignore else roles.time,
    )


def _recognised(path: Path, labels: list[str], group: str | None, part: str, faults: list[int] | None) -> Table:
    names: list[str] = []
    folder = _is_dir(path)
    if folder:
        names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if any(braatz_fault(name) for name in names):
            return read_braatz(path, part or "train", faults)
    elif braatz_fault(path.name):
        return _with_part(read_braatz_file(path), path, part)
    if faults is not None:
        raise DataError(f"`{path}` holds no Braatz files, so there are no faults to choose: leave `faults` out.")
    return _folder(path, names, labels, group) if folder else _file(path, labels)


def _is_dir(path: Path) -> bool:
    try:
        if path.is_dir():
            os.listdir(path)
            return True
        if path.exists():
            return False
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"`{str(path)[:200]}` cannot be opened ({reason}): check path and rights.") from None
    folder = path.parent
    near = closest(path.name, (entry.name for entry in folder.iterdir())) if folder.is_dir() else None
    hint = f"did you mean `{folder / near}`?" if near else "check the path."
    where = "" if folder.is_dir() else f" (nor a folder `{folder}`)"
    raise DataError(f"There is no file or folder `{path}`{where}; expected {_READ}: {hint}")


def _with_part(table: Table, path: Path, part: str) -> Table:
    stated = braatz_fault(path.name)
    if part and stated and stated[1] != part:
        other = f"The {part} part was asked for, but this one file is of the {stated[1]} part: it was read."
        return replace(table, notes=(*table.notes, other))
    return table


def _ending(name: str, endings: tuple[str, ...]) -> str:
    return next((end for end in endings if name.lower().endswith(end)), "")


def _read(path: Path, labels: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    if _ending(path.name, _PARQUET):
        return read_parquet(path, as_text=labels)
    return read_delimited(path, as_text=labels)


def _file(path: Path, labels: list[str]) -> Table:
    if not _ending(path.name, (*_TEXT, *_PARQUET, ".dat")):
        hint = "export it as CSV" if path.suffix.lower().startswith(".xls") else "convert it, or rename it"
        raise DataError(
            f"`{path}` is of a kind (`{path.suffix or 'no ending'}`) that is not read; expected {_READ}: {hint}."
        )
    frame, notes = _read(path, labels)
    return Table(frame=frame, source=str(path), notes=tuple(notes))


def _folder(path: Path, names: list[str], labels: list[str], group: str | None) -> Table:
    """Read every table of the folder, each as a run, in natural order (run2 before run10)."""
    tables = [name for name in names if _ending(name, (*_TEXT, *_PARQUET)) and (path / name).is_file()]
    if not tables:
        images = any(_ending(name, _IMAGES) for name in names)
        what = "images" if images else f"{listing(names, 5)}" if names else "nothing"
        raise DataError(f"The folder `{path}` holds no tables but {what}; expected {_READ}: check the path.")
    # readme.txt beside the data is no run.
    if any(not _ending(name, (".txt", ".txt.gz")) for name in tables):
        tables = [name for name in tables if not _ending(name, (".txt", ".txt.gz"))]
    tables.sort(key=lambda name: [int(t) if t.isdecimal() else t.lower() for t in re.split(r"(\d+)", name)])
    frames: list[pd.DataFrame] = []
    said: dict[str, list[str]] = {}
    for name in tables:
        frame, notes = _read(path / name, labels)
        if frames:
            _same_columns(path, tables[0], frames[0], name, frame)
        frames.append(frame)
        for note in notes:
            said.setdefault(note, []).append(name)
    stems = [name[: -len(_ending(name, (*_TEXT, *_PARQUET)))] for name in tables]
    runs = stems if len(set(stems)) == len(stems) else tables
    whole, mixed = clean(pd.concat(frames, ignore_index=True), as_text=labels)
    skipped = [name for name in names if name not in tables]
    notes = [f"A folder of {len(tables)} tables with the same columns."]
    notes += [text if len(of) == len(tables) else f"{text} (in {listing(of, 3)})" for text, of in said.items()]
    notes += mixed + ([f"Not read: {listing(skipped, 5)}."] if skipped else [])
    if group is not None:
        return Table(frame=whole, source=str(path), notes=tuple(notes))
    free = next(name for name in ("run", "file", "source file", "run of file") if name not in whole.columns)
    names_of_rows = np.repeat(np.array(runs, dtype=object), [len(frame) for frame in frames])
    whole.insert(0, free, pd.Series(names_of_rows, dtype="str"))
    notes.append(f"Each file is a run: its name is in the new column `{free}`.")
    return Table(frame=whole, roles=Roles(group=free), source=str(path), notes=tuple(notes))


def _same_columns(path: Path, first: str, expected: pd.DataFrame, name: str, found: pd.DataFrame) -> None:
    lacks = [column for column in expected.columns if column not in found.columns]
    more = [column for column in found.columns if column not in expected.columns]
    if lacks or more:
        parts = [f"lacks {listing(lacks, 4)}"] * bool(lacks) + [f"has {listing(more, 4)} more"] * bool(more)
        raise DataError(
            f"`{path / name}` {' and '.join(parts)} beside `{first}`; expected the same columns in every file "
            "of the folder: read them one by one, or move the odd ones out."
        )


def _about(table: Table, companion: About | None) -> tuple[About, list[str]]:
    """Lay the companion over the format's own knowledge, and that over units from the headers."""
    columns = [str(name) for name in table.frame.columns]
    known = table.about.merged(companion) if companion else table.about
    variables = dict(known.variables)
    for column, header in units_from_headers(columns).items():
        told = variables.get(column, Variable())
        variables[column] = replace(told, name=told.name or header.name, unit=told.unit or header.unit)
    lost = [name for name in (companion.variables if companion else ()) if name not in columns]
    note = f"The companion names columns that the table lacks: {listing(lost)}."
    return replace(known, variables=variables), [note] if lost else []
