"""`fit`, `evaluate` and `diagnose` on images: the whole way by the command line, its reports, and wrong use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from faultwise import UserError, hub
from faultwise.images.detection.backbones import EMBEDDED
from faultwise.images.metrics import aupro, best_f1, image_figures, pixel_auroc


def _part(seed: int, hole: bool = False) -> np.ndarray:
    """A brushed part, some with a dark hole at the lower left."""
    rng = np.random.default_rng(seed)
    lines = rng.normal(120, 9, (1, 128, 1)) + rng.normal(0, 3, (128, 128, 1))
    lines[84:104, 20:40] -= 90 * hole
    return np.clip(lines, 0, 255).astype(np.uint8).repeat(3, axis=2)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "part"
    for place, count, hole in (("train/good", 24, False), ("test/good", 6, False), ("test/hole", 6, True)):
        (folder / place).mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(_part(100 * len(place) + n, hole)).save(folder / place / f"{n}.png")
    mask = np.zeros((128, 128), np.uint8)
    mask[84:104, 20:40] = 255
    (folder / "ground_truth/hole").mkdir(parents=True)
    for n in range(6):
        Pillow.fromarray(mask).save(folder / f"ground_truth/hole/{n}_mask.png")
    return folder


@pytest.fixture(scope="module")
def run(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from faultwise.cli.main import main

    try:
        hub.path(EMBEDDED)
    except UserError as error:
        pytest.skip(f"the backbone cannot be had: {error}")
    folder = tmp_path_factory.mktemp("runs") / "parts"
    assert main(["fit", str(parts), "--out", str(folder), "--side", "128", "--bank", "2000", "--json"]) == 0
    return folder


def test_the_whole_way(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    judged = json.loads(cli("evaluate", run, parts, "--json").out)
    assert judged["image_auroc"] == 1
    assert judged["recall"] == 1
    assert judged["by_kind"] == {"hole": 1.0}
    ran = cli("diagnose", run, parts, "--report", tmp_path / "r.html", "--out", tmp_path / "r.csv")
    assert ran.code == 0
    assert "hole/0.png" in ran.out
    assert "At the bottom left" in ran.out
    assert "darker than around" in ran.out
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/jpeg") == 12
    assert "bottom left" in page
    assert "<script" not in page
    table = pd.read_csv(tmp_path / "r.csv")
    assert table.groupby(table.image.str.contains("hole")).defective.mean()[True] == 1
    one = json.loads(cli("diagnose", run, parts / "test/hole/0.png", "--json").out)
    assert one["images"][0]["defective"]
    assert one["images"][0]["regions"][0]["place"] == "bottom left"


def test_kinds_of_defects(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    """Examples in `train/KIND` are what kinds are learnt from; one that the test holds too is left out."""
    folder = tmp_path / "part"
    shutil.copytree(parts, folder)
    for kind, grey in (("hole", 20), ("burr", 250)):
        (folder / "train" / kind).mkdir()
        (folder / "test" / kind).mkdir(exist_ok=True)
        for n in range(8):
            made = _part(7_000 + n + grey)
            made[20 + n : 40 + n, 60:80] = grey
            where = folder / ("train" if n < 4 else "test") / kind / f"kind{n}.png"
            Pillow.fromarray(made).save(where)
    shutil.copy(folder / "test/burr/kind5.png", folder / "train/burr/twin.png")
    flags = ("--side", "128", "--bank", "2000", "--simulated", "0")
    ran = cli("fit", folder, "--out", tmp_path / "run", *flags)
    assert ran.code == 0
    assert "8 images of `burr`, `hole` beside `good`: kinds of defects are learnt from them" in ran.err
    assert "1 training images are copies of test images" in ran.err
    assert "copies of others among them" not in ran.err
    # The copy is not an example: eight are left.
    page = tmp_path / "r.html"
    assert cli("diagnose", tmp_path / "run", folder, "--report", page).code == 0
    assert "8 defects of 2 kinds" in page.read_text()
    judged = json.loads(cli("evaluate", tmp_path / "run", folder, "--json").out)
    assert min(judged["f1_by_kind"].values()) > 0.8
    ran = cli("evaluate", tmp_path / "run", folder)
    assert "F1 by kind: burr " in ran.err
    one = json.loads(cli("diagnose", tmp_path / "run", folder / "test/burr/kind6.png", "--json").out)
    assert one["images"][0]["kind"] == "burr"


def test_kinds_that_cannot_be_learnt(cli: Callable[..., Any], parts: Path, tmp_path: Path) -> None:
    """One kind alone is none; nor are files that cannot be read, hidden folders, or what is called good too."""
    folder = tmp_path / "part"
    shutil.copytree(parts, folder)
    for kind in ("hole", "burr", ".cache"):
        (folder / "train" / kind).mkdir()
    shutil.copy(folder / "train/good/3.png", folder / "train/hole/x.png")
    shutil.copy(folder / "train/good/4.png", folder / "train/.cache/y.png")
    (folder / "train/burr/z.png").write_bytes(b"no image")
    flags = ("--side", "128", "--bank", "2000", "--simulated", "0")
    ran = cli("fit", folder, "--out", tmp_path / "run", *flags)
    assert ran.code == 0
    assert "`train` holds `burr`, `hole` beside `good`: no kinds are learnt" in ran.err
    assert "1 good images are also among the examples of defects" in ran.err
    assert "1 images were left out" in ran.err
    assert "f1_by_kind" not in json.loads(cli("evaluate", tmp_path / "run", folder, "--json").out)


def test_reports_as_json(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    assert cli("diagnose", run, parts, "--report", tmp_path / "r.json").code == 0
    assert len(json.loads((tmp_path / "r.json").read_text())) == 12


def test_without_good_test_images(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(parts, tmp_path / "a" / "x")
    shutil.rmtree(tmp_path / "a/x/test/good")
    ran = cli("evaluate", run, tmp_path / "a/x")
    assert ran.code == 0
    assert "hole -" in ran.err
    shutil.copytree(parts, tmp_path / "a" / "y")
    ran = cli("evaluate", run, tmp_path / "a")
    assert (ran.code, "choose one with --category" in ran.err) == (2, True)
    assert cli("evaluate", run, tmp_path / "a", "--category", "y").code == 0


def test_what_was_left_out_is_said(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    Pillow.fromarray(_part(1)).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"no image")
    ran = cli("diagnose", run, folder)
    assert ran.code == 0
    assert "1 images were left out" in ran.err
    assert ran.out.count("a.png") == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--row", "3"], "--row is for tables"),
        (["--follow"], "--follow is for tables"),
        (["--labels-only"], "--labels-only is for tables"),
        (["--lm-score-rows", "0"], "--lm-score-rows is for tables"),
        (["--report", "r.md"], "reports of images are .html or .json"),
    ],
)
def test_flags_for_tables(cli: Callable[..., Any], parts: Path, run: Path, flags: list[str], said: str) -> None:
    ran = cli("diagnose", run, parts, *flags)
    assert ran.code == 2
    assert said in ran.err


def test_wrong_use(cli: Callable[..., Any], parts: Path, run: Path, tmp_path: Path, plant_csv: Path) -> None:
    ran = cli("fit", parts, "--out", tmp_path / "x", "--window", "20")
    assert (ran.code, "--window is for tables" in ran.err) == (2, True)
    ran = cli("fit", parts, "--out", tmp_path / "x", "--side", "8")
    assert (ran.code, "side is 8" in ran.err) == (2, True)
    ran = cli("fit", parts, "--out", tmp_path / "x", "--backbone", "resnet")
    assert (ran.code, "no file or folder here" in ran.err) == (2, True)
    ran = cli("diagnose", run, plant_csv)
    assert (ran.code, "no image that can be read" in ran.err) == (2, True)
    ran = cli("evaluate", run, parts / "test/hole")
    assert (ran.code, "holds no images with a label" in ran.err) == (2, True)
    pairs = tmp_path / "pairs"
    (pairs / "train/good").mkdir(parents=True)
    (pairs / "test").mkdir()
    shutil.copytree(parts / "test/good", pairs / "test/good")
    ran = cli("fit", pairs, "--out", tmp_path / "x")
    assert (ran.code, "has nothing in `train/good`" in ran.err) == (2, True)
    for flags in (("--target", "fault"), ("--no-lm",), ("--rules", "none.yaml")):
        ran = cli("fit", parts, "--out", tmp_path / "x", *flags)
        assert (ran.code, f"{flags[0]} is for tables" in ran.err) == (2, True)
    ran = cli("fit", plant_csv, "--target", "fault", "--out", tmp_path / "x", "--side", "64")
    assert (ran.code, "--side is for images" in ran.err) == (2, True)
    ran = cli("faithfulness", run, plant_csv)
    assert (ran.code, "is a run on images" in ran.err) == (2, True)
    assert not (tmp_path / "x").exists()


def test_figures_of_images() -> None:
    rng = np.random.default_rng(0)
    scores, bad = rng.normal(size=200), rng.random(200) < 0.3
    found = image_figures(scores + 2 * bad, bad, limit=1.0)
    limits = np.unique(scores + 2 * bad)
    f1 = []
    for limit in limits:
        taken = scores + 2 * bad >= limit
        f1.append(2 * (taken & bad).sum() / (taken.sum() + bad.sum()))
    assert found["best_f1"] == pytest.approx(max(f1))
    assert best_f1(np.ones(4), np.array([True, False, False, False])) == pytest.approx(0.4)
    only = image_figures(scores, np.zeros(200, bool), 0.0)
    assert only["image_auroc"] is None
    assert only["recall"] is None


def test_figures_of_maps() -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((20, 20), bool) for _ in range(6)]
    for mask in masks[:4]:
        mask[2:6, 3:9] = True
    masks[0][12:18, 12:18] = True
    perfect = [mask.astype(float) for mask in masks]
    noise = [rng.random((20, 20)) for _ in masks]
    half = [one.copy() for one in perfect]
    half[0][12:18, 12:18] = 0  # one of the five regions is missed
    assert aupro(perfect, masks) == pytest.approx(1)
    assert pixel_auroc(perfect, masks) == pytest.approx(1)
    found, missed = aupro(noise, masks), aupro(half, masks)
    assert found == pytest.approx(0.15, abs=0.06)  # overlap equals the rate: half of 0.3
    assert missed == pytest.approx(0.83, abs=0.001)  # the missed one and the good pixels are tied: a straight line
    assert aupro(noise, [np.zeros((20, 20), bool)] * 6) is None
    assert pixel_auroc(noise, [np.zeros((20, 20), bool)] * 6) is None


def test_few_shots_beside_published_figures(cli: Callable[..., Any], parts: Path, run: Path) -> None:
    made = json.loads(cli("bench", "mvtec", parts, "--shots", "1,2", "--draws", "1", "--json").out)
    assert [(one["class"], one["shots"]) for one in made["classes"]] == [("part", 1), ("part", 2)]
    assert all(one["image_auroc"] > 0.9 for one in made["classes"])
    assert all(one["pixel_auroc"] > 0.9 for one in made["macro"])
    assert {"class": "AnomalyGPT 1-shot", "image_auroc": 0.941, "pixel_auroc": 0.953} in made["published"]
    assert "holds no class" in cli("bench", "visa", parts / "test").err
    assert "whole numbers of 1" in cli("bench", "visa", parts, "--shots", "none").err
    judged = json.loads(cli("evaluate", run, parts, "--json").out)
    assert judged["pixel_auroc"] > 0.95
    assert 0.5 < judged["aupro"] <= 1


def test_sets_are_converted(cli: Callable[..., Any], tmp_path: Path) -> None:
    for place, count in (("MT_Free", 5), ("MT_Crack", 2)):
        (tmp_path / "mt" / place / "Imgs").mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(_part(n)).save(tmp_path / "mt" / place / "Imgs" / f"{n}.jpg")
    made = cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "out", "--json")
    assert json.loads(made.out)["folders"] == [str(tmp_path / "out" / "magnetic-tile")]
    assert len(list((tmp_path / "out/magnetic-tile/train/good").iterdir())) == 4
    assert "is not empty" in cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "out").err
    assert "between 0 and 1" in cli("data", "convert", tmp_path / "mt", "--out", tmp_path / "o", "--share", "2").err


def test_chat(cli: Callable[..., Any], parts: Path, run: Path, tiny_lm: Path, tmp_path: Path) -> None:
    assert "cannot talk" in cli("chat", run, parts / "test/good/0.png", "--ask", "Hello!").err
    size = ("--side", "64", "--bank", "500", "--simulated", "4")
    made = cli("fit", parts, "--out", tmp_path / "r", *size, "--talk", "--model", tiny_lm, "--lm-steps", "3")
    assert made.code == 0
    assert "its replies are dead" in made.err
    asked = ("--ask", "Is there any anomaly in the image?", "--ask", "Where is the defect?")
    said = json.loads(cli("chat", tmp_path / "r", parts / "test/hole/0.png", *asked, "--json").out)
    assert len(said["turns"]) == 2
    assert said["verdict"]["image"].endswith("0.png")
    assert isinstance(said["agrees"], bool)
    told = cli("chat", tmp_path / "r", parts / "test/hole/0.png", *asked[:2])
    assert "The language model's own reply" in told.err
    exported = cli("export", tmp_path / "r", "--out", tmp_path / "r.onnx", "--json")
    assert json.loads(exported.out)["apart"] < 1e-2


def test_talking_needs_images_set_aside(cli: Callable[..., Any], parts: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for n in range(3):
        shutil.copy(parts / f"train/good/{n}.png", few)
    wrong = cli("fit", few, "--out", tmp_path / "r", "--side", "64", "--simulated", "2", "--talk")
    assert wrong.code == 2
    assert "set aside" in wrong.err
    assert "is 0" in cli("fit", few, "--out", tmp_path / "r", "--simulated", "0", "--talk").err
