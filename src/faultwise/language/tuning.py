"""Tuning a causal model, and what stands before it, to choose the right label, within a budget of time or steps.

The loss is the cross-entropy against soft or hard labels *among all labels* (see `labels`), not of free text, unless
another objective is given (see `generating`). Training stops on a validation metric and the best weights are kept. One
process, one device; engines come with the training stages.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.language.labels import LabelTree
from faultwise.language.memory import shrinking
from faultwise.language.questions import Asked
from faultwise.language.scoring import batch_size, log_probs, run_prefix, score

__all__ = ["Objective", "TuneConfig", "TuneLog", "tune"]


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How to tune. `minutes` sets the number of steps from the measured speed, up to `most_steps`, unless `steps` is
    given. `batch` is the rows of a step while they hold `batch_tokens` at most; long prompts come fewer at a time.
    `extra_rate` is the learning rate of modules before the model (a projector). `from_start` evaluates the weights that
    it starts from, too, and keeps them if none are better: a second stage must not lose what the first one learnt.
    `constant` keeps the learning rate as
    it is, from the first step to the last; `averaging` 0 keeps the newest weights and no running average.
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


@dataclass(slots=True)
class TuneLog:
    """What happened: one entry per evaluation (see `curves`), the steps run, the seconds, and why it stopped.

    `held` is the number of held-out rows, `likeliest_share` the share of the most frequent label among them.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    planned_steps: int = 0
    batch: int = 0
    rows: int = 0
    classes: int = 0
    held: int = 0
    likeliest_share: float = 0.0
    seconds: float = 0.0
    stopped: str = ""


class Objective(Protocol):
    """What is trained for. `cost` is an evaluation's time per batch, in training steps."""

    cost: float

    def loss(self, tuned: Any, asked: Asked, rows: Sequence[int], wanted: Any) -> tuple[Any, int]:
        """Return the sum of the losses of these rows, `wanted` (rows, labels), as a tensor, and how many are right."""
        ...

    def figures(self, tuned: Any, asked: Asked, labels: np.ndarray) -> dict[str, float]:
        """Return `accuracy`, `log_loss` and `likeliest` (share of the label given most) on held-out rows."""
        ...


class _Choosing:
    """The label among all labels: their scores are the model's answer."""

    cost = 0.4

    def __init__(self, tree: LabelTree) -> None:
        self._tree = tree

    def loss(self, tuned: Any, asked: Asked, rows: Sequence[int], wanted: Any) -> tuple[Any, int]:
        logs = log_probs(tuned, asked, rows, self._tree, run_prefix(tuned, asked))
        return -(wanted * logs).sum(), int((logs.argmax(1) == wanted.argmax(1)).sum())

    def figures(self, tuned: Any, asked: Asked, labels: np.ndarray) -> dict[str, float]:
        logs = score(tuned, asked, self._tree)
        given = logs.argmax(1)
        return {
            "accuracy": float((given == labels).mean()),
            "log_loss": float(-logs[np.arange(len(labels)), labels].mean()),
            "likeliest": float(np.bincount(given).max() / len(given)),
        }


class _Weights:
    """All that is trained, in the model and before it, as one: copies, their running average, putting them back."""

    def __init__(self, tuned: Any, modules: Sequence[Any]) -> None:
        self._tuned = tuned
        self._modules = modules
        self.parameters = [*tuned.parameters(), *(p for module in modules for p in module.parameters())]

    def copy(self) -> list[Any]:
        return [
            self._tuned.weights(),
            *({n: p.detach().clone() for n, p in m.named_parameters()} for m in self._modules),
        ]

    def blend(self, average: list[Any], keep: float) -> None:
        """Move the running average of the weights towards the newest ones."""
        for old, new in zip(average, self.copy(), strict=True):
            for name, value in new.items():
                old[name].lerp_(value, 1 - keep)

    def restore(self, weights: list[Any]) -> None:
        import torch

        self._tuned.restore(weights[0])
        with torch.no_grad():
            for module, own in zip(self._modules, weights[1:], strict=True):
                for name, parameter in module.named_parameters():
                    parameter.copy_(own[name])


def tune(
    tuned: Any,
    asked: Asked,
    targets: np.ndarray,
    tree: LabelTree,
    held: tuple[Asked, np.ndarray],
    config: TuneConfig,
    modules: Sequence[Any] = (),
    report: Callable[[float, Mapping[str, float]], object] | None = None,
    watch: Callable[[dict[str, float]], object] | None = None,
    objective: Objective | None = None,
) -> TuneLog:
    """Train what `tuned` (see `forms`) and the `modules` before it hold, in place; they end with their best weights.

    `targets` are soft labels (rows, labels) or positions in the tree's labels (rows,); `held` are questions and
    positions to stop on. `report` gets the fraction done and the newest figures, `watch` the figures of every
    evaluation: what it raises ends the training. Without an `objective` the label is chosen among those of the tree.
    Raises UserError when the loss stops being a number.
    """
    import torch

    goal: Objective = _Choosing(tree) if objective is None else objective

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    weights = _Weights(tuned, modules)
    if not weights.parameters:
        raise UserError("Nothing is trained in this form: take another one, or score without tuning.")
    optimiser = torch.optim.AdamW(_groups(tuned, modules, config), weight_decay=config.weight_decay, betas=(0.9, 0.95))
    soft = np.eye(len(tree.paths))[targets] if targets.ndim == 1 else targets
    soft_t = torch.tensor(soft, dtype=torch.float32, device=tuned.model.get_input_embeddings().weight.device)
    # What the backward pass keeps, and the time a step takes, grow with its tokens.
    size = batch_size(asked, config.batch, config.batch_tokens)
    count = len(asked.lengths)
    share = float(np.bincount(held[1]).max() / len(held[1]))
    log = TuneLog(rows=count, batch=size, classes=len(tree.paths), held=len(held[1]), likeliest_share=share)
    started = timed_from = time.monotonic()
    order = np.empty(0, dtype=int)
    planned, evaluations = config.steps or 0, config.evaluations
    evaluate_at: set[int] = set()
    average = weights.copy()
    best, best_weights, worse, running = (-1.0, -np.inf), weights.copy(), 0, 0.0
    if config.from_start:
        first = _held_out(tuned, held, goal)
        best = (first["accuracy"], -first["log_loss"])
    right = asked_since = 0
    while not planned or log.steps < planned:
        while len(order) < size:
            order = np.concatenate([order, rng.permutation(count)])
        rows, order = order[:size], order[size:]
        pace = 1.0 if config.constant else _schedule(log.steps, planned, config.warm_up)
        for group in optimiser.param_groups:
            group["lr"] = pace * group["full_lr"]
        tuned.model.train()
        loss, hits = _step(tuned, asked, rows, soft_t, goal)
        if not math.isfinite(loss):
            raise UserError(
                f"The language model's loss became {loss} at step {log.steps + 1}: lower the learning rate "
                f"(now {config.learning_rate:g}), or leave it out with --no-lm."
            )
        torch.nn.utils.clip_grad_norm_(weights.parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        log.steps += 1
        right, asked_since = right + hits, asked_since + len(rows)
        weights.blend(average, min(config.averaging, log.steps / (log.steps + 9)))
        running = loss if log.steps == 1 else 0.9 * running + 0.1 * loss
        if log.steps == _UNTIMED_STEPS:
            timed_from = time.monotonic()
        timed, now_at = log.steps - _UNTIMED_STEPS, time.monotonic()
        slow = timed > 0 and now_at - timed_from > 0.2 * config.minutes * 60
        if not planned and (timed == _TIMED_STEPS or slow):
            per_step = (now_at - timed_from) / timed
            spent = time.monotonic() - started
            checking = goal.cost * len(held[1]) / size
            planned, evaluations = _plan(per_step, spent, log.steps, count / size, checking, config)
        if planned and not evaluate_at:
            evaluate_at = set(np.linspace(0, planned, evaluations + 1).astype(int)[1:].tolist())
        if report is not None and planned:
            report(log.steps / planned, {"loss": running})
        # A machine that has become busy since the plan was made must not keep people waiting: stop a fifth late.
        late = not config.steps and time.monotonic() - started > 1.2 * config.minutes * 60
        if log.steps not in evaluate_at and not late:
            continue
        newest = weights.copy()
        weights.restore(average)
        figures = {
            "step": float(log.steps),
            "epoch": log.steps * size / count,
            "loss": running,
            "train_accuracy": right / asked_since,
            "learning_rate": pace * config.learning_rate,
            **_held_out(tuned, held, goal),
        }
        right = asked_since = 0
        log.history.append(figures)
        now = (figures["accuracy"], -figures["log_loss"])
        if now > best:
            best, best_weights, worse = now, weights.copy(), 0
        else:
            worse += 1
        weights.restore(newest)
        if watch is not None:
            watch(dict(figures))
        if worse >= config.patience:
            log.stopped = f"no better on validation rows for {worse} evaluations"
            break
        if late:
            log.stopped = "time is up: slower than planned"
            break
    log.stopped = log.stopped or "budget used"
    log.planned_steps = planned
    log.seconds = round(time.monotonic() - started, 2)
    weights.restore(best_weights)
    tuned.model.eval()
    return log


# The first steps pay for memory and kernels and would make the plan too short by half.
_UNTIMED_STEPS, _TIMED_STEPS = 3, 8


def _step(tuned: Any, asked: Asked, rows: np.ndarray, soft: Any, goal: Objective) -> tuple[float, int]:
    """Add the gradients of the mean loss over these rows; return the loss and how many were right already."""

    def backward(some: np.ndarray) -> tuple[float, int]:
        losses, hits = goal.loss(tuned, asked, some.tolist(), soft[some])
        loss = losses / len(rows)
        loss.backward()
        return float(loss.item()), hits

    made = [one for _, one in shrinking(rows, backward)]
    return sum(loss for loss, _ in made), sum(hits for _, hits in made)


def _groups(tuned: Any, modules: Sequence[Any], config: TuneConfig) -> list[dict[str, Any]]:
    own = [p for module in modules for p in module.parameters()]
    extra = [{"params": own, "lr": config.extra_rate, "full_lr": config.extra_rate}] if own else []
    return [*tuned.groups(config.learning_rate), *extra]


def _plan(
    per_step: float, spent: float, done: int, batches: float, checking: float, config: TuneConfig
) -> tuple[int, int]:
    """Return the steps and evaluations that fit into the budget: at most `most_epochs` passes over the rows, and a
    fifth of the time for evaluations, each of which costs as much as `checking` training steps.
    """
    left = 0.95 * config.minutes * 60 - spent
    evaluation = per_step * checking
    evaluations = max(1, min(config.evaluations, int(0.2 * left / max(evaluation, 1e-9))))
    steps = done + int((left - evaluations * evaluation) / per_step)
    most = min(int(config.most_epochs * batches), config.most_steps or steps)
    return max(done + 1, min(steps, most)), evaluations


def _schedule(step: int, planned: int, warm_up: int) -> float:
    """Linear warm-up over `warm_up` steps, then linear decay to a tenth. The plan is known before the decay begins,
    so that a run with its number of steps given takes the same course.
    """
    if step < warm_up or not planned:
        return min(1.0, (step + 1) / warm_up)
    return 1.0 - 0.9 * (step - warm_up) / max(1, planned - warm_up)


def _held_out(tuned: Any, held: tuple[Asked, np.ndarray], goal: Objective) -> dict[str, float]:
    tuned.model.eval()
    return goal.figures(tuned, *held)
