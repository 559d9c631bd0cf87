"""A search of settings: each trial is an expert fitted and judged on the same folds; its value is the mean log loss.

A trial is pruned, and the search goes on with the next, as soon as

- a loss, or a probability, is no number, or the fit refuses (UserError);
- the accuracy is at chance. During a fit that is: four evaluations in a row that guessing one of the labels would reach
  by luck in one of twenty cases (binomial, with the most rows an expert holds out, so that it errs for the trial). At
  the end of a fold it is the agreement with the labels: the same calls, dealt out to the rows at random, would be right
  as often in one of twenty cases. Rows of a run are alike, so real luck is larger: few good trials are pruned, some
  poor ones are not;
- its mean so far is worse than the median of finished trials after as many folds (Optuna's MedianPruner, from the sixth
  finished trial on), if asked for.

With one worker, the same seed gives the same trials, whether or not the search was interrupted. Several workers draw
beside unfinished trials of others, so their trials depend on who is faster. Nothing is printed.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, HubError, UserError
from faultwise.contracts.records import Expert
from faultwise.evaluate.search_space import Space
from faultwise.evaluate.search_space import told as space_told
from faultwise.evaluate.search_store import Store, grid_size, opened
from faultwise.verdicts.ensemble import aligned

if TYPE_CHECKING:
    import optuna

__all__ = ["Build", "Job", "Part", "Search", "Trial", "end_with_parent", "looking", "search", "standing"]

Build = Callable[[Mapping[str, Any]], Expert]
_LEVEL = 0.05
_HELD = 96  # rows that an expert stops its fit on, where it does not say
_IN_A_ROW = 4  # of the six evaluations of a stage; learning may well begin at the fourth
_FEWEST = 4  # complete trials that can tell what mattered


@dataclass(frozen=True)
class Part:
    """One fold: what an expert is fitted on (features, labels, runs), and what it is judged on."""

    X: pd.DataFrame
    y: np.ndarray
    groups: np.ndarray
    held_X: pd.DataFrame
    held_y: np.ndarray


@dataclass(frozen=True)
class Job:
    """A search to be done: see `search`."""

    space: Space
    parts: Sequence[Part]
    build: Build
    folder: Path
    trials: int
    sampler: str = "tpe"
    seed: int = 0
    median: bool = True
    head: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """What a trial came to: `state` is complete, pruned, running or waiting, `folds` has figures of those finished.

    `value` is the mean log loss over all folds, None unless complete; `reason` says why it was pruned.
    """

    number: int
    state: str
    params: dict[str, Any]
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


def search(job: Job, told: Callable[[list[Trial]], object] | None = None) -> Search:
    """Run trials in this process until there are `job.trials`, going on where `job.folder` stands; return them all.

    `told` gets all trials after each fold. Raises UserError as `search_store.opened` does, or when no trial is asked
    for, HubError and DataError as a fit does; what is not the user's to mend is raised as it is.
    """
    if job.trials < 1:
        raise UserError(f"trials is {job.trials}: choose 1 or more.")
    with _opened(job) as store:
        most = min(job.trials, grid_size(job.space)) if job.sampler == "grid" else job.trials
        while (trial := store.claim(most)) is not None:
            _run(trial, job, store.study, told)
            if told is not None:
                told(_trials(store.study))
        return _found(store)


def standing(job: Job) -> Search:
    """Return what a folder holds, running nothing."""
    with _opened(job) as store:
        return _found(store)


@contextmanager
def looking(job: Job) -> Iterator[Callable[[], list[Trial]]]:
    """Open a folder (made where there is none) to look at: the function returns the trials as they are then."""
    with _opened(job) as store:
        yield lambda: _trials(store.study)


def _opened(job: Job) -> Any:
    asked = {"sampler": job.sampler, "seed": job.seed, "median": job.median, "space": space_told(job.space)}
    return opened(job.folder, {**asked, **job.head}, job.space, job.sampler, job.seed, job.median)


class _Pruned(Exception):
    """Ends a trial; the message says why."""


def _run(trial: optuna.Trial, job: Job, study: optuna.Study, told: Callable[[list[Trial]], object] | None) -> None:
    """Fit and judge fold after fold, but for folds that are known: of this trial before it was interrupted, or of an
    earlier trial that drew the same.
    """
    from optuna.trial import TrialState

    alike = (one for one in study.get_trials(deepcopy=False) if one.params == trial.params)
    folds: list[dict[str, float]] = max((list(one.user_attrs.get("folds", [])) for one in alike), key=len)
    mean = math.inf
    try:
        for at, part in enumerate(job.parts):
            if at == len(folds):
                folds.append(_judged(_built(job, trial.params), part, [part.y for part in job.parts]))
            trial.set_user_attr("folds", folds)
            mean = float(np.mean([fold["log_loss"] for fold in folds[: at + 1]]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that an interrupted run has reported this fold already
                trial.report(mean, at)
            if told is not None:
                told(_trials(study))
            _refuse_chance(folds[at], at)
            if at + 1 < len(job.parts) and trial.should_prune():
                raise _Pruned(f"worse than the median of finished trials after fold {at + 1}")
    except _Pruned as why:
        trial.set_user_attr("reason", str(why))
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, mean)


def _built(job: Job, params: Mapping[str, Any]) -> Expert:
    """Return the expert of a trial. Raises _Pruned for values that do not go together."""
    try:
        return job.build(params)
    except (DataError, HubError):
        raise
    except UserError as error:
        raise _Pruned(str(error)) from None


def _judged(expert: Expert, part: Part, labels: Sequence[np.ndarray]) -> dict[str, float]:
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
    called = p.argmax(axis=1)
    share = [np.bincount(codes, minlength=len(classes)) / len(truth) for codes in (truth, called)]
    return {
        "log_loss": float(-np.log(np.maximum(p[np.arange(len(truth)), truth], 1e-12)).mean()),
        "accuracy": float((called == truth).mean()),
        "chance": float(share[0] @ share[1]),
        "rows": len(truth),
        "labels": len(np.unique(truth)),
        "seconds": round(time.perf_counter() - started, 3),
    }


def _refuse_chance(fold: Mapping[str, float], at: int) -> None:
    """Raise _Pruned for figures that are at chance, unless so few rows could not tell even if all were right."""
    rows, chance, accuracy = int(fold["rows"]), fold["chance"], fold["accuracy"]
    # Where one label alone is held out, to call nothing else is no merit and no fault.
    if fold["labels"] > 1 and chance**rows <= _LEVEL and _by_luck(accuracy, rows, chance):
        raise _Pruned(f"accuracy {accuracy:.3f} on fold {at + 1} is at chance ({chance:.3f})")


def _by_luck(accuracy: float, rows: int, chance: float) -> bool:
    """Whether at least this accuracy would come by luck in more than one of twenty cases."""
    from scipy.stats import binom

    return bool(binom.sf(round(accuracy * rows) - 1, rows, min(chance, 1.0)) > _LEVEL)


class _Watch:
    """Looks at a fit while it runs and ends it by an exception."""

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
            # Before what is searched has had its turn, nothing can be said of it.
            if not figures.get("last_stage", True):
                return
            lucky = _by_luck(figures["accuracy"], int(figures.get("held", _HELD)), self.chance)
            self.in_a_row = self.in_a_row + 1 if lucky else 0
            if self.in_a_row == _IN_A_ROW:
                raise _Pruned(f"accuracy {figures['accuracy']:.3f} {at} is still at chance ({self.chance:.3f})")


def end_with_parent() -> None:
    """End a worker whose search was killed: nobody waits for it, and its trial can be run anew."""
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
    """How much of the difference between good trials and all each parameter explains, as PED-ANOVA sees it."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    complete = [one for one in trials if one.state == "complete"]
    varied = [name for name in space if len({one.params[name] for one in complete}) > 1]
    if len(complete) < _FEWEST or len({one.value for one in complete}) < 2 or not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(), params=varied)
    return {name: float(share) for name, share in shares.items() if math.isfinite(share)}
