"""Prompts in the model's own chat template, as token ids, and the answers as they would follow.

The ids are those of the whole text at once: a tokenizer such as LLaMA 2's encodes the start of a text differently from
its middle, so pieces put together afterwards are not what the model was trained on. Text that comes from data can
still never become a control token: where the whole holds one that the template has not, the data's part is tokenised
alone, with such tokens split.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PromptBuilder"]

_MARK, _ANSWER = "@@FAULTWISE@@", "@@ANSWER@@"
_HARMLESS = "A0"


class PromptBuilder:
    """Wraps a question into system and user turns; `encode` gives token ids up to where the answer begins.

    A model without a chat template, LLaMA 2's bare tokenizer included, gets the plain "system, question, Answer:" form.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, system: str) -> None:
        self.tokenizer = tokenizer
        if tokenizer.chat_template:
            user = {"role": "user", "content": _MARK}
            try:
                text = self._filled([{"role": "system", "content": system}, user], ask=True)
                turns = [{"role": "system", "content": system}, user]
            except Exception:  # templates raise their own errors for a system turn they do not know
                turns = [{"role": "user", "content": f"{system}\n{_MARK}"}]
                text = self._filled(turns, ask=True)
            lead, close = self._around_answer(turns, text)
        else:
            text = f"{tokenizer.bos_token or ''}{system}\n{_MARK}\nAnswer:"
            lead, close = "", tokenizer.eos_token or ""
        self._text = tuple(text.split(_MARK))
        self._lead, self._close = lead, close
        self._before, self._after = (self._ids(piece) for piece in self._text)
        # Blank added tokens (runs of spaces) are spelling, all others are control tokens, marked special or not.
        added = {int(at): str(token) for at, token in tokenizer.added_tokens_decoder.items()}
        self._written = [token for token in added.values() if token.strip()]
        # A letter that the tokenizer does not know may become <unk>, which controls nothing.
        unknown = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id}
        self._control = {at for at, token in added.items() if token.strip()} - unknown
        self._expected = self._controls(self._ids(_HARMLESS.join(self._text)))

    def encode(self, questions: Sequence[str]) -> list[list[int]]:
        """Return one list of token ids per question (without blanks at its ends, which templates take off)."""
        if not questions:
            return []
        wholes = self.tokenizer([question.join(self._text) for question in questions], add_special_tokens=False)
        return [
            list(ids) if self._harmless(q, ids) else [*self._before, *self._plain(q), *self._after]
            for q, ids in zip(questions, wholes.input_ids, strict=True)
        ]

    def around(self) -> tuple[list[int], list[int]]:
        """Return the ids before and after a question that is no text."""
        return list(self._before), list(self._after)

    def answers(self, answers: Sequence[str]) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Return each answer's tokens as they follow a prompt in the whole text, and those that close an answer.

        Answers are scored, not generated, so the close (LLaMA 2's " </s>") counts only where one answer begins
        another ("Y = 1", "Y = 10"): there training and scoring put the same choice to the model, go on or close. An
        answer with nothing after it needs no end.
        """
        prompt = _HARMLESS.join(self._text)
        begun = self._ids(prompt)
        made = [self._ids(prompt + self._lead + answer) for answer in answers]
        closed = [self._ids(prompt + self._lead + answer + self._close) for answer in answers]
        safe = all(self._harmless(answer, ids) for answer, ids in zip(answers, made, strict=True))
        whole = safe and all(ids[: len(begun)] == begun for ids in made)
        if not whole:  # the answer would change how the prompt itself is written: then it stands alone
            made = [[*begun, *self._plain(answer)] for answer in answers]
        ends = {tuple(c[len(ids) :]) if c[: len(ids)] == ids else () for ids, c in zip(made, closed, strict=True)}
        end = ends.pop() if len(ends) == 1 else ()
        return [tuple(ids[len(begun) :]) for ids in made], end or (int(self.tokenizer.eos_token_id),)

    def _filled(self, turns: list[dict[str, str]], ask: bool) -> str:
        return str(self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=ask))

    def _around_answer(self, turns: list[dict[str, str]], prompt: str) -> tuple[str, str]:
        """Return what the template writes between a prompt and the answer, and from the answer to the end mark."""
        end = self.tokenizer.eos_token or ""
        try:
            text = self._filled([*turns, {"role": "assistant", "content": _ANSWER}], ask=False)
        except Exception:  # a template without assistant turns
            return "", end
        if not text.startswith(prompt) or text.count(_ANSWER) != 1:
            return "", end
        lead, close = text[len(prompt) :].split(_ANSWER)
        return lead, close[: close.find(end) + len(end)] if end and end in close else end

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _harmless(self, text: str, whole: Sequence[int]) -> bool:
        """Return whether text neither spells a control token nor, where it meets the template, has become one."""
        return not any(token in text for token in self._written) and self._controls(whole) == self._expected

    def _controls(self, ids: Sequence[int]) -> list[int]:
        return [token for token in ids if token in self._control]

    def _plain(self, text: str) -> list[int]:
        """Return the ids of text alone, none of them a control token: what spells one is cut behind its first letter,
        because `split_special_tokens` leaves those whole that were added without being marked special. What still
        comes out as one (a vocabulary that holds its letters as a word) is left out.
        """
        cuts = {0, len(text)}
        for token in self._written:
            at = text.find(token)
            while at >= 0:
                cuts.add(at + 1)
                at = text.find(token, at + 1)
        parts = [text[a:b] for a, b in pairwise(sorted(cuts))]
        made = self.tokenizer(parts, add_special_tokens=False, split_special_tokens=True).input_ids if parts else []
        return [token for ids in made for token in ids if token not in self._control]
