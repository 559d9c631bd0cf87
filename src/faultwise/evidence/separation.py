"""What would tell two possible labels apart: the measures in which their training rows differ most.

It looks at class means only and changes no verdict. What it names may be measured already, and then lies between the
two.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from faultwise.contracts.about import About, Variable
from faultwise.contracts.findings import Measure
from faultwise.contracts.verdicts import TellApart
from faultwise.verdicts.novelty import Novelty

__all__ = ["tell_apart"]

_PAIRS = 3
_LEAST = 1.0  # standard deviations: below it the means are too much alike


def tell_apart(
    candidates: Sequence[str],
    classes: np.ndarray,
    known: Novelty,
    row: np.ndarray,
    origin: Sequence[tuple[str, Measure]],
    missing: set[str],
    about: About,
) -> tuple[TellApart, ...]:
    """Return the best measure for each pair of the likeliest `candidates`, the most telling first.

    `known` has the class means, `row` (features,) is what was found, of which `missing` variables were filled in. A
    variable is named once.
    """
    found: list[TellApart] = []
    for first, second in combinations(candidates[:_PAIRS], 2):
        a, b = (int(np.searchsorted(classes, label)) for label in (first, second))
        apart = np.abs(known.centres[a] - known.centres[b])
        usual = known.means(a), known.means(b)
        named = {one.variable for one in found}
        for at in np.argsort(-apart, kind="stable"):
            variable, measure = origin[at]
            if apart[at] < _LEAST or variable in named or measure == "category":
                if apart[at] < _LEAST:
                    break
                continue
            words = about.variables.get(variable, Variable())
            found.append(
                TellApart(
                    first,
                    second,
                    variable,
                    measure,
                    None if variable in missing else float(row[at]),
                    (float(usual[0][at]), float(usual[1][at])),
                    float(apart[at]),
                    words.name,
                    words.unit,
                )
            )
            break
    return tuple(sorted(found, key=lambda one: -one.distance))
