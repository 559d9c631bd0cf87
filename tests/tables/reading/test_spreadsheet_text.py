"""Text files as loggers and spreadsheets leave them: each peculiarity is understood where it is certain, and noted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import clean, unique_names
from faultwise.tables.reading.text.delimited import read_delimited
from faultwise.tables.reading.text.numerals import is_number

Read = Callable[..., tuple[dict[str, list[object]], str]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a text; return the columns as lists (None for missing) and all notes as one text."""

    def inner(text: str | bytes, **options: object) -> tuple[dict[str, list[object]], str]:
        path = tmp_path / "rows.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        frame, notes = read_delimited(path, **options)  # type: ignore[arg-type]
        columns = {name: [None if value != value else value for value in frame[name]] for name in frame}
        return columns, " ".join(notes)

    return inner


# --- thousands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('a,b\n"1,234.5",1\n"2,345.5",2\n', [1234.5, 2345.5]),  # both marks
        ('a,b\n"1,234,567",1\n12,2\n', [1234567, 12]),  # two groups
        ('a,b\n"1,234",0.5\n999,2.5\n', [1234, 999]),  # b shows what the point is for
        ("a;b\n1.234,5;1\n12,25;2\n", [1234.5, 12.25]),
        ("a;b\n1.234;0,5\n2.345;0,7\n", [1234, 2345]),
        ("a;b\n1.234.567;1\n2;2\n", [1234567, 2]),
        ("a;b\n12 345;1\n1 234,5;2\n", [12345, 1234.5]),
        ("a;b\n12\u00a0345,5;1\n1\u202f234,5;2\n", [12345.5, 1234.5]),
        ("a;b\n12'345.5;1\n1'234.5;2\n", [12345.5, 1234.5]),
        ("a;b\n1,234.5e3;1\n-1,234.5;2\n", [1234500, -1234.5]),
    ],
)
def test_certain_thousands_are_numbers(read: Read, text: str, values: list[float]) -> None:
    columns, notes = read(text)
    assert columns["a"] == values
    assert "Column `a`: " in notes
    assert "thousands separators or unusual signs: read as numbers (`" in notes


@pytest.mark.parametrize(
    "text",
    [
        'a,b\n"1,234",1\n"2,345",2\n',
        "a\tb\n1,234\t1\n2,345\t2\n",
        "a\tb\n1,234\t0.5\n2,345\t0,5\n",  # both marks are decimal somewhere
    ],
)
def test_unclear_thousands_stay_text(read: Read, text: str) -> None:
    columns, notes = read(text)
    assert columns["a"] == ["1,234", "2,345"]
    assert "Column `a` stays text: its values look like numbers with thousands separators" in notes


def test_three_decimals_between_semicolons_are_decimals_and_said(read: Read) -> None:
    columns, notes = read("a;b\n1,234;1\n2,345;2\n")
    assert columns["a"] == [1.234, 2.345]
    assert "`1,234` was read with a decimal comma, because semicolons separate the columns" in notes


def test_a_leading_zero_is_no_thousand(read: Read) -> None:
    assert read("a;b\n0,125;1\n1,234;2\n")[0]["a"] == [0.125, 1.234]
    assert read('a,b\n"0,125",1\n"1,234",2\n')[0]["a"] == [0.125, 1.234]


def test_whole_numbers_prove_no_decimal_comma(read: Read) -> None:
    columns, notes = read('a,b\n"1,234",1\n"2,345",2\n7,3\n')
    assert columns["a"] == ["1,234", "2,345", "7"]
    assert "stays text" in notes


# --- dates ----------------------------------------------------------------------------------------------------

DATES = {
    "iso": ["2026-11-21 06:30:00", "2026-11-21 06:31:00", "2026-11-21 06:32:00"],
    "zulu": ["2026-11-21T06:30:00Z", "2026-11-21T06:31:00Z", "2026-11-21T06:32:00.5Z"],
    "german": ["21.11.2026 06:30", "21.11.2026 06:31", "21.11.2026"],
    "american": ["11/21/2026 6:30 PM", "11/21/2026 6:31 PM", "1/2/2026"],
    "short": ["21.11.26", "22.11.26", "1.2.26"],
    "time": ["06:30", "06:30:15", "06:30:15,5"],
}


@pytest.mark.parametrize("words", DATES.values(), ids=DATES)
@pytest.mark.parametrize(("delimiter", "decimal"), [(";", ","), (",", "."), ("\t", "."), ("\t", ","), ("|", ",")])
def test_dates_stay_text(read: Read, words: list[str], delimiter: str, decimal: str) -> None:
    rows = [f'"{word}"{delimiter}{i}{decimal}5' for i, word in enumerate(words)]
    columns, notes = read(f"when{delimiter}flow\n" + "\n".join(rows) + "\n")
    assert columns == {"when": words, "flow": [0.5, 1.5, 2.5]}
    assert notes.count(".") <= 3, "no note but the first"


@pytest.mark.parametrize("first", [20261121063000, 1795242600, 1795242600000])
@pytest.mark.parametrize(("delimiter", "decimal"), [(";", ","), (",", ".")])
def test_dates_as_numbers_stay_exact(read: Read, first: int, delimiter: str, decimal: str) -> None:
    columns, _ = read(f"when{delimiter}flow\n{first}{delimiter}0{decimal}5\n{first + 1}{delimiter}1{decimal}5\n")
    assert columns == {"when": [first, first + 1], "flow": [0.5, 1.5]}


# --- encodings ------------------------------------------------------------------------------------------------


def test_mixed_encodings_are_decoded_line_by_line(read: Read) -> None:
    lines = [b"state,t\n", "geöffnet,1\n".encode(), "geöffnet,2\n".encode("cp1252"), b"zu,3\n"]
    columns, notes = read(b"".join(lines))
    assert columns["state"] == ["geöffnet", "geöffnet", "zu"]
    assert "Lines that are not UTF-8: 1 (first: line 3), read as cp1252" in notes
    assert "utf-8 and cp1252." in notes


def test_one_encoding_is_not_called_mixed(read: Read) -> None:
    columns, notes = read("state,t\nö,1\nü,2\n".encode("cp1252"))
    assert columns["state"] == ["ö", "ü"]
    assert "The file is not UTF-8 and was read as cp1252" in notes
    assert read("state,t\nö,1\n\x81,2\nx,3\n".encode("latin-1") + b"y,4\n" * 999)[0]["state"][0] == "ö"


# --- spreadsheets ---------------------------------------------------------------------------------------------


def test_title_lines_above_the_header(read: Read) -> None:
    text = "Plant 7;;;;\nExported;21.11.2026;;;\n;;;;\ntime;flow;state;;\n1;1,5;on;;\n2;2,5;off;;\n;;;;\n;;;;\n"
    columns, notes = read(text)
    assert columns == {"time": [1, 2], "flow": [1.5, 2.5], "state": ["on", "off"]}
    assert "Title lines above the header: 2 (`Plant 7`, `Exported`), left out." in notes
    assert "Empty rows at the end: 2, left out." in notes
    assert "(`column 4`) was left out: it is empty" in notes


def test_title_lines_without_padding(read: Read) -> None:
    columns, notes = read("Trend of line 3\n\ntime,flow,level\n1,2.5,7\n2,3.5,8\n")
    assert columns == {"time": [1, 2], "flow": [2.5, 3.5], "level": [7, 8]}
    assert "Title lines above the header: 1 (`Trend of line 3`), left out." in notes


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n1,2,3\n", "a,b\nx,y,z\n1,2\n", "a,b\nx,y,z\nu,v,w\n", "a,b\np,q,q\n1,2,3\n"]
)
def test_a_wide_line_alone_makes_no_title(read: Read, text: str) -> None:
    with pytest.raises(DataError, match="fields, but the header has"):
        read(text)


def test_many_empty_columns_are_noted_once(read: Read) -> None:
    columns, notes = read("a,b" + "," * 9 + "\n1,2" + "," * 9 + "\n")
    assert columns == {"a": [1], "b": [2]}
    assert "9 columns without a name were left out: 9 are empty" in notes


def test_delimiters_at_the_end_of_every_row_but_the_header(read: Read) -> None:
    columns, notes = read("a;b\n1;2;;\n3;4;;\n")
    assert columns == {"a": [1, 3], "b": [2, 4]}
    assert "it is empty" in notes
    assert "fewer" not in notes


def test_spreadsheet_errors_are_missing(read: Read) -> None:
    columns, notes = read("a,b\n1,x\n#DIV/0!,#NAME?\n#VALUE!,y\n4,#REF!\n#NUM!,#NULL!\n#N/A,z\n", as_text=["b"])
    assert columns == {"a": [1, None, None, 4, None, None], "b": ["x", None, "y", None, None, "z"]}
    assert "Column `a`: 3 spreadsheet errors (`#DIV/0!`, `#NUM!`, `#VALUE!`): treated as missing." in notes
    assert "Column `b`: 3 spreadsheet errors" in notes


@pytest.mark.parametrize("units", ["[s];[°C];bar;", "s;°C;bar;text", "-;%;[-];", "min;m³/h;kPa;state"])
def test_a_line_of_units_is_left_out(read: Read, units: str) -> None:
    columns, notes = read(f"time;temp;p;state\n{units}\n1;20,5;3;on\n2;21,5;4;off\n")
    assert columns == {"time": [1, 2], "temp": [20.5, 21.5], "p": [3, 4], "state": ["on", "off"]}
    assert "The line below the header holds units and was left out (`" in notes


@pytest.mark.parametrize("first", ["bad,bad", "5,[bar]", ",[bar]", "NaN,NaN", "#N/A,#DIV/0!", "sensor error,off"])
def test_a_bad_first_row_is_no_line_of_units(read: Read, first: str) -> None:
    columns, notes = read(f"t,p\n{first}\n1,3.5\n2,4.5\n3,4.5\n")
    assert len(columns["t"]) == 4
    assert "units" not in notes


def test_percent_signs(read: Read) -> None:
    columns, notes = read("a;b\n12,5%;5%\n7 %;5\n-;x%\n")
    assert columns == {"a": [12.5, 7, None], "b": ["5%", "5", "x%"]}
    assert "Column `a`: every value is a percentage (`12,5%`): read as percent points." in notes


def test_unusual_signs_quotes_and_padding(read: Read) -> None:
    columns, notes = read('a,b,c\n\u22121.5,"2.5",  3 \n2.5, "3.5" ,\u00a04\u00a0\n\'5\',"""6""",5\n')
    assert columns == {"a": [-1.5, 2.5, 5], "b": [2.5, 3.5, 6], "c": [3, 4, 5]}
    assert "read as numbers (`\u22121.5` as -1.5)" in notes


# --- size -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: "a,b\n1," + "1" * 5_000_000 + "x\n",
        lambda: "x" * 5_000_000,
        lambda: "1.5," * 1_000_000,
        lambda: "a,b\n" + "1," * 2_000_000,
        lambda: 'a,b\n"' + "x" * 5_000_000,
        lambda: "a,b\n" + '"' * 5_000_000,
        lambda: "a,b\n1,2\n" + ",\n" * 1_000_000,
        lambda: "\n" * 5_000_000 + "a,b\n1,2\n",
        lambda: ",".join(["c"] * 5_000) + "\n" + ",".join(["1"] * 5_000) + "\n",
        lambda: "," * 4_999 + "a\n" + "," * 4_999 + "1\n",
    ],
    ids=["digits", "no-newline", "wide-header", "wide-row", "open-quote", "quotes", "empty", "blank", "same", "none"],
)
def test_enormous_lines_are_read_or_refused_soon(read: Read, make: Callable[[], str]) -> None:
    text = make()
    started = time.process_time()
    with contextlib.suppress(DataError):
        read(text)
    assert time.process_time() - started < 5


def test_repeated_names_stay_apart_from_numbered_ones() -> None:
    assert unique_names(["a", "a.3", "a", "a", "a.2"])[0] == ["a", "a.3", "a.4", "a.5", "a.2"]
    assert len(set(unique_names(["a"] * 500 + ["a.7"] + [""] * 20)[0])) == 521


def test_digits_without_end_are_no_number() -> None:
    assert not is_number("1" * 100_000 + "x")
    assert not is_number("1" * 500)


def test_clean_takes_a_proof() -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": ["1,234", "2,345"]})
    assert clean(frame)[0]["a"].tolist() == ["1,234", "2,345"]
    np.testing.assert_array_equal(clean(frame, proven=True)[0]["a"], [1234.0, 2345.0])
