"""Read a table: recognise a file or a folder, read it, assign roles to its columns, note what was done.

No network address is opened, and no format that can run code (pickle, spreadsheets with macros).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from faultwise.contracts.about import About, Variable, read_about, units_from_headers
from faultwise.contracts.errors import DataError, closest, listing
from faultwise.contracts.paths import PARQUET, R_DATA, SQLITE, TABLES, TEXT, WORKBOOKS, ending, is_pattern, tables_among
from faultwise.tables.reading.assembling import assembled
from faultwise.tables.reading.benchmarks.benchmarks import arrange, recognise
from faultwise.tables.reading.benchmarks.braatz import braatz_fault, read_braatz, read_braatz_file
from faultwise.tables.reading.benchmarks.rieth import rieth_files
from faultwise.tables.reading.folders import files_of, same_columns
from faultwise.tables.reading.formats.formats import read_all, read_file
from faultwise.tables.reading.formats.query import queried
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.shapes.beside import together
from faultwise.tables.reading.shapes.reshaping import Known, reshaped
from faultwise.tables.reading.table import Roles, Table, label_text, require_columns

__all__ = ["in_roles", "read_source", "with_others"]

_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_READ = (
    "CSV, TSV, text (also compressed), Excel and OpenDocument workbooks, Parquet, Feather, JSON lines, SQLite, HDF5, "
    "MATLAB, TDMS, LabVIEW, ARFF or RData, the .dat files of Braatz, or a folder of these"
)


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
    keep: Sequence[str] = (),
    as_text: Collection[str] = (),
    how: TableReading | None = None,
    assemble: bool = True,
    known: Known | None = None,
) -> Table:
    """Read a table from a file or folder, with its roles; its format is recognised and noted.

    `target`, `group`, `time` and `ignore` name columns; target and group are read as text labels. `about` is
    a companion (or its path), which wins over what headers state. `part` ("train", "test") and `faults` choose among
    the Tennessee Eastman files of Braatz and Rieth. Known data sets (`benchmarks`) have roles of their own; the roles
    named here take precedence, and columns in `keep` are not ignored; those in `as_text` are not turned into numbers.
    In a folder of tables each file is a run, and so in a pattern such as `data/*.csv`. `how` names the sheet or the
    query, and what else is to be done with the rows (see `assembling`), unless the caller does it (`assemble`); `known`
    is what was recognised of the fit's source, for later files to be read the same way. Raises DataError when nothing
    is there, the format is unknown, the content is broken, or a named column does not exist.
    """
    path = Path(source)
    if part not in ("", "train", "test"):
        raise DataError(f"`{part}` is no part of a source; expected train or test.")
    companion = read_about(about) if isinstance(about, str | Path) else about
    labels = [*(name for name in (target, group) if name is not None), *as_text]
    chosen = None if faults is None else list(faults)
    how = how or TableReading()

    def raw(texts: list[str]) -> tuple[Table, str]:
        if how.query is None:
            return _recognised(path, texts, group, part, chosen, how.sheet)
        source = lambda: _recognised(path, texts, group, part, chosen, how.sheet)[0]  # noqa: E731
        return queried(path, how, texts, source), path.name

    table, file = raw(labels)
    if table.roles.target is None and recognise(table.frame.columns, file, target=target) is None:
        named = Roles(target, group, time, tuple(ignore))
        table, gone = reshaped(table, how, named, lambda names: raw([*labels, *names])[0].frame, known)
        ignore = [name for name in ignore if name not in gone]
    if table.roles.target is None:  # the files of Braatz come with their roles
        requested = Roles(target, group, time, tuple(ignore))
        table, requested, keep = arrange(table, file, requested, keep, part, chosen)
        target, group, time, ignore = requested.target, requested.group, requested.time, requested.ignored
    table = in_roles(table, Roles(target, group, time, tuple(ignore)), keep, companion)
    return assembled(with_others(table, how), how, known) if assemble else table


def with_others(table: Table, how: TableReading) -> Table:
    """Return a table with the files of --join beside it. Raises DataError, also for the file that gives the labels."""
    beside = dict(table.beside)
    for file in how.join:
        path = Path(file)
        if how.events is not None and path.resolve() == Path(how.events).resolve():
            raise DataError(
                f"`{path.name}` is named by --events and by --join: what gives the labels must not be among the "
                "measurements, too. Name it by --events alone."
            )
        if path.name in beside:
            raise DataError(f"--join names two tables `{path.name}`; expected different names: rename one of them.")
        beside[path.name] = read_source(path).frame
    return replace(table, beside=beside) if how.join else table


def in_roles(table: Table, requested: Roles, keep: Sequence[str] = (), companion: About | None = None) -> Table:
    """Return a freshly read table with the roles that the user names over its own. Raises DataError."""
    target, group, time, ignore = requested.target, requested.group, requested.time, requested.ignored
    frame, path = table.frame, table.source
    named = [("--target", target), ("--group", group), ("--time", time)]
    require_columns(
        frame, [*named, *(("--ignore", name) for name in ignore), *(("--keep", name) for name in keep)], path
    )
    both = [name for name in keep if name in ignore]
    if both:
        raise DataError(f"`{both[0]}` is named by --keep and by --ignore; expected one of them: drop the other.")
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
        ignored=tuple(dict.fromkeys([*ignore, *table.roles.ignored])),
    )
    roles = _without(roles, ignore)
    texts = {name: label_text(frame[name]) for name in (roles.target, roles.group) if name is not None}
    notes = list(table.notes)
    known, remarks = _about(table, companion)
    # Another target needs another split than the file's own one run per class.
    split = table.split if roles.target == table.roles.target and roles.group == table.roles.group else ""
    return replace(
        table,
        frame=frame.assign(**texts),
        roles=roles,
        notes=tuple(notes + remarks),
        about=known,
        split=split,
    )


def _without(roles: Roles, ignore: Collection[str]) -> Roles:
    """Return the roles without those of ignored columns."""
    return replace(
        roles,
        target=None if roles.target in ignore else roles.target,
        group=None if roles.group in ignore else roles.group,
        time=None if roles.time in ignore else roles.time,
    )


def _recognised(
    path: Path, labels: list[str], group: str | None, part: str, faults: list[int] | None, sheet: str | None
) -> tuple[Table, str]:
    """Return the table and the name of the file that identifies it."""
    names: list[str] = []
    if is_pattern(path):
        base, names = files_of(path)
        return _stacked(base, names, [], labels, group, sheet), path.name
    folder = _is_dir(path)
    if folder:
        names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        if any(braatz_fault(name) for name in names):
            return read_braatz(path, part or "train", faults), path.name
        # Where editions lie side by side, the one that is read fastest.
        readable = [name for end in (PARQUET, TEXT, R_DATA) for name in names if ending(name, end)]
        files = rieth_files(readable, part, faults)
        whole = _put_together(path, files, labels) if files else None
        if whole is not None:
            return whole, files[0]
    elif braatz_fault(path.name):
        return _with_part(read_braatz_file(path), path, part), path.name
    return _folder(path, names, labels, group, sheet) if folder else _file(path, labels, group, sheet), path.name


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
        other = f"The {part} part was requested, but this one file is of the {stated[1]} part: it was read."
        return replace(table, notes=(*table.notes, other))
    return table


def _file(path: Path, labels: list[str], group: str | None, sheet: str | None) -> Table:
    if not ending(path.name, (*TABLES, ".dat")):
        raise DataError(
            f"`{path}` is of a kind (`{path.suffix or 'no ending'}`) that is not read; expected {_READ}: export it as "
            "CSV, or rename it to what it is."
        )
    if sheet is None and ending(path.name, (*WORKBOOKS, *SQLITE)):
        frames, notes = read_all(path, as_text=labels)
        if len(frames) > 1:
            return _sheets(path, frames, notes, labels, group)
    read = read_file(path, labels, sheet)
    return Table(frame=read.frame, roles=read.roles, source=str(path), notes=tuple(read.notes))


def _sheets(
    path: Path, frames: dict[str, pd.DataFrame], notes: list[str], labels: list[str], group: str | None
) -> Table:
    """Return the tables of one file as one. Raises DataError where they have nothing in common."""
    noted = {note: list(frames) for note in notes}
    try:
        return together(frames, noted, str(path), labels, group, "file of {} tables")
    except DataError:
        raise DataError(
            f"`{path}` holds {listing(frames, 8)}, which have no time or asset in common, and only some columns: name "
            "one of them with --sheet NAME."
        ) from None


def _folder(path: Path, names: list[str], labels: list[str], group: str | None, sheet: str | None) -> Table:
    """Read every table of the folder, each as a run, in natural order (run2 before run10); others lie beside."""
    tables = tables_among(path, names)
    if not tables:
        images = any(ending(name, _IMAGES) for name in names)
        what = "holds no tables but " + ("images" if images else listing(names, 5)) if names else "is empty"
        raise DataError(f"The folder `{path}` {what}; expected {_READ}: check the path.")
    skipped = [name for name in names if name not in tables]
    return _stacked(path, tables, skipped, labels, group, sheet)


def _stacked(
    path: Path, tables: list[str], skipped: list[str], labels: list[str], group: str | None, sheet: str | None
) -> Table:
    """Read tables and put those with the same columns one below the other; others lie beside."""
    read: dict[str, pd.DataFrame] = {}
    times: list[str | None] = []
    noted: dict[str, list[str]] = {}
    for name in tables:
        made = read_file(path / name, labels, sheet)
        read[name] = made.frame
        times.append(made.roles.time)
        for note in made.notes:
            noted.setdefault(note, []).append(name)
    table = together(read, noted, str(path), labels, group)
    time = times[0] if times[0] in table.frame.columns else None
    notes = (*table.notes, *([f"Not read: {listing(skipped, 5)}."] if skipped else ()))
    return replace(table, roles=replace(table.roles, time=table.roles.time or time), notes=notes)


def _put_together(path: Path, files: list[str], labels: list[str]) -> Table | None:
    """Read files that are pieces of one known data set, None when their columns show that they are not."""
    frames: list[pd.DataFrame] = []
    notes = [f"Put together: {listing(files)}."]
    for name in files:
        read = read_file(path / name, labels)
        frame, remarks = read.frame, read.notes
        layout = recognise(frame.columns, name)
        if layout is None and not frames:
            return None
        frame = frame if layout is None else frame.drop(columns=list(layout.dropped))
        if frames:
            same_columns(path, files[0], frames[0].columns, name, frame.columns)
        frames.append(frame)
        notes += [note for note in remarks if note not in notes]
    return Table(frame=pd.concat(frames, ignore_index=True), source=str(path), notes=tuple(notes))


def _about(table: Table, companion: About | None) -> tuple[About, list[str]]:
    """Merge the companion, what the format itself states, and units from the headers; the first of these wins."""
    columns = [str(name) for name in table.frame.columns]
    known = table.about.merged(companion) if companion else table.about
    variables = dict(known.variables)
    for column, header in units_from_headers(columns).items():
        stated = variables.get(column, Variable())
        variables[column] = replace(stated, name=stated.name or header.name, unit=stated.unit or header.unit)
    missing = [name for name in (companion.variables if companion else ()) if name not in columns]
    note = f"The companion names columns that the table lacks: {listing(missing)}."
    return replace(known, variables=variables), [note] if missing else []
