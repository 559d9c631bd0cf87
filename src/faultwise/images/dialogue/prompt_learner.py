"""The prompt learner: from an image vector to embeddings in a language model's prompt, in two steps.

A small reader first learns on simulated defects which ninths of the map hold one, and whether there is any. Then tokens
are written: for the image as a whole, the verdict, the likeliest place, each ninth, and one that is learnt alone. Most
begin as mixtures of embeddings of words, weighted by the reader's probabilities, so that the model is given words from
its first step on (see `language.classifier.projector`). AnomalyGPT's learner has 105 million parameters in one
convolution; this one has well under a million.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from faultwise.images.detection.anomaly_scores import SIDE
from faultwise.images.dialogue.dialogues import PLACES

__all__ = ["PromptLearner", "taught"]

_FEATURES = 32
_OWN = 1  # tokens that are the same for every image
_SHARP = 2.0  # so that the likeliest place is named and not a mixture
_STEPS, _BATCH, _RATE = 400, 32, 3e-3
_MISSED = 3.0  # what a missed defect costs beside a false alarm: taught without it, far more are missed


class PromptLearner(nn.Module):
    """Vectors (images, a map of SIDE x SIDE and `width` of the whole) to embeddings (images, tokens, hidden).

    `words` are embeddings (hidden,) of "yes", "no", "none" and the places.
    """

    def __init__(self, width: int, words: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        hidden = len(words["yes"])
        self.shape: tuple[int, ...] = (3 + len(PLACES) + _OWN, len(words), hidden)
        self.width = width
        self.first = nn.Conv2d(1, _FEATURES, 3, padding=1)
        self.second = nn.Conv2d(_FEATURES, _FEATURES, 3, padding=1)
        self.cell = nn.Linear(2 * _FEATURES, 1)
        self.any = nn.Linear(2 * _FEATURES, 1)
        stacked = torch.stack([words["yes"], words["no"], words["none"], *(words[place] for place in PLACES)])
        self.words = nn.Parameter(stacked.detach().float().clone())
        self.free = nn.Linear(2 * _FEATURES, hidden)
        self.whole = nn.Linear(width, hidden)
        self.own = nn.Parameter(self.words.mean(0).detach().repeat(_OWN, 1).clone())
        for layer in (self.free, self.whole):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def read(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return logits that there is any defect (images,), logits of the ninths (images, 9), features of them."""
        maps = vectors[:, : SIDE * SIDE].view(-1, 1, SIDE, SIDE)
        seen = functional.relu(self.second(functional.relu(self.first(maps / 4))))
        ninths = torch.cat([functional.adaptive_avg_pool2d(seen, 3), functional.adaptive_max_pool2d(seen, 3)], dim=1)
        features = ninths.flatten(2).transpose(1, 2)
        whole = torch.cat([seen.mean(dim=(2, 3)), seen.amax(dim=(2, 3))], dim=1)
        return self.any(whole)[:, 0], self.cell(features)[..., 0], features

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return embeddings (images, tokens, hidden)."""
        any_, cells, features = self.read(vectors)
        yes, no, none, places = self.words[0], self.words[1], self.words[2], self.words[3:]
        sure = any_.sigmoid()[:, None]
        verdict = (sure * yes + (1 - sure) * no)[:, None]
        chance = cells.sigmoid()[..., None]
        first = (_SHARP * cells).softmax(dim=1) @ places
        place = (sure * first + (1 - sure) * none)[:, None]
        ninths = chance * places + (1 - chance) * none + self.free(features)
        whole = self.whole(vectors[:, SIDE * SIDE :])[:, None]
        return torch.cat([whole, verdict, place, ninths, self.own.expand(len(vectors), -1, -1)], dim=1)


def taught(
    learner: PromptLearner, vectors: torch.Tensor, any_: torch.Tensor, cells: torch.Tensor, seed: int = 0
) -> PromptLearner:
    """Teach the reader with vectors, whether there is a defect (images,) and its share in each ninth (images, 9)."""
    parts: Sequence[nn.Module] = (learner.first, learner.second, learner.cell, learner.any)
    parameters = [parameter for part in parts for parameter in part.parameters()]
    optimiser = torch.optim.AdamW(parameters, _RATE, weight_decay=1e-2)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=_STEPS)
    generator = torch.Generator().manual_seed(seed)
    entropy, cost = functional.binary_cross_entropy_with_logits, torch.tensor(_MISSED)
    for _ in range(_STEPS):
        at = torch.randint(len(vectors), (_BATCH,), generator=generator)
        found, ninths, _ = learner.read(vectors[at])
        loss = entropy(found, any_[at], pos_weight=cost) + entropy(ninths, cells[at])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        plan.step()
    return learner
