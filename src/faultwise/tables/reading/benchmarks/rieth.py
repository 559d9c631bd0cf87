"""The Tennessee Eastman set of Rieth and others: its columns, runs, onset, and the files of its folder.

The layout is known from the published description (Harvard Dataverse, doi:10.7910/DVN/6C3JR1); the code is
tested on generated files of that layout only. It fetches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.benchmarks.braatz import BRAATZ_COLUMNS, shipped_about
from faultwise.tables.reading.benchmarks.layout import Layout
from faultwise.tables.reading.table import Roles

__all__ = ["ONSETS", "RIETH", "rieth_faults", "rieth_files", "rieth_frame", "rieth_layout", "stated_part"]

RIETH = "Tennessee Eastman set of Rieth"
# Samples before the fault sets in (1 h and 8 h, at one sample in 3 min).
ONSETS = {"train": 20, "test": 160}
_TRAIN_ROWS = 500
_KEYS = {"faultnumber": "faultNumber", "simulationrun": "simulationRun", "sample": "sample"}
_OURS = {re.sub(r"\((\d+)\)", r"_\1", name).lower(): name for name in BRAATZ_COLUMNS}
_PART = re.compile(r"(training)|testing", re.IGNORECASE)
_FILE = re.compile(r"(?:tep[ _-]?)?(?:(fault[ _-]?free)|faulty)[ _-]?(?:training|testing)\..*", re.IGNORECASE)
# What pandas, Arrow and R make of a saved row index; `column 1` is the name that readers give to a nameless one.
_INDEX = re.compile(r"(unnamed: ?|column )\d+(_level_\d+)?|__index_level_\d+__|index|rownames|x|", re.IGNORECASE)


def stated_part(name: str) -> str:
    """Return the part that a file name states with Training or Testing: "train", "test", or "" for neither or both.

    >>> stated_part("TEP_Faulty_Testing.RData"), stated_part("rows.csv")
    ('test', '')
    """
    parts = {"train" if match[1] else "test" for match in _PART.finditer(name)}
    return parts.pop() if len(parts) == 1 else ""


def rieth_layout(columns: Iterable[object], onset: int | None = None) -> Layout | None:
    """Return the layout when the columns are those of the set, in any order and case; None when they are not.

    `onset` is the number of samples before a fault sets in (see `ONSETS`); without it, a chunk cannot be
    labelled, and `settled` takes it from the whole frame.
    """
    names = [str(name) for name in columns]
    found = _official(names)
    if found is None:
        return None
    index, extra = _others(names, found)
    part = next((part for part, before in ONSETS.items() if before == onset), "")
    notes = []
    if onset is not None:
        notes.append(f"{RIETH}{f', {part}ing part' if part else ''}; a run is a fault and one of its simulations.")
        notes.append(f"Samples 1 to {onset} of a faulty run are before the onset: they are labelled 0 (normal).")
    if index:
        notes.append(f"A saved row index was left out: {listing(index)}.")
    if extra:
        notes.append(f"Columns beside those of the set were kept: {listing(extra)}.")
    own = {"faultNumber": "fault", "simulationRun": "run", "sample": "sample"}
    return Layout(
        name=RIETH,
        roles=Roles(target="fault", group="run", time="sample"),
        about=shipped_about(),
        notes=tuple(notes),
        renamed={source: own.get(official) or _OURS[official] for official, source in found.items()},
        dropped=tuple(index),
        part=part,
        onset=onset,
        transform=_transform,
        settle=_settle,
    )


def rieth_frame(frame: pd.DataFrame, onset: int) -> pd.DataFrame:
    """Return rows of the set in this package's names; a chunk gives what the same rows of the whole frame give.

    The columns are `run` (text, `fault04-run012`: simulations are counted anew for every fault), `sample`,
    XMEAS(1) to XMEAS(41), XMV(1) to XMV(11), columns that are no part of the set, and `fault` (text; "0" for
    the first `onset` samples of every run). Raises DataError for missing columns, for fault, run or sample
    numbers that are not whole, and for samples that a training run does not have.
    """
    names = [str(name) for name in frame.columns]
    found = _official(names)
    if found is None:
        raise DataError(f"Columns found: {listing(names)}; expected those of the {RIETH}: check the file.")
    fault, run, sample = (_whole(frame[found[key]]) for key in _KEYS.values())
    if onset < ONSETS["test"] and len(sample) and sample.max() > _TRAIN_ROWS:
        raise DataError(
            f"The rows are taken as the training part, whose runs end at sample {_TRAIN_ROWS}, but there is a sample "
            f"{sample.max()}: a file of the testing part needs Testing, and not Training, in its name."
        )
    width = int(run.max(initial=0)) + 1
    codes, distinct = pd.factorize(fault * width + run)
    words = np.array([f"fault{pair // width:02d}-run{pair % width:03d}" for pair in distinct], dtype=object)
    numbers, levels = pd.factorize(np.where(sample > onset, fault, 0))
    labels = np.array([str(level) for level in levels], dtype=object)
    _, extra = _others(names, found)
    columns = {
        "run": pd.Series(words[codes], index=frame.index, dtype="str"),
        "sample": pd.Series(sample, index=frame.index),
        **{ours: frame[found[official]] for official, ours in _OURS.items()},
        **{name: frame[name] for name in extra},
        "fault": pd.Series(labels[numbers], index=frame.index, dtype="str"),
    }
    return pd.DataFrame(columns, index=frame.index)


def rieth_faults(frame: pd.DataFrame, faults: Collection[int], source: str) -> pd.DataFrame:
    """Return the runs of these faults, their rows before the onset included. Raises DataError for absent faults."""
    requested = [str(fault).strip() for fault in faults]
    if not requested or len(set(requested)) < len(requested):
        raise DataError(f"Faults requested: {listing(requested) or 'none'}; expected each once, and at least one.")
    found = _official([str(name) for name in frame.columns]) or {}
    numbers = _whole(frame[found["faultNumber"]])
    there = [str(number) for number in np.unique(numbers)]
    missing = [fault for fault in requested if fault not in there]
    if missing:
        raise DataError(
            f"`{source}` lacks the faults {listing(missing)}; it has {listing(there, 21)}: name faults that are there."
        )
    return frame[np.isin(numbers, [int(fault) for fault in requested])].reset_index(drop=True)


def rieth_files(names: Iterable[str], part: str = "", faults: Collection[int] | None = None) -> list[str]:
    """Return the files of a part ("train" by default) among file names, fault-free before faulty; [] without any.

    Where the same file is there in several formats, the first in the order of `names` is taken. With `faults`,
    files that can hold none of them are left out. Raises DataError when only the other part is there.

    >>> rieth_files(["TEP_Faulty_Training.csv", "TEP_FaultFree_Training.csv", "TEP_Faulty_Testing.csv"])
    ['TEP_FaultFree_Training.csv', 'TEP_Faulty_Training.csv']
    """
    part = part or "train"
    chosen: dict[str, tuple[bool, str]] = {}
    there = {name: match for name in names if (match := _FILE.fullmatch(name))}
    for name, match in there.items():
        free = match[1] is not None
        wanted = faults is None or any((str(fault).strip() == "0") == free for fault in faults)
        if stated_part(name) == part and wanted:
            chosen.setdefault(name.split(".")[0].lower(), (not free, name))
    if there and not chosen:
        raise DataError(
            f"Files of the {RIETH}: {listing(there)}; none holds what was requested ({part}ing part"
            f"{'' if faults is None else f', faults {listing(faults)}'}): fetch the file, or request what is there."
        )
    return [name for _, name in sorted(chosen.values())]


def _official(names: list[str]) -> dict[str, str] | None:
    """Return the name in the file by official name (lower-case for the variables), None for another data set."""
    lowered = [name.strip().lower() for name in names]
    wanted = {**_KEYS, **{name: name for name in _OURS}}
    # Two spellings of one column, or a column that has this package's name already: which is meant is not known.
    clear = all(lowered.count(name) == 1 for name in wanted)
    if not clear or {"run", "fault", *(name.lower() for name in BRAATZ_COLUMNS)}.intersection(lowered):
        return None
    return {official: names[lowered.index(low)] for low, official in wanted.items()}


def _others(names: list[str], found: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the columns that are only a saved index, and those that are something else."""
    others = [name for name in names if name not in found.values()]
    index = [name for name in others if _INDEX.fullmatch(name.strip())]
    return index, [name for name in others if name not in index]


def _whole(values: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~((numbers >= 0) & (numbers < 1e9) & (np.floor(numbers) == numbers)))
    if len(wrong):
        raise DataError(
            f"Column `{values.name}`: {len(wrong)} of {len(numbers)} values are no whole numbers from 0 on "
            f"(`{str(values.iloc[wrong[0]])[:40]}`); the {RIETH} numbers faults, runs and samples: fetch the file "
            "again."
        )
    return numbers.astype(np.int64)


def _transform(frame: pd.DataFrame, onset: int | None) -> pd.DataFrame:
    if onset is None:
        raise DataError(
            f"Rows of the {RIETH}, but of the training or of the testing part? The fault sets in after "
            f"{ONSETS['train']} or {ONSETS['test']} samples: put Training or Testing into the file's name."
        )
    return rieth_frame(frame, onset)


def _settle(layout: Layout, frame: pd.DataFrame) -> Layout | None:
    names = [str(name) for name in frame.columns]
    found = _official(names)
    if found is None:
        return None
    keys = pd.DataFrame({key: _whole(frame[found[key]]) for key in _KEYS.values()})
    twice = int(keys.duplicated().sum())
    if twice:
        raise DataError(
            f"{twice} of {len(keys)} rows repeat the fault, run and sample of another row; expected one part of the "
            f"{RIETH}: read the training and the testing part apart (their runs have the same numbers)."
        )
    if layout.onset is not None:
        return layout
    largest = int(keys["sample"].max())
    part = "test" if largest > _TRAIN_ROWS else "train"
    made = rieth_layout(names, ONSETS[part])
    remark = (
        f"Taken as the {part}ing part, because its largest sample is {largest} (the file's name may say otherwise)."
    )
    return None if made is None else replace(made, notes=(*made.notes, remark))
