"""Answers written token by token, as the tabular study judged: greedily, a few tokens, right only if read exactly.

Training here is the study's too: cross-entropy over the whole vocabulary on the answer's tokens and those that close
it, shown one after the other (teacher forcing). Nothing is sampled. Scoring the labels (see `scoring`) is faster, and
gives probabilities; what is written is one label or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from faultwise.language.questions import Asked
from faultwise.language.scoring import Prefix, batch_size, batches, expanded, run, run_prefix

__all__ = ["NO_ANSWER", "Writing", "generate"]

NO_ANSWER = -1
_FEW = 5  # tokens, as in the study
_TOGETHER = 16  # rows


class Writing:
    """The objective, and the reader, of answers that are written.

    `answers` are the tokens of each answer as they follow a prompt, `close` those that end one (see
    `prompts.PromptBuilder.answers`). `most` is how many tokens are written: five, or what the longest answer takes.
    """

    cost = 1.2

    def __init__(self, tokenizer: Any, answers: Sequence[Sequence[int]], close: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._close = int(close[-1])
        self._spelled = [[*answer, *close] for answer in answers]
        # What a tokenizer makes of its own tokens, and not the text they came from: some lose a letter or a blank.
        self._positions = {self._text(answer): at for at, answer in enumerate(answers)}
        self.most = max(_FEW, *map(len, answers))

    def read(self, ids: Sequence[int]) -> int:
        """Return the position of the answer that these tokens are, to the letter, or `NO_ANSWER`."""
        return self._positions.get(self._text(ids), NO_ANSWER)

    def given(self, tuned: Any, asked: Asked, step: Callable[[int], object] | None = None) -> np.ndarray:
        """Write an answer to every row; return positions (rows,), `NO_ANSWER` where the text is none of them."""
        made = np.empty(len(asked.lengths), int)
        for row, ids in enumerate(generate(tuned, asked, self.most, self._close)):
            made[row] = self.read(ids)
            if step is not None:
                step(1)
        return made

    def loss(self, tuned: Any, asked: Asked, rows: Sequence[int], wanted: Any) -> tuple[Any, int]:
        """Return the sum over rows of their answers' mean loss per token, and how many would be written right."""
        losses, right = self._losses(tuned, asked, rows, wanted.argmax(1).tolist(), run_prefix(tuned, asked))
        return losses.sum(), right

    def figures(self, tuned: Any, asked: Asked, labels: np.ndarray) -> dict[str, float]:
        """Return accuracy of what is written, the answers' mean loss, and shares of all rows: the label written most,
        and what is no answer.
        """
        import torch

        given = self.given(tuned, asked)
        losses = 0.0
        with torch.inference_mode():
            prefix = run_prefix(tuned, asked)
            for rows in batches(asked.lengths, batch_size(asked, 32)):
                losses += float(self._losses(tuned, asked, rows.tolist(), labels[rows].tolist(), prefix)[0].sum())
        return {
            "accuracy": float((given == labels).mean()),
            "log_loss": losses / len(labels),
            "likeliest": float(np.bincount(given[given != NO_ANSWER], minlength=1).max() / len(given)),
            "unreadable": float((given == NO_ANSWER).mean()),
        }

    def _losses(
        self, tuned: Any, asked: Asked, rows: Sequence[int], labels: Sequence[int], prefix: Prefix
    ) -> tuple[Any, int]:
        import torch

        table = tuned.model.get_input_embeddings()
        embeds, mask = asked.embed(rows, table)
        answers = [self._spelled[label] for label in labels]
        longest = max(map(len, answers))
        ids = torch.full((len(rows), longest), answers[0][0])
        known = torch.zeros(ids.shape, dtype=torch.bool)
        for at, answer in enumerate(answers):
            ids[at, : len(answer)], known[at, : len(answer)] = torch.tensor(answer), True
        ids, known = ids.to(mask.device), known.to(mask.device)
        embeds = torch.cat([embeds, table(ids[:, :-1])], dim=1)
        mask = torch.cat([mask, known[:, :-1].to(mask.dtype)], dim=1)
        states, _ = run(tuned, embeds, mask, expanded(prefix, len(rows)), keep=False)
        logits = _over_vocabulary(tuned, states[:, -longest:][known])
        each = torch.nn.functional.cross_entropy(logits, ids[known], reduction="none")
        of_row = known.nonzero()[:, 0]
        losses = each.new_zeros(len(rows)).index_add(0, of_row, each) / known.sum(1)
        wrong = torch.zeros_like(losses).index_add(0, of_row, (logits.argmax(1) != ids[known]).to(losses.dtype))
        return losses, int((wrong == 0).sum())

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()


def generate(tuned: Any, asked: Asked, most: int, *ends: int) -> Iterator[list[int]]:
    """Yield each row's likeliest tokens one after the other, `most` at most, up to an end mark, which is left out.

    `ends` are end marks beside the model's own. Sixteen rows go together; what all rows begin with is run once.
    """
    import torch

    stops = {*ends, *_own_ends(tuned.model)}
    table = tuned.model.get_input_embeddings()
    with torch.inference_mode():
        prefix = run_prefix(tuned, asked)
    count = len(asked.lengths)
    for start in range(0, count, _TOGETHER):
        rows = list(range(start, min(count, start + _TOGETHER)))
        written: list[list[int]] = [[] for _ in rows]
        with torch.inference_mode():  # not across a yield: the mode would leak to the caller
            embeds, mask = asked.embed(rows, table)
            cache, going = expanded(prefix, len(rows)), [True] * len(rows)
            for _ in range(most):
                states, cache = run(tuned, embeds, mask, cache, keep=True)
                tokens = _over_vocabulary(tuned, states[:, -1]).argmax(dim=1)
                for at, token in enumerate(tokens.tolist()):
                    going[at] = going[at] and token not in stops
                    if going[at]:
                        written[at].append(token)
                if not any(going):
                    break
                embeds = table(tokens[:, None])
                mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
        yield from written


def _own_ends(model: Any) -> set[int]:
    stated = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {int(end) for end in (stated if isinstance(stated, list | tuple) else [stated]) if end is not None}


def _over_vocabulary(tuned: Any, states: Any) -> Any:
    """Return logits (tokens, vocabulary) of states (tokens, hidden). They have to be laid out one after the other: on a
    CPU a sliced bfloat16 state makes the product copy the whole vocabulary once per row.
    """
    return tuned.model.get_output_embeddings()(states.contiguous()).float()
