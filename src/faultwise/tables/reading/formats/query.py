"""SQL over a source: one SELECT, run by DuckDB in a closed room that sees the source and nothing else.

The source is the view `source`; where a file holds several tables each also has its own name. Nothing is written, no
other file is read, no extension is loaded, and no variable of the program is seen.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from faultwise.contracts.errors import DataError, UserError, closest, listing
from faultwise.contracts.paths import PARQUET, TEXT, ending
from faultwise.tables.reading.cleaning import clean, unique_names
from faultwise.tables.reading.formats.contents import needed
from faultwise.tables.reading.formats.formats import holds_tables, open_contents
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.parquet import read_parquet_batches
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.text.delimited_batches import read_delimited_batches

if TYPE_CHECKING:
    import duckdb

__all__ = ["queried"]

_SOURCE = "source"
_LARGE = 1 << 27
_PIECE = 100_000
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CLOSED = {
    "enable_external_access": "false",
    "python_enable_replacements": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "preserve_insertion_order": "true",
}


def queried(path: Path, how: TableReading, labels: list[str], whole: Callable[[], Table]) -> Table:
    """Return the rows that the query in `how` selects from a source; `whole` reads the source itself.

    Raises UserError for SQL that is not one SELECT, that is wrong, or names another table; UserError without the extra
    `query`; DataError as reading does, and where no rows come out.
    """
    needed("duckdb", path, "to be read with --query", "query")
    query = how.query or ""
    with _closed_room() as database:
        names = _names(database, query)
        table = _offer(database, path, names, labels, whole)
        database.execute("SET lock_configuration = true")
        frame = _run(database, query)
    if frame.empty:
        raise DataError(
            f"The query selects {len(frame)} rows and {len(frame.columns)} columns of `{path}`; expected at least one "
            "of each: check its conditions."
        )
    unique, _, renamed = unique_names(frame.columns)
    frame = frame.set_axis(unique, axis=1)
    nested = [name for name in frame if frame[name].map(lambda one: isinstance(one, dict | list | bytes)).any()]
    if nested:
        raise UserError(f"The query gives lists or binary data in {listing(nested, 4)}; expected numbers and text.")
    frame, cleaned = clean(frame, as_text=labels)
    notes = [
        *(() if table is None else table.notes),
        f"Selected by the query: {len(frame):,} rows.",
        *renamed,
        *cleaned,
    ]
    return Table(frame=frame, source=str(path), notes=tuple(notes))


@contextmanager
def _closed_room() -> Iterator[duckdb.DuckDBPyConnection]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="faultwise-") as folder:
        # A file of its own, so that large sources need not fit into memory.
        config: dict[str, str | bool | int | float | list[str]] = {**_CLOSED, "temp_directory": folder}
        with closing(duckdb.connect(str(Path(folder) / "source.duckdb"), config=config)) as database:
            yield database


def _names(database: duckdb.DuckDBPyConnection, query: str) -> list[str]:
    """Return the tables that a query names. Raises UserError for what is not exactly one SELECT."""
    import duckdb

    try:
        found = database.extract_statements(query)
        first = _COMMENTS.sub(" ", query).strip(" \t\r\n(;")[:6].upper()
        one_select = len(found) == 1 and found[0].type == duckdb.StatementType.SELECT
        if not one_select or not first.startswith(("SELECT", "WITH")):
            kinds = ", ".join(str(one.type).rpartition(".")[2] for one in found) or "nothing"
            raise UserError(
                f"--query runs {kinds}; expected exactly one statement, and one that reads: SELECT ... FROM source."
            )
        parsed = database.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    except duckdb.Error as error:
        raise _wrong(error) from None
    tables: set[str] = set()
    own: set[str] = set()
    _collect(json.loads(parsed[0][0]), tables, own)
    return sorted(name for name in tables if name.lower() not in own)


def _collect(node: object, tables: set[str], own: set[str]) -> None:
    """Add the tables that a parsed query names, and the names (in lower case) that it gives itself in WITH."""
    if isinstance(node, list):
        for one in node:
            _collect(one, tables, own)
    elif isinstance(node, dict):
        if node.get("type") == "BASE_TABLE":
            tables.add(str(node["table_name"]))
        if isinstance(map_ := node.get("cte_map"), dict):
            own.update(str(one["key"]).lower() for one in map_.get("map", ()))
        for one in node.values():
            _collect(one, tables, own)


def _wrong(error: Exception) -> UserError:
    if type(error).__name__ == "PermissionException":
        return UserError(f"--query may read nothing but the source: no file, no address; select from `{_SOURCE}`.")
    lines = [line.strip(" ^") for line in str(error).splitlines() if line.strip(" ^")]
    return UserError(f"--query could not be run ({'; '.join(lines)[:300]}): the source is the table `{_SOURCE}`.")


def _offer(
    database: duckdb.DuckDBPyConnection, path: Path, names: list[str], labels: list[str], whole: Callable[[], Table]
) -> Table | None:
    """Make the tables that the query names known to the database; return the source where it was read."""
    table = None
    several = open_contents(path) if holds_tables(path) and path.is_file() else None
    known = {} if several is None else {name.lower(): name for name in several.parts}
    for name in names:
        if name.lower() == _SOURCE:
            if _is_long(path):
                _store(database, path, labels)
            else:
                table = whole()
                database.register(_SOURCE, table.frame)
        elif several is not None and name.lower() in known:
            frame, _ = several.parts[known[name.lower()]].read(labels)
            unique, _, _ = unique_names(frame.columns)
            database.register(known[name.lower()], clean(frame.set_axis(unique, axis=1), as_text=labels)[0])
        else:
            tables = [_SOURCE, *known.values()]
            near = closest(name, tables)
            hint = f"did you mean `{near}`?" if near else "name one of them in the query."
            raise UserError(f"--query names the table `{name[:60]}`; there is {listing(tables)}: {hint}")
    return table


def _is_long(path: Path) -> bool:
    return path.is_file() and bool(ending(path.name, (*TEXT, *PARQUET))) and path.stat().st_size > _LARGE


def _store(database: duckdb.DuckDBPyConnection, path: Path, labels: list[str]) -> None:
    """Write a large source piece by piece into the database, which lies on disk."""
    batches: Iterator[pd.DataFrame]
    if ending(path.name, PARQUET):
        batches = read_parquet_batches(path, _PIECE, as_text=labels)
    else:
        batches = read_delimited_batches(path, _PIECE, as_text=labels)
    made = False
    for frame in batches:
        database.register("piece", frame)
        database.execute(f"INSERT INTO {_SOURCE} FROM piece" if made else f"CREATE TABLE {_SOURCE} AS FROM piece")
        database.unregister("piece")
        made = True


def _run(database: duckdb.DuckDBPyConnection, query: str) -> pd.DataFrame:
    import duckdb

    try:
        return database.execute(query).df()
    except duckdb.Error as error:
        raise _wrong(error) from None
