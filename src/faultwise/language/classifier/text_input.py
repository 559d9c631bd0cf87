"""The way in by text: rows written out, as short tags and digits or as the thesis's sentence.

Fault names stay outside; column names, and what a companion file says of them, enter the thesis's sentence only. What
the model cannot take in whole is refused, never cut. With the form `context` nothing is trained: rows with answers
stand in the user's turn before each question. They are text like the question, so nothing in them can end a turn.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.language.classifier.sentence import Sentence
from faultwise.language.classifier.statistics import StatisticsText, measured
from faultwise.language.classifier.text import ShortText
from faultwise.language.settings import LanguageSettings
from faultwise.verdicts.drawing import draw_evenly

__all__ = ["TextWay"]

_FEW_TOKENS = 5  # that an answer is given when it is generated
_MOST_EXAMPLES = 2048  # tokens: every row of a batch holds them in memory
_LONGER = 0.1  # by how much a row may be longer than those of the fit
_ROWS_TO_MEASURE = 64
_HIDDEN = 0.5  # of a row's variables, at most


class TextWay:
    """Texts of rows and what is answered to them. `modules` before the model: none.

    `about` has words for columns (see `Sentence.fit`); `log` tells how many examples stand in the prompt.
    """

    system: ClassVar[dict[str, str]] = {
        "short": "Name the fault.",
        "statistics": "Name the fault.",
        "thesis": "You are an expert in diagnosing the faults of this plant.",
    }
    learning_rate, batch = 5e-4, 8

    def __init__(self, settings: LanguageSettings, about: Mapping[str, str] | None = None) -> None:
        self.settings = settings
        self._about = about or {}
        self._text: ShortText | StatisticsText | Sentence = self._unfitted()
        self._examples: list[str] = []
        self._fits = True  # the examples are as many as the model has room for
        self._answer_room = 0
        self.modules: list[Any] = []
        self.log: dict[str, Any] = {}

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int, progress: bool) -> None:
        """Learn features, ranges and answers from training rows, and draw examples from them where the form has any."""
        text = self._unfitted()
        self._text = text.fit(X, y, self._about) if isinstance(text, Sentence) else text.fit(X, y)
        if self.settings.form == "context":
            self._examples, self._fits = self._drawn(X, y, groups, seed), False

    def ready(self, lm: Any, labels: Sequence[Sequence[int]], seed: int) -> None:
        """Nothing stands between text and the model."""

    def answers(self, classes: Sequence[str], builder: Any) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Return each label's tokens, and those that end an answer."""
        made: tuple[list[tuple[int, ...]], tuple[int, ...]] = builder.answers(self._text.answers(classes))
        self._answer_room = max(_FEW_TOKENS, max(map(len, made[0])) + len(made[1]))
        return made

    def lessons(self, X: pd.DataFrame, codes: np.ndarray, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return rows to train on and their targets: the training rows and their labels, variables hidden in some if
        the settings say so; where nothing is trained, a few rows to measure.
        """
        if self.settings.form == "context":
            few = draw_evenly(codes, np.arange(len(codes)), _ROWS_TO_MEASURE, seed)
            return X.iloc[few], codes[few]
        from faultwise.language.classifier.row_encoder import hide

        rng = np.random.default_rng(seed)
        share = np.where(rng.random(len(X)) < self.settings.lost, rng.random(len(X)) * _HIDDEN, 0.0)
        of = pd.factorize(np.array([measured(str(name))[1] for name in X.columns], dtype=object))[0]
        return pd.DataFrame(hide(X.to_numpy(), of, share, rng), columns=X.columns, index=X.index), codes

    def asked(self, X: pd.DataFrame, lm: Any, builder: Any, tree: Any) -> Any:
        """Return the rows' prompts. Raises UserError for one that the model cannot take in whole."""
        from faultwise.language.questions import TextQuestions

        writes = self.settings.judge == "generate"
        # The answer needs room too. A model may say nothing of its context: then there is nothing to compare with.
        room = getattr(lm.model.config, "max_position_embeddings", None)
        tail = self._answer_room if writes else tree.depth
        texts = self._text.write(X)
        if not self._fits:
            self._fit_examples(texts, builder, None if room is None else room - tail)
        prompts: list[list[int]] = builder.encode([self._question(text, len(self._examples)) for text in texts])
        longest = max(map(len, prompts)) + tail
        if room is not None and longest > room:
            words = "" if not self._examples else f" with {len(self._examples)} examples (--lm-examples)"
            raise UserError(
                f"A row is {longest} tokens in the language model's text{words}, but `{self.settings.model}` takes "
                f"{room} at most, and nothing is cut silently: use --lm-text short or tokens, --no-lm-names, fewer "
                "columns (--ignore A,B), or a --model with a longer context."
            )
        return TextQuestions(prompts, lm.tokenizer.pad_token_id, () if writes else tree.root)

    def save(self, folder: Path) -> None:
        """Write what was learnt, and the examples, as JSON."""
        state = {**self._text.to_dict(), "examples": self._examples}
        (folder / "text.json").write_text(json.dumps(state))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        state = json.loads((folder / "text.json").read_text())
        self._examples = state.pop("examples", [])
        self._text = type(self._unfitted())(**state)

    def _unfitted(self) -> ShortText | StatisticsText | Sentence:
        settings = self.settings
        if settings.text == "thesis":
            return Sentence(settings.names, settings.normalise)
        if settings.text == "statistics":
            return StatisticsText(settings.features)
        return ShortText(settings.digits, settings.features)

    def _drawn(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int) -> list[str]:
        """Return rows with their answers, the classes in turn and in another order each time, so that the last ones
        can be left out and neither class nor place is told by the other.
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

    def _fit_examples(self, texts: Sequence[str], builder: Any, room: int | None) -> None:
        """Leave out the last examples until they fit before the longest of these texts, and say so."""
        bare = [len(ids) for ids in builder.encode(list(texts))]
        text, longest = texts[int(np.argmax(bare))], max(bare)
        most = longest + _MOST_EXAMPLES
        if room is not None:
            most = min(most, int(room - _LONGER * longest))

        def length(examples: int) -> int:
            return len(builder.encode([self._question(text, examples)])[0])

        drawn = len(self._examples)
        kept = max(0, bisect_right(range(drawn + 1), most, key=length) - 1)
        self._examples, self._fits = self._examples[:kept], True
        self.log |= {"examples": kept, "examples_left_out": drawn - kept}
