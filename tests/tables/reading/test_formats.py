"""Every format gives what the CSV file of the same rows gives; what is special to one is read as people mean it."""

from __future__ import annotations

import datetime
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError
from faultwise.tables.reading import batches
from faultwise.tables.reading.formats import pieces
from faultwise.tables.reading.formats.formats import read_all
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import read_source

sys.path.insert(0, str(Path(__file__).parent))

from writing import WRITERS

WORDS = st.sampled_from(["open", "zu", "größer 5", "leak-2", "a;b", "two words"])
# As many digits as a spreadsheet keeps; one value with a fraction, so that a column of floats is one in every format.
FLOATS = st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: float(f"{x:.12g}")))


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(2, 8))

    def of(kind: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(kind, min_size=rows - 1, max_size=rows - 1))

    seconds = st.integers(1, 10**8).map(lambda s: pd.Timestamp("2026-11-21") + pd.Timedelta(seconds=s))
    return pd.DataFrame(
        {
            "stamp": pd.Series([pd.Timestamp("2026-11-21 06:00:01"), *of(seconds)]),
            "flow": pd.Series([0.5, *of(FLOATS)], dtype="float64"),
            "count": pd.Series([3, *of(st.integers(-(10**12), 10**12))]),
            "state": ["shut", *of(WORDS)],
        }
    )


@settings(deadline=None, max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(frame=frames())
def test_the_same_rows_give_the_same_frame_in_every_format(frame: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frame.to_csv(Path(folder) / "rows.csv", index=False)
        expected = read_source(Path(folder) / "rows.csv").frame
        for name, write in WRITERS.items():
            write(frame, Path(folder) / name)
            pd.testing.assert_frame_equal(read_source(Path(folder) / name).frame, expected, check_exact=True, obj=name)


def test_the_same_rows_give_the_same_verdicts(
    plant: Callable[..., pd.DataFrame], run_folder: Path, tmp_path: Path
) -> None:
    from faultwise import Diagnoser
    from faultwise.tables.fit.settings import TableQuery

    rows = plant(1, 5, seed=4).round(9)
    rows.to_csv(tmp_path / "rows.csv", index=False)
    diagnoser = Diagnoser.load(run_folder)
    diagnoser.model_.write_rows(tmp_path / "rows.csv", tmp_path / "expected.csv", None, TableQuery())
    expected = (tmp_path / "expected.csv").read_bytes()
    assert len(expected.splitlines()) == 16
    for at, (name, write) in enumerate(WRITERS.items()):
        write(rows, tmp_path / name)
        diagnoser.model_.write_rows(tmp_path / name, tmp_path / f"{at}.csv", None, TableQuery())
        assert (tmp_path / f"{at}.csv").read_bytes() == expected, name


def _book(path: Path, **sheets: list[list[object]]) -> Path:
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
        if sheet["A2"].value == "Pump 1":
            sheet.merge_cells("A2:B2")
            sheet.merge_cells("C2:D2")
    book.save(path)
    return path


def test_titles_merged_headers_and_units_of_a_sheet(tmp_path: Path) -> None:
    rows = [["Plant 7"], ["Pump 1", None, "Pump 2", None], ["flow", "temp"] * 2, ["l/min", "°C"] * 2]
    table = read_source(_book(tmp_path / "a.xlsx", data=[*rows, *([[i, 2.5, 3.5, 4.5] for i in range(6)])]))
    assert list(table.frame) == ["Pump 1 flow", "Pump 1 temp", "Pump 2 flow", "Pump 2 temp"]
    assert table.frame["Pump 1 flow"].tolist() == [0, 1, 2, 3, 4, 5]
    assert any("merged cells" in note for note in table.notes)
    assert any("holds units" in note for note in table.notes)


def test_cells_of_a_sheet(tmp_path: Path) -> None:
    day, noon = datetime.date(2026, 11, 21), datetime.datetime(2026, 11, 21, 12)
    rows = [
        ["day", "stamp", "serial", "x", "on"],
        [day, noon, 46347.5, "#DIV/0!", True],
        [day, noon, 46348.5, 2, False],
    ]
    frame = read_source(_book(tmp_path / "a.xlsx", data=rows)).frame
    assert frame["day"].tolist() == ["2026-11-21"] * 2
    assert frame["stamp"].tolist() == ["2026-11-21 12:00:00"] * 2
    assert frame["serial"].tolist() == [46347.5, 46348.5]
    assert frame["x"].isna().tolist() == [True, False]
    assert frame["on"].tolist() == [1, 0]


def test_a_sheet_is_chosen_and_all_can_be_had(tmp_path: Path) -> None:
    path = _book(tmp_path / "a.xlsx", few=[["a"], [1]], many=[["b"], [1], [2]], empty=[])
    with pytest.raises(DataError, match=r"holds `few`, `many`.* name one of them with --sheet"):
        read_source(path)
    assert list(read_source(path, how=TableReading(sheet="few")).frame) == ["a"]
    found, _ = read_all(path)
    assert {name: len(frame) for name, frame in found.items()} == {"few": 1, "many": 2}


def test_labview_segments_are_runs_and_x_is_time(tmp_path: Path) -> None:
    head = "LabVIEW Measurement\t\nSeparator\tTab\nDecimal_Separator\t,\nX_Columns\tOne\n***End_of_Header***\t\n"
    block = "\t\nChannels\t1\nDelta_X\t0,5\n***End_of_Header***\nX_Value\tV\tComment\n0,0\t1,5\tstart\n0,5\t2,5\n"
    (tmp_path / "a.lvm").write_text(head + block + block)
    table = read_source(tmp_path / "a.lvm")
    assert (table.roles.group, table.roles.time) == ("segment", "X_Value")
    assert table.frame["V"].tolist() == [1.5, 2.5, 1.5, 2.5]
    assert table.features == ["V"]
    (tmp_path / "b.lvm").write_text(head.replace("One", "No") + block.replace("0,0\t1", "\t1").replace("0,5\t2", "\t2"))
    assert read_source(tmp_path / "b.lvm").frame["X_Value"].tolist() == [0.0, 0.5]


def test_waveforms_of_tdms_have_a_time(tmp_path: Path) -> None:
    from nptdms import ChannelObject, TdmsWriter

    with TdmsWriter(str(tmp_path / "a.tdms")) as writer:
        channels = [ChannelObject("g", name, np.arange(4.0), {"wf_increment": 0.5}) for name in "ab"]
        writer.write_segment([*channels, ChannelObject("g", "short", np.arange(2.0))])
    table = read_source(tmp_path / "a.tdms")
    assert table.roles.time == "time [s]"
    assert table.times is not None
    assert table.times.tolist() == ["0", "0.5", "1", "1.5"]
    assert table.features == ["a", "b"]
    assert any("`short`" in note for note in table.notes)


def test_matlab_variables_of_one_length_form_a_table(tmp_path: Path) -> None:
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"x": np.arange(9.0), "m": np.ones((9, 2)), "rpm": 1797.0, "s": {"a": 1}, "y": [1, 2]})
    table = read_source(tmp_path / "a.mat")
    assert list(table.frame) == ["x", "m(1)", "m(2)"]
    assert any("`rpm`" in note and "`s (struct)`" in note for note in table.notes)
    assert list(read_source(tmp_path / "a.mat", how=TableReading(sheet="y")).frame) == ["y"]


def test_matlab_7_3_is_read_as_the_older_one(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["x"] = np.array([[1.5, 2.5]])
        letters = [
            file.create_dataset(f"#refs#/{w}", data=np.array([[ord(c)] for c in w], np.uint16)) for w in ("on", "off")
        ]
        file.create_dataset(
            "state", data=np.array([[one.ref for one in letters]], h5py.ref_dtype), dtype=h5py.ref_dtype
        )
        for name, kind in (("x", "double"), ("state", "cell"), ("#refs#/on", "char"), ("#refs#/off", "char")):
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    frame = read_source(tmp_path / "a.mat").frame
    assert {name: frame[name].tolist() for name in frame} == {"state": ["on", "off"], "x": [1.5, 2.5]}


def test_links_of_hdf5_to_other_files_are_not_followed(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = np.arange(3)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
        file["link"] = h5py.ExternalLink("other.h5", "/secret")
    assert list(read_source(tmp_path / "a.h5").frame) == ["x"]


def test_objects_in_json_become_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        '{"t": 1, "pump": {"flow": 1.5, "on": true}}\n\n{"t": 2, "pump": {"flow": 2.5}}\n'
    )
    frame = read_source(tmp_path / "a.jsonl").frame
    assert list(frame) == ["t", "pump.flow", "pump.on"]
    (tmp_path / "a.json").write_text('[{"t": 1}, {"t": 2}]')
    assert read_source(tmp_path / "a.json").frame["t"].tolist() == [1, 2]


def test_sparse_rows_of_arff(tmp_path: Path) -> None:
    text = "@relation r\n@attribute x numeric\n@attribute 'two words' {no, yes}\n@data\n{0 1.5}\n{1 yes}\n2,'no'\n"
    (tmp_path / "a.arff").write_text(text)
    frame = read_source(tmp_path / "a.arff").frame
    assert frame["x"].tolist() == [1.5, 0, 2]
    assert frame["two words"].tolist() == ["no", "yes", "no"]


def test_a_pattern_names_files(tmp_path: Path, plant: Callable[..., pd.DataFrame]) -> None:
    rows = plant(1, 3)
    for name in ("run1", "run2"):
        (tmp_path / name).mkdir()
        rows.to_excel(tmp_path / name / "data.xlsx", index=False)
    table = read_source(tmp_path / "run*" / "*.xlsx", target="fault", ignore=["run"])
    assert sorted(set(table.runs)) == ["run1/data", "run2/data"]
    with pytest.raises(DataError, match="matches no file"):
        read_source(tmp_path / "run*" / "*.csv")


def test_a_log_beside_a_database_is_read_and_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE rows (x)")
        database.execute("INSERT INTO rows VALUES (1)")
        database.commit()
        assert read_source(path).frame["x"].tolist() == [1]
    assert read_source(path).frame["x"].tolist() == [1]
    assert [file.name for file in tmp_path.iterdir()] == ["a.sqlite"]


@pytest.mark.parametrize("name", ["rows.feather", "rows.jsonl", "rows.sqlite"])
def test_large_files_are_read_in_pieces(
    name: str, plant: Callable[..., pd.DataFrame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = plant(2, 20)
    WRITERS[name](rows, tmp_path / name)
    whole = read_source(tmp_path / name, as_text=["fault"]).frame
    monkeypatch.setattr(batches, "_LARGE_CELLS", 1)
    monkeypatch.setattr(pieces, "_BYTES", dict.fromkeys(pieces._BYTES, 8))
    assert batches.is_large(tmp_path / name)
    found = list(batches.open_batches(tmp_path / name, 50, as_text=["fault"]))
    assert len(found) > 2
    assert max(map(len, found)) <= 50
    pd.testing.assert_frame_equal(pd.concat(found, ignore_index=True), whole)


QUERY = "SELECT flow - level AS gap, fault, run FROM source WHERE temp > 0"


@pytest.mark.parametrize("name", ["rows.csv.bz2", "rows.xlsx", "rows.sqlite", "rows.parquet"])
def test_a_query_selects_rows(name: str, plant: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    rows = plant(1, 4).round(6)
    WRITERS[name](rows, tmp_path / name)
    table = read_source(tmp_path / name, target="fault", group="run", how=TableReading(query=QUERY))
    assert list(table.frame) == ["gap", "fault", "run"]
    np.testing.assert_allclose(table.frame["gap"], rows["flow"] - rows["level"])
    assert table.y.tolist() == rows["fault"].tolist()


def test_a_query_joins_the_tables_of_a_file(tmp_path: Path) -> None:
    path = _book(
        tmp_path / "a.xlsx", data=[["id", "x"], [1, 0.5], [2, 1.5]], assets=[["id", "model"], [1, "a"], [2, "b"]]
    )
    query = "SELECT x, model FROM data JOIN assets USING (id) ORDER BY x DESC"
    assert read_source(path, how=TableReading(query=query)).frame["model"].tolist() == ["b", "a"]
