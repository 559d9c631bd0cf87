"""Where a search keeps its trials: a folder with a database, from which it continues after any end, a kill included.

A trial is made with all its parameters in one step. What they are depends on the seed, the trial's number and the other
trials' results alone, so a search that was cut off draws what it would have drawn. A trial that was half done when its
process ended waits to be run again under its number; its finished folds are kept. Processes on one machine may share a
folder (a lock file and SQLite's own locks); a network drive is not a place for it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import UserError, closest
from faultwise.evaluate.search_space import KEYS, Choice, Dimension, Space, points

if TYPE_CHECKING:
    import optuna
    from filelock import BaseFileLock
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.storages import RDBStorage

__all__ = ["SAMPLERS", "Store", "check_sampler", "grid_size", "opened"]

SAMPLERS = ("tpe", "grid", "random")
_DATABASE, _NAME = "trials.db", "faultwise"
_MOST_POINTS = 10_000


@dataclass(frozen=True)
class Store:
    """An open search: its trials in `study`, and the lock under which they are handed out."""

    study: optuna.Study
    storage: RDBStorage
    folder: Path
    worker: str
    space: Space
    sampler: str
    seed: int

    def claim(self, trials: int) -> optuna.Trial | None:
        """Claim the next trial to be run for this worker; None when `trials` are finished or claimed by others."""
        from optuna.trial import TrialState

        with _lock(self.folder / "claim.lock"):
            self._release_abandoned()
            known = self.study.get_trials(deepcopy=False)
            if not any(one.state == TrialState.WAITING and one.number < trials for one in known):
                if len(known) >= trials:
                    return None
                self.study.add_trial(self._suggested(len(known)))
            trial = self.study.ask()
            trial.set_user_attr("worker", self.worker)
            return trial

    def _release_abandoned(self) -> None:
        """Let trials wait again whose process has ended: the system drops a process's locks whatever ended it."""
        from optuna.trial import TrialState

        for one in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            worker = one.user_attrs.get("worker")
            if worker is None or not _alive(_badge(self.folder, worker)):
                self.storage.set_trial_state_values(one._trial_id, TrialState.WAITING)

    def _suggested(self, number: int) -> optuna.trial.FrozenTrial:
        """Draw the parameters of a trial, in a study of its own with all earlier trials."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        drawing = optuna.create_study(sampler=_sampler(self.sampler, self.space, self.seed, number))
        drawing.add_trials(self.study.get_trials(deepcopy=False))
        given = {name: _distribution(name, dimension) for name, dimension in self.space.items()}
        if self.sampler == "grid":
            given = {
                name: optuna.distributions.CategoricalDistribution(points(name, dimension))
                for name, dimension in self.space.items()
            }
        drawn = drawing.ask(given).params
        # A step of 0.01 leaves 0.15000000000000002.
        drawn = {name: round(value, 12) if isinstance(value, float) else value for name, value in drawn.items()}
        return optuna.create_trial(state=optuna.trial.TrialState.WAITING, params=drawn, distributions=given)


@contextlib.contextmanager
def opened(
    folder: Path, head: Mapping[str, object], space: Space, sampler: str, seed: int, median: bool
) -> Iterator[Store]:
    """Open the search in a folder, or begin one; while it is open, the trials it runs are known to be alive.

    `head` describes the search in plain values; a folder with another one is refused. Raises UserError for that, for
    a folder of something else, an unknown sampler, a grid of too many points, and where Optuna is not installed.
    """
    check_sampler(sampler, space)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    database = folder / _DATABASE
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not database.exists())):
        raise UserError(f"`{folder}` exists and holds no search: choose another --out, nothing was written.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"`{folder}` cannot be made ({error.strerror}): choose another --out.") from None
    worker = uuid.uuid4().hex[:12]
    held = _lock(_badge(folder, worker))
    with _lock(folder / "claim.lock"):
        storage, study = _study(database, median)
        _check_head(study, dict(head), folder)
        for badge in folder.glob("worker-*.lock"):
            _alive(badge)  # removes those of killed processes
        held.acquire()
    try:
        yield Store(study, storage, folder, worker, space, sampler, seed)
    finally:
        storage.remove_session()
        storage.engine.dispose()
        held.release()
        _badge(folder, worker).unlink(missing_ok=True)


def check_sampler(sampler: str, space: Space) -> None:
    """Raise UserError for an unknown sampler, a grid of too many points, and where Optuna is not installed."""
    if sampler not in SAMPLERS:
        near = closest(sampler, SAMPLERS)
        hint = f" (did you mean `{near}`?)" if near else ""
        raise UserError(f"There is no sampler `{sampler}`{hint}: use {', '.join(SAMPLERS)}.")
    if sampler == "grid":
        grid_size(space)
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'A search needs Optuna, which is not installed ({error}): pip install "faultwise[tune]".'
        ) from None


def grid_size(space: Space) -> int:
    """Return how many points a grid over the space has. Raises UserError where nobody could run them all."""
    size = math.prod(len(points(name, dimension)) for name, dimension in space.items())
    if size > _MOST_POINTS:
        raise UserError(
            f"A grid over {', '.join(f'`{name}`' for name in space)} has {size:,} points, expected {_MOST_POINTS:,} at "
            "most: give fewer values with --space FILE, or use --sampler tpe."
        )
    return size


def _study(database: Path, median: bool) -> tuple[RDBStorage, optuna.Study]:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    pruner = optuna.pruners.MedianPruner() if median else optuna.pruners.NopPruner()
    try:
        # Half a minute of writing by others is more than any of them needs.
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{database.absolute()}", engine_kwargs={"connect_args": {"timeout": 60}}
        )
        # Parameters are drawn by `Store`; this sampler is never used.
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            sampler=optuna.samplers.RandomSampler(0),
            pruner=pruner,
            load_if_exists=True,
        )
    except (SQLAlchemyError, RuntimeError, AssertionError) as error:
        raise UserError(
            f"`{database}` is no database of a search ({str(error).splitlines()[0]}): choose another --out; it was not "
            "changed."
        ) from None
    return storage, study


def _check_head(study: optuna.Study, head: dict[str, object], folder: Path) -> None:
    """Store the description of the search, or refuse the folder of another one."""
    there, here = study.user_attrs.get("head"), json.loads(json.dumps(head))
    if there is None and not study.get_trials(deepcopy=False):
        study.set_user_attr("head", here)
        return
    if there != here:
        keys = [key for key in {**here, **(there or {})} if (there or {}).get(key) != here.get(key)]
        raise UserError(
            f"`{folder}` holds another search (differing: {', '.join(keys)}): choose another --out, or give "
            "the same settings to continue it."
        )


def _sampler(name: str, space: Space, seed: int, number: int) -> BaseSampler:
    import optuna

    # A generator of its own for every trial: whatever was drawn before a kill, the next draw is the same.
    own = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if name == "grid":
        # The order of the grid is the seed's; the trial's number is the place in it.
        return optuna.samplers.GridSampler({key: points(key, one) for key, one in space.items()}, seed=seed)
    if name == "random":
        return optuna.samplers.RandomSampler(own)
    return optuna.samplers.TPESampler(seed=own)


def _distribution(name: str, dimension: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if KEYS.get(name, float) is int:
        low, high, step = int(dimension.low), int(dimension.high), int(dimension.step or 1)
        # Optuna wants the last step to end at the end.
        return IntDistribution(low, high - (high - low) % step, dimension.log, step)
    if dimension.step is None:
        return FloatDistribution(dimension.low, dimension.high, dimension.log)
    return FloatDistribution(dimension.low, float(points(name, dimension)[-1]), step=dimension.step)


def _badge(folder: Path, worker: str) -> Path:
    return folder / f"worker-{worker}.lock"


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock

    return FileLock(path)


def _alive(badge: Path) -> bool:
    """Whether a process still holds this lock; that of one which has ended is removed."""
    from filelock import FileLock, Timeout

    if not badge.exists():
        return False
    try:
        with FileLock(badge, timeout=0):
            pass
    except Timeout:
        return True
    with contextlib.suppress(OSError):
        os.unlink(badge)
    return False
