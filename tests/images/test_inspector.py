"""Good images in, verdicts out: thresholds that keep their promise, regions at the defect, runs that come back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from scipy.ndimage import gaussian_filter

from faultwise import UserError
from faultwise.contracts.errors import RunFolderError
from faultwise.images.detection.backbones import Backbone
from faultwise.images.detection.regions import place_of, regions, stretched
from faultwise.images.detection.thresholds import Threshold, alarms_at_most, images_needed
from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings


def _good(seed: int) -> np.ndarray:
    """Brushed metal of its own brightness."""
    rng = np.random.default_rng(seed)
    lines = rng.normal(120 + rng.normal(0, 4), 8, (1, 96, 1))
    return np.clip(lines + rng.normal(0, 3, (96, 96, 1)), 0, 255).astype(np.uint8).repeat(3, axis=2)


def _bad(seed: int, row: int = 64, column: int = 16) -> np.ndarray:
    made = _good(seed).copy()
    made[row : row + 20, column : column + 16] //= 3
    return made


@pytest.fixture(scope="module")
def inspector(edges: Backbone) -> Inspector:
    settings = ImageSettings(side=96, false_alarm_rate=0.1, held_out=0.4, simulated=20)
    return Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(100)])


# --- thresholds ------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 300), rate=st.floats(0.01, 0.5), seed=st.integers(0, 9))
def test_thresholds_are_order_statistics(n: int, rate: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    threshold = Threshold.of(scores, rate)
    assert threshold.promised is not None
    above = (scores > threshold.value).sum()
    assert threshold.promised == pytest.approx((above + 1) / (n + 1))
    if (n + 1) * rate >= 1 - 1e-9:
        assert rate - 1 / (n + 1) - 1e-6 <= threshold.promised <= rate + 1e-6
    else:
        assert threshold.value == scores.max()
        assert "can promise no less than" in threshold.note


def test_thresholds_keep_their_promise() -> None:
    """Over many draws: on average the promised rate, and in 95% of the draws within the beta-binomial bound."""
    rng = np.random.default_rng(0)
    alarms, within = [], []
    for _ in range(400):
        threshold = Threshold.of(rng.exponential(size=59), 0.1)
        new = int((rng.exponential(size=100) > threshold.value).sum())
        alarms.append(new)
        within.append(new <= alarms_at_most(threshold, 100))
    assert np.mean(alarms) / 100 == pytest.approx(0.1, abs=0.012)
    assert 0.92 < np.mean(within) < 0.99


def test_what_so_many_images_can_promise() -> None:
    assert [images_needed(rate) for rate in (0.1, 0.05, 0.01)] == [29, 59, 299]
    assert Threshold.of(np.arange(10.0), 0.05).promised == pytest.approx(1 / 11)
    assert "which takes 19 of them" in Threshold.of(np.arange(10.0), 0.05).note
    few = Threshold.of(np.arange(4.0), 0.05, held_out=False)
    assert (few.value, few.promised) == (3.0, None)
    assert "no rate is promised" in few.note
    for scores, rate in (([], 0.1), ([np.nan], 0.1), ([1.0], 0.0), ([1.0], 1.0)):
        with pytest.raises(UserError):
            Threshold.of(np.array(scores), rate)


# --- regions ---------------------------------------------------------------------------------------------------


def test_regions_say_where_and_how() -> None:
    pixels = np.full((90, 120, 3), 100, np.uint8)
    pixels[10:20, 90:110] = 40
    heat = np.zeros((90, 120), np.float32)
    heat[10:20, 90:110] = 2.0
    heat[12, 100] = 3.0
    heat[70:74, 5:9] = 1.5
    first, second = regions(heat, 1.0, pixels)
    assert first.box == (90, 10, 110, 20)
    assert first.area == pytest.approx(200 / heat.size)
    assert (first.place, first.peak, first.score) == ("top right", (12, 100), 3.0)
    assert first.contrast == pytest.approx(-60)
    assert (second.place, second.contrast) == ("bottom left", 0)
    assert regions(heat, 5.0, pixels) == ()
    assert len(regions(heat, 1.0, pixels, most=1)) == 1
    assert regions(np.ones_like(heat), 0.5, pixels)[0].contrast == 0  # all of the image: nothing lies around


@given(high=st.integers(1, 400), wide=st.integers(1, 400), at=st.data())
def test_places(high: int, wide: int, at: Any) -> None:
    row, column = at.draw(st.integers(0, high - 1)), at.draw(st.integers(0, wide - 1))
    words = place_of((row, column), (high, wide)).split()
    assert ("top" in words) == (row < high / 3)
    assert ("right" in words) == (column >= 2 * wide / 3)


def test_maps_are_stretched_without_a_shift() -> None:
    values = np.zeros((4, 6), np.float32)
    values[1, 4] = 1.0
    made = stretched(values, (80, 120))
    assert made.shape == (80, 120)
    row, column = np.unravel_index(made.argmax(), made.shape)
    assert abs(int(row) - 29.5) <= 1
    assert abs(int(column) - 89.5) <= 1


def _again(inspector: Inspector, folder: Path, backbone: Backbone) -> Inspector:
    """Write what was learnt into a folder and read it, the manifest through JSON."""
    folder.mkdir(exist_ok=True)
    entries = json.loads(json.dumps(inspector.write(folder), allow_nan=False))
    return Inspector.load(folder, entries, inspector.settings, backbone=backbone)


# --- inspector -------------------------------------------------------------------------------------------------


def test_defects_are_found_where_they_are(inspector: Inspector) -> None:
    places = {(64, 16): "bottom left", (8, 72): "top right", (40, 40): "center"}
    for at, place in places.items():
        found = inspector.inspect(_bad(500, *at))
        assert found.defective
        assert found.p_value == 0
        assert found.regions[0].place == place
        assert found.regions[0].contrast < -3  # darker, also where the region is larger than the defect
        assert found.scores.shape == (6, 6)  # as the backbone has it; reports stretch it
        assert found.read().shape == (96, 96, 3)


def test_good_images_are_left_alone(inspector: Inspector) -> None:
    alarms = sum(one.defective for one in inspector.inspect_all([_good(seed) for seed in range(1000, 1100)]))
    assert alarms <= alarms_at_most(inspector.threshold, 100, 0.999)
    assert inspector.threshold.examples == 40
    assert inspector.threshold.promised == pytest.approx(0.1, abs=0.02)


def test_runs_come_back(inspector: Inspector, edges: Backbone, tmp_path: Path) -> None:
    images = [_good(2000), _bad(2001)]
    again = _again(inspector, tmp_path, edges)
    assert again.scores(images).tolist() == inspector.scores(images).tolist()
    assert again.threshold == inspector.threshold
    assert again.notes == inspector.notes
    assert again.inspect(images[1]).regions == inspector.inspect(images[1]).regions
    (tmp_path / "encoder.safetensors").write_bytes(b"other")
    with pytest.raises(RunFolderError, match="nothing learnt from images"):
        Inspector.load(tmp_path, {}, inspector.settings, backbone=edges)


def test_exported_runs_give_the_same(inspector: Inspector, edges: Backbone, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from faultwise.images.exporting import export

    assert export(inspector, tmp_path / "run.onnx")["apart"] < 1e-3
    session = onnxruntime.InferenceSession(str(tmp_path / "run.onnx"))
    for image in (_good(3000), _bad(3001)):
        map_, score = session.run(["map", "score"], {"pixels": image[None]})
        assert float(score) == pytest.approx(inspector.scores([image])[0], abs=1e-3)
        np.testing.assert_allclose(map_, next(iter(inspector.maps([image]))), atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.onnx"]
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export(inspector, tmp_path / "run.bin")
    wide = Inspector(ImageSettings(side=96, resizing="aspect", simulated=0), backbone=edges).fit(
        [_good(n) for n in range(4)]
    )
    with pytest.raises(UserError, match="one size of image"):
        export(wide, tmp_path / "wide.onnx")


def test_the_same_seed_gives_the_same_numbers(edges: Backbone) -> None:
    good = [_good(seed) for seed in range(30)]
    settings = ImageSettings(side=96, simulated=6)
    one, two = (Inspector(settings, backbone=edges).fit(good) for _ in range(2))
    assert one.scores([_bad(1)]).tolist() == two.scores([_bad(1)]).tolist()
    assert one.threshold == two.threshold


@pytest.mark.parametrize("count", [1, 4, 19])
def test_few_good_images(edges: Backbone, count: int) -> None:
    """All are learnt from, turned too, and nothing is promised; a clear defect stands out all the same."""
    inspector = Inspector(ImageSettings(side=96), backbone=edges).fit([_good(seed) for seed in range(count)])
    assert inspector.threshold.promised is None
    found = inspector.inspect(_bad(600))
    assert found.p_value is None
    assert found.score > inspector.scores([_good(600)])[0]
    assert found.defective
    assert found.regions[0].place == "bottom left"
    assert not inspector.inspect(_good(601)).defective


def test_deep_images_are_scaled_alike(edges: Backbone, tmp_path: Path) -> None:
    """A dark image stays dark: white is what is white in all good ones."""
    for n in range(6):
        values = _good(n)[:, :, 0].astype(np.uint16) * (16 if n % 2 else 4)
        Pillow.fromarray(values).save(tmp_path / f"{n}.png")
    inspector = Inspector(ImageSettings(side=96), backbone=edges).fit(sorted(tmp_path.glob("*.png")))
    pixels = [inspector.inspect(tmp_path / f"{n}.png").read().mean() for n in (0, 1)]
    assert pixels[1] / pixels[0] == pytest.approx(4, rel=0.2)
    again = _again(inspector, tmp_path / "run", edges)
    assert again.inspect(tmp_path / "0.png").read().mean() == pixels[0]


def test_of_a_small_share_one_is_held_out(edges: Backbone) -> None:
    inspector = Inspector(ImageSettings(side=96, held_out=0.05, simulated=0), backbone=edges).fit(
        [_good(n) for n in range(20)]
    )
    assert inspector.threshold.examples == 1
    assert inspector.threshold.promised == 0.5


def test_names_that_are_no_text(inspector: Inspector, tmp_path: Path) -> None:
    import os

    file = os.path.join(os.fsencode(tmp_path), b"caf\xe9.png")
    Pillow.fromarray(_bad(7)).save(tmp_path / "a.png")
    os.rename(tmp_path / "a.png", file)
    assert inspector.inspect(os.fsdecode(file)).name.endswith("caf\\xe9.png")


def test_files_and_pixels_are_the_same(inspector: Inspector, tmp_path: Path) -> None:
    Pillow.fromarray(_bad(7)).save(tmp_path / "a.png")
    found = inspector.inspect(tmp_path / "a.png")
    assert found.name == str(tmp_path / "a.png")
    assert found.score == pytest.approx(inspector.inspect(_bad(7)).score)


def test_bad_input(edges: Backbone, inspector: Inspector) -> None:
    fresh = Inspector(ImageSettings(side=96), backbone=edges)
    with pytest.raises(UserError, match="no good images to learn from"):
        fresh.fit([])
    with pytest.raises(UserError, match="Nothing was learnt yet"):
        fresh.scores([_good(0)])
    with pytest.raises(UserError, match=r"expected uint8 \(height, width, 3\)"):
        inspector.inspect(_good(0)[:, :, 0])
    with pytest.raises(UserError, match="There is no file"):
        inspector.inspect("none.png")
    with pytest.raises(UserError, match=r"side is 8, .*; held_out is 2, expected 0\.05 to 0\.8"):
        ImageSettings(side=8, held_out=2)


@settings(max_examples=15, deadline=None)
@given(high=st.integers(16, 200), wide=st.integers(16, 200), level=st.integers(0, 255))
def test_images_of_any_size(inspector: Inspector, high: int, wide: int, level: int) -> None:
    found = inspector.inspect(np.full((high, wide, 3), level, np.uint8))
    assert found.read().shape == (high, wide, 3)
    assert np.isfinite(found.scores).all()
    assert np.isfinite(found.score)


def test_defects_among_good_images_are_named(edges: Backbone) -> None:
    good = [_good(seed) for seed in range(60)]
    settings = ImageSettings(side=96, simulated=0)
    made = Inspector(settings, backbone=edges).fit([*good[:30], _bad(90), *good[30:], _bad(91)])
    assert sorted(made.learnt.training_outliers[:2]) == ["image 31", "image 62"]
    assert "of the 62 good images are training outliers" in made.notes[-1]
    assert "far above the others' (`image " in made.notes[-1]
    # Without them at most a rare good one is named.
    without = Inspector(settings, backbone=edges).fit(good).learnt.training_outliers
    assert len(without) == len(made.learnt.training_outliers) - 2 <= 1


def test_few_good_images_are_each_compared_with_the_others(edges: Backbone) -> None:
    few = [*(_good(seed) for seed in range(11)), _bad(90)]
    assert Inspector(ImageSettings(side=96, simulated=0), backbone=edges).fit(few).learnt.training_outliers == (
        "image 12",
    )


def test_types_of_defects_are_learnt_from_a_few_examples(edges: Backbone, tmp_path: Path) -> None:
    def bright(seed: int) -> np.ndarray:
        made = _good(seed).copy()
        made[30:60, 40:52] = 255
        return made

    examples = [(_bad(200 + n), "pit") for n in range(4)] + [(bright(300 + n), "burr") for n in range(4)]
    settings = ImageSettings(side=96, simulated=0, false_alarm_rate=0.1)
    plain = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])
    made = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)], defects=examples)
    assert "8 defects of 2 types" in made.learnt_from
    # Types change neither scores nor threshold.
    assert made.threshold == plain.threshold
    assert plain.inspect(_bad(210)).defect is None
    again = _again(made, tmp_path, edges)
    for number in range(5):
        for picture, name in ((_bad(400 + number, 20, 60), "pit"), (bright(500 + number), "burr")):
            one = made.inspect(picture)
            assert one.defect == name
            assert f"its defect type is {name}" in one.words
            assert again.inspect(picture).defect == name
    calm = next(one for one in made.inspect_all([_good(seed) for seed in range(40)]) if not one.defective)
    assert calm.defect is None
    # A fit anew forgets them, for their measures are those of other components.
    assert "types" not in made.fit([_good(seed) for seed in range(40)]).learnt_from


def _grained(seed: int, upright: bool = True) -> np.ndarray:
    """Lines across, which the backbone sees as edges of one direction."""
    rng = np.random.default_rng(seed)
    lines = rng.normal(120, 25, (96, 1, 1)) + rng.normal(0, 3, (96, 96, 1))
    made = np.clip(lines, 0, 255).astype(np.uint8).repeat(3, axis=2)
    return made if upright else np.ascontiguousarray(np.rot90(made))


def _cloud(seed: int) -> np.ndarray:
    """Bright and dark as they please, the same in all directions."""
    rng = np.random.default_rng(seed)
    return 120 + 200 * gaussian_filter(rng.normal(size=(96, 96)), 5)


def test_views_that_no_camera_shows_are_not_learnt(edges: Backbone) -> None:
    settings = ImageSettings(side=96, simulated=0)
    made = Inspector(settings, backbone=edges).fit([_grained(seed) for seed in range(6)])
    assert "Good images are shown flipped" in made.notes[1]
    turned = Inspector(replace(settings, augment="turned"), backbone=edges).fit([_grained(seed) for seed in range(6)])
    wrong = [_grained(seed, upright=False) for seed in range(50, 55)]
    assert made.scores(wrong).min() > 2 * made.threshold.value > 0
    assert np.median(turned.scores(wrong)) < turned.threshold.value * 1.5
    grain = [np.clip(_cloud(seed), 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2) for seed in range(6)]
    assert "shown turned" in Inspector(settings, backbone=edges).fit(grain).notes[1]
    assert "nothing can be compared" in Inspector(settings, backbone=edges).fit(grain[:2]).notes[1]


def test_one_image_that_fills_the_bank(edges: Backbone) -> None:
    """Left out, it leaves whole blocks of the bank empty; two duplicates leave nothing at all."""
    large = [np.random.default_rng(seed).integers(90, 150, (704, 704, 3), dtype=np.uint8) for seed in range(2)]
    made = Inspector(ImageSettings(side=704, augment="turned"), backbone=edges).fit(large)
    assert len(made.scorer.bank.points) > 8_192
    assert 0 < made.threshold.value < np.inf
    two = Inspector(ImageSettings(side=96, bank=100), backbone=edges).fit([_good(1), _good(1)])
    assert np.isfinite(two.threshold.value)


def test_too_few_to_talk_is_refused_before_anything_is_learnt(edges: Backbone) -> None:
    with pytest.raises(UserError, match="of 10 there are 0: give 20 good images or more"):
        Inspector(ImageSettings(side=96, talk=True), backbone=edges).fit([_good(seed) for seed in range(10)])
    settings = ImageSettings(side=96, talk=True, held_out=0.05)
    with pytest.raises(UserError, match="of 40 there are 2: hold out more"):
        Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])


def test_views_of_many_images_are_not_taken(edges: Backbone) -> None:
    settings = ImageSettings(side=96, augment="turned", simulated=0)
    made = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])
    assert any("augment changes nothing here" in note for note in made.notes)
