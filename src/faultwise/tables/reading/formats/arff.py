"""Read ARFF files, as Weka writes them: numbers, nominal values, text and dates, dense rows and sparse ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.formats.columns import with_integers
from faultwise.tables.reading.formats.contents import Contents, Part, parsing
from faultwise.tables.reading.text.decoding import read_text

__all__ = ["open_arff"]

_KIND = "an ARFF file"
_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_QUOTED}|[^\s{{]+)\s*(\{{.*\}}|\S+.*)", re.IGNORECASE)
_FIELD = re.compile(rf"\s*({_QUOTED}|[^,]*?)\s*(,|$)")
_SPARSE = re.compile(rf"\s*(\d+)\s+({_QUOTED}|[^,\s]+)\s*(,|$)")
_NUMBERS = ("numeric", "real", "integer")


def open_arff(path: Path) -> Contents:
    """Return the one table of an ARFF file. Raises DataError without @data, or where a row does not fit the header."""

    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        with parsing(path, _KIND):
            text, _words, notes = read_text(path)
            return _table(text.splitlines(), path), notes

    return Contents(path, "ARFF", "table", {path.stem: Part(1, read)})


def _table(lines: list[str], path: Path) -> pd.DataFrame:
    names: list[str] = []
    kinds: list[str] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if line.lower().startswith("@data"):
            break
        if line.lower().startswith("@attribute"):
            found = _ATTRIBUTE.match(line)
            if found is None:
                raise DataError(
                    f"`{path}`, line {number} is no attribute (`{line[:60]}`); expected `@attribute NAME numeric`, or "
                    "a list of values in braces: mend the header."
                )
            names.append(_plain(found[1]))
            kinds.append(found[2].lower())
    else:
        raise DataError(
            f"`{path}` has {len(names)} attributes and no line `@data`; expected one above the rows: it may be cut off."
        )
    if not names:
        raise DataError(f"`{path}` has no line `@attribute`; expected one for each column: check how it was written.")
    rows = list(_rows(lines[number:], number + 1, kinds, path))
    columns = zip(*rows, strict=True) if rows else [()] * len(names)
    made = {at: pd.Series(list(column), dtype="object") for at, column in enumerate(columns)}
    numbers = [at for at, kind in enumerate(kinds) if kind.split()[0] in _NUMBERS]
    return pd.DataFrame({**made, **{at: with_integers(made[at]) for at in numbers}}).set_axis(names, axis=1)


def _rows(lines: list[str], first: int, kinds: list[str], path: Path) -> Iterator[list[str | None]]:
    for number, line in enumerate(lines, first):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        row = _sparse(line, kinds) if line.startswith("{") else _dense(line)
        if row is None or len(row) != len(kinds):
            found = "is no row" if row is None else f"has {len(row)} values"
            raise DataError(
                f"`{path}`, line {number} {found} (`{line[:40]}`); expected {len(kinds)}, one for each attribute: mend "
                "the line."
            )
        yield row


def _dense(line: str) -> list[str | None] | None:
    if "'" not in line and '"' not in line:
        return [None if (one := part.strip()) == "?" else one for part in line.split(",")]
    row: list[str | None] = []
    at = 0
    while True:
        found = _FIELD.match(line, at)
        if found is None:
            return None
        row.append(None if found[1] == "?" else _plain(found[1]))
        at = found.end()
        if not found[2]:
            return row


def _sparse(line: str, kinds: list[str]) -> list[str | None] | None:
    """Return a row `{0 1.5, 3 on}`: what is not named is 0, or the first of the nominal values."""
    row: list[str | None] = [_zero(kind) for kind in kinds]
    inner = line.strip("{} \t")
    at = 0
    while at < len(inner):
        found = _SPARSE.match(inner, at)
        if found is None or len(found[1]) > 6 or int(found[1]) >= len(row):
            return None
        row[int(found[1])] = None if found[2] == "?" else _plain(found[2])
        at = found.end()
    return row


def _zero(kind: str) -> str | None:
    if kind.startswith("{"):
        found = _FIELD.match(kind.strip("{} "))
        return _plain(found[1]) if found else None
    return "0" if kind.split()[0] in _NUMBERS else None


def _plain(text: str) -> str:
    """Return a value without its quotes.

    >>> _plain("'it\\\\'s'"), _plain("on")
    ("it's", 'on')
    """
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text
