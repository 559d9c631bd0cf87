"""The settings of a fit on images: one dataclass gives defaults, flags, YAML and the manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faultwise.contracts.errors import UserError
from faultwise.contracts.settings import flag
from faultwise.language.settings import DEVICES

__all__ = ["ImageSettings"]

AUGMENTS = ("auto", "none", "mirrored", "flipped", "turned")
RESIZINGS = ("auto", "square", "aspect", "tiles")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Everything a fit on images can be told beside the images."""

    backbone: str = flag("efficientnet-lite0", "image backbone: registered name, hub id or folder", "NAME")
    resizing: str = flag(
        "auto", f"how images are resized: {', '.join(RESIZINGS)}; auto compares them on the good images", "WAY"
    )
    side: int = flag(256, "images get as many pixels as a square of this side", "N")
    augment: str = flag(
        "auto", f"views of 16 good images or fewer: {', '.join(AUGMENTS)}; auto takes what does not look odd", "RECIPE"
    )
    bank: int = flag(32_000, "patches of good images that are remembered at most", "N")
    simulated: int = flag(120, "simulated defects of each kind that the decoder learns from; 0: no decoder", "N")
    held_out: float = flag(0.2, "share of good images (20 or more) set aside for the limits", "SHARE")
    false_alarm_rate: float = flag(0.05, "share of good images that may be called defective", "RATE")
    seed: int = flag(0, "seed of everything random", "N")
    talk: bool = flag(False, "teach the language model to speak of images, for `chat`")
    model: str = flag("smollm2-135m-instruct", "language model: registered name, hub id, folder or .gguf file", "NAME")
    lm_minutes: float = flag(3.0, "training budget of the language model in minutes", "M")
    lm_steps: int | None = flag(None, "training steps instead of minutes: exactly repeatable", "N")
    lm_device: str = flag("auto", f"where the language model runs: {', '.join(DEVICES)}", "WHERE")

    def __post_init__(self) -> None:
        errors = []
        if not 64 <= self.side <= 1024:
            errors.append(f"side is {self.side}, expected 64 to 1024")
        if self.resizing not in RESIZINGS:
            errors.append(f"resizing is `{self.resizing}`, expected one of {', '.join(RESIZINGS)}")
        if self.augment not in AUGMENTS:
            errors.append(f"augment is `{self.augment}`, expected one of {', '.join(AUGMENTS)}")
        if self.bank < 100:
            errors.append(f"bank is {self.bank}, expected 100 or more")
        if not 0 < self.lm_minutes < math.inf:
            errors.append(f"lm_minutes is {self.lm_minutes:g}, expected more than 0")
        if self.lm_steps is not None and self.lm_steps < 1:
            errors.append(f"lm_steps is {self.lm_steps}, expected 1 or more")
        if self.lm_device not in DEVICES:
            errors.append(f"lm_device is `{self.lm_device}`, expected one of {', '.join(DEVICES)}")
        if self.talk and not self.simulated:
            errors.append("talk (--talk) is learnt on simulated defects, and simulated (--simulated) is 0")
        if self.simulated < 0:
            errors.append(f"simulated is {self.simulated}, expected 0 or more")
        if not 0.05 <= self.held_out <= 0.8:
            errors.append(f"held_out is {self.held_out:g}, expected 0.05 to 0.8")
        if not 0.0001 <= self.false_alarm_rate <= 0.5:
            errors.append(f"false_alarm_rate is {self.false_alarm_rate:g}, expected 0.0001 to 0.5")
        if self.seed < 0:
            errors.append(f"seed is {self.seed}, expected 0 or more")
        if errors:
            raise UserError("Settings: " + "; ".join(errors) + ".")
