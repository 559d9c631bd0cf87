"""The door for kinds of traces: what a source is, what a broken package does, options that count, sources in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faultwise import Diagnoser, UserError
from faultwise.cli.flags import settings_of
from faultwise.cli.main import build_parser
from faultwise.contracts import modality as door
from faultwise.contracts.errors import DataError
from faultwise.contracts.modality import Items, modalities, recognised
from faultwise.tables.fit.settings import TableSettings

ROLES = ("--target", "fault", "--group", "run")
FAST = {"experts": ("logistic-regression",)}


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Add an entry point of somebody else's package: `plugged(name, "module:object")`."""
    real = door.entry_points

    def add(name: str, value: str) -> None:
        extra = EntryPoint(name, value, "faultwise.modalities")
        monkeypatch.setattr(door, "entry_points", lambda group: [*real(group=group), extra])
        modalities.cache_clear()

    yield add
    monkeypatch.undo()
    modalities.cache_clear()


@pytest.mark.parametrize("value", ["no_such_module:x", "json:no_such_name", "this:not valid python"])
def test_a_broken_package_stops_nothing(plugged: Callable[[str, str], None], value: str) -> None:
    plugged("broken", value)
    with pytest.warns(UserWarning, match="`broken` cannot be loaded"):
        assert sorted(modalities()) == ["images", "tables", "texts"]


class _Everything:
    name, traces, fallback = "everything", "all there is", False
    settings = reading = query = TableSettings

    def recognise(self, source: object) -> str | None:
        return "it takes everything"


everything = _Everything()


def test_a_source_of_several_kinds_has_to_be_named(plugged: Callable[[str, str], None], tmp_path: Path) -> None:
    plugged("everything", f"{__name__}:everything")
    assert recognised(tmp_path / "rows.csv").modality.name == "everything"  # tables take what nobody else knows
    with pytest.raises(DataError, match="--kind NAME"):
        recognised([np.zeros((8, 8, 3), np.uint8)])
    assert recognised(tmp_path / "rows.csv", "tables").modality.name == "tables"
    with pytest.raises(UserError, match="did you mean `tables`"):
        recognised(tmp_path, "table")


def test_settings_come_from_defaults_then_the_file_then_set_then_flags(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("window: 3\nlanguage: {minutes: 5, rank: 4}\n")
    argv = ["fit", "x.csv", "--out", "r", "--config", str(config), "--set", "language.rank=8", "--window", "7"]
    args = build_parser("fit").parse_args(argv)
    made = settings_of(args, TableSettings, **{"language.minutes": 1.0, "language.alpha": 2, "window": 2})
    chosen = (made.window, made.language.minutes, made.language.rank, made.language.alpha)
    assert chosen == (7, 5, 8, 2)


def test_earlier_names_are_refused_with_the_present_ones(cli: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("lm_lora_r: 8\nmodel: x\n")
    ran = cli("fit", tmp_path, "--out", tmp_path / "r", "--modality", "tables", "--config", tmp_path / "old.yaml")
    assert "`lm_lora_r` is now `language.rank`; `model` is now `language.model`" in ran.err


@pytest.mark.parametrize(
    "argv",
    [
        ("evaluate", "--row", "3"), ("evaluate", "--expert", "knn"), ("evaluate", "--about", "x.yaml"),
        ("diagnose", "--target", "x"), ("diagnose", "--rules", "x.yaml"), ("report", "--group", "x"),
    ],
)  # fmt: skip
def test_flags_that_would_do_nothing_are_no_flags(
    argv: tuple[str, ...], run_folder: Path, plant_csv: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from faultwise.cli.main import main

    with pytest.raises(SystemExit) as left:
        main([argv[0], str(run_folder), str(plant_csv), *argv[1:]])
    assert left.value.code == 2
    assert f"does not know `{argv[1]}" in capsys.readouterr().err


def test_a_calibration_is_kept_with_its_settings(
    cli: Callable[..., Any], plant: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(runs=3).to_csv(tmp_path / "fit.csv", index=False)
    plant(runs=8, seed=5).to_csv(tmp_path / "later.csv", index=False)
    first, second = tmp_path / "first", tmp_path / "second"
    assert cli("fit", tmp_path / "fit.csv", "--out", first, *ROLES, "--experts", "logistic-regression").code == 0
    ran = cli(
        "calibrate", first, tmp_path / "later.csv", "--out", second, "--coverage", "0.8", "--set", "novel_rate=0.2"
    )
    assert ran.code == 0, ran.err
    assert "Calibrated on" in ran.out
    kept = json.loads((second / "manifest.json").read_text())["settings"]
    assert (kept["coverage"], kept["novel_rate"], kept["false_alarm_rate"]) == (0.8, 0.2, 0.02)
    loaded = Diagnoser.load(second)
    assert loaded.coverage == 0.8
    loaded.set_params(coverage=0.7).calibrate(plant(runs=8, seed=6), target="fault")
    assert loaded.model_.settings.coverage == 0.7
    refused = cli("calibrate", first, tmp_path / "later.csv", "--set", "window=9")
    assert (refused.code, "changes only" in refused.err) == (2, True)
    assert json.loads((first / "manifest.json").read_text())["settings"]["window"] == "auto"


def test_sources_in_memory(plant: Any) -> None:
    rows = plant()
    X, y, runs = rows[["flow", "level", "temp"]], rows["fault"], rows["run"]
    by_name = Diagnoser(**FAST).fit(rows, target="fault", group="run")
    by_array = Diagnoser(**FAST).fit(X, y, groups=runs)
    new = plant(seed=3)
    np.testing.assert_array_equal(by_name.predict_proba(new), by_array.predict_proba(new[["flow", "level", "temp"]]))
    assert by_name.evaluate(new).figures["verdict"] == by_array.evaluate(new, target="fault").figures["verdict"]
    labelled = Items(new[["flow", "level", "temp"]], new["fault"], new["run"])
    assert by_array.diagnose(labelled).cases[0].verdict == by_array.diagnose(labelled.X).cases[0].verdict
    with pytest.raises(DataError, match="no labels"):
        by_array.evaluate(new[["flow", "level", "temp"]])
    with pytest.raises(UserError, match="requires y to be passed"):
        Diagnoser(**FAST).fit(X)
    with pytest.raises(UserError, match="columns of it"):
        Diagnoser(**FAST).fit("rows.csv", y)
    with pytest.raises(TypeError, match="diagnose has no option `about`"):
        by_array.diagnose(X, about="x.yaml")


def test_images_in_memory() -> None:
    rng = np.random.default_rng(0)
    good = [rng.integers(100, 130, (64, 64, 3), dtype=np.uint8) for _ in range(4)]
    made = Diagnoser(side=64, bank=200, simulated=0).fit(good)
    found = made.diagnose(good[:2])
    assert (found.modality, len(found.cases)) == ("images", 2)
    with pytest.raises(UserError, match="call diagnose"):
        made.predict(good)


def test_labels_that_are_missing_count_as_wrong(plant: Any) -> None:
    rows = plant()
    X, y = rows[["flow", "level", "temp"]], rows["fault"].astype("string")
    made = Diagnoser(**FAST).fit(X, rows["fault"], groups=rows["run"])
    assert made.score(X, y.where(y != "0", pd.NA)) < made.score(X, y)
