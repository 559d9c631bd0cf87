"""Thousands of damaged image files through the reader: no traceback, no hang, no memory above the cap.

Seeds are small images in every format and mode that Pillow writes. Each file is mutated: bytes flipped, cut, doubled,
swapped with another file's, sizes in headers blown up. All are read in another process with a limit on memory and time;
only pixels or a DataError may come back.

    python bench/image_mutations.py [--files 5000]
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import random
import resource
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from faultwise.contracts.errors import DataError
from faultwise.images.data.images import read_image, read_mask
from recipe import write_result

SECONDS, MEGABYTES = 10, 1_200  # a file may take, and a process hold (NumPy and Pillow themselves take 100)
FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "TIFF": ("1", "L", "RGB", "RGBA", "CMYK", "I;16", "F"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P", "RGB"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("1", "L", "RGB"),
    "JPEG2000": ("L", "RGB", "RGBA"),
}


_BLOWN_UP = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x00\x00\x4e\x20")


def seeds() -> list[bytes]:
    """Sound files, one of each format and mode, some with EXIF data, frames or compression."""
    rng = np.random.default_rng(0)
    colour = Pillow.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8))
    deep = Pillow.fromarray(rng.integers(0, 65536, (48, 64), dtype=np.uint16))
    made = []
    for kind, modes in FORMATS.items():
        for mode in modes:
            picture = deep if mode == "I;16" else colour.convert(mode)
            options: dict[str, Any] = {}
            if kind == "TIFF" and mode == "RGB":
                options = {"compression": "tiff_lzw"}
            if kind == "GIF" and mode == "P":
                options = {"save_all": True, "append_images": [picture] * 3}
            if kind in ("JPEG", "PNG") and mode == "RGB":
                exif = Pillow.Exif()
                exif[0x0112] = 6
                options = {"exif": exif}
            buffer = io.BytesIO()
            picture.save(buffer, kind, **options)
            made.append(buffer.getvalue())
    return made


def mutated(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """One damaged file."""
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(made)) if rng.random() < 0.5 else rng.randrange(min(len(made), 64))
        kind = rng.randrange(6)
        if kind == 0:
            made[at] = rng.randrange(256)
        elif kind == 1:
            made[at : at + 4] = rng.choice(_BLOWN_UP)
        elif kind == 2:
            del made[at : at + rng.randint(1, 40)]
        elif kind == 3:
            made[at:at] = made[at : at + rng.randint(1, 200)]
        elif kind == 4:
            start = rng.randrange(len(other))
            made[at : at + 30] = other[start : start + 30]
        else:
            made = made[: max(1, at)]
        if not made:
            made = bytearray(b"\0")
    return bytes(made)


def outcome(path: str) -> tuple[str, str]:
    """What came of reading one file: "read", "refused", or what must not be."""

    def too_long(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        for read in (read_image, read_mask):
            try:
                made = read(path)
                shape = getattr(made, "pixels", made).shape
                assert len(shape) in (2, 3)
            except DataError as error:
                if path not in str(error):
                    return "nameless", str(error)
                return "refused", ""
        return "read", ""
    except TimeoutError:
        return "hang", path
    except BaseException as error:  # all that must not be
        return "traceback", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEGABYTES * 1_000_000, MEGABYTES * 1_000_000))


def main() -> None:
    """Mutate, read, count, and write results/image_mutations.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    args = parser.parse_args()
    rng, sound = random.Random(0), seeds()
    counts, wrong = Counter[str](), list[str]()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1, _limited) as pool:
        for place, content in enumerate(sound):
            path = Path(folder) / f"sound-{place}.png"
            path.write_bytes(content)
            result, why = pool.apply(outcome, (str(path),))
            assert result == "read", why
        for number in range(args.files):
            path = Path(folder) / f"{number}.png"
            path.write_bytes(mutated(rng.choice(sound), rng.choice(sound), rng))
            result, why = pool.apply_async(outcome, (str(path),)).get(timeout=6 * SECONDS)
            counts[result] += 1
            if why:
                wrong.append(why)
            path.unlink()
        peak = pool.apply(_peak)
    print(dict(counts), wrong[:5], f"{peak:.0f} MB", f"{time.monotonic() - started:.0f} s")
    figures = {"files": args.files, "outcomes": dict(counts), "wrong": wrong[:20], "peak_rss_mb": round(peak, 1)}
    write_result("image_mutations", {"seconds": SECONDS, "megabytes": MEGABYTES}, "generated", figures)
    if set(counts) - {"read", "refused"}:
        raise SystemExit(1)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # kilobytes on Linux


if __name__ == "__main__":
    main()
