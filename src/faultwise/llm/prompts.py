"""Prompts in the model's own chat template, as token ids.

Text that comes from data can never become a control token: it is tokenised with special tokens split, in its
own piece, between the template's pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["PromptBuilder"]

_MARK = "@@FAULTWISE@@"


class PromptBuilder:
    """Wraps a question into system and user turns; `encode` gives token ids up to where the answer begins.

    A model without a chat template gets the plain "system, question, Answer:" form.
    """

    def __init__(self, tokenizer: Any, system: str) -> None:
        self.tokenizer = tokenizer
        if tokenizer.chat_template:
            turns = [{"role": "system", "content": system}, {"role": "user", "content": _MARK}]
            try:
                text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            except Exception:  # templates raise their own errors for a system turn they do not know
                turns = [{"role": "user", "content": f"{system}\n{_MARK}"}]
                text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        else:
            text = f"{tokenizer.bos_token or ''}{system}\n{_MARK}\nAnswer:"
        before, after = text.split(_MARK)
        self._before = tokenizer(before, add_special_tokens=False).input_ids
        self._after = tokenizer(after, add_special_tokens=False).input_ids

    def encode(self, questions: Sequence[str]) -> list[list[int]]:
        """Return one list of token ids per question."""
        made = self.tokenizer(list(questions), add_special_tokens=False, split_special_tokens=True)
        return [[*self._before, *ids, *self._after] for ids in made.input_ids]
