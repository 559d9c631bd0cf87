"""Tuning within a budget, on a random two-layer LLaMA and a rule of one digit; memory that runs short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faultwise.contracts.errors import UserError
from faultwise.language import schedule, scoring
from faultwise.language.adapters import MethodConfig, TunedModel, attach
from faultwise.language.labels import LabelTree
from faultwise.language.memory import in_halves, is_out_of_memory
from faultwise.language.questions import TextQuestions
from faultwise.language.schedule import Schedule
from faultwise.language.scoring import score
from faultwise.language.tuning import TuneConfig, TuneLog, tune

TREE = LabelTree([(10,), (11,)], 2)
_LORA = MethodConfig()


@pytest.fixture(scope="module")
def task(tokenizer: Any) -> Callable[[int, int], tuple[TextQuestions, np.ndarray]]:
    """Make prompts of one digit; the label is whether it is 5 or more."""

    def make(rows: int, seed: int) -> tuple[TextQuestions, np.ndarray]:
        digits = np.random.default_rng(seed).integers(0, 10, rows)
        prompts = tokenizer([f"A{digit}" for digit in digits], add_special_tokens=False).input_ids
        return TextQuestions(prompts, 0, TREE.root), digits // 5

    return make


def _tuned(
    model: Any, task: Any, rows: int, config: TuneConfig, method: MethodConfig = _LORA
) -> tuple[TunedModel, TuneLog]:
    """Tune on so many rows of the task and stop on ten others."""
    import torch

    torch.manual_seed(config.seed)
    tuned = attach(model, method)
    questions, labels = task(rows, 0)
    return tuned, tune(tuned, questions, labels, TREE, task(10, 1), config)


def _right(tuned: TunedModel, questions: TextQuestions, labels: np.ndarray) -> float:
    return float((score(tuned, questions, TREE).argmax(1) == labels).mean())


def test_a_simple_rule_is_learnt_and_a_second_stage_does_not_lose_it(tiny: Any, task: Any) -> None:
    import torch

    torch.manual_seed(1)
    (questions, labels), validation = task(200, 0), task(50, 1)
    tuned = attach(tiny(), _LORA)
    before = _right(tuned, *validation)
    done: list[float] = []
    watched: list[dict[str, float]] = []
    config = TuneConfig(steps=120, batch=16, learning_rate=5e-3, patience=99)
    log = tune(
        tuned, questions, labels, TREE, validation, config,
        report=lambda part, _: done.append(part), watch=watched.append,
    )  # fmt: skip
    assert _right(tuned, *task(60, 2)) > 0.9 > before
    assert (log.steps, log.planned_steps, log.stopped) == (120, 120, "budget used")
    assert (log.rows, log.batch, log.classes, log.validation_rows) == (200, 16, 2, 50)
    assert log.likeliest_share == max(validation[1].mean(), 1 - validation[1].mean())
    assert [entry["step"] for entry in log.history] == [20, 40, 60, 80, 100, 120]
    assert log.history[-1]["loss"] < log.history[0]["loss"]
    assert log.history[-1]["train_accuracy"] > 0.9
    assert watched == log.history
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert _right(tuned, *validation) == max(entry["accuracy"] for entry in log.history)
    learnt = score(tuned, validation[0], TREE)
    wild = TuneConfig(steps=4, batch=16, learning_rate=1.0, warm_up=1, from_start=True)
    log = tune(tuned, questions, labels, TREE, validation, wild)
    assert max(one["accuracy"] for one in log.history) < (learnt.argmax(1) == validation[1]).mean()
    np.testing.assert_array_equal(score(tuned, validation[0], TREE), learnt)


def test_soft_labels_are_learnt(tiny: Any) -> None:
    """Hard labels would drive this model to 0.72, which is all that its small embeddings allow."""
    soft = np.array([[0.65, 0.35], [0.4, 0.6]])
    tuned = attach(tiny(), _LORA)
    questions = TextQuestions([[5, 6], [5, 9]], 0)
    config = TuneConfig(steps=80, learning_rate=5e-3, evaluations=1)  # one, because hard labels choose the best
    tune(tuned, questions, soft, TREE, (questions, soft.argmax(1)), config)
    np.testing.assert_allclose(np.exp(score(tuned, questions, TREE)), soft, atol=0.02)


def test_same_steps_and_seed_give_the_same_weights(tiny: Any, task: Any) -> None:
    made = []
    for seed in (1, 1, 2):
        tuned, log = _tuned(tiny(), task, 40, TuneConfig(steps=6, seed=seed, learning_rate=1e-2, patience=99))
        assert log.steps == 6
        made.append(tuned.weights())
    assert all((made[0][name] == made[1][name]).all() for name in made[0])
    assert any((made[0][name] != made[2][name]).any() for name in made[0])


def test_only_adapters_are_trained(tiny: Any, task: Any) -> None:
    base = tiny()
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    tuned, _ = _tuned(base, task, 20, TuneConfig(steps=3), MethodConfig(upper_layers=0.5))
    trained = [name for name, p in tuned.model.named_parameters() if p.requires_grad]
    assert trained
    assert all("lora_" in name and ".layers.1." in name for name in trained)
    assert any(p.any() for name, p in tuned.model.named_parameters() if "lora_B" in name)
    for name, p in tuned.model.named_parameters():
        if "lora_" not in name:
            key = name.removeprefix("base_model.model.").replace(".base_layer", "")
            assert bool((p == before[key]).all()), name


def test_stops_when_nothing_gets_better(tiny: Any, task: Any) -> None:
    """Labels by chance: validation does not get better for long, and the best state so far is kept."""
    questions, (held, truth) = task(60, 0)[0], task(30, 1)
    chance = np.random.default_rng(5).integers(0, 2, 60)
    tuned = attach(tiny(), _LORA)
    config = TuneConfig(steps=60, evaluations=30, patience=2, learning_rate=5e-2)
    log = tune(tuned, questions, chance, TREE, (held, 1 - truth), config)
    assert log.steps < 60
    assert log.stopped == "no better on validation rows for 2 evaluations"
    figures = [(entry["accuracy"], -entry["log_loss"]) for entry in log.history]
    assert figures.index(max(figures)) == len(figures) - 3
    kept = -score(tuned, held, TREE)[np.arange(30), 1 - truth].mean()
    assert kept == pytest.approx(log.history[-3]["log_loss"], abs=1e-5)


def test_a_loss_that_is_no_number(tiny: Any, task: Any) -> None:
    import torch

    broken = tiny()
    with torch.no_grad():
        broken.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"loss became nan at step 1: lower the learning rate .*--no-lm"):
        _tuned(broken, task, 20, TuneConfig(steps=3))


def test_a_method_that_trains_nothing_is_refused(tiny: Any, task: Any) -> None:
    with pytest.raises(UserError, match="This fine-tuning method trains nothing"):
        _tuned(tiny(), task, 20, TuneConfig(steps=3), MethodConfig("context"))


# --- budget --------------------------------------------------------------------------------------------------


def test_minutes_end_a_tuning(tiny: Any, task: Any) -> None:
    """Without steps the plan comes from the measured speed, and never passes the rows more often than allowed."""

    def run(**more: Any) -> TuneLog:
        return _tuned(tiny(), task, 40, TuneConfig(minutes=60, patience=99, **more))[1]

    log = run(most_epochs=4)
    assert log.steps == log.planned_steps == 4 * 40 // 8
    log = run(most_steps=13)
    assert log.steps == log.planned_steps == 13


class _Clock:
    """A clock that goes on by so many seconds a step."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_plan_fits_into_its_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(schedule, "time", clock)
    config = TuneConfig(minutes=1.0, evaluations=6)
    plan = Schedule(config, rows=10_000, batch=8, evaluation_steps=3.0)
    for step in range(1, 12):
        assert plan.planned == 0
        assert plan.rate(step) == pytest.approx(min(1.0, (step + 1) / 10))
        clock.now += 2.0 if step <= 3 else 0.5  # the first steps are slow, and not those that are timed
        plan.step_done(step)
    # 0.95 of a minute, less 10 s that are gone, less six evaluations of 1.5 s, at half a second a step.
    assert plan.planned == 11 + int((57 - 10 - 6 * 1.5) / 0.5)
    assert sum(plan.evaluates_after(step) for step in range(plan.planned + 1)) == 6
    assert plan.evaluates_after(plan.planned)
    assert plan.rate(plan.planned) == pytest.approx(0.1)
    assert not plan.is_late
    clock.now = 73.0
    assert plan.is_late


def test_a_machine_that_becomes_busy_ends_a_tuning(tiny: Any, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock()
    monkeypatch.setattr(schedule, "time", clock)
    monkeypatch.setattr(Schedule, "step_done", _slower(clock, Schedule.step_done))
    _, log = _tuned(tiny(), task, 40, TuneConfig(minutes=1.0, patience=99))
    assert log.stopped == "time is up: slower than planned"
    assert 11 < log.steps < log.planned_steps
    assert log.history[-1]["step"] == log.steps


def _slower(clock: _Clock, step_done: Callable[[Schedule, int], None]) -> Callable[[Schedule, int], None]:
    def after(self: Schedule, steps: int) -> None:
        clock.now += 0.5 if steps <= 11 else 10.0
        step_done(self, steps)

    return after


# --- memory --------------------------------------------------------------------------------------------------


def test_short_memory_changes_no_figure(tiny: Any, task: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that does not fit is halved: the gradients of its parts add up to those of the whole."""
    config = TuneConfig(steps=3, averaging=0.0, patience=99)
    plain, _ = _tuned(tiny(), task, 40, config)
    whole = scoring.log_probs
    refused = 0

    def short(tuned: Any, questions: Any, rows: Any, *rest: Any) -> Any:
        nonlocal refused
        if len(rows) > 4 and tuned.model.training:
            refused += 1
            raise RuntimeError("CUDA out of memory. Tried to allocate")
        return whole(tuned, questions, rows, *rest)

    monkeypatch.setattr(scoring, "log_probs", short)
    tight, log = _tuned(tiny(), task, 40, config)
    assert refused == 3
    assert log.steps == 3
    for name, value in plain.weights().items():
        np.testing.assert_allclose(tight.weights()[name].numpy(), value.numpy(), atol=1e-5, err_msg=name)


def _short(room: int, error: Exception) -> tuple[Callable[[np.ndarray], list[int]], list[int]]:
    """Work that fails for more than `room` rows at once."""
    sizes: list[int] = []

    def work(rows: np.ndarray) -> list[int]:
        sizes.append(len(rows))
        if len(rows) > room:
            raise error
        return rows.tolist()

    return work, sizes


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 40), room=st.integers(1, 50))
def test_what_does_not_fit_is_halved(rows: int, room: int) -> None:
    work, sizes = _short(room, RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    parts = list(in_halves(np.arange(rows) + 100, work))
    assert [row for part, _ in parts for row in part] == list(range(100, 100 + rows))
    assert all(made == part.tolist() and len(part) <= room for part, made in parts)
    assert sizes[0] == rows


def test_halving_leaves_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    work, sizes = _short(2, MemoryError())
    list(in_halves(np.arange(8), work))
    assert sizes[:3] == [8, 4, 2]
    assert "Memory is short: 8 rows at a time become 4." in capsys.readouterr().err


def test_one_row_that_does_not_fit_is_refused() -> None:
    work, sizes = _short(0, RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    with pytest.raises(UserError, match=r"does not fit into memory even with one row: take a smaller model"):
        list(in_halves(np.arange(4), work))
    assert sizes == [4, 2, 1]


def test_other_errors_pass() -> None:
    import torch

    error = RuntimeError("shapes cannot be multiplied")
    work, sizes = _short(0, error)
    with pytest.raises(RuntimeError) as raised:
        list(in_halves(np.arange(4), work))
    assert raised.value is error
    assert sizes == [4]
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert not is_out_of_memory(ValueError("out of memory"))
