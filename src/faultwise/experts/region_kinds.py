"""Which kind of defect a region is, where kinds were marked: extremely randomised trees on what changed and around it.

The measures say which way the region differs, how large it is, and how bright and dark parts hang together in the image
and in its template: a short joins two parts, an open parts one, a pin-hole lies inside, a mouse bite at a rim. They
know nothing of boards. The examples are few, so they are what is kept, and the trees are grown again after loading.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from faultwise.errors import RunFolderError
from faultwise.experts.templates import Comparison

__all__ = ["RegionKinds", "region_measures"]

_LEAST_HALF = 8  # pixels around a region's middle that are looked at, at the least
_SPECK = 6  # pixels: smaller parts are noise
_TREES = 300


class RegionKinds:
    """Learns kinds from measures (regions, measures); with fewer than two kinds nothing is named."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.measures = np.empty((0, 0))
        self.kinds: list[str] = []
        self._model: Any = None

    def fit(self, measures: np.ndarray, kinds: Sequence[str]) -> RegionKinds:
        """Keep the examples and grow the trees."""
        self.measures, self.kinds, self._model = np.asarray(measures, np.float64), list(kinds), None
        if len(set(self.kinds)) > 1:
            from sklearn.ensemble import ExtraTreesClassifier

            self._model = ExtraTreesClassifier(
                _TREES, max_features=0.3, class_weight="balanced", n_jobs=1, random_state=self.seed
            ).fit(self.measures, np.array(self.kinds))
        return self

    def named(self, measures: np.ndarray) -> list[tuple[str, float]] | None:
        """Return the likeliest kind of each region and its share of the trees; None where no kinds were learnt."""
        if self._model is None:
            return None
        if not len(measures):
            return []
        shares = self._model.predict_proba(np.asarray(measures, np.float64))
        return [(str(self._model.classes_[row.argmax()]), float(row.max())) for row in shares]

    def save(self, folder: Path) -> None:
        """Write `kinds.safetensors`: the examples."""
        from safetensors.numpy import save_file

        names = sorted(set(self.kinds))
        codes = np.array([names.index(kind) for kind in self.kinds], np.int64)
        save_file({"measures": self.measures, "codes": codes}, folder / "kinds.safetensors", {"|".join(names): ""})

    def load(self, folder: Path) -> RegionKinds:
        """Read what `save` wrote. Raises RunFolderError for anything else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(folder / "kinds.safetensors", "numpy") as file:
                names = next(iter(file.metadata())).split("|")
                measures, codes = file.get_tensor("measures"), file.get_tensor("codes")
        except (OSError, SafetensorError, StopIteration) as error:
            raise RunFolderError(
                f"`{folder}` holds no kinds of defects that can be read ({error}): fit again."
            ) from error
        return self.fit(measures, [names[code] for code in codes])


def region_measures(comparison: Comparison, box: Sequence[int], levels: float) -> np.ndarray:
    """Return the measures of one region's box (left, top, right, bottom), (18,)."""
    left, top, right, bottom = (int(one) for one in box)
    half = max(_LEAST_HALF, (max(right - left, bottom - top) + 1) // 2)
    middle = (top + bottom) // 2, (left + right) // 2
    template, image, difference = (
        _around(one, middle, half) for one in (comparison.template, comparison.image, comparison.difference)
    )
    between = _between(template)
    odd = np.abs(difference) > levels / 2
    rim = ndimage.binary_dilation(odd, iterations=4) & ~ndimage.binary_dilation(odd, iterations=2)
    made = [right - left, bottom - top, difference.sum() / 255]
    made += [(difference > levels / 2).sum(), (difference < -levels / 2).sum(), template.mean(), image.mean()]
    for one in (template, image):
        made += [_parts(one > between), _parts(one <= between)]
    for one in (template, image):
        made += [(one[rim] > between).mean() if rim.any() else 0.0]
    for one in (image, template):
        made += [_parts(rim & (one > between)), _parts(rim & (one <= between))]
    return np.array([*made, _parts(odd)], float)


def _around(values: np.ndarray, middle: tuple[int, int], half: int) -> np.ndarray:
    padded = np.pad(values, half, mode="edge")
    return padded[middle[0] : middle[0] + 2 * half, middle[1] : middle[1] + 2 * half]


def _between(values: np.ndarray) -> float:
    """Return the level between bright and dark: the middle of the extremes, for the parts are two-toned here."""
    return (float(values.min()) + float(values.max())) / 2 if np.ptp(values) > 1 else 127.0


def _parts(marked: np.ndarray) -> int:
    """Return how many connected parts larger than a speck there are."""
    labels, count = ndimage.label(marked)
    return int((np.bincount(labels.ravel())[1:] >= _SPECK).sum()) if count else 0
