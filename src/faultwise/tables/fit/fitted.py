"""What a fit on a table leaves: everything that a diagnosis needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from faultwise.evidence.normal import NormalBand
from faultwise.tables.checks.input_checks import InputChecks
from faultwise.tables.checks.rules import Rules
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.verdicts.calibration import Calibration
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.novelty import Novelty

__all__ = ["REFERENCE_ROWS", "Fitted"]

REFERENCE_ROWS = 200


@dataclass
class Fitted:
    """Everything a diagnosis needs: encoder, ensemble, normal band, reference rows, and the record.

    Without `calibration` fault sets have no promised coverage, and no row is classified as unknown.
    `seen` holds the sorted hashes of all rows of the fit, so that an evaluation can tell when it judges them again.
    """

    encoder: WindowEncoder
    ensemble: Ensemble
    band: NormalBand
    reference: pd.DataFrame
    seen: np.ndarray
    notes: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    novelty: Novelty | None = None
    calibration: Calibration | None = None
    inputs: InputChecks = field(default_factory=InputChecks)

    @property
    def monitored(self) -> bool:
        """Whether this was fitted on normal rows alone: scores are then no probabilities."""
        return bool(self.record.get("normal_only"))
