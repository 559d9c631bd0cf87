"""The three published data sets as sources: what is recognised, relabelled, left out and noted.

Rieth and HST are tested on generated files of their layouts only; AI4I on the real file.
"""

from __future__ import annotations

import builtins
import gzip
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise.contracts.errors import DataError, UserError
from faultwise.tables.reading.benchmarks.benchmarks import recognise
from faultwise.tables.reading.benchmarks.rieth import rieth_frame
from faultwise.tables.reading.benchmarks.samples import available
from faultwise.tables.reading.r_data import read_r_data
from faultwise.tables.reading.readers import read_source

VARIABLES = [*(f"xmeas_{i}" for i in range(1, 42)), *(f"xmv_{i}" for i in range(1, 12))]
OURS = [*(f"XMEAS({i})" for i in range(1, 42)), *(f"XMV({i})" for i in range(1, 12))]
FILES = {
    "TEP_FaultFree_Training": ((0,), 500),
    "TEP_Faulty_Training": ((1, 4), 500),
    "TEP_FaultFree_Testing": ((0,), 960),
    "TEP_Faulty_Testing": ((1, 4), 960),
}


def rieth(faults: tuple[int, ...] = (0, 4), rows: int = 500, runs: int = 2) -> pd.DataFrame:
    """Generated rows with the columns of the set; the values are noise."""
    rng = np.random.default_rng(0)
    frames = []
    for fault in faults:
        for run in range(1, runs + 1):
            keys = {"faultNumber": float(fault), "simulationRun": float(run), "sample": np.arange(1, rows + 1)}
            values = pd.DataFrame(rng.normal(size=(rows, len(VARIABLES))).round(3), columns=VARIABLES)
            frames.append(pd.concat([pd.DataFrame(keys), values], axis=1))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    def write(frame: pd.DataFrame, name: str = "rows.csv", **how: Any) -> Path:
        path = tmp_path / name
        frame.to_csv(path, **{"index": False, **how})
        return path

    return write


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rieth")
    for name, (faults, rows) in FILES.items():
        rieth(faults, rows, runs=1).to_csv(folder / f"{name}.csv", index=False)
    (folder / "readme.txt").write_text("not a table")
    return folder


# --- Rieth ---


def test_rieth_roles_names_runs_and_companion(csv) -> None:
    table = read_source(csv(rieth(), "TEP_Faulty_Training.csv"))
    assert (table.roles.target, table.roles.group, table.roles.time) == ("fault", "run", "sample")
    assert list(table.frame.columns) == ["run", "sample", *OURS, "fault"]
    assert table.features == OURS
    assert table.split == ""
    # simulationRun repeats for every fault: runs must not.
    assert sorted(table.frame["run"].unique()) == [f"fault{f:02d}-run{r:03d}" for f in (0, 4) for r in (1, 2)]
    assert (table.frame.groupby("run").size() == 500).all()
    assert table.about.normal == "0"
    assert table.about.variables["XMEAS(9)"].name == "Reactor temperature"
    assert table.about.variables["XMV(11)"].unit
    assert np.allclose(table.frame["XMV(11)"], rieth()["xmv_11"])


@pytest.mark.parametrize(("rows", "before"), [(500, 20), (960, 160)])
@pytest.mark.parametrize("named", [True, False])
def test_rieth_onset_to_the_row(csv, rows: int, before: int, named: bool) -> None:
    part = "training" if rows == 500 else "testing"
    table = read_source(csv(rieth(rows=rows), f"tep_{part}.csv" if named else "rows.csv"))
    faulty = table.frame[table.frame["run"] == "fault04-run002"]
    assert faulty["fault"].tolist() == ["0"] * before + ["4"] * (rows - before)
    assert faulty["sample"].tolist() == list(range(1, rows + 1))
    notes = " ".join(table.notes)
    assert f"Samples 1 to {before} of a faulty run are before the onset: they are labelled 0" in notes
    assert f"{part} part" in notes
    assert (f"because its largest sample is {rows}" in notes) != named


def test_rieth_head_of_a_testing_file_goes_by_its_name(csv) -> None:
    table = read_source(csv(rieth(rows=200), "TEP_Faulty_Testing.csv"))
    assert (table.frame["fault"] == "4").sum() == 2 * 40


@pytest.mark.parametrize("index", ["", "Unnamed: 0", "rownames"])
def test_rieth_order_case_and_a_saved_index_do_not_matter(csv, index: str) -> None:
    frame = rieth()
    frame = frame[list(reversed(frame.columns))].rename(columns=str.upper)
    frame.insert(0, index, np.arange(len(frame))[::-1] + 7)  # not a plain counter
    plain = read_source(csv(rieth()))
    table = read_source(csv(frame, "other.csv"))
    assert list(table.frame.columns) == list(plain.frame.columns)
    pd.testing.assert_frame_equal(table.frame, plain.frame)
    assert "A saved row index was left out" in " ".join(table.notes)


def test_rieth_chunk_by_chunk_is_the_whole() -> None:
    frame = rieth(faults=(0, 3, 17))
    layout = recognise(frame.columns, "TEP_Faulty_Training.parquet")
    assert layout is not None
    assert layout.onset == 20
    assert (layout.roles.target, layout.roles.group) == ("fault", "run")
    pieces = [layout.apply(frame.iloc[at : at + 333]) for at in range(0, len(frame), 333)]
    pd.testing.assert_frame_equal(pd.concat(pieces), layout.apply(frame))
    stated = recognise(frame.columns, "rows.parquet", onset=20)
    assert stated is not None
    pd.testing.assert_frame_equal(stated.apply(frame), layout.apply(frame))
    assert len(layout.apply(frame.iloc[:0])) == 0


def test_rieth_chunk_without_a_stated_part_is_refused() -> None:
    layout = recognise(rieth().columns, "rows.csv")
    assert layout is not None
    with pytest.raises(DataError, match="put Training or Testing into the file's name"):
        layout.apply(rieth().head(10))


def test_rieth_names_of_the_file_can_be_used_for_roles(csv) -> None:
    path = csv(rieth().assign(**{"Unnamed: 0": 3}))
    table = read_source(
        path, target="faultNumber", group="simulationRun", ignore=["xmeas_1", "Unnamed: 0"], keep=["xmv_1"]
    )
    assert (table.roles.target, table.roles.group) == ("fault", "run")
    assert table.roles.ignored == ("XMEAS(1)",)
    assert table.frame["run"].nunique() == 4


def test_rieth_roles_of_the_user_win(csv) -> None:
    table = read_source(csv(rieth().assign(day=1)), target="day", ignore=["sample"])
    assert (table.roles.target, table.roles.group, table.roles.time) == ("day", "run", None)
    assert "fault" in table.features


def test_rieth_folder_part_and_faults(four: Path) -> None:
    train, test = read_source(four), read_source(four, part="test")
    assert len(train.frame) == 3 * 500
    assert len(test.frame) == 3 * 960
    assert list(train.frame["run"].unique()) == ["fault00-run001", "fault01-run001", "fault04-run001"]
    assert (test.frame["fault"] == "4").sum() == 800
    assert "Put together: `TEP_FaultFree_Testing.csv`, `TEP_Faulty_Testing.csv`." in test.notes
    one = read_source(four, part="test", faults=[4])
    assert set(one.frame["run"]) == {"fault04-run001"}
    assert sorted(one.frame["fault"].unique()) == ["0", "4"]
    assert set(read_source(four, faults=[0, 1]).frame["run"]) == {"fault00-run001", "fault01-run001"}
    file = read_source(four / "TEP_Faulty_Testing.csv", part="train", faults=[1])
    assert set(file.frame["run"]) == {"fault01-run001"}
    assert "The train part was requested, but this is of the test part: it was read." in file.notes


def test_rieth_pieces_under_other_names_are_one_set(csv, tmp_path: Path) -> None:
    for fault in (0, 4):
        csv(rieth((fault,)), f"part{fault}.csv")
    table = read_source(tmp_path)
    assert table.roles.group == "run"
    assert table.frame["run"].nunique() == 4


def test_a_folder_named_alike_with_other_columns_is_an_ordinary_one(csv, tmp_path: Path) -> None:
    for name in ("faulty_training.csv", "faulty_testing.csv"):
        csv(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), name)
    assert sorted(set(read_source(tmp_path).frame["run"])) == ["faulty_testing", "faulty_training"]


def test_rieth_folder_without_the_part(csv, tmp_path: Path) -> None:
    csv(rieth(), "TEP_Faulty_Training.csv")
    with pytest.raises(DataError, match=r"testing part.*fetch the file, or request what is there"):
        read_source(tmp_path, part="test")


@pytest.mark.parametrize(
    ("faults", "message"),
    [([7], "lacks the faults `7`; it has `0`, `4`"), ([4, 4], "each once"), ([], "none"), (["x"], "lacks")],
)
def test_rieth_faults_that_are_not_there(csv, faults: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_source(csv(rieth()), faults=faults)


def test_faults_of_a_table_that_has_none(csv) -> None:
    with pytest.raises(DataError, match="no faults to choose"):
        read_source(csv(pd.DataFrame({"a": [1, 2], "b": [3, 4]})), faults=[1])


@pytest.mark.parametrize("column", ["faultNumber", "simulationRun", "sample"])
@pytest.mark.parametrize("value", [1.5, -1.0, np.nan, 1e12])
def test_rieth_numbers_that_are_not_whole(csv, column: str, value: float) -> None:
    frame = rieth().astype({column: float})
    frame.loc[7, column] = value
    with pytest.raises(DataError, match=rf"`{column}`: 1 of 2000 values are no whole numbers"):
        read_source(csv(frame))


def test_rieth_training_and_testing_put_together(csv) -> None:
    both = pd.concat([rieth(rows=500), rieth(rows=960)])
    with pytest.raises(DataError, match="2000 of 5840 rows repeat the fault, run and sample"):
        read_source(csv(both))


def test_rieth_name_and_samples_contradict(csv) -> None:
    with pytest.raises(DataError, match="a sample 960: a file of the testing part needs Testing"):
        read_source(csv(rieth(rows=960), "my_training.csv"))


def test_rieth_frame_refuses_other_columns() -> None:
    with pytest.raises(DataError, match="expected those of the Tennessee Eastman set of Rieth"):
        rieth_frame(pd.DataFrame({"a": [1]}), 20)


@pytest.mark.parametrize("change", ["lacks", "twice", "ours"])
def test_rieth_is_not_recognised_by_halves(change: str) -> None:
    columns = list(rieth().columns)
    columns = {"lacks": columns[:-1], "twice": [*columns, "Sample"], "ours": [*columns, "fault"]}[change]
    assert recognise(columns, "TEP_Faulty_Training.csv") is None


# --- RData ---


@pytest.fixture
def rda(tmp_path: Path) -> Callable[..., Path]:
    rdata = pytest.importorskip("rdata", reason="the extra rieth is not installed")

    def write(objects: dict[str, Any], name: str = "TEP_Faulty_Training.RData") -> Path:
        rdata.write_rda(tmp_path / name, objects)
        return tmp_path / name

    return write


def test_r_data_gives_what_the_csv_gives(csv, rda) -> None:
    table = read_source(rda({"faulty_training": rieth()}))
    plain = read_source(csv(rieth()))
    pd.testing.assert_frame_equal(table.frame, plain.frame)
    assert "RData, data frame `faulty_training`." in table.notes


def test_r_data_folder(rda, tmp_path: Path) -> None:
    for name, (faults, rows) in FILES.items():
        rda({name.lower(): rieth(faults, rows, runs=1)}, f"{name}.RData")
    assert len(read_source(tmp_path, part="test", faults=[0, 4]).frame) == 2 * 960
    # A second edition of the same rows is not read twice.
    rieth((0,), 500, runs=1).to_parquet(tmp_path / "TEP_FaultFree_Training.parquet")
    table = read_source(tmp_path)
    assert len(table.frame) == 3 * 500
    assert "Put together: `TEP_FaultFree_Training.parquet`, `TEP_Faulty_Training.RData`." in table.notes


def test_r_data_of_any_table_is_text_and_numbers(rda) -> None:
    frame = pd.DataFrame(
        {"=cmd()": [1.0, np.nan], " flow ": [1, 2], "kind": pd.Categorical(["a", "b"]), "ü": pd.Categorical(["x", "y"])}
    )
    read, _ = read_r_data(rda({"d": frame}, "rows.rda"), as_text=["kind"])
    assert list(read.columns) == ["=cmd()", "flow", "kind", "ü"]
    assert read["kind"].tolist() == ["a", "b"]
    assert read["=cmd()"].isna().tolist() == [False, True]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("packed", [True, False])
def test_r_data_cut_off(rda, share: float, packed: bool) -> None:
    path = rda({"d": rieth().head(30)})
    raw = path.read_bytes() if packed else gzip.decompress(path.read_bytes())
    path.write_bytes(raw[: int(share * len(raw))])
    with pytest.raises(DataError, match="cut off or be another format; fetch it again"):
        read_source(path)


@pytest.mark.parametrize(
    "raw", [b"a,b\n1,2\n", b"\x1f\x8bnonsense", b"RDX3\nX\n" + b"\xff" * 99, "ä,b\n".encode("utf-16")]
)
def test_r_data_that_is_something_else(rda, raw: bytes) -> None:
    path = rda({"d": pd.DataFrame({"a": [1]})})
    path.write_bytes(raw)
    with pytest.raises(DataError, match="is not a readable RData file"):
        read_source(path)


def test_r_data_without_one_data_frame(rda) -> None:
    frame = pd.DataFrame({"a": [1.0]})
    with pytest.raises(DataError, match="holds 2 data frames \\(`d`, `e`\\); expected exactly one"):
        read_source(rda({"d": frame, "e": frame}))
    with pytest.raises(DataError, match="no data frame \\(`numbers`\\)"):
        read_source(rda({"numbers": np.arange(3.0)}))


def test_r_data_without_rows_or_file(rda, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 0 rows"):
        read_source(rda({"d": pd.DataFrame({"a": np.empty(0)})}))
    with pytest.raises(DataError, match="does not exist"):
        read_r_data(tmp_path / "none.RData")


def test_r_data_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "TEP_Faulty_Training.RData"
    path.write_bytes(b"whatever")
    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name == "rdata":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match=r'pip install "faultwise\[rieth\]"'):
        read_source(path)


# --- HST ---


@pytest.fixture(scope="module")
def hst() -> pd.DataFrame:
    script = Path(__file__).parents[3] / "bench" / "make_hst.py"
    return runpy.run_path(str(script))["make_hst"](seed=1)


def test_hst_layout_and_counts(csv, hst: pd.DataFrame) -> None:
    assert hst.shape == (22_368, 47)
    table = read_source(csv(hst, "my-HST_all.csv"))
    assert (table.roles.target, table.roles.group, table.split) == ("Y", None, "row")
    assert table.about.normal == "0"
    assert len(table.features) == 46
    assert (table.y == "1").sum() == 389
    notes = " ".join(table.notes)
    assert "rows next to each other may be nearly the same" in notes
    assert "A part of HST" not in notes


def test_hst_part_and_label_in_the_last_column(csv, hst: pd.DataFrame) -> None:
    part = hst.groupby("Y").sample(150, random_state=0).rename(columns={"Y": "setting_47"})
    table = read_source(csv(part, "hst300.csv"))
    assert table.roles.target == "setting_47"
    assert "A part of HST: 300 of 22368 rows (150 times 0, 150 times 1)." in table.notes


def test_hst_wrong_counts(csv, hst: pd.DataFrame) -> None:
    wrong = hst.assign(Y=np.where(np.arange(len(hst)) == hst["Y"].idxmax(), 0, hst["Y"]))
    with pytest.raises(DataError, match=r"labels `0: 21980`, `1: 388` in `Y`; expected 21979 times 0 and 389 times 1"):
        read_source(csv(wrong, "hst.csv"))


@pytest.mark.parametrize("name", ["train.csv", "ghst.csv", "hstore.csv"])
def test_hst_needs_its_name(csv, hst: pd.DataFrame, name: str) -> None:
    assert read_source(csv(hst.head(50), name)).roles.target is None


def test_hst_needs_its_width_and_labels(csv, hst: pd.DataFrame) -> None:
    assert read_source(csv(hst.head(50).drop(columns="Y"), "hst.csv")).roles.target is None
    assert read_source(csv(hst.head(50).assign(Y="leak"), "hst.csv")).roles.target is None


def test_hst_other_roles_win(csv, hst: pd.DataFrame) -> None:
    table = read_source(csv(hst.head(400), "hst.csv"), group="setting_16")
    assert (table.roles.target, table.roles.group, table.split) == ("Y", "setting_16", "")


def test_generated_hst_is_repeatable_and_refuses_nonsense() -> None:
    make = runpy.run_path(str(Path(__file__).parents[3] / "bench" / "make_hst.py"))["make_hst"]
    assert make(3, 50, 5).equals(make(3, 50, 5))
    assert not make(3, 50, 5).equals(make(4, 50, 5))
    assert make(3, 50, 5)["Y"].sum() == 5
    with pytest.raises(ValueError, match="60 faulty of 50 rows"):
        make(3, 50, 60)


# --- AI4I ---


@pytest.fixture(scope="module")
def ai4i(data_root: Path) -> Path:
    path = data_root / "ai4i" / "ai4i2020.csv"
    if not path.is_file():
        pytest.skip(f"no AI4I file at {path}")
    return path


def test_ai4i_roles_and_notes(ai4i: Path) -> None:
    table = read_source(ai4i)
    assert (table.roles.target, table.roles.group, table.split) == ("Machine failure", None, "row")
    assert table.roles.ignored == ("UDI", "Product ID", "RNF")
    # The other flags are found from the data, elsewhere.
    assert {"TWF", "HDF", "PWF", "OSF"} <= set(table.features)
    assert (table.y == "1").sum() == 339
    assert table.about.normal == "0"
    assert table.about.variables["Torque [Nm]"].unit == "Nm"
    assert (
        "Left out: `UDI`, `Product ID` (they name rows); `RNF` (random failures: known only after the failure, and "
        "without a trace in the data). To use such a column nevertheless, pass --keep COL."
    ) in table.notes


@pytest.mark.parametrize("flag", ["TWF", "HDF", "PWF", "OSF", "RNF"])
def test_ai4i_one_flag_as_target(ai4i: Path, flag: str) -> None:
    table = read_source(ai4i, target=flag)
    others = {"Machine failure", "TWF", "HDF", "PWF", "OSF", "RNF"} - {flag}
    assert (table.roles.target, table.split) == (flag, "row")
    assert set(table.roles.ignored) == {"UDI", "Product ID", *others}
    assert "labels of the same failures" in " ".join(table.notes)


def test_ai4i_another_target(ai4i: Path) -> None:
    table = read_source(ai4i, target="Type")
    assert (table.roles.target, table.split, table.about.normal) == ("Type", "row", None)
    assert table.roles.ignored == ("UDI", "Product ID", "RNF")


def test_ai4i_keep_ignore_and_roles(ai4i: Path) -> None:
    table = read_source(ai4i, keep=["RNF", "UDI"], ignore=["TWF"])
    assert table.roles.ignored == ("TWF", "Product ID")
    assert "RNF" in table.features
    assert "`RNF`" not in " ".join(table.notes)
    grouped = read_source(ai4i, group="Product ID", time="UDI")
    assert grouped.roles.ignored == ("RNF",)
    assert grouped.split == ""


def test_ai4i_part_without_units(csv, ai4i: Path) -> None:
    frame = pd.read_csv(ai4i).head(50)
    frame.columns = [name.partition(" [")[0] for name in frame.columns]
    table = read_source(csv(frame))
    assert table.roles.target == "Machine failure"
    assert "A part or another edition of AI4I 2020: 50 rows, the original has 10000." in table.notes


def test_keep_must_exist_and_not_be_ignored(csv) -> None:
    path = csv(pd.DataFrame({"flow": [1, 2], "level": [3, 4]}))
    with pytest.raises(DataError, match=r"no column `flwo`.*pass --keep 'flow'"):
        read_source(path, keep=["flwo"])
    with pytest.raises(DataError, match="`flow` is named by --keep and by --ignore"):
        read_source(path, keep=["flow"], ignore=["flow"])


def test_the_list_of_data_sets_describes_what_is_read() -> None:
    texts = {entry["name"]: entry["provenance"] for entry in available()}
    assert "RData" in texts["tep-rieth"]
    assert "generated files" in texts["tep-rieth"]
    assert "generated files" in texts["hst"]
    assert "Machine failure" in texts["ai4i"]
