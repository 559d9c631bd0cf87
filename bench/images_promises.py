"""Promised false-alarm rates against realised ones: 40 random splits of the good images, thresholds for 5% and 10%.

Four fifths of the good images are learnt from (the threshold's share among them), the others are new. A split is a
violation where more of them give an alarm than the beta-binomial law allows with a chance of 95%.

    python bench/images_promises.py magnetic-tile --cache F
    python bench/images_promises.py elpv --elpv FOLDER --cache F
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from faultwise.images.detection.thresholds import Threshold, alarms_at_most
from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings
from recipe import write_result
from remembered import auroc, good_and_bad, remembering

RATES = (0.05, 0.1)


def main() -> None:
    """Run what splits the cache lacks, and write results/images_promises_NAME.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("magnetic-tile", "elpv"))
    parser.add_argument("--elpv", help="folder with labels.csv and images")
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--cache", type=Path, required=True, help="JSON lines of splits done: a run goes on there")
    args = parser.parse_args()
    good, bad = good_and_bad(args.name, args.elpv)
    done = [json.loads(line) for line in args.cache.read_text().splitlines()] if args.cache.exists() else []
    if len(done) < args.splits:
        backbone, pixels = remembering([*good, *bad])
        for seed in range(len(done), args.splits):
            order = np.random.default_rng(seed).permutation(len(good))
            learnt, new = np.split(order, [round(0.8 * len(good))])
            inspector = Inspector(replace(ImageSettings(), resizing="square", seed=seed), backbone=backbone)
            inspector.fit([pixels[good[at]] for at in learnt])
            fine = inspector.scores([pixels[good[at]] for at in new])
            bad_scores = inspector.scores([pixels[one] for one in bad])
            split: dict[str, Any] = {"auroc": auroc(fine, bad_scores), "new": len(new)}
            for rate in RATES:
                threshold = Threshold.of(inspector.learnt.held_out, rate)
                split[f"{rate:g}"] = {
                    "alarms": int((fine > threshold.value).sum()),
                    "allowed": alarms_at_most(threshold, len(new)),
                    "recall": float((bad_scores > threshold.value).mean()),
                    "promised": threshold.promised,
                }
            done.append(split)
            with args.cache.open("a") as file:
                file.write(json.dumps(split) + "\n")
            print(seed, split, flush=True)
    done = done[: args.splits]
    figures: dict[str, Any] = {"splits": len(done), "auroc": float(np.mean([one["auroc"] for one in done]))}
    for rate in RATES:
        each = [one[f"{rate:g}"] for one in done]
        violations = sum(one["alarms"] > one["allowed"] for one in each)
        figures[f"{rate:g}"] = {
            "promised": each[0]["promised"],
            "realised": float(np.mean([one["alarms"] / split["new"] for one, split in zip(each, done, strict=True)])),
            "violations": violations,
            "violations_allowed": int(binom.ppf(0.95, len(done), 0.05)),
            "recall": float(np.mean([one["recall"] for one in each])),
            "least_recall": min(one["recall"] for one in each),
        }
    print(json.dumps(figures, indent=1))
    write_result(f"images_promises_{args.name}", {"rates": list(RATES)}, args.name, figures)


if __name__ == "__main__":
    main()
