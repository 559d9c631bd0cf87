"""From images to patches and into the memory bank: backbones, grids, covers, distances."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from faultwise import UserError, hub
from faultwise.contracts.errors import HubError, RunFolderError
from faultwise.images.data.simulated_defects import OBJECT, Defects, blended, ground_mask, simulated
from faultwise.images.data.simulated_marks import simulated_set
from faultwise.images.detection.backbones import EMBEDDED, Backbone, load_backbone
from faultwise.images.detection.choices import resizing
from faultwise.images.detection.choices.resizing import chosen_resizing
from faultwise.images.detection.coreset import farthest_first, spread_out
from faultwise.images.detection.memory_bank import MemoryBank, image_score
from faultwise.images.detection.patches import PatchEncoder, Resizing

# --- backbones -------------------------------------------------------------------------------------------------


def test_the_embedded_backbone() -> None:
    """Figures of its maps as they were when it named a cat, an espresso, a missile and a tripod rightly."""
    import torch

    try:
        hub.path(EMBEDDED)
    except HubError as error:
        pytest.skip(f"the backbone cannot be had: {error}")
    y, x = np.mgrid[0:96, 0:128]
    pixels = np.stack([(x * 2) % 256, (y * 3) % 256, (x * y) % 256]).astype(np.float32)[None]
    maps = load_backbone().maps(torch.from_numpy(pixels))
    assert [tuple(one.shape) for one in maps] == [(1, 24, 24, 32), (1, 40, 12, 16), (1, 112, 6, 8), (1, 320, 3, 4)]
    found = [(float(one.mean()), float(one.std()), float(one[0, 3, 1, 2])) for one in maps]
    expected = [
        (0.5256, 10.0407, 1.058),
        (-1.4658, 9.3862, -12.731),
        (0.6542, 6.7767, 7.7325),
        (0.0672, 2.8574, 2.9319),
    ]
    np.testing.assert_allclose(found, expected, atol=2e-2)
    shallow = load_backbone(deepest=1)
    assert shallow.strides == (4, 8)
    torch.testing.assert_close(shallow.maps(torch.from_numpy(pixels))[1], maps[1])


def test_other_weights_are_refused(tmp_path: Path) -> None:
    import torch

    from faultwise.images.detection.efficientnet import EfficientNetLite0

    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="does not hold the weights of EfficientNet-Lite0"):
        EfficientNetLite0.load(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes(b"no weights")
    with pytest.raises(UserError, match="does not hold the weights"):
        EfficientNetLite0.load(tmp_path / "b.pth")


SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}


def _models() -> dict[str, Any]:
    import transformers as hf

    eyes = {**SMALL, "intermediate_size": 32}
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "vocab_size": 50,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    return {
        "dinov2": lambda: hf.Dinov2Model(hf.Dinov2Config(**SMALL)),
        "registers": lambda: hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**SMALL)),
        "siglip": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**eyes)),
        "clip": lambda: hf.CLIPModel(hf.CLIPConfig(vision_config=eyes, text_config=text)),
        "vit": lambda: hf.ViTModel(hf.ViTConfig(**eyes)),
    }


@pytest.mark.parametrize("kind", ["dinov2", "registers", "siglip", "clip", "vit"])
def test_vision_models_of_the_hub(tmp_path: Path, kind: str) -> None:
    """Patches come in their places: what changes in one corner of the image moves that corner of the first map most."""
    import torch

    torch.manual_seed(0)
    _models()[kind]().save_pretrained(tmp_path)
    backbone = load_backbone(str(tmp_path))
    assert (backbone.strides, backbone.channels) == ((14,) * 4, (24,) * 4)
    plain = torch.full((1, 3, 70, 98), 120.0)
    changed = plain.clone()
    changed[:, :, :14, 84:] = 250.0
    before, after = (backbone.maps(pixels)[0] for pixels in (plain, changed))
    assert before.shape == (1, 24, 5, 7)
    moved = (after - before).abs().sum(dim=1)[0]
    assert divmod(int(moved.argmax()), 7) == (0, 6)


def test_models_that_do_not_see(tiny_lm: Path) -> None:
    with pytest.raises(UserError, match="no vision transformer with square patches"):
        load_backbone(str(tiny_lm))
    with pytest.raises(HubError, match="no file or folder here"):
        load_backbone("efficientnet-lite1")


# --- patches ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_backbone() -> Backbone:
    """Three stages of random convolutions, at strides 8, 16 and 32."""
    import torch

    torch.manual_seed(0)

    class Stages(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(
                torch.nn.Conv2d(inside, outside, stride, stride)
                for inside, outside, stride in ((3, 6, 8), (6, 8, 2), (8, 10, 2))
            )

        def forward(self, x: Any) -> list[Any]:
            made, x = [], x / 255
            for part in self.parts:
                x = part(x)
                made.append(x)
            return made

    return Backbone("tiny", Stages().requires_grad_(False), (8, 16, 32), (6, 8, 10))


def _images(count: int, high: int = 64, wide: int = 64, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (high, wide, 3), dtype=np.uint8) for _ in range(count)]


def _encoder(backbone: Backbone, **options: Any) -> PatchEncoder:
    return PatchEncoder(backbone, Resizing(side=64), {0: 0.7, 1: 1.0, 2: 0.5}, grid=1, **options)


def test_patches_are_the_same_alone_and_together(tiny_backbone: Backbone) -> None:
    images = _images(5) + _images(4, 40, 90, seed=1)
    encoder = _encoder(tiny_backbone, components=7)
    fitted = list(encoder.fit(images))
    assert {one.vectors.shape for one in fitted} == {(4, 4, 7)}
    again = list(encoder.patches(images))
    alone = [next(encoder.patches([image])) for image in images]
    for first, second, third in zip(fitted, again, alone, strict=True):
        np.testing.assert_array_equal(first.vectors, second.vectors)
        np.testing.assert_allclose(first.vectors, third.vectors, atol=1e-4)
    assert fitted[0].flat.shape == (16, 7)


def test_images_of_several_shapes_keep_their_order(tiny_backbone: Backbone) -> None:
    encoder = PatchEncoder(tiny_backbone, Resizing("aspect", 64), {0: 1.0, 2: 1.0}, grid=1, components=5)
    images = [_images(1, *size)[0] for size in ((64, 64), (32, 128), (64, 64), (128, 32))]
    shapes = [one.vectors.shape for one in encoder.fit(images)]
    assert shapes == [(4, 4, 5), (2, 8, 5), (4, 4, 5), (8, 2, 5)]


def test_components_are_whitened_a_little(tiny_backbone: Backbone) -> None:
    """What is left of the variance of a component is that to the power of three quarters."""
    encoder = _encoder(tiny_backbone, components=6)
    rows = np.concatenate([one.flat for one in encoder.fit(_images(30))])
    assert encoder.directions is not None
    lengths = np.linalg.norm(encoder.directions, axis=0)  # variance to the power of minus an eighth
    np.testing.assert_allclose(rows.var(axis=0), lengths**-6, rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(rows, rowvar=False), np.eye(6), atol=0.02)


def test_brightness_and_contrast_hardly_count(tiny_backbone: Backbone) -> None:
    """Vectors have unit length by stage: scaling all of a map changes nothing."""
    images = _images(4)
    encoder = _encoder(tiny_backbone, components=6)
    plain = list(encoder.fit(images))
    louder = Backbone("louder", None, (8, 16, 32), (6, 8, 10))
    louder.maps = lambda pixels: [3 * one for one in tiny_backbone.maps(pixels)]  # type: ignore[method-assign]
    encoder.backbone = louder
    for first, second in zip(plain, encoder.patches(images), strict=True):
        np.testing.assert_allclose(first.vectors, second.vectors, atol=1e-4)


def test_all_of_the_image_is_seen_with_any_patch(tmp_path: Path) -> None:
    """The default side is no multiple of 14: images are made such that no rim is left out."""
    import torch

    torch.manual_seed(0)
    _models()["dinov2"]().save_pretrained(tmp_path)
    encoder = PatchEncoder(load_backbone(str(tmp_path)), components=6)
    images = _images(3, 100, 100)
    plain = list(encoder.fit(images))
    changed = images[0].copy()
    changed[-3:] = 255 - changed[-3:]
    found = next(encoder.patches([changed])).vectors
    assert found.shape[:2] == (18, 18)
    assert np.abs(found - plain[0].vectors)[-1].max() > 10 * np.abs(found - plain[0].vectors)[0].max()


def test_images_without_structure(tiny_backbone: Backbone) -> None:
    with pytest.raises(UserError, match="no structure at all"):
        list(_encoder(tiny_backbone).fit([np.full((64, 64, 3), 90, np.uint8)] * 3))


@given(high=st.integers(16, 5000), wide=st.integers(16, 5000), side=st.integers(64, 512))
def test_resizing(high: int, wide: int, side: int) -> None:
    for method in ("square", "aspect"):
        made = Resizing(method, side).size(high, wide)
        assert all(n % 32 == 0 and n > 0 for n in made)
    side = 32 * round(side / 32)
    if max(high, wide) / min(high, wide) < 4:
        assert made[0] * made[1] == pytest.approx(side**2, rel=0.6)
    tiles = Resizing("tiles", side).tiles(high, wide)
    assert all(1 <= count <= 4 for count in tiles)
    assert Resizing("tiles", side).size(high, wide) == (tiles[0] * side, tiles[1] * side)


@pytest.mark.parametrize("side", [70, 80, 100])
def test_tiles_of_sides_that_are_no_multiple(tiny_backbone: Backbone, side: int) -> None:
    encoder = PatchEncoder(tiny_backbone, Resizing("tiles", side), {0: 0.7, 1: 1.0}, grid=1, components=5)
    (large,) = _images(1, 400, 230)
    rows, columns = Resizing("tiles", side).tiles(400, 230)
    each = 2 * round(side / 32)
    assert next(encoder.fit([large])).maps.shape[:2] == (rows * each, columns * each)
    # What was resized already stays as it is.
    again = next(encoder.patches([encoder.resized(large)], sized=True))
    np.testing.assert_array_equal(again.maps, next(encoder.patches([large])).maps)


def test_each_tile_is_seen_as_an_image_of_its_own(tiny_backbone: Backbone) -> None:
    (large,) = _images(1, 128, 192)
    encoder = PatchEncoder(tiny_backbone, Resizing("tiles", 64), {0: 0.7, 1: 1.0}, grid=1, components=5)
    whole = next(encoder.fit([large]))
    assert whole.maps.shape == (8, 12, 14)
    for row in range(2):
        for column in range(3):
            one = large[64 * row : 64 * row + 64, 64 * column : 64 * column + 64]
            here = whole.maps[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            np.testing.assert_allclose(next(encoder.patches([one])).maps, here, atol=1e-5)


def _cast(seed: int, high: int, wide: int) -> np.ndarray:
    """Cast metal: clouds that are bright and dark as they please, and the camera's noise."""
    rng = np.random.default_rng(seed)
    clouds = gaussian_filter(rng.normal(size=(high, wide)), 12)
    grey = 128 + 10 * clouds / clouds.std() + rng.normal(0, 3, (high, wide))
    return np.clip(grey, 0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)


def test_resizing_is_chosen_by_the_good_images(edges: Backbone) -> None:
    chosen, words = chosen_resizing([_cast(seed, 64, 70) for seed in range(9)], edges, 64)
    assert (chosen.method, "nearly square" in words) == ("square", True)
    chosen, words = chosen_resizing([_cast(seed, 64, 200) for seed in range(4)], edges, 64)
    assert (chosen.method, "4 good images are too few" in words) == ("square", True)
    # Fine defects are lost where large images are made small.
    chosen, words = chosen_resizing([_cast(seed, 256, 256) for seed in range(16)], edges, 64)
    assert chosen.method == "tiles"
    assert "good images: square 0." in words


def test_large_images_become_smaller_before_defects_are_made_in_them(
    edges: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = set()

    def watched(pictures: list[np.ndarray], *rest: Any) -> Any:
        shapes.update(one.shape for one in pictures)
        return simulated_set(pictures, *rest)

    monkeypatch.setattr(resizing, "simulated_set", watched)
    _, words = chosen_resizing((_cast(seed, 120, 2_000) for seed in range(8)), edges, 64)
    assert shapes == {(61, 1_024, 3)}
    assert "aspect" in words


# --- memory bank -----------------------------------------------------------------------------------------------


@given(n=st.integers(1, 60), count=st.integers(1, 60), seed=st.integers(0, 20))
@settings(deadline=None)
def test_covers_are_covers(n: int, count: int, seed: int) -> None:
    """No point is farther from the chosen ones than the last chosen was from those before it."""
    points = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    at = spread_out(points, count, seed)
    assert len(set(at.tolist())) == len(at) == min(n, count)
    order, radii = farthest_first(points, min(n, count))
    assert set(order.tolist()) == set(at.tolist())
    assert (np.diff(radii[1:]) <= 1e-3).all()
    if 1 < count < n:
        gaps = np.sqrt(((points[:, None] - points[order][None]) ** 2).sum(axis=2)).min(axis=1)
        assert gaps.max() <= radii[-1] + 1e-3


@pytest.mark.parametrize("different", [1, 2, 3, 5])
def test_covers_of_many_duplicates(different: int) -> None:
    points = np.random.default_rng(0).normal(size=(different, 4)).astype(np.float32)
    many = points[np.arange(9000) % different]
    at = spread_out(many, 300)
    assert len(set(at.tolist())) == 300
    assert len(np.unique(many[at], axis=0)) == different


def test_small_covers_of_many_points() -> None:
    """Fewer points than there would be clusters still cover all."""
    points = np.sort(np.random.default_rng(0).random((60_000, 1)).astype(np.float32), axis=0)
    chosen = np.sort(points[spread_out(points, 100)].ravel())
    assert np.diff(np.r_[0, chosen, 1]).max() < 0.08


def test_many_points_are_covered_better_than_by_chance() -> None:
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (9000, 4)), rng.normal(12, 0.2, (20, 4))]).astype(np.float32)
    seen: list[int] = []
    at = spread_out(points, 400, step=seen.append)
    assert sum(seen) == len(points)
    chance = rng.choice(len(points), 400, replace=False)
    bank, drawn = (MemoryBank().fit(points[chosen]) for chosen in (at, chance))
    assert bank.distances(points).max() < 0.6 * drawn.distances(points).max()
    np.testing.assert_array_equal(at, spread_out(points, 400))


def test_the_bank_is_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(9000, 5)).astype(np.float32)
    patches = rng.normal(size=(2100, 5)).astype(np.float32)
    bank = MemoryBank(size=10_000).fit(points)
    kept = bank.points.astype(np.float64)
    expected = [np.sqrt(((kept - row) ** 2).sum(axis=1).min()) for row in patches[:50]]
    np.testing.assert_allclose(bank.distances(patches)[:50], expected, atol=2e-3)
    bank.save(tmp_path)
    again = MemoryBank().load(tmp_path)
    np.testing.assert_array_equal(again.distances(patches), bank.distances(patches))
    assert bank.distances(patches[:0]).shape == (0,)


def test_banks_of_bad_input(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give one good image at least"):
        MemoryBank().fit(np.empty((0, 4), np.float32))
    with pytest.raises(UserError, match="no numbers"):
        MemoryBank().fit(np.full((3, 4), np.nan, np.float32))
    with pytest.raises(RunFolderError, match="no memory bank"):
        MemoryBank().load(tmp_path)
    (tmp_path / "bank.safetensors").write_bytes(b"no tensors")
    with pytest.raises(RunFolderError, match="no memory bank"):
        MemoryBank().load(tmp_path)


def test_image_scores() -> None:
    assert image_score(np.zeros((1, 1))) == 0
    assert image_score(np.arange(100.0).reshape(10, 10)) == 98


# --- simulated defects -----------------------------------------------------------------------------------------


def test_a_blended_patch_has_no_rim() -> None:
    rng = np.random.default_rng(0)
    around = np.full((20, 24, 3), 80.0) + np.arange(24.0)[None, :, None]
    inside = rng.normal(150, 20, (20, 24, 3))
    made = blended(inside, around)
    np.testing.assert_allclose(made[[0, -1]], around[[0, -1]], atol=1e-3)
    np.testing.assert_allclose(made[:, [0, -1]], around[:, [0, -1]], atol=1e-3)

    def curved(x: np.ndarray) -> np.ndarray:
        return np.asarray(x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4 * x[1:-1, 1:-1])

    np.testing.assert_allclose(curved(made), curved(inside), atol=1e-2)  # its gradients stay


@pytest.mark.parametrize("law", [Defects(), Defects(pasted=1.0), OBJECT], ids=["texture", "pasted", "object"])
def test_defects_are_where_the_labels_say(law: Defects) -> None:
    first, second = _images(2, 96, 120)
    made, labels = simulated(first, second, np.random.default_rng(0), law)
    assert made.dtype == np.uint8
    assert labels.shape == (96, 120)
    assert 0 < labels.max() <= 1
    changed = (made != first).any(axis=2)
    assert changed.any()
    assert labels[~changed].max(initial=0) < 0.5  # the median filter may round a rim
    again, _ = simulated(first, second, np.random.default_rng(0), law)
    np.testing.assert_array_equal(made, again)


def test_defects_lie_on_the_part() -> None:
    part = np.full((96, 96, 3), 10, np.uint8)
    part[30:70, 30:70] = _images(1, 40, 40)[0] // 2 + 100
    mask = ground_mask(part, 10, 30)
    assert mask.sum() == pytest.approx(1600, rel=0.1)
    for seed in range(5):
        made, _ = simulated(part, part[::-1], np.random.default_rng(seed), OBJECT, mask, mask[::-1])
        assert (made != part)[20:80, 20:80].any()


def test_what_cannot_be_simulated() -> None:
    plain = np.full((64, 64, 3), 50, np.uint8)
    with pytest.raises(UserError, match="hardly differ"):
        simulated(plain, plain, np.random.default_rng(0))
    with pytest.raises(UserError, match="expected the same"):
        simulated(plain, plain[:30], np.random.default_rng(0))


def test_covers_of_duplicates_far_from_zero() -> None:
    """Rounding made distances between duplicates negative, which once looked like points that were taken already."""
    rng = np.random.default_rng(3)
    points = np.repeat(rng.normal(50, 1, (40, 64)).astype(np.float32), 50, axis=0) + np.float32(0)
    for count in (100, 1_000, 1_990):
        taken = spread_out(points, count)
        assert len(np.unique(taken)) == count
        assert len(np.unique(points[taken], axis=0)) == 40
