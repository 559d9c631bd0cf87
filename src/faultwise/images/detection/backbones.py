"""Image backbones behind one interface: the embedded EfficientNet-Lite0, or a vision model of the hub (DINOv2, CLIP).

A backbone turns pixels into the feature maps of several stages, the finest first. It is frozen. What is done with the
maps is decided elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise.contracts.errors import UserError
from faultwise.hub import resolve

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig

__all__ = ["EMBEDDED", "Backbone", "load_backbone", "normalisation"]

EMBEDDED = "efficientnet-lite0"


class Backbone:
    """A frozen network that gives maps of stages. `strides` and `channels` are those of each."""

    def __init__(self, name: str, network: nn.Module, strides: tuple[int, ...], channels: tuple[int, ...]) -> None:
        self.name, self.network, self.strides, self.channels = name, network, strides, channels

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Return float32 maps (images, channels, height / stride, width / stride) of pixels (images, 3, height, width).

        Pixels lie between 0 and 255; height and width are multiples of the largest stride.
        """
        import torch

        with torch.inference_mode():
            device = next(self.network.parameters()).device
            layout = pixels.to(device, torch.float32).contiguous(memory_format=torch.channels_last)
            made = self.network(layout)
        return [one.float().cpu() for one in made]


def load_backbone(name: str = EMBEDDED, device: str = "cpu", deepest: int = 3) -> Backbone:
    """Return a backbone by the name of the embedded one, a folder, or an id of the hub (owner/name).

    `deepest` is the last stage that is needed: of the embedded one, what lies behind it is not computed. Raises
    UserError (HubError) for what cannot be had, or is no vision model with patches.
    """
    if name == EMBEDDED:
        from faultwise.images.detection.efficientnet import CHANNELS, STRIDES, EfficientNetLite0

        embedded = EfficientNetLite0.load(resolve(EMBEDDED), deepest).to(device)
        return Backbone(name, embedded, STRIDES[: deepest + 1], CHANNELS[: deepest + 1])
    from faultwise.images.detection.transformer_maps import TAPS, TransformerMaps

    folder = resolve(name)
    model, config = _vision_model(name, folder)
    patch = config.patch_size
    mean, spread = normalisation(folder)
    network = TransformerMaps(model, patch, mean, spread).eval().requires_grad_(False).to(device)
    return Backbone(name, network, (patch,) * len(TAPS), (config.hidden_size,) * len(TAPS))


def _vision_model(name: str, folder: Path) -> tuple[nn.Module, PretrainedConfig]:
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"`{name}` cannot be loaded as a model ({str(error).splitlines()[0][:160]}).") from error
    model = getattr(model, "vision_model", model)  # of CLIP and SigLIP, the half that sees
    config: PretrainedConfig | None = getattr(model, "config", None)
    if config is None or not isinstance(getattr(config, "patch_size", None), int) or not hasattr(config, "hidden_size"):
        raise UserError(
            f"`{name}` is no vision transformer with square patches: take a DINOv2, CLIP, SigLIP or ViT model, or "
            f"`{EMBEDDED}`."
        )
    return model, config


def normalisation(folder: Path) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of the channels as the model's preprocessor has them, else halves."""
    file = folder / "preprocessor_config.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return known.get("image_mean", [0.5] * 3), known.get("image_std", [0.5] * 3)
