"""The modality of images behind its protocol: what it recognises, fits, writes, reads, diagnoses and refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pillow

from faultwise import UserError
from faultwise.contracts.diagnosis import Diagnosis
from faultwise.contracts.errors import DataError, RunFolderError
from faultwise.contracts.findings import RegionFinding
from faultwise.contracts.modality import Converses, Exports, Model, WritesRows, able
from faultwise.contracts.settings import flattened
from faultwise.images.data.image_folders import why_images
from faultwise.images.detection.backbones import Backbone
from faultwise.images.modality import images
from faultwise.images.settings import ImageReading, ImageSettings

Part = Callable[..., np.ndarray]
SETTINGS = ImageSettings(side=128, bank=2000, simulated=0)


def _again(model: Model, folder: Path) -> Model:
    """Write a model, and read it back."""
    folder.mkdir()
    manifest = {"settings": flattened(model.settings), **model.write(folder)}
    return images.load(folder, json.loads(json.dumps(manifest, allow_nan=False)))


@pytest.fixture
def model(parts: Path, fast_backbone: Backbone) -> Model:
    return images.fit(parts, SETTINGS, ImageReading())


def test_what_is_recognised(part: Part, parts: Path, tmp_path: Path) -> None:
    assert "MVTec layout" in str(images.recognise(parts))
    assert images.recognise(parts / "test/hole") == why_images(parts / "test/hole")
    assert "6 images (files)" in str(images.recognise(sorted((parts / "test/hole").iterdir())))
    assert "2 images (arrays of uint8)" in str(images.recognise([part(0), part(1)]))
    assert "3 images" in str(images.recognise(np.stack([part(n) for n in range(3)])))
    assert "1 images" in str(images.recognise(part(0)))
    for other in (
        [],
        [1.0],
        ["a.csv"],
        "a.csv",
        part(0)[:, :, 0],
        part(0) / 255,
        pd.DataFrame({"a": [1]}),
        tmp_path,
        None,
    ):
        assert images.recognise(other) is None


def test_a_diagnosis_has_a_case_for_each_image(parts: Path, model: Model) -> None:
    made = model.diagnose(parts, ImageReading(), None)
    assert isinstance(made, Diagnosis)
    assert (made.modality, made.runs, len(made.cases)) == ("images", (), 12)
    assert [Path(case.name).parent.name for case in made.cases] == ["good"] * 6 + ["hole"] * 6
    assert "images are flagged as defective. 5 held-out good images can promise" in made.notes[-1]
    assert made.provenance["backbone"] == "efficientnet-lite0"
    threshold = made.provenance["threshold"]
    assert isinstance(threshold, dict)
    for case in made.cases[6:]:
        verdict = case.verdict
        assert (verdict.label, verdict.detected, verdict.false_alarm_per) == ("defective", True, "image")
        assert np.isnan(verdict.probability)
        assert verdict.fault_score is not None
        assert verdict.fault_score > threshold["value"] == verdict.threshold
        assert verdict.p_known == 0
        assert verdict.fault_set.labels == ("defective",)
        assert verdict.fault_set.coverage is None
        first = case.findings[0]
        assert isinstance(first, RegionFinding)
        assert (first.id, first.place, first.expert) == ("R1", "bottom left", "good-images")
        assert first.contrast < -3
        assert first.value > first.normal_high
    made_of = {one.id for case in made.cases for one in case.findings}
    for case in made.cases:
        assert case.narrative[0].findings == ()
        assert {one for sentence in case.narrative[1:] for one in sentence.findings} <= made_of
        assert case.picture is not None
        assert case.picture.read().shape == (128, 128, 3)
        assert case.picture.scores.size < 2_000  # a map of patches: pixels are read anew
    assert json.dumps(made.to_dict())


def test_runs_come_back(parts: Path, model: Model, tmp_path: Path) -> None:
    again = _again(model, tmp_path / "run")
    assert again.notes == model.notes
    assert again.summary() == model.summary()
    assert again.settings == SETTINGS
    first, second = (one.diagnose(parts / "test/hole", ImageReading(), None).cases for one in (model, again))
    assert [case.findings for case in first] == [case.findings for case in second]
    with pytest.raises(RunFolderError, match="detector `clocks`"):
        images.load(tmp_path, {"settings": {}, "detector": "clocks"})
    with pytest.raises(RunFolderError, match="unknown key"):
        images.load(tmp_path, {"settings": {"sides": 3}})
    with pytest.raises(RunFolderError, match="holds no settings"):
        images.load(tmp_path, {})


def test_images_in_memory_are_files_without_a_file(
    part: Part, parts: Path, fast_backbone: Backbone, model: Model
) -> None:
    paths = [parts / f"train/good/{n}.png" for n in range(24)]
    pixels = [np.asarray(Pillow.open(path)) for path in paths]
    of_paths, of_arrays = (images.fit(source, SETTINGS, ImageReading()) for source in (paths, pixels))
    bad = parts / "test/hole/0.png"
    scores = [
        one.diagnose(source, ImageReading(), None).cases[0].verdict.fault_score
        for one, source in ((of_paths, bad), (of_paths, [bad]), (of_arrays, [np.asarray(Pillow.open(bad))]))
    ]
    assert scores[0] == scores[1] == scores[2]
    case = of_arrays.diagnose(part(3), ImageReading(), None).cases[0]
    assert case.name == "image 1"
    assert case.picture is not None
    np.testing.assert_array_equal(case.picture.read(), part(3))
    assert "All images of the sequence are taken to be good." in of_arrays.notes
    with pytest.raises(DataError, match="3 images in memory` holds no images with a label"):
        of_arrays.evaluate(pixels[:3], ImageReading(), None)
    with pytest.raises(DataError, match="A DataFrame is no source of images"):
        of_arrays.diagnose(pd.DataFrame(), ImageReading(), None)


def test_figures(parts: Path, model: Model) -> None:
    made = model.evaluate(parts, ImageReading(), None)
    assert list(made.figures) == [
        "images", "image_auroc", "best_f1", "recall", "false_alarm_rate", "promised", "pixel_auroc", "aupro", "by_kind",
    ]  # fmt: skip
    assert made.figures["image_auroc"] == made.figures["recall"] == 1
    assert made.figures["by_kind"] == {"hole": 1.0}
    assert float(str(made.figures["pixel_auroc"])) > 0.9
    assert 0.5 < float(str(made.figures["aupro"])) <= 1
    assert "by_kind" not in made.tables[0][1][0]
    assert made.sentences == ("Image AUROC by defect type: hole 1.000",)
    with pytest.raises(DataError, match="holds no images with a label"):
        model.evaluate(parts / "test/hole", ImageReading(), None)


def test_without_good_test_images(parts: Path, model: Model, tmp_path: Path) -> None:
    shutil.copytree(parts, tmp_path / "x")
    shutil.rmtree(tmp_path / "x/test/good")
    made = model.evaluate(tmp_path / "x", ImageReading(), None)
    assert made.sentences == ("Image AUROC by defect type: hole -",)
    shutil.copytree(parts, tmp_path / "y")
    with pytest.raises(DataError, match="choose one with --category"):
        model.evaluate(tmp_path, ImageReading(), None)
    assert model.evaluate(tmp_path, ImageReading(category="y"), None).figures["images"] == 12


def test_a_line_for_each_image(parts: Path, model: Model, tmp_path: Path) -> None:
    writer = able(model, WritesRows, "write rows")  # type: ignore[type-abstract]
    record = writer.write_rows(parts, tmp_path / "r.parquet", ImageReading(), None)
    lines = pd.read_parquet(tmp_path / "r.parquet")
    assert list(lines) == ["image", "defective", "score", "threshold", "p_value", "regions", "place", "defect_type"]
    assert (record["rows"], record["flagged"]) == (12, int(lines.defective.sum()))
    assert lines[lines.image.str.contains("hole")].place.eq("bottom left").all()
    with pytest.raises(UserError, match="has no known ending"):
        writer.write_rows(parts, tmp_path / "r.txt", ImageReading(), None)


def test_only_good_images_can_be_exported_and_talked_about(parts: Path, model: Model) -> None:
    assert isinstance(model, Exports)
    talking = able(model, Converses, "answer questions")  # type: ignore[type-abstract]
    with pytest.raises(UserError, match="fit again with --talk"):
        talking.conversation(parts / "test/good/0.png", ImageReading())


def test_what_was_left_out_is_noted(part: Part, model: Model, tmp_path: Path) -> None:
    Pillow.fromarray(part(1)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    made = model.diagnose(tmp_path, ImageReading(), None)
    assert "1 images were left out" in made.notes[0]
    assert [Path(case.name).name for case in made.cases] == ["a.png"]


def test_types_of_defects(part: Part, parts: Path, fast_backbone: Backbone, tmp_path: Path) -> None:
    """Examples in `train/TYPE` are what types are learnt from; one that the test holds too is left out."""
    folder = tmp_path / "part"
    shutil.copytree(parts, folder)
    for name, grey in (("hole", 20), ("burr", 250)):
        (folder / "train" / name).mkdir()
        (folder / "test" / name).mkdir(exist_ok=True)
        for n in range(8):
            made = part(7_000 + n + grey)
            made[20 + n : 40 + n, 60:80] = grey
            where = folder / ("train" if n < 4 else "test") / name / f"type{n}.png"
            Pillow.fromarray(made).save(where)
    shutil.copy(folder / "test/burr/type5.png", folder / "train/burr/duplicate.png")
    model = images.fit(folder, SETTINGS, ImageReading())
    notes = " ".join(model.notes)
    assert "8 images of `burr`, `hole` beside `good`: types of defects are learnt from them" in notes
    assert "1 training images are duplicates of test images" in notes
    assert "duplicates of others among them" not in notes
    # The duplicate is not an example: eight are left.
    again = _again(model, tmp_path / "run")
    made = again.evaluate(folder, ImageReading(), None)
    scored = made.figures["f1_by_kind"]
    assert isinstance(scored, dict)
    assert min(scored.values()) > 0.8
    assert made.sentences[1].startswith("F1 by defect type: burr ")
    one = again.diagnose(folder / "test/burr/type6.png", ImageReading(), None)
    assert "8 defects of 2 types" in str(one.provenance["learnt_from"])
    first = one.cases[0].findings[0]
    assert isinstance(first, RegionFinding)
    assert first.defect == "burr"
    assert first.probability is not None


def test_types_that_cannot_be_learnt(parts: Path, fast_backbone: Backbone, tmp_path: Path) -> None:
    """One type alone is none; nor are files that cannot be read, hidden folders, or what is among the good ones too."""
    folder = tmp_path / "part"
    shutil.copytree(parts, folder)
    for name in ("hole", "burr", ".cache"):
        (folder / "train" / name).mkdir()
    shutil.copy(folder / "train/good/3.png", folder / "train/hole/x.png")
    shutil.copy(folder / "train/good/4.png", folder / "train/.cache/y.png")
    (folder / "train/burr/z.png").write_bytes(b"no image")
    model = images.fit(folder, SETTINGS, ImageReading())
    notes = " ".join(model.notes)
    assert "`train` holds `burr`, `hole` beside `good`: no types are learnt" in notes
    assert "1 good images are also among the examples of defects" in notes
    assert "1 images were left out" in notes
    assert "f1_by_kind" not in model.evaluate(folder, ImageReading(), None).figures


def test_bad_sources(part: Part, fast_backbone: Backbone, tmp_path: Path) -> None:
    (tmp_path / "train/good").mkdir(parents=True)
    (tmp_path / "test/good").mkdir(parents=True)
    Pillow.fromarray(part(0)).save(tmp_path / "test/good/a.png")
    with pytest.raises(DataError, match="has nothing in `train/good`"):
        images.fit(tmp_path, SETTINGS, ImageReading())
    with pytest.raises(DataError, match="There is no folder"):
        images.fit(tmp_path / "none", SETTINGS, ImageReading())
    few = [part(n) for n in range(3)]
    with pytest.raises(UserError, match="held-out good images; of 3 there are 0"):
        images.fit(few, ImageSettings(side=64, simulated=2, talk=True), ImageReading())
