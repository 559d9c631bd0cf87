"""Rows as texts: short tags and digits, the thesis's sentence, or written texts as they are.

Fault names stay outside; column names, and the words of a companion file about them, enter the thesis's sentence only.
What the model cannot take in whole is refused, never cut; only long written texts are (see `plain_text`). With the
method `context` nothing is trained: rows with answers stand in the user's turn before each question. They are text like
the question, so nothing in them can end a turn.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.contracts.language import LanguageSettings
from faultwise.language.classifier.plain_text import PlainText
from faultwise.language.classifier.sentence import Sentence
from faultwise.language.classifier.statistics import StatisticsText, measured
from faultwise.language.classifier.text import ShortText
from faultwise.verdicts.drawing import draw_evenly

if TYPE_CHECKING:
    from torch import nn

    from faultwise.language.labels import LabelTree, Tokens
    from faultwise.language.loading import LanguageModel
    from faultwise.language.prompts import PromptBuilder
    from faultwise.language.questions import TextQuestions

__all__ = ["TextInput"]

_GENERATED_TOKENS = 5  # of an answer at least, when it is generated
_MOST_EXAMPLE_TOKENS = 2048  # every row of a batch holds them in memory
_LONGER = 0.1  # by how much a row may be longer than those of the fit
_ROWS_TO_MEASURE = 64
_MOST_HIDDEN = 0.5  # of a row's variables


class TextInput:
    """Texts of rows and the answers to them. `modules` before the model: none.

    `about` has words for columns (see `Sentence.fit`); `log` has the number of examples in the prompt.
    """

    system: ClassVar[dict[str, str]] = {
        "short": "Name the fault.",
        "statistics": "Name the fault.",
        "thesis": "You are an expert in diagnosing the faults of this plant.",
        "text": "Name the failure mode that this maintenance note describes.",
    }
    learning_rate, batch = 5e-4, 8

    def __init__(self, settings: LanguageSettings, about: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self._about = about or {}
        self._text: ShortText | StatisticsText | Sentence | PlainText = self._unfitted()
        self._examples: list[str] = []
        self._fits = True  # the examples are as many as the model has room for
        self._answer_room = 0
        self.modules: list[nn.Module] = []
        self.log: dict[str, object] = {}

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int, progress: bool) -> None:
        """Learn features, ranges and answers from training rows X (rows, features), and draw examples from them where
        the method has any.
        """
        text = self._unfitted()
        self._text = text.fit(X, y, self._about) if isinstance(text, Sentence) else text.fit(X, y)
        if self.settings.method == "context":
            self._examples, self._fits = self._drawn(X, y, groups, seed), False

    def prepare(self, language_model: LanguageModel, labels: Sequence[Sequence[int]], seed: int) -> None:
        """Do nothing, because no module stands between text and the model."""

    def answers(self, classes: Sequence[str], builder: PromptBuilder) -> tuple[list[Tokens], Tokens]:
        """Return each label's tokens, and those that end an answer."""
        spelled, end = builder.answers(self._text.answers(classes))
        self._answer_room = max(_GENERATED_TOKENS, max(map(len, spelled)) + len(end))
        return spelled, end

    def training_samples(self, X: pd.DataFrame, codes: np.ndarray, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return rows to train on and their targets: the training rows and their labels, variables hidden in some if
        the settings ask for it; where nothing is trained, a few rows to measure.
        """
        if self.settings.method == "context":
            few = draw_evenly(codes, np.arange(len(codes)), _ROWS_TO_MEASURE, seed)
            return X.iloc[few], codes[few]
        if self.settings.input == "text":
            return X, codes
        from faultwise.language.classifier.row_encoder import hide

        rng = np.random.default_rng(seed)
        hidden = rng.random(len(X)) < self.settings.missing_rate
        share = np.where(hidden, rng.random(len(X)) * _MOST_HIDDEN, 0.0)
        of = pd.factorize(np.array([measured(str(name))[1] for name in X.columns], dtype=object))[0]
        return pd.DataFrame(hide(X.to_numpy(), of, share, rng), columns=X.columns, index=X.index), codes

    def questions(
        self, X: pd.DataFrame, language_model: LanguageModel, builder: PromptBuilder, tree: LabelTree
    ) -> TextQuestions:
        """Return the rows' prompts. Raises UserError for one that the model cannot take in whole."""
        from faultwise.language.questions import TextQuestions

        generates = self.settings.scoring == "generate"
        # The answer needs room too. A configuration may not state the context: then there is nothing to compare with.
        room = getattr(language_model.model.config, "max_position_embeddings", None)
        tail = self._answer_room if generates else tree.depth
        texts = self._text.write(X)
        if not self._fits:
            self._fit_examples(texts, builder, None if room is None else room - tail)
        prompts = builder.encode([self._question(text, len(self._examples)) for text in texts])
        longest = max(map(len, prompts)) + tail
        if room is not None and longest > room:
            words = ""
            if self._examples:
                words = f" with {len(self._examples)} examples (--set language.examples=N)"
            raise UserError(
                f"A row is {longest} tokens in the language model's text{words}, but `{self.settings.model}` takes "
                f"{room} at most, and nothing is cut silently: use --set language.input=short or tokens, "
                "--set language.column_names=no, fewer columns (--ignore A,B), or a model with a longer context "
                "(--set language.model=NAME)."
            )
        return TextQuestions(prompts, language_model.tokenizer.pad_token_id, () if generates else tree.root)

    def save(self, folder: Path) -> None:
        """Write what was learnt, and the examples, as JSON."""
        state = {**self._text.to_dict(), "examples": self._examples}
        (folder / "text.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        state = json.loads((folder / "text.json").read_text())
        self._examples = state.pop("examples", [])
        self._text = type(self._unfitted())(**state)

    def _unfitted(self) -> ShortText | StatisticsText | Sentence | PlainText:
        settings = self.settings
        if settings.input == "thesis":
            return Sentence(settings.column_names, settings.normalise)
        if settings.input == "statistics":
            return StatisticsText(settings.features)
        if settings.input == "text":
            return PlainText()
        return ShortText(settings.digits, settings.features)

    def _drawn(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int) -> list[str]:
        """Return rows with their answers, the classes in turn and in another order each time, so that the last ones
        can be left out and neither class nor place can be inferred from the other.
        """
        classes = sorted(set(y))
        at = draw_evenly(y, groups, self.settings.examples * len(classes), seed)
        at = np.random.default_rng(seed).permutation(at)
        turn = pd.Series(y[at]).groupby(y[at]).cumcount().to_numpy()
        at = at[np.argsort(turn, kind="stable")]
        answers = dict(zip(classes, self._text.answers(classes), strict=True))
        return [f"{text} -> {answers[label]}" for text, label in zip(self._text.write(X.iloc[at]), y[at], strict=True)]

    def _question(self, text: str, examples: int) -> str:
        return "\n".join([*self._examples[:examples], f"{text} ->"]) if examples else text

    def _fit_examples(self, texts: Sequence[str], builder: PromptBuilder, room: int | None) -> None:
        """Leave out the last examples until they fit before the longest of these texts; the log has their numbers."""
        bare = [len(ids) for ids in builder.encode(list(texts))]
        text, longest = texts[int(np.argmax(bare))], max(bare)
        most = longest + _MOST_EXAMPLE_TOKENS
        if room is not None:
            most = min(most, int(room - _LONGER * longest))

        def length(examples: int) -> int:
            return len(builder.encode([self._question(text, examples)])[0])

        drawn = len(self._examples)
        kept = max(0, bisect_right(range(drawn + 1), most, key=length) - 1)
        self._examples, self._fits = self._examples[:kept], True
        self.log |= {"examples": kept, "examples_left_out": drawn - kept}
