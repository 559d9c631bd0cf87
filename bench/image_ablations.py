"""The decoder's variants known from practice, in one table: focal losses, normalisation, dropout, a residual path.

Magnetic Tile's good training images (seed 0): 200 teach with 60 simulated defects of each type, 100 others and as many
defects of each type judge. Nothing is chosen on real defects, none are read.

    python bench/image_ablations.py
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from faultwise.images.data.image_folders import GOOD
from faultwise.images.data.images import read_image
from faultwise.images.data.simulated_marks import DEFECT_TYPES, simulated_set
from faultwise.images.detection.backbones import load_backbone
from faultwise.images.detection.decoder import DecoderSettings, trained
from faultwise.images.detection.memory_bank import image_score
from faultwise.images.detection.patches import PatchEncoder
from faultwise.images.detection.regions import stretched
from faultwise.images.metrics import pixel_auroc
from recipe import data_folder, write_result
from remembered import auroc

TAUGHT, JUDGED, EACH, GRID = 200, 100, 60, 64
# After the field report's versions: a normalisation layer (V1), batch normalisation (V3 and later), dropout, residual
# layers, the learning rate; and the two focal losses it proposes.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "layer normalisation": {"norm": "layer"},
    "batch normalisation": {"norm": "batch"},
    "dropout 0.2": {"dropout": 0.2},
    "residual": {"residual": True},
    "batch normalisation, residual, dropout": {"norm": "batch", "residual": True, "dropout": 0.2},
    "learning rate 5e-4": {"rate": 5e-4},
    "weighted focal": {"focal": "weighted"},
    "adaptive focal": {"focal": "adaptive"},
}


def main() -> None:
    """Train each variant and write results/image_ablations.json."""
    files = sorted((data_folder("magnetic-tile") / "MT_Free" / "Imgs").glob("*.jpg"))
    order = np.random.default_rng(0).permutation(len(files))[: TAUGHT + JUDGED]
    encoder = PatchEncoder(load_backbone(deepest=2))
    pictures = [encoder.resized(read_image(files[at]).pixels) for at in order]
    maps = [one.maps for one in encoder.fit(iter(pictures))]
    parts = {}
    for name, some, each, seed in (("taught", pictures[:TAUGHT], EACH, 0), ("judged", pictures[TAUGHT:], JUDGED, 1)):
        labels, kinds = list[np.ndarray](), list[str]()

        def defects(
            some: list[np.ndarray] = some,
            each: int = each,
            seed: int = seed,
            labels: list[np.ndarray] = labels,
            kinds: list[str] = kinds,
        ) -> Iterator[np.ndarray]:
            for picture, label, kind in simulated_set(some, each, seed):
                labels.append(label)
                kinds.append(kind)
                yield picture

        parts[name] = ([one.maps for one in encoder.patches(defects())], labels, kinds)
    bad, labels, kinds = parts["judged"]
    masks = [np.zeros((GRID, GRID), bool) for _ in range(JUDGED)] + [
        stretched(label, (GRID, GRID)) > 0.3 for label in labels
    ]
    lines = []
    for name, options in VARIANTS.items():
        started = time.perf_counter()
        model = trained(
            [*maps[:TAUGHT], *parts["taught"][0]], [*[None] * TAUGHT, *parts["taught"][1]], DecoderSettings(**options)
        )
        seconds = time.perf_counter() - started
        heats = [model.logits(one) for one in [*maps[TAUGHT:], *bad]]
        scores = np.array([image_score(one) for one in heats])
        of = np.array([GOOD] * JUDGED + kinds)
        line: dict[str, Any] = {
            "variant": name,
            "image_auroc": auroc(scores[of == GOOD], scores[of != GOOD]),
            "pixel_auroc": pixel_auroc([stretched(one, (GRID, GRID)) for one in heats], masks),
            "by_kind": {kind: auroc(scores[of == GOOD], scores[of == kind]) for kind in DEFECT_TYPES},
            "seconds": seconds,
        }
        lines.append(line)
        print(line, flush=True)
    write_result(
        "image_ablations", {"taught": TAUGHT, "judged": JUDGED, "each": EACH}, "magnetic-tile", {"lines": lines}
    )


if __name__ == "__main__":
    main()
