"""The result for one image: a score against its threshold, regions, and the sentences about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from faultwise.contracts.diagnosis import Sentence
from faultwise.images.detection.regions import Region
from faultwise.images.detection.thresholds import Threshold

__all__ = ["Inspection"]

_IN_WORDS = 3  # regions put into words


@dataclass(frozen=True, slots=True)
class Inspection:
    """The result for one image: `score` against `threshold`, and the `regions` above theirs, the strongest first.

    `p_value` is the share of held-out good images that scored as high or higher, None where none were held out.
    `scores` is the anomaly map (rows, columns; float32 or uint8) that regions were found on, before it is stretched to
    the image; `read` gives the image's pixels (height, width, 3; uint8) anew.
    """

    name: str
    score: float
    threshold: Threshold
    defective: bool
    p_value: float | None
    regions: tuple[Region, ...]
    region_threshold: float
    scores: np.ndarray
    read: Callable[[], np.ndarray]

    @property
    def label(self) -> str:
        """The verdict in one word."""
        return "defective" if self.defective else "good"

    @property
    def defect(self) -> str | None:
        """The type of the strongest region's defect, None where there is no region or types were not learnt."""
        return self.regions[0].defect if self.regions else None

    @property
    def sentences(self) -> tuple[Sentence, ...]:
        """The verdict in a sentence, and one for each of the three strongest regions, bound to their ids R1, R2, ..."""
        share = (
            "" if self.p_value is None else f"; {self.p_value:.0%} of the held-out good images score as high or higher"
        )
        head = "Defective" if self.defective else "No defect found"
        verdict = f"{head}: {self.name}, score {self.score:.3f}, threshold {self.threshold.value:.3f}{share}."
        shown = enumerate(self.regions[:_IN_WORDS], 1)
        return Sentence(verdict), *(Sentence(self._about(region), (f"R{number}",)) for number, region in shown)

    @property
    def words(self) -> str:
        """All sentences as one text."""
        return " ".join(one.text for one in self.sentences)

    def _about(self, region: Region) -> str:
        tone = f"{abs(region.contrast):.0f} grey levels {'darker' if region.contrast < 0 else 'brighter'}"
        than = f"{tone} than around" if abs(region.contrast) >= 1 else "as bright as around"
        left, top, right, bottom = region.box
        size = f"{right - left} x {bottom - top} pixels from ({left}, {top})"
        if region.defect is None:
            last = f"{region.score / self.region_threshold:.1f} times the threshold of regions"
        else:
            last = f"its defect type is {region.defect} ({region.probability:.0%})"
        return f"At the {region.place}, {size}, {than}, {last}."
