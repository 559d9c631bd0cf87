"""Figures of scores and maps, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest

from faultwise.images.metrics import aupro, best_f1, image_figures, pixel_auroc


def test_figures_of_images() -> None:
    rng = np.random.default_rng(0)
    scores, bad = rng.normal(size=200), rng.random(200) < 0.3
    found = image_figures(scores + 2 * bad, bad, threshold=1.0)
    thresholds = np.unique(scores + 2 * bad)
    f1 = []
    for threshold in thresholds:
        taken = scores + 2 * bad >= threshold
        f1.append(2 * (taken & bad).sum() / (taken.sum() + bad.sum()))
    assert found["best_f1"] == pytest.approx(max(f1))
    assert best_f1(np.ones(4), np.array([True, False, False, False])) == pytest.approx(0.4)
    only = image_figures(scores, np.zeros(200, bool), 0.0)
    assert only["image_auroc"] is None
    assert only["recall"] is None


def test_figures_of_maps() -> None:
    rng = np.random.default_rng(0)
    masks = [np.zeros((20, 20), bool) for _ in range(6)]
    for mask in masks[:4]:
        mask[2:6, 3:9] = True
    masks[0][12:18, 12:18] = True
    perfect = [mask.astype(float) for mask in masks]
    noise = [rng.random((20, 20)) for _ in masks]
    half = [one.copy() for one in perfect]
    half[0][12:18, 12:18] = 0  # one of the five regions is missed
    assert aupro(perfect, masks) == pytest.approx(1)
    assert pixel_auroc(perfect, masks) == pytest.approx(1)
    found, missed = aupro(noise, masks), aupro(half, masks)
    assert found == pytest.approx(0.15, abs=0.06)  # overlap equals the rate: half of 0.3
    assert missed == pytest.approx(0.83, abs=0.001)  # the missed one and the good pixels are tied: a straight line
    assert aupro(noise, [np.zeros((20, 20), bool)] * 6) is None
    assert pixel_auroc(noise, [np.zeros((20, 20), bool)] * 6) is None
