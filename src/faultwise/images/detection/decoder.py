"""The localisation decoder: how much each patch looks like a defect, learnt on simulated ones.

AnomalyGPT's decoder is one linear layer a stage; here a hidden layer looks at a patch and one at its neighbours. It
learns with focal loss (Lin et al. 2017) and Dice loss (Milletari et al. 2016), weight 1 each, as published. The
variants known from practice are settings: weighted and adaptive focal loss, normalisation, dropout, a residual
path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from faultwise.contracts.errors import RunFolderError, UserError

__all__ = ["Decoder", "DecoderSettings", "decoder_loss", "load_decoder", "trained"]

FOCALS = ("plain", "weighted", "adaptive")
NORMS = ("none", "batch", "layer")
_FOCAL_SCALE = 4.0  # focal loss of a balanced patch is small beside Dice: brought to one size
_TARGET, _SMOOTH = 0.3, 1.0
_BATCH, _DECAY = 16, 1e-2
_SMALLEST = 1e-4


@dataclass(frozen=True, slots=True)
class DecoderSettings:
    """How a decoder is built and trained. `focal` is one of FOCALS, `norm` of NORMS; the defaults are the plainest
    variants: none of the others was clearly better."""

    hidden: int = 96
    norm: str = "none"
    dropout: float = 0.0
    residual: bool = False
    focal: str = "plain"
    gamma: float = 2.0
    rate: float = 2e-3
    steps: int = 400

    def __post_init__(self) -> None:
        if self.focal not in FOCALS or self.norm not in NORMS:
            raise UserError(
                f"Decoder: focal is `{self.focal}`, expected {', '.join(FOCALS)}; norm is `{self.norm}`, expected "
                f"{', '.join(NORMS)}."
            )
        if self.hidden < 1 or not 0 <= self.dropout < 1 or self.gamma < 0 or self.rate <= 0 or self.steps < 1:
            raise UserError("Decoder: expected hidden, rate and steps above 0, gamma from 0, dropout from 0 below 1.")


class Decoder(nn.Module):
    """Maps (images, channels, rows, columns) to logits (images, rows, columns)."""

    mean: torch.Tensor
    spread: torch.Tensor

    def __init__(self, channels: int, settings: DecoderSettings | None = None) -> None:
        super().__init__()
        self.settings = settings or DecoderSettings()
        hidden = self.settings.hidden
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("spread", torch.ones(1, channels, 1, 1))
        self.patch = nn.Conv2d(channels, hidden, 1)
        norms: dict[str, Callable[[], nn.Module]] = {
            "none": nn.Identity,
            "batch": lambda: nn.BatchNorm2d(hidden),
            "layer": lambda: nn.GroupNorm(1, hidden),
        }
        self.norm = norms[self.settings.norm]()
        self.around = nn.Conv2d(hidden, hidden if self.settings.residual else 64, 3, padding=1)
        self.drop = nn.Dropout(self.settings.dropout)
        self.out = nn.Conv2d(self.around.out_channels, 1, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return logits (images, rows, columns)."""
        patch = functional.relu(self.norm(self.patch((maps - self.mean) / self.spread)))
        around = functional.relu(self.around(self.drop(patch)))
        made: torch.Tensor = self.out(around + patch if self.settings.residual else around)[:, 0]
        return made

    def logits(self, map_: np.ndarray) -> np.ndarray:
        """Return the logits (rows, columns) of one image's map (rows, columns, channels)."""
        with torch.inference_mode():
            return np.asarray(self(torch.from_numpy(map_).permute(2, 0, 1)[None].float())[0].numpy())

    def save(self, folder: Path) -> None:
        """Write `decoder.safetensors`."""
        from safetensors.torch import save_file

        save_file(self.state_dict(), folder / "decoder.safetensors")


def load_decoder(folder: Path, settings: DecoderSettings | None = None) -> Decoder:
    """Read what `save` wrote. Raises RunFolderError for anything else."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(folder / "decoder.safetensors")
        made = Decoder(state["mean"].shape[1], settings)
        made.load_state_dict(state)
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise RunFolderError(f"`{folder}` holds no decoder that can be read ({error}): fit again.") from error
    return made.eval()


def trained(
    maps: Sequence[np.ndarray],
    labels: Sequence[np.ndarray | None],
    settings: DecoderSettings | None = None,
    seed: int = 0,
) -> Decoder:
    """Return a decoder trained on maps (rows, columns, channels) and labels (height, width; 0 to 1), None for good.

    Images of one shape make a batch. Raises UserError where no label marks a defect.
    """
    settings = settings or DecoderSettings()
    targets = [_target(one, label) for one, label in zip(maps, labels, strict=True)]
    if not any(one.any() for one in targets):
        raise UserError("A decoder learns from good images and defects: no label marks a defect.")
    shapes = sorted({one.shape for one in maps})
    of_shape = [[at for at, one in enumerate(maps) if one.shape == shape] for shape in shapes]
    stacks = [torch.from_numpy(np.stack([maps[at] for at in group])).permute(0, 3, 1, 2) for group in of_shape]
    wanted = [torch.from_numpy(np.stack([targets[at] for at in group])).float() for group in of_shape]
    weights = _class_weights(targets)
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Decoder(stacks[0].shape[1], settings)
        flat = torch.cat(
            [stack.transpose(0, 1).flatten(1)[:, :: 1 + stack.numel() // 20_000_000] for stack in stacks], 1
        )
        model.mean[0, :, 0, 0], model.spread[0, :, 0, 0] = flat.mean(dim=1), flat.std(dim=1) + _SMALLEST
        del flat
        optimiser = torch.optim.AdamW(model.parameters(), settings.rate, weight_decay=_DECAY)
        plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, total_steps=settings.steps)
        share = torch.tensor([float(len(group)) for group in of_shape])
        for _ in range(settings.steps):
            group = int(torch.multinomial(share, 1, generator=generator))
            at = torch.randint(len(stacks[group]), (min(_BATCH, len(stacks[group])),), generator=generator)
            some, target = stacks[group][at], wanted[group][at]
            for axis in (1, 2):  # mirrored, for defects lie anywhere
                if torch.rand((), generator=generator) < 0.5:
                    some, target = some.flip(axis + 1), target.flip(axis)
            loss = decoder_loss(model(some), target, settings, weights)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            plan.step()
    return model.eval()


def decoder_loss(
    logits: torch.Tensor, target: torch.Tensor, settings: DecoderSettings, weights: tuple[float, float] = (1.0, 1.0)
) -> torch.Tensor:
    """Return focal plus Dice loss of logits (images, rows, columns) for a target of zeros and ones.

    `weights` are those of good and of defective patches, from their frequency: "weighted" multiplies the focal loss by
    them, "adaptive" divides gamma by them.
    """
    chance = logits.sigmoid()
    right = chance * target + (1 - chance) * (1 - target)
    weight = torch.where(target > 0, weights[1], weights[0])
    gamma = settings.gamma / weight if settings.focal == "adaptive" else settings.gamma
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (1 - right).clamp_min(1e-6) ** gamma * entropy
    total = _FOCAL_SCALE * (focal * weight if settings.focal == "weighted" else focal).mean()
    has = target.flatten(1).any(dim=1)
    if has.any():  # Dice is not defined for a good image
        chance, target = chance.flatten(1)[has], target.flatten(1)[has]
        both = (chance * target).sum(dim=1)
        total = total + (1 - (2 * both + _SMOOTH) / (chance.sum(dim=1) + target.sum(dim=1) + _SMOOTH)).mean()
    return total


def _target(map_: np.ndarray, label: np.ndarray | None) -> np.ndarray:
    """Return for each patch whether a label above 0.3 lies anywhere in it, (rows, columns; bool)."""
    rows, columns = map_.shape[:2]
    if label is None:
        return np.zeros((rows, columns), bool)
    at = np.argwhere(label > _TARGET)
    made = np.zeros((rows, columns), bool)
    made[at[:, 0] * rows // label.shape[0], at[:, 1] * columns // label.shape[1]] = True
    return made


def _class_weights(targets: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return inverse class frequencies of good and defective patches, with mean 1 over the classes."""
    share = sum(float(one.sum()) for one in targets) / sum(one.size for one in targets)
    inverse = np.array([1 / (1 - share), 1 / share]) if 0 < share < 1 else np.ones(2)
    good, bad = (inverse / inverse.mean()).tolist()
    return good, bad
