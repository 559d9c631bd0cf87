"""Windows as short text: behind one tag all measures of a variable, a digit each ("A43054 B10092").

Where `text` writes the most decisive features one by one, here whole variables are chosen, and the measures of one
stand together: mean, spread, jitter, slope, value. Digits follow the tag without blanks, because a blank before a
digit is a token of its own: it would double the length. Spread and jitter are written by their cube root, because a
fault makes them grow tenfold, and the digits would all go to such rows. NaN is written "?". No name enters the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from faultwise.language.classifier.text import digits, outer, strengths, tag

__all__ = ["StatisticsText", "measured"]

_ORDER = ("mean", "spread", "jitter", "slope", "value")
_ROOTED = ("spread", "jitter")


@dataclass(slots=True)
class StatisticsText:
    """All measures of the `most` decisive variables; a measure that never changes is left out.

    >>> X = pd.DataFrame({"value(flow)": np.arange(100.0), "mean(flow)": np.arange(100.0) % 10, "value(idle)": 1.0})
    >>> text = StatisticsText(most=3).fit(X, np.repeat(["a", "b"], 50))
    >>> text.features, text.write(X.iloc[[0, 55, 99]])
    ([['mean(flow)', 'value(flow)']], ['A00', 'A55', 'A99'])
    """

    most: int = 8
    features: list[list[str]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> StatisticsText:
        """Choose variables by a linear classifier's coefficients (the largest of their measures') and learn ranges.

        X (rows, features) has names as `windows` gives them. Raises UserError where nothing varies.
        """
        names = [str(name) for name in X.columns]
        values = _scaled(X.to_numpy(dtype=float), names)
        low, high = outer(values)
        strength = strengths(values, y, high > low)
        of: dict[str, list[int]] = {}
        for at in np.flatnonzero(high > low):
            of.setdefault(measured(names[at])[1], []).append(int(at))
        first = sorted(of.values(), key=lambda group: -max(strength[group]))[: self.most]
        chosen = [sorted(group, key=lambda at: _place(names[at])) for group in sorted(first)]
        self.features = [[names[at] for at in group] for group in chosen]
        flat = [at for group in chosen for at in group]
        self.low, self.high = low[flat].tolist(), high[flat].tolist()
        return self

    def write(self, X: pd.DataFrame) -> list[str]:
        """Return one text per row."""
        names = [name for group in self.features for name in group]
        values = _scaled(X[names].to_numpy(dtype=float), names)
        starts = np.cumsum([0, *map(len, self.features)]).tolist()
        parts = [(tag(at), starts[at], starts[at + 1]) for at in range(len(self.features))]
        rows = digits(values, np.array(self.low), np.array(self.high))
        return [" ".join(t + "".join(row[start:end]) for t, start, end in parts) for row in rows]

    def answers(self, classes: Sequence[str]) -> list[str]:
        """Return the text of each class's answer: its number, never the name of a fault."""
        return [str(at) for at in range(len(classes))]

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `StatisticsText(**state)` takes back."""
        return asdict(self)


def measured(name: str) -> tuple[str, str]:
    """Return the measure and the variable behind a feature's name (see `windows`).

    >>> measured("mean(XMV(10))"), measured("is(state=on)"), measured("plain")
    (('mean', 'XMV(10)'), ('is', 'state'), ('value', 'plain'))
    """
    measure, bracket, rest = name.partition("(")
    if not bracket or not rest.endswith(")") or measure not in (*_ORDER, "is"):
        return "value", name
    return measure, rest[:-1].rpartition("=")[0] or rest[:-1] if measure == "is" else rest[:-1]


def _place(name: str) -> int:
    measure = measured(name)[0]
    return _ORDER.index(measure) if measure in _ORDER else len(_ORDER)


def _scaled(values: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return values (rows, features) with spread and jitter as cube roots."""
    rooted = np.array([measured(name)[0] in _ROOTED for name in names], dtype=bool)
    return np.where(rooted, np.cbrt(values), values)
