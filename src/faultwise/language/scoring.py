"""Scoring labels instead of generating text: one number per label, in as few forward passes as possible.

Nothing is sampled, nothing is parsed. See `labels` for what the numbers mean. The beginning that all rows share is run
once; rows of like length go together; of the output layer only the candidates' rows are used. (On a CPU a sliced
bfloat16 state through the whole of it copied the vocabulary once per row: two thirds of a training step.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from faultwise.language.labels import LabelTree, Tokens

if TYPE_CHECKING:
    import torch
    from transformers import Cache

    from faultwise.language.adapters import TunedModel
    from faultwise.language.questions import Questions

    Prefix = list[tuple[torch.Tensor, torch.Tensor]]  # per layer keys and values (1, heads, tokens, width)

    class _Layer(Protocol):
        keys: torch.Tensor
        values: torch.Tensor


__all__ = ["LabelScoring", "batch_size", "batches", "expanded", "log_probs", "run", "run_prefix", "score"]

_MOST_TOKENS = 16_384  # per batch: 16 prompts of 1,000 tokens; longer ones come fewer at a time, memory stays


class LabelScoring:
    """The objective of choosing one label among all labels: their scores are the model's answer.

    The loss is the cross-entropy among the labels of a tree, the metrics are those of the likeliest label. `cost` is
    the time of an evaluation per batch, in training steps.
    """

    cost = 0.4

    def __init__(self, tree: LabelTree) -> None:
        self._tree = tree

    def loss(
        self, tuned: TunedModel, questions: Questions, rows: Sequence[int], targets: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Return the sum of the losses of these rows, `targets` (rows, labels), and how many are right."""
        logs = log_probs(tuned, questions, rows, self._tree, run_prefix(tuned, questions))
        return -(targets * logs).sum(), int((logs.argmax(1) == targets.argmax(1)).sum())

    def metrics(self, tuned: TunedModel, questions: Questions, labels: np.ndarray) -> dict[str, float]:
        """Return `accuracy`, `log_loss` and `likeliest` (the share of the most frequent answer) for labels (rows,)."""
        logs = score(tuned, questions, self._tree)
        answers = logs.argmax(1)
        return {
            "accuracy": float((answers == labels).mean()),
            "log_loss": float(-logs[np.arange(len(labels)), labels].mean()),
            "likeliest": float(np.bincount(answers).max() / len(answers)),
        }


def batches(lengths: Sequence[int], size: int) -> list[np.ndarray]:
    """Return positions in batches of like length, longest first (so that memory fails early or never).

    >>> [batch.tolist() for batch in batches([3, 9, 4], size=2)]
    [[1, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    return [order[start : start + size] for start in range(0, len(order), size)]


def batch_size(questions: Questions, size: int, most_tokens: int = _MOST_TOKENS) -> int:
    """Return how many rows go together: `size` at most, and fewer where they are long."""
    return max(1, min(size, most_tokens // max(questions.lengths, default=1)))


def run_prefix(tuned: TunedModel, questions: Questions) -> Prefix:
    """Run what all rows begin with, once; gradients flow through it unless they are switched off."""
    import torch

    table = tuned.embeddings
    parts = [] if tuned.soft_prompt is None else [tuned.soft_prompt]
    if questions.prefix:
        parts.append(table(torch.tensor(questions.prefix, device=table.weight.device)))
    if not parts:
        return []
    output = tuned.backbone()(inputs_embeds=torch.cat(parts)[None], use_cache=True)
    return _layers(output.past_key_values)


def log_probs(
    tuned: TunedModel, questions: Questions, rows: Sequence[int], tree: LabelTree, prefix: Prefix
) -> torch.Tensor:
    """Return log-probabilities (rows, labels) as a tensor; each row's probabilities add up to one."""
    import torch

    embeds, mask = questions.embed(rows, tuned.embeddings)
    deeper = [branch for branch in tree.branches if branch != tree.root]
    state, cache = _last(tuned, embeds, mask, expanded(prefix, len(embeds)), keep=bool(deeper))
    found: dict[Tokens, torch.Tensor] = {tree.root: _among(tuned, state, tree.branches[tree.root])}
    for branch in deeper:
        tail = torch.tensor(branch[len(tree.root) :], device=mask.device)
        more = tuned.embeddings(tail).expand(len(embeds), -1, -1)
        ones = torch.ones(more.shape[:2], dtype=mask.dtype, device=mask.device)
        state, _ = _last(tuned, more, torch.cat([mask, ones], dim=1), _copied(cache), keep=True)
        found[branch] = _among(tuned, state, tree.branches[branch])
    columns = [torch.stack([found[s.prefix][:, s.choices.index(s.token)] for s in path]).sum(0) for path in tree.paths]
    return torch.stack(columns, dim=1)


def score(
    tuned: TunedModel,
    questions: Questions,
    tree: LabelTree,
    size: int = 32,
    step: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return log-probabilities of shape (rows, labels).

    `step` is called with the number of rows done after each batch. Where memory is short the batch is halved, down to
    one row, with a note on stderr.
    """
    import torch

    from faultwise.language.memory import in_halves

    out = np.empty((len(questions.lengths), len(tree.paths)))
    with torch.inference_mode():
        prefix = run_prefix(tuned, questions)
        for rows in batches(questions.lengths, batch_size(questions, size)):
            for part, logs in in_halves(rows, lambda some: log_probs(tuned, questions, some.tolist(), tree, prefix)):
                out[part] = logs.double().cpu().numpy()
            if step is not None:
                step(len(rows))
    return out


def run(
    tuned: TunedModel, embeds: torch.Tensor, mask: torch.Tensor, cache: Cache | None, keep: bool
) -> tuple[torch.Tensor, Cache | None]:
    """Run embeddings (rows, tokens, hidden) behind a cache; `mask` covers what is behind the prefix. Return the states
    (rows, tokens, hidden) and the cache, which is kept where there was one or if `keep`.
    """
    import torch

    past = int(cache.get_seq_length()) if cache is not None else 0
    before = mask.shape[1] - embeds.shape[1]  # tokens of the rows themselves that are in the cache already
    front = past - before
    positions = (front + mask.cumsum(-1) - 1).clamp(min=0)[:, before:]
    whole = None
    if not bool(mask.all()):
        whole = torch.cat([mask.new_ones(len(mask), front), mask], dim=1)
    output = tuned.backbone()(
        inputs_embeds=embeds,
        attention_mask=whole,
        position_ids=positions,
        past_key_values=cache,
        use_cache=keep or cache is not None,
    )
    return output.last_hidden_state, output.past_key_values


def _last(
    tuned: TunedModel, embeds: torch.Tensor, mask: torch.Tensor, cache: Cache | None, keep: bool
) -> tuple[torch.Tensor, Cache | None]:
    """Return the last state (rows, hidden) of `run`, and the cache."""
    states, cache = run(tuned, embeds, mask, cache, keep)
    return states[:, -1].contiguous(), cache


def _among(tuned: TunedModel, state: torch.Tensor, choices: Tokens) -> torch.Tensor:
    """Return log-probabilities (rows, choices) of the next token among the choices."""
    import torch

    out = tuned.output_layer
    at = torch.tensor(choices, device=state.device)
    bias = getattr(out, "bias", None)
    logits = torch.nn.functional.linear(state, out.weight[at], None if bias is None else bias[at])
    return logits.float().log_softmax(-1)


def expanded(prefix: Prefix, rows: int) -> Cache | None:
    """Return a cache that gives every one of so many rows the prefix, or None without one."""
    if not prefix:
        return None
    return _cache([(k.expand(rows, -1, -1, -1), v.expand(rows, -1, -1, -1)) for k, v in prefix])


def _copied(cache: Cache | None) -> Cache:
    """Return a cache of the same tensors, so that what one branch adds is not seen by the next."""
    assert cache is not None
    return _cache(_layers(cache))


def _layers(cache: Cache) -> Prefix:
    return [(layer.keys, layer.values) for layer in cast("list[_Layer]", cache.layers)]


def _cache(layers: Prefix) -> Cache:
    from transformers import DynamicCache

    made = DynamicCache()
    for at, (keys, values) in enumerate(layers):
        made.update(keys, values, at)
    return made
