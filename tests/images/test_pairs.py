"""Images against their templates: alignment, boxes, kinds of defects, and the way by the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from faultwise import UserError
from faultwise.contracts.errors import DataError, RunFolderError
from faultwise.images.data.image_converting import boxes_beside
from faultwise.images.detection.region_kinds import RegionKinds
from faultwise.images.detection.templates import PairRule, aligned, box_figures, compared, found_boxes, overlaps
from faultwise.images.pair_inspector import PairInspector

SIDE = 160


def _board(seed: int = 0) -> np.ndarray:
    """Bright tracks on a dark ground, all different, so that there is one right shift."""
    rng = np.random.default_rng(seed)
    grey = np.full((SIDE, SIDE), 20, np.uint8)
    for row in range(12, SIDE - 12, 24):
        left, right = int(rng.integers(4, 40)), int(rng.integers(100, 156))
        grey[row : row + 8, left:right] = 230
        column = int(rng.integers(left, right - 8))
        grey[row : row + 20, column : column + 6] = 230
    return grey.repeat(3).reshape(SIDE, SIDE, 3)


def _defective(board: np.ndarray, seed: int) -> tuple[np.ndarray, list[tuple[int, int, int, int, str]]]:
    """A hole inside a track, and a drop of metal on the ground."""
    rng = np.random.default_rng(seed)
    made, boxes = board.copy(), []
    for bright, kind in ((True, "pin-hole"), (False, "copper")):
        while True:
            y, x = (int(one) for one in rng.integers(10, SIDE - 20, 2))
            around = board[y - 1 : y + 7, x - 3 : x + 9, 0]
            if (around.min() > 128) if bright else (board[y - 5 : y + 11, x - 5 : x + 13, 0].max() < 128):
                break
        made[y : y + 6, x : x + 6] = 20 if bright else 230
        boxes.append((x - 8, y - 8, x + 14, y + 14, kind))
    return made, boxes


@given(down=st.integers(-12, 12), right=st.integers(-12, 12), seed=st.integers(0, 20))
@settings(max_examples=15, deadline=None)
def test_templates_are_moved_onto_the_image(down: int, right: int, seed: int) -> None:
    board = _board(seed)[:, :, 0]
    image = np.roll(board, (down, right), (0, 1))
    moved, reached = aligned(board, image)
    inside = np.zeros_like(reached)
    inside[20:-20, 20:-20] = True
    assert reached[inside].all()
    assert (moved[inside] == image[inside]).mean() > 0.97


def test_what_is_shifted_is_no_defect() -> None:
    board = _board()
    assert len(found_boxes(compared(np.roll(board, (3, -2), (0, 1)), board), PairRule())) == 0
    edge = board.copy()
    edge[:, 1:] = np.maximum(edge[:, 1:], board[:, :-1])  # every edge a pixel further
    assert len(found_boxes(compared(edge, board), PairRule())) == 0


def test_defects_are_boxed_and_one_pixel_rows_are_not() -> None:
    image, boxes = _defective(np.roll(_board(), 2, axis=0), 1)
    image[100, 5:150] = 128  # a row out of step
    found = found_boxes(compared(image, _board()), PairRule(levels=60))
    figures = box_figures([found], [np.array([box[:4] for box in boxes])])
    assert figures["hit"] == 1
    assert figures["false_per_image"] == 0


def test_overlaps() -> None:
    one = np.array([[0, 0, 10, 10]])
    assert overlaps(one, one).tolist() == [[1.0]]
    assert overlaps(one, np.array([[10, 10, 20, 20]])).tolist() == [[0.0]]
    assert overlaps(np.empty((0, 4)), one).shape == (0, 1)
    assert np.isnan(box_figures([np.empty((0, 4))], [np.empty((0, 4))])["hit"])


def test_two_sizes_are_refused() -> None:
    with pytest.raises(UserError, match="both must have one size"):
        compared(_board(), _board()[:-8])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs") / "boards"
    folder.mkdir()
    for n in range(10):
        board = _board(n)
        image, boxes = _defective(np.roll(board, n % 3, axis=1), 50 + n)
        Pillow.fromarray(board).save(folder / f"b{n}_temp.png")
        Pillow.fromarray(image).save(folder / f"b{n}_test.png")
        kinds = {"copper": 5, "pin-hole": 6}
        lines = [" ".join(map(str, [*box[:4], kinds[box[4]]])) for box in boxes]
        (folder / f"b{n}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def run(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from faultwise.cli.main import main

    folder = tmp_path_factory.mktemp("runs") / "boards"
    assert main(["fit", str(pairs), "--out", str(folder), "--json"]) == 0
    return folder


def test_the_whole_way(cli: Callable[..., Any], pairs: Path, run: Path, tmp_path: Path) -> None:
    judged = json.loads(cli("evaluate", run, pairs, "--json").out)
    assert judged["hit"] == 1
    assert judged["false_per_image"] <= 0.1
    assert min(judged["f1_by_kind"].values()) > 0.9
    ran = cli("diagnose", run, pairs, "--report", tmp_path / "r.html", "--json")
    said = json.loads(ran.out)["images"]
    assert all(one["defective"] for one in said)
    assert {region["kind"] for one in said for region in one["regions"]} == {"copper", "pin-hole"}
    assert (tmp_path / "r.html").read_text().count("data:image/jpeg") == 10


def test_runs_come_back(pairs: Path, run: Path) -> None:
    image, template = pairs / "b0_test.png", pairs / "b0_temp.png"
    first, second = (PairInspector.load(run).inspect(image, template) for _ in range(2))
    assert first.regions == second.regions
    assert PairInspector.load(run).settings.levels == first.region_limit
    (run / "kinds.safetensors").rename(run / "gone")
    with pytest.raises(RunFolderError, match="is missing"):
        PairInspector.load(run)
    (run / "gone").rename(run / "kinds.safetensors")


def test_without_boxes_the_plain_rule_is_kept(cli: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for file in pairs.glob("b[01]_*.png"):
        (tmp_path / "p" / file.name).write_bytes(file.read_bytes())
    ran = cli("fit", tmp_path / "p", "--out", tmp_path / "run")
    assert ran.code == 0
    assert "plain rule is kept" in ran.err
    assert cli("diagnose", tmp_path / "run", tmp_path / "p").out.count("Defective") == 2
    wrong = cli("evaluate", tmp_path / "run", tmp_path / "p")
    assert wrong.code == 2
    assert "No boxes lie beside" in wrong.err
    with pytest.raises(UserError, match="No box is marked"):
        PairInspector().fit([(pairs / "b0_test.png", pairs / "b0_temp.png")], [[]])


def test_wrong_use(cli: Callable[..., Any], pairs: Path, run: Path, tmp_path: Path) -> None:
    assert "is for single images" in cli("fit", pairs, "--out", tmp_path / "r", "--side", "128").err
    Pillow.fromarray(_board()).save(tmp_path / "a.png")
    assert "holds no templates" in cli("diagnose", run, tmp_path).err
    (pairs / "b3.txt").rename(pairs / "kept")
    (pairs / "b3.txt").write_text("1 2 3")
    with pytest.raises(DataError, match="expected x1 y1 x2 y2"):
        boxes_beside(pairs / "b3_test.png")
    (pairs / "kept").replace(pairs / "b3.txt")
    with pytest.raises(RunFolderError, match="no run on pairs"):
        PairInspector.load(_other_kind(tmp_path))


def _other_kind(tmp_path: Path) -> Path:
    from faultwise.runs.folders import write_run

    return write_run(tmp_path / "other", {"kind": "images"}, lambda place: None)


def test_one_kind_alone_is_not_named() -> None:
    assert RegionKinds().fit(np.ones((3, 2)), ["a"] * 3).named(np.ones((1, 2))) is None
    assert RegionKinds().fit(np.eye(2), ["a", "b"]).named(np.empty((0, 2))) == []
