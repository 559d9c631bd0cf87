"""Read LabVIEW measurement files (`.lvm`): header blocks, one or more segments, X columns, comments.

A file of several segments gets a column `segment`, which is its run. Source of the format: National Instruments,
"Specification for the LabVIEW Measurement File (.lvm)".
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import clean, unique_names
from faultwise.tables.reading.folders import free_name
from faultwise.tables.reading.formats.columns import with_integers
from faultwise.tables.reading.formats.contents import Contents, Part, parsing
from faultwise.tables.reading.text.decoding import read_text
from faultwise.tables.reading.text.delimited import frame_of_text

__all__ = ["open_labview"]

_KIND = "a LabVIEW measurement file"
_END = "***End_of_Header***"
_TIME = "X_Value"
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";"}


@dataclass(frozen=True, slots=True)
class _Segment:
    header: dict[str, list[str]]
    names: list[str]
    rows: list[list[str]]
    first: int


def open_labview(path: Path) -> Contents:
    """Return the one table of a LabVIEW file; its X column is the time. Raises DataError where rows do not fit."""

    def read(as_text: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        with parsing(path, _KIND):
            text, _words, notes = read_text(path)
            if not text.lstrip().startswith("LabVIEW Measurement"):
                frame, _, found = frame_of_text(text, path, as_text)
                return frame, ["The file has no LabVIEW header and was read as text.", *notes, *found]
            frame, found = _table(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), path, as_text)
            return frame, [*notes, *found]

    return Contents(path, "LabVIEW measurement", "table", {path.stem: Part(1, read, _TIME, "segment")})


def _table(lines: list[str], path: Path, as_text: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
    head, at = _header(lines, 0, None, path)
    separator = _SEPARATORS.get(_value(head, "Separator", "Tab").lower(), "\t")
    decimal = "," if _value(head, "Decimal_Separator", ".").startswith(",") else "."
    kind = _value(head, "X_Columns", "One").lower()
    segments = _segments(lines, at, separator, path)
    frames = [_frame(one, kind, decimal) for one in segments]
    names = list(frames[0].columns)
    for one, frame in zip(segments, frames, strict=True):
        if list(frame.columns) != names:
            raise DataError(
                f"`{path}`, line {one.first}: this segment has other channels than the first one; expected the same in "
                "all of them: export each to a file of its own."
            )
    notes = []
    whole = pd.concat(frames, ignore_index=True)
    if len(frames) > 1:
        run = free_name(["run", *names]) if "segment" in names else "segment"
        whole.insert(0, run, np.repeat([f"segment {i}" for i in range(1, len(frames) + 1)], [len(f) for f in frames]))
        notes.append(f"{len(frames)} segments: the new column `{run}` says which one a row is from.")
    if "Comment" in whole:
        comments = int((whole["Comment"] != "").sum())
        whole = whole.drop(columns="Comment")
        notes += [f"Comments of {comments} rows were left out."] if comments else []
    whole = pd.DataFrame({name: whole[name] if name in as_text else with_integers(whole[name]) for name in whole})
    whole, cleaned = clean(whole, decimal=decimal, proven=True, as_text=as_text)
    return whole, [*notes, *cleaned]


def _header(lines: list[str], at: int, separator: str | None, path: Path) -> tuple[dict[str, list[str]], int]:
    """Return the entries of a header block and the number of the line behind it."""
    found: dict[str, list[str]] = {}
    special = False
    for number in range(at, len(lines)):
        line = lines[number]
        if line.startswith(_END):
            return found, number + 1
        special = (special or line.startswith("***Start_Special***")) and not line.startswith("***End_Special***")
        if not special and line.strip():
            # The file header itself says which separator the file has.
            name, *values = line.split(separator or next((s for s in "\t,;" if s in line), "\t"))
            found[name.strip()] = values
    raise DataError(f"`{path}` ends inside a header; expected a line `{_END}`: it may be cut off.")


def _value(header: dict[str, list[str]], name: str, default: str) -> str:
    return next(iter(header.get(name, ())), default).strip() or default


def _segments(lines: list[str], at: int, separator: str, path: Path) -> list[_Segment]:
    made: list[_Segment] = []
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        header, at = _header(lines, at, separator, path)
        if at >= len(lines) or not lines[at].strip():
            raise DataError(
                f"`{path}` ends behind a header; expected a line with names of channels: it may be cut off."
            )
        names, first = [name.strip() for name in lines[at].split(separator)], at + 1
        at += 1
        rows: list[list[str]] = []
        while at < len(lines) and lines[at].strip():
            row = lines[at].split(separator)
            at += 1
            if len(row) > len(names):
                if any(cell.strip() for cell in row[len(names) :]):
                    raise DataError(
                        f"`{path}`, line {at}: {len(row)} values, but {len(names)} columns: it may be damaged; export "
                        "it again."
                    )
                row = row[: len(names)]
            rows.append(row + [""] * (len(names) - len(row)))
        made.append(_Segment(header, names, rows, first))
    made = [one for one in made if one.rows]
    if not made:
        raise DataError(f"`{path}` has a header and no rows: check how it was exported.")
    return made


def _frame(segment: _Segment, kind: str, decimal: str) -> pd.DataFrame:
    """Return the rows of a segment as text: one X column, the channels, comments."""
    names = unique_names(segment.names)[0] if len(set(segment.names)) < len(segment.names) else segment.names
    xs = [at for at, name in enumerate(names) if name.partition(".")[0] == _TIME]
    columns = list(zip(*segment.rows, strict=True))
    channels = [at for at, name in enumerate(names) if name and at not in xs]
    made = {at: list(columns[at]) for at in channels}
    frame = pd.DataFrame(made, dtype="str").set_axis([names[at] for at in channels], axis=1)
    start, step = (_value(segment.header, name, "").replace(decimal, ".") for name in ("X0", "Delta_X"))
    if kind != "no" and xs and any(cell.strip() for cell in columns[xs[0]]):
        frame.insert(0, _TIME, pd.Series(columns[xs[0]], dtype="str"))
    elif step and xs:
        computed = float(start or 0) + float(step) * np.arange(len(frame))
        frame.insert(0, _TIME, pd.Series([repr(float(x)).replace(".", decimal) for x in computed], dtype="str"))
    return frame
