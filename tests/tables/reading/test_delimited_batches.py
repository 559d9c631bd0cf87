"""Batches joined together are the whole file; columns never change their kind; the memory stays flat."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import faultwise
from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import MISSING_WORDS, is_number
from faultwise.tables.reading.text.delimited import read_delimited
from faultwise.tables.reading.text.delimited_batches import read_delimited_batches

QUICK = settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])


def same(path: Path, rows: int, **options: object) -> list[pd.DataFrame]:
    """Read in batches, compare with the whole, return the batches."""
    batches = list(read_delimited_batches(path, rows, **options))  # type: ignore[arg-type]
    whole, _ = read_delimited(path, **options)  # type: ignore[arg-type]
    assert all(1 <= len(batch) <= rows for batch in batches)
    kinds = {name: "float64" for name in whole if pd.api.types.is_numeric_dtype(whole[name])}
    pd.testing.assert_frame_equal(pd.concat(batches), whole.astype(kinds), check_exact=True, check_index_type=False)
    return batches


def is_word(text: str) -> bool:
    return not (is_number(text) or is_number(text, ",") or text.lower() in MISSING_WORDS)


words = st.text("abcXYZ äöß_,;|'\"=+\n", min_size=1, max_size=9).map(str.strip).filter(is_word)
numbers = st.floats(allow_nan=True, allow_infinity=False, width=64) | st.integers(-(10**6), 10**6).map(float)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(2, 14))
    columns: dict[str, list[object]] = {}
    for i in range(draw(st.integers(1, 3))):
        columns[f"n{i}"] = [0.5, *draw(st.lists(numbers, min_size=rows - 1, max_size=rows - 1))]
    for i in range(draw(st.integers(0, 2))):
        rest = draw(st.lists(st.none() | words, min_size=rows - 1, max_size=rows - 1))
        columns[f"wörd {i}"] = [draw(words), *rest]
    columns["whole"] = list(draw(st.lists(st.integers(-(2**40), 2**40), min_size=rows, max_size=rows)))
    columns["label"] = list(draw(st.lists(st.sampled_from(["0", "1", "04", "a"]), min_size=rows, max_size=rows)))
    return pd.DataFrame(columns)


@QUICK
@given(
    frame=frames(),
    rows=st.integers(1, 9),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_batches_joined_are_the_whole_file(
    frame: pd.DataFrame, rows: int, delimiter: str, decimal: str, encoding: str, ending: str, packed: bool
) -> None:
    raw = frame.to_csv(None, sep=delimiter, decimal=decimal, index=False, lineterminator=ending).encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(gzip.compress(raw) if packed else raw)
        same(path, rows, as_text=["label"])


@settings(QUICK, max_examples=30)
@given(frame=frames(), rows=st.integers(1, 5), piece=st.integers(4, 40), ending=st.sampled_from(["\n", "\r", "\r\n"]))
def test_pieces_may_end_anywhere(frame: pd.DataFrame, rows: int, piece: int, ending: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "rows.csv"
        # pandas does not quote a line feed when lines end in carriage returns: end the lines only afterwards.
        path.write_bytes(frame.to_csv(None, index=False, lineterminator="\n").replace("\n", ending).encode())
        patch.setattr("faultwise.tables.reading.text.delimited_batches._PIECE", piece)
        patch.setattr("faultwise.tables.reading.text.blocks._BLOCK", piece)
        same(path, rows, as_text=["label"])


@settings(QUICK, max_examples=150)
@given(text=st.text("ab1.,;\t|\"'\n\r -+e%äö\x0b\x0c\u2028", max_size=80), rows=st.integers(1, 3))
def test_random_text_raises_nothing_but_data_errors(text: str, rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(text.encode())
        try:
            batches = list(read_delimited_batches(path, rows))
        except DataError:
            return
    assert len({tuple(batch.dtypes.astype(str)) for batch in batches}) == 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def test_what_spreadsheets_leave_is_left_out(path: Path) -> None:
    path.write_text(
        "Plant 7;;;\nt;p;s;;\ns;[bar];text;;\n1;2,5;a;;\n2;3,5;b;;\n\n3;4,5;a;;\n;;;\n;;;\n", encoding="utf-8"
    )
    batches = same(path, 2)
    assert [len(batch) for batch in batches] == [2, 1]
    with read_delimited_batches(path, 2) as found:
        list(found)
        notes = " ".join(found.notes)
    for words in (
        "semicolons, decimal comma",
        "header: 1 (",
        "holds units",
        "it is empty",
        "Empty rows at the end: 2",
    ):
        assert words in notes


def test_types_are_fixed_by_the_first_batch(path: Path) -> None:
    path.write_text("a,b,c,d\n1,x,True,\n2,y,False,\nbad,3,True,\n4,4,maybe,5\n")
    found = read_delimited_batches(path, 2)
    batches = list(found)
    assert [dict(batch.dtypes.astype(str)) for batch in batches] == [
        {"a": "float64", "b": "str", "c": "float64", "d": "float64"}
    ] * 2
    assert batches[1]["b"].tolist() == ["3", "4"]
    np.testing.assert_array_equal(batches[1].drop(columns="b"), [[np.nan, 1, np.nan], [4, np.nan, 5]])
    assert "From batch 2 on: Column `a`: 1 of 2 values are text (`bad`): treated as missing." in found.notes


def test_a_note_is_made_once(path: Path) -> None:
    path.write_text("a,b\n" + "1,x\nbad,y\n2,z\n" * 50)
    found = read_delimited_batches(path, 3)
    list(found)
    assert sum("`bad`" in note for note in found.notes) == 1


def test_a_saved_index_is_left_out_of_every_batch(path: Path) -> None:
    pd.DataFrame({"a": np.arange(10) / 4}).to_csv(path)
    assert [list(batch) for batch in same(path, 4)] == [["a"]] * 3


def test_progress(path: Path) -> None:
    path.write_text("a,b\n" + "1.5,abc\n" * 600_000)
    found = read_delimited_batches(path, 50_000)
    shares = [found.done for _ in found]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.8
    assert found.done == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b"a,b\n", "header and no rows"),
        (b"a,b\n1,\x00\n", "binary"),
        (b"\xff\xfea", "utf-16, which its byte order mark states"),
        (b"\x1f\x8bnot really", "gzip"),
        (b"1.5,2.5\n3.5,4.5\n", "only numbers"),
    ],
)
def test_what_is_no_table_is_refused_at_once(path: Path, raw: bytes, message: str) -> None:
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message):
        read_delimited_batches(path, 2)


def test_absent_files_and_wrong_requests(tmp_path: Path, path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        read_delimited_batches(path, 2)
    with pytest.raises(DataError, match="folder"):
        read_delimited_batches(tmp_path, 2)
    with pytest.raises(DataError, match="expected 1 or more"):
        read_delimited_batches(path, 0)
    path.write_text("a\n1\n")
    for encoding in ("rot13", "no-such", "a\0b", "utf-16"):
        with pytest.raises(DataError, match="declared"):
            read_delimited_batches(path, 2, encoding=encoding)


GOOD = b"flow,state\n" + b"1.25,open\n" * 400_000


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (GOOD + b"1,2,3\n" + GOOD, "line 400002: 3 fields, but the header has 2"),
        (GOOD + b'1,"' + b"x" * 200_000, "a cell has more than 131072 characters"),
        (GOOD + b"1,\x00\n", "binary"),
        (b"\xef\xbb\xbf" + GOOD + b"1,\xff\n", "not utf-8-sig"),
        (gzip.compress(GOOD, 1)[:-2000], "cut-off gzip"),
        (gzip.compress(GOOD + os.urandom(2_000_000), 1), "binary"),
    ],
    ids=["too-wide", "open-quote", "nul", "encoding", "cut", "garbage"],
)
def test_what_goes_wrong_later_is_refused_later(path: Path, raw: bytes, message: str) -> None:
    path.write_bytes(raw)
    found = read_delimited_batches(path, 20_000)
    assert len(next(found)) == 20_000
    with pytest.raises(DataError, match=message):
        list(found)
    with pytest.raises(StopIteration):
        next(found)


def test_mixed_encodings_far_into_the_file(path: Path) -> None:
    path.write_bytes(b"a,b\n" + b"1,x\n" * 300_000 + "2,ä\n".encode() + "3,ö\n".encode("cp1252"))
    found = read_delimited_batches(path, 100_000)
    assert list(found)[-1]["b"].tolist() == ["ä", "ö"]
    assert "Lines that are not UTF-8: 1 (first: line 300003)" in " ".join(found.notes)


def test_the_memory_stays_flat(path: Path) -> None:
    line = "2026-11-21 06:30:00,1.25,-17.5,normal\n"
    with path.open("w", encoding="ascii") as file:
        file.write("when,flow,temp,state\n")
        for _ in range(20):
            file.write(line * 20_000)
    code = f"""
    import resource
    from faultwise.tables.reading.text.delimited_batches import read_delimited_batches
    found = read_delimited_batches({str(path)!r}, 10_000)
    next(found)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(batch) for batch in found) == 390_000
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    pytest.importorskip("resource", reason="no resource limits on this system")
    environment = {**os.environ, "PYTHONPATH": str(Path(faultwise.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    more = int(done.stdout) / (1024 * (1024 if sys.platform == "darwin" else 1))
    assert more < 12, f"{more:.0f} MiB more for a file of {path.stat().st_size >> 20} MiB"
