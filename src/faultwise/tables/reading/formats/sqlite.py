"""Read tables and views of a SQLite database. It is opened for reading only, and nothing but reading is allowed."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.cleaning import unique_names
from faultwise.tables.reading.formats.contents import Contents, Part, parsing

__all__ = ["open_sqlite", "sqlite_batches"]

_KIND = "a SQLite database"
_PIECE = 50_000
_MAGIC = b"SQLite format 3\0"
_ALLOWED = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_WAIT_S = 2.0


def open_sqlite(path: Path) -> Contents:
    """Return the tables of a database, and its views. Raises DataError for what is no database, is locked or empty."""
    with parsing(path, _KIND):
        with path.open("rb") as file:
            start = file.read(len(_MAGIC))
        if start != _MAGIC:
            what = "is empty" if not start else "is no SQLite database"
            raise DataError(f"`{path}` {what}; expected one with a table: check the path, or rename it to what it is.")
        with _opened(path) as database:
            named = database.execute("SELECT name, type FROM sqlite_master WHERE type IN ('table', 'view')")
            known = [(str(name), kind) for name, kind in named if not str(name).lower().startswith("sqlite_")]
            sizes = {name: _size(database, name) for name, kind in known if kind == "table"}
    parts = {name: Part(rows, _reader(path, name)) for name, rows in sizes.items() if rows}
    # A view repeats what tables hold: it is read where it is named.
    parts |= {name: Part(0, _reader(path, name)) for name, kind in known if kind == "view"}
    if not parts and known:
        raise DataError(f"`{path}`: its tables ({listing(sizes, 5)}) have no rows: check which file was exported.")
    return Contents(path, "SQLite database", "table", parts)


def sqlite_batches(path: Path, table: str, rows: int) -> Iterator[pd.DataFrame]:
    """Yield frames of at most `rows` rows of a table, in its own order. Raises DataError."""
    with parsing(path, _KIND), _opened(path) as database:
        cursor = database.execute(f"SELECT * FROM {_quoted(table)}")
        names, _, _ = unique_names(one[0] for one in cursor.description)
        while found := cursor.fetchmany(rows):
            yield pd.DataFrame(found, columns=names)


def _size(database: sqlite3.Connection, table: str) -> int:
    return int(database.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _reader(path: Path, table: str):  # type: ignore[no-untyped-def]
    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        frames = list(sqlite_batches(path, table, _PIECE))
        if not frames:
            return pd.DataFrame(), []
        frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else frames[0]
        binary = [name for name in frame if any(isinstance(cell, bytes) for cell in frame[name])]
        notes = [f"Columns of binary data were left out: {listing(binary, 5)}."] if binary else []
        return frame.drop(columns=binary), notes

    return read


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    if _without_its_log(path):
        address += "&immutable=1"
    try:
        with _connected(address) as database:
            yield database
    except sqlite3.Error as error:
        if "locked" in str(error) or "busy" in str(error):
            raise DataError(
                f"`{path}` is locked by another program that writes to it: wait until it has finished, or read a copy."
            ) from None
        raise


def _without_its_log(path: Path) -> bool:
    """Return whether a database keeps a log beside it and has none now: opened as usual, it would get one."""
    log = path.with_name(path.name + "-wal")
    with path.open("rb") as file:
        versions = file.read(20)[18:]
    return versions == b"\2\2" and not (log.exists() and log.stat().st_size)


@contextmanager
def _connected(address: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S, isolation_level=None)) as database:
        database.execute("PRAGMA trusted_schema = OFF")
        database.execute("PRAGMA cell_size_check = ON")
        database.text_factory = lambda raw: raw.decode("utf-8", "replace")
        database.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
        yield database
