"""Rows as the sentence of the tabular study: "If feature flow = 0.35, ... What should be Y?", every feature by name.

The longer text beside `text`: no feature is chosen, so 52 variables are over 500 tokens. Source: Zheng, Pan, Liu and
Chen, "Empirical study on fine-tuning pre-trained large language models for fault diagnosis of complex systems"
(Reliability Engineering & System Safety 252, 2024). Fault names stay outside; column names, or the words of a companion
file about the columns (name, unit, description), enter unless `column_names` is off. They are cleaned here;
`language.prompts` ensures that no name becomes a control token.
"""

from __future__ import annotations

import re
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from faultwise.language.classifier.statistics import measured

__all__ = ["Sentence"]

# Characters of a name, and of words about a column: every one costs tokens in every row.
_LONGEST, _LONGEST_WORDS = 40, 80
_SHORT_NUMBER = re.compile(r"-?\d{1,3}", re.ASCII)


@dataclass(slots=True)
class Sentence:
    """All features of a row as one question; values run from 0 to 1 over the training rows unless `normalise` is off.
    What was not measured (NaN) is "missing".

    >>> X = pd.DataFrame({"value(setting_1)": [1.0, 3.0, 2.0], "value(flow)": [20.0, 10.0, 17.0]})
    >>> sentence = Sentence().fit(X, np.array(["0", "1", "1"]))
    >>> sentence.write(X.iloc[[2]])
    ['Tell me if the value of Y is 0 or 1. If feature setting_1 = 0.5, feature flow = 0.7. What should be Y?']
    >>> Sentence(column_names=False, normalise=False).fit(X, np.array(["0", "4", "5"])).write(X.iloc[[2]])
    ['Tell me which of 0, 4, 5 is the value of Y. If feature 1 = 2, feature 2 = 17. What should be Y?']
    """

    column_names: bool = True
    normalise: bool = True
    features: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def fit(self, X: pd.DataFrame, y: np.ndarray, about: Mapping[str, str] | None = None) -> Sentence:
        """Learn the features' names and ranges from training rows X (rows, features), the answers from y (rows,).

        `about` has words for columns, such as "pressure [kPa]: of the reactor", to stand for their names.

        >>> X = pd.DataFrame({"mean(P1)": [1.0, 2.0], "is(state=on)": [0.0, 1.0]})
        >>> Sentence().fit(X, np.array(["0", "1"]), {"P1": "pressure [kPa]", "state": "pump\\n state"}).shown
        ['mean of pressure [kPa]', 'pump state is on']
        """
        self.features = [str(name) for name in X.columns]
        words = about or {}
        self.shown = _numbered(self.features)
        if self.column_names:
            self.shown = _distinct([_worded(name, words) for name in self.features])
        numbers = X.to_numpy(dtype=float)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
            low, high = np.nanmin(numbers, axis=0), np.nanmax(numbers, axis=0)
        self.low, self.high = np.nan_to_num(low).tolist(), np.nan_to_num(high).tolist()
        self.values = _values(sorted(set(np.asarray(y).astype(str))))
        return self

    def write(self, X: pd.DataFrame) -> list[str]:
        """Return one question per row, numbers with four significant digits; unseen extremes leave 0 to 1."""
        numbers = X[self.features].to_numpy(dtype=float)
        if self.normalise:
            low, width = np.array(self.low), np.array(self.high) - np.array(self.low)
            numbers = (numbers - low) / np.where(width > 0, width, 1.0)
        # Adding zero turns -0 into 0.
        cells = [["missing" if np.isnan(number) else f"{number:.4g}" for number in row] for row in numbers + 0.0]
        question = self._question()
        return [
            f"{question} If "
            + ", ".join(f"feature {name} = {cell}" for name, cell in zip(self.shown, row, strict=True))
            + ". What should be Y?"
            for row in cells
        ]

    def answers(self, classes: Sequence[str]) -> list[str]:
        """Return the text of each class's answer, in the order of the sorted `classes`.

        >>> Sentence().answers(["0", "1", "4"]), Sentence().answers(["leak", "normal"])
        (['Y = 0', 'Y = 1', 'Y = 4'], ['Y = 0', 'Y = 1'])
        """
        return [f"Y = {value}" for value in _values(classes)]

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `Sentence(**state)` takes back."""
        return asdict(self)

    def _question(self) -> str:
        values = sorted(self.values, key=int)
        if len(values) == 2:
            return f"Tell me if the value of Y is {values[0]} or {values[1]}."
        return f"Tell me which of {', '.join(values)} is the value of Y."


def _values(classes: Sequence[str]) -> list[str]:
    """Labels that are short numbers stand for themselves (the study's 0, 1, 4, 5), others are numbered: names of
    faults come from data and must not be the answer.
    """
    if all(_SHORT_NUMBER.fullmatch(label) for label in classes):
        return list(classes)
    return [str(at) for at in range(len(classes))]


def _numbered(features: Sequence[str]) -> list[str]:
    return [str(at) for at in range(1, len(features) + 1)]


def _worded(name: str, about: Mapping[str, str]) -> str:
    """Return a feature's cleaned name, or its measure and the words about its column where there are any."""
    measure, column = measured(name)
    words = _cleaned(about.get(column, ""), _LONGEST_WORDS)
    if not words:
        return _cleaned(name)
    if measure == "is":
        return f"{words} is {_cleaned(name[3:-1].rpartition('=')[2])}"
    return words if measure == "value" else f"{measure} of {words}"


def _cleaned(name: str, longest: int = _LONGEST) -> str:
    """Return a name on one line, without control, formatting and unassigned characters, cut to `longest`.

    The plain value of a column goes by the column's own name.

    >>> _cleaned("value(flow)"), _cleaned("mean(flow)"), _cleaned("a\\x1b[31m\\n b\\u202e"), _cleaned("\\x00")
    ('flow', 'mean(flow)', 'a[31m b', '')
    """
    plain = name[6:-1] if name.startswith("value(") and name.endswith(")") else name
    spaced = " ".join(plain[: 20 * longest].split())
    kept = "".join(c for c in spaced if not unicodedata.category(c).startswith("C"))
    return " ".join(kept.split())[:longest].rstrip()


def _distinct(names: Sequence[str]) -> list[str]:
    """Give a nameless feature its number, and append it to a name that cleaning or cutting made equal to another.

    >>> _distinct(["flow", "", "flow"])
    ['flow', '2', 'flow 3']
    """
    made: list[str] = []
    for at, name in enumerate(names, start=1):
        new = name or str(at)
        while new in made:
            new = f"{new} {at}"
        made.append(new)
    return made
