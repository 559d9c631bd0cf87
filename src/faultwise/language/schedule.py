"""How long to tune, and how fast: the number of steps from a budget of minutes, and the learning rate's course."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

__all__ = ["Schedule", "TuneConfig"]

# The first steps pay for memory and kernels and would make the plan too short by half.
_UNTIMED_STEPS, _TIMED_STEPS = 3, 8


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How to tune. `minutes` sets the number of steps from the measured speed, up to `most_steps`, unless `steps` is
    given. `batch` is the rows of a step while they hold `batch_tokens` at most; long prompts come fewer at a time.
    `extra_rate` is the learning rate of modules before the model (a projector). `from_start` evaluates the weights that
    it starts from, too, and keeps them if none are better: a second stage must not lose what the first one learnt.
    `constant` keeps the learning rate unchanged from the first step to the last; `averaging` 0 keeps the newest weights
    and no running average.
    """

    minutes: float = 3.0
    steps: int | None = None
    most_steps: int | None = None
    batch: int = 8
    batch_tokens: int = 1536
    learning_rate: float = 5e-4
    extra_rate: float = 1e-3
    weight_decay: float = 0.0
    warm_up: int = 10
    from_start: bool = False
    constant: bool = False
    averaging: float = 0.9
    evaluations: int = 6
    patience: int = 3
    most_epochs: int = 20
    seed: int = 0


class Schedule:
    """The plan of one tuning. `planned` is the number of steps, 0 while it is not known yet.

    `rows` are the training rows, `batch` those of a step; an evaluation costs as much as `evaluation_steps` training
    steps. The clock starts when it is made.
    """

    def __init__(self, config: TuneConfig, rows: int, batch: int, evaluation_steps: float) -> None:
        self._config = config
        self._batches = rows / batch
        self._evaluation_steps = evaluation_steps
        self._evaluations = config.evaluations
        self._evaluate_at: set[int] = set()
        self._started = self._timed_from = time.monotonic()
        self.planned = config.steps or 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    @property
    def is_late(self) -> bool:
        """Whether a budget in minutes is exceeded by a fifth: a machine that has become busy since the plan was made
        must not keep people waiting.
        """
        return not self._config.steps and self.seconds > 1.2 * self._config.minutes * 60

    def is_over(self, steps: int) -> bool:
        """Return whether all planned steps are done."""
        return bool(self.planned) and steps >= self.planned

    def evaluates_after(self, steps: int) -> bool:
        """Return whether so many steps are followed by an evaluation."""
        return steps in self._evaluate_at

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate for a step, counted from 0: linear warm-up, then linear decay to a
        tenth. The plan is known before the decay begins, so that a run with its number of steps given takes the same
        course.
        """
        warm_up = self._config.warm_up
        if self._config.constant:
            return 1.0
        if step < warm_up or not self.planned:
            return min(1.0, (step + 1) / warm_up)
        return 1.0 - 0.9 * (step - warm_up) / max(1, self.planned - warm_up)

    def step_done(self, steps: int) -> None:
        """Note that so many steps are done. The plan is made from the measured speed, if no number was given."""
        if steps == _UNTIMED_STEPS:
            self._timed_from = time.monotonic()
        timed, now = steps - _UNTIMED_STEPS, time.monotonic()
        slow = timed > 0 and now - self._timed_from > 0.2 * self._config.minutes * 60
        if not self.planned and (timed == _TIMED_STEPS or slow):
            self._plan((now - self._timed_from) / timed, steps)
        if self.planned and not self._evaluate_at:
            self._evaluate_at = set(np.linspace(0, self.planned, self._evaluations + 1).astype(int)[1:].tolist())

    def _plan(self, per_step: float, done: int) -> None:
        """Choose the steps and evaluations that fit into the budget: at most `most_epochs` passes over the rows, and a
        fifth of the time for evaluations.
        """
        config = self._config
        left = 0.95 * config.minutes * 60 - self.seconds
        evaluation = per_step * self._evaluation_steps
        self._evaluations = max(1, min(config.evaluations, int(0.2 * left / max(evaluation, 1e-9))))
        steps = done + int((left - self._evaluations * evaluation) / per_step)
        most = min(int(config.most_epochs * self._batches), config.most_steps or steps)
        self.planned = max(done + 1, min(steps, most))
