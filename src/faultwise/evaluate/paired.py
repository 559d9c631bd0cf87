"""Tests of paired differences over repeated splits of the same rows, with Holm's adjustment for several of them.

Training parts of repeated splits share rows, so their results are not independent and a plain t-test finds differences
that are none. Source of the correction: Nadeau and Bengio, "Inference for the generalization error" (Machine Learning
52, 2003). Means with intervals by the same correction are `summary.interval`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["corrected_test", "holm"]


def corrected_test(differences: Sequence[float], ratio: float) -> float | None:
    """Return the two-sided p-value of the corrected resampled t-test that the mean difference is zero.

    `differences` has one value per split, `ratio` is test rows per training row: the variance of the mean is taken as
    (1/n + ratio) times that of the n differences. None for fewer than two splits, which allow no test.

    >>> round(corrected_test([0.1, 0.3], ratio=1.0), 4)
    0.4544
    """
    given = np.asarray(differences, dtype=float)
    n = len(given)
    if n < 2:
        return None
    mean, deviation = float(given.mean()), float(given.std(ddof=1))
    if deviation <= 1e-12 * max(1.0, abs(mean)):  # the same difference in every split, up to the last digits
        return 1.0 if abs(mean) <= 1e-12 else 0.0
    from scipy.stats import t

    return float(2 * t.sf(abs(mean) / (deviation * np.sqrt(1 / n + ratio)), n - 1))


def holm(p: Sequence[float]) -> list[float]:
    """Return the p-values of several tests adjusted so that any false finding among them keeps its probability.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (Scand. Journal of Statistics 6, 1979).

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    adjusted = [1.0] * len(p)
    largest = 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=lambda at: p[at])):
        largest = max(largest, min(1.0, (len(p) - rank) * p[at]))
        adjusted[at] = largest
    return adjusted
