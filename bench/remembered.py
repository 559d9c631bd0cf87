"""Shared by benchmarks on images: a backbone that computes maps of known images once, and sets of good and bad ones."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from faultwise.images.data.image_converting import SETS
from faultwise.images.data.image_folders import GOOD
from faultwise.images.data.images import read_image
from faultwise.images.detection.backbones import Backbone, load_backbone
from faultwise.images.detection.patches import PatchEncoder
from recipe import data_folder


class Remembering(torch.nn.Module):
    """Passes images on to a backbone; the maps of those shown to `learn` are kept, by their pixels."""

    def __init__(self, backbone: Backbone, stages: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone, self.stages, self.network = backbone, stages, backbone.network
        self.kept = dict[bytes, list[torch.Tensor]]()

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of each stage; stages that nobody uses are empty for known images."""
        keys = [_key(one) for one in pixels]
        if all(key in self.kept for key in keys):
            return [torch.stack([self.kept[key][stage] for key in keys]) for stage in range(len(self.backbone.strides))]
        return list(self.backbone.maps(pixels))

    def learn(self, pixels: torch.Tensor) -> None:
        """Keep the maps of a batch."""
        maps = self.backbone.maps(pixels)
        for at, one in enumerate(pixels):
            self.kept[_key(one)] = [
                part[at].clone() if stage in self.stages else torch.empty(0) for stage, part in enumerate(maps)
            ]


def _key(pixels: torch.Tensor) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(pixels.to(torch.uint8).numpy()).tobytes(), digest_size=16).digest()


def remembering(files: list[Path], name: str = "efficientnet-lite0") -> tuple[Backbone, dict[Path, np.ndarray]]:
    """Return a backbone that knows the images of `files`, and their pixels."""
    real = load_backbone(name, deepest=2)
    encoder = PatchEncoder(real)
    module = Remembering(real, tuple(encoder.stages))
    pixels = dict[Path, np.ndarray]()
    for file in tqdm(files, desc="maps", unit="image", file=sys.stderr):
        pixels[file] = read_image(file).pixels
        module.learn(torch.from_numpy(encoder.resized(pixels[file])[None].copy()).permute(0, 3, 1, 2))
    return Backbone(real.name, module, real.strides, real.channels), pixels


def good_and_bad(name: str, elpv: str | None) -> tuple[list[Path], list[Path]]:
    """Good and defective images of Magnetic Tile, or of ELPV (functional and certainly defective cells)."""
    if name == "elpv" and not elpv:
        sys.exit(
            "ELPV comes as a package: `pip download --no-deps elpv-dataset`, unzip it, and give --elpv FOLDER/data."
        )
    folder = Path(elpv) if name == "elpv" and elpv else data_folder(name)
    pieces = list(SETS[name](folder, np.random.default_rng(0), 0.5))
    sure = [piece for piece in pieces if not piece.label.startswith("doubtful")]
    return [one.file for one in sure if one.label == GOOD], [one.file for one in sure if one.label != GOOD]


def interval(values: list[float]) -> list[float]:
    """The mean of draws with its 95% interval by Student's law."""
    from scipy.stats import t

    mean, n = float(np.mean(values)), len(values)
    reach = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5) if n > 1 else 0.0
    return [mean, mean - reach, mean + reach]


def auroc(good: np.ndarray, bad: np.ndarray) -> float:
    """The area under the curve of scores of good and of defective images."""
    from sklearn.metrics import roc_auc_score

    labels: Any = np.r_[np.zeros(len(good)), np.ones(len(bad))]
    return float(roc_auc_score(labels, np.r_[good, bad]))
