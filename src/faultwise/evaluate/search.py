"""A search of settings: each trial fits an expert and evaluates it on the same folds; its value is the mean log loss.

A trial is pruned, and the search continues with the next, as soon as

- a loss, or a probability, is no number, or the fit refuses (UserError);
- the accuracy is at chance. During a fit that is: four evaluations in a row that guessing one of the labels would reach
  by chance in one of twenty cases (binomial, with the most rows an expert holds out, which favours the trial). At the
  end of a fold it is the agreement with the labels: the same predictions, assigned to the rows at random, would be
  right as often in one of twenty cases. Rows of a run are alike, so real chance is larger: few good trials are pruned,
  some poor ones are not;
- its mean so far is worse than the median of finished trials after as many folds (Optuna's MedianPruner, from the sixth
  finished trial on), if `median` is set.

With one worker, the same seed gives the same trials, whether or not the search was interrupted. Several workers draw
beside unfinished trials of others, so their trials depend on who is faster. Nothing is printed.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, HubError, UserError
from faultwise.contracts.experts import Expert
from faultwise.evaluate.search_space import Space, plain_space
from faultwise.evaluate.search_store import Store, grid_size, opened
from faultwise.verdicts.ensemble import aligned

if TYPE_CHECKING:
    import optuna

__all__ = [
    "Build",
    "Job",
    "Params",
    "Part",
    "Search",
    "Trial",
    "end_with_parent",
    "opened_trials",
    "resume_state",
    "search",
]

Params = dict[str, Any]  # values of the searched settings by name
Build = Callable[[Params], Expert]
_LEVEL = 0.05
_HELD = 96  # validation rows of an expert that does not report their number
_IN_A_ROW = 4  # of the six evaluations of a stage; some fits begin to learn at the fourth
_FEWEST = 4  # complete trials from which importances are computed


@dataclass(frozen=True)
class Part:
    """One fold: features, labels and runs of the training rows, and features and labels of the held-out rows."""

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    held_X: pd.DataFrame
    held_y: np.ndarray


@dataclass(frozen=True)
class Job:
    """Everything that defines a search; see `search`."""

    space: Space
    parts: Sequence[Part]
    build: Build
    folder: Path
    trials: int
    sampler: str = "tpe"
    seed: int = 0
    median: bool = True
    head: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A trial and its result: `state` is complete, pruned, running or waiting, `folds` has figures of those finished.

    `value` is the mean log loss over all folds, None unless complete; `reason` says why it was pruned.
    """

    number: int
    state: str
    params: Params
    value: float | None
    folds: list[dict[str, float]]
    reason: str = ""


@dataclass(frozen=True)
class Search:
    """All trials in their order, and how much each parameter mattered (shares; empty where too few can tell)."""

    trials: list[Trial]
    importance: dict[str, float]

    @property
    def best(self) -> Trial | None:
        """The complete trial with the lowest value, the first of equals."""
        complete = [one for one in self.trials if one.state == "complete"]
        return min(complete, key=lambda one: one.value if one.value is not None else math.inf, default=None)

    def count(self, state: str) -> int:
        """Return how many trials are in this state."""
        return sum(one.state == state for one in self.trials)


def search(job: Job, report: Callable[[list[Trial]], object] | None = None) -> Search:
    """Run trials in this process until there are `job.trials`, continuing those in `job.folder`; return them all.

    `report` is called with all trials after each fold. Raises UserError as `search_store.opened` does, or when the
    number of trials is below 1, HubError and DataError as a fit does; other errors of a fit are passed on unchanged.
    """
    if job.trials < 1:
        raise UserError(f"trials is {job.trials}: choose 1 or more.")
    with _opened(job) as store:
        most = min(job.trials, grid_size(job.space)) if job.sampler == "grid" else job.trials
        while (trial := store.claim(most)) is not None:
            _run(trial, job, store.study, report)
            if report is not None:
                report(_trials(store.study))
        return _found(store)


def resume_state(job: Job) -> Search:
    """Return the trials that a folder holds, running none."""
    with _opened(job) as store:
        return _found(store)


@contextmanager
def opened_trials(job: Job) -> Iterator[Callable[[], list[Trial]]]:
    """Open the folder of a search, made where there is none; the yielded function returns its trials at that moment."""
    with _opened(job) as store:
        yield lambda: _trials(store.study)


def _opened(job: Job) -> AbstractContextManager[Store]:
    head = {"sampler": job.sampler, "seed": job.seed, "median": job.median, "space": plain_space(job.space)}
    return opened(job.folder, {**head, **job.head}, job.space, job.sampler, job.seed, job.median)


class _Pruned(Exception):
    """Ends a trial; the message says why."""


def _run(trial: optuna.Trial, job: Job, study: optuna.Study, report: Callable[[list[Trial]], object] | None) -> None:
    """Fit and evaluate one fold after the other, except folds that are known from this trial before it was interrupted
    or from an earlier trial with the same parameters.
    """
    from optuna.trial import TrialState

    alike = (one for one in study.get_trials(deepcopy=False) if one.params == trial.params)
    folds: list[dict[str, float]] = max((list(one.user_attrs.get("folds", [])) for one in alike), key=len)
    mean = math.inf
    try:
        for at, part in enumerate(job.parts):
            if at == len(folds):
                folds.append(_evaluated(_built(job, trial.params), part, [part.y for part in job.parts]))
            trial.set_user_attr("folds", folds)
            mean = float(np.mean([fold["log_loss"] for fold in folds[: at + 1]]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # an interrupted run may have reported this fold already
                trial.report(mean, at)
            if report is not None:
                report(_trials(study))
            _refuse_chance(folds[at], at)
            if at + 1 < len(job.parts) and trial.should_prune():
                raise _Pruned(f"worse than the median of finished trials after fold {at + 1}")
    except _Pruned as why:
        trial.set_user_attr("reason", str(why))
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, mean)


def _built(job: Job, params: Params) -> Expert:
    """Return the expert of a trial. Raises _Pruned for values that do not go together."""
    try:
        return job.build(params)
    except (DataError, HubError):
        raise
    except UserError as error:
        raise _Pruned(str(error)) from None


def _evaluated(expert: Expert, part: Part, labels: Sequence[np.ndarray]) -> dict[str, float]:
    """Fit an expert and return its figures on the held-out rows. Raises _Pruned."""
    classes = np.unique(np.concatenate([*labels, part.held_y]).astype(str))
    started = time.perf_counter()
    watch = _Watch(len(np.unique(part.y)))
    if hasattr(expert, "watch"):
        expert.watch = watch
    try:
        expert = expert.fit(part.X, part.y, part.groups)
        p = aligned(expert.predict_proba(part.held_X), expert.classes_, classes)
    except (DataError, HubError):
        raise
    except UserError as error:
        raise _Pruned(str(error)) from None
    if not np.isfinite(p).all():
        raise _Pruned("probabilities that are not numbers")
    truth = np.searchsorted(classes, part.held_y.astype(str))
    predicted = p.argmax(axis=1)
    share = [np.bincount(codes, minlength=len(classes)) / len(truth) for codes in (truth, predicted)]
    return {
        "log_loss": float(-np.log(np.maximum(p[np.arange(len(truth)), truth], 1e-12)).mean()),
        "accuracy": float((predicted == truth).mean()),
        "chance": float(share[0] @ share[1]),
        "rows": len(truth),
        "labels": len(np.unique(truth)),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _refuse_chance(fold: Mapping[str, float], at: int) -> None:
    """Raise _Pruned for figures that are at chance, unless so few rows could not tell even if all were right."""
    rows, chance, accuracy = int(fold["rows"]), fold["chance"], fold["accuracy"]
    # With a single held-out label the accuracy tells nothing.
    if fold["labels"] > 1 and chance**rows <= _LEVEL and _by_chance(accuracy, rows, chance):
        raise _Pruned(f"accuracy {accuracy:.3f} on fold {at + 1} is at chance ({chance:.3f})")


def _by_chance(accuracy: float, rows: int, chance: float) -> bool:
    """Whether at least this accuracy would come by chance in more than one of twenty cases."""
    from scipy.stats import binom

    return bool(binom.sf(round(accuracy * rows) - 1, rows, min(chance, 1.0)) > _LEVEL)


class _Watch:
    """Follows the figures of a running fit and ends it by an exception."""

    def __init__(self, labels: int) -> None:
        self.chance = 1 / max(labels, 1)
        self.in_a_row = 0

    def __call__(self, figures: Mapping[str, float]) -> None:
        end_with_parent()
        at = f"at step {figures.get('step', math.nan):g}"
        for name in ("loss", "log_loss"):
            if not math.isfinite(figures.get(name, 0.0)):
                raise _Pruned(f"{name} became {figures[name]} {at}")
        if "accuracy" in figures:
            # Earlier stages of a fit do not depend on the searched settings.
            if not figures.get("last_stage", True):
                return
            at_chance = _by_chance(figures["accuracy"], int(figures.get("validation_rows", _HELD)), self.chance)
            self.in_a_row = self.in_a_row + 1 if at_chance else 0
            if self.in_a_row == _IN_A_ROW:
                raise _Pruned(f"accuracy {figures['accuracy']:.3f} {at} is still at chance ({self.chance:.3f})")


def end_with_parent() -> None:
    """End a worker whose search was killed; its trial can be run anew."""
    parent = parent_process()
    if parent is not None and not parent.is_alive():
        raise SystemExit(1)


def _trials(study: optuna.Study) -> list[Trial]:
    return [
        Trial(
            one.number,
            one.state.name.lower(),
            one.params,
            one.value if one.state.name == "COMPLETE" else None,
            one.user_attrs.get("folds", []),
            one.user_attrs.get("reason", ""),
        )
        for one in study.get_trials(deepcopy=False)
    ]


def _found(store: Store) -> Search:
    trials = _trials(store.study)
    return Search(trials, _importance(store.study, trials, store.space))


def _importance(study: optuna.Study, trials: Sequence[Trial], space: Space) -> dict[str, float]:
    """Return which share of the difference between good trials and all each parameter explains, by PED-ANOVA."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [one for one in trials if one.state == "complete"]
    varied = [name for name in space if len({one.params[name] for one in complete}) > 1]
    if len(complete) < _FEWEST or len({one.value for one in complete}) < 2 or not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=varied)
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}
