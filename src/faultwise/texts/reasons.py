"""Why a text got its label: the words that decide, found by leaving them out, and labelled texts that it is like."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from faultwise.contracts.findings import NeighbourFinding, WordFinding
from faultwise.texts.fitting import FittedTexts

__all__ = ["reasons_of"]

_WORD = re.compile(r"[^\W_]+(?:[-'/.][^\W_]+)*")
_MOST_WORDS, _SHOWN, _NEIGHBOURS = 60, 6, 3
_FLOOR = 1e-9
_SLIGHT = 0.05  # nats
_LONG = 200  # characters of a neighbour that are shown


def reasons_of(
    fitted: FittedTexts, text: str, label: str, predict: Callable[[list[str]], np.ndarray]
) -> tuple[WordFinding | NeighbourFinding, ...]:
    """Return findings for a text's label. `predict` maps texts as they were written to probabilities (texts, classes).

    The contribution of a word is how far the log-odds of the label fall when the word alone is left out.
    """
    column = int(np.searchsorted(fitted.classes, label))
    return (*_words(text, column, predict), *_neighbours(fitted, text))


def _words(text: str, column: int, predict: Callable[[list[str]], np.ndarray]) -> list[WordFinding]:
    spans = [found.span() for found in _WORD.finditer(text)][:_MOST_WORDS]
    if len(spans) < 2:
        return []
    without = [(text[:start] + text[end:]).strip() for start, end in spans]
    p = np.clip(predict([text, *without])[:, column], _FLOOR, 1 - _FLOOR)
    odds = np.log(p / (1 - p))
    moved = odds[0] - odds[1:]
    order = [at for at in np.argsort(-np.abs(moved), kind="stable") if abs(moved[at]) >= _SLIGHT][:_SHOWN]
    return [
        WordFinding(
            id=f"W{number}",
            expert="fused classifiers",
            word=text[slice(*spans[at])],
            place=spans[at],
            contribution=float(moved[at]),
        )
        for number, at in enumerate(order, 1)
    ]


def _neighbours(fitted: FittedTexts, text: str) -> list[NeighbourFinding]:
    like = fitted.likeness.to_known([fitted.cleaner(text)])[0]
    known = fitted.known
    assert known.labels is not None
    return [
        NeighbourFinding(
            id=f"N{number}",
            expert="likeness",
            text=known.texts[at][:_LONG],
            label=str(known.labels[at]),
            similarity=float(like[at]),
            item=known.names[at] if known.names else f"row {known.rows[at]}",
        )
        for number, at in enumerate(np.argsort(-like, kind="stable")[:_NEIGHBOURS], 1)
    ]
