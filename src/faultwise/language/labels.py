"""Labels as a tree of tokens, so that a model can be asked for one of them and nothing else.

A label's probability is the product, over its tokens, of the model's probability of that token *among the
tokens that can still lead to a label*. The labels' probabilities therefore add up to one, however many tokens
a label has and even where one label begins with another ("1" and "10"): an end mark closes each label that is
the beginning of another. Where only one continuation is possible the model need not be asked at all, so labels
with different first tokens cost a single forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from faultwise.contracts.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["LabelTree", "Step", "Tokens"]

Tokens = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One real choice on the path to a label: after `prefix`, take `token` out of `choices`."""

    prefix: Tokens
    token: int
    choices: Tokens


class LabelTree:
    """The tree of the labels' tokens.

    `branches` maps each prefix after which there is a choice to the tokens to choose from; `paths` has for
    each label, in the given order, its choices; `root` is what all labels begin with; `depth` is the most tokens a
    model is shown of a label. `end` is the end mark, or the several tokens with which a template closes an answer.
    What all labels begin with ("Y = ") is no choice: it is shown to the model, and costs no probability.

    >>> tree = LabelTree([(7,), (7, 8), (9, 9)], end=0)
    >>> tree.branches
    {(): (7, 9), (7,): (0, 8)}
    >>> [[step.token for step in path] for path in tree.paths]
    [[7, 0], [7, 8], [9]]
    """

    def __init__(self, labels: Sequence[Tokens], end: int | Tokens) -> None:
        if len(labels) < 2:
            raise UserError(f"A model can choose between two labels or more; found {len(labels)}.")
        if any(not label for label in labels):
            raise UserError("A label is empty: give every fault a name.")
        if len(set(labels)) < len(labels):
            raise UserError("Two labels are written with the same tokens: rename one of them.")
        closed = _closed(labels, (end,) if isinstance(end, int) else tuple(end))
        after: dict[Tokens, set[int]] = {}
        for label in closed:
            for depth, token in enumerate(label):
                after.setdefault(label[:depth], set()).add(token)
        self.branches: dict[Tokens, Tokens] = {
            prefix: tuple(sorted(tokens)) for prefix, tokens in sorted(after.items()) if len(tokens) > 1
        }
        self.paths: list[list[Step]] = [
            [
                Step(label[:depth], token, self.branches[label[:depth]])
                for depth, token in enumerate(label)
                if label[:depth] in self.branches
            ]
            for label in closed
        ]
        self.root: Tokens = min(self.branches, key=len)
        self.depth = max(map(len, self.branches))

    @classmethod
    def of(cls, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> LabelTree:
        """Build the tree with a tokenizer; special tokens written inside a label are plain text."""
        tokens = [
            tuple(tokenizer(label, add_special_tokens=False, split_special_tokens=True).input_ids) for label in labels
        ]
        return cls(tokens, end=int(tokenizer.eos_token_id))


def _closed(labels: Sequence[Tokens], close: Tokens) -> list[Tokens]:
    """Return the labels, with the end mark behind those that are the beginning of another one."""
    known = set(labels)
    begins = {label for label in known if any(o[: len(label)] == label for o in known - {label})}
    return [(*label, *close) if label in begins else tuple(label) for label in labels]
