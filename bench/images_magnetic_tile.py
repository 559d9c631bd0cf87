"""Magnetic Tile: image and pixel AUROC of one configuration, with its fit time, latency and memory; four shots beside.

Four fifths of the good images are learnt from (some set the threshold), the others and all defects are the test.

    python bench/images_magnetic_tile.py [--seeds 3] [--shots 5]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from typing import Any

import numpy as np
import torch

from faultwise.images.data.image_converting import convert
from faultwise.images.data.image_folders import read_image_set
from faultwise.images.data.image_sets import GOOD
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.few_shot import pixel_figures
from faultwise.images.inspector import Inspector
from faultwise.images.metrics import auroc_by_kind, image_figures
from faultwise.images.settings import ImageSettings
from recipe import data_folder, write_result

SHOTS = 4


def main() -> None:
    """Run the seeds and write results/images_magnetic_tile.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shots", type=int, default=5, help="draws of four good images")
    args = parser.parse_args()
    settings = ImageSettings()
    runs = list[dict[str, Any]]()
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            (made,) = convert(data_folder("magnetic-tile"), folder, seed)
            images = read_image_set(made)
            good, test = [item.path for item in images.train], list(images.test)
            started = time.perf_counter()
            inspector = Inspector(settings).fit(good)
            fit_s = time.perf_counter() - started
            started = time.perf_counter()
            maps = list(inspector.maps([item.path for item in test]))
            together = (time.perf_counter() - started) / len(test)
            started = time.perf_counter()
            for item in test[:50]:
                inspector.inspect(item.path)
            alone = (time.perf_counter() - started) / 50
            scores = np.array([image_score(one) for one in maps])
            labels = np.array([item.label for item in test])
            bad = labels != GOOD
            run: dict[str, Any] = {
                "seed": seed,
                **image_figures(scores, bad, inspector.threshold.value),
                **pixel_figures(test, maps),
                "by_kind": auroc_by_kind(scores, labels, GOOD),
                "fit_s": fit_s,
                "image_ms": 1000 * alone,
                "image_ms_in_batches": 1000 * together,
            }
            if seed == 0:
                run["shots"] = []
                for draw in range(args.shots):
                    few = [good[at] for at in np.random.default_rng(draw).permutation(len(good))[:SHOTS]]
                    given = Inspector(settings).fit(few).scores([item.path for item in test])
                    run["shots"].append(image_figures(given, bad, np.inf)["image_auroc"])
            runs.append(run)
            print(run, flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # kilobytes on Linux
    figures = {
        "runs": runs,
        "images": len(good),
        "test": len(test),
        "peak_rss_mb": peak,
        "threads": torch.get_num_threads(),
    }
    config = {"side": settings.side, "bank": settings.bank, "backbone": settings.backbone, "shots": SHOTS}
    write_result("images_magnetic_tile", config, "magnetic-tile", figures)


if __name__ == "__main__":
    main()
