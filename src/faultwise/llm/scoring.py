"""Scoring labels instead of generating text: one number per label, in as few forward passes as possible.

Nothing is sampled, nothing is parsed. See `labels` for what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from faultwise.llm.labels import LabelTree, Tokens

__all__ = ["batches", "pad_left", "score"]


_MOST_TOKENS = 16_384  # per batch: 16 prompts of 1,000 tokens; longer ones come fewer at a time, memory stays


def batches(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """Return positions in batches of like length, longest first (so that memory fails early or never).

    >>> [batch.tolist() for batch in batches([3, 9, 4], size=2)]
    [[1, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def pad_left(sequences: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """Return `input_ids`, `attention_mask`, `position_ids`, each (rows, longest), padded on the left."""
    import torch

    longest = max(map(len, sequences))
    ids = torch.full((len(sequences), longest), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(sequence)
        mask[row, longest - len(sequence) :] = 1
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    return {
        "input_ids": ids.to(device),
        "attention_mask": mask.to(device),
        "position_ids": positions.to(device),
    }


def score(
    model: Any,
    prompts: Sequence[Sequence[int]],
    tree: LabelTree,
    pad: int,
    size: int = 16,
    step: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return log-probabilities of shape (prompts, labels); each row's probabilities add up to one.

    `step` is called with the number of prompts done after each batch.
    """
    import torch

    device = next(model.parameters()).device
    out = np.empty((len(prompts), len(tree.paths)))
    size = max(1, min(size, _MOST_TOKENS // max(map(len, prompts), default=1)))
    with torch.inference_mode():
        for rows in batches([len(prompt) for prompt in prompts], size):
            inputs = pad_left([prompts[row] for row in rows], pad, device)
            chosen = _branch_log_probs(model, inputs, tree)
            for label, path in enumerate(tree.paths):
                parts = [chosen[s.prefix][:, s.choices.index(s.token)] for s in path]
                out[rows, label] = torch.stack(parts).sum(0).double().cpu().numpy()
            if step is not None:
                step(len(rows))
    return out


def _branch_log_probs(model: Any, inputs: dict[str, Any], tree: LabelTree) -> dict[Tokens, Any]:
    """Log-probabilities (rows, choices) at each branch; the prompt itself is run once."""
    import torch

    deeper = [prefix for prefix in tree.branches if prefix]
    root = model(**inputs, use_cache=bool(deeper), logits_to_keep=1)
    found: dict[Tokens, Any] = {}
    if () in tree.branches:
        found[()] = root.logits[:, -1, list(tree.branches[()])].float().log_softmax(-1)
    if not deeper:
        return found
    cache = root.past_key_values
    last = inputs["position_ids"][:, -1:]
    for prefix in deeper:
        tail = torch.tensor(prefix, device=last.device).expand(len(last), -1)
        mask = torch.cat([inputs["attention_mask"], torch.ones_like(tail)], dim=1)
        positions = last + 1 + torch.arange(len(prefix), device=last.device)
        made = model(
            input_ids=tail,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache.crop(-len(prefix))
        found[prefix] = made.logits[:, -1, list(tree.branches[prefix])].float().log_softmax(-1)
    return found
