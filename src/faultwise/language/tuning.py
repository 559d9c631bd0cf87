"""Tuning a causal model, and what stands before it, to choose the right label, within a budget of time or steps.

The loss is the cross-entropy against soft or hard labels *among all labels* (see `scoring.LabelScoring`), not of free
text, unless another objective is given (see `generating`). Training stops on validation rows and the best weights are
kept. One process, one device; engines come with the training stages.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.language.memory import in_halves
from faultwise.language.schedule import Schedule, TuneConfig
from faultwise.language.scoring import LabelScoring, batch_size

if TYPE_CHECKING:
    import torch
    from torch import nn

    from faultwise.language.adapters import ParameterGroup, TunedModel
    from faultwise.language.labels import LabelTree
    from faultwise.language.questions import Questions

    Weights = dict[str, torch.Tensor]

__all__ = ["Objective", "TuneConfig", "TuneLog", "tune"]


@dataclass(slots=True)
class TuneLog:
    """The course of a tuning: one entry per evaluation (see `classifier.curves`), the steps run, the seconds, and why
    it stopped.

    `validation_rows` is the number of validation rows, `likeliest_share` the share of the most frequent label among
    them.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    planned_steps: int = 0
    batch: int = 0
    rows: int = 0
    classes: int = 0
    validation_rows: int = 0
    likeliest_share: float = 0.0
    seconds: float = 0.0
    stopped: str = ""


class Objective(Protocol):
    """What is trained for. `cost` is an evaluation's time per batch, in training steps."""

    cost: float

    def loss(
        self, tuned: TunedModel, questions: Questions, rows: Sequence[int], targets: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Return the sum of the losses of these rows, `targets` (rows, labels), as a tensor, and how many are right."""
        ...

    def metrics(self, tuned: TunedModel, questions: Questions, labels: np.ndarray) -> dict[str, float]:
        """Return `accuracy`, `log_loss` and `likeliest` (the share of the most frequent answer) on validation rows."""
        ...


def tune(
    tuned: TunedModel,
    questions: Questions,
    targets: np.ndarray,
    tree: LabelTree,
    validation: tuple[Questions, np.ndarray],
    config: TuneConfig,
    modules: Sequence[nn.Module] = (),
    report: Callable[[float, Mapping[str, float]], object] | None = None,
    watch: Callable[[dict[str, float]], object] | None = None,
    objective: Objective | None = None,
) -> TuneLog:
    """Train what `tuned` (see `adapters`) and the `modules` before it hold, in place; they end with their best weights.

    `targets` are soft labels (rows, labels) or positions in the tree's labels (rows,); `validation` are questions and
    positions to stop on. `report` gets the fraction done and the newest loss, `watch` the metrics of every
    evaluation: an exception that it raises ends the training. Without an `objective` the label is chosen among those of
    the tree. Raises UserError when the loss is no longer a number.
    """
    import torch

    torch.manual_seed(config.seed)
    goal: Objective = LabelScoring(tree) if objective is None else objective
    soft = np.eye(len(tree.paths))[targets] if targets.ndim == 1 else targets
    tuning = _Tuning(tuned, questions, soft, validation, config, modules, goal)
    return tuning.run(report, watch)


class _Weights:
    """All that is trained, in the model and before it, as one: copies, their running average, putting them back."""

    def __init__(self, tuned: TunedModel, modules: Sequence[nn.Module]) -> None:
        self._tuned = tuned
        self._modules = modules
        self.parameters = [*tuned.parameters(), *(p for module in modules for p in module.parameters())]

    def copy(self) -> list[Weights]:
        return [
            self._tuned.weights(),
            *({n: p.detach().clone() for n, p in m.named_parameters()} for m in self._modules),
        ]

    def blend(self, average: list[Weights], keep: float) -> None:
        """Move the running average of the weights towards the newest ones."""
        for old, new in zip(average, self.copy(), strict=True):
            for name, value in new.items():
                old[name].lerp_(value, 1 - keep)

    def restore(self, weights: list[Weights]) -> None:
        import torch

        self._tuned.restore(weights[0])
        with torch.no_grad():
            for module, own in zip(self._modules, weights[1:], strict=True):
                for name, parameter in module.named_parameters():
                    parameter.copy_(own[name])


class _Batches:
    """Positions of rows in random order, all of them before any comes again."""

    def __init__(self, rows: int, size: int, seed: int) -> None:
        self._rows, self.size = rows, size
        self._rng = np.random.default_rng(seed)
        self._order = np.empty(0, dtype=int)

    def next(self) -> np.ndarray:
        while len(self._order) < self.size:
            self._order = np.concatenate([self._order, self._rng.permutation(self._rows)])
        batch, self._order = self._order[: self.size], self._order[self.size :]
        return batch


class _Tuning:
    """The state of a tuning: weights, their average, the best so far, and the log."""

    def __init__(
        self,
        tuned: TunedModel,
        questions: Questions,
        soft: np.ndarray,
        validation: tuple[Questions, np.ndarray],
        config: TuneConfig,
        modules: Sequence[nn.Module],
        goal: Objective,
    ) -> None:
        import torch

        self._tuned, self._questions, self._validation = tuned, questions, validation
        self._config, self._goal = config, goal
        self._weights = _Weights(tuned, modules)
        if not self._weights.parameters:
            raise UserError("This fine-tuning method trains nothing: take another one, or score without tuning.")
        groups = [dict(group) for group in _groups(tuned, modules, config)]
        self._optimiser = torch.optim.AdamW(groups, weight_decay=config.weight_decay, betas=(0.9, 0.95))
        self._soft = torch.tensor(soft, dtype=torch.float32, device=tuned.embeddings.weight.device)
        # What the backward pass keeps, and the time a step takes, grow with its tokens.
        size, count = batch_size(questions, config.batch, config.batch_tokens), len(questions.lengths)
        labels = validation[1]
        share = float(np.bincount(labels).max() / len(labels))
        self._log = TuneLog(
            rows=count,
            batch=size,
            classes=soft.shape[1],
            validation_rows=len(labels),
            likeliest_share=share,
        )
        self._schedule = Schedule(config, count, size, goal.cost * len(labels) / size)
        self._batches = _Batches(count, size, config.seed)
        self._average = self._weights.copy()
        self._best, self._best_weights, self._worse = (-1.0, -np.inf), self._weights.copy(), 0
        if config.from_start:
            first = self._validate()
            self._best = (first["accuracy"], -first["log_loss"])
        self._loss = 0.0  # running average
        self._right = self._answered = 0  # since the last evaluation

    def run(
        self,
        report: Callable[[float, Mapping[str, float]], object] | None,
        watch: Callable[[dict[str, float]], object] | None,
    ) -> TuneLog:
        log, schedule = self._log, self._schedule
        while not schedule.is_over(log.steps):
            rate = schedule.rate(log.steps)
            self._step(rate)
            schedule.step_done(log.steps)
            if report is not None and schedule.planned:
                report(log.steps / schedule.planned, {"loss": self._loss})
            late = schedule.is_late
            if not schedule.evaluates_after(log.steps) and not late:
                continue
            metrics = self._evaluate(rate)
            if watch is not None:
                watch(dict(metrics))
            if self._worse >= self._config.patience:
                log.stopped = f"no better on validation rows for {self._worse} evaluations"
                break
            if late:
                log.stopped = "time is up: slower than planned"
                break
        log.stopped = log.stopped or "budget used"
        log.planned_steps = schedule.planned
        log.seconds = round(schedule.seconds, 2)
        self._weights.restore(self._best_weights)
        self._tuned.model.eval()  # type: ignore[no-untyped-call]
        return log

    def _step(self, rate: float) -> None:
        """Move the weights by the gradient of one batch, and their average towards them."""
        import torch

        log, config = self._log, self._config
        rows = self._batches.next()
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["full_lr"]
        self._tuned.model.train()
        loss, right = self._backward(rows)
        if not math.isfinite(loss):
            raise UserError(
                f"The language model's loss became {loss} at step {log.steps + 1}: lower the learning rate "
                f"(now {config.learning_rate:g}), or leave it out with --no-lm."
            )
        torch.nn.utils.clip_grad_norm_(self._weights.parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
        log.steps += 1
        self._right, self._answered = self._right + right, self._answered + len(rows)
        self._weights.blend(self._average, min(config.averaging, log.steps / (log.steps + 9)))
        self._loss = loss if log.steps == 1 else 0.9 * self._loss + 0.1 * loss

    def _backward(self, rows: np.ndarray) -> tuple[float, int]:
        """Add the gradients of the mean loss over these rows; return the loss and how many were right already."""

        def of_part(part: np.ndarray) -> tuple[float, int]:
            losses, right = self._goal.loss(self._tuned, self._questions, part.tolist(), self._soft[part])
            loss = losses / len(rows)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.item()), right

        parts = [result for _, result in in_halves(rows, of_part)]
        return sum(loss for loss, _ in parts), sum(right for _, right in parts)

    def _evaluate(self, rate: float) -> dict[str, float]:
        """Return the metrics of the averaged weights, which are kept if they are the best so far."""
        log = self._log
        newest = self._weights.copy()
        self._weights.restore(self._average)
        metrics = {
            "step": float(log.steps),
            "epoch": log.steps * log.batch / log.rows,
            "loss": self._loss,
            "train_accuracy": self._right / self._answered,
            "learning_rate": rate * self._config.learning_rate,
            **self._validate(),
        }
        self._right = self._answered = 0
        log.history.append(metrics)
        now = (metrics["accuracy"], -metrics["log_loss"])
        if now > self._best:
            self._best, self._best_weights, self._worse = now, self._weights.copy(), 0
        else:
            self._worse += 1
        self._weights.restore(newest)
        return metrics

    def _validate(self) -> dict[str, float]:
        self._tuned.model.eval()  # type: ignore[no-untyped-call]
        return self._goal.metrics(self._tuned, *self._validation)


def _groups(tuned: TunedModel, modules: Sequence[nn.Module], config: TuneConfig) -> list[ParameterGroup]:
    own = [p for module in modules for p in module.parameters()]
    extra: list[ParameterGroup] = (
        [{"params": own, "lr": config.extra_rate, "full_lr": config.extra_rate}] if own else []
    )
    return [*tuned.groups(config.learning_rate), *extra]
