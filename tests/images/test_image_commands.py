"""The commands on images: the whole way by the command line, its reports, and wrong use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image as Pillow

from faultwise import UserError, hub
from faultwise.images.detection.backbones import EMBEDDED

Part = Callable[..., Any]
SMALL = ("--set", "side=128", "--set", "bank=2000", "--set", "simulated=20")


@pytest.fixture(scope="module")
def run(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the parts with the embedded backbone."""
    from faultwise.cli.main import main

    try:
        hub.path(EMBEDDED)
    except UserError as error:
        pytest.skip(f"the backbone cannot be had: {error}")
    folder = tmp_path_factory.mktemp("runs") / "parts"
    assert main(["fit", str(parts), "--out", str(folder), *SMALL, "--json"]) == 0
    return folder


def test_the_whole_way(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    figures = json.loads(cli("evaluate", run, parts, "--json").out)
    assert figures["image_auroc"] == 1
    assert figures["recall"] == 1
    assert figures["by_kind"] == {"hole": 1.0}
    assert figures["pixel_auroc"] > 0.95
    assert 0.5 < figures["aupro"] <= 1
    ran = cli("diagnose", run, parts, "--report", tmp_path / "r.html")
    assert ran.code == 0
    assert "hole/0.png" in ran.out
    assert "At the bottom left" in ran.out
    assert "darker than around" in ran.out
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "bottom left" in page
    assert cli("diagnose", run, parts, "--out", tmp_path / "r.csv").code == 0
    table = pd.read_csv(tmp_path / "r.csv")
    assert table.groupby(table.image.str.contains("hole")).defective.mean()[True] == 1
    one = json.loads(cli("diagnose", run, parts / "test/hole/0.png", "--json").out)
    assert one["cases"][0]["verdict"]["detected"]
    assert one["cases"][0]["findings"][0]["place"] == "bottom left"


def test_reports_as_json(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    assert cli("diagnose", run, parts, "--report", tmp_path / "r.json").code == 0
    assert len(json.loads((tmp_path / "r.json").read_text())["cases"]) == 12


def test_wrong_use(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path, plant_csv: Path) -> None:
    ran = cli("fit", parts, "--out", tmp_path / "x", "--set", "side=8")
    assert (ran.code, "side is 8" in ran.err) == (2, True)
    ran = cli("fit", parts, "--out", tmp_path / "x", "--backbone", "resnet")
    assert (ran.code, "no file or folder here" in ran.err) == (2, True)
    ran = cli("diagnose", run, plant_csv)
    assert (ran.code, "no image that can be read" in ran.err) == (2, True)
    for flags in (("--target", "fault"), ("--window", "20"), ("--rules", "none.yaml")):
        ran = cli("fit", parts, "--out", tmp_path / "x", *flags)
        assert (ran.code, flags[0] in ran.err) == (2, True)
    ran = cli("fit", plant_csv, "--target", "fault", "--out", tmp_path / "x", "--backbone", "resnet")
    assert (ran.code, "--backbone" in ran.err) == (2, True)
    for flags in (("--row", "3"), ("--follow",)):
        assert cli("diagnose", run, parts, *flags).code == 2
    assert not (tmp_path / "x").exists()


def test_few_shots_beside_published_figures(cli: Callable[..., Any], parts: Path, run: Path) -> None:
    made = json.loads(cli("bench", "mvtec", parts, "--shots", "1,2", "--draws", "1", "--json").out)
    assert [(one["class"], one["shots"]) for one in made["classes"]] == [("part", 1), ("part", 2)]
    assert all(one["image_auroc"] > 0.9 for one in made["classes"])
    assert all(one["pixel_auroc"] > 0.9 for one in made["macro"])
    assert {"class": "AnomalyGPT 1-shot", "image_auroc": 0.941, "pixel_auroc": 0.953} in made["published"]
    assert "holds no class" in cli("bench", "visa", parts / "test").err
    assert "whole numbers of 1" in cli("bench", "visa", parts, "--shots", "none").err


def test_sets_are_converted(part: Part, cli: Callable[..., Any], tmp_path: Path) -> None:
    for place, count in (("MT_Free", 5), ("MT_Crack", 2)):
        (tmp_path / "mt" / place / "Imgs").mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(part(n)).save(tmp_path / "mt" / place / "Imgs" / f"{n}.jpg")
    made = cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "out", "--json")
    assert json.loads(made.out)["folders"] == [str(tmp_path / "out" / "magnetic-tile")]
    assert len(list((tmp_path / "out/magnetic-tile/train/good").iterdir())) == 4
    assert "is not empty" in cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "out").err
    assert "between 0 and 1" in cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "o", "--share", "2").err


def test_chat(
    cli: Callable[..., Any], parts: Path, run: Path, tiny_lm: Path, brief_replies: None, tmp_path: Path
) -> None:
    assert "fit again with --talk" in cli("chat", run, parts / "test/good/0.png", "--ask", "Hello!").err
    small = ("side=64", "bank=500", "simulated=4", f"language.model={tiny_lm}", "language.steps=3")
    made = cli("fit", parts, "--out", tmp_path / "r", "--talk", *(word for one in small for word in ("--set", one)))
    assert made.code == 0
    assert "gives one reply to every image" in made.err
    asked = ("--ask", "Is there any anomaly in the image?", "--ask", "Where is the defect?")
    record = json.loads(cli("chat", tmp_path / "r", parts / "test/hole/0.png", *asked, "--json").out)
    assert len(record["turns"]) == 2
    assert record["verdict"]["name"].endswith("0.png")
    assert isinstance(record["agrees"], bool)
    ran = cli("chat", tmp_path / "r", parts / "test/hole/0.png", *asked[:2])
    assert "Defective" in ran.out
    assert "The language model's own reply" in ran.err
    several = cli("chat", tmp_path / "r", parts, "--ask", "Hello!")
    assert (several.code, "a conversation is about one of them" in several.err) == (2, True)
    exported = cli("export", tmp_path / "r", "--out", tmp_path / "r.onnx", "--json")
    assert json.loads(exported.out)["apart"] < 1e-2
