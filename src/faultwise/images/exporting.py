"""A run on images as one ONNX file: backbone, bank, decoder and scale; from pixels to map and score.

Only resizing stays outside: the file takes images as `Inspector.resized` gives them, one at a time. Its scores are
compared with those of the run before the file is kept, because scores that differ between formats are what users of
such tools complain of.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import nn

from faultwise.contracts.errors import UserError
from faultwise.images.detection.anomaly_scores import WEIGHT
from faultwise.images.detection.memory_bank import TOP
from faultwise.images.detection.patches import on_grid
from faultwise.images.inspector import Inspector

__all__ = ["OnnxInspector", "export"]

_APART = 1e-3  # of the spread of scores, that both may be apart
_TRIED = 3  # pictures that both are compared on


class OnnxInspector(nn.Module):
    """Pixels (1, height, width, 3; uint8) to the map (rows, columns) and the score ()."""

    centre: torch.Tensor
    directions: torch.Tensor
    points: torch.Tensor
    scale: torch.Tensor

    def __init__(self, inspector: Inspector) -> None:
        super().__init__()
        encoder, scorer = inspector.encoder, inspector.scorer
        self.network, self.decoder = encoder.backbone.network, scorer.decoder
        self.stages, self.grid = encoder.stages, encoder.grid
        self.register_buffer("centre", torch.from_numpy(np.asarray(encoder.centre, np.float32)))
        self.register_buffer("directions", torch.from_numpy(np.asarray(encoder.directions, np.float32)))
        self.register_buffer("points", torch.from_numpy(scorer.bank.points.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy(scorer.scale.astype(np.float32)))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the map and the score."""
        maps = on_grid(self.network(pixels.permute(0, 3, 1, 2).float()), self.stages, self.grid)
        rows = (maps[0].flatten(1).T - self.centre) @ self.directions
        squares = (rows * rows).sum(1, keepdim=True) - 2 * rows @ self.points.T + (self.points * self.points).sum(1)
        heat = (squares.amin(dim=1).clamp_min(0).sqrt() - self.scale[0, 0]) / self.scale[0, 1]
        if self.decoder is not None:
            logits = self.decoder(maps)[0].flatten()
            heat = heat + WEIGHT * (logits - self.scale[1, 0]) / self.scale[1, 1]
        top = max(1, round(TOP * heat.shape[0]))
        return heat.reshape(maps.shape[-2:]), heat.topk(top).values.mean()


def export(inspector: Inspector, out: str | Path, seed: int = 0) -> dict[str, float]:
    """Write an ONNX file (`out`), and NAME.json with thresholds and size beside it; return how far both are apart.

    Raises UserError without the extra `onnx`, for resizing in proportion, or where the file gives other scores.
    """
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  # torch writes with it
    except ImportError:
        raise UserError("Exporting takes ONNX: pip install 'faultwise[onnx]'.") from None
    out, settings = Path(out), inspector.settings
    if out.suffix != ".onnx":
        raise UserError(f"`{out}` ends in `{out.suffix}`: choose a name that ends in .onnx.")
    if inspector.encoder.resizing.method != "square":
        raise UserError("An exported file takes one size of image: fit with --set resizing=square.")
    rng = np.random.default_rng(seed)
    shape = inspector.resized(np.zeros((settings.side, settings.side, 3), np.uint8)).shape
    tried = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(_TRIED)]
    module = OnnxInspector(inspector).eval()
    making = out.with_name(f".{out.name}")
    try:
        _write(module, torch.from_numpy(tried[0][None]), making)
        session = onnxruntime.InferenceSession(str(making), providers=["CPUExecutionProvider"])
        found = np.array([session.run(["score"], {"pixels": one[None]})[0] for one in tried], float).ravel()
        expected = inspector.scores(tried)
        apart = float(np.abs(found - expected).max())
        if not apart <= _APART * max(1.0, float(np.abs(expected).max())):
            raise UserError(f"The exported file gives scores that are {apart:.3g} off: it was not kept.")
        making.replace(out)
    finally:
        making.unlink(missing_ok=True)
    beside = {
        "threshold": inspector.threshold.value,
        "region_threshold": inspector.region_threshold,
        "size": list(shape[:2]),
    }
    out.with_suffix(".json").write_text(json.dumps(beside, indent=1) + "\n", encoding="utf-8")
    return {"apart": apart, "largest_score": float(expected.max()), "megabytes": math.ceil(out.stat().st_size / 1e6)}


def _write(module: nn.Module, example: torch.Tensor, file: Path) -> None:
    import logging
    import warnings

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["pixels"],
            output_names=["map", "score"],
            dynamo=True,
            verbose=False,
        )
        assert program is not None
        program.save(str(file), external_data=False)
