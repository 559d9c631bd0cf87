"""A test for each way in which a file of these formats can be wrong: exit code 2, one sentence, nothing left behind."""

from __future__ import annotations

import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise.tables.reading.formats import contents
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.text import unpacking

ROWS = pd.DataFrame({"x": [1.5, 2.5, 3.5], "fault": ["ok", "ok", "leak"]})


@pytest.fixture
def refused(cli: Callable[..., Any], tmp_path: Path) -> Callable[..., str]:
    """Run `fit` on a file that must be refused: exit code 2, one line, no new files, and these words in it."""

    def run(path: Path, *words: str, flags: tuple[str, ...] = ()) -> str:
        before = sorted(tmp_path.iterdir())
        ran = cli("fit", path, "--out", tmp_path / "run", "--target", "fault", *flags)
        assert ran.code == 2, ran.err
        assert ran.out == ""
        lines = [line for line in ran.err.splitlines() if line.startswith("faultwise: ")]
        assert len(lines) == 1, ran.err
        assert "Traceback" not in ran.err
        assert [word for word in words if word not in lines[0]] == [], lines[0]
        assert sorted(tmp_path.iterdir()) == before
        return lines[0]

    return run


def _book(path: Path) -> Path:
    ROWS.to_excel(path, sheet_name="Data", index=False)
    return path


def test_a_workbook_with_a_password(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
    refused(path, "password", "save it as .xlsx")


def test_text_under_the_name_of_a_workbook(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    ROWS.to_csv(path, index=False)
    refused(path, "is no such workbook", "rename it")


def test_a_workbook_that_is_cut_off(refused: Callable[..., str], tmp_path: Path) -> None:
    path = _book(tmp_path / "a.xlsx")
    path.write_bytes(path.read_bytes()[:2000])
    refused(path, "cut off")


def test_an_empty_sheet(refused: Callable[..., str], tmp_path: Path) -> None:
    pd.DataFrame().to_excel(tmp_path / "a.xlsx")
    refused(tmp_path / "a.xlsx", "no sheet with a header and rows")


def test_a_sheet_that_does_not_exist(refused: Callable[..., str], tmp_path: Path) -> None:
    refused(_book(tmp_path / "a.xlsx"), "no sheet `Dat`", "--sheet 'Data'", flags=("--sheet", "Dat"))


def test_a_sheet_of_a_file_without_sheets(refused: Callable[..., str], tmp_path: Path) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    refused(tmp_path / "a.csv", "holds one table", "leave --sheet out", flags=("--sheet", "Data"))


def test_a_cell_far_away(refused: Callable[..., str], tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.load_workbook(_book(tmp_path / "a.xlsx"))
    book.active["XFD1048576"] = 1
    book.save(tmp_path / "a.xlsx")
    refused(tmp_path / "a.xlsx", "column 16,384", "delete empty rows")


@pytest.mark.parametrize("name", ["a.xlsx", "a.zip"])
def test_a_small_file_that_unpacks_to_very_much(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in (contents, unpacking):
        monkeypatch.setattr(module, "_SMALL", 1 << 20)
    member = "xl/worksheets/sheet1.xml" if name == "a.xlsx" else "a.csv"
    with (
        zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(member, "w") as file,
    ):
        for _ in range(4):
            file.write(bytes(1 << 20))
    refused(tmp_path / name, "unpacks", "split it")


def test_an_archive_of_two_files(refused: Callable[..., str], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.csv", "x\n1\n")
        archive.writestr("b.csv", "x\n1\n")
    refused(tmp_path / "a.zip", "holds 2 files", "give the folder")


def test_text_of_a_tdms_file_that_is_not_in_utf_8(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from nptdms import ChannelObject, TdmsWriter

    path = tmp_path / "a.tdms"
    with TdmsWriter(str(path)) as writer:
        states = ["geoeffnet", "zu"] * 4
        writer.write_segment([ChannelObject("g", "state", states), ChannelObject("g", "flow", np.arange(8.0))])
    path.write_bytes(path.read_bytes().replace(b"geoeffnet", "ge\xf6ffnete".encode("latin-1")))
    table = read_source(path)
    assert "Texts of `state` are not in UTF-8: letters that could not be read are a \ufffd." in table.notes
    assert table.frame["state"][0] == "ge\ufffdffnete"
    assert capfd.readouterr() == ("", "")


def test_a_tdms_file_that_is_cut_off(refused: Callable[..., str], tmp_path: Path) -> None:
    from nptdms import ChannelObject, TdmsWriter

    path = tmp_path / "a.tdms"
    with TdmsWriter(str(path)) as writer:
        writer.write_segment([ChannelObject("g", "x", np.arange(100.0))])
    path.write_bytes(path.read_bytes()[:-8])
    refused(path, "cut off", "copy it again")


def test_a_matlab_file_of_structures_and_cells(refused: Callable[..., str], tmp_path: Path) -> None:
    from scipy.io import savemat

    cells = np.empty(2, object)
    cells[:] = [np.arange(2), np.arange(3)]
    savemat(tmp_path / "a.mat", {"s": {"a": np.arange(3)}, "c": cells})
    refused(tmp_path / "a.mat", "`s (struct)`", "`c (cell)`", "'-struct'")


def test_hdf5_without_datasets_of_one_length(refused: Callable[..., str], tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = np.arange(3), np.arange(4)
    refused(tmp_path / "a.h5", "no datasets that form a table", "/x (3,)")


def test_hdf5_of_pandas(refused: Callable[..., str], tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("rows").attrs["pandas_type"] = "frame"
    refused(tmp_path / "a.h5", "written by pandas", "to_parquet")


def test_a_broken_line_of_json(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"x": 1, "fault": "ok"}\n\n{"x": 2,\n')
    refused(tmp_path / "a.jsonl", "line 3", "mend or remove the line")


def test_a_list_in_json(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"x": [1, 2], "fault": "ok"}]')
    refused(tmp_path / "a.json", "record 1", "`x` holds a list")


def test_arff_without_data(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.arff").write_text("@relation r\n@attribute x numeric\n1\n")
    refused(tmp_path / "a.arff", "no line `@data`")


def test_a_labview_file_that_ends_in_its_header(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.lvm").write_text("LabVIEW Measurement\nSeparator\tTab\n")
    refused(tmp_path / "a.lvm", "ends inside a header")


def test_a_damaged_feather_file(refused: Callable[..., str], tmp_path: Path) -> None:
    ROWS.to_feather(tmp_path / "a.feather")
    (tmp_path / "a.feather").write_bytes((tmp_path / "a.feather").read_bytes()[:200])
    refused(tmp_path / "a.feather", "cut off")


@pytest.mark.parametrize(
    ("raw", "words"),
    [(b"SQLite format 3\0" + b"x" * 2000, "cut off"), (b"hello", "no SQLite database"), (b"", "empty")],
)
def test_what_is_no_database(refused: Callable[..., str], tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "a.sqlite").write_bytes(raw)
    refused(tmp_path / "a.sqlite", words)


def test_a_database_without_tables(refused: Callable[..., str], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("DROP TABLE t")
        database.commit()
    refused(tmp_path / "a.sqlite", "holds no table with rows")


def test_a_database_that_is_locked(refused: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("BEGIN EXCLUSIVE")
        refused(path, "is locked by another program", "read a copy")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("DELETE FROM source", "DELETE"),
        ("COPY source TO 'x.csv'", "COPY"),
        ("SELECT * FROM source; DROP TABLE source", "SELECT, DROP"),
        ("PRAGMA database_list", "PRAGMA"),
        ("ATTACH 'x.db'", "ATTACH"),
        ("INSTALL httpfs", "expected exactly one statement"),
        ("SELECT * FROM read_text('/etc/hostname')", "nothing but the source"),
        ("SELECT * FROM '/etc/hostname'", "names the table `/etc/hostname`"),
        ("SELECT * FROM sources", "did you mean `source`"),
        ("SELECT y FROM source", '"y" not found'),
        ("SELEC x", "syntax error"),
        ("SELECT * FROM source WHERE x > 9", "selects 0 rows"),
        ("-- nothing", "expected exactly one statement"),
    ],
)
def test_queries_that_are_refused(refused: Callable[..., str], tmp_path: Path, query: str, words: str) -> None:
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    refused(tmp_path / "a.csv", words, flags=("--query", query))


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("a.xlsx", "python_calamine", "excel"),
        ("a.tdms", "nptdms", "tdms"),
        ("a.h5", "h5py", "hdf5"),
    ],
)
def test_a_library_that_is_absent(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    refused(tmp_path / name, f'pip install "faultwise[{extra}]"')


def test_queries_without_their_library(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    ROWS.to_csv(tmp_path / "a.csv", index=False)
    refused(tmp_path / "a.csv", 'pip install "faultwise[query]"', flags=("--query", "SELECT * FROM source"))
