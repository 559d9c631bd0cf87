"""LoRA tuning of a causal model to choose the right label, within a time budget.

The loss is the cross-entropy of the label among all labels (see `labels`), not of free text. Training stops on
a validation metric and the best adapter is kept. One process, one device; engines come with the training
stages.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from faultwise.errors import UserError
from faultwise.llm.labels import LabelTree
from faultwise.llm.scoring import pad_left, score

__all__ = ["TuneConfig", "TuneLog", "tune"]


@dataclass(frozen=True, slots=True)
class TuneConfig:
    """How to tune. `minutes` sets the number of steps from the measured speed unless `steps` is given. `batch` is the
    rows of a step while they hold `batch_tokens` at most; long prompts come fewer at a time.
    """

    minutes: float = 3.0
    steps: int | None = None
    batch: int = 8
    batch_tokens: int = 1536
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    warm_up: int = 10
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    lora_plus: float = 8.0
    averaging: float = 0.9
    upper_layers: float = 1.0
    evaluations: int = 6
    patience: int = 3
    most_epochs: int = 20
    seed: int = 0


@dataclass(slots=True)
class TuneLog:
    """What happened: one entry per evaluation, the steps run, the seconds, and why it stopped."""

    history: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    planned_steps: int = 0
    batch: int = 0
    rows: int = 0
    seconds: float = 0.0
    stopped: str = ""


def tune(
    model: Any,
    prompts: Sequence[Sequence[int]],
    labels: np.ndarray,
    tree: LabelTree,
    held: tuple[Sequence[Sequence[int]], np.ndarray],
    pad: int,
    config: TuneConfig,
    report: Callable[[float, dict[str, float]], object] | None = None,
) -> tuple[Any, TuneLog]:
    """Return the model with its best LoRA adapter, and the log.

    `labels` (rows,) are positions in the tree's labels; `held` are prompts and labels to stop on. `report`
    gets the fraction done and the newest figures. Raises UserError when the loss stops being a number.
    """
    import torch

    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    tuned = _with_lora(model, config)
    weights = [p for p in tuned.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(_groups(tuned, config), weight_decay=config.weight_decay, betas=(0.9, 0.95))
    # What the backward pass keeps, and the time a step takes, grow with its tokens: the thesis's sentence is 900 of
    # them for 52 variables, a quarter of a minute a row on two cores. It comes one at a time, as it did there.
    size = max(1, min(config.batch, config.batch_tokens // max(map(len, prompts))))
    log = TuneLog(rows=len(prompts), batch=size)
    started = timed_from = time.monotonic()
    order = np.empty(0, dtype=int)
    planned, evaluations = config.steps or 0, config.evaluations
    evaluate_at: set[int] = set()
    average = _copy(tuned)
    best, best_weights, worse, running = (-1.0, -np.inf), _copy(tuned), 0, 0.0
    while not planned or log.steps < planned:
        if len(order) < size:
            order = np.concatenate([order, rng.permutation(len(prompts))])
        rows, order = order[:size], order[size:]
        share = _schedule(log.steps, planned, config.warm_up)
        for group in optimiser.param_groups:
            group["lr"] = share * group["full_lr"]
        tuned.train()
        loss = _loss(tuned, [prompts[row] for row in rows], labels[rows], tree, pad)
        if not torch.isfinite(loss):
            raise UserError(
                f"The language model's loss became {loss.item()} at step {log.steps + 1}: "
                f"lower the learning rate (now {config.learning_rate:g}), or leave it out with --no-lm."
            )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        log.steps += 1
        _blend(average, tuned, min(config.averaging, log.steps / (log.steps + 9)))
        running = loss.item() if log.steps == 1 else 0.9 * running + 0.1 * loss.item()
        if log.steps == _UNTIMED_STEPS:
            timed_from = time.monotonic()
        timed, now_at = log.steps - _UNTIMED_STEPS, time.monotonic()
        slow = timed > 0 and now_at - timed_from > 0.2 * config.minutes * 60
        if not planned and (timed == _TIMED_STEPS or slow):
            per_step = (now_at - timed_from) / timed
            spent = time.monotonic() - started
            planned, evaluations = _plan(per_step, spent, log.steps, len(prompts) / size, len(held[1]) / size, config)
        if planned and not evaluate_at:
            evaluate_at = set(np.linspace(0, planned, evaluations + 1).astype(int)[1:].tolist())
        if report is not None and planned:
            report(log.steps / planned, {"loss": running})
        # A machine that has become busy since the plan was made must not keep people waiting: stop a fifth late.
        late = not config.steps and time.monotonic() - started > 1.2 * config.minutes * 60
        if log.steps not in evaluate_at and not late:
            continue
        newest = _copy(tuned)
        _restore(tuned, average)
        figures = _held_out(tuned, held, tree, pad)
        log.history.append({"step": float(log.steps), "loss": running, **figures})
        now = (figures["accuracy"], -figures["log_loss"])
        if now > best:
            best, best_weights, worse = now, _copy(tuned), 0
        else:
            worse += 1
        _restore(tuned, newest)
        if worse >= config.patience:
            log.stopped = f"no better on validation rows for {worse} evaluations"
            break
        if late:
            log.stopped = "time is up: slower than planned"
            break
    log.stopped = log.stopped or "budget used"
    log.planned_steps, log.seconds = planned, time.monotonic() - started
    _restore(tuned, best_weights)
    tuned.eval()
    return tuned, log


# The first steps pay for memory and kernels and would make the plan too short by half.
_UNTIMED_STEPS, _TIMED_STEPS = 3, 8


def _plan(
    per_step: float, spent: float, done: int, batches: float, held_batches: float, config: TuneConfig
) -> tuple[int, int]:
    """Return the steps and evaluations that fit into the budget: at most `most_epochs` passes over the rows, and a
    fifth of the time for evaluations, which cost about 0.4 of a training step per batch.
    """
    left = 0.95 * config.minutes * 60 - spent
    evaluation = 0.4 * per_step * held_batches
    evaluations = max(1, min(config.evaluations, int(0.2 * left / max(evaluation, 1e-9))))
    steps = done + int((left - evaluations * evaluation) / per_step)
    return max(done + 1, min(steps, int(config.most_epochs * batches))), evaluations


def _schedule(step: int, planned: int, warm_up: int) -> float:
    """Linear warm-up over `warm_up` steps, then linear decay to a tenth. The plan is known before the decay begins,
    so that a run with its number of steps given takes the same course.
    """
    if step < warm_up or not planned:
        return min(1.0, (step + 1) / warm_up)
    return 1.0 - 0.9 * (step - warm_up) / max(1, planned - warm_up)


def _with_lora(model: Any, config: TuneConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=_upper_linears(model, config.upper_layers),
        task_type="CAUSAL_LM",
    )
    # autocast_adapter_dtype off: float32 adapters on a bfloat16 base run at a third of the speed.
    with warnings.catch_warnings():
        # peft asks transformers by an attribute name that transformers has begun to rename.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        return get_peft_model(model, lora, autocast_adapter_dtype=False)


def _groups(model: Any, config: TuneConfig) -> list[dict[str, Any]]:
    """Parameter groups: LoRA's B matrices learn `lora_plus` times as fast as A (Hayou et al. 2024, LoRA+).

    B starts at zero and has to grow first: after 60 steps this lifted accuracy from 0.54 to 0.90.
    """
    rates = {True: config.learning_rate * config.lora_plus, False: config.learning_rate}
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for name, p in named if ("lora_B" in name) == is_b], "full_lr": rate, "lr": rate}
        for is_b, rate in rates.items()
    ]


def _upper_linears(model: Any, fraction: float) -> list[str]:
    """Names of the linear modules in the upper layers: the backward pass ends where they begin."""
    import torch

    first = int(model.config.num_hidden_layers * (1 - fraction))
    found = []
    for name, module in model.named_modules():
        numbers = [int(part) for part in name.split(".") if part.isdigit()]
        # transformers' Conv1D (GPT-2) has a 2-D weight too but is no Linear; PEFT takes both.
        linear = isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
        if numbers and numbers[0] >= first and linear:
            found.append(name)
    return found


def _loss(model: Any, prompts: list[Sequence[int]], labels: np.ndarray, tree: LabelTree, pad: int) -> Any:
    """Mean over rows of -log p(label among labels), teacher-forced along each label's choices."""
    import torch

    paths = [tree.paths[label] for label in labels]
    sequences = [[*prompt, *path[-1].prefix] for prompt, path in zip(prompts, paths, strict=True)]
    keep = 1 + max(len(path[-1].prefix) for path in paths)
    inputs = pad_left(sequences, pad, next(model.parameters()).device)
    logits = model(**inputs, use_cache=False, logits_to_keep=keep).logits.float()
    losses = []
    for row, path in enumerate(paths):
        for step in path:
            at = -1 - (len(path[-1].prefix) - len(step.prefix))
            chosen = logits[row, at, list(step.choices)].log_softmax(-1)
            losses.append(-chosen[step.choices.index(step.token)])
    return torch.stack(losses).sum() / len(paths)


def _held_out(model: Any, held: tuple[Any, np.ndarray], tree: LabelTree, pad: int) -> dict[str, float]:
    model.eval()
    prompts, labels = held
    log_probs = score(model, prompts, tree, pad)
    return {
        "accuracy": float((log_probs.argmax(1) == labels).mean()),
        "log_loss": float(-log_probs[np.arange(len(labels)), labels].mean()),
    }


def _copy(model: Any) -> dict[str, Any]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def _blend(average: dict[str, Any], model: Any, keep: float) -> None:
    """Move the running average of the weights towards the newest ones."""
    for name, parameter in model.named_parameters():
        if name in average:
            average[name].lerp_(parameter.detach(), 1 - keep)


def _restore(model: Any, weights: dict[str, Any]) -> None:
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in weights:
                parameter.copy_(weights[name])
