"""Write a frame in every format that is read, as common programs write it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["WRITERS"]


def _is_text(values: pd.Series) -> bool:
    return values.dtype.kind not in "bif"


def _words(values: pd.Series) -> list[str]:
    return values.astype("str").tolist()


def _jsonl(frame: pd.DataFrame, path: Path) -> None:
    columns = {name: _words(frame[name]) if _is_text(frame[name]) else frame[name].tolist() for name in frame}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    lines = [{name: None if value != value else value for name, value in row.items()} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _sqlite(frame: pd.DataFrame, path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        frame.to_sql("rows", database, index=False)


def _hdf5(frame: pd.DataFrame, path: Path) -> None:
    import h5py

    with h5py.File(path, "w", track_order=True) as file:
        for name in frame:
            file[name] = _words(frame[name]) if _is_text(frame[name]) else frame[name].to_numpy()


def _tdms(frame: pd.DataFrame, path: Path) -> None:
    from nptdms import ChannelObject, TdmsWriter

    columns = {name: _words(frame[name]) if frame[name].dtype == "str" else frame[name].to_numpy() for name in frame}
    with TdmsWriter(str(path)) as writer:
        writer.write_segment([ChannelObject("rows", name, values) for name, values in columns.items()])


def _matlab(frame: pd.DataFrame, path: Path) -> None:
    from scipy.io import savemat

    cells = {name: np.array(_words(frame[name]), dtype=object) for name in frame if _is_text(frame[name])}
    savemat(path, {name: cells.get(name, frame[name].to_numpy())[:, None] for name in frame})


def _arff(frame: pd.DataFrame, path: Path) -> None:
    lines = [f"@attribute {name} {'string' if _is_text(frame[name]) else 'numeric'}" for name in frame]
    columns = [[f"'{w}'" for w in _words(frame[n])] if _is_text(frame[n]) else frame[n].tolist() for n in frame]
    for row in zip(*columns, strict=True):
        lines.append(",".join("?" if cell != cell else str(cell) for cell in row))
    path.write_text("\n".join(["@relation rows", *lines[: len(columns)], "@data", *lines[len(columns) :]]) + "\n")


WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "rows.csv.bz2": lambda frame, path: frame.to_csv(path, index=False),
    "rows.csv.xz": lambda frame, path: frame.to_csv(path, index=False),
    "rows.zip": lambda frame, path: frame.to_csv(
        path, index=False, compression={"method": "zip", "archive_name": "a.csv"}
    ),
    "rows.xlsx": lambda frame, path: frame.to_excel(path, index=False),
    "rows.ods": lambda frame, path: frame.to_excel(path, index=False, engine="odf"),
    "rows.parquet": lambda frame, path: frame.to_parquet(path),
    "rows.feather": lambda frame, path: frame.to_feather(path),
    "rows.jsonl": _jsonl,
    "rows.sqlite": _sqlite,
    "rows.h5": _hdf5,
    "rows.tdms": _tdms,
    "rows.mat": _matlab,
    "rows.arff": _arff,
}
