"""Answers generated token by token, as in the tabular study: greedily, a few tokens, right only if read exactly.

Training here is the study's too: cross-entropy over the whole vocabulary on the answer's tokens and those that close
it, given one after the other (teacher forcing). Nothing is sampled. Scoring the labels (see `scoring`) is faster, and
gives probabilities; a generated text is one label or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.language.scoring import batch_size, batches, expanded, run, run_prefix

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from faultwise.language.adapters import TunedModel
    from faultwise.language.questions import Questions
    from faultwise.language.scoring import Prefix

__all__ = ["NO_ANSWER", "AnswerGeneration", "generate"]

NO_ANSWER = -1
_FEW_TOKENS = 5  # as in the study
_ROWS_TOGETHER = 16


class AnswerGeneration:
    """The objective, and the reader, of generated answers.

    `answers` are the tokens of each answer as they follow a prompt, `close` those that end one (see
    `prompts.PromptBuilder.answers`). `most` tokens are generated: five, or as many as the longest answer takes.
    """

    cost = 1.2

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, answers: Sequence[Sequence[int]], close: Sequence[int]
    ) -> None:
        self._tokenizer = tokenizer
        self._close = int(close[-1])
        self._spelled = [[*answer, *close] for answer in answers]
        # What a tokenizer makes of its own tokens, and not the text they came from: some lose a letter or a blank.
        self._positions = {self._text(answer): at for at, answer in enumerate(answers)}
        self.most = max(_FEW_TOKENS, *map(len, answers))

    def read(self, ids: Sequence[int]) -> int:
        """Return the position of the answer that these tokens spell exactly, or `NO_ANSWER`."""
        return self._positions.get(self._text(ids), NO_ANSWER)

    def predict(
        self, tuned: TunedModel, questions: Questions, step: Callable[[int], object] | None = None
    ) -> np.ndarray:
        """Generate an answer to every row; return positions (rows,), `NO_ANSWER` where the text is none of them."""
        found = np.empty(len(questions.lengths), int)
        for row, ids in enumerate(generate(tuned, questions, self.most, self._close)):
            found[row] = self.read(ids)
            if step is not None:
                step(1)
        return found

    def loss(
        self, tuned: TunedModel, questions: Questions, rows: Sequence[int], targets: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Return the sum over rows of their answers' mean loss per token, and how many would be generated right;
        `targets` are (rows, answers).
        """
        prefix = run_prefix(tuned, questions)
        losses, right = self.row_losses(tuned, questions, rows, targets.argmax(1).tolist(), prefix)
        return losses.sum(), right

    def metrics(self, tuned: TunedModel, questions: Questions, labels: np.ndarray) -> dict[str, float]:
        """Return the accuracy of the generated answers, the answers' mean loss, and shares of all rows: of the most
        frequent answer, and of texts that are no answer.
        """
        import torch

        found = self.predict(tuned, questions)
        losses = 0.0
        with torch.inference_mode():
            prefix = run_prefix(tuned, questions)
            for rows in batches(questions.lengths, batch_size(questions, 32)):
                of_rows, _ = self.row_losses(tuned, questions, rows.tolist(), labels[rows].tolist(), prefix)
                losses += float(of_rows.sum())
        return {
            "accuracy": float((found == labels).mean()),
            "log_loss": losses / len(labels),
            "likeliest": float(np.bincount(found[found != NO_ANSWER], minlength=1).max() / len(found)),
            "unreadable": float((found == NO_ANSWER).mean()),
        }

    def row_losses(
        self, tuned: TunedModel, questions: Questions, rows: Sequence[int], labels: Sequence[int], prefix: Prefix
    ) -> tuple[torch.Tensor, int]:
        """Return each row's mean loss per token of its label's answer, (rows,), and how many rows are right."""
        import torch

        table = tuned.embeddings
        embeds, mask = questions.embed(rows, table)
        ids, known = self._padded(labels)
        ids, known = ids.to(mask.device), known.to(mask.device)
        embeds = torch.cat([embeds, table(ids[:, :-1])], dim=1)
        mask = torch.cat([mask, known[:, :-1].to(mask.dtype)], dim=1)
        states, _ = run(tuned, embeds, mask, expanded(prefix, len(rows)), keep=False)
        logits = _over_vocabulary(tuned, states[:, -ids.shape[1] :][known])
        each = torch.nn.functional.cross_entropy(logits, ids[known], reduction="none")
        of_row = known.nonzero()[:, 0]
        losses = each.new_zeros(len(rows)).index_add(0, of_row, each) / known.sum(1)
        wrong = torch.zeros_like(losses).index_add(0, of_row, (logits.argmax(1) != ids[known]).to(losses.dtype))
        return losses, int((wrong == 0).sum())

    def _padded(self, labels: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the tokens of the labels' answers, padded on the right, and which of them are no padding."""
        import torch

        answers = [self._spelled[label] for label in labels]
        ids = torch.full((len(labels), max(map(len, answers))), answers[0][0])
        known = torch.zeros(ids.shape, dtype=torch.bool)
        for at, answer in enumerate(answers):
            ids[at, : len(answer)], known[at, : len(answer)] = torch.tensor(answer), True
        return ids, known

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()


def generate(tuned: TunedModel, questions: Questions, most: int, *ends: int) -> Iterator[list[int]]:
    """Yield each row's likeliest tokens one after the other, `most` at most, up to an end mark, which is left out.

    `ends` are end marks beside the model's own. Sixteen rows go together; what all rows begin with is run once.
    """
    import torch

    stops = {*ends, *_own_ends(tuned.model)}
    with torch.inference_mode():
        prefix = run_prefix(tuned, questions)
    count = len(questions.lengths)
    for start in range(0, count, _ROWS_TOGETHER):
        rows = list(range(start, min(count, start + _ROWS_TOGETHER)))
        with torch.inference_mode():  # not across a yield: the mode would leak to the caller
            texts = _greedy(tuned, questions, rows, prefix, most, stops)
        yield from texts


def _greedy(
    tuned: TunedModel, questions: Questions, rows: list[int], prefix: Prefix, most: int, stops: set[int]
) -> list[list[int]]:
    """Return the likeliest tokens of these rows, which go through the model together."""
    import torch

    texts: list[list[int]] = [[] for _ in rows]
    embeds, mask = questions.embed(rows, tuned.embeddings)
    cache, going = expanded(prefix, len(rows)), [True] * len(rows)
    for _ in range(most):
        states, cache = run(tuned, embeds, mask, cache, keep=True)
        tokens = _over_vocabulary(tuned, states[:, -1]).argmax(dim=1)
        for at, token in enumerate(tokens.tolist()):
            going[at] = going[at] and token not in stops
            if going[at]:
                texts[at].append(token)
        if not any(going):
            break
        embeds = tuned.embeddings(tokens[:, None])
        mask = torch.cat([mask, mask.new_ones(len(rows), 1)], dim=1)
    return texts


def _own_ends(model: PreTrainedModel) -> set[int]:
    stated = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return {int(end) for end in (stated if isinstance(stated, list | tuple) else [stated]) if end is not None}


def _over_vocabulary(tuned: TunedModel, states: torch.Tensor) -> torch.Tensor:
    """Return logits (tokens, vocabulary) of states (tokens, hidden). They have to be laid out one after the other: on a
    CPU a sliced bfloat16 state makes the product copy the whole vocabulary once per row.
    """
    logits: torch.Tensor = tuned.output_layer(states.contiguous())
    return logits.float()
