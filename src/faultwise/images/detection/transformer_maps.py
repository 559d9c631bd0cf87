"""A vision transformer of `transformers` as feature maps: what it thinks of each patch at several depths.

It knows nothing of names, files or devices; `backbones` loads the model.
"""

from __future__ import annotations

from inspect import signature

import torch
from torch import nn

__all__ = ["TAPS", "TransformerMaps"]

TAPS = (0.25, 0.5, 0.75, 1.0)  # of the depth, as AnomalyGPT taps blocks 8, 16, 24 and 32 of 32


class TransformerMaps(nn.Module):
    """Hidden states of a vision transformer at a quarter, half, three quarters and all of its depth, as maps."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, model: nn.Module, patch: int, mean: list[float], spread: list[float]) -> None:
        super().__init__()
        self.model, self.patch = model, patch
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] * 255)
        self.register_buffer("spread", torch.tensor(spread)[:, None, None] * 255)
        # Models with learnt positions stretch them on demand; those with rotary ones do not accept the option.
        accepted = signature(model.forward).parameters
        self.options = {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in accepted else {}

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return maps (images, hidden size, height / patch, width / patch) of pixels of 0 to 255."""
        high, wide = (n // self.patch for n in pixels.shape[-2:])
        scaled = (pixels - self.mean) / self.spread
        states = self.model(scaled.contiguous(), output_hidden_states=True, **self.options).hidden_states
        picked = [states[max(1, round(share * (len(states) - 1)))] for share in TAPS]
        # Class and register tokens stand before the patches.
        return [one[:, one.shape[1] - high * wide :].transpose(1, 2).unflatten(2, (high, wide)) for one in picked]
