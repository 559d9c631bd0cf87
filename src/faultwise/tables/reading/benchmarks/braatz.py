"""Read the classical Tennessee Eastman files of Braatz: a folder with `dNN.dat` and `dNN_te.dat`.

There is one training and one test run per fault, so these files can rank methods, but no coverage can be
derived from them. The number of rows is checked, so that a benchmark never runs on half a file. The simulator's own
tables (XMV(12), other lengths) are read as ordinary tables.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from faultwise.contracts.about import About
from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.table import Roles, Table

__all__ = ["BRAATZ_COLUMNS", "ONSET", "braatz_fault", "read_braatz", "read_braatz_file", "shipped_about"]

BRAATZ_COLUMNS = tuple([f"XMEAS({i})" for i in range(1, 42)] + [f"XMV({i})" for i in range(1, 12)])
# Samples of a test file before the fault sets in (8 h at one sample in 3 min).
ONSET = 160
_ROWS = {"train": 480, "train-normal": 500, "test": 960}
_NAME = re.compile(r"d(\d{2})(_te)?\.dat", re.IGNORECASE)
# After the trip the recorder went on: sensors noisy, manipulated variables still.
_TRIPPED = {6, 18}


def braatz_fault(name: str) -> tuple[int, str] | None:
    """Return the fault number and part that a file name states, or None when it is no Braatz name.

    >>> braatz_fault("d04_te.dat"), braatz_fault("d00.dat"), braatz_fault("log.dat")
    ((4, 'test'), (0, 'train'), None)
    """
    match = _NAME.fullmatch(name)
    if not match or int(match[1]) > 21:
        return None
    return int(match[1]), "test" if match[2] else "train"


def read_braatz(folder: str | Path, part: str = "train", faults: Iterable[int] | None = None) -> Table:
    """Read one part ("train" or "test") of the Braatz files.

    The table has the columns `run` (text, the file's stem), `sample` (1-based, within the file), the 52
    variables, and `fault` (text "0" to "21"). Training files are taken whole (480 rows; 500 for fault 0); of
    test files, fault rows start at sample 161 and fault 0 is taken whole. `faults` defaults to 0 to 20.
    Raises DataError for an unknown part or fault, and for files that are missing, cut off or not numeric.
    """
    folder = Path(folder)
    if part not in ("train", "test"):
        raise DataError(f"`{part}` is no part of the Braatz files: use train or test.")
    chosen = list(range(21)) if faults is None else [_fault(value) for value in faults]
    if not chosen or len(set(chosen)) < len(chosen):
        raise DataError(f"Faults requested: {listing(chosen) or 'none'}; expected each once, and at least one.")
    if not folder.is_dir():
        raise DataError(f"`{folder}` is no folder; expected the folder with `d00.dat`, `d01.dat`, ...")
    ending = "_te" if part == "test" else ""
    names = {path.name.lower(): path for path in folder.iterdir()}
    wanted = [f"d{fault:02d}{ending}.dat" for fault in chosen]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(
            f"`{folder}` lacks {listing(missing)} of the {len(wanted)} requested files: fetch them, or name the "
            "faults that are there."
        )
    frames = [_frame(names[name], fault, part) for name, fault in zip(wanted, chosen, strict=True)]
    notes = [f"Tennessee Eastman files of Braatz, {part} part, {len(chosen)} runs, one per fault."]
    if faults is None and f"d21{ending}.dat" in names:
        notes.append("Fault 21 is left out: the 21 classes are 0 to 20 (request it with faults).")
    return _table(frames, str(folder), part, chosen, notes)


def read_braatz_file(path: str | Path) -> Table:
    """Read one Braatz file; fault and part come from its name. Rows and errors are as in `read_braatz`."""
    path = Path(path)
    stated = braatz_fault(path.name)
    if stated is None:
        raise DataError(f"`{path.name}` is no Braatz file name; expected `d00.dat` to `d21_te.dat`: rename it.")
    fault, part = stated
    notes = [f"One Tennessee Eastman file of Braatz, {part} part, fault {fault}."]
    return _table([_frame(path, fault, part)], str(path), part, [fault], notes)


def _fault(value: object) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) > 21:
        raise DataError(f"`{text[:40]}` is no fault of the Tennessee Eastman files; expected 0 to 21.")
    return int(text)


def _frame(path: Path, fault: int, part: str) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # NumPy warns of an empty file; the shape tells it
            values = np.loadtxt(path, ndmin=2, comments=None)
    except FileNotFoundError:
        raise DataError(f"There is no file `{path}`: check the path.") from None
    except OSError as error:
        raise DataError(f"`{path}` cannot be read ({error.strerror or error}): check its rights.") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(f"`{path}` is not all numbers ({reason}): fetch the file again.") from None
    rows = _ROWS["train-normal" if part == "train" and fault == 0 else part]
    columns = len(BRAATZ_COLUMNS)
    if values.shape == (columns, rows):  # d00.dat is stored transposed
        values = values.T
    if values.shape != (rows, columns):
        raise DataError(
            f"`{path}` holds {values.shape[0]} rows of {values.shape[1]} numbers; expected {rows} rows of "
            f"{columns}: it may be cut off, fetch it again."
        )
    if not np.isfinite(values).all():
        raise DataError(f"`{path}` holds values that are missing or infinite: fetch the file again.")
    frame = pd.DataFrame(values, columns=list(BRAATZ_COLUMNS))
    frame.insert(0, "run", path.stem.lower())
    frame.insert(1, "sample", np.arange(1, rows + 1))
    frame["fault"] = str(fault)
    return frame.iloc[ONSET:] if part == "test" and fault else frame


def _table(frames: list[pd.DataFrame], source: str, part: str, faults: list[int], notes: list[str]) -> Table:
    if part == "test" and any(faults):
        notes.append(f"Of each fault's test run the first {ONSET} samples, before the onset, are left out.")
    tripped = sorted(_TRIPPED.intersection(faults))
    if tripped:
        notes.append(
            f"The plant trips under fault {' and fault '.join(map(str, tripped))}; the file goes on with the "
            "plant at a standstill, and those rows carry the fault's label."
        )
    notes.append("One run per class: hold out the end of each run (--split block), which is optimistic.")
    return Table(
        frame=pd.concat(frames, ignore_index=True),
        roles=Roles(target="fault", group="run", time="sample"),
        source=source,
        notes=tuple(notes),
        about=shipped_about(),
        split="block",
    )


def shipped_about() -> About:
    """Return the companion that travels with the package; without it there are no descriptions."""
    shipped = resources.files("faultwise.tables.reading.benchmarks") / "shipped" / "tep.yaml"
    try:
        raw = yaml.safe_load(shipped.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return About()
    return About.from_dict(raw, "tep.yaml")
