"""Figures of scores and maps against labels and masks, with the field's names.

Nothing is read or drawn here. AUPRO follows Bergmann et al. (2021): the mean overlap with each defect's region, over
false-positive rates up to 0.3, as a share of what is possible.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

__all__ = ["aupro", "auroc_by_kind", "best_f1", "f1_by_kind", "image_figures", "pixel_auroc"]

_MOST_FALSE = 0.3
_STEPS = 300  # thresholds that the curve is followed at


def image_figures(scores: np.ndarray, bad: np.ndarray, threshold: float) -> dict[str, float | None]:
    """Return `image_auroc`, `best_f1`, `recall` and `false_alarm_rate` for scores and defects (images,).

    Figures that need defective, or good, images are None where there are none.

    >>> made = image_figures(np.array([0.1, 0.2, 0.9]), np.array([False, False, True]), threshold=0.15)
    >>> made["image_auroc"], made["recall"], made["false_alarm_rate"]
    (1.0, 1.0, 0.5)
    """
    from sklearn.metrics import roc_auc_score

    bad = np.asarray(bad, bool)
    both = bad.any() and not bad.all()
    alarms = scores > threshold
    return {
        "image_auroc": float(roc_auc_score(bad, scores)) if both else None,
        "best_f1": best_f1(scores, bad) if both else None,
        "recall": float(alarms[bad].mean()) if bad.any() else None,
        "false_alarm_rate": float(alarms[~bad].mean()) if not bad.all() else None,
    }


def auroc_by_kind(scores: np.ndarray, labels: np.ndarray, good: str) -> dict[str, float | None]:
    """Return the AUROC of each type of defect against the `good` images, for scores and labels (images,)."""
    from sklearn.metrics import roc_auc_score

    fine = labels == good
    return {
        str(label): float(roc_auc_score(~fine[at], scores[at])) if fine.any() else None
        for label in sorted(set(labels[~fine]))
        for at in [(labels == label) | fine]
    }


def f1_by_kind(true: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Return the F1 of each true type of defect; what is predicted may be something else, such as "missed".

    >>> f1_by_kind(["crack", "crack", "hole"], ["crack", "None", "hole"])
    {'crack': 0.6666666666666666, 'hole': 1.0}
    """
    from sklearn.metrics import f1_score

    types = sorted(set(true))
    return dict(zip(types, f1_score(true, predicted, labels=types, average=None).tolist(), strict=True))


def best_f1(scores: np.ndarray, bad: np.ndarray) -> float:
    """Return the highest F1 that any threshold would give: it is chosen on the test, so it flatters."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(bad[order])
    taken = np.arange(1, len(scores) + 1)
    last = np.r_[np.diff(scores[order]) != 0, True]  # equal scores are taken together
    return float((2 * hits / (taken + bad.sum()))[last].max())


def pixel_auroc(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> float | None:
    """Return the AUROC over all pixels of all images; None where no pixel, or each, is marked."""
    from sklearn.metrics import roc_auc_score

    marked = np.concatenate([mask.ravel() for mask in masks])
    if not marked.any() or marked.all():
        return None
    return float(roc_auc_score(marked, np.concatenate([one.ravel() for one in maps])))


def aupro(maps: Sequence[np.ndarray], masks: Sequence[np.ndarray], most_false: float = _MOST_FALSE) -> float | None:
    """Return the area under the per-region overlap up to a false-positive rate, between 0 and 1; None without regions.

    >>> mask = np.zeros((6, 6), bool)
    >>> mask[1:3, 1:3] = True
    >>> aupro([mask.astype(float)], [mask])
    1.0
    """
    good = np.sort(np.concatenate([one[~mask] for one, mask in zip(maps, masks, strict=True)]))
    regions = []
    for one, mask in zip(maps, masks, strict=True):
        marked, count = ndimage.label(mask, np.ones((3, 3)))  # a thin oblique crack is one region
        regions += [np.sort(one[marked == number]) for number in range(1, count + 1)]
    if not regions or not len(good):
        return None
    # Thresholds at even steps of the rate, and some below it, so that ties are crossed by a straight line.
    places = np.r_[np.linspace(1 - most_false, 1, _STEPS), np.linspace(0, 1 - most_false, _STEPS)]
    thresholds = np.unique(good[(places * (len(good) - 1)).round().astype(int)])
    rates = 1 - np.searchsorted(good, thresholds, side="right") / len(good)
    reached = [1 - np.searchsorted(region, thresholds, side="right") / len(region) for region in regions]
    overlap = np.mean(reached, axis=0)
    rates, overlap = np.r_[1.0, rates][::-1], np.r_[1.0, overlap][::-1]
    at = np.r_[rates[rates < most_false], most_false]
    return float(np.trapezoid(np.interp(at, rates, overlap), at) / most_false)
