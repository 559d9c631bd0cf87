"""The language model as an expert: a row comes in as tokens or text, the labels are scored, or an answer is written.

What is asked is the ways' business (`token_way`, `text_way`), how it is tuned `llm.forms`' and `llm.tuning`'s; here it
is put together. With tokens the model is tuned in two steps, as LLaVA is: first the projector alone, then in its form.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.language.classifier.missing_sensors import Doubt
from faultwise.language.classifier.text_input import TextWay
from faultwise.language.classifier.token_input import TokenWay
from faultwise.language.classifier.validation_rows import FEWEST_HELD, MOST_HELD, fewer, held_out
from faultwise.language.settings import LanguageSettings
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.registry import LANGUAGE_MODEL, ExpertContext

__all__ = ["LanguageExpert", "language_model"]

_FIRST_STEP = 0.3  # share of the budget for the projector alone
_ENCODER, _MODEL = "encoder", "model"
_DOUBT_ROWS = 1000  # held-out rows, again and again with others hidden, that the encoder's doubt is learnt from
_MARGIN = 0.02  # nats
_UNSURE = 0.01  # left to the other labels by one that was written: no probability comes with a text
_PLENTY = 100  # steps with tokens, where time allows: beyond them nothing was gained


class LanguageExpert:
    """A causal language model tuned to name the fault. `log` tells steps, seconds, and why it stopped.

    `watch` is called with the figures of every evaluation during the fit, the number of held-out rows among them
    (`held`) and whether the stage is the last (`last_stage`); what it raises ends the fit. Rows to judge
    may have NaN for what was not measured; rows as tokens are trained with it (`takes_missing`). With the judge
    "generate", `log` also tells how many of the rows judged last (`generated`) got a text that is no answer
    (`unreadable`): these are given no label before another.
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
        self.log: dict[str, Any] = {}
        self.watch: Callable[[dict[str, float]], object] | None = None
        self._way = self._new_way()
        self._doubt = {_ENCODER: Doubt(), _MODEL: Doubt()}
        self._lm: Any = None
        self._tuned: Any = None
        self._folder: Path | None = None
        self._base = ""

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> LanguageExpert:
        """Tune on at most `settings.rows` rows, drawn evenly over classes and runs."""
        from faultwise.language.loading import load

        picked = draw_evenly(y, groups, self.settings.rows, self.seed)
        X, y, groups = X.iloc[picked].reset_index(drop=True), y[picked].astype(str), groups[picked]
        self.classes_, codes = np.unique(y, return_inverse=True)
        held = held_out(y, groups, self.seed)
        self._way = self._new_way()
        # A handful of held-out rows tells when to stop by chance only, and is missing where few are to learn from.
        examined = self._way if isinstance(self._way, TokenWay) and held.sum() < FEWEST_HELD else None
        used = np.ones(len(y), bool) if examined else ~held
        self._way.fit(X[used], y[used], groups[used], self.seed, self.progress)
        self._lm = load(self.settings.model, self.settings.device)
        self._way.ready(self._lm, self._answers()[0], self.seed)
        rows, targets = self._way.lessons(X[used], codes[used], self.seed)
        unseen, known = examined.exam(self.seed) if examined else (X[held], codes[held])
        asked, beside = self._asked(rows), self._asked(unseen)
        few = fewer(known, max(beside.lengths), self.seed)
        if len(few) < len(known):
            beside = self._asked(unseen.iloc[few])
        self._tune(asked, targets, (beside, known[few]))
        self._learn_doubt(unseen, known)
        if examined:
            self.log["judged_on"] = (
                "perturbed rows with labels of the teachers, for there were too few rows to hold out"
            )
        return self

    @property
    def takes_missing(self) -> bool:
        """Whether it was trained with variables hidden, and has an encoder that can stand in (`quick_proba`)."""
        return isinstance(self._way, TokenWay)

    def quick_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return what the encoder of rows says without the model behind it, (rows, classes): for rows without a budget.

        Raises UserError for rows as texts, which have no encoder.
        """
        if not isinstance(self._way, TokenWay):
            raise UserError("Rows as texts have no encoder that could judge them alone.")
        return self._doubt[_ENCODER].apply(self._way.quick_proba(X), self._way.lost_share(X))

    @property
    def encoder_is_better(self) -> bool:
        """Whether held-out rows without some of the variables were judged better by the encoder alone."""
        return self._doubt[_ENCODER].loss < self._doubt[_MODEL].loss - _MARGIN

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes); the caller decides how many rows to afford."""
        from faultwise.language.scoring import score

        self._ready()
        if not len(X):
            return np.empty((0, len(self.classes_)))
        hide = not self.progress or len(X) < 32
        with tqdm(total=len(X), desc="language model", unit="row", disable=hide, leave=False) as bar:
            if self.settings.judge == "generate":
                given = self._writing().given(self._tuned, self._asked(X), step=bar.update)
                self.log = {**self.log, "generated": len(X), "unreadable": int((given < 0).sum())}
                return _as_sure(given, len(self.classes_))
            logs = score(self._tuned, self._asked(X), self._tree(), step=bar.update)
        raised = np.exp(logs)
        p = np.asarray(raised / raised.sum(axis=1, keepdims=True))
        if isinstance(self._way, TokenWay):
            share = self._way.lost_share(X)
            p[share > 0] = self._doubt[_MODEL].apply(p[share > 0], share[share > 0])
        return p

    def _learn_doubt(self, X: pd.DataFrame, codes: np.ndarray) -> None:
        """Learn from held-out rows, with variables hidden, how sure to be without some of them."""
        if not isinstance(self._way, TokenWay):
            return
        many = np.resize(np.arange(len(X)), max(len(X), _DOUBT_ROWS))
        for name, ask, most in ((_ENCODER, self.quick_proba, len(many)), (_MODEL, self.predict_proba, MOST_HELD)):
            rows = many[np.linspace(0, len(many) - 1, min(most, len(many))).astype(int)]
            hidden = self._way.without_some(X.iloc[rows], self.seed)
            self._doubt[name] = Doubt.fit(ask(hidden), codes[rows], self._way.lost_share(hidden))

    def save(self, folder: Path) -> None:
        """Write what was tuned, what stands before the model, and `expert.json`; the base model is only named."""
        self._ready()
        self._tuned.save(folder / "adapter", self.settings.model)
        self._way.save(folder)
        state = {
            "classes": self.classes_.tolist(),
            "settings": {**dataclasses.asdict(self.settings), "model": _anywhere(self.settings.model)},
            "base": self._lm.mark,
            "doubt": {name: [doubt.base, doubt.more, doubt.loss] for name, doubt in self._doubt.items()},
            "log": self.log,
        }
        (folder / "expert.json").write_text(json.dumps(state, indent=1))

    def load(self, folder: Path) -> LanguageExpert:
        """Read what `save` wrote; the model itself is loaded when the first row is scored."""
        state = json.loads((folder / "expert.json").read_text())
        if "text" in state:
            raise RunFolderError(f"`{folder}` was made by an earlier version of Faultwise: fit again.")
        # The budget of a command and the device are the caller's; what the model was tuned with is the run's.
        own = {"score_rows": self.settings.score_rows, "device": self.settings.device}
        self.settings = LanguageSettings(**{**state["settings"], **own})
        self.classes_ = np.array(state["classes"], dtype=str)
        self._way = self._new_way()
        self._way.load(folder)
        self._doubt = {name: Doubt(*figures) for name, figures in state["doubt"].items()}
        self.log, self._folder, self._base = state["log"], folder, state["base"]
        return self

    def _tune(self, asked: Any, targets: np.ndarray, held: tuple[Any, np.ndarray]) -> None:
        import torch

        from faultwise.language.adapters import FormConfig, attach
        from faultwise.language.tuning import TuneConfig, tune

        settings, way, tree = self.settings, self._way, self._tree()
        rate = settings.learning_rate or way.learning_rate
        writes = settings.judge == "generate"
        objective = self._writing() if writes else None
        # The study's recipe: rows one by one, AdamW at a constant rate, LoRA as it is, the newest weights.
        study = writes and settings.text == "thesis"
        course: dict[str, Any] = {"batch": 1, "constant": True, "averaging": 0.0} if study else {"batch": way.batch}
        form = FormConfig(settings.form, settings.lora_r, settings.lora_alpha, settings.lora_dropout)
        form = dataclasses.replace(form, plus=1.0) if study else form
        stages = [("projector", FormConfig("context"), _FIRST_STEP), (settings.form, form, 1 - _FIRST_STEP)]
        if not way.modules:
            stages = [(settings.form, form, 1.0)]
        logs: list[tuple[str, Any]] = []
        left = settings.steps
        with tqdm(total=100, desc="language model", unit="%", disable=not self.progress, leave=False) as bar:
            done = 0.0
            for name, form_of, share in stages:

                def report(part: float, figures: Any, before: float = done, share: float = share) -> None:
                    bar.update(round(100 * (before + share * part)) - bar.n)
                    bar.set_postfix(loss=f"{figures['loss']:.2f}")

                last, rows = len(logs) == len(stages) - 1, len(held[1])

                def watch(
                    figures: dict[str, float],
                    before: int = sum(log.steps for _, log in logs),
                    last: bool = last,
                    rows: int = rows,
                ) -> None:
                    if self.watch is not None:
                        self.watch({**figures, "step": figures["step"] + before, "held": rows, "last_stage": last})

                torch.manual_seed(self.seed)  # for what is drawn anew: the half of LoRA that does not start at zero
                self._tuned = attach(self._lm.model, form_of)
                steps = left if left is None or name != "projector" else round(share * left)
                if steps == 0:  # so few that all of them are the model's
                    continue
                left = None if left is None or steps is None else left - steps
                config = TuneConfig(
                    minutes=share * settings.minutes,
                    steps=steps,
                    most_steps=round(share * _PLENTY) if way.modules else None,
                    learning_rate=rate,
                    extra_rate=1e-3 if name == "projector" else 3e-4,
                    seed=self.seed,
                    from_start=bool(logs),
                    **course,
                )
                if self._tuned.parameters() or way.modules:
                    log = tune(self._tuned, asked, targets, tree, held, config, way.modules, report, watch, objective)
                    logs.append((name, log))
                done += share
        self._tuned.merge()
        self.log = {**way.log, "text": settings.text, "form": settings.form, **_joined(logs)}

    def _ready(self) -> None:
        if self._tuned is not None:
            return
        from faultwise.language.adapters import Tuned
        from faultwise.language.loading import load

        if self._folder is None:
            raise RunFolderError("The language model was neither fitted nor loaded.")
        self._lm = load(self.settings.model, self.settings.device)
        if self._lm.mark != self._base:
            raise RunFolderError(
                f"The files of `{self.settings.model}` are not those that the run was tuned on: put these back, or fit "
                "again."
            )
        self._tuned = Tuned.load(self._lm.model, self._folder / "adapter")
        self._tuned.merge()
        self._tuned.model.eval()
        self._way.ready(self._lm, self._answers()[0], self.seed)

    def _builder(self) -> Any:
        from faultwise.language.prompts import PromptBuilder

        return PromptBuilder(self._lm.tokenizer, self.settings.system or self._way.system[self.settings.text])

    def _answers(self) -> Any:
        return self._way.answers(self.classes_.tolist(), self._builder())

    def _tree(self) -> Any:
        from faultwise.language.labels import LabelTree

        return LabelTree(*self._answers())

    def _writing(self) -> Any:
        from faultwise.language.generating import Writing

        return Writing(self._lm.tokenizer, *self._answers())

    def _new_way(self) -> TokenWay | TextWay:
        return TokenWay(self.settings) if self.settings.text == "tokens" else TextWay(self.settings, self._about)

    def _asked(self, X: pd.DataFrame) -> Any:
        return self._way.asked(X, self._lm, self._builder(), self._tree())


def _anywhere(model: str) -> str:
    """Return a model's name so that it means the same in any folder."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _as_sure(given: np.ndarray, classes: int) -> np.ndarray:
    """Return probabilities (rows, classes) for labels that were written; negative positions are none."""
    p = np.full((len(given), classes), _UNSURE / (classes - 1))
    p[np.arange(len(given)), given] = 1 - _UNSURE
    p[given < 0] = 1 / classes
    return p


def _joined(logs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the logs of all steps of training as one; the history goes on from step to step."""
    if not logs:
        return {"steps": 0, "planned_steps": 0, "seconds": 0.0, "history": [], "stopped": "nothing to tune"}
    whole = dataclasses.asdict(logs[-1][1])
    history, before, epochs = [], 0, 0.0
    for name, log in logs:
        history += [
            {**one, "step": one["step"] + before, "epoch": one["epoch"] + epochs, "stage": name} for one in log.history
        ]
        before, epochs = before + log.steps, epochs + log.steps * log.batch / max(log.rows, 1)
    sums = {key: round(sum(getattr(log, key) for _, log in logs), 2) for key in ("steps", "planned_steps", "seconds")}
    return {**whole, **sums, "history": history}


def language_model(context: ExpertContext) -> LanguageExpert:
    """Factory for the plug-in door. Raises UserError at once where a GPU is asked for that is not there."""
    if context.language.device == "cuda":
        from faultwise.language.loading import device_named

        device_named("cuda")
    return LanguageExpert(context.language, context.seed, context.progress, context.about)
