"""The stages of the language model's tuning: with tokens first the projector alone, then the fine-tuning method, as in
LLaVA; with texts the method alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.language import LanguageSettings
from faultwise.contracts.progress import ProgressBar
from faultwise.language.adapters import MethodConfig, TunedModel, attach
from faultwise.language.tuning import TuneConfig, TuneLog, tune

if TYPE_CHECKING:
    from faultwise.language.classifier.text_input import TextInput
    from faultwise.language.classifier.token_input import TokenInput
    from faultwise.language.labels import LabelTree
    from faultwise.language.loading import LanguageModel
    from faultwise.language.questions import Questions
    from faultwise.language.tuning import Objective

__all__ = ["Watch", "tune_in_stages"]

Watch = Callable[[dict[str, float]], object]

_PROJECTOR = "projector"
_PROJECTOR_SHARE = 0.3  # of the budget
_MOST_STEPS = 100  # with tokens, where time allows: beyond them nothing was gained
_PROJECTOR_RATE, _LATER_PROJECTOR_RATE = 1e-3, 3e-4


@dataclass(frozen=True, slots=True)
class _Stage:
    """`share` is the part of the budget in minutes; `steps` are exact, where steps are given."""

    name: str
    method: MethodConfig
    share: float
    steps: int | None


def tune_in_stages(
    settings: LanguageSettings,
    row_input: TokenInput | TextInput,
    language_model: LanguageModel,
    tree: LabelTree,
    questions: Questions,
    targets: np.ndarray,
    validation: tuple[Questions, np.ndarray],
    objective: Objective | None,
    seed: int,
    progress: bool,
    watch: Watch | None,
) -> tuple[TunedModel, dict[str, object]]:
    """Tune a loaded model, and the modules of `row_input` before it, on questions and targets (see `tuning.tune`).

    `watch` gets the metrics of every evaluation, the number of validation rows among them (`validation_rows`) and
    whether the stage is the last (`last_stage`); steps are counted through all stages. Returns the tuned model, merged
    for inference, and the logs of all stages as one.
    """
    import torch

    # The study's recipe: rows one by one, AdamW at a constant rate, LoRA without LoRA+, the newest weights.
    study = settings.scoring == "generate" and settings.input == "thesis"
    stages = _stages(settings, bool(row_input.modules), study)
    tuned: TunedModel | None = None
    logs: list[tuple[str, TuneLog]] = []
    with ProgressBar(total=100, desc="language model", disable=not progress) as bar:
        done = 0.0
        for stage in stages:
            torch.manual_seed(seed)  # for what is drawn anew: the half of LoRA that does not start at zero
            tuned = attach(language_model.model, stage.method)
            if stage.steps == 0:  # so few that all of them are the model's
                continue
            if tuned.parameters() or row_input.modules:
                config = _config(settings, row_input, stage, seed, study=study, later=bool(logs))
                before, last = sum(log.steps for _, log in logs), stage is stages[-1]
                log = tune(
                    tuned,
                    questions,
                    targets,
                    tree,
                    validation,
                    config,
                    row_input.modules,
                    _reporting(bar, done, stage.share),
                    _watching(watch, before, len(validation[1]), last),
                    objective,
                )
                logs.append((stage.name, log))
            done += stage.share
    assert tuned is not None
    tuned.merge()
    return tuned, {**row_input.log, "input": settings.input, "method": settings.method, **_joined(logs)}


def _stages(settings: LanguageSettings, projects: bool, study: bool) -> list[_Stage]:
    """Return the stages, of which the projector's is there where rows come as tokens (`projects`)."""
    method = MethodConfig(settings.method, settings.rank, settings.alpha, settings.dropout)
    method = dataclasses.replace(method, lr_ratio=1.0) if study else method
    if not projects:
        return [_Stage(settings.method, method, 1.0, settings.steps)]
    steps = settings.steps
    first = None if steps is None else round(_PROJECTOR_SHARE * steps)
    left = None if steps is None or first is None else steps - first
    return [
        _Stage(_PROJECTOR, MethodConfig("context"), _PROJECTOR_SHARE, first),
        _Stage(settings.method, method, 1 - _PROJECTOR_SHARE, left),
    ]


def _config(
    settings: LanguageSettings, row_input: TokenInput | TextInput, stage: _Stage, seed: int, study: bool, later: bool
) -> TuneConfig:
    config = TuneConfig(
        minutes=stage.share * settings.minutes,
        steps=stage.steps,
        most_steps=round(stage.share * _MOST_STEPS) if row_input.modules else None,
        batch=row_input.batch,
        learning_rate=settings.learning_rate or row_input.learning_rate,
        extra_rate=_PROJECTOR_RATE if stage.name == _PROJECTOR else _LATER_PROJECTOR_RATE,
        seed=seed,
        from_start=later,
    )
    return dataclasses.replace(config, batch=1, constant=True, averaging=0.0) if study else config


def _reporting(bar: ProgressBar, before: float, share: float) -> Callable[[float, Mapping[str, float]], object]:
    """Return a function that moves the bar to a part of a stage; `before` and `share` are parts of the whole."""

    def report(part: float, figures: Mapping[str, float]) -> None:
        bar.update(round(100 * (before + share * part)) - bar.n)
        bar.detail(f"loss {figures['loss']:.2f}")

    return report


def _watching(watch: Watch | None, before: int, rows: int, last: bool) -> Watch | None:
    """Return the watch of one stage, whose steps are counted from `before`."""
    if watch is None:
        return None

    def of_stage(metrics: dict[str, float]) -> object:
        return watch({**metrics, "step": metrics["step"] + before, "validation_rows": rows, "last_stage": last})

    return of_stage


def _joined(logs: list[tuple[str, TuneLog]]) -> dict[str, object]:
    """Return the logs of all stages as one; the history goes on from stage to stage."""
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
