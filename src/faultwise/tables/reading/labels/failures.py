"""Failures of assets with the horizon in which they are to be announced: what a forecast is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Failures"]


@dataclass(frozen=True, slots=True)
class Failures:
    """Asset (text), time and fault of each failure, shape (failures,), in order of time within an asset.

    `horizon` is the span before a failure in which rows have its label, on the clock of the rows, whose unit in
    seconds is `unit` (None where it is not known).
    """

    assets: np.ndarray
    times: np.ndarray
    faults: np.ndarray
    horizon: float
    unit: float | None
