"""EfficientNet-Lite0, the embedded image backbone: the convolutions up to four stages, batch norms folded into them.

The architecture is that of the TensorFlow TPU models (Tan and Le 2019; "Lite": no squeeze-and-excitation, ReLU6), with
TensorFlow's padding. It gives feature maps; it does not classify, resize or normalise pictures.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from faultwise.contracts.errors import UserError

__all__ = ["CHANNELS", "MEAN", "SPREAD", "STRIDES", "EfficientNetLite0"]

# Of the pixels 0..255 that the published weights were trained on.
MEAN, SPREAD = 127.0, 128.0

# (repeats, kernel, stride, expansion, channels) of each group of blocks.
_GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32
_NORM_EPSILON = 1e-3
_STAGE_ENDS = (2, 4, 10, 15)  # the last blocks before the maps get smaller
STRIDES, CHANNELS = (4, 8, 16, 32), (24, 40, 112, 320)


class _Conv(nn.Module):
    """A convolution with TensorFlow's padding, with one more at the end than at the beginning where needed."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, groups: int, bounded: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel, stride, groups=groups)
        self.kernel, self.stride, self.bounded = kernel, stride, bounded

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kernel > 1:
            needed = [max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0) for n in x.shape[-2:]]
            if needed[0] == needed[1] and needed[0] % 2 == 0:
                self.conv.padding = (needed[0] // 2, needed[1] // 2)
            else:
                self.conv.padding = (0, 0)
                high, wide = needed
                x = functional.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        x = self.conv(x)
        return functional.relu6(x, inplace=True) if self.bounded else x


class _Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inside * expansion
        parts = [] if expansion == 1 else [_Conv(inside, wide, 1, 1, 1, True)]
        parts += [_Conv(wide, wide, kernel, stride, wide, True), _Conv(wide, outside, 1, 1, 1, False)]
        self.parts = nn.Sequential(*parts)
        self.added = stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.parts(x)
        return made + x if self.added else made


class EfficientNetLite0(nn.Module):
    """Feature maps of the stages at strides 4, 8, 16 and 32; frozen, for evaluation only.

    `deepest` is the last stage (0 to 3) that is needed: what lies behind it is not computed.
    """

    def __init__(self, deepest: int = 3) -> None:
        super().__init__()
        self.stem = _Conv(3, _STEM, 3, 2, 1, True)
        blocks, inside = [], _STEM
        for repeats, kernel, stride, expansion, outside in _GROUPS:
            for turn in range(repeats):
                blocks.append(_Block(inside, outside, kernel, stride if turn == 0 else 1, expansion))
                inside = outside
        self.blocks = nn.ModuleList(blocks[: _STAGE_ENDS[deepest] + 1])
        self.eval().requires_grad_(False)

    def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Return the stages' maps (images, channels, height / stride, width / stride) of pixels (images, 3, height,
        width) between 0 and 255.
        """
        x = self.stem((pixels - MEAN) / SPREAD)
        made = []
        for at, block in enumerate(self.blocks):
            x = block(x)
            if at in _STAGE_ENDS:
                made.append(x)
        return made

    @classmethod
    def load(cls, file: Path, deepest: int = 3) -> EfficientNetLite0:
        """Read the published weights. Raises UserError for a file with others."""
        network = cls(deepest)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            _take(network.stem, state, "_conv_stem", "_bn0")
            for at, block in enumerate(network.blocks):
                assert isinstance(block, _Block)
                names = ("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")
                for part, (conv, norm) in zip(block.parts, names[-len(block.parts) :], strict=True):
                    _take(part, state, f"_blocks.{at}.{conv}", f"_blocks.{at}.{norm}")
        except Exception as error:  # torch raises nearly anything for a damaged file
            why = (str(error).splitlines() or [""])[0][:120]
            raise UserError(f"`{file}` does not hold the weights of EfficientNet-Lite0 ({why}).") from error
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network


def _take(part: nn.Module, state: dict[str, torch.Tensor], conv: str, norm: str) -> None:
    """Put a convolution's weights into `part`, scaled and shifted as the batch norm behind it would do."""
    assert isinstance(part, _Conv)
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _NORM_EPSILON)
    part.conv.weight.data = state[f"{conv}.weight"] * scale[:, None, None, None]
    assert part.conv.bias is not None
    part.conv.bias.data = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale
