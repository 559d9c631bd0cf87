"""Read HDF5 files: datasets of one length in a group are columns of a table, a dataset with named fields is one.

Links to other files, and data kept in other files, are not followed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.formats.columns import Column, side_by_side, spread
from faultwise.tables.reading.formats.contents import Contents, Part, allowed_size, needed, parsing
from faultwise.tables.reading.formats.hdf5_heaps import refuse_endless_heaps, refuse_endless_texts

if TYPE_CHECKING:
    import h5py

__all__ = ["matlab_variables", "open_hdf5"]

_KIND = "an HDF5 file"
_MOST_OBJECTS = 100_000
_DEEPEST = 20
_TEXT_BYTES = 64
_LONGEST = 100_000
_SMALL = 1 << 26
_MOST_RATIO = 1000


def open_hdf5(path: Path) -> Contents:
    """Return the tables of an HDF5 file, named by group or dataset.

    Raises DataError where nothing in it is a table, for what pandas' `to_hdf` wrote, and for what is no HDF5 file;
    UserError without the extra `hdf5`.
    """
    needed("h5py", path, _KIND, "hdf5")
    import h5py

    parts: dict[str, Part] = {}
    seen: list[str] = []
    with parsing(path, _KIND):
        refuse_endless_heaps(path)
    with parsing(path, _KIND), h5py.File(path, "r") as file:
        for group in _groups(file):
            if "pandas_type" in group.attrs:
                raise DataError(
                    f"`{path}` was written by pandas (`to_hdf`, at `{group.name}`), whose layout is not read: read it "
                    "with pandas and write it with `to_parquet`."
                )
            columns: dict[str, Column] = {}
            for name, one in _datasets(group):
                seen.append(f"{one.name} {one.shape}")
                if one.dtype.names and one.ndim == 1 and one.shape[0]:
                    parts[one.name.strip("/")] = Part(one.shape[0], _compound(path, one.name))
                elif column := _column(path, one):
                    columns[name] = column
            parts |= _of_group(group.name.strip("/"), side_by_side(columns), columns)
    if not parts:
        found = listing(seen, 6) or "nothing"
        raise DataError(
            f"`{path}` holds no datasets that form a table, but {found}; expected datasets of numbers or text with one "
            "length: check how it was written."
        )
    return Contents(path, "HDF5", "group", parts)


def _of_group(name: str, parts: dict[str, Part], columns: dict[str, Column]) -> dict[str, Part]:
    """Return the tables of a group: its longest one has the group's name, the root of the file is `/`."""
    if not parts:
        return {}
    most = max(sum(one.shape[0] == rows.rows for one in columns.values()) for rows in parts.values())
    if len(columns) > 1 and most == 1 and all(len(one.shape) == 1 for one in columns.values()):
        return {}  # every dataset has a length of its own: none is a column of another
    first, *rest = parts
    return {name or "/": parts[first], **{f"{name}/{one}".strip("/"): parts[one] for one in rest}}


def _groups(file: h5py.File) -> Iterator[h5py.Group]:
    import h5py

    waiting: list[tuple[h5py.Group, int]] = [(file, 0)]
    count = 0
    known = set()
    while waiting:
        group, depth = waiting.pop(0)
        mark = h5py.h5o.get_info(group.id).addr
        count += 1
        if mark in known or count > _MOST_OBJECTS:
            continue
        known.add(mark)
        yield group
        if depth < _DEEPEST:
            waiting += [(group[name], depth + 1) for name in _own(group) if isinstance(group[name], h5py.Group)]


def _own(group: h5py.Group) -> list[str]:
    """Return the names in a group that do not lead to another file."""
    import h5py

    names = list(group)[:_MOST_OBJECTS]
    return [name for name in names if isinstance(group.get(name, getlink=True), h5py.HardLink)]


def _datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    import h5py

    for name in _own(group):
        one = group[name]
        if isinstance(one, h5py.Dataset) and one.shape and not one.is_virtual and not one.external:
            yield name, one


def _column(path: Path, one: h5py.Dataset) -> Column | None:
    if len(one.shape) > 2 or not one.shape[0] or (len(one.shape) == 2 and not one.shape[1]):
        return None
    if one.dtype.kind not in "biufSO" or (one.dtype.kind == "O" and not _is_text(one)):
        return None
    name = one.name

    def read() -> np.ndarray | pd.Series:
        import h5py

        with parsing(path, _KIND), h5py.File(path, "r") as file:
            return _values(path, file[name])

    return Column(one.shape, read)


def _is_text(one: h5py.Dataset) -> bool:
    import h5py

    return h5py.check_string_dtype(one.dtype) is not None


def _values(path: Path, one: h5py.Dataset) -> np.ndarray | pd.Series:
    _affordable(path, one)
    refuse_endless_texts(path, one)
    values = one[()]
    if values.dtype.kind not in "SO":
        return np.asarray(values)
    texts = [_decoded(cell) for cell in values.ravel()]
    return pd.Series(texts, dtype="str") if values.ndim == 1 else np.array(texts, object).reshape(values.shape)


def _affordable(path: Path, one: h5py.Dataset) -> None:
    """Refuse a dataset that would take gigabytes, or very much more memory than it takes in the file."""
    size = int(one.size) * (one.dtype.itemsize if one.dtype.kind != "O" else _TEXT_BYTES)
    allowed_size(size, f"`{one.name}`", path)
    if size > max(_SMALL, _MOST_RATIO * int(one.id.get_storage_size())):
        raise DataError(
            f"`{path}`: `{one.name}` states {one.shape} values, which is far more than the file holds: it is damaged, "
            "or was never filled; write it again."
        )


def _decoded(cell: object) -> str:
    return cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)


def _compound(path: Path, name: str):  # type: ignore[no-untyped-def]
    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        import h5py

        with parsing(path, _KIND), h5py.File(path, "r") as file:
            one = file[name]
            _affordable(path, one)
            values = one[()]
        fields = {field: values[field] for field in values.dtype.names or ()}
        kept: dict[str, np.ndarray | pd.Series] = {
            field: array for field, array in fields.items() if array.ndim < 3 and array.dtype.kind in "biuf"
        }
        for field, array in fields.items():
            if array.ndim == 1 and array.dtype.kind in "SO" and all(isinstance(cell, bytes | str) for cell in array):
                kept[field] = pd.Series([_decoded(cell) for cell in array], dtype="str")
        left = [field for field in fields if field not in kept]
        notes = [f"Fields that are no numbers or text were left out: {listing(left, 5)}."] if left else []
        return spread({field: kept[field] for field in fields if field in kept}), notes

    return read


def matlab_variables(path: Path) -> tuple[dict[str, Column], list[str]]:
    """Return the arrays of a MATLAB file of version 7.3, and the names of what is none."""
    needed("h5py", path, "a MATLAB file of version 7.3", "hdf5")
    import h5py

    arrays: dict[str, Column] = {}
    refused: list[str] = []
    refuse_endless_heaps(path)
    with h5py.File(path, "r") as file:
        refused += [f"{name} (struct)" for name in _own(file) if isinstance(file[name], h5py.Group) and name[0] != "#"]
        for name, one in _datasets(file):
            kind = one.attrs.get("MATLAB_class", b"")
            kind = _decoded(kind)
            column = None if "MATLAB_empty" in one.attrs or len(one.shape) > 2 else _matlab_column(path, one, kind)
            if column is None:
                refused.append(f"{name} ({kind or one.dtype})")
            else:
                arrays[name] = column
    return arrays, refused


def _matlab_column(path: Path, one: h5py.Dataset, kind: str) -> Column | None:
    """MATLAB writes columns first: arrays are turned."""
    shape = one.shape[::-1]
    if kind in ("char", "cell"):
        texts = _letters(path, one) if kind == "char" else _cells(path, one)
        return None if texts is None else Column((len(texts),), lambda: texts)
    if one.dtype.kind not in "biuf":
        return None
    _affordable(path, one)
    values = one[()].T
    values = values.astype(bool) if kind == "logical" else values
    return Column(shape, lambda: values)


def _letters(path: Path, one: h5py.Dataset) -> pd.Series | None:
    if one.dtype.kind not in "iu" or len(one.shape) != 2:
        return None
    _affordable(path, one)
    return pd.Series(["".join(map(chr, row)).rstrip() for row in one[()].T.astype(np.uint16)], dtype="str")


def _cells(path: Path, one: h5py.Dataset) -> pd.Series | None:
    import h5py

    if h5py.check_ref_dtype(one.dtype) is None or 1 not in one.shape:
        return None
    _affordable(path, one)
    file = one.file
    texts: list[str] = []
    for reference in one[()].ravel():
        inner = file[reference]
        if not isinstance(inner, h5py.Dataset) or _decoded(inner.attrs.get("MATLAB_class", b"")) != "char":
            return None
        if "MATLAB_empty" in inner.attrs or not inner.size:
            texts.append("")
        elif inner.dtype.kind not in "iu" or len(inner.shape) != 2 or inner.shape[1] != 1 or inner.size > _LONGEST:
            return None  # several rows, or too long for a label
        else:
            texts.append("".join(map(chr, inner[()].astype(np.uint16).ravel())).rstrip())
    return pd.Series(texts, dtype="str")
