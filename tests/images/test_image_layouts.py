"""Folders of labelled images in the layouts that plants have: recognised, read, fitted, evaluated, refused."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from faultwise.contracts.errors import DataError, UserError
from faultwise.contracts.modality import recognised
from faultwise.images.data.image_folders import read_image_set, why_images
from faultwise.images.data.image_sets import FolderReading, ImageSet
from faultwise.images.data.layouts.coco import read_coco
from faultwise.images.data.layouts.labelme import read_labelme
from faultwise.images.data.layouts.shapes import Shapes, mask_of, run_lengths
from faultwise.images.data.layouts.tree import scanned
from faultwise.images.data.layouts.yolo import parsed_line
from faultwise.images.data.sources import read_checked
from faultwise.images.detection.backbones import Backbone

Part = Callable[..., np.ndarray]
SMALL = ("--set", "side=64", "--set", "bank=500", "--set", "simulated=0")
BOX = (20, 84, 40, 104)  # of the hole: left, top, right, bottom


def _saved(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(path)
    return path


def _filled(folder: Path, **counts: int) -> Path:
    """Fill folders (a/b is a__b) with small images."""
    for at, (name, count) in enumerate(counts.items()):
        (folder / name.replace("__", "/")).mkdir(parents=True, exist_ok=True)
        for n in range(count):
            _saved(folder / name.replace("__", "/") / f"{n}.png", 100 * at + n)
    return folder


def _listed(images: ImageSet) -> tuple[int, int, list[str], int]:
    """Return how many images are learnt from and judged, the types of defects, and how many have a mask."""
    items = (*images.test, *images.defects)
    types = sorted({item.label for item in items} - {"good"})
    return len(images.train), len(images.test), types, sum(item.mask is not None for item in items)


# --- folders by class ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names", [("normal", "abnormal"), ("good", "bad"), ("OK", "NG"), ("Non-defective", "Defective"), ("IO", "NIO")]
)
def test_two_folders_by_class(tmp_path: Path, names: tuple[str, str]) -> None:
    folder = _filled(tmp_path / "set", **{names[0]: 10, names[1]: 3})
    found = recognised(folder)
    assert found.modality.name == "images"
    assert f"`{names[0]}`" in found.why
    images = read_image_set(folder)
    assert images.notes[0] == f"Read as 10 good images in `{names[0]}` and 3 defective images in `{names[1]}`."
    assert _listed(images) == (8, 5, ["defective"], 0)
    assert "8 good images drawn at random can be learnt from, and 2 good and 3 defective" in images.notes[1]
    assert read_image_set(folder).train == images.train


def test_types_of_defects_below_a_folder_and_masks_beside(tmp_path: Path) -> None:
    folder = _filled(tmp_path, OK__day1=4, OK__day2=6, NG__dent=2, NG__scratch=3, masks__dent=2)
    images = read_image_set(folder)
    assert images.notes[0] == (
        "Read as 10 good images in `OK` and 5 images of 2 defect types in `NG`; masks lie beside them."
    )
    assert _listed(images) == (8, 7, ["dent", "scratch"], 2)


def test_many_images_of_types_are_examples(tmp_path: Path) -> None:
    images, _ = read_checked(_filled(tmp_path, good=5, dent=10, scratch=12, hole=2), FolderReading(), False)
    assert len(images.defects) == 11
    assert [item.label for item in images.test].count("hole") == 2
    assert any("learnt from 11 images of `dent`, `scratch`, drawn at random" in note for note in images.notes)


def test_parts_of_a_set_are_kept(tmp_path: Path) -> None:
    folder = _filled(tmp_path, train__ok_front=6, train__def_front=2, test__ok_front=3, test__def_front=4)
    images = read_image_set(folder)
    assert (len(images.train), len(images.defects), len(images.test)) == (6, 2, 7)
    assert not images.drawn


def test_the_good_class_is_named(tmp_path: Path) -> None:
    folder = _filled(tmp_path, type_a=5, type_b=3)
    assert recognised(folder).modality.name == "images"
    assert "none is good by its name: say which with --normal" in read_image_set(folder).unclear
    assert _listed(read_image_set(folder, FolderReading(normal="TYPE_A"))) == (4, 4, ["type_b"], 0)
    assert "did you mean `type_a`" in read_image_set(folder, FolderReading(normal="type-a")).unclear
    only = _filled(tmp_path / "only", NG=3, crack=2)
    assert read_image_set(only).unclear.endswith("say which with --normal NAME, or name it `good`, `normal` or `OK`.")
    assert "all are defective" in read_image_set(_filled(tmp_path / "bad", NG=3)).unclear


def test_an_empty_class_folder(tmp_path: Path) -> None:
    folder = _filled(tmp_path / "a", OK=4, NG=2, crack=0)
    assert "`crack` holds no images and is left out." in read_image_set(folder).notes
    with pytest.raises(DataError, match=r"`OK` in .* holds no images"):
        read_image_set(_filled(tmp_path / "b", OK=0, NG=2))


def test_several_categories(tmp_path: Path) -> None:
    _filled(tmp_path, bottle__ok=4, bottle__ng=2, cable__ok=5, cable__ng=2)
    assert "folders of labelled images (`bottle`, `cable`)" in str(why_images(tmp_path))
    with pytest.raises(DataError, match=r"2 categories .*--category NAME"):
        read_image_set(tmp_path)
    assert read_image_set(tmp_path, FolderReading(category="cable")).category == "cable"


def test_plots_beside_tables_are_no_classes(tmp_path: Path) -> None:
    _filled(tmp_path, ok=2, ng=2)
    (tmp_path / "run.csv").write_text("a,b\n1,2\n")
    assert why_images(tmp_path) is None


# --- lists --------------------------------------------------------------------------------------------------------


def _list(folder: Path, text: str, name: str = "labels.csv") -> Path:
    _filled(folder, images=6)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "text",
    [
        "file;label\n" + "".join(f"{n}.png;{'OK' if n < 4 else 'crack'}\n" for n in range(6)),
        "".join(f"images/{n}.png,{'good' if n < 4 else 'crack'}\n" for n in range(6)),
        "part,image_path,label\n" + "".join(f"7,images\\{n}.png,{'normal' if n < 4 else 'crack'}\n" for n in range(6)),
    ],
)
def test_lists(tmp_path: Path, text: str) -> None:
    folder = _list(tmp_path, text)
    assert "a list of them (`labels.csv`)" in str(why_images(folder))
    images = read_image_set(folder)
    assert _listed(images) == (3, 3, ["crack"], 0)
    assert images.notes[0] == "Read as 4 good images and 2 defective images (`crack`) by the list `labels.csv`."
    assert recognised(folder / "labels.csv").modality.name == "images"
    assert _listed(read_image_set(folder / "labels.csv")) == (3, 3, ["crack"], 0)


@pytest.mark.parametrize(("column", "good"), [("is_defective", "0"), ("anomaly", "False"), ("ok", "1")])
def test_lists_of_yes_and_no(tmp_path: Path, column: str, good: str) -> None:
    bad = {"0": "1", "1": "0", "False": "True"}[good]
    text = f"name,{column},split\n" + "".join(
        f"{n}.png,{good if n < 4 else bad},{'train' if n < 3 else 'test'}\n" for n in range(6)
    )
    images = read_image_set(_list(tmp_path, text))
    assert _listed(images) == (3, 3, ["defective"], 0)
    assert f"The label `{good}` is taken to be good: name another with --normal." in images.notes


def test_a_list_that_names_absent_files(tmp_path: Path) -> None:
    text = "file,label\n0.png,OK\n1.png,OK\n9.png,NG\n5.png,NG\n8.png,\n4.png,\n"
    notes = " ".join(read_image_set(_list(tmp_path / "some", text)).notes)
    assert "2 images of the list are not there: `9.png`, `8.png`." in notes
    assert "1 images of the list have no label and are left out." in notes
    assert "2 images are in the folder and not in the list" in notes
    none = _list(tmp_path / "none", "file,label\nx.png,OK\ny.png,NG\n")
    with pytest.raises(DataError, match=r"None of the 2 images that .* names is there \(`x.png`, `y.png`\)"):
        read_image_set(none)


def test_lists_without_a_column_of_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Which column of .* is not clear .*`shift`, `line`.*: name it `label`"):
        read_image_set(_list(tmp_path / "a", "file,shift,line\n0.png,2,OK\n1.png,2,NG\n"))
    with pytest.raises(DataError, match="no column of labels"):
        read_image_set(_list(tmp_path / "b", "file\n0.png\n1.png\n"))


def test_a_table_of_measurements_stays_one(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("t,speed,torque,photo,fault\n1,2,3,gone.jpg,0\n2,2,3,gone2.jpg,1\n")
    assert why_images(tmp_path / "log.csv") is None


# --- COCO ---------------------------------------------------------------------------------------------------------


def _coco(folder: Path, annotations: object, count: int = 4, **more: Any) -> Path:
    _filled(folder, images=count)
    images = [{"id": n, "file_name": f"{n}.png", "width": 32, "height": 24} for n in range(count)]
    raw: dict[str, Any] = {"images": images, "categories": [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}]}
    if annotations is not None:
        raw["annotations"] = annotations
    (folder / "annotations").mkdir(exist_ok=True)
    (folder / "annotations/instances.json").write_text(json.dumps(raw | more), encoding="utf-8")
    return folder


def _mark(image: object, category: int = 1, **more: object) -> dict[str, object]:
    return {"id": 7, "image_id": image, "category_id": category, "bbox": [4, 6, 10, 5], **more}


def test_coco(tmp_path: Path) -> None:
    outline = [[2, 2, 12, 2, 12, 9, 2, 9]]
    lengths = {"size": [24, 32], "counts": [24 * 8, 24 * 2, 24 * 22]}
    folder = _coco(tmp_path, [_mark(2), _mark(3, 2, segmentation=outline), _mark(3, segmentation=lengths)])
    assert "COCO annotations (`instances.json`)" in str(why_images(folder))
    images, _ = read_checked(folder, FolderReading(), False)
    assert images.notes[0] == (
        "Read as 2 good images and 2 images of 2 defect types by `instances.json`; boxes and outlines from COCO become "
        "masks."
    )
    first, second = (item for item in images.test if item.label != "good")
    assert (first.label, second.label) == ("dent", "scratch")
    assert isinstance(first.mask, Shapes)
    assert isinstance(second.mask, Shapes)
    marked = np.zeros((24, 32), bool)
    marked[6:11, 4:14] = True
    np.testing.assert_array_equal(mask_of(first.mask), marked)
    both = mask_of(second.mask, (24, 32))
    assert both[:, 8:10].all()
    assert both[2:9, 2:12].all()
    assert not both[:, 14:].any()
    assert _listed(read_image_set(folder / "annotations/instances.json")) == _listed(images)


def test_coco_with_unknown_image_ids(tmp_path: Path) -> None:
    notes = " ".join(read_image_set(_coco(tmp_path / "some", [_mark(2), _mark(77)])).notes)
    assert "1 annotations name image ids that the file does not list (`77`) and are left out." in notes
    with pytest.raises(DataError, match="name image ids that it does not list"):
        read_image_set(_coco(tmp_path / "all", [_mark(77)]))


@pytest.mark.parametrize("annotations", [None, []])
def test_coco_without_annotations(
    tmp_path: Path, annotations: list[dict[str, Any]] | None, cli: Callable[..., Any]
) -> None:
    folder = _coco(tmp_path / "set", annotations)
    ran = cli("fit", folder, "--out", tmp_path / "run")
    assert (ran.code, "`instances.json` holds no annotations" in ran.err) == (2, True)
    assert not (tmp_path / "run").exists()


def test_coco_that_is_damaged(tmp_path: Path) -> None:
    folder = _coco(tmp_path, [_mark(2)])
    file = folder / "annotations/instances.json"
    file.write_text(file.read_text()[:-20])
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_image_set(folder)
    with pytest.raises(DataError, match=r"`annotations` in .* is no list of objects"):
        read_image_set(_coco(tmp_path, {"1": 2}))
    with pytest.raises(DataError, match=r"None of the images that .* lists is there"):
        read_image_set(_coco(tmp_path, [_mark(2)], images=[{"id": 2, "file_name": "gone.png"}]))
    bad = [_mark(1, bbox=[1, 2, -3, 4]), _mark(2, bbox=None, segmentation=[[1, 2, 3, 4]])]
    images = read_image_set(_coco(tmp_path, bad))
    assert any("2 annotations mark no place that can be read" in note for note in images.notes)
    assert [item.mask for item in images.test if item.label == "dent"] == [None, None]


def test_annotations_for_another_size(tmp_path: Path) -> None:
    folder = _coco(tmp_path, [_mark(0)], images=[{"id": 0, "file_name": "0.png", "width": 64, "height": 48}])
    images, _ = read_checked(folder, FolderReading(), False)
    assert images.test[-1].mask is None
    assert any("describes an image of 64 x 48 pixels, and the file has 32 x 24" in note for note in images.notes)


# --- YOLO ---------------------------------------------------------------------------------------------------------


def _yolo(folder: Path, *labels: str, names: str = "names: [dent, scratch]\n") -> Path:
    _filled(folder, images__train=4, images__val=3)
    for at, text in enumerate(labels):
        place = folder / f"labels/val/{at}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (folder / "data.yaml").write_text(names)
    return folder


def test_yolo(tmp_path: Path) -> None:
    folder = _yolo(tmp_path, "0 0.5 0.5 0.25 0.5\n", "1 0.25 0.25 0.75 0.25 0.5 0.75\n", "")
    assert "3 YOLO labels" in str(why_images(folder))
    images, _ = read_checked(folder, FolderReading(), False)
    assert _listed(images) == (4, 3, ["dent", "scratch"], 2)
    assert not images.drawn
    assert "by their YOLO labels; boxes and outlines from YOLO become masks." in images.notes[0]
    assert "4 images have no label file and are taken to be good." in images.notes
    box = mask_of(images.test[0].mask or Path())
    marked = np.zeros((24, 32), bool)
    marked[6:18, 12:20] = True
    np.testing.assert_array_equal(box, marked)


def test_yolo_beside_the_images(tmp_path: Path) -> None:
    for n in range(4):
        _saved(tmp_path / f"{n}.png", n)
    (tmp_path / "3.txt").write_text("0 0.5 0.5 0.25 0.5 0.91\n")
    assert "1 YOLO labels" in str(why_images(tmp_path))
    assert _listed(read_image_set(tmp_path)) == (2, 2, ["class 0"], 1)
    (tmp_path / "3.txt").write_text("taken on Monday\n")
    assert why_images(tmp_path) == "it holds 4 image files and no tables"


def test_yolo_coordinates_out_of_range(tmp_path: Path) -> None:
    some = read_image_set(_yolo(tmp_path / "some", "0 0.5 0.5 0.25 0.5\n", "0 12 40 3 3\n"))
    assert any("Line 1 of" in note and "12 lies outside the image (0 to 1)" in note for note in some.notes)
    assert [item.label for item in some.test] == ["dent", "defective", "good"]
    with pytest.raises(DataError, match=r"No YOLO label of .* can be read: Line 1 .* 120 lies outside"):
        read_image_set(_yolo(tmp_path / "all", "0 120 40 30 30\n"))
    with pytest.raises(DataError, match="cannot be read as YAML"):
        read_image_set(_yolo(tmp_path / "yaml", "0 0.5 0.5 0.25 0.5\n", names="names: [dent\n"))


# --- LabelMe ------------------------------------------------------------------------------------------------------


def _labelme(folder: Path, *shapes: dict[str, Any]) -> Path:
    for n in range(5):
        _saved(folder / f"{n}.png", n)
    for at, shape in enumerate(shapes):
        raw = {"shapes": [shape], "imagePath": f"{at}.png", "imageHeight": 24, "imageWidth": 32}
        (folder / f"{at}.json").write_text(json.dumps(raw))
    return folder


def test_labelme(tmp_path: Path) -> None:
    polygon = {"label": "dent", "points": [[2, 2], [12, 2], [12, 9], [2, 9]], "shape_type": "polygon"}
    circle = {"label": "pit", "points": [[10, 10], [14, 10]], "shape_type": "circle"}
    line = {"label": "crack", "points": [[1, 1], [20, 20]], "shape_type": "line"}
    folder = _labelme(tmp_path, polygon, circle, line)
    assert "3 LabelMe files" in str(why_images(folder))
    images, _ = read_checked(folder, FolderReading(), False)
    assert _listed(images) == (2, 3, ["crack", "dent", "pit"], 3)
    assert "2 images have no LabelMe file and are taken to be good." in images.notes
    areas = {item.label: int(mask_of(item.mask).sum()) for item in images.test if item.mask}
    assert areas["dent"] == 11 * 8
    assert 40 < areas["pit"] < 70
    assert 20 <= areas["crack"] < 110


def test_labelme_polygon_of_two_points(tmp_path: Path) -> None:
    images = read_image_set(_labelme(tmp_path, {"label": "dent", "points": [[2, 2], [12, 2]], "shape_type": "polygon"}))
    assert any("a polygon of 2 points: expected 3 at least" in note for note in images.notes)
    assert [(item.label, item.mask) for item in images.test if item.label != "good"] == [("dent", None)]
    (tmp_path / "1.json").write_text('{"shapes": [')
    again = read_image_set(tmp_path)
    assert any("1 files cannot be read and are left out with their images" in note for note in again.notes)
    assert "1.png" not in {item.path.name for item in (*again.train, *again.test)}


# --- several layouts at once --------------------------------------------------------------------------------------


def test_two_layouts_at_once(tmp_path: Path) -> None:
    folder = _coco(_filled(tmp_path / "set", OK=4, NG=2), [_mark(2)], images=[])
    shutil.rmtree(folder / "images")
    listed = [
        {"id": n, "file_name": f"{place}/{n}.png"} for place, count in (("OK", 4), ("NG", 2)) for n in range(count)
    ]
    for at, one in enumerate(listed):
        one["id"] = at
    raw = {"images": listed, "annotations": [_mark(4), _mark(5)], "categories": [{"id": 1, "name": "dent"}]}
    (folder / "annotations/instances.json").write_text(json.dumps(raw))
    images = read_image_set(folder)
    assert images.notes[0] == "`set` fits several layouts: read as coco; choose another with --layout folders."
    assert _listed(images) == (3, 3, ["dent"], 2)
    by_folders = read_image_set(folder, FolderReading(layout="folders"))
    assert _listed(by_folders) == (3, 3, ["defective"], 0)
    assert "Read as 4 good images in `OK`" in by_folders.notes[0]
    usual = read_image_set(folder, FolderReading(usual_layout="folders"))
    assert usual.notes == by_folders.notes
    with pytest.raises(DataError, match="holds no YOLO labels"):
        read_image_set(folder, FolderReading(layout="yolo"))


# --- the whole way ------------------------------------------------------------------------------------------------


@pytest.fixture
def classes(part: Part, tmp_path: Path) -> Path:
    for place, count, hole in (("OK", 25, False), ("NG", 6, True)):
        (tmp_path / "parts" / place).mkdir(parents=True)
        for n in range(count):
            Pillow.fromarray(part(100 * len(place) + n + 50 * hole, hole)).save(tmp_path / "parts" / place / f"{n}.png")
    return tmp_path / "parts"


def test_fit_evaluate_diagnose(
    classes: Path, cli: Callable[..., Any], fast_backbone: Backbone, part: Part, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    ran = cli("fit", classes, "--out", run, *SMALL)
    assert ran.code == 0
    assert "Read as images: it holds a folder of images for each class (`NG`, `OK`)." in ran.err
    assert "Read as 25 good images in `OK` and 6 defective images in `NG`." in ran.err
    again = json.loads(cli("evaluate", run, classes, "--json").out)
    assert (again["images"], again["image_auroc"]) == (11, 1.0)
    assert "20 images that the fit learnt from are left out" in cli("evaluate", run, classes).err
    for n in range(4):
        Pillow.fromarray(part(900 + n)).save(_saved(tmp_path / "new/ok" / f"{n}.png"))
        Pillow.fromarray(part(950 + n, True)).save(_saved(tmp_path / "new/defect" / f"{n}.png"))
    new = json.loads(cli("evaluate", run, tmp_path / "new", "--json").out)
    assert (new["images"], new["image_auroc"]) == (8, 1.0)
    cases = json.loads(cli("diagnose", run, tmp_path / "new", "--json").out)["cases"]
    assert len(cases) == 8
    assert all(case["verdict"]["detected"] for case in cases if "/defect/" in case["name"])


def test_a_named_class_is_kept_with_the_run(
    classes: Path, cli: Callable[..., Any], fast_backbone: Backbone, tmp_path: Path
) -> None:
    (classes / "OK").rename(classes / "type_a")
    (classes / "NG").rename(classes / "type_b")
    ran = cli("fit", classes, "--out", tmp_path / "run", *SMALL)
    assert (ran.code, "say which with --normal NAME" in ran.err) == (2, True)
    assert cli("fit", classes, "--out", tmp_path / "run", "--normal", "type_a", *SMALL).code == 0
    assert json.loads(cli("evaluate", tmp_path / "run", classes, "--json").out)["by_kind"] == {"type_b": 1.0}


def test_boxes_become_masks_of_an_evaluation(
    parts: Path, cli: Callable[..., Any], fast_backbone: Backbone, tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    for place, name in (("train/good", "train"), ("test/good", "val"), ("test/hole", "val")):
        for image in sorted((parts / place).iterdir()):
            target = folder / "images" / name / f"{Path(place).name}{image.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, target)
    left, top, right, bottom = (value / 128 for value in BOX)
    (folder / "labels/val").mkdir(parents=True)
    for n in range(6):
        line = f"0 {(left + right) / 2} {(top + bottom) / 2} {right - left} {bottom - top}\n"
        (folder / f"labels/val/hole{n}.txt").write_text(line)
    (folder / "data.yaml").write_text("names:\n  0: hole\n")
    assert cli("fit", folder, "--out", tmp_path / "run", *SMALL).code == 0
    figures = json.loads(cli("evaluate", tmp_path / "run", folder, "--json").out)
    assert (figures["images"], figures["by_kind"]) == (12, {"hole": 1.0})
    assert figures["pixel_auroc"] > 0.8


def test_only_defective_images(tmp_path: Path, cli: Callable[..., Any]) -> None:
    folder = _filled(tmp_path / "set", NG=4)
    ran = cli("fit", folder, "--out", tmp_path / "run")
    assert (ran.code, "all are defective: a fit learns from good images" in ran.err) == (2, True)
    listed = _list(tmp_path / "list", "file,label\n0.png,crack\n1.png,NG\n")
    ran = cli("fit", listed, "--out", tmp_path / "run")
    assert (ran.code, "none is good by its name" in ran.err) == (2, True)
    marked = _labelme(tmp_path / "me", *[{"label": "a", "points": [[1, 1], [5, 1], [5, 5]]}] * 5)
    ran = cli("fit", marked, "--out", tmp_path / "run")
    assert (ran.code, "has no good images to learn from" in ran.err) == (2, True)
    assert not (tmp_path / "run").exists()


# --- any labels at all --------------------------------------------------------------------------------------------


@given(st.text(alphabet="0123456789.- einfa", max_size=40))
def test_a_line_of_yolo_is_read_or_refused(line: str) -> None:
    try:
        number, marks = parsed_line(line)
    except (ValueError, OverflowError):
        return
    assert number >= 0
    assert len(marks) >= 3


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=12))
def test_run_lengths_come_back(counts: list[int]) -> None:
    assert run_lengths(_compressed(counts)) == tuple(counts)


def _compressed(counts: list[int]) -> str:
    """COCO's own way of writing run lengths."""
    text = ""
    for at, count in enumerate(counts):
        value, more = count - (counts[at - 2] if at > 2 else 0), True
        while more:
            byte, value = value & 31, value >> 5
            more = value != (-1 if byte & 16 else 0)
            text += chr(byte + 48 + 32 * more)
    return text


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-9, 99) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "image_id", "bbox", "segmentation", "points", "label", "counts", "size", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.lists(_JSON, max_size=3), _JSON, st.booleans())
def test_annotations_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, records: list[object], whole: object, coco: bool
) -> None:
    folder = tmp_path_factory.mktemp("any")
    _saved(folder / "0.png")
    marks = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": one, "segmentation": one} for one in records]
    shapes = [{"label": "a", "points": one, "shape_type": "polygon"} for one in records]
    raw = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [*marks, *([whole] if isinstance(whole, dict) else [])],
        "shapes": [*shapes, whole],
    }
    file = folder / ("coco.json" if coco else "0.json")
    file.write_text(json.dumps(raw))
    with contextlib.suppress(UserError):  # no other error
        found = read_coco(scanned(folder), FolderReading()) if coco else read_labelme(scanned(folder), FolderReading())
        for one in found.images:
            assert one.mask is None or mask_of(one.mask, (24, 32)).shape == (24, 32)
