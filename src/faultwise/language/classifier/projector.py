"""The projector from an encoder's vectors to embeddings in a language model's prompt, for every modality.

As in LLaVA and PandaGPT a small map between two spaces is trained. Where classes are known it need not begin at zero: a
token starts as a mixture of the embeddings of the answers' own words, weighted by the encoder's class probabilities, so
that the model reads the encoder's verdict from the first step on. Encoders of images and signals use it too: they only
need vectors of a fixed width. torch is imported with this module.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Projector"]

_SHARPNESS = (1.0, 0.5, 2.0)  # of the probabilities that the tokens start from: flatter ones show the runners-up


class Projector(nn.Module):
    """Vectors (rows, width) to embeddings (rows, tokens, hidden), in float32 until `forward` casts them.

    `words` (answers, hidden) are embeddings of the answers; `head` is a linear classifier on the vectors whose
    probabilities are the first weights of the words (none: they start uniform).
    """

    def __init__(self, width: int, tokens: int, words: torch.Tensor, head: nn.Linear | None = None) -> None:
        super().__init__()
        answers, hidden = words.shape
        self.shape = (tokens, answers, hidden)
        self.mixing = nn.Linear(width, tokens * answers)
        self.words = nn.Parameter(words.detach().float().clone())
        self.free = nn.Linear(width, tokens * hidden)
        nn.init.zeros_(self.free.weight)
        nn.init.zeros_(self.free.bias)
        with torch.no_grad():
            sharpness = [_SHARPNESS[at % len(_SHARPNESS)] for at in range(tokens)]
            if head is None:
                self.mixing.weight.zero_()
                self.mixing.bias.zero_()
            else:
                self.mixing.weight.copy_(torch.cat([s * head.weight for s in sharpness]))
                self.mixing.bias.copy_(torch.cat([s * head.bias for s in sharpness]))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return embeddings (rows, tokens, hidden)."""
        tokens, answers, hidden = self.shape
        weights = self.mixing(vectors).view(-1, tokens, answers).softmax(-1)
        made: torch.Tensor = weights @ self.words + self.free(vectors).view(-1, tokens, hidden)
        return made
