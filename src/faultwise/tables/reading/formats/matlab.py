"""Read MATLAB files: version 5 to 7.2 with SciPy, version 7.3 (which is HDF5) with h5py.

Variables with as many rows are columns of one table; a matrix gives several columns. Numbers, text and cells of text
are read. Structures, objects and functions are not: no class of MATLAB is made from a file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.formats.columns import Column, side_by_side
from faultwise.tables.reading.formats.contents import Contents, allowed_size, parsing

__all__ = ["open_matlab", "oriented"]

_KIND = "a MATLAB file"
_HDF5 = b"\x89HDF\r\n\x1a\n"


def open_matlab(path: Path) -> Contents:
    """Return the tables of a MATLAB file, one for each number of rows. Raises DataError where no variable is an array
    of numbers or text; UserError for version 7.3 without the extra `hdf5`.
    """
    with parsing(path, _KIND):
        with path.open("rb") as file:
            start = file.read(520)
        if start[:8] == _HDF5 or start[512:520] == _HDF5:
            from faultwise.tables.reading.formats.hdf5 import matlab_variables

            arrays, refused = matlab_variables(path)
        else:
            arrays, refused = _variables(path)
    if not arrays:
        found = listing(refused, 6) or "nothing"
        raise DataError(
            f"`{path}` holds no variable that is an array of numbers or text, but {found}; expected columns of one "
            "length: in MATLAB, save the fields of a structure with `save('rows.mat', '-struct', 's')`, and a table "
            "with `writetable(t, 'rows.csv')`."
        )
    columns = oriented(arrays)
    parts = side_by_side(columns, refused)
    by_rows = {part.rows: name for name, part in parts.items()}
    within = {name: by_rows[one.shape[0]] for name, one in columns.items() if one.shape[0] in by_rows}
    return Contents(path, "MATLAB", "variable", parts, within=within)


def oriented(arrays: dict[str, Column]) -> dict[str, Column]:
    """Return arrays with their rows first: a row of many values is a column."""
    vectors = {max(one.shape) for one in arrays.values() if 1 in one.shape[1:] or one.shape[0] == 1}
    return {name: _turned(one) if _lies(one, vectors) else one for name, one in arrays.items()}


def _lies(one: Column, vectors: set[int]) -> bool:
    if len(one.shape) < 2:
        return False
    rows, columns = one.shape
    return columns > 1 and (rows == 1 or (columns in vectors and rows not in vectors))


def _turned(one: Column) -> Column:
    return Column(one.shape[::-1], lambda: np.asarray(one.read()).T)


def _variables(path: Path) -> tuple[dict[str, Column], list[str]]:
    """Return the arrays of a file of version 5 to 7.2, and the names of what is none."""
    from scipy.io import loadmat, whosmat

    arrays: dict[str, Column] = {}
    refused: list[str] = []
    known = whosmat(str(path))
    wanted = []
    total = 0
    for name, shape, kind in known:
        count = int(np.prod([int(size) for size in shape], dtype=object))
        if kind in ("struct", "object", "function", "opaque", "unknown") or len(shape) != 2 or not count:
            refused.append(f"{name} ({kind}{' '.join(['', *map(str, shape)]) if len(shape) != 2 else ''})")
        else:
            wanted.append(name)
            total += 8 * count
    if not wanted:
        return arrays, refused
    allowed_size(total, "its variables", path)
    _check_unpacked(path)
    for name, value in loadmat(str(path), variable_names=wanted, struct_as_record=True).items():
        column = _column(value) if name in wanted else None
        if column is not None:
            arrays[name] = column
        elif name in wanted:
            refused.append(
                f"{name} ({'cell' if isinstance(value, np.ndarray) and value.dtype.kind == 'O' else 'other'})"
            )
    return arrays, refused


def _check_unpacked(path: Path) -> None:
    """Refuse a file whose compressed variables would unpack to more than memory holds."""
    import zlib

    with path.open("rb") as file:
        start = file.read(128)
        order = "little" if start[126:128] == b"IM" else "big"
        total = 0
        while len(tag := file.read(8)) == 8:
            kind, size = (int.from_bytes(tag[at : at + 4], order) for at in (0, 4))  # type: ignore[arg-type]
            if kind != 15:
                file.seek(size, 1)
                continue
            unpacker = zlib.decompressobj()
            left = size
            while left > 0 and (piece := file.read(min(left, 1 << 20))):
                left -= len(piece)
                while piece and not unpacker.eof:
                    total += len(unpacker.decompress(piece, 1 << 22))
                    piece = unpacker.unconsumed_tail
                    allowed_size(total, "what is packed in it", path)


def _column(value: object) -> Column | None:
    """Return a variable as a column, None for what is no array of numbers or text."""
    if not isinstance(value, np.ndarray) or value.ndim > 2:
        return None
    if value.dtype.kind == "U":  # rows of letters come as one text each
        texts = pd.Series([str(one).rstrip() for one in value.ravel()], dtype="str")
        return Column((len(texts),), lambda: texts)
    if value.dtype == object:
        cells = [_text(cell) for cell in value.ravel()]
        if 1 not in value.shape or any(cell is None for cell in cells):
            return None
        words = pd.Series(cells, dtype="str")
        return Column((len(words),), lambda: words)
    if value.dtype.kind not in "biuf":
        return None
    return Column(value.shape, lambda: value)


def _text(cell: object) -> str | None:
    """Return the text of a cell, None for a cell of anything else; an empty cell is an empty text."""
    if isinstance(cell, np.ndarray) and cell.size == 0:
        return ""
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "U" and cell.size == 1:
        return str(cell.ravel()[0])
    return None
