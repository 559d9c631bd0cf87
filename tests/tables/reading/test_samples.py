"""The shipped sample: it reads, it is small, and its companion knows every column and fault."""

from __future__ import annotations

import pandas as pd
import pytest

from faultwise.contracts.about import read_about
from faultwise.contracts.errors import DataError
from faultwise.tables.reading.benchmarks import samples
from faultwise.tables.reading.benchmarks.simulate import FAULTS, VARIABLES


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.read_parquet(samples.sample_path("tep-sample"))


def test_the_sample_has_every_class_and_run(frame):
    assert samples.sample_path("tep-sample").stat().st_size < 2_000_000
    assert list(frame.columns) == ["run", "hour", *VARIABLES, "fault"]
    assert frame["run"].nunique() == 126
    assert sorted(frame["fault"].unique()) == list(range(21))
    assert (frame.groupby("run").size() == 160).all()
    assert len(frame) == samples.available()[0]["rows"]
    assert not frame.isna().any().any()


def test_runs_start_normal_and_stay_faulty(frame):
    assert (frame.groupby("run")["fault"].first() == 0).all()
    assert all(run["fault"].is_monotonic_increasing for _, run in frame.groupby("run"))
    onset = frame[frame["fault"] > 0].groupby("run")["hour"].min()
    assert len(onset) == 120
    assert onset.between(1.0, 2.06).all()
    assert onset.nunique() > 10


def test_rounding_left_the_noise_of_every_variable(frame):
    distinct = frame[frame["fault"] == 0][list(VARIABLES)].nunique()
    assert set(distinct[distinct < 15].index) == {"XMV(5)", "XMV(9)", "XMV(12)"}  # constant in the model


def test_the_companion_covers_all_columns_and_faults():
    about = read_about(samples.companion_path("tep-sample"))
    assert about.normal == "0"
    assert list(about.variables) == list(VARIABLES)
    assert all(known.name and known.unit and known.description for known in about.variables.values())
    assert list(about.faults) == [str(fault) for fault in range(FAULTS + 1)]
    assert about.variables["XMV(10)"].name == "Reactor cooling water flow (valve)"
    assert about.variables["XMV(11)"].name == "Condenser cooling water flow (valve)"
    assert "reactor cooling water inlet" in about.faults["4"]
    assert "condenser cooling water inlet" in about.faults["5"]


def test_available_gives_the_place_of_what_is_not_shipped():
    for entry in samples.available():
        assert entry["licence"]
        assert entry["cite"]
        if not entry["shipped"]:
            assert "faultwise does not download it: get it from" in entry["where"]
            with pytest.raises(DataError, match="faultwise does not download it"):
                samples.sample_path(entry["name"])


def test_get_copies_and_never_overwrites(tmp_path):
    written = samples.get("tep-sample", tmp_path / "new")
    assert [path.name for path in written] == ["tep-sample.parquet", "tep.yaml"]
    assert written[0].read_bytes() == samples.sample_path("tep-sample").read_bytes()
    with pytest.raises(DataError, match="There is already"):
        samples.get("tep-sample", tmp_path / "new")
    named = samples.get("tep-sample", tmp_path / "other" / "mine.parquet")
    assert [path.name for path in named] == ["mine.parquet", "tep.yaml"]
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written"):
        samples.get("tep-sample", tmp_path / "file" / "below")
