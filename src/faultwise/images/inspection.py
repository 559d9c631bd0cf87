"""What is said of one image: a score against its limit, regions, and the words for them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from faultwise.images.detection.regions import Region
from faultwise.verdicts.thresholds import GoodLimit

__all__ = ["Inspection"]

_SAID = 3  # regions put into words


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is said of one image: `score` against `limit`, the `regions` above theirs, and the map (height, width).

    `as_odd` is the share of good images set aside that scored as high or higher, None where none were set aside. The
    image itself is kept as `pixels` (height, width, 3; uint8), for the report.
    """

    name: str
    score: float
    limit: GoodLimit
    defective: bool
    as_odd: float | None
    regions: tuple[Region, ...]
    heat: np.ndarray
    region_limit: float
    pixels: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """Return everything but map and pixels, ready for JSON."""
        return {
            "image": self.name,
            "defective": self.defective,
            "score": self.score,
            "limit": self.limit.value,
            "as_odd": self.as_odd,
            "kind": self.kind,
            "regions": [asdict(region) for region in self.regions],
            "words": self.words,
        }

    @property
    def kind(self) -> str | None:
        """The kind of the strongest region, None where there is none or kinds were not learnt."""
        return self.regions[0].kind if self.regions else None

    @property
    def words(self) -> str:
        """The verdict in a sentence, and one for each of the three strongest regions."""
        share = "" if self.as_odd is None else f"; {self.as_odd:.0%} of the good images set aside are as odd"
        head = "Defective" if self.defective else "No defect found"
        made = [f"{head}: {self.name}, score {self.score:.3f}, limit {self.limit.value:.3f}{share}."]
        for region in self.regions[:_SAID]:
            tone = f"{abs(region.contrast):.0f} grey levels {'darker' if region.contrast < 0 else 'brighter'}"
            than = f"{tone} than around" if abs(region.contrast) >= 1 else "as bright as around"
            left, top, right, bottom = region.box
            made.append(
                f"At the {region.place}, {right - left} x {bottom - top} pixels from ({left}, {top}), {than}, "
                + (
                    f"its kind is {region.kind} ({region.sure:.0%})."
                    if region.kind
                    else f"{region.score / self.region_limit:.1f} times the limit of regions."
                )
            )
        return " ".join(made)
