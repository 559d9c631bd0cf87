"""Images against their templates: alignment, boxes, types of defects, and the modality with its commands."""

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
from faultwise.contracts.findings import RegionFinding
from faultwise.contracts.modality import Converses, Exports, Model
from faultwise.contracts.settings import flattened
from faultwise.images.data.image_converting import boxes_beside
from faultwise.images.detection.defect_types import DefectTypes
from faultwise.images.detection.templates import PairRule, aligned, box_figures, compared, found_boxes, overlaps
from faultwise.images.modality import images
from faultwise.images.pair_inspector import PairInspector
from faultwise.images.settings import ImageReading, ImageSettings

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
    for n in range(6):
        board = _board(n)
        image, boxes = _defective(np.roll(board, n % 3, axis=1), 50 + n)
        Pillow.fromarray(board).save(folder / f"b{n}_temp.png")
        Pillow.fromarray(image).save(folder / f"b{n}_test.png")
        kinds = {"copper": 5, "pin-hole": 6}
        lines = [" ".join(map(str, [*box[:4], kinds[box[4]]])) for box in boxes]
        (folder / f"b{n}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model(pairs: Path) -> Model:
    return images.fit(pairs, ImageSettings(), ImageReading())


def test_the_whole_way(pairs: Path, model: Model) -> None:
    figures = model.evaluate(pairs, ImageReading(), None).figures
    assert figures["hit"] == 1
    assert float(str(figures["false_per_image"])) <= 0.2
    scored = figures["f1_by_kind"]
    assert isinstance(scored, dict)
    assert min(scored.values()) > 0.9
    made = model.diagnose(pairs, ImageReading(), None)
    assert all(case.verdict.detected for case in made.cases)
    found = [one for case in made.cases for one in case.findings if isinstance(one, RegionFinding)]
    assert {one.defect for one in found} == {"copper", "pin-hole"}
    assert {one.expert for one in found} == {"template"}
    picture = made.cases[0].picture
    assert picture is not None
    assert picture.scores.max() > picture.threshold == found[0].normal_high
    assert max(picture.scores.shape) <= 256
    assert "NAME.txt" not in " ".join(model.notes)
    assert not isinstance(model, Exports)
    assert not isinstance(model, Converses)


def test_the_commands(cli: Callable[..., Any], pairs: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for file in pairs.glob("b[01]*"):
        (few / file.name).write_bytes(file.read_bytes())
    assert cli("fit", few, "--out", tmp_path / "run").code == 0
    ran = cli("diagnose", tmp_path / "run", few, "--report", tmp_path / "r.html", "--json")
    assert all(case["verdict"]["detected"] for case in json.loads(ran.out)["cases"])
    assert (tmp_path / "r.html").read_text().count("data:image/jpeg") == 2
    ran = cli("evaluate", tmp_path / "run", few)
    assert "F1 by defect type: copper" in ran.err
    ran = cli("export", tmp_path / "run", "--out", tmp_path / "x.onnx")
    assert (ran.code, "cannot be exported" in ran.err) == (2, True)


def test_runs_come_back(pairs: Path, model: Model, tmp_path: Path) -> None:
    manifest = {"settings": flattened(model.settings), **model.write(tmp_path)}
    again = images.load(tmp_path, json.loads(json.dumps(manifest, allow_nan=False)))
    assert again.summary() == model.summary()
    first, second = (one.diagnose(pairs, ImageReading(), None) for one in (model, again))
    assert [case.findings for case in first.cases] == [case.findings for case in second.cases]
    (tmp_path / "defect_types.safetensors").unlink()
    with pytest.raises(RunFolderError, match="no types of defects that can be read"):
        images.load(tmp_path, manifest)
    with pytest.raises(RunFolderError, match="holds no rule for pairs"):
        images.load(tmp_path, {"settings": {}, "detector": "pairs"})


def test_without_boxes_the_plain_rule_is_kept(pairs: Path, tmp_path: Path) -> None:
    for file in pairs.glob("b[01]_*.png"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    plain = images.fit(tmp_path, ImageSettings(), ImageReading())
    assert any("plain rule is kept" in note for note in plain.notes)
    assert [case.verdict.label for case in plain.diagnose(tmp_path, ImageReading(), None).cases] == ["defective"] * 2
    with pytest.raises(DataError, match="No boxes lie beside"):
        plain.evaluate(tmp_path, ImageReading(), None)
    with pytest.raises(UserError, match="No box is marked"):
        PairInspector().fit([(pairs / "b0_test.png", pairs / "b0_temp.png")], [[]])


def test_wrong_use(pairs: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`side`, `talk` is for single images"):
        images.fit(pairs, ImageSettings(side=128, talk=True), ImageReading())
    Pillow.fromarray(_board()).save(tmp_path / "a.png")
    for source in (tmp_path, [_board()]):
        with pytest.raises(DataError, match="holds no templates"):
            model.diagnose(source, ImageReading(), None)
    (tmp_path / "b.txt").write_text("1 2 3")
    with pytest.raises(DataError, match="expected x1 y1 x2 y2"):
        boxes_beside(tmp_path / "b_test.png")


def test_one_type_alone_is_not_named() -> None:
    assert DefectTypes().fit(np.ones((3, 2)), ["a"] * 3).named(np.ones((1, 2))) is None
    assert DefectTypes().fit(np.eye(2), ["a", "b"]).named(np.empty((0, 2))) == []
