"""Whatever the delimiter, decimal mark and encoding: what was written is read; garbage is refused with a message."""

from __future__ import annotations

import contextlib
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.cleaning import MISSING_WORDS, is_number
from faultwise.tables.reading.parquet import read_parquet
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.text.delimited import read_delimited

QUICK = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
# No two of these form a UTF-8 sequence, so that Latin-1 text cannot be mistaken for UTF-8.
LETTERS = "abcXYZ äöüßé_,;|'\"=+@(){}"
numbers = st.floats(allow_nan=True, allow_infinity=False, width=64)


def is_word(text: str) -> bool:
    text = text.strip()
    return not (is_number(text) or is_number(text, ",") or text.lower() in MISSING_WORDS)


words = st.text(LETTERS, min_size=1, max_size=12).map(str.strip).filter(is_word)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(2, 12))
    columns: dict[str, list[object]] = {}
    for i in range(draw(st.integers(1, 3))):
        # One value with a fraction, so that the file shows its decimal mark.
        columns[f"n{i}"] = [0.5, *draw(st.lists(numbers, min_size=rows - 1, max_size=rows - 1))]
    for i in range(draw(st.integers(0, 2))):
        columns[f"wörd {i}"] = list(draw(st.lists(words, min_size=rows, max_size=rows)))
    return pd.DataFrame(columns)


@QUICK
@given(
    frame=frames(),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    packed=st.booleans(),
)
def test_what_was_written_is_read(
    frame: pd.DataFrame, delimiter: str, decimal: str, encoding: str, ending: str, packed: bool
) -> None:
    text = frame.to_csv(None, sep=delimiter, decimal=decimal, index=False, lineterminator=ending)
    raw = text.encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(gzip.compress(raw) if packed else raw)
        found, notes = read_delimited(path)
    assert list(found.columns) == list(frame.columns)
    if len(frame.columns) > 1:  # `,,` in the last lines is what spreadsheets leave: no rows
        frame = frame.iloc[: np.flatnonzero(frame.notna().any(axis=1))[-1] + 1]
    for name in frame.columns:
        if name.startswith("n"):
            np.testing.assert_array_equal(found[name].to_numpy(float), frame[name].to_numpy(float))
        else:
            assert found[name].tolist() == [" ".join([w]) for w in frame[name]]
    assert ("decimal comma" in notes[0]) == (decimal == ",")


def refused_or_read(raw: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(raw)
        try:
            frame, notes = (read_parquet if name.endswith("parquet") else read_delimited)(path)
        except DataError:
            return
    assert len(frame) > 0
    assert frame.columns.is_unique
    assert all(isinstance(note, str) for note in notes)
    numeric = frame.select_dtypes("number")
    assert not np.isinf(numeric.to_numpy(dtype=float)).any()


@QUICK
@given(st.binary(max_size=300), st.sampled_from([b"", b"\x1f\x8b\x08", b"\xff\xfe", b"\xef\xbb\xbf", b"a,b\n"]))
def test_random_bytes_raise_nothing_but_data_errors(raw: bytes, start: bytes) -> None:
    refused_or_read(start + raw, "rows.csv")


@settings(QUICK, max_examples=250)
@given(st.text("ab1.,;\t|\"'\n\r -+einf\x0b\x0c\x85\u2028", max_size=80))
def test_random_text_raises_nothing_but_data_errors(text: str) -> None:
    refused_or_read(text.encode(), "rows.csv")


@QUICK
@given(st.text("ab1. \n\t", max_size=60), st.sampled_from(["utf-8", "utf-16", "rot13", "no-such", "a\0b", "idna"]))
def test_any_declared_encoding_raises_nothing_but_data_errors(text: str, encoding: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.txt"
        path.write_bytes(text.encode())
        with contextlib.suppress(DataError):
            read_delimited(path, encoding=encoding)


@QUICK
@given(st.binary(max_size=60), st.integers(0, 2000), st.booleans())
def test_damaged_parquet_raises_nothing_but_data_errors(raw: bytes, where: int, cut: bool) -> None:
    buffer = io.BytesIO()
    pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}).to_parquet(buffer)
    whole = buffer.getvalue()
    where %= len(whole)
    refused_or_read(whole[:where] if cut else whole[:where] + raw + whole[where + len(raw) :], "rows.parquet")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv", "a.txt", "a.parquet", "a.dat", "d01.dat", "a.xlsx"])
def test_the_same_garbage_under_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(bytes(range(256)) * 4)
    with pytest.raises(DataError):
        read_source(tmp_path / name)
