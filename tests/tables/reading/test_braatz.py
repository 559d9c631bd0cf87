"""The classical Tennessee Eastman files, on the originals; broken copies must be refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from faultwise.contracts.errors import DataError
from faultwise.tables.reading.benchmarks.braatz import BRAATZ_COLUMNS, read_braatz, read_braatz_file
from faultwise.tables.reading.readers import read_source


@pytest.fixture(scope="module")
def folder(data_root: Path) -> Path:
    found = data_root / "tep-braatz"
    if not found.is_dir():
        pytest.skip(f"no Braatz files: expected them in {found}")
    return found


def write(folder: Path, name: str, values: np.ndarray) -> Path:
    np.savetxt(folder / name, values)
    return folder / name


def test_training_part(folder: Path) -> None:
    table = read_braatz(folder)
    assert table.frame.shape == (500 + 20 * 480, 55)
    assert list(table.frame.columns) == ["run", "sample", *BRAATZ_COLUMNS, "fault"]
    assert table.features == list(BRAATZ_COLUMNS)
    assert sorted(set(table.y), key=int) == [str(i) for i in range(21)]
    assert table.split == "block"
    assert table.groups is not None
    assert table.groups[-1] == "d20"
    assert any("21 is left out" in note for note in table.notes)
    assert table.frame.groupby("run")["sample"].agg(["min", "max"]).loc["d04"].tolist() == [1, 480]


def test_test_part_starts_behind_the_onset(folder: Path) -> None:
    table = read_braatz(folder, "test", [0, 4])
    spans = table.frame.groupby("run")["sample"].agg(["min", "max", "size"])
    assert spans.loc["d00_te"].tolist() == [1, 960, 960]
    assert spans.loc["d04_te"].tolist() == [161, 960, 800]
    assert any("160 samples" in note for note in table.notes)


def test_normal_training_file_is_turned_upright(folder: Path) -> None:
    train, test = (read_braatz(folder, part, [0]).X for part in ("train", "test"))
    assert train.shape == (500, 52)
    off = (train.mean() - test.mean()).abs() / test.std()
    assert off.max() < 0.5
    assert train["XMEAS(9)"].mean() == pytest.approx(120.4, abs=0.1)  # reactor temperature, degrees Celsius


def test_known_values(folder: Path) -> None:
    first = np.array((folder / "d01_te.dat").read_text().splitlines()[160].split(), dtype=float)
    np.testing.assert_array_equal(read_braatz(folder, "test", [1]).X.iloc[0].to_numpy(), first)


def test_fault_21_on_request_and_single_files(folder: Path) -> None:
    assert set(read_braatz(folder, faults=[21]).y) == {"21"}
    table = read_source(folder / "d04_te.dat")
    assert table.frame.shape == (800, 55)
    assert set(table.y) == {"4"}
    assert any("train part was requested" in n for n in read_source(folder / "d04_te.dat", part="train").notes)


def test_read_source_keeps_or_drops_the_roles(folder: Path) -> None:
    table = read_source(folder, part="test", faults=[0, 1], ignore=["run", "XMV(1)"])
    assert table.roles.group is None
    assert "XMV(1)" not in table.features
    assert "run" not in table.features
    assert table.split == ""


@pytest.mark.parametrize("faults", [[22], [-1], ["x"], [], [1, 1]])
def test_unknown_faults(tmp_path: Path, faults: list[int]) -> None:
    with pytest.raises(DataError):
        read_braatz(tmp_path, faults=faults)


def test_broken_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no part"):
        read_braatz(tmp_path, "validation")
    with pytest.raises(DataError, match=r"lacks `d01.dat`"):
        read_braatz(tmp_path, faults=[1])
    with pytest.raises(DataError, match="is no folder"):
        read_braatz(tmp_path / "none", faults=[1])
    with pytest.raises(DataError, match="300 rows of 52 numbers; expected 480 rows of 52"):
        read_braatz_file(write(tmp_path, "d01.dat", np.ones((300, 52))))
    with pytest.raises(DataError, match="480 rows of 51"):
        read_braatz_file(write(tmp_path, "d02.dat", np.ones((480, 51))))
    (tmp_path / "d03.dat").write_text("")
    with pytest.raises(DataError, match="0 rows"):
        read_braatz_file(tmp_path / "d03.dat")
    (tmp_path / "d04.dat").write_text("1.0 two\n")
    with pytest.raises(DataError, match="not all numbers"):
        read_braatz_file(tmp_path / "d04.dat")
    with pytest.raises(DataError, match="missing or infinite"):
        read_braatz_file(write(tmp_path, "d05.dat", np.full((480, 52), np.nan)))
    with pytest.raises(DataError, match="no Braatz file name"):
        read_braatz_file(tmp_path / "d99.dat")
    with pytest.raises(DataError, match="no file"):
        read_braatz_file(tmp_path / "d06.dat")


def test_lying_and_upright_files_give_the_same(tmp_path: Path) -> None:
    values = np.random.default_rng(3).normal(size=(500, 52))
    upright = read_braatz_file(write(tmp_path, "d00.dat", values)).X
    lying = read_braatz_file(write(tmp_path, "d00.dat", values.T)).X
    assert upright.equals(lying)
