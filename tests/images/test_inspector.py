"""Good images in, verdicts out: limits that keep their promise, regions where the defect is, runs that come back."""

from __future__ import annotations

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
from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings
from faultwise.verdicts.thresholds import GoodLimit, alarms_at_most, images_needed


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
    settings = ImageSettings(side=96, false_alarm_rate=0.1, held_out=0.4)
    return Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(100)])


# --- limits ----------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 300), rate=st.floats(0.01, 0.5), seed=st.integers(0, 9))
def test_limits_are_order_statistics(n: int, rate: float, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=n)
    limit = GoodLimit.of(scores, rate)
    assert limit.promised is not None
    above = (scores > limit.value).sum()
    assert limit.promised == pytest.approx((above + 1) / (n + 1))
    if (n + 1) * rate >= 1 - 1e-9:
        assert rate - 1 / (n + 1) - 1e-6 <= limit.promised <= rate + 1e-6
    else:
        assert limit.value == scores.max()
        assert "can promise no less than" in limit.note


def test_limits_keep_their_promise() -> None:
    """Over many draws: on average the promised rate, and in 95% of the draws within the beta-binomial limit."""
    rng = np.random.default_rng(0)
    alarms, within = [], []
    for _ in range(400):
        limit = GoodLimit.of(rng.exponential(size=59), 0.1)
        new = int((rng.exponential(size=100) > limit.value).sum())
        alarms.append(new)
        within.append(new <= alarms_at_most(limit, 100))
    assert np.mean(alarms) / 100 == pytest.approx(0.1, abs=0.012)
    assert 0.92 < np.mean(within) < 0.99


def test_what_so_many_images_can_promise() -> None:
    assert [images_needed(rate) for rate in (0.1, 0.05, 0.01)] == [29, 59, 299]
    assert GoodLimit.of(np.arange(10.0), 0.05).promised == pytest.approx(1 / 11)
    assert "takes 19 of them" in GoodLimit.of(np.arange(10.0), 0.05).note
    few = GoodLimit.of(np.arange(4.0), 0.05, held_out=False)
    assert (few.value, few.promised) == (3.0, None)
    assert "no rate is promised" in few.note
    for scores, rate in (([], 0.1), ([np.nan], 0.1), ([1.0], 0.0), ([1.0], 1.0)):
        with pytest.raises(UserError):
            GoodLimit.of(np.array(scores), rate)


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


# --- inspector -------------------------------------------------------------------------------------------------


def test_defects_are_found_where_they_are(inspector: Inspector) -> None:
    places = {(64, 16): "bottom left", (8, 72): "top right", (40, 40): "center"}
    for at, place in places.items():
        found = inspector.inspect(_bad(500, *at))
        assert found.defective
        assert found.as_odd == 0
        assert found.regions[0].place == place
        assert found.regions[0].contrast < -3  # darker, also where the region is larger than the defect
        assert found.heat.shape == (96, 96)


def test_good_images_are_left_alone(inspector: Inspector) -> None:
    alarms = sum(one.defective for one in inspector.inspect_all([_good(seed) for seed in range(1000, 1100)]))
    assert alarms <= alarms_at_most(inspector.limit, 100, 0.999)
    assert inspector.limit.examples == 40
    assert inspector.limit.promised == pytest.approx(0.1, abs=0.02)


def test_runs_come_back(inspector: Inspector, edges: Backbone, tmp_path: Path) -> None:
    images = [_good(2000), _bad(2001)]
    inspector.save(tmp_path / "run")
    again = Inspector.load(tmp_path / "run", backbone=edges)
    assert again.scores(images).tolist() == inspector.scores(images).tolist()
    assert again.limit == inspector.limit
    assert again.inspect(images[1]).regions == inspector.inspect(images[1]).regions
    (tmp_path / "run" / "bank.safetensors").write_bytes(b"other")
    with pytest.raises(RunFolderError, match="was edited after the fit"):
        Inspector.load(tmp_path / "run", backbone=edges)


def test_exported_runs_say_the_same(inspector: Inspector, edges: Backbone, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    from faultwise.images.exporting import export

    assert export(inspector, tmp_path / "run.onnx")["apart"] < 1e-3
    session = onnxruntime.InferenceSession(str(tmp_path / "run.onnx"))
    for image in (_good(3000), _bad(3001)):
        said, score = session.run(["map", "score"], {"pixels": image[None]})
        assert float(score) == pytest.approx(inspector.scores([image])[0], abs=1e-3)
        np.testing.assert_allclose(said, next(iter(inspector.maps([image]))), atol=1e-3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.json", "run.onnx"]
    with pytest.raises(UserError, match=r"ends in \.onnx"):
        export(inspector, tmp_path / "run.bin")
    wide = Inspector(ImageSettings(side=96, resizing="aspect"), backbone=edges).fit([_good(n) for n in range(4)])
    with pytest.raises(UserError, match="one size of image"):
        export(wide, tmp_path / "wide.onnx")


def test_the_same_seed_gives_the_same_numbers(edges: Backbone) -> None:
    good = [_good(seed) for seed in range(30)]
    one, two = (Inspector(ImageSettings(side=96), backbone=edges).fit(good) for _ in range(2))
    assert one.scores([_bad(1)]).tolist() == two.scores([_bad(1)]).tolist()
    assert one.limit == two.limit


@pytest.mark.parametrize("count", [1, 4, 19])
def test_few_good_images(edges: Backbone, count: int) -> None:
    """All are learnt from, turned too, and nothing is promised; a clear defect stands out all the same."""
    inspector = Inspector(ImageSettings(side=96), backbone=edges).fit([_good(seed) for seed in range(count)])
    assert inspector.limit.promised is None
    found = inspector.inspect(_bad(600))
    assert found.as_odd is None
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
    pixels = [inspector.inspect(tmp_path / f"{n}.png").pixels.mean() for n in (0, 1)]
    assert pixels[1] / pixels[0] == pytest.approx(4, rel=0.2)
    inspector.save(tmp_path / "run")
    again = Inspector.load(tmp_path / "run", backbone=edges)
    assert again.inspect(tmp_path / "0.png").pixels.mean() == pixels[0]


def test_a_small_share_still_sets_one_aside(edges: Backbone) -> None:
    inspector = Inspector(ImageSettings(side=96, held_out=0.05), backbone=edges).fit([_good(n) for n in range(20)])
    assert inspector.limit.examples == 1
    assert inspector.limit.promised == 0.5


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


def test_bad_input(edges: Backbone, run_folder: Path, inspector: Inspector) -> None:
    fresh = Inspector(ImageSettings(side=96), backbone=edges)
    with pytest.raises(UserError, match="no good images to learn from"):
        fresh.fit([])
    with pytest.raises(UserError, match="Nothing was learnt yet"):
        fresh.scores([_good(0)])
    with pytest.raises(UserError, match=r"expected uint8 \(height, width, 3\)"):
        inspector.inspect(_good(0)[:, :, 0])
    with pytest.raises(UserError, match="There is no file"):
        inspector.inspect("none.png")
    with pytest.raises(RunFolderError, match="its kind: tables"):
        Inspector.load(run_folder)
    with pytest.raises(UserError, match=r"side is 8, .*; held_out is 2, expected 0\.05 to 0\.8"):
        ImageSettings(side=8, held_out=2)


@settings(max_examples=15, deadline=None)
@given(high=st.integers(16, 200), wide=st.integers(16, 200), level=st.integers(0, 255))
def test_images_of_any_size(inspector: Inspector, high: int, wide: int, level: int) -> None:
    found = inspector.inspect(np.full((high, wide, 3), level, np.uint8))
    assert found.heat.shape == (high, wide)
    assert np.isfinite(found.heat).all()
    assert np.isfinite(found.score)


def test_defects_among_good_images_are_named(edges: Backbone) -> None:
    good = [_good(seed) for seed in range(60)]
    settings = ImageSettings(side=96, simulated=0)
    made = Inspector(settings, backbone=edges).fit([*good[:30], _bad(90), *good[30:], _bad(91)])
    assert sorted(made.suspects[:2]) == ["image 31", "image 62"]
    assert "of the 62 good images are far odder than the others (`image " in made.notes[-1]
    # Without them at most a rare good one is named.
    assert len(Inspector(settings, backbone=edges).fit(good).suspects) == len(made.suspects) - 2 <= 1


def test_few_good_images_are_each_compared_with_the_others(edges: Backbone) -> None:
    few = [*(_good(seed) for seed in range(11)), _bad(90)]
    assert Inspector(ImageSettings(side=96, simulated=0), backbone=edges).fit(few).suspects == ["image 12"]


def test_kinds_of_defects_are_learnt_from_a_few_examples(edges: Backbone, tmp_path: Path) -> None:
    def bright(seed: int) -> np.ndarray:
        made = _good(seed).copy()
        made[30:60, 40:52] = 255
        return made

    examples = [(_bad(200 + n), "pit") for n in range(4)] + [(bright(300 + n), "burr") for n in range(4)]
    settings = ImageSettings(side=96, simulated=0, false_alarm_rate=0.1)
    plain = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])
    made = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)], defects=examples)
    assert "8 defects of 2 kinds" in made.learnt_from
    # Kinds change neither scores nor limit.
    assert made.limit == plain.limit
    assert plain.inspect(_bad(210)).kind is None
    made.save(tmp_path / "run")
    again = Inspector.load(tmp_path / "run", backbone=edges)
    for number in range(5):
        for picture, kind in ((_bad(400 + number, 20, 60), "pit"), (bright(500 + number), "burr")):
            one = made.inspect(picture)
            assert (one.kind, one.to_dict()["kind"]) == (kind, kind)
            assert f"its kind is {kind}" in one.words
            assert again.inspect(picture).kind == kind
    calm = next(one for one in made.inspect_all([_good(seed) for seed in range(40)]) if not one.defective)
    assert calm.kind is None
    # A fit anew forgets them, for their measures are those of other components.
    assert "kinds" not in made.fit([_good(seed) for seed in range(40)]).learnt_from


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
    assert made.scores(wrong).min() > 2 * made.limit.value > 0
    assert np.median(turned.scores(wrong)) < turned.limit.value * 1.5
    grain = [np.clip(_cloud(seed), 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2) for seed in range(6)]
    assert "shown turned" in Inspector(settings, backbone=edges).fit(grain).notes[1]
    assert "nothing can be compared" in Inspector(settings, backbone=edges).fit(grain[:2]).notes[1]


def test_one_image_that_fills_the_bank(edges: Backbone) -> None:
    """Left out, it leaves whole blocks of the bank empty; two copies leave nothing at all."""
    large = [np.random.default_rng(seed).integers(90, 150, (704, 704, 3), dtype=np.uint8) for seed in range(2)]
    made = Inspector(ImageSettings(side=704, augment="turned"), backbone=edges).fit(large)
    assert len(made.odd.bank.points) > 8_192
    assert 0 < made.limit.value < np.inf
    twins = Inspector(ImageSettings(side=96, bank=100), backbone=edges).fit([_good(1), _good(1)])
    assert np.isfinite(twins.limit.value)


def test_too_few_to_talk_is_said_before_anything_is_learnt(edges: Backbone) -> None:
    with pytest.raises(UserError, match="of 10 there are 0: give 20 good images or more"):
        Inspector(ImageSettings(side=96, talk=True), backbone=edges).fit([_good(seed) for seed in range(10)])
    settings = ImageSettings(side=96, talk=True, held_out=0.05)
    with pytest.raises(UserError, match="of 40 there are 2: set more aside"):
        Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])


def test_views_of_many_images_are_not_taken(edges: Backbone) -> None:
    settings = ImageSettings(side=96, augment="turned", simulated=0)
    made = Inspector(settings, backbone=edges).fit([_good(seed) for seed in range(40)])
    assert any("--augment changes nothing here" in note for note in made.notes)
