"""How much each variable moved a verdict, measured on the model that gave it.

For each variable two figures are taken against reference (normal) rows: how far the log-odds of the verdict
fall when this variable alone is set to normal, and how far they rise when it alone is carried over into a
normal row. The mean of both is the contribution: the first and the last step of Shapley's average
(Štrumbelj and Kononenko 2014), which neither hides two variables that carry the same information nor
needs thousands of calls. Correlated variables are still split as the model splits them; causes are not claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

__all__ = ["contributions"]

_FLOOR = 1e-4
_NOISE = 1e-6


def contributions(
    predict: Callable[[pd.DataFrame], np.ndarray],
    row: pd.DataFrame,
    reference: pd.DataFrame,
    variables: Sequence[str],
    column: int,
) -> dict[str, float]:
    """Return the contribution of each variable in nats of log-odds.

    `predict` maps features to probabilities (rows, classes); `row` is (1, features), `reference` (rows,
    features); `variables` (features,) names the variable behind each feature; `column` is the verdict's
    class.
    """
    names = list(dict.fromkeys(variables))
    owner = np.asarray(variables, dtype=object)
    x, base = row.to_numpy(dtype=float)[0], reference.to_numpy(dtype=float)
    blocks = [x[None, :], base]
    for name in names:
        mine = owner == name
        blocks.append(np.where(mine, base, x))  # everything as seen, this variable normal
        blocks.append(np.where(mine, x, base))  # everything normal, this variable as seen
    made = pd.DataFrame(np.concatenate(blocks), columns=row.columns, dtype=np.float32)
    p = np.clip(predict(made)[:, column], _FLOOR, 1 - _FLOOR)
    odds = np.log(p) - np.log(1 - p)
    count = len(base)
    seen, normal = odds[0], odds[1 : 1 + count].mean()
    steps = odds[1 + count :].reshape(len(names), 2, count).mean(axis=2)
    moved = {
        name: ((seen - without) + (alone - normal)) / 2 for name, (without, alone) in zip(names, steps, strict=True)
    }
    # What rounding leaves is no evidence, and must not be worded as such.
    return {name: float(value) if abs(value) > _NOISE else 0.0 for name, value in moved.items()}
