"""Image files and folders: every format becomes eight-bit colour, every damage an error that says what to do."""

from __future__ import annotations

import io
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from faultwise.contracts.errors import DataError
from faultwise.images.data.image_checks import checked
from faultwise.images.data.image_converting import PCB_DEFECTS, convert, read_boxes, recognised
from faultwise.images.data.image_folders import categories, read_image_set, why_images
from faultwise.images.data.image_sets import FolderReading, ImageItem
from faultwise.images.data.images import read_image, read_mask


def _pixels(high: int = 24, wide: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (high, wide, 3), dtype=np.uint8)


def _saved(path: Path, pixels: np.ndarray | None = None, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(_pixels() if pixels is None else pixels).save(path, **options)
    return path


# --- one file --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "ppm", "gif", "webp", "jpg"])
def test_formats(tmp_path: Path, ending: str) -> None:
    grey = np.full((20, 30, 3), 90, np.uint8)
    image = read_image(_saved(tmp_path / f"a.{ending}", grey))
    assert image.pixels.shape == (20, 30, 3)
    assert image.pixels.dtype == np.uint8
    assert np.abs(image.pixels.astype(int) - 90).max() <= 2


@given(
    high=st.integers(16, 40),
    wide=st.integers(16, 40),
    seed=st.integers(0, 99),
    mode=st.sampled_from(["L", "RGB", "RGBA", "LA", "P", "1"]),
)
@settings(max_examples=40, deadline=None)
def test_lossless_files_come_back(
    tmp_path_factory: pytest.TempPathFactory, high: int, wide: int, seed: int, mode: str
) -> None:
    made = Pillow.fromarray(_pixels(high, wide, seed)).convert(mode)
    file = tmp_path_factory.mktemp("images") / "x.png"
    made.save(file)
    np.testing.assert_array_equal(read_image(file).pixels, np.asarray(made.convert("RGB")))


def test_the_content_counts_not_the_ending(tmp_path: Path) -> None:
    file = _saved(tmp_path / "a.png")
    assert read_image(file.rename(tmp_path / "a.jpg")).pixels.shape == (24, 32, 3)


def test_sixteen_bits_are_scaled_alike(tmp_path: Path) -> None:
    dark, bright = (np.full((20, 20), value, np.uint16) for value in (1000, 4000))
    for name, values in (("dark", dark), ("bright", bright)):
        Pillow.fromarray(values).save(tmp_path / f"{name}.png")
    first, second = (read_image(tmp_path / f"{name}.png") for name in ("dark", "bright"))
    assert (first.white, second.white) == (1023, 4095)
    assert read_image(_saved(tmp_path / "plain.png")).white is None
    again = read_image(tmp_path / "dark.png", white=4095)
    assert again.pixels.max() == round(1000 * 255 / 4095)
    over = read_image(tmp_path / "bright.png", white=2000)
    assert over.pixels.min() == 255
    assert any("were cut off" in note for note in over.notes)


def test_floating_point_images(tmp_path: Path) -> None:
    Pillow.fromarray(np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)).save(tmp_path / "a.tif")
    image = read_image(tmp_path / "a.tif")
    assert (image.white, image.pixels.max()) == (1, 255)
    Pillow.fromarray(np.full((20, 20), np.nan, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(DataError, match="no numbers"):
        read_image(tmp_path / "b.tif")


def test_exif_rotation(tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    image = read_image(_saved(tmp_path / "a.png", exif=exif))
    np.testing.assert_array_equal(image.pixels, np.rot90(_pixels(), -1))
    assert "rotated as its EXIF data say" in image.notes


def test_notes_say_what_was_changed(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(_pixels(seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert "the first of several frames" in read_image(tmp_path / "a.gif").notes
    frames[0].convert("CMYK").save(tmp_path / "b.tif")
    assert any("CMYK" in note for note in read_image(tmp_path / "b.tif").notes)
    clear = np.dstack([_pixels(), np.zeros((24, 32), np.uint8)])
    image = read_image(_saved(tmp_path / "c.png", clear))
    assert image.pixels.max() == 0
    assert "transparent parts made black" in image.notes


def _header_only(wide: int, high: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""
    return _png(struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0), b"\0" * 64)


def _png(header: bytes, rows: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged or incomplete"),
        (b"feature,label\n1,2\n", "no image that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image that can be read"),
        (_header_only(20_000, 20_000), r"more than the 50 million pixels that are read at once: cut it into tiles"),
        (_header_only(8_000, 8_000), "cut it into tiles"),
        (_header_only(1, 1), "1 x 1 pixels: expected 16 x 16"),
        (_header_only(64, 64), "damaged or incomplete"),
    ],
    ids=["empty", "table", "postscript", "bomb", "large", "pixel", "truncated"],
)
def test_what_is_no_image(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_image(tmp_path / "a.png")


def test_missing_and_forbidden_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match="There is no file"):
        read_image(tmp_path)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_damaged_files_never_give_a_traceback(tmp_path: Path, ending: str) -> None:
    """A sample of what `bench/image_mutations.py` does by the thousand."""
    buffer = io.BytesIO()
    Pillow.fromarray(_pixels(40, 40)).save(buffer, {"jpg": "jpeg", "tif": "tiff"}.get(ending, ending))
    rng, refused = random.Random(0), []
    for _ in range(60):
        content = bytearray(buffer.getvalue())
        for _ in range(rng.randint(1, 8)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        file = tmp_path / f"a.{ending}"
        file.write_bytes(content[: rng.randint(1, len(content))] if rng.random() < 0.3 else content)
        try:
            pixels = read_image(file).pixels
        except DataError as error:
            refused.append(str(file) in str(error))
        else:
            assert pixels.dtype == np.uint8
    assert all(refused)
    assert refused


def test_masks(tmp_path: Path) -> None:
    marked = np.zeros((24, 32), np.uint8)
    marked[3:6, 4:9] = 255
    _saved(tmp_path / "m.png", marked)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", (24, 32)), marked > 0)
    _saved(tmp_path / "ones.png", marked // 255)
    assert read_mask(tmp_path / "ones.png").sum() == 15
    with pytest.raises(DataError, match=r"a mask of 32 x 24 pixels, its image has 20 x 20"):
        read_mask(tmp_path / "m.png", (20, 20))


def test_masks_of_several_types(tmp_path: Path) -> None:
    """Whatever is not black is marked: types as grey values, as colours, as entries of a palette, or opaque."""
    types = np.zeros((24, 32), np.uint8)
    types[2:5, 2:5], types[10:14, 10:14], types[20, 20] = 1, 2, 3
    expected = types > 0
    _saved(tmp_path / "grey.png", types)
    _saved(tmp_path / "deep.png", types.astype(np.uint16) * 300)
    _saved(tmp_path / "float.tif", types.astype(np.float32) / 8)
    colours = np.array([[0, 0, 0], [0, 0, 90], [200, 0, 0], [9, 9, 9]], np.uint8)
    _saved(tmp_path / "colours.png", colours[types])
    clear = np.dstack([np.full((24, 32, 3), 255, np.uint8), expected.astype(np.uint8) * 255])
    _saved(tmp_path / "clear.png", clear)
    palette = Pillow.fromarray(types, "P")
    palette.putpalette(bytes(255 - value for value in range(256) for _ in range(3)))
    palette.save(tmp_path / "palette.png")
    for name in ("grey.png", "deep.png", "float.tif", "colours.png", "clear.png", "palette.png"):
        np.testing.assert_array_equal(read_mask(tmp_path / name), expected, err_msg=name)
    _saved(tmp_path / "lossy.jpg", expected.astype(np.uint8) * 255, quality=60)
    assert (read_mask(tmp_path / "lossy.jpg") != expected).sum() <= 6


def test_colours_with_sixteen_bits_are_noted(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">H", 40_000) * 3 * 20 for _ in range(20))
    header = struct.pack(">IIBBBBB", 20, 20, 16, 2, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(_png(header, rows))
    image = read_image(tmp_path / "a.png")
    assert image.pixels.max() == 40_000 >> 8
    assert "upper eight were read" in " ".join(image.notes)


# --- folders ---------------------------------------------------------------------------------------------------


def _mvtec(folder: Path) -> Path:
    for n in range(4):
        _saved(folder / f"train/good/{n}.png", _pixels(seed=n))
    _saved(folder / "test/good/0.png", _pixels(seed=10))
    for n in range(2):
        _saved(folder / f"test/hole/{n}.png", _pixels(seed=20 + n))
        _saved(folder / f"ground_truth/hole/{n}_mask.png", (_pixels(seed=n)[:, :, 0] > 128).astype(np.uint8) * 255)
    return folder


def test_mvtec_layout(tmp_path: Path) -> None:
    _mvtec(tmp_path / "bottle")
    images = read_image_set(tmp_path / "bottle")
    assert (images.layout, images.category, len(images.train)) == ("mvtec", "bottle", 4)
    assert [(item.label, item.mask is not None) for item in images.test] == [
        ("good", False),
        ("hole", True),
        ("hole", True),
    ]
    assert categories(tmp_path) == ["bottle"]
    assert read_image_set(tmp_path).category == "bottle"
    _mvtec(tmp_path / "cable")
    with pytest.raises(DataError, match=r"2 categories \(`bottle`, `cable`\): choose one with --category"):
        read_image_set(tmp_path)
    with pytest.raises(DataError, match="did you mean `cable`"):
        read_image_set(tmp_path, FolderReading(category="cabel"))
    assert read_image_set(tmp_path, FolderReading(category="cable")).category == "cable"


def test_masks_and_images_without_each_other_are_noted(tmp_path: Path) -> None:
    folder = _mvtec(tmp_path / "bottle")
    (folder / "ground_truth/hole/0_mask.png").rename(folder / "ground_truth/hole/7_mask.png")
    images = read_image_set(folder)
    assert [item.mask is None for item in images.test] == [True, True, False]
    notes = " ".join(images.notes)
    assert "1 defective images have no mask" in notes
    assert "1 masks have no image and are left out: `7_mask.png`" in notes


def test_plain_folder_in_natural_order(tmp_path: Path) -> None:
    for n in (10, 9, 1):
        _saved(tmp_path / f"part{n}.png")
    images = read_image_set(tmp_path)
    assert [item.path.stem for item in images.train] == ["part1", "part9", "part10"]
    assert "all 3 images are taken to be good" in images.notes[0]


@pytest.mark.parametrize("pattern", ["{}_{}.png", "{1}/{0}.png"])
def test_pairs(tmp_path: Path, pattern: str) -> None:
    query, template = ("test", "temp") if "_" in pattern else ("query", "template")
    for n in range(2):
        for side in (query, template):
            _saved(tmp_path / pattern.format(n, side))
    _saved(tmp_path / pattern.format(9, query))
    images = read_image_set(tmp_path)
    assert images.layout == "pairs"
    assert [item.template is not None for item in images.test] == [True, True]
    assert "1 images have no template" in images.notes[0]


def test_what_holds_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        read_image_set(tmp_path / "none")
    with pytest.raises(DataError, match="holds no images"):
        read_image_set(tmp_path)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    assert why_images(tmp_path) is None
    assert why_images(tmp_path / "a.csv") is None
    _saved(tmp_path / "plot.png")
    assert why_images(tmp_path) is None  # a plot beside tables
    (tmp_path / "plot.png").unlink()
    plot = _saved(tmp_path / "test" / "plots" / "x.png")
    assert why_images(tmp_path) is None  # nor below them
    (tmp_path / "a.csv").unlink()
    assert "MVTec layout" in str(why_images(tmp_path))  # images to inspect, none to learn from
    assert [item.path for item in read_image_set(tmp_path).test] == [plot]
    shutil.rmtree(tmp_path / "test")
    assert why_images(_saved(tmp_path / "b" / "x.png")) == "it is an image file"
    assert why_images(tmp_path / "b") == "it holds 1 image files and no tables"


# --- checks ----------------------------------------------------------------------------------------------------


def test_what_is_left_out(tmp_path: Path) -> None:
    folder = _mvtec(tmp_path / "bottle")
    (folder / "train/good/3.png").write_bytes(b"no image")
    _saved(folder / "train/good/4.png", _pixels(seed=10))  # the very pixels of test/good/0.png
    noisy = _pixels(200, 200, seed=21) ^ 1
    _saved(folder / "test/hole/1.png", _pixels(200, 200, seed=21))
    _saved(folder / "train/good/5.png", noisy)
    images, report = checked(read_image_set(folder))
    assert [item.path.stem for item in images.train] == ["0", "1", "2", "5"]
    assert len(report.unreadable) == 1
    notes = " ".join(images.notes)
    assert "1 images were left out" in notes
    assert "1 training images are duplicates of test images" in notes
    assert "4.png = 0.png" in notes
    assert "5.png ~ 1.png" in notes
    assert "1 masks were left out" in notes  # of the image that is 200 x 200 now
    assert "2 sizes, from 32 to 200 pixels wide" in notes


def test_duplicates_among_the_good_are_kept_once(tmp_path: Path) -> None:
    for n in range(6):
        _saved(tmp_path / f"{n}.png", _pixels(seed=n % 4))
    images, _ = checked(read_image_set(tmp_path))
    assert [item.path.stem for item in images.train] == ["0", "1", "2", "3"]
    assert "2 training images are duplicates of others among them" in " ".join(images.notes)


def test_hidden_folders_and_other_spellings(tmp_path: Path) -> None:
    folder = _mvtec(tmp_path / "bottle")
    _saved(folder / "test/.ipynb_checkpoints/0.png")
    (folder / "test/good").rename(folder / "test/Good")
    assert {item.label for item in read_image_set(folder).test} == {"good", "hole"}


def test_empty_masks_are_noted(tmp_path: Path) -> None:
    folder = _mvtec(tmp_path / "bottle")
    _saved(folder / "ground_truth/hole/0_mask.png", np.zeros((24, 32), np.uint8))
    images, _ = checked(read_image_set(folder))
    assert [item.mask is None for item in images.test] == [True, True, False]
    assert "marks nothing, though its image is `hole`" in " ".join(images.notes)


def test_templates_of_another_size(tmp_path: Path) -> None:
    _saved(tmp_path / "1_test.png")
    _saved(tmp_path / "1_temp.png", _pixels(30, 30))
    _saved(tmp_path / "2_test.png")
    _saved(tmp_path / "2_temp.png")
    images, report = checked(read_image_set(tmp_path))
    assert [item.path.stem for item in images.test] == ["2_test"]
    assert "its template 30 x 30" in report.unreadable[0]


def test_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"No image of .* can be used: .*a.png"):
        checked(read_image_set(tmp_path))
    assert read_image_set(tmp_path).train == (ImageItem(tmp_path / "a.png"),)


# --- known sets ------------------------------------------------------------------------------------------------


def _magnetic_tile(source: Path) -> None:
    for n in range(10):
        _saved(source / f"MT_Free/Imgs/{n}.jpg", _pixels(seed=n))
        _saved(source / f"MT_Free/Imgs/{n}.png", np.zeros((24, 32), np.uint8))
    _saved(source / "MT_Crack/Imgs/c.jpg", _pixels(seed=50))
    _saved(source / "MT_Crack/Imgs/c.png", np.eye(24, 32, dtype=np.uint8) * 255)


def _deeppcb(source: Path) -> None:
    for side in ("temp", "test"):
        _saved(source / f"group1/1/1000_{side}.jpg", _pixels(64, 64, int(side == "temp")))
    (source / "group1/1_not").mkdir()
    (source / "group1/1_not/1000.txt").write_text("5 6 20 30 1\n40 40 50 60 6\n")


def _elpv(source: Path) -> None:
    lines = []
    for n, probability in enumerate(["0.0"] * 5 + ["1.0", "0.3333333333333333"]):
        _saved(source / f"images/cell{n}.png", _pixels(seed=n))
        lines.append(f"images/cell{n}.png  {probability}   mono")
    (source / "labels.csv").write_text("\n".join(lines))


def _visa(source: Path) -> None:
    lines = ["object,split,label,image,mask"]
    for split, label, n in (("train", "normal", 0), ("test", "normal", 1), ("test", "anomaly", 0)):
        side = "Normal" if label == "normal" else "Anomaly"
        image = _saved(source / f"candle/Data/Images/{side}/{n:04}.JPG", _pixels(seed=len(lines))).relative_to(source)
        mask = "candle/Data/Masks/Anomaly/0000.png" if label == "anomaly" else ""
        lines.append(f"candle,{split},{label},{image},{mask}")
    _saved(source / "candle/Data/Masks/Anomaly/0000.png", np.eye(24, 32, dtype=np.uint8))
    (source / "split_csv").mkdir()
    (source / "split_csv/1cls.csv").write_text("\n".join(lines))


def _aebad(source: Path) -> None:
    _saved(source / "train/good/view/IMG_1.png", _pixels(seed=1))
    for part, end in (("test", "png"), ("ground_truth", "png")):
        pixels = _pixels() if part == "test" else np.eye(24, 32, dtype=np.uint8) * 255
        _saved(source / f"{part}/fracture/view/IMG_2.{end}", pixels)


@pytest.mark.parametrize(
    ("make", "kind", "counts"),
    [
        (_magnetic_tile, "magnetic-tile", {"good": (8, 2), "crack": (0, 1)}),
        (_deeppcb, "deeppcb", {"good": (1, 0), "defective": (0, 1)}),
        (_elpv, "elpv", {"good": (4, 1), "defective": (0, 1), "doubtful-0.33": (0, 1)}),
        (_visa, "visa", {"good": (1, 1), "defective": (0, 1)}),
        (_aebad, "aebad", {"good": (1, 0), "fracture": (0, 1)}),
    ],
    ids=["magnetic tile", "deeppcb", "elpv", "visa", "aebad"],
)
def test_known_sets_become_the_mvtec_layout(
    tmp_path: Path, make: Callable[[Path], None], kind: str, counts: dict[str, tuple[int, int]]
) -> None:
    make(tmp_path / "source")
    assert recognised(tmp_path / "source") == kind
    (folder,) = convert(tmp_path / "source", tmp_path / "out")
    images, report = checked(read_image_set(folder))
    found = {
        label: tuple(sum(item.label == label for item in items) for items in (images.train, images.test))
        for label in counts
    }
    assert found == counts
    assert report.unreadable == ()
    marked = [item for item in images.test if item.label != "good"]
    assert all((item.mask is not None) == (kind != "elpv") for item in marked)
    with pytest.raises(DataError, match="is not empty"):
        convert(tmp_path / "source", tmp_path / "out")


def test_boxes_of_boards(tmp_path: Path) -> None:
    _deeppcb(tmp_path)
    assert read_boxes(tmp_path / "group1/1_not/1000.txt") == [(5, 6, 20, 30, "open"), (40, 40, 50, 60, PCB_DEFECTS[5])]
    convert(tmp_path, tmp_path / "out")
    assert read_mask(next((tmp_path / "out").rglob("*_mask.png"))).sum() == 15 * 24 + 10 * 20
    (tmp_path / "bad.txt").write_text("1 2 3 4 9\n")
    with pytest.raises(DataError, match="Line 1 of"):
        read_boxes(tmp_path / "bad.txt")


def test_unknown_and_incomplete_sets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        convert(tmp_path / "none", tmp_path / "out")
    with pytest.raises(DataError, match="is none of `magnetic-tile`"):
        convert(tmp_path, tmp_path / "out")
    _visa(tmp_path / "visa")
    (tmp_path / "visa/split_csv/1cls.csv").unlink()
    with pytest.raises(DataError, match=r"1cls\.csv` is missing"):
        convert(tmp_path / "visa", tmp_path / "out")
    (tmp_path / "tiles/MT_Free").mkdir(parents=True)
    with pytest.raises(DataError, match="holds none of its images"):
        convert(tmp_path / "tiles", tmp_path / "out2")
