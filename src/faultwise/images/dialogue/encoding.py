"""Conversations about images as token ids for the language model, and the objective that answers are tuned with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from faultwise.images.dialogue.dialogues import Question, Turn
from faultwise.language.generating import AnswerGeneration
from faultwise.language.scoring import batch_size, batches, run_prefix

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from faultwise.images.dialogue.prompt_learner import PromptLearner
    from faultwise.language.adapters import TunedModel
    from faultwise.language.prompts import PromptBuilder
    from faultwise.language.questions import Conversations, Questions

__all__ = ["SYSTEM", "SentenceObjective", "conversations"]

SYSTEM = "You look at images of parts and answer briefly."


def conversations(
    builder: PromptBuilder,
    turns: Sequence[Question],
    vectors: Tensor,
    learner: PromptLearner,
    histories: Sequence[Sequence[Turn]] | None = None,
) -> Conversations:
    """Return questions about image vectors (images, width) ready for the model, each behind its earlier turns."""
    from faultwise.language.questions import Conversations

    before, _ = builder.around()
    rows = builder.encode([question for _, question, _ in turns])
    for at, history in enumerate(histories or ()):
        if history:
            rows[at] = [*before, *_earlier(builder, history), *rows[at][len(before) :]]
    front = len(before) if all(row[: len(before)] == before for row in rows) else 0
    return Conversations(rows, front, [at for at, _, _ in turns], vectors, learner)


def _earlier(builder: PromptBuilder, history: Sequence[Turn]) -> list[int]:
    """Return the ids of earlier turns, from the first question to where the next one begins."""
    before, after = builder.around()
    again = before[_system_length(builder) :]
    made = list[int]()
    for question, reply in history:
        (ids,), close = builder.answers([reply])
        shown = builder.encode([question])[0][len(before) : -len(after) or None]
        made += [*shown, *after, *ids, *close, *again]
    return made


def _system_length(builder: PromptBuilder) -> int:
    """Return how many ids before a question belong to the system's turn, which is written once."""
    before, _ = builder.around()
    text = str(builder.tokenizer.decode(before))
    at = text.rfind(SYSTEM)
    if at < 0:
        return 0
    for length in range(len(before) + 1):
        if len(builder.tokenizer.decode(before[:length])) >= at + len(SYSTEM):
            return length
    return 0


class SentenceObjective:
    """The objective of answers in whole sentences; what would be generated is read with teacher forcing."""

    cost = AnswerGeneration.cost

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, paths: Sequence[Sequence[int]], close: Sequence[int]
    ) -> None:
        self._generation = AnswerGeneration(tokenizer, paths, close)

    def loss(self, tuned: TunedModel, questions: Questions, rows: Sequence[int], targets: Tensor) -> tuple[Tensor, int]:
        """See `language.tuning.Objective`."""
        return self._generation.loss(tuned, questions, rows, targets)

    def metrics(self, tuned: TunedModel, questions: Questions, labels: np.ndarray) -> dict[str, float]:
        """See `language.tuning.Objective`."""
        import torch

        right, losses = 0, 0.0
        with torch.inference_mode():
            prefix = run_prefix(tuned, questions)
            for rows in batches(questions.lengths, batch_size(questions, 32)):
                each, hits = self._generation.row_losses(tuned, questions, rows.tolist(), labels[rows].tolist(), prefix)
                right, losses = right + hits, losses + float(each.sum())
        return {"accuracy": right / len(labels), "log_loss": losses / len(labels), "likeliest": 0.0}
