"""A line per measurement is read as the table with a column per tag, and no other table is mistaken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faultwise import Diagnoser
from faultwise.contracts.errors import DataError
from faultwise.tables.reading.benchmarks import samples
from faultwise.tables.reading.options import TableReading
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.shapes.quality import bad_lines
from faultwise.tables.reading.table import Table


def _wide(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(6):
        faulty = number % 2
        frames.append(
            pd.DataFrame(
                {
                    "time": pd.date_range(f"2026-01-0{number + 1}", periods=rows, freq="min").astype(str),
                    "run": f"r{number}",
                    "flow": (10 + 4 * faulty + rng.normal(size=rows)).round(3),
                    "count": rng.integers(0, 9, rows),
                    "valve": rng.choice(["open", "closed"], rows),
                    "fault": "leak" if faulty else "normal",
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _long(wide: pd.DataFrame, tags: list[str], keys: tuple[str, ...] = ("time", "run", "fault")) -> pd.DataFrame:
    """The same record with a line per measurement, in the order of times."""
    lines = []
    for row in wide.astype(object).to_dict("records"):
        for tag in tags:
            missing = row[tag] is None or row[tag] != row[tag]
            lines.append({**{key: row[key] for key in keys}, "tag": tag, "value": "" if missing else row[tag]})
    return pd.DataFrame(lines, dtype=object)[[*(key for key in keys if key != "fault"), "tag", "value", "fault"]]


def _read(frame: pd.DataFrame, path: Path, long: tuple[str, ...] = (), **options: object) -> Table:
    frame.to_csv(path, index=False)
    how = TableReading(long=long, **{k: options.pop(k) for k in ("max_age",) if k in options})  # type: ignore[arg-type]
    return read_source(path, how=how, **{"target": "fault", **options})  # type: ignore[arg-type]


def _note(table: Table) -> str:
    return next((note for note in table.notes if note.startswith("Read as a long table")), "")


_VALUES = {
    "float": st.floats(-1e6, 1e6, allow_subnormal=False),
    "int": st.integers(-1000, 1000),
    "text": st.sampled_from(["on", "off", "idle"]),
}


@st.composite
def _records(draw: st.DrawFn) -> pd.DataFrame:
    runs, rows = draw(st.integers(1, 3)), draw(st.integers(4, 9))
    made: dict[str, list[object]] = {
        "time": [at * 10 for _ in range(runs) for at in range(rows)],
        "run": [f"r{run}" for run in range(runs) for _ in range(rows)],
    }
    for number, kind in enumerate(draw(st.lists(st.sampled_from(sorted(_VALUES)), min_size=2, max_size=4))):
        size = runs * rows
        values: list[object] = draw(st.lists(_VALUES[kind], min_size=size, max_size=size))
        for at in draw(st.lists(st.integers(0, size - 1), max_size=3)):
            values[at] = None
        made[f"x{number}"] = values
    made["fault"] = [draw(st.sampled_from(["a", "b"])) for _ in range(runs * rows)]
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in made.items()})


@settings(max_examples=25, deadline=None)
@given(_records())
def test_the_same_record_in_wide_and_long_is_the_same_frame(wide: pd.DataFrame) -> None:
    tags = [name for name in wide if name.startswith("x") and wide[name].notna().any()]
    with TemporaryDirectory() as folder:
        roles = {"group": "run", "time": "time"}
        expected = _read(wide[["time", "run", *tags, "fault"]], Path(folder) / "wide.csv", ("none",), **roles)
        found = _read(_long(wide, tags), Path(folder) / "long.csv", ("tag", "value"), **roles)
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    assert found.roles == expected.roles


def test_verdicts_are_the_same_from_wide_and_long_in_any_order_of_lines(tmp_path: Path) -> None:
    wide = _wide()
    long = _long(wide, ["flow", "count", "valve"])
    wide.to_csv(tmp_path / "wide.csv", index=False)
    long.sample(frac=1, random_state=0).to_csv(tmp_path / "long.csv", index=False)
    fits = [
        Diagnoser(experts=("logistic-regression",), window=1).fit(
            tmp_path / name, target="fault", group="run", time="time"
        )
        for name in ("wide.csv", "long.csv")
    ]
    rows = wide.drop(columns="fault")
    expected = fits[0].predict_proba(rows, wide["run"])
    assert fits[1].predict_proba(rows, wide["run"]) == pytest.approx(expected, abs=1e-6, nan_ok=True)
    saved = Diagnoser.load(fits[1].save(tmp_path / "run"))
    for name in ("wide.csv", "long.csv"):  # later files may have either shape
        losses = [made.evaluate(tmp_path / name).figures["verdict"]["log_loss"] for made in (fits[0], saved)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_quality_states_and_repeated_lines(tmp_path: Path) -> None:
    long = _long(_wide(), ["flow", "count"])
    long.insert(4, "quality", "Good")
    long.loc[[0, 2], "quality"] = ["Bad", "Uncertain"]
    long["value"] = long["value"].astype(object)
    long.loc[4, "value"] = "I/O Timeout"
    long = pd.concat([long, long.iloc[[6]].assign(value=99.5)], ignore_index=True)
    table = _read(long, tmp_path / "long.csv")
    flow = table.frame["flow"]
    assert flow.isna().tolist()[:4] == [True, False, True, False]
    assert flow[3] == 99.5
    assert "2 tags in `tag`, values in `value`, 2 values of bad quality left out, 1 lines" in _note(table)
    assert table.roles.time == "time"
    assert table.roles.group == "run"
    assert table.features == ["flow", "count"]


@pytest.mark.parametrize(("good", "bad"), [(192, 0), (0, 0x80000000), (1, 0), (216, 24)])
def test_opc_codes(tmp_path: Path, good: int, bad: int) -> None:
    long = _long(_wide(), ["flow", "count"])
    long["quality"] = good
    long.loc[2, "quality"] = bad
    table = _read(long, tmp_path / "long.csv")
    assert table.frame["flow"].isna().tolist()[:3] == [False, True, False]
    assert table.frame["flow"].isna().sum() == 1


def test_a_slow_tag_is_carried_on_up_to_an_age(tmp_path: Path) -> None:
    wide = _wide(rows=60)
    long = _long(wide, ["flow", "count"])
    lab = wide.groupby("run").head(31)[::10].assign(tag="lab", value=lambda rows: range(len(rows)))
    everything = pd.concat([long, lab[list(long)]], ignore_index=True)
    table = _read(everything, tmp_path / "long.csv")
    run = table.frame[table.frame["run"] == "r0"]["lab"]
    assert run.iloc[:11].tolist() == [0] * 10 + [1]
    assert run.notna().sum() == 30 + 30 + 1 - 1
    stated = (
        "keep their last value up to an age, 3 times its usual interval unless --max-age says otherwise: `lab` 30 min."
    )
    assert any(stated in note for note in table.notes)
    shorter = _read(everything, tmp_path / "long.csv", max_age="5min")
    assert shorter.frame["lab"].notna().tolist()[:8] == [True] * 6 + [False] * 2
    assert table.frame["flow"].equals(wide["flow"])


def test_a_value_is_never_carried_back_or_into_another_asset(tmp_path: Path) -> None:
    long = _long(_wide(), ["flow", "count"])
    lab = pd.DataFrame({"time": ["2026-01-01 00:30:00"], "run": ["r0"], "tag": "lab", "value": 7.0, "fault": "normal"})
    table = _read(pd.concat([long, lab]), tmp_path / "long.csv", max_age="100d")
    assert table.frame["lab"].notna().to_numpy().nonzero()[0].tolist() == list(range(30, 40))


def test_units_in_the_lines_are_known_of_the_tags(tmp_path: Path) -> None:
    long = _long(_wide(), ["flow", "count"])
    long["unit"] = long["tag"].map({"flow": "m3/h", "count": "1"})
    table = _read(long, tmp_path / "long.csv")
    assert table.about.variables["flow"].unit == "m3/h"
    assert "unit" not in table.frame


def test_long_none_keeps_the_lines(tmp_path: Path) -> None:
    long = _long(_wide(), ["flow", "count"])
    assert len(_read(long, tmp_path / "long.csv", ("none",)).frame) == len(long)


def test_wide_tables_are_not_taken_for_long_ones(tmp_path: Path, data_root: Path) -> None:
    assert not _note(read_source(samples.sample_path("tep-sample")))
    assert not _note(read_source(data_root / "ai4i" / "ai4i2020.csv"))
    assert not _note(_read(_wide(), tmp_path / "category.csv"))
    machines = _wide().drop(columns=["count", "valve"]).rename(columns={"run": "machine"})
    assert not _note(_read(machines, tmp_path / "one_measurement.csv"))
    product = _wide().drop(columns=["count"]).rename(columns={"valve": "product"})
    assert not _note(_read(product, tmp_path / "product.csv"))
    many = _wide().rename(columns={"flow": "value", "valve": "sensor"}).assign(level=1.5, speed=range(240))
    assert not _note(_read(many, tmp_path / "value_and_sensor.csv"))


def test_one_tag_becomes_one_column(tmp_path: Path) -> None:
    table = _read(_long(_wide(), ["flow"]), tmp_path / "long.csv", ("tag", "value"))
    assert table.features == ["flow"]
    assert len(table.frame) == 240


@pytest.mark.parametrize(
    ("long", "words"),
    [
        (("row", "value"), "names lines and not tags"),
        (("tags", "value"), "has no column `tags`"),
        (("tag",), "--long names 1 columns"),
    ],
)
def test_wrong_names_of_columns(tmp_path: Path, long: tuple[str, ...], words: str) -> None:
    lines = _long(_wide(), ["flow", "count"])
    lines["row"] = [f"id{at}" for at in range(len(lines))]
    with pytest.raises(DataError, match=words):
        _read(lines, tmp_path / "long.csv", long)


def test_without_times_and_with_labels_per_tag(tmp_path: Path) -> None:
    lines = _long(_wide(), ["flow", "count"])
    with pytest.raises(DataError, match="no column of times was found: pass --time COL"):
        _read(lines.drop(columns=["time"]), tmp_path / "a.csv", ("tag", "value"))
    lines["fault"] = ["leak", "normal"] * (len(lines) // 2 - 1) + ["normal", "leak"]
    with pytest.raises(DataError, match="`fault` differs between the tags of one time"):
        _read(lines, tmp_path / "b.csv", ("tag", "value"))


def test_later_lines_belong_to_the_assets_of_the_fit(tmp_path: Path, cli: Callable[..., object]) -> None:
    long = _long(_wide(), ["flow", "count"]).rename(columns={"run": "rig"})
    long.to_csv(tmp_path / "long.csv", index=False)
    argv = ("--target", "fault", "--group", "rig", "--experts", "logistic-regression", "--window", "1")
    assert cli("fit", tmp_path / "long.csv", *argv, "--out", tmp_path / "run").code == 0  # type: ignore[attr-defined]
    assert cli("evaluate", tmp_path / "run", tmp_path / "long.csv").code == 0  # type: ignore[attr-defined]
    long.drop(columns="fault").to_csv(tmp_path / "new.csv", index=False)
    made = Diagnoser.load(tmp_path / "run").model_.read(tmp_path / "new.csv")
    assert len(made.frame) == len(_wide())
    assert set(made.runs) == set(_wide()["run"])


@pytest.mark.parametrize(("words", "bad"), [(("Normal", "Normal"), 0), (("Good", "No"), 1), (("Good", "None"), 0)])
def test_words_of_quality(words: tuple[str, str], bad: int) -> None:
    assert bad_lines(pd.Series(words)).sum() == bad


def test_lines_of_measurements_in_memory_are_said() -> None:
    long = _long(_wide(), ["flow", "count"])
    said = Diagnoser(experts=("logistic-regression",), window=1).fit(long, target="fault", group="run", time="time")
    assert any("one line per measurement (tag `tag`, value `value`)" in note for note in said.model_.notes)


def test_the_command_line(tmp_path: Path, cli: Callable[..., object]) -> None:
    long = _long(_wide(), ["flow", "count"]).rename(columns={"tag": "Tag Name", "value": "Wert"})
    long.to_csv(tmp_path / "long.csv", index=False)
    options = ("--target", "fault", "--experts", "logistic-regression", "--window", "1")
    made = cli("fit", tmp_path / "long.csv", *options, "--out", tmp_path / "run")
    assert (made.code, "Read as a long table: 2 tags in `Tag Name`" in made.err) == (0, True), made.err  # type: ignore[attr-defined]
    shown = cli("diagnose", tmp_path / "run", tmp_path / "long.csv", "--report", tmp_path / "report.md")
    assert shown.code == 0  # type: ignore[attr-defined]
    assert str(tmp_path) not in (tmp_path / "report.md").read_text(encoding="utf-8")
    rows = cli("diagnose", tmp_path / "run", tmp_path / "long.csv", "--out", tmp_path / "rows.csv")
    assert rows.code == 0, rows.err  # type: ignore[attr-defined]
    assert len(pd.read_csv(tmp_path / "rows.csv")) == 240
    wrong = cli("fit", tmp_path / "long.csv", *options, "--long", "a,b", "--out", tmp_path / "other")
    assert (wrong.code, (tmp_path / "other").exists()) == (2, False)  # type: ignore[attr-defined]
