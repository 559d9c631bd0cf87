"""How fit, memory and latency grow with the number of good images: made textures, 500 to 7,000 of them.

Each size is a process of its own, so that its peak is its own.

    python bench/images_growth.py [--sizes 500,1750,7000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings
from recipe import RESULTS, write_result

SIDE = 256


def texture(seed: int) -> np.ndarray:
    """A brushed surface with a direction, a roughness and a brightness of its own."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    fine = gaussian_filter(rng.normal(size=(SIDE, SIDE)), rng.uniform(0.5, 3, 2))
    made = rng.uniform(80, 170) + rng.uniform(5, 30) * fine / fine.std()
    return np.clip(made, 0, 255).astype(np.uint8)


def one(folder: Path, size: int) -> dict[str, float]:
    """Fit on so many files, inspect 50, and say time and peak memory."""
    files = sorted(folder.glob("*.jpg"))[:size]
    started = time.perf_counter()
    inspector = Inspector(ImageSettings()).fit(files)
    fit_s = time.perf_counter() - started
    inspector.inspect(files[0])
    started = time.perf_counter()
    for file in files[:50]:
        inspector.inspect(file)
    each = (time.perf_counter() - started) / 50
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # kilobytes on Linux
    return {"images": size, "fit_s": fit_s, "image_ms": 1000 * each, "peak_gb": peak}


def chart(points: list[dict[str, float]]) -> Any:
    """Fit, memory and latency over the number of images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.8), layout="constrained")
    sizes = [point["images"] for point in points]
    shown = (("fit_s", "fit, s"), ("peak_gb", "peak memory, GB"), ("image_ms", "one image, ms"))
    for axis, (key, label) in zip(figure.subplots(1, 3), shown, strict=True):
        axis.plot(sizes, [point[key] for point in points], "o-", color="#1f6f8b")
        axis.set(xlabel="good images", title=label, ylim=(0, None))
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    """Measure each size and write results/images_growth.json and .svg."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="500,1750,7000")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "SIZE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(Path(args.one[0]), int(args.one[1]))))
        return
    sizes = [int(size) for size in args.sizes.split(",")]
    points = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(max(sizes)):
            Pillow.fromarray(texture(seed)).save(Path(folder) / f"{seed:05}.jpg", quality=90)
        for size in sizes:
            command = [sys.executable, __file__, "--one", folder, str(size)]
            points.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            print(points[-1], flush=True)
    slope = np.polyfit(np.log([p["images"] for p in points]), np.log([p["fit_s"] for p in points]), 1)[0]
    chart(points).savefig(RESULTS / "images_growth.svg", metadata={"Date": None})
    write_result("images_growth", {"side": SIDE}, "made", {"points": points, "fit_exponent": float(slope)})


if __name__ == "__main__":
    main()
