"""The language model as an expert: a row comes in as tokens or text, and the labels are scored or an answer generated.

`token_input` and `text_input` make the questions, `language.adapters` and `language.tuning` the fine-tuning; here they
are put together.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.contracts.progress import ProgressBar
from faultwise.hub import lasting_name
from faultwise.language.classifier.missing_sensors import MissingSensorTemperature
from faultwise.language.classifier.text_input import TextInput
from faultwise.language.classifier.token_input import TokenInput
from faultwise.language.classifier.validation_rows import FEWEST_ROWS, MOST_ROWS, affordable, held_out
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.registry import LANGUAGE_MODEL

if TYPE_CHECKING:
    from faultwise.language.adapters import TunedModel
    from faultwise.language.generating import AnswerGeneration
    from faultwise.language.labels import LabelTree, Tokens
    from faultwise.language.loading import LanguageModel
    from faultwise.language.prompts import PromptBuilder
    from faultwise.language.questions import Questions

__all__ = ["LanguageExpert", "language_model"]

_ENCODER, _MODEL = "encoder", "model"
_TEMPERATURE_ROWS = 1000  # validation rows, repeated with others hidden, for the encoder's temperature
_MARGIN = 0.02  # nats
_UNSURE = 0.01  # left to the other labels by a generated one: no probability comes with a text


class LanguageExpert:
    """A causal language model tuned to name the fault. `log` has steps, seconds, and why the tuning stopped.

    `watch` is called with the metrics of every evaluation during the fit, the number of validation rows among them
    (`validation_rows`) and whether the stage is the last (`last_stage`); an exception that it raises ends the fit. Rows
    to predict may have NaN for what was not measured; rows as tokens are trained with it (`takes_missing`). With the
    scoring "generate", `log` also has how many of the rows predicted last (`generated`) got a text that is no answer
    (`unreadable`): all labels are equally probable for these.
    """

    name = LANGUAGE_MODEL

    def __init__(
        self,
        settings: LanguageSettings,
        seed: int = 0,
        progress: bool = False,
        about: Mapping[str, str] | None = None,
    ) -> None:
        self.settings = settings
        self._about = about or {}
        self.seed = seed
        self.progress = progress
        self.classes_ = np.empty(0, dtype=object)
        self.log: dict[str, object] = {}
        self.watch: Callable[[dict[str, float]], object] | None = None
        self._input = self._new_input()
        self._temperatures = {_ENCODER: MissingSensorTemperature(), _MODEL: MissingSensorTemperature()}
        self._loaded: LanguageModel | None = None
        self._tuned: TunedModel | None = None
        self._folder: Path | None = None
        self._fingerprint = ""

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> LanguageExpert:
        """Tune on at most `settings.rows` rows, drawn evenly over classes and runs."""
        from faultwise.language.classifier.stages import tune_in_stages
        from faultwise.language.loading import load

        picked = draw_evenly(y, groups, self.settings.rows, self.seed)
        X, y, groups = X.iloc[picked].reset_index(drop=True), y[picked].astype(str), groups[picked]
        self.classes_, codes = np.unique(y, return_inverse=True)
        held = held_out(y, groups, self.seed)
        self._input = self._new_input()
        # A handful of held-out rows would stop the tuning by chance, and is missing where few are to learn from.
        sampled = self._input if isinstance(self._input, TokenInput) and held.sum() < FEWEST_ROWS else None
        used = np.ones(len(y), bool) if sampled else ~held
        self._input.fit(X[used], y[used], groups[used], self.seed, self.progress)
        self._loaded = load(self.settings.model, self.settings.device)
        self._input.prepare(self._loaded, self._answers()[0], self.seed)
        rows, targets = self._input.training_samples(X[used], codes[used], self.seed)
        unseen, known = sampled.validation_samples(self.seed) if sampled else (X[held], codes[held])
        questions = self._questions(rows)
        self._tuned, self.log = tune_in_stages(
            self.settings,
            self._input,
            self._loaded,
            self._tree(),
            questions,
            targets,
            self._validation(unseen, known),
            self._generation() if self.settings.scoring == "generate" else None,
            self.seed,
            self.progress,
            self.watch,
        )
        self._fit_temperatures(unseen, known)
        if sampled:
            self.log["validated_on"] = (
                "perturbed rows with labels of the teachers, because there were too few rows to hold out"
            )
        return self

    @property
    def takes_missing(self) -> bool:
        """Whether it was trained with variables hidden, and has an encoder that can stand in (`quick_proba`)."""
        return isinstance(self._input, TokenInput)

    def quick_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities (rows, classes) of the encoder of rows, without the model behind it: for rows beyond the
        budget.

        Raises UserError for rows as texts, which have no encoder.
        """
        if not isinstance(self._input, TokenInput):
            raise UserError("Rows as texts have no encoder that could classify them alone.")
        return self._temperatures[_ENCODER].apply(self._input.quick_proba(X), self._input.missing_share(X))

    @property
    def encoder_is_better(self) -> bool:
        """Whether the encoder alone did better on validation rows without some of the variables."""
        return self._temperatures[_ENCODER].loss < self._temperatures[_MODEL].loss - _MARGIN

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes); the caller decides how many rows to afford."""
        from faultwise.language.scoring import score

        tuned = self._model()
        if not len(X):
            return np.empty((0, len(self.classes_)))
        hide = not self.progress or len(X) < 32
        with ProgressBar(total=len(X), desc="language model", disable=hide) as bar:
            if self.settings.scoring == "generate":
                found = self._generation().predict(tuned, self._questions(X), step=bar.update)
                self.log = {**self.log, "generated": len(X), "unreadable": int((found < 0).sum())}
                return _nearly_certain(found, len(self.classes_))
            logs = score(tuned, self._questions(X), self._tree(), step=bar.update)
        raised = np.exp(logs)
        p = np.asarray(raised / raised.sum(axis=1, keepdims=True))
        if isinstance(self._input, TokenInput):
            share = self._input.missing_share(X)
            p[share > 0] = self._temperatures[_MODEL].apply(p[share > 0], share[share > 0])
        return p

    def save(self, folder: Path) -> None:
        """Write what was tuned, what stands before the model, and `expert.json`; the base model is only named."""
        tuned, loaded = self._model(), self._language_model()
        tuned.save(folder / "adapter", self.settings.model)
        self._input.save(folder)
        state = {
            "classes": self.classes_.tolist(),
            "settings": {**dataclasses.asdict(self.settings), "model": lasting_name(self.settings.model)},
            "fingerprint": loaded.fingerprint,
            "temperatures": {name: dataclasses.asdict(one) for name, one in self._temperatures.items()},
            "log": self.log,
        }
        (folder / "expert.json").write_text(json.dumps(state, indent=1))

    def load(self, folder: Path) -> LanguageExpert:
        """Read what `save` wrote; the model itself is loaded when the first row is scored."""
        state = json.loads((folder / "expert.json").read_text())
        # The budget of a command and the device are the caller's; what the model was tuned with is the run's.
        own = {"score_rows": self.settings.score_rows, "device": self.settings.device}
        self.settings = LanguageSettings(**{**state["settings"], **own})
        self.classes_ = np.array(state["classes"], dtype=str)
        self._input = self._new_input()
        self._input.load(folder)
        self._temperatures = {name: MissingSensorTemperature(**one) for name, one in state["temperatures"].items()}
        self.log, self._folder, self._fingerprint = state["log"], folder, state["fingerprint"]
        return self

    def _validation(self, X: pd.DataFrame, codes: np.ndarray) -> tuple[Questions, np.ndarray]:
        """Return questions and codes of as many validation rows as an evaluation can afford."""
        questions = self._questions(X)
        few = affordable(codes, max(questions.lengths), self.seed)
        if len(few) < len(codes):
            questions = self._questions(X.iloc[few])
        return questions, codes[few]

    def _fit_temperatures(self, X: pd.DataFrame, codes: np.ndarray) -> None:
        """Fit the missing-sensor temperatures on validation rows with variables hidden."""
        if not isinstance(self._input, TokenInput):
            return
        many = np.resize(np.arange(len(X)), max(len(X), _TEMPERATURE_ROWS))
        for name, proba, most in ((_ENCODER, self.quick_proba, len(many)), (_MODEL, self.predict_proba, MOST_ROWS)):
            rows = many[np.linspace(0, len(many) - 1, min(most, len(many))).astype(int)]
            hidden = self._input.with_missing(X.iloc[rows], self.seed)
            share = self._input.missing_share(hidden)
            self._temperatures[name] = MissingSensorTemperature.fit(proba(hidden), codes[rows], share)

    def _model(self) -> TunedModel:
        """Return the tuned model, which is loaded from the run folder where this has not been done yet."""
        if self._tuned is not None:
            return self._tuned
        from faultwise.language.adapters import TunedModel
        from faultwise.language.loading import load

        if self._folder is None:
            raise RunFolderError("The language model was neither fitted nor loaded.")
        self._loaded = load(self.settings.model, self.settings.device)
        if self._loaded.fingerprint != self._fingerprint:
            raise RunFolderError(
                f"The files of `{self.settings.model}` are not those that the run was tuned on: restore these, or fit "
                "again."
            )
        tuned = TunedModel.load(self._loaded.model, self._folder / "adapter")
        tuned.merge()
        tuned.model.eval()  # type: ignore[no-untyped-call]
        self._input.prepare(self._loaded, self._answers()[0], self.seed)
        self._tuned = tuned
        return tuned

    def _language_model(self) -> LanguageModel:
        assert self._loaded is not None
        return self._loaded

    def _builder(self) -> PromptBuilder:
        from faultwise.language.prompts import PromptBuilder

        system = self.settings.system or self._input.system[self.settings.input]
        return PromptBuilder(self._language_model().tokenizer, system)

    def _answers(self) -> tuple[list[Tokens], Tokens]:
        return self._input.answers(self.classes_.tolist(), self._builder())

    def _tree(self) -> LabelTree:
        from faultwise.language.labels import LabelTree

        return LabelTree(*self._answers())

    def _generation(self) -> AnswerGeneration:
        from faultwise.language.generating import AnswerGeneration

        return AnswerGeneration(self._language_model().tokenizer, *self._answers())

    def _new_input(self) -> TokenInput | TextInput:
        tokens = self.settings.input == "tokens"
        return TokenInput(self.settings) if tokens else TextInput(self.settings, self._about)

    def _questions(self, X: pd.DataFrame) -> Questions:
        return self._input.questions(X, self._language_model(), self._builder(), self._tree())


def _nearly_certain(found: np.ndarray, classes: int) -> np.ndarray:
    """Return probabilities (rows, classes) for generated labels; negative positions are none."""
    p = np.full((len(found), classes), _UNSURE / (classes - 1))
    p[np.arange(len(found)), found] = 1 - _UNSURE
    p[found < 0] = 1 / classes
    return p


def language_model(context: ExpertContext) -> LanguageExpert:
    """Factory for the registry of experts. Raises UserError at once where a GPU is requested that is not there."""
    if context.language.device == "cuda":
        from faultwise.language.loading import device_named

        device_named("cuda")
    return LanguageExpert(context.language, context.seed, context.progress, context.about)
