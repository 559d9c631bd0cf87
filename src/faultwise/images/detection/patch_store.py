"""Patches of many images in one large array from the start: many small arrays between a network's buffers tear the
memory to pieces.

Of images with many patches (tiles) some are drawn, so that the array stays bounded.
"""

from __future__ import annotations

import numpy as np

from faultwise.images.detection.patches import Patches

__all__ = ["PatchStore"]

_MOST = 2_000_000  # patches of all images together
_ALWAYS = 256  # of an image, whatever the others have


class PatchStore:
    """Holds the patches of `images` images, which are added one by one."""

    def __init__(self, images: int) -> None:
        self.images, self.each = images, max(_ALWAYS, _MOST // images)
        self.rng = np.random.default_rng(0)
        self.counts = list[int]()
        self._room = np.empty((0, 0), np.float32)

    @property
    def points(self) -> np.ndarray:
        """All patches so far (patches, components)."""
        return self._room[: sum(self.counts)]

    def owners(self, each: int = 1) -> np.ndarray:
        """Return the number of the picture that each patch is from (patches,), where `each` images show one picture."""
        return np.repeat(np.arange(len(self.counts)) // each, self.counts)

    def add(self, one: Patches) -> None:
        """Take one image's patches: there is room for as many of the others as the first has."""
        used, more = sum(self.counts), one.flat
        if len(more) > self.each:
            more = more[np.sort(self.rng.choice(len(more), self.each, replace=False))]
        if used + len(more) > len(self._room):
            rows = 2 * (used + len(more)) if used else len(more) * self.images
            larger = np.empty((rows, more.shape[1]), np.float32)
            if used:
                larger[:used] = self._room[:used]
            self._room = larger
        self._room[used : used + len(more)] = more
        self.counts.append(len(more))
