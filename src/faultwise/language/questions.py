"""The questions to a model, row by row, ready for a forward pass: text alone, or modality tokens between words.

All rows of one set share a beginning (`prefix`), which is run once and not once a row. Every kind gives embeddings, so
that whatever reads them need not know how a row was put in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["Conversations", "Questions", "TextQuestions", "TokenProjector", "TokenQuestions"]


class Questions(Protocol):
    """Rows to ask about. `prefix` are the token ids they all begin with, `lengths` each row's tokens behind it."""

    prefix: list[int]
    lengths: list[int]

    def embed(self, rows: Sequence[int], table: nn.Embedding) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (rows, longest, hidden) behind the prefix, padded on the left, and the mask (rows,
        longest); `table` is the model's module from ids to embeddings.
        """
        ...


class TokenProjector(Protocol):
    """Writes vectors (things, width) as embeddings (things, tokens, hidden); `shape` begins with the tokens."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of tokens first."""
        ...

    def __call__(self, vectors: torch.Tensor, /) -> torch.Tensor:
        """Return the embeddings."""
        ...


class TextQuestions:
    """Prompts as token ids; `tail` are ids put behind each, such as those that all answers begin with."""

    def __init__(self, prompts: Sequence[Sequence[int]], pad: int, tail: Sequence[int] = ()) -> None:
        whole = [[*prompt, *tail] for prompt in prompts]
        shared = _common(whole)
        shared = min([shared, *(len(one) - 1 for one in whole)])  # a row needs a last token of its own
        self.prefix = list(whole[0][:shared]) if whole else []
        self._rows = [one[shared:] for one in whole]
        self._pad = pad
        self.lengths = [len(row) for row in self._rows]

    def embed(self, rows: Sequence[int], table: nn.Embedding) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Questions`."""
        import torch

        longest = max(self.lengths[row] for row in rows)
        ids = torch.full((len(rows), longest), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, longest - self.lengths[row] :] = torch.tensor(self._rows[row])
            mask[at, longest - self.lengths[row] :] = 1
        device = table.weight.device
        return table(ids.to(device)), mask.to(device)


class TokenQuestions:
    """Encoded rows: words before, the projector's tokens, words after; `vectors` (rows, width) are the encoder's."""

    def __init__(
        self,
        vectors: torch.Tensor,
        projector: TokenProjector,
        before: Sequence[int],
        after: Sequence[int],
        tail: Sequence[int] = (),
    ) -> None:
        self.prefix = list(before)
        self._after = [*after, *tail]
        self._vectors, self._projector = vectors, projector
        self.lengths = [projector.shape[0] + len(self._after)] * len(vectors)

    def embed(self, rows: Sequence[int], table: nn.Embedding) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Questions`."""
        import torch

        device = table.weight.device
        # A copy, because vectors of inference mode cannot be trained on.
        picked = self._vectors[torch.as_tensor(np.asarray(rows))].clone()
        tokens = self._projector(picked.to(device)).to(table.weight.dtype)
        after = table(torch.tensor(self._after, device=device)).expand(len(picked), -1, -1)
        made = torch.cat([tokens, after], dim=1)
        return made, torch.ones(made.shape[:2], dtype=torch.long, device=device)


class Conversations:
    """Prompts of which some speak of an encoded thing: its tokens stand right behind what all prompts begin with.

    `rows` are token ids, `front` how many of them all share; `things` has for each row the position of its vector in
    `vectors` (things, width), None for plain conversation. A `projector` makes the tokens of a vector.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[int]],
        front: int,
        things: Sequence[int | None],
        vectors: torch.Tensor,
        projector: TokenProjector,
    ) -> None:
        self.prefix = list(rows[0][:front]) if rows else []
        self._rows = [list(row[front:]) for row in rows]
        self._things, self._vectors, self._projector = list(things), vectors, projector
        own = projector.shape[0]
        pairs = zip(self._rows, self._things, strict=True)
        self.lengths = [len(row) + (0 if at is None else own) for row, at in pairs]

    def embed(self, rows: Sequence[int], table: nn.Embedding) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Questions`."""
        import torch

        device, dtype = table.weight.device, table.weight.dtype
        things = [at for row in rows if (at := self._things[row]) is not None]
        made = self._projector(self._vectors[things].clone().to(device)).to(dtype) if things else None
        longest = max(self.lengths[row] for row in rows)
        parts, used = [], 0
        mask = torch.zeros(len(rows), longest, dtype=torch.long, device=device)
        for at, row in enumerate(rows):
            one = table(torch.tensor(self._rows[row], device=device))
            if self._things[row] is not None and made is not None:
                one, used = torch.cat([made[used], one]), used + 1
            parts.append(torch.nn.functional.pad(one, (0, 0, longest - len(one), 0)))
            mask[at, longest - len(one) :] = 1
        return torch.stack(parts), mask


def _common(rows: Sequence[Sequence[int]]) -> int:
    """Return how many ids all rows begin with.

    >>> _common([[1, 2, 3], [1, 2], [1, 2, 4]]), _common([])
    (2, 0)
    """
    if not rows:
        return 0
    # What the two outermost in order share, all between them share.
    first, last = min(map(list, rows)), max(map(list, rows))
    pairs = zip(first, last, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(first), len(last)))
