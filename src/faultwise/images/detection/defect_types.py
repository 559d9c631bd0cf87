"""Which type of defect a region shows, where types were marked: a classifier on measures of the region.

Beside a template the measures say which way the region differs, how large it is, and how bright and dark parts hang
together in the image and in its template: a short joins two parts, an open parts one, a pin-hole lies inside, a mouse
bite at a rim. They know nothing of boards. Without a template they are the region's patches, its shape and its
contrast. The examples are few, so they are what is kept, and the model is fitted again after loading.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from faultwise.contracts.errors import RunFolderError
from faultwise.images.detection.patches import Patches
from faultwise.images.detection.templates import Comparison

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.pipeline import Pipeline

__all__ = ["DefectTypes", "patch_measures", "region_measures"]

_LEAST_HALF = 8  # pixels around a region's middle that are taken, at the least
_SPECK = 6  # pixels: smaller parts are noise
FILE = "defect_types.safetensors"
_TREES = 300
_SHRUNK = 0.01  # inverse strength of the penalty: the best of 0.01 and 0.1


class DefectTypes:
    """Learns types of defects from measures (regions, measures); with fewer than two types nothing is named.

    Trees, or with `linear` logistic regression on standardised measures: on simulated types of defects, measured by
    their patches, it has a macro-F1 of 0.70 with four examples each (trees 0.66) and 0.82 with twenty (0.81).
    """

    def __init__(self, seed: int = 0, linear: bool = False) -> None:
        self.seed, self.linear = seed, linear
        self.measures = np.empty((0, 0))
        self.labels: list[str] = []
        self._model: Pipeline | ExtraTreesClassifier | None = None

    @property
    def names(self) -> list[str]:
        """The types of which there are examples, in order."""
        return sorted(set(self.labels))

    def fit(self, measures: np.ndarray, labels: Sequence[str]) -> DefectTypes:
        """Keep the examples and learn from them."""
        self.measures, self.labels, self._model = np.asarray(measures, np.float64), list(labels), None
        if len(self.names) > 1:
            self._model = self._new_model().fit(self.measures, np.array(self.labels))
        return self

    def _new_model(self) -> Pipeline | ExtraTreesClassifier:
        if self.linear:
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import StandardScaler

            plain = LogisticRegression(C=_SHRUNK, class_weight="balanced", max_iter=2_000)
            return make_pipeline(StandardScaler(), plain)
        from sklearn.ensemble import ExtraTreesClassifier

        return ExtraTreesClassifier(_TREES, max_features=0.3, class_weight="balanced", n_jobs=1, random_state=self.seed)

    def named(self, measures: np.ndarray) -> list[tuple[str, float]] | None:
        """Return the likeliest type of each region and its probability; None where no types were learnt."""
        if self._model is None:
            return None
        if not len(measures):
            return []
        shares = self._model.predict_proba(np.asarray(measures, np.float64))
        return [(str(self._model.classes_[row.argmax()]), float(row.max())) for row in shares]

    def save(self, folder: Path) -> None:
        """Write `defect_types.safetensors`: the examples."""
        from safetensors.numpy import save_file

        names = self.names
        codes = np.array([names.index(label) for label in self.labels], np.int64)
        save_file({"measures": self.measures, "codes": codes}, folder / FILE, {"names": json.dumps(names)})

    def load(self, folder: Path) -> DefectTypes:
        """Read what `save` wrote. Raises RunFolderError for anything else."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(folder / FILE, "numpy") as file:
                names = json.loads(file.metadata()["names"])
                measures, codes = file.get_tensor("measures"), file.get_tensor("codes")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunFolderError(
                f"`{folder}` holds no types of defects that can be read ({error}): fit again."
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
    differs = np.abs(difference) > levels / 2
    rim = ndimage.binary_dilation(differs, iterations=4) & ~ndimage.binary_dilation(differs, iterations=2)
    made = [right - left, bottom - top, difference.sum() / 255]
    made += [(difference > levels / 2).sum(), (difference < -levels / 2).sum(), template.mean(), image.mean()]
    for one in (template, image):
        made += [_parts(one > between), _parts(one <= between)]
    for one in (template, image):
        made += [(one[rim] > between).mean() if rim.any() else 0.0]
    for one in (image, template):
        made += [_parts(rim & (one > between)), _parts(rim & (one <= between))]
    return np.array([*made, _parts(differs)], float)


def patch_measures(
    patches: Patches, values: np.ndarray, box: Sequence[int], contrast: float, shape: tuple[int, int]
) -> np.ndarray:
    """Return the measures of a region of an image `shape` (height, width), by what its patches show, (measures,).

    `values` (rows, columns) are anomaly scores: the highest patches count most. `box` is (left, top, right, bottom).
    """
    rows, columns = values.shape
    left, top, right, bottom = (int(one) for one in box)
    down = slice(top * rows // shape[0], max(top * rows // shape[0] + 1, -(-bottom * rows // shape[0])))
    across = slice(left * columns // shape[1], max(left * columns // shape[1] + 1, -(-right * columns // shape[1])))
    here = values[down, across]
    weights = np.exp(here - here.max())[:, :, None]
    mean = (patches.vectors[down, across] * weights).sum(axis=(0, 1)) / weights.sum()
    high, wide = (bottom - top) / shape[0], (right - left) / shape[1]
    shown = [high, wide, np.log((bottom - top) / (right - left)), contrast / 255, float(here.max())]
    return np.concatenate([mean, shown])


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
