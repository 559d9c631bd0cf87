"""Findings about variables: value, normal range, deviation, contribution, interval.

Each variable gives at most one finding, about that measure of it (value, mean, spread, slope) which lies
furthest from normal. Findings are ranked by contribution to the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from faultwise.contracts.about import About, Variable
from faultwise.contracts.findings import Direction, Interval, Measure, VariableFinding
from faultwise.evidence.normal import NormalBand

__all__ = ["variable_findings"]


def variable_findings(
    row: pd.DataFrame,
    origin: Sequence[tuple[str, Measure]],
    band: NormalBand,
    contribution: Mapping[str, float],
    raw: Mapping[str, object],
    interval: Interval,
    about: About,
    most: int = 10,
    expert: str = "fused classifiers",
    per: str = "sample",
) -> tuple[VariableFinding, ...]:
    """Return the `most` findings with the largest contributions, those for the verdict first, then those against it.

    `row` (1, features) is the encoded case, `origin` the (variable, measure) of each feature, `raw` the original cells
    of the row (for categories and missing values), `per` the unit of time of slopes. Variables without a contribution
    were not measured.
    """
    values = row.to_numpy(dtype=float)[0]
    sigmas = band.deviations(values)
    made = []
    for rank, (variable, features) in enumerate(_decisive(origin, contribution, most), start=1):
        at = _furthest(features, origin, band, values)
        measure, value = origin[at][1], float(values[at])
        known, cell = about.variables.get(variable, Variable()), raw.get(variable)
        numeric = measure != "category"
        # Mean, spread, jitter and slope rest on the whole window, not on the one cell.
        missing = measure in ("value", "category") and _absent(cell, numeric)
        made.append(
            VariableFinding(
                id=f"F{rank}",
                expert=expert,
                variable=variable,
                measure=measure,
                value=None if missing else value if numeric else str(cell),
                normal_low=band.low[at] if numeric else None,
                normal_high=band.high[at] if numeric else None,
                deviation=float(sigmas[at]) if numeric and band.varied[at] and not missing else None,
                direction=_direction(numeric, missing, value, band.low[at], band.high[at]),
                contribution=contribution[variable],
                interval=interval,
                name=known.name,
                unit=known.unit,
                description=known.description,
                per=per,
            )
        )
    return tuple(made)


def _decisive(
    origin: Sequence[tuple[str, Measure]], contribution: Mapping[str, float], most: int
) -> list[tuple[str, list[int]]]:
    """Return the `most` variables with the largest contributions, those for the verdict first, and their features."""
    features: dict[str, list[int]] = {}
    for at, (variable, _) in enumerate(origin):
        if variable in contribution:
            features.setdefault(variable, []).append(at)
    largest = sorted(features, key=lambda name: -abs(contribution[name]))[:most]
    return [(name, features[name]) for name in sorted(largest, key=lambda name: -contribution[name])]


def _furthest(
    features: Sequence[int], origin: Sequence[tuple[str, Measure]], band: NormalBand, values: np.ndarray
) -> int:
    """Return which feature of a variable lies furthest from normal."""
    sigmas = np.abs(band.deviations(values))

    def distance(at: int) -> tuple[bool, float]:
        # A category that normal rows never had has no sigmas; being outside must count for itself.
        is_new = origin[at][1] == "category" and not band.low[at] <= values[at] <= band.high[at]
        return is_new, float(sigmas[at])

    return max(features, key=distance)


def _absent(cell: object, numeric: bool) -> bool:
    """Tell whether a cell held nothing that the encoder could use: it then took the median (or no category)."""
    if not numeric:
        return cell is None or cell is pd.NA or cell != cell  # NaN is the one value unlike itself
    return not np.isfinite(pd.to_numeric(pd.Series([cell]), errors="coerce").to_numpy(dtype=float, na_value=np.nan)[0])


def _direction(numeric: bool, missing: bool, value: float, low: float, high: float) -> Direction:
    if missing:
        return "missing"
    if not numeric:
        return "unusual" if (value > high or value < low) else "within"
    return "high" if value > high else "low" if value < low else "within"
