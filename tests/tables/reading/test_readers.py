"""What is recognised and noted, and one test for each way in which a source can be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from faultwise.contracts.about import About, Variable
from faultwise.contracts.errors import DataError
from faultwise.tables.reading import batches
from faultwise.tables.reading.cleaning import clean, unique_names
from faultwise.tables.reading.parquet import read_parquet, read_parquet_batches
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.sampling import read_sample
from faultwise.tables.reading.text.delimited import read_delimited


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def inner(text: str | bytes, name: str = "rows.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return inner


@pytest.mark.parametrize(
    ("raw", "columns", "words"),
    [
        (b"a,b\n1,2\n", {"a": [1], "b": [2]}, "commas, decimal point, utf-8."),
        (b"\xef\xbb\xbfa;b\n1,5;2\n", {"a": [1.5], "b": [2]}, "semicolons, decimal comma, utf-8-sig"),
        ("a\tb\n1\t2\n".encode("utf-16"), {"a": [1], "b": [2]}, "tabs, decimal point, utf-16"),
        (b"a|b\r\n1|x\r\n", {"a": [1], "b": ["x"]}, "pipes"),
        (b"time flow\n 1  2.5\n 2  3.5\n", {"time": [1, 2], "flow": [2.5, 3.5]}, "spaces"),
        (b"sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}, "semicolons"),
        (b"a\n1,5\n2\n", {"a": [1.5, 2.0]}, "no delimiter, decimal comma"),
        (b'a,b\n"1,5","x, y"\n"2,5","say ""hi"""\n', {"a": [1.5, 2.5], "b": ["x, y", 'say "hi"']}, "comma"),
        (b'a,b\n1,"two\nlines"\n', {"a": [1], "b": ["two\nlines"]}, "commas"),
        (b"\n\na, b\n1, 2\n\n3, 4\n", {"a": [1, 3], "b": [2, 4]}, "commas"),
        ("Öl;°C\nn;1\nü;2\n".encode("latin-1"), {"Öl": ["n", "ü"], "°C": [1, 2]}, "cp1252"),
        (b"a,b\n=cmd(),1\n@x,2\n", {"a": ["=cmd()", "@x"], "b": [1, 2]}, "commas"),
        (b"a,b,\n1,2,\n", {"a": [1], "b": [2]}, "left out: it is empty"),
        (b",a\n0,5\n1,6\n", {"a": [5, 6]}, "left out: it only numbers the rows"),
        (b"a,b\n1,True\n2,False\n", {"a": [1, 2], "b": [1, 0]}, "commas"),
        (b"0,1\n5,6\n", {"0": [5], "1": [6]}, "commas"),
    ],
)
def test_recognised_and_noted(write, raw: bytes, columns: dict[str, list[object]], words: str) -> None:  # type: ignore[no-untyped-def]
    frame, notes = read_delimited(write(raw))
    assert {name: frame[name].tolist() for name in frame} == columns
    assert words in " ".join(notes)


def test_some_text_among_numbers_is_missing_and_counted(write) -> None:  # type: ignore[no-untyped-def]
    values = [str(i) for i in range(497)] + ["bad", "ERR", "bad"]
    frame, notes = read_delimited(write("flow,kind\n" + "\n".join(f"{v},a1" for v in values)))
    assert "Column `flow`: 3 of 500 values are text (`bad`, `ERR`): treated as missing." in notes
    assert frame["flow"].isna().sum() == 3
    assert frame["kind"].tolist() == ["a1"] * 500


def test_half_numbers_stay_categories(write) -> None:  # type: ignore[no-untyped-def]
    frame, _ = read_delimited(write("a,b\n1,1\nx,1\n"))
    assert frame["a"].tolist() == ["1", "x"]


def test_missing_words_and_infinities(write) -> None:  # type: ignore[no-untyped-def]
    frame, notes = read_delimited(write("a,b,c\n1,NA,x\n-,null,None\ninf,2,NaN\n-1e999,,-\n"))
    assert frame["a"].tolist()[0] == 1
    assert frame["a"].isna().sum() == 3
    assert frame["b"].isna().sum() == 3
    # None is a common word for "no fault".
    assert frame["c"].tolist()[:2] == ["x", "None"]
    assert frame["c"].isna().sum() == 2
    assert "Column `a`: 2 of 3 values are infinite: treated as missing." in notes


def test_repeated_names_are_told_apart(write) -> None:  # type: ignore[no-untyped-def]
    frame, notes = read_delimited(write("a,a,b,a\n1,2,3,4\n"))
    assert list(frame) == ["a", "a.2", "b", "a.3"]
    assert "`a` as `a.2`, `a` as `a.3`" in " ".join(notes)
    assert unique_names(["a", "a.2", "a"])[0] == ["a", "a.2", "a.3"]


def test_short_lines_are_counted(write) -> None:  # type: ignore[no-untyped-def]
    frame, notes = read_delimited(write("a,b\n1,2\n3\n4,5\n"))
    assert frame["b"].isna().tolist() == [False, True, False]
    assert "fewer fields than the header: 1 (first: line 3)" in " ".join(notes)


def test_thousands_separators_are_not_guessed(write) -> None:  # type: ignore[no-untyped-def]
    frame, notes = read_delimited(write('a,b\n"1,234",1\n"2,345",2\n'))
    assert frame["a"].tolist() == ["1,234", "2,345"]
    assert "thousands separators" in " ".join(notes)


def test_a_comma_column_found_late_is_noted(write) -> None:  # type: ignore[no-untyped-def]
    rows = ["1;2"] * 40000 + ["1;2,5"] * 60000
    frame, notes = read_delimited(write("a;b\n" + "\n".join(rows)))
    assert frame["b"].iloc[-1] == 2.5
    assert "`,` as its decimal mark" in " ".join(notes)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"a,b\n", "header and no rows"),
        (b"a,b\n1,2\n1,2,3\n", "line 3: 3 fields, but the header has 2"),
        (b'a,b\n"x\ny",2\n1,2,3\n', "line 4: 3 fields"),
        (b"a,b\n1,\x00\n", "binary"),
        (bytes(range(1, 256)) * 3, "binary"),
        (b"\xff\xfea", "utf-16, which its byte order mark states"),
        (b"\x1f\x8bnot really", "gzip"),
        (b'a,b\n1,"open\n2,3\n', "a quote that is opened"),
        (b"1.5,2.5\n3.5,4.5\n", "only numbers"),
        (b"time flow\n1 2\n1 2 3\n", "separated by spaces"),
    ],
)
def test_bad_text(write, raw: bytes, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError, match=message):
        read_delimited(write(raw))


def test_wrong_declared_encoding(write) -> None:  # type: ignore[no-untyped-def]
    path = write("ä,b\n1,2\n".encode("latin-1"))
    with pytest.raises(DataError, match="not utf-8, which was declared"):
        read_delimited(path, encoding="utf-8")
    assert list(read_delimited(path, encoding="latin-1")[0]) == ["ä", "b"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_no_permission(write, name: str, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    path = write("a\n1\n", name)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Rights do not bind the superuser, whom tests may run as.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile", refuse)
    with pytest.raises(DataError, match="no permission"):
        read_source(path)


def test_a_folder_and_nothing_where_a_file_is_expected(tmp_path: Path) -> None:
    for read in (read_delimited, read_parquet):
        with pytest.raises(DataError, match="folder"):
            read(tmp_path)
        with pytest.raises(DataError):
            read(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match="device"):
        read_source(tmp_path / "pipe.csv")


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": [1.5, np.inf, None], "w": ["a", None, "b"], "whole": [1, 2, 3]})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    one, notes = read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(one, read_delimited(tmp_path / "a.csv")[0])
    assert "Column `n`: 1 of 2 values are infinite: treated as missing." in notes


def test_parquet_types_become_numbers_or_text(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["a", "b"]),
            "nullable": pd.array([1, None], dtype="Int64"),
            "flag": pd.array([True, None], dtype="boolean"),
            "when": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "exact": [Decimal("1.5"), Decimal("2.5")],
            "empty": [None, None],
        },
        index=[0, 1],
    )
    frame.to_parquet(tmp_path / "a.parquet")
    found, _ = read_parquet(tmp_path / "a.parquet")
    assert found["category"].tolist() == ["a", "b"]
    assert found["exact"].tolist() == [1.5, 2.5]
    assert found["when"].tolist() == ["2024-01-01", "2024-01-02"]
    kinds = [str(found[name].dtype) for name in ("nullable", "flag", "empty")]
    assert kinds == ["float64"] * 3
    assert list(found) == list(frame)


@pytest.mark.parametrize("values", [[True, False, True], [True, None, False]])
def test_truth_values_are_the_same_labels_in_every_format(tmp_path: Path, values: list[bool | None]) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0], "broken": pd.array(values, dtype="boolean")})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for name in ("a.parquet", "a.csv"):
        table = read_source(tmp_path / name, target="broken")
        words = [None if pd.isna(label) else label for label in table.frame["broken"]]
        assert words == [None if value is None else str(value) for value in values]
        assert read_source(tmp_path / name).frame["broken"].dropna().tolist() == [v for v in values if v is not None]


@pytest.mark.parametrize("levels", [1, 2])
def test_an_index_without_a_name_is_left_out_of_parquet(
    tmp_path: Path, plant: Callable[..., pd.DataFrame], levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are sorted by label here, so where a row stood before some were filtered out tells its label."""
    path, rows = tmp_path / "a.parquet", plant()
    rows = rows[rows["temp"] > 300]
    stored = rows.set_index([rows.index, rows["run"]], drop=False).rename_axis([None, None]) if levels == 2 else rows
    stored.to_parquet(path)
    index = [f"__index_level_{level}__" for level in range(levels)]
    assert pd.read_parquet(path).index.nlevels == levels
    assert set(pq.read_schema(path).names) == {*rows, *index}
    whole = read_source(path, target="fault", group="run")
    monkeypatch.setattr(batches, "_LARGE_CELLS", 10)
    pieces = batches.open_batches(path, 10, as_text=["fault", "run"])
    sample = read_sample(path, len(rows), target="fault", group="run")
    for found in (whole.frame, pd.concat(pieces), pd.concat(read_parquet_batches(path, 7)), sample.frame):
        assert list(found) == list(rows)
        assert found["flow"].tolist() == rows["flow"].tolist()
    assert pieces.columns == list(rows)
    for notes in (whole.notes, pieces.notes, sample.notes):
        assert sum("stored" in note and all(name in note for name in index) for note in notes) == 1


def test_an_index_with_a_name_is_a_column(tmp_path: Path, plant: Callable[..., pd.DataFrame]) -> None:
    path, rows = tmp_path / "a.parquet", plant().set_index("run")
    rows.to_parquet(path)
    whole, notes = read_parquet(path)
    assert whole["run"].tolist() == rows.index.tolist()
    assert notes == ["Parquet."]
    pd.testing.assert_frame_equal(pd.concat(read_parquet_batches(path, 10), ignore_index=True), whole)


@pytest.mark.parametrize("frame", [pd.DataFrame({"a": []}), pd.DataFrame(index=[3, 7])])
def test_parquet_without_rows_or_columns(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(tmp_path / "a.parquet")
    for read in (read_parquet, lambda path: list(read_parquet_batches(path, 10))):
        with pytest.raises(DataError, match=rf"{len(frame)} rows and {len(frame.columns)} columns"):
            read(tmp_path / "a.parquet")


def test_bad_parquet(tmp_path: Path) -> None:
    whole = tmp_path / "a.parquet"
    pd.DataFrame({"a": [1], "deep": [[1, 2]]}).to_parquet(whole)
    with pytest.raises(DataError, match=r"nested or binary columns: `deep"):
        read_parquet(whole)
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(DataError, match="not a readable Parquet"):
        read_parquet(tmp_path / "cut.parquet")
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not a readable Parquet"):
        read_parquet(tmp_path / "text.parquet")
    pd.DataFrame({"a": []}).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="0 rows"):
        read_parquet(tmp_path / "none.parquet")


def test_roles_labels_and_units(write) -> None:  # type: ignore[no-untyped-def]
    path = write("t,Torque [Nm],state,unit\n1,2.5,04,7\n2,3.5,4.0,8\n3,4.5,,9\n")
    companion = About(variables={"Torque [Nm]": Variable(name="Drive torque"), "Lost": Variable()})
    table = read_source(path, target="state", group="unit", time="t", about=companion)
    assert table.features == ["Torque [Nm]"]
    assert table.frame["state"].tolist() == ["04", "4", None]
    assert table.groups is not None
    assert table.groups.tolist() == ["7", "8", "9"]
    assert table.about.variables["Torque [Nm]"] == Variable(name="Drive torque", unit="Nm")
    assert "The companion names columns that the table lacks: `Lost`." in table.notes
    with pytest.raises(DataError, match="1 of 3 rows have no label"):
        _ = table.y


def test_labels_agree_between_kinds_of_file(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [0.0, 4.0]})
    frame.to_csv(tmp_path / "a.csv")
    frame.to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        table = read_source(tmp_path / name, target="y")
        assert table.y.tolist() == ["0", "4"]
        assert table.features == ["x"]


def test_a_folder_of_tables_is_a_folder_of_runs(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("a,b\n1,x\n", "run10.csv")
    write("b,a\ny,2\nz,3\n", "run2.csv")
    write("about the data\n", "readme.txt")
    table = read_source(tmp_path, part="test")
    assert table.frame["run"].tolist() == ["run2", "run2", "run10"]
    assert table.frame["a"].tolist() == [2, 3, 1]
    assert table.roles.group == "run"
    assert table.features == ["b", "a"]
    notes = " ".join(table.notes)
    assert "new column `run`" in notes
    assert "Not read: `readme.txt`" in notes
    assert "run" not in read_source(tmp_path, group="b").frame


def test_a_column_of_words_in_one_file_and_numbers_in_the_other(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write("a\n1\n2\n3\n", "r1.csv")
    write("a\nlow\n", "r2.csv")
    table = read_source(tmp_path)
    assert table.frame["a"].tolist()[:3] == [1, 2, 3]
    assert "1 of 4 values are text (`low`)" in " ".join(table.notes)


def test_bad_sources(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = write("Fault,b\n1,2\n2,3\n", "run7.csv")
    with pytest.raises(DataError, match=r"did you mean .*run7\.csv"):
        read_source(tmp_path / "run8.csv")
    with pytest.raises(DataError, match="nor a folder"):
        read_source(tmp_path / "no" / "where.csv")
    with pytest.raises(DataError, match="cannot be opened"):
        read_source(tmp_path / ("x" * 5000))
    with pytest.raises(DataError, match="pass --target 'Fault'"):
        read_source(path, target="fault")
    with pytest.raises(DataError, match="--ignore"):
        read_source(path, ignore=["c"])
    with pytest.raises(DataError, match="given two roles"):
        read_source(path, target="b", ignore=["b"])
    with pytest.raises(DataError, match="given two roles"):
        read_source(path, target="b", group="b")
    with pytest.raises(DataError, match="no part of a source"):
        read_source(path, part="valid")
    with pytest.raises(DataError, match="no faults to choose"):
        read_source(path, faults=[1])
    with pytest.raises(DataError, match="companion"):
        read_source(path, about=tmp_path / "none.yaml")
    with pytest.raises(DataError, match="export it as CSV"):
        read_source(write("", "a.docx"))
    with pytest.raises(DataError, match=r"`.pkl`\) that is not read"):
        read_source(write("", "a.pkl"))


def test_bad_folders(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match="is empty"):
        read_source(empty)
    (empty / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="no tables but images"):
        read_source(empty)
    write("a,b\n1,2\n", "1.csv")
    write("a,c\n1,2\n", "2.csv")
    with pytest.raises(DataError, match=r"2.csv` lacks `b` and has `c` more beside `1.csv`"):
        read_source(tmp_path)


def test_clean_leaves_the_given_frame_alone() -> None:
    given = pd.DataFrame({"a": ["1", "x", "2"], "b": [np.inf, 1, 2]})
    kept = given.copy()
    clean(given)
    pd.testing.assert_frame_equal(given, kept)


def test_the_ai4i_file(data_root: Path) -> None:
    path = data_root / "ai4i" / "ai4i2020.csv"
    if not path.is_file():
        pytest.skip(f"no AI4I file: expected {path}")
    table = read_source(path, target="Machine failure", ignore=["UDI", "Product ID"])
    assert table.frame.shape == (10000, 14)
    assert (table.y == "1").sum() == 339
    assert table.about.variables["Torque [Nm]"].unit == "Nm"
