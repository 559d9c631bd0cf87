"""Magnetic Tile: image and pixel AUROC of one configuration, with its fit time, latency and memory; four shots beside.

Four fifths of the good images are learnt from (the limit's share among them), the others and all defects are the test.

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
from sklearn.metrics import roc_auc_score

from faultwise.data.image_converting import convert
from faultwise.data.image_folders import GOOD, ImageItem, read_image_set
from faultwise.data.images import read_mask
from faultwise.evidence.regions import stretched
from faultwise.experts.memory_bank import image_score
from faultwise.inspector import Inspector
from faultwise.settings import ImageSettings
from recipe import data_folder, write_result

GRID = 128  # of the maps that pixels are judged on, along each side
SHOTS = 4


def pixel_auroc(items: list[ImageItem], maps: list[np.ndarray]) -> float:
    """Over the pixels of all test images, each image on the same grid."""
    from PIL import Image as Pillow

    said, true = [], []
    for item, values in zip(items, maps, strict=True):
        said.append(stretched(values, (GRID, GRID)))
        mask = np.zeros((GRID, GRID), bool)
        if item.mask is not None:
            whole = Pillow.fromarray(read_mask(item.mask).astype(np.uint8) * 255)
            mask = np.asarray(whole.resize((GRID, GRID), Pillow.Resampling.BILINEAR)) > 127
        true.append(mask)
    return float(roc_auc_score(np.concatenate(true).ravel(), np.concatenate(said).ravel()))


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
            inspector = Inspector(settings, progress=False).fit(good)
            fit_s = time.perf_counter() - started
            started = time.perf_counter()
            maps = list(inspector._maps([item.path for item in test], "test"))
            together = (time.perf_counter() - started) / len(test)
            started = time.perf_counter()
            for item in test[:50]:
                inspector.inspect(item.path)
            alone = (time.perf_counter() - started) / 50
            scores = np.array([image_score(one) for one in maps])
            bad = np.array([item.label != GOOD for item in test])
            kinds = sorted({item.label for item in test} - {GOOD})
            run = {
                "seed": seed,
                "image_auroc": float(roc_auc_score(bad, scores)),
                "pixel_auroc": pixel_auroc(test, maps),
                "by_kind": {
                    kind: float(roc_auc_score(bad[at], scores[at]))
                    for kind in kinds
                    for at in [np.array([item.label in (GOOD, kind) for item in test])]
                },
                "false_alarm_rate": float((scores[~bad] > inspector.limit.value).mean()),
                "recall": float((scores[bad] > inspector.limit.value).mean()),
                "fit_s": fit_s,
                "image_ms": 1000 * alone,
                "image_ms_in_batches": 1000 * together,
            }
            if seed == 0:
                run["shots"] = []
                for draw in range(args.shots):
                    few = [good[at] for at in np.random.default_rng(draw).permutation(len(good))[:SHOTS]]
                    given = Inspector(settings, progress=False).fit(few).scores([item.path for item in test])
                    run["shots"].append(float(roc_auc_score(bad, given)))
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
