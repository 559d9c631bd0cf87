"""The settings of a fit on images, and how a folder of images is read: defaults, flags, YAML, manifest."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faultwise.contracts.language import DEVICES
from faultwise.contracts.settings import nested, option, refuse_problems

if TYPE_CHECKING:
    from faultwise.images.data.image_sets import FolderReading

__all__ = ["ImageQuery", "ImageReading", "ImageSettings", "TalkSettings"]


LAYOUTS = ("mvtec", "pairs", "coco", "labelme", "yolo", "list", "folders", "plain")
_LATER = ("evaluate", "diagnose")


@dataclass(frozen=True, slots=True)
class TalkSettings:
    """How the language model learns to answer questions about images."""

    model: str = option("smollm2-135m-instruct", "registered name, hub id, folder or .gguf file", "NAME")
    minutes: float = option(3.0, "training budget in minutes", "M", above=0, below=math.inf)
    steps: int | None = option(None, "training steps instead of minutes: exactly repeatable", "N", low=1)
    device: str = option("auto", "where it runs", "DEVICE", choices=DEVICES)

    def __post_init__(self) -> None:
        refuse_problems(self)


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """The settings of a fit on images. Raises UserError that names all values out of range."""

    backbone: str = option(
        "efficientnet-lite0", "image backbone: registered name, hub id or folder", "NAME", flags=("fit",)
    )
    zero_shot: str | None = option(
        None, "no good images: compare with texts about this part (needs a CLIP backbone)", "PART", quiet=("fit",)
    )
    resizing: str = option(
        "auto",
        "how images are resized; auto compares the methods on the good images",
        "METHOD",
        choices=("auto", "square", "aspect", "tiles"),
    )
    side: int = option(256, "images get as many pixels as a square of this side", "N", low=64, high=1024)
    augment: str = option(
        "auto",
        "views of 16 good images or fewer; auto takes those that score as normal",
        "RECIPE",
        choices=("auto", "none", "mirrored", "flipped", "turned"),
    )
    bank: int = option(32_000, "patches of good images that are remembered at most", "N", low=100)
    simulated: int = option(
        120, "simulated defects of each type that the decoder learns from; 0: no decoder", "N", low=0
    )
    held_out: float = option(
        0.2, "share of good images (20 or more) held out for the thresholds", "SHARE", low=0.05, high=0.8
    )
    false_alarm_rate: float = option(
        0.05, "share of good images that may be flagged as defective", "RATE", low=0.0001, high=0.5, flags=("fit",)
    )
    seed: int = option(0, "seed of everything random", "N", low=0, flags=("fit",))
    talk: bool = option(False, "teach the language model to answer questions about images, for `chat`", quiet=("fit",))
    language: TalkSettings = nested(TalkSettings)

    def __post_init__(self) -> None:
        speechless = self.talk and not self.simulated
        nameless = self.zero_shot is not None and not self.zero_shot.strip()
        refuse_problems(
            self,
            "talk (--talk) is learnt on simulated defects, and simulated is 0" if speechless else "",
            "zero_shot takes the part's name, such as `metal nut`: it is empty" if nameless else "",
        )


@dataclass(frozen=True, slots=True)
class ImageReading:
    """Which images of a folder are meant, and how their labels are found."""

    category: str | None = option(
        None, "which of several categories of a folder", "NAME", flags=("fit", "evaluate", "diagnose")
    )
    normal: str | None = option(
        None, "the label that means normal (default: found by its name)", "LABEL", flags=("fit",), quiet=_LATER
    )
    layout: str | None = option(
        None,
        "how a folder of images is read, where it fits several layouts",
        "NAME",
        choices=LAYOUTS,
        quiet=("fit", *_LATER),
    )

    def __post_init__(self) -> None:
        refuse_problems(self)

    def for_folder(self) -> FolderReading:
        """Return the same for the reading of folders."""
        from faultwise.images.data.image_sets import FolderReading

        return FolderReading(self.category, self.layout, self.normal)


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """Options of a diagnosis of images: none yet."""
