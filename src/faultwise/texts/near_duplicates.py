"""Groups of texts that say the same: they must not be divided between learning and judging.

Two texts are near duplicates when they have the same words, or nearly the same pieces of three letters (Jaccard
similarity from 0.8 on). Groups are what such pairs join, so that folds by group hold out all of them together.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

__all__ = ["groups_of"]

_WORD = re.compile(r"\w+")
_ALIKE = 0.8
_MOST_SHARED = 2_000  # texts that a piece may be in and still propose pairs


def groups_of(texts: Sequence[str], also: Sequence[str] | None = None) -> np.ndarray:
    """Return the number of each text's group, shape (texts,). Texts with an equal entry in `also` (an asset) belong
    together, too; empty entries join nothing.

    >>> groups_of(["pump leaks", "Leaks, pump!", "pump is leaking oil", "pump is leaking oill"]).tolist()
    [0, 0, 2, 2]
    """
    parents = np.arange(len(texts))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = int(parents[at])
        return at

    def join(a: int, b: int) -> None:
        first, second = sorted((root(a), root(b)))
        parents[second] = first

    of_key: dict[object, int] = {}
    for at, text in enumerate(texts):
        keys: list[object] = [tuple(sorted(_WORD.findall(text.lower()))) or ("", at)]
        if also is not None and also[at]:
            keys.append(f"also {also[at]}")
        for key in keys:
            join(at, of_key.setdefault(key, at))
    for a, b in _similar(texts):
        join(a, b)
    return np.array([root(at) for at in range(len(texts))])


def _similar(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of texts with nearly the same pieces; only texts that share one of their rarest pieces are compared
    (of two sets with a Jaccard similarity of at least s, some of the 1 - s rarest pieces of one are in the other).
    """
    pieces = [_pieces(text) for text in texts]
    counts: defaultdict[str, int] = defaultdict(int)
    for own in pieces:
        for piece in own:
            counts[piece] += 1
    holders: defaultdict[str, list[int]] = defaultdict(list)
    made = []
    for at, own in enumerate(pieces):
        rarest = sorted(own, key=lambda piece: (counts[piece], piece))[: int((1 - _ALIKE) * len(own)) + 1]
        near = {other for piece in rarest for other in holders[piece][:_MOST_SHARED]}
        made += [(other, at) for other in near if _alike(own, pieces[other])]
        for piece in rarest:
            holders[piece].append(at)
    return made


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    return len(a & b) >= _ALIKE * len(a | b)


def _pieces(text: str) -> frozenset[str]:
    plain = f" {' '.join(_WORD.findall(text.lower()))} "
    return frozenset(plain[at : at + 3] for at in range(max(1, len(plain) - 2)))
