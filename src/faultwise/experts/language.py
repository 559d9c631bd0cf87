"""The language model as an expert: rows as text, LoRA, and the labels scored, never generated.

In the short text it sees tags and digits only: column names, cell texts and fault names stay outside, features are
chosen by training rows, and the answers are the numbers of the labels in their order. (Letters as answers, which are
tags in the text too, cost an eighth of the accuracy after 60 steps.) The thesis's sentence shows it every feature,
by name if asked for. What the model cannot take in whole is refused, never cut.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise.data.drawing import draw_evenly
from faultwise.encoders.sentence import Sentence
from faultwise.encoders.text import ShortText
from faultwise.errors import RunFolderError, UserError
from faultwise.experts.registry import LANGUAGE_MODEL, ExpertContext
from faultwise.experts.settings import LanguageSettings

__all__ = ["LanguageExpert", "language_model"]

_HELD = 0.15  # share of its own training rows that the language model stops on
_MOST_HELD = 96
_HELD_TOKENS, _FEWEST_HELD = 12_000, 24  # long prompts: stopping must not cost more than training
_SYSTEM = {"short": "Name the fault.", "thesis": "You are an expert in diagnosing the faults of this plant."}


class LanguageExpert:
    """A causal language model tuned to name the fault. `log` tells steps, seconds, and why it stopped."""

    name = LANGUAGE_MODEL

    def __init__(self, settings: LanguageSettings, seed: int = 0, progress: bool = False) -> None:
        self.settings = settings
        self.seed = seed
        self.progress = progress
        self.classes_ = np.empty(0, dtype=object)
        self.log: dict[str, Any] = {}
        self._text: ShortText | Sentence = ShortText()
        self._lm: Any = None
        self._tuned: Any = None
        self._folder: Path | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> LanguageExpert:
        """Tune on at most `settings.rows` rows, drawn evenly over classes and runs."""
        from faultwise.llm.loading import load
        from faultwise.llm.tuning import TuneConfig, tune

        picked = draw_evenly(y, groups, self.settings.rows, self.seed)
        X, y, groups = X.iloc[picked], y[picked].astype(str), groups[picked]
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._text = self._unfitted().fit(X, y)
        self._lm = load(self.settings.model)
        prompts = self._prompts(X)
        longest = max(map(len, prompts))
        held = _held_out(y, groups, self.seed, min(_MOST_HELD, max(_FEWEST_HELD, _HELD_TOKENS // longest)))
        config = TuneConfig(minutes=self.settings.minutes, steps=self.settings.steps, seed=self.seed)
        with tqdm(total=100, desc="language model", unit="%", disable=not self.progress, leave=False) as bar:

            def report(done: float, figures: dict[str, float]) -> None:
                bar.update(round(100 * done) - bar.n)
                bar.set_postfix(loss=f"{figures['loss']:.2f}")

            self._tuned, log = tune(
                self._lm.model,
                [p for p, h in zip(prompts, held, strict=True) if not h],
                codes[~held],
                self._tree(),
                ([p for p, h in zip(prompts, held, strict=True) if h], codes[held]),
                self._lm.tokenizer.pad_token_id,
                config,
                report,
            )
        self._tuned.merge_adapter()
        self.log = dataclasses.asdict(log)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes); the caller decides how many rows to afford."""
        from faultwise.llm.scoring import score

        self._ready()
        if not len(X):
            return np.empty((0, len(self.classes_)))
        prompts = self._prompts(X)
        hide = not self.progress or len(prompts) < 32
        with tqdm(total=len(prompts), desc="language model", unit="row", disable=hide, leave=False) as bar:
            logs = score(self._tuned, prompts, self._tree(), self._lm.tokenizer.pad_token_id, step=bar.update)
        raised = np.exp(logs)
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        """Write the adapter in PEFT's layout and `expert.json`; the base model is named, not copied."""
        self._ready()
        # Merging changed the base's weights only, which are not written; A and B are as they were tuned.
        for config in self._tuned.peft_config.values():
            config.base_model_name_or_path = self.settings.model
        # Embeddings are not tuned; asking PEFT to find that out by itself makes it look for the base on a hub.
        self._tuned.save_pretrained(folder / "adapter", save_embedding_layers=False)
        state = {
            "classes": self.classes_.tolist(),
            "text": self._text.to_dict(),
            "settings": dataclasses.asdict(self.settings),
            "log": self.log,
        }
        (folder / "expert.json").write_text(json.dumps(state, indent=1))

    def load(self, folder: Path) -> LanguageExpert:
        """Read what `save` wrote; the model itself is loaded when the first row is scored."""
        state = json.loads((folder / "expert.json").read_text())
        # The budget of a command is the caller's; what the model was tuned with is the run's.
        self.settings = LanguageSettings(**{**state["settings"], "score_rows": self.settings.score_rows})
        self.classes_ = np.array(state["classes"], dtype=str)
        self._text = type(self._unfitted())(**state["text"])
        self.log, self._folder = state["log"], folder
        return self

    def _ready(self) -> None:
        if self._tuned is not None:
            return
        from peft import PeftModel

        from faultwise.llm.loading import load

        if self._folder is None:
            raise RunFolderError("The language model was neither fitted nor loaded.")
        self._lm = load(self.settings.model)
        self._tuned = PeftModel.from_pretrained(self._lm.model, self._folder / "adapter", autocast_adapter_dtype=False)
        self._tuned.merge_adapter()
        self._tuned.eval()

    def _unfitted(self) -> ShortText | Sentence:
        settings = self.settings
        if settings.text == "thesis":
            return Sentence(settings.names, settings.normalise)
        return ShortText(settings.digits, settings.features)

    def _builder(self) -> Any:
        from faultwise.llm.prompts import PromptBuilder

        return PromptBuilder(self._lm.tokenizer, self.settings.system or _SYSTEM[self.settings.text])

    def _prompts(self, X: pd.DataFrame) -> list[list[int]]:
        """Return the rows' prompts as token ids. Raises UserError for one that the model cannot take in whole."""
        prompts: list[list[int]] = self._builder().encode(self._text.write(X))
        # The answer needs room too. A model may say nothing of its context: then there is nothing to compare with.
        room = getattr(self._lm.model.config, "max_position_embeddings", None)
        longest = max(map(len, prompts)) + self._tree().depth
        if room is not None and longest > room:
            raise UserError(
                f"A row is {longest} tokens in the language model's text, but `{self.settings.model}` takes {room} at "
                "most, and nothing is cut silently: use --lm-text short, --no-lm-names, fewer columns (--ignore A,B), "
                "or a --model with a longer context."
            )
        return prompts

    def _tree(self) -> Any:
        from faultwise.llm.labels import LabelTree

        labels, end = self._builder().answers(self._text.answers(self.classes_.tolist()))
        return LabelTree(labels, end)


def _held_out(y: np.ndarray, groups: np.ndarray, seed: int, most: int = _MOST_HELD) -> np.ndarray:
    """Return a mask (rows,) of rows to stop on: whole runs where every class has several, else rows."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    held = np.zeros(len(y), bool)
    runs = pd.DataFrame({"y": y, "g": groups}).drop_duplicates().groupby("y").size()
    folds = max(2, min(round(1 / _HELD), int(np.unique(y, return_counts=True)[1].min())))
    if runs.min() >= folds:
        parts = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups)
    else:
        parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(y, y)
    at = next(iter(parts))[1]
    held[at[draw_evenly(y[at], groups[at], most, seed)]] = True
    return held


def language_model(context: ExpertContext) -> LanguageExpert:
    """Factory for the plug-in door."""
    return LanguageExpert(context.language, context.seed, context.progress)
