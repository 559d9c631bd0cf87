"""Read MATLAB files: version 5 to 7.2, and version 7.3, which is HDF5.

Variables with as many rows are columns of one table; a matrix gives several columns. Numbers, text and cells of text
are read. Structures, objects and functions are not: no class of MATLAB is made from a file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.formats.columns import Column, side_by_side
from faultwise.tables.reading.formats.contents import Contents, parsing
from faultwise.tables.reading.formats.matlab5 import variables

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
            arrays, refused = variables(path)
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
