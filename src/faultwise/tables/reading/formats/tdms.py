"""Read TDMS files of LabVIEW and DIAdem: each group is a table, its channels are the columns."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, listing
from faultwise.tables.reading.formats.contents import Contents, Part, allowed_size, needed, parsing

if TYPE_CHECKING:
    from nptdms import TdmsChannel, TdmsGroup

__all__ = ["open_tdms"]

_KIND = "a TDMS file"
_TIME = "time [s]"
_TEXT_BYTES = 64


def open_tdms(path: Path) -> Contents:
    """Return the groups of a TDMS file. Channels of a waveform get a column of seconds, which is their time.

    Raises DataError for a file that is cut off or no TDMS, UserError without the extra `tdms`.
    """
    nptdms = needed("nptdms", path, _KIND, "tdms")
    importlib.import_module("nptdms.log").log_manager.set_level(logging.ERROR)  # it prints texts that are no UTF-8
    with parsing(path, _KIND):
        with path.open("rb") as raw:
            start = raw.read(4)
        if start != b"TDSm":
            raise DataError(
                f"`{path}` is no TDMS file (it does not start with `TDSm`): check how it was exported, or rename it to "
                "what it is."
            )
        _refuse_cut_off(nptdms, path)
        with nptdms.TdmsFile.read_metadata(path) as file:
            groups = {group.name: group for group in file.groups() if group.channels()}
            parts = {name: _part(path, group) for name, group in groups.items() if _longest(group)}
    return Contents(path, "TDMS", "group", parts)


def _refuse_cut_off(nptdms: object, path: Path) -> None:
    """Refuse a file whose last segment is shorter than it says, which its reader would read in part."""
    with path.open("rb") as raw:
        size, at = path.stat().st_size, 0
        while at < size:
            raw.seek(at)
            lead = raw.read(28)
            following = int.from_bytes(lead[12:20], "big" if lead[4:5] and lead[4] & 64 else "little")
            if len(lead) < 28 or lead[:4] != b"TDSm" or following > size - at - 28:
                raise DataError(
                    f"`{path}` is cut off after {size:,} bytes: the recording was not ended, or the file not copied as "
                    "a whole; copy it again."
                )
            at += 28 + following


def _longest(group: TdmsGroup) -> int:
    return max(len(channel) for channel in group.channels())


def _part(path: Path, group: TdmsGroup) -> Part:
    rows = _longest(group)
    name = group.name

    def read(_: Collection[str]) -> tuple[pd.DataFrame, list[str]]:
        from nptdms import TdmsFile

        with parsing(path, _KIND), TdmsFile.open(path) as file:
            channels = [one for one in file[name].channels() if len(one)]
            kept = [one for one in channels if len(one) == rows]
            others = [one.name for one in file[name].channels() if len(one) != rows]
            allowed_size(sum(rows * _bytes(one) for one in kept), f"group `{name[:60]}`", path)
            made = {one.name: _values(one) for one in kept}
            frame = pd.DataFrame(made)
            steps = {float(one.properties.get("wf_increment", 0)) for one in kept}
            step = steps.pop()
            if not steps and step > 0 and _TIME not in frame:
                frame.insert(0, _TIME, step * np.arange(rows))
        notes = []
        if others:
            notes.append(f"Only channels of {rows:,} values were read; left out: {listing(others, 6)}.")
        texts = [name for name, column in made.items() if isinstance(column, pd.Series)]
        if wrong := [name for name in texts if frame[name].str.contains("\ufffd").any()]:
            notes.append(f"Texts of {listing(wrong, 6)} are not in UTF-8: letters that could not be read are a \ufffd.")
        return frame, notes

    return Part(rows, read, _TIME)


def _bytes(channel: TdmsChannel) -> int:
    kind = getattr(channel, "dtype", None)
    return kind.itemsize if kind is not None and kind.itemsize else _TEXT_BYTES


def _values(channel: TdmsChannel) -> np.ndarray | pd.Series:
    values = channel[:]
    if values.dtype.kind in "OUS":
        return pd.Series([str(one) for one in values], dtype="str")
    if values.dtype.kind == "V" or values.dtype.kind == "c":
        raise DataError(f"Channel `{channel.name[:60]}` holds {values.dtype} values; expected numbers, text or times.")
    return np.asarray(values)
