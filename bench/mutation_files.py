"""Valid files of the formats beside text and Parquet, for `mutations.py` to damage."""

from __future__ import annotations

import io
import json
import re
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["NAMES", "files"]

_DATE = re.compile(rb"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?")
NAMES = ("workbook", "tdms", "matlab", "hdf5", "arrow", "json", "arff", "labview", "sqlite")


def files(frame: pd.DataFrame) -> list[tuple[str, bytes, str]]:
    """Return name, bytes and reader of valid files that hold a frame; formats whose writer is absent are left out."""
    made: list[tuple[str, bytes, str]] = []
    for reader, name, write in _WRITERS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                write(frame, path)
            except ImportError:
                continue
            made.append((name, _undated(path.read_bytes()), reader))
    return made


def _undated(raw: bytes) -> bytes:
    """Return a file without the time at which it was made, so that every case can be made again."""
    if raw[:6] == b"MATLAB":
        return b"MATLAB 5.0 MAT-file".ljust(116) + raw[116:] if raw[124:126] == b"\0\1" else raw
    if raw[:2] != b"PK":
        return raw
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            member = (
                _DATE.sub(b"2026-11-21T06:00:00", old.read(name))
                if "rops" in name or "meta" in name
                else old.read(name)
            )
            new.writestr(zipfile.ZipInfo(name), member, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.select_dtypes("number").join(frame.select_dtypes(exclude="number").astype("str"))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    names = ["".join(letter if letter.isalnum() and letter.isascii() else "_" for letter in name) for name in frame]
    return _texts(frame).set_axis(names, axis=1)


def _workbook(engine: str) -> Callable[[pd.DataFrame, Path], None]:
    def write(frame: pd.DataFrame, path: Path) -> None:
        with pd.ExcelWriter(path, engine=engine) as book:  # type: ignore[arg-type]
            frame.assign(when=pd.to_datetime(frame["when"])).to_excel(book, sheet_name="rows", index=False)
            frame.head(3).to_excel(book, sheet_name="few", index=False)

    return write


def _tdms(frame: pd.DataFrame, path: Path) -> None:
    from nptdms import ChannelObject, GroupObject, RootObject, TdmsWriter

    plain = _plain(frame)
    head = [RootObject({"plant": "7"}), GroupObject("rows", {"n": 1})]
    with TdmsWriter(str(path)) as writer:
        for start in (0, 20):
            piece = plain.iloc[start : start + 20]
            writer.write_segment(
                [
                    *head,
                    *(
                        ChannelObject("rows", name, _array(piece[name]), {"wf_increment": 0.5} if at < 3 else {})
                        for at, name in enumerate(piece)
                    ),
                ]
            )


def _array(values: pd.Series) -> object:
    return values.tolist() if values.dtype == "str" else values.to_numpy()


def _matlab(compressed: bool) -> Callable[[pd.DataFrame, Path], None]:
    def write(frame: pd.DataFrame, path: Path) -> None:
        from scipy.io import savemat

        plain = _plain(frame)
        cells = {n: np.array(plain[n].tolist(), object)[:, None] for n in plain if plain[n].dtype == "str"}
        numbers = {n: plain[n].to_numpy()[:, None] for n in plain if n not in cells}
        more = {"matrix": np.ones((len(plain), 3)), "letters": np.array(["on", "off"] * 20), "s": {"a": 1.0}}
        savemat(path, {**numbers, **cells, **more}, do_compression=compressed)

    return write


def _matlab_hdf5(frame: pd.DataFrame, path: Path) -> None:
    import h5py

    plain = _plain(frame)
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        for name in plain:
            if plain[name].dtype == "str":
                held = []
                for at, text in enumerate(plain[name]):
                    one = refs.create_dataset(f"{name}{at}", data=np.array([[ord(c)] for c in text], np.uint16))
                    one.attrs["MATLAB_class"] = np.bytes_("char")
                    held.append(one.ref)
                file.create_dataset(name, data=np.array([held], dtype=h5py.ref_dtype), dtype=h5py.ref_dtype)
                file[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                file.create_dataset(name, data=plain[name].to_numpy()[None, :])
                file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def _hdf5(frame: pd.DataFrame, path: Path) -> None:
    import h5py

    plain = _plain(frame)
    with h5py.File(path, "w", track_order=True) as file:
        group = file.create_group("rows", track_order=True)
        for at, name in enumerate(plain):
            packed = {"compression": "gzip", "shuffle": True} if at % 2 and plain[name].dtype != "str" else {}
            group.create_dataset(name, data=_array(plain[name]), **packed)
        pairs = np.array([(1, 2.5, b"on"), (2, 3.5, b"off")], dtype=[("i", "i4"), ("f", "f8"), ("s", "S3")])
        file.create_dataset("pairs", data=pairs)


def _arrow(compression: str) -> Callable[[pd.DataFrame, Path], None]:
    return lambda frame, path: frame.astype({"zustand": "category"}).to_feather(path, compression=compression)


def _arrow_stream(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow as pa

    table = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=15)


def _json_lines(frame: pd.DataFrame, path: Path) -> None:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    path.write_text("".join(json.dumps({"id": {"plant": 7}, **row}) + "\n" for row in rows), "utf-8")


def _json(frame: pd.DataFrame, path: Path) -> None:
    path.write_text(frame.to_json(orient="records", indent=1), "utf-8")


def _arff(frame: pd.DataFrame, path: Path) -> None:
    plain = _plain(frame).assign(fault=frame["fault"])
    kinds = {name: "string" if plain[name].dtype == "str" else "numeric" for name in plain} | {"fault": "{'0', '1'}"}
    out = io.StringIO("% rows\n@relation rows\n")
    out.seek(0, io.SEEK_END)
    out.writelines(f"@attribute '{name}' {kind}\n" for name, kind in kinds.items())
    out.write("@data\n")
    for row in plain.itertuples(index=False):
        cells = [
            "?" if one != one else repr(one.replace("\n", " ")) if isinstance(one, str) else str(one) for one in row
        ]
        out.write(",".join(cells) + "\n")
    path.write_text(out.getvalue(), "utf-8")


_LVM_HEAD = (
    "LabVIEW Measurement\t\nWriter_Version\t2\nReader_Version\t2\nSeparator\tTab\nDecimal_Separator\t.\n"
    "Multi_Headings\tYes\nX_Columns\tOne\nTime_Pref\tRelative\n***End_of_Header***\t\n\t\n"
)
_LVM_SEGMENT = (
    "Channels\t2\t\t\nSamples\t20\t20\t\nY_Unit_Label\tbar\tl/s\t\nX0\t0.0\t0.0\t\nDelta_X\t0.5\t0.5\t\n"
    "***End_of_Header***\t\t\t\nX_Value\tDruck\tcount\tComment\n"
)


def _labview(frame: pd.DataFrame, path: Path) -> None:
    blocks = []
    for start in (0, 20):
        rows = frame[["Druck [bar]", "count"]].iloc[start : start + 20].itertuples(index=False)
        blocks.append(_LVM_SEGMENT + "".join(f"{at / 2}\t{a}\t{b}\t\n" for at, (a, b) in enumerate(rows)))
    path.write_text(_LVM_HEAD + "\t\n".join(blocks), "utf-8")


def _sqlite(frame: pd.DataFrame, path: Path) -> None:
    database = sqlite3.connect(path)
    frame.to_sql("rows", database, index=False)
    frame.head(2).to_sql("few", database, index=False)
    database.execute("CREATE VIEW faulty AS SELECT * FROM rows WHERE fault = '1'")
    database.commit()
    database.close()


_WRITERS: tuple[tuple[str, str, Callable[[pd.DataFrame, Path], None]], ...] = (
    ("workbook", "book.xlsx", _workbook("openpyxl")),
    ("workbook", "book.ods", _workbook("odf")),
    ("tdms", "rows.tdms", _tdms),
    ("matlab", "packed.mat", _matlab(True)),
    ("matlab", "plain.mat", _matlab(False)),
    ("matlab", "new.mat", _matlab_hdf5),
    ("hdf5", "rows.h5", _hdf5),
    ("arrow", "packed.feather", _arrow("lz4")),
    ("arrow", "plain.feather", _arrow("uncompressed")),
    ("arrow", "stream.arrow", _arrow_stream),
    ("json", "rows.jsonl", _json_lines),
    ("json", "rows.json", _json),
    ("arff", "rows.arff", _arff),
    ("labview", "rows.lvm", _labview),
    ("sqlite", "rows.sqlite", _sqlite),
)
