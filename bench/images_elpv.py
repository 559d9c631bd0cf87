"""ELPV, functional against certainly defective cells: AUROC with 4, 8 and 32 good images, and with four fifths of all.

python bench/images_elpv.py --elpv FOLDER
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings
from recipe import write_result
from remembered import auroc, good_and_bad, interval, remembering

# Recalled from the papers: other splits, larger backbones.
PUBLISHED = {"InCTRL 2-shot": 0.839, "InCTRL 4-shot": 0.846, "InCTRL 8-shot": 0.872}


def main() -> None:
    """Run the draws and write results/images_elpv.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--elpv", required=True, help="folder with labels.csv and images")
    parser.add_argument("--draws", type=int, default=5)
    args = parser.parse_args()
    good, bad = good_and_bad("elpv", args.elpv)
    backbone, pixels = remembering([*good, *bad])
    figures: dict[str, Any] = {"good": len(good), "defective": len(bad), "published": PUBLISHED}
    for shots in (4, 8, 32, round(0.8 * len(good))):
        values = []
        for draw in range(args.draws if shots <= 32 else 3):
            order = np.random.default_rng(draw).permutation(len(good))
            inspector = Inspector(replace(ImageSettings(), seed=draw), backbone=backbone)
            inspector.fit([pixels[good[at]] for at in order[:shots]])
            fine = inspector.scores([pixels[good[at]] for at in order[round(0.8 * len(good)) :]])
            values.append(auroc(fine, inspector.scores([pixels[one] for one in bad])))
            print(shots, draw, values[-1], flush=True)
        figures[f"{shots} shots" if shots <= 32 else "full"] = {"draws": values, "mean_and_interval": interval(values)}
    write_result("images_elpv", {"draws": args.draws}, "elpv", figures)


if __name__ == "__main__":
    main()
