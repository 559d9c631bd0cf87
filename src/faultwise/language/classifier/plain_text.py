"""Written texts as the language model reads them, with the labels' own words as answers.

The text is the user's turn and nothing else: `prompts` keeps it from becoming a control token, and the answer is one of
the labels whatever the text asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

__all__ = ["PlainText"]

_MOST_CHARACTERS = 1_000  # of a text: a work order is shorter, and the memory of a batch grows with its longest


@dataclass(slots=True)
class PlainText:
    """Texts of the first column of X; nothing is learnt.

    >>> PlainText().write(pd.DataFrame({"text": ["seal leaks"]}))
    ['seal leaks']
    """

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> PlainText:
        """Learn nothing."""
        return self

    def write(self, X: pd.DataFrame) -> list[str]:
        """Return the texts, the end of long ones left out."""
        return [str(text)[:_MOST_CHARACTERS] for text in X.iloc[:, 0]]

    def answers(self, classes: Sequence[str]) -> list[str]:
        """Return the labels themselves: their words mean something to a pretrained model."""
        return [str(label) for label in classes]

    def to_dict(self) -> dict[str, object]:
        """Return the JSON state that `PlainText(**state)` takes back."""
        return {}
