"""Scoring labels instead of generating text: one number per label, in as few forward passes as possible.

Nothing is sampled, nothing is parsed. See `labels` for what the numbers mean. The beginning that all rows share is run
once; rows of like length go together; of the output layer only the candidates' rows are used. (On a CPU a sliced
bfloat16 state through the whole of it copied the vocabulary once per row: two thirds of a training step.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from faultwise.language.labels import LabelTree, Tokens
from faultwise.language.questions import Asked

__all__ = ["Prefix", "batch_size", "batches", "expanded", "log_probs", "run", "run_prefix", "score"]

Prefix = list[tuple[Any, Any]]  # per layer keys and values (1, heads, tokens, width)

_MOST_TOKENS = 16_384  # per batch: 16 prompts of 1,000 tokens; longer ones come fewer at a time, memory stays


def batches(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """Return positions in batches of like length, longest first (so that memory fails early or never).

    >>> [batch.tolist() for batch in batches([3, 9, 4], size=2)]
    [[1, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def batch_size(asked: Asked, size: int, most_tokens: int = _MOST_TOKENS) -> int:
    """Return how many rows go together: `size` at most, and fewer where they are long."""
    return max(1, min(size, most_tokens // max(asked.lengths, default=1)))


def run_prefix(tuned: Any, asked: Asked) -> Prefix:
    """Run what all rows begin with, once; gradients flow through it unless they are switched off."""
    import torch

    table = tuned.model.get_input_embeddings()
    device = table.weight.device
    parts = [] if tuned.soft is None else [tuned.soft]
    if asked.prefix:
        parts.append(table(torch.tensor(asked.prefix, device=device)))
    if not parts:
        return []
    made = tuned.backbone()(inputs_embeds=torch.cat(parts)[None], use_cache=True)
    return [(layer.keys, layer.values) for layer in made.past_key_values.layers]


def log_probs(tuned: Any, asked: Asked, rows: Sequence[int], tree: LabelTree, prefix: Prefix) -> Any:
    """Return log-probabilities (rows, labels) as a tensor; each row's probabilities add up to one."""
    import torch

    embeds, mask = asked.embed(rows, tuned.model.get_input_embeddings())
    deeper = [branch for branch in tree.branches if branch != tree.root]
    state, cache = _last(tuned, embeds, mask, expanded(prefix, len(embeds)), keep=bool(deeper))
    found: dict[Tokens, Any] = {tree.root: _among(tuned, state, tree.branches[tree.root])}
    for branch in deeper:
        tail = torch.tensor(branch[len(tree.root) :], device=mask.device)
        more = tuned.model.get_input_embeddings()(tail).expand(len(embeds), -1, -1)
        ones = torch.ones(more.shape[:2], dtype=mask.dtype, device=mask.device)
        state, _ = _last(tuned, more, torch.cat([mask, ones], dim=1), _copied(cache), keep=True)
        found[branch] = _among(tuned, state, tree.branches[branch])
    columns = [torch.stack([found[s.prefix][:, s.choices.index(s.token)] for s in path]).sum(0) for path in tree.paths]
    return torch.stack(columns, dim=1)


def score(
    tuned: Any, asked: Asked, tree: LabelTree, size: int = 32, step: Callable[[int], object] | None = None
) -> np.ndarray:
    """Return log-probabilities of shape (rows, labels).

    `step` is called with the number of rows done after each batch. Where memory is short the batch is halved, down to
    one row, which is said.
    """
    import torch

    from faultwise.language.memory import shrinking

    out = np.empty((len(asked.lengths), len(tree.paths)))
    with torch.inference_mode():
        prefix = run_prefix(tuned, asked)
        for rows in batches(asked.lengths, batch_size(asked, size)):
            for part, logs in shrinking(rows, lambda some: log_probs(tuned, asked, some.tolist(), tree, prefix)):
                out[part] = logs.double().cpu().numpy()
            if step is not None:
                step(len(rows))
    return out


def run(tuned: Any, embeds: Any, mask: Any, cache: Any, keep: bool) -> tuple[Any, Any]:
    """Run embeddings (rows, tokens, hidden) behind a cache; `mask` covers what is behind the prefix. Return the states
    (rows, tokens, hidden) and the cache, which is kept where there was one or if `keep`.
    """
    import torch

    past = cache.get_seq_length() if cache is not None else 0
    seen = mask.shape[1] - embeds.shape[1]  # of the rows themselves, in the cache already
    front = past - seen
    positions = (front + mask.cumsum(-1) - 1).clamp(min=0)[:, seen:]
    whole = None
    if not bool(mask.all()):
        whole = torch.cat([mask.new_ones(len(mask), front), mask], dim=1)
    made = tuned.backbone()(
        inputs_embeds=embeds,
        attention_mask=whole,
        position_ids=positions,
        past_key_values=cache,
        use_cache=keep or cache is not None,
    )
    return made.last_hidden_state, made.past_key_values


def _last(tuned: Any, embeds: Any, mask: Any, cache: Any, keep: bool) -> tuple[Any, Any]:
    """Return the last state (rows, hidden) of `run`, and the cache."""
    states, cache = run(tuned, embeds, mask, cache, keep)
    return states[:, -1].contiguous(), cache


def _among(tuned: Any, state: Any, choices: Tokens) -> Any:
    """Return log-probabilities (rows, choices) of the next token among the choices."""
    import torch

    out = tuned.model.get_output_embeddings()
    at = torch.tensor(choices, device=state.device)
    bias = getattr(out, "bias", None)
    logits = torch.nn.functional.linear(state, out.weight[at], None if bias is None else bias[at])
    return logits.float().log_softmax(-1)


def expanded(prefix: Prefix, rows: int) -> Any:
    """Return a cache that gives every one of so many rows the prefix, or None without one."""
    if not prefix:
        return None
    return _cache([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in prefix])


def _copied(cache: Any) -> Any:
    """Return a cache of the same tensors, so that what one branch adds is not seen by the next."""
    return _cache([(layer.keys, layer.values) for layer in cache.layers])


def _cache(layers: Prefix) -> Any:
    from transformers import DynamicCache

    made = DynamicCache()
    for at, (keys, values) in enumerate(layers):
        made.update(keys, values, at)
    return made
