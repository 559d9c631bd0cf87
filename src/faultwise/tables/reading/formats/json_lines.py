"""Read JSON lines (an object per line) and JSON arrays of objects, also compressed.

Objects inside objects become columns `outer.inner`. Lists are refused: they have no place in a row.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path

import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.formats.contents import Contents, Part, parsing
from faultwise.tables.reading.text.decoding import read_text

__all__ = ["open_json", "records_of"]

_KIND = "a JSON file"
_PIECE = 20_000
_DEEPEST = 20
Record = dict[str, object]


def open_json(path: Path) -> Contents:
    """Return the one table of a file of JSON lines, or of a JSON array of objects. Raises DataError, with the line that
    is broken.
    """

    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        with parsing(path, _KIND):
            text, _words, notes = read_text(path)
            return framed(
                _of_array(text, path) if text.lstrip()[:1] == "[" else records_of(text.split("\n"), path)
            ), notes

    return Contents(path, "JSON records", "table", {path.stem: Part(1, read)})


def framed(records: Iterator[Record]) -> pd.DataFrame:
    """Return records as a frame; what a record lacks is missing."""
    frames: list[pd.DataFrame] = []
    held: list[Record] = []
    for record in chain(records, [None]):
        if record is not None:
            held.append(record)
        if held and (record is None or len(held) == _PIECE):
            frames.append(_frame(held))
            held = []
    if not frames:
        return pd.DataFrame()
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _frame(records: list[Record]) -> pd.DataFrame:
    names = dict.fromkeys(name for record in records for name in record)
    columns = {name: [record.get(name) for record in records] for name in names}
    # Mixed columns keep their own objects; the cleaning decides what they are.
    return pd.DataFrame({name: pd.Series(values, dtype=_dtype(values)) for name, values in columns.items()})


def _dtype(values: list[object]) -> str:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and all(value is None or abs(value) < 1 << 62 for value in values):  # type: ignore[operator, arg-type]
        return "float64" if None in values else "int64"
    if float in kinds and kinds <= {int, float}:
        return "float64"
    return "bool" if kinds == {bool} and None not in values else "object"


def records_of(lines: Iterator[str] | list[str], path: Path, first: int = 1) -> Iterator[Record]:
    """Yield the flat record of each line that is not blank. Raises DataError that names the line."""
    for number, line in enumerate(lines, first):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                reason = " ".join(str(error).split())[:100]
                raise DataError(
                    f"`{path}`, line {number} is no JSON object ({reason}): expected an object such as "
                    '{"flow": 1.5} on every line; mend or remove the line.'
                ) from None
            yield _flat(value, path, f"line {number}")


def _of_array(text: str, path: Path) -> Iterator[Record]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"`{path}`, line {error.lineno} is no JSON ({error.msg}): expected an array of objects, [{{...}}, ...]; "
            "mend it, or fetch the file again."
        ) from None
    for number, value in enumerate(values, 1):
        yield _flat(value, path, f"record {number}")


def _flat(value: object, path: Path, where: str) -> Record:
    if not isinstance(value, dict):
        raise DataError(
            f'`{path}`, {where} holds {_named(value)}; expected an object such as {{"flow": 1.5}}, with a name for '
            "every value: write records with names."
        )
    if not any(isinstance(one, dict | list) for one in value.values()):
        return value
    made: Record = {}
    _unfold(value, "", made, path, where, 0)
    return made


def _unfold(value: dict[str, object], before: str, made: Record, path: Path, where: str, depth: int) -> None:
    for key, one in value.items():
        if isinstance(one, list) or depth > _DEEPEST:
            raise DataError(
                f"`{path}`, {where}: `{(before + key)[:60]}` holds a list; expected one number or text: write a name "
                "for each of its values, or a line for each."
            )
        if isinstance(one, dict):
            _unfold(one, f"{before}{key}.", made, path, where, depth + 1)
        else:
            made[before + key] = one


def _named(value: object) -> str:
    return {list: "a list", str: "a text", bool: "a truth value"}.get(type(value), "a number")
