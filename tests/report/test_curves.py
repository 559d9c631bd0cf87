"""Curves of a tuning: each fault is noted with figures, healthy curves stay without a word, the report shows both."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_report import Page, check_harmless, make_diagnosis

from faultwise import Diagnoser
from faultwise.language.classifier.curves import COLUMNS, summary, warnings
from faultwise.report.curve_plot import curve_figure, curve_svgs, drawable
from faultwise.report.html import render_html
from faultwise.report.markdown import render_markdown
from faultwise.report.save import render_json


def log_of(
    loss: list[float],
    train: list[float] | None,
    log_loss: list[float],
    accuracy: list[float],
    likeliest: list[float] | None = None,
    **over: Any,
) -> dict[str, Any]:
    """A log with an evaluation every 20 steps: 96 validation rows of four labels, the most frequent with 27%."""
    count = len(loss)
    columns = {
        "step": [20.0 * (i + 1) for i in range(count)],
        "epoch": [0.5 * (i + 1) for i in range(count)],
        "loss": loss,
        "train_accuracy": train or [math.nan] * count,
        "log_loss": log_loss,
        "accuracy": accuracy,
        "likeliest": likeliest or [0.3] * count,
        "learning_rate": [5e-4] * count,
    }
    history = [{name: values[i] for name, values in columns.items() if values[i] == values[i]} for i in range(count)]
    log = {"history": history, "steps": 20 * count, "planned_steps": 20 * count, "rows": 340, "seconds": 60.0}
    return {**log, "stopped": "budget used", "classes": 4, "likeliest_share": 0.27, "validation_rows": 96, **over}


CLEAN = {
    "settled": log_of(
        [1.1, 0.6, 0.35, 0.25, 0.2, 0.18],
        [0.5, 0.77, 0.88, 0.93, 0.95, 0.96],
        [1.0, 0.6, 0.4, 0.32, 0.3, 0.3],
        [0.55, 0.78, 0.88, 0.91, 0.91, 0.92],
    ),
    "stopped early, the last evaluations a little worse": log_of(
        [1.0, 0.5, 0.3, 0.22, 0.2, 0.17],
        [0.5, 0.8, 0.9, 0.92, 0.94, 0.95],
        [0.9, 0.5, 0.35, 0.34, 0.36, 0.37],
        [0.6, 0.8, 0.9, 0.89, 0.89, 0.88],
        planned_steps=400,
        stopped="no better on validation rows for 3 evaluations",
    ),
    "a last step of bad luck": log_of(
        [1.1, 0.6, 0.35, 0.25, 0.2, 2.2],
        [0.5, 0.77, 0.88, 0.93, 0.95, 0.9],
        [1.0, 0.6, 0.4, 0.32, 0.3, 0.31],
        [0.55, 0.78, 0.88, 0.91, 0.91, 0.91],
    ),
    "better on training rows, and validation loss still falls": log_of(
        [1.2, 0.6, 0.3, 0.2, 0.1], [0.5, 0.8, 0.95, 0.98, 1.0], [1.2, 1.0, 0.9, 0.87, 0.85],
        [0.5, 0.62, 0.7, 0.71, 0.71],
    ),
    "ten validation rows": log_of(
        [1.0, 0.5, 0.3, 0.2], [0.5, 0.8, 0.9, 0.98], [1.0, 0.6, 0.6, 0.65], [0.5, 0.8, 0.7, 0.8], validation_rows=10
    ),
    "nine of ten rows normal, all right": log_of(
        [0.4, 0.2, 0.1], None, [0.3, 0.15, 0.05], [0.9, 0.95, 1.0], [1.0, 0.95, 0.9],
        classes=2, likeliest_share=0.9, validation_rows=20,
    ),
    "always the same label because all rows but few have it": log_of(
        [0.3, 0.15, 0.12], None, [0.2, 0.1, 0.09], [0.95, 0.96, 0.97], [1.0, 0.99, 0.98],
        classes=2, likeliest_share=0.95, validation_rows=96,
    ),
    "one class at first, cured later": log_of(
        [1.5, 1.2, 0.5, 0.3], None, [1.5, 1.3, 0.5, 0.3], [0.26, 0.27, 0.85, 0.97], [1.0, 1.0, 0.3, 0.28]
    ),
    "many labels, hard": log_of(
        [2.9, 2.3, 1.9, 1.7, 1.6], [0.1, 0.3, 0.4, 0.44, 0.46], [2.8, 2.3, 2.0, 1.9, 1.9],
        [0.12, 0.3, 0.37, 0.38, 0.37], classes=21, likeliest_share=0.06, validation_rows=96,
    ),
    "an older log": {
        "history": [{"step": 20.0, "loss": 0.9, "log_loss": 0.8, "accuracy": 0.7},
                    {"step": 40.0, "loss": 0.4, "log_loss": 0.5, "accuracy": 0.85}],
        "steps": 40, "planned_steps": 40, "rows": 100, "seconds": 9.0, "stopped": "budget used", "classes": 3,
    },
    "nothing": {},
    "no evaluation": {"history": [], "steps": 3},
}  # fmt: skip

DIVERGED = log_of([1.2, 0.8, 1.6, 2.9], None, [1.1, 0.8, 1.7, 3.0], [0.5, 0.7, 0.3, 0.25], [0.4, 0.3, 0.9, 1.0])
ONE_CLASS = log_of([1.5, 1.4, 1.4], None, [1.5, 1.42, 1.41], [0.25, 0.25, 0.26], [0.9, 1.0, 1.0])
NOTHING = log_of([1.42, 1.4, 1.41], [0.25, 0.26, 0.24], [1.4, 1.4, 1.41], [0.26, 0.24, 0.27])
BY_HEART = log_of([1.4, 0.8, 0.3], [0.25, 0.7, 0.95], [1.5, 2.2, 3.0], [0.26, 0.25, 0.27])
SHARES = log_of([2.6, 1.6, 1.4], [0.2, 0.24, 0.26], [2.0, 1.5, 1.4], [0.22, 0.25, 0.26])
OVERFITS = log_of(
    [1.2, 0.7, 0.4, 0.2, 0.1, 0.05],
    [0.4, 0.7, 0.85, 0.95, 0.99, 1.0],
    [1.1, 0.8, 0.7, 0.8, 1.1, 1.3],
    [0.5, 0.65, 0.7, 0.69, 0.67, 0.66],
)
CLIMBING = log_of(
    [1.3, 1.1, 0.9, 0.7], [0.3, 0.45, 0.6, 0.7], [1.3, 1.1, 0.9, 0.7], [0.35, 0.5, 0.6, 0.72], planned_steps=80
)


@pytest.mark.parametrize("name", CLEAN)
def test_healthy_curves_get_no_warning(name: str) -> None:
    assert warnings(CLEAN[name]) == []


@pytest.mark.parametrize(
    ("log", "parts"),
    [
        (DIVERGED, ("diverged", "from 0.80 to 2.90", "costs 1.39", "step 40 is kept", "learning rate")),
        (ONE_CLASS, ("one class", "100% of 96", "more than 27%", "language.minutes")),
        (NOTHING, ("learnt nothing", "60 steps", "27% of 96", "--no-lm")),
        (BY_HEART, ("by heart", "from 1.40 to 0.30", "27% of 96", "more runs")),
        (SHARES, ("how frequent labels are", "from 2.60 to 1.40", "language.features")),
        (OVERFITS, ("overfits", "100% of training rows, 66% of 96", "0.70 at step 60, 1.30 at the end", "step 60")),
        (CLIMBING, ("still learning", "80 steps", "from 50% to 72%", "language.minutes")),
    ],
    ids=["diverged", "one class", "nothing", "by heart", "shares", "overfits", "climbing"],
)
def test_each_fault_is_noted_once_with_figures_and_a_next_step(log: dict[str, Any], parts: tuple[str, ...]) -> None:
    notes = warnings(log)
    assert len(notes) == 1
    for part in parts:
        assert part in notes[0]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["loss", "log_loss"])
def test_a_loss_that_is_no_number(name: str, value: float) -> None:
    log = json.loads(json.dumps(CLEAN["settled"]))
    log["history"][3][name] = value
    assert warnings(log) == [
        "The language model's tuning diverged: its loss became no number at step 80: lower the learning rate, or leave "
        "the language model out with --no-lm."
    ]
    strict = json.dumps(summary(log), allow_nan=False)
    assert json.loads(strict)["curves"][name][3] is None


def test_a_loss_that_starts_far_above_guessing_and_stays_there() -> None:
    log = log_of([5.0, 5.1, 4.9], None, [5.0, 5.0, 5.0], [0.2, 0.2, 0.2])
    assert "stayed at 4.90" in warnings(log)[0]
    # Three steps are no time to leave it; nothing was learnt either.
    short = {**log, "steps": 3, "planned_steps": 3}
    assert "learnt nothing" in warnings(short)[0]


def test_a_loss_well_above_its_start_but_no_more_than_guessing() -> None:
    log = log_of([0.4, 0.3, 0.9, 1.35], None, [0.4, 0.3, 0.9, 1.4], [0.9, 0.92, 0.6, 0.3])
    assert "from 0.30 to 1.35" in warnings(log)[0]


def test_many_labels_near_chance() -> None:
    """Seven of 96 rows are right where guessing 21 labels gets five."""
    log = log_of([3.1, 3.05], None, [3.1, 3.05], [0.05, 0.073], classes=21, likeliest_share=0.052)
    notes = warnings(log)
    assert len(notes) == 1
    assert "among 21 labels, 7% of 96 validation rows" in notes[0]
    assert "gets 5%" in notes[0]
    # A quarter is five times what guessing gets.
    assert warnings(log_of([2.9, 2.6], None, [2.9, 2.6], [0.1, 0.25], classes=21, likeliest_share=0.052)) == []


def test_two_faults_come_in_order_of_gravity_and_without_their_consequences() -> None:
    # Diverged to one class: what follows from the first is left out.
    assert [line.split(":")[0] for line in warnings(DIVERGED)] == ["The language model's tuning diverged"]
    # With ten validation rows a third fewer right than in training may be bad luck.
    assert warnings({**OVERFITS, "validation_rows": 10}) == []


def test_still_climbing_only_when_the_budget_ended_it() -> None:
    assert warnings({**CLIMBING, "planned_steps": 400, "stopped": "no better"}) == []


def test_unknown_counts_are_not_made_up() -> None:
    """Without the number of validation rows the fewest are reckoned with, but none are named."""
    log = {**NOTHING, "validation_rows": None, "likeliest_share": None}
    assert "27% of validation rows are right at best, and guessing evenly gets 25%" in warnings(log)[0]
    # All rows alike are no fault where the true labels may be alike, too.
    assert "one class" not in warnings({**ONE_CLASS, "likeliest_share": None})[0]


def _noisy(rng: np.random.Generator, validated: int, labels: int, signal: float, evaluations: int) -> dict[str, Any]:
    """The log of a model whose answers get surer of the true label up to `signal`, on the same validation rows."""
    truth = np.arange(validated) % labels
    own = rng.normal(size=(validated, labels))
    columns: dict[str, list[float]] = {name: [] for name in ("loss", "train", "log_loss", "accuracy", "likeliest")}
    for place in range(1, evaluations + 1):
        sure = signal * (1 - math.exp(-6 * place / evaluations))
        for kind, rows in (("validated", truth), ("train", np.arange(100) % labels)):
            scores = own if kind == "validated" else rng.normal(size=(len(rows), labels))
            scores = scores + 0.3 * rng.normal(size=scores.shape)
            scores[np.arange(len(rows)), rows] += sure
            logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
            right, loss = float((logs.argmax(1) == rows).mean()), float(-logs[np.arange(len(rows)), rows].mean())
            columns["accuracy" if kind == "validated" else "train"].append(right)
            columns["log_loss" if kind == "validated" else "loss"].append(loss)
            if kind == "validated":
                columns["likeliest"].append(float(np.bincount(logs.argmax(1)).max() / validated))
    share = float(np.bincount(truth).max() / validated)
    return log_of(**columns, validation_rows=validated, classes=labels, likeliest_share=share)


@pytest.mark.parametrize(("validated", "labels", "signal"), [(12, 2, 4.0), (24, 4, 4.0), (24, 21, 6.0), (96, 21, 5.0)])
def test_noise_of_few_validation_rows_raises_no_alarm(validated: int, labels: int, signal: float) -> None:
    rng = np.random.default_rng(validated + labels)
    alarms = [notes for _ in range(60) for notes in warnings(_noisy(rng, validated, labels, signal, 6))]
    # That it is still learning may be true of one or two.
    assert [notes for notes in alarms if "still learning" not in notes] == []
    assert len(alarms) <= 3


@pytest.mark.parametrize(("validated", "labels"), [(24, 2), (96, 4), (96, 21)])
def test_a_guessing_model_is_found_through_the_noise(validated: int, labels: int) -> None:
    rng = np.random.default_rng(validated + labels)
    found = sum(any("learnt" in notes for notes in warnings(_noisy(rng, validated, labels, 0.0, 6))) for _ in range(60))
    assert found >= 55


_FIGURES = st.none() | st.floats() | st.integers(-(10**400), 10**400) | st.text(max_size=3) | st.booleans()
_LOGS = st.fixed_dictionaries(
    {},
    optional={
        "history": st.none() | st.lists(st.dictionaries(st.sampled_from(COLUMNS), _FIGURES) | st.none(), max_size=8),
        **dict.fromkeys(
            ("steps", "planned_steps", "rows", "seconds", "stopped", "classes", "likeliest_share", "validation_rows"),
            _FIGURES,
        ),
    },
)


@settings(max_examples=300, deadline=None)
@given(_LOGS)
@example({"history": [{"step": None, "log_loss": 0.0}, {}, {"train_accuracy": 1.0, "accuracy": 0.0}]})
def test_no_history_raises(log: dict[str, Any]) -> None:
    notes = warnings(log)
    assert all(line.endswith(".") and "nan" not in line.split() for line in notes)
    made = summary(log)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert {len(column) for column in made["curves"].values()} == {made["evaluations"]}


@settings(max_examples=8, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), _FIGURES), min_size=2, max_size=6))
def test_whatever_was_logged_is_drawn(history: list[dict[str, Any]]) -> None:
    history[0] |= {"accuracy": 0.5}
    made = summary({"history": history})
    assert drawable(made["curves"])
    for svg in curve_svgs(made):
        assert svg.startswith("<svg")
        assert svg.count("<path") > 2


def test_summary_names_the_evaluation_that_is_kept() -> None:
    made = summary(OVERFITS)
    assert (made["best_step"], made["best_accuracy"], made["best_log_loss"]) == (60, 0.7, 0.7)
    assert (made["evaluations"], made["last_log_loss"], made["last_train_accuracy"]) == (6, 1.3, 1.0)
    assert (made["chance"], made["epochs"], made["warnings"]) == (0.27, 3.0, warnings(OVERFITS))
    # Of two equally accurate ones the one with the lower loss, as in tuning.
    tied = summary(log_of([1.0, 0.9, 0.8], None, [0.9, 0.7, 0.8], [0.8, 0.8, 0.8]))
    assert tied["best_step"] == 40


def test_the_figure_marks_the_best_evaluation_and_chance() -> None:
    figure = curve_figure([20, 40, 60], [0.3, None, 0.9], [0.3, 0.7, 0.6], best=40, shares=True, chance=0.25)
    axes = figure.axes[0]
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines]
    assert ([40], [0.7]) in lines
    assert any(y == [0.25, 0.25] for _, y in lines)
    assert axes.get_ylim()[0] < 0.0
    assert axes.get_ylim()[1] > 1.0


def test_the_report_shows_curves_and_warnings() -> None:
    diagnosis = make_diagnosis()
    without = render_html(diagnosis)
    assert "was tuned" not in without
    tuned = replace(diagnosis, provenance={**diagnosis.provenance, "language_model": summary(OVERFITS)})
    page = Page(render_html(tuned))
    check_harmless(page)
    assert "How the language model was tuned" in page.text
    assert "The language model overfits: right on 100% of training rows" in page.text
    assert page.text.count("The language model overfits") == 1
    assert "120 of 120 planned steps, 340 training rows, 96 validation rows" in page.text
    names = page.values("aria-label")
    loss = "Loss by step: training from 1.20 to 0.05; validation from 1.10 to 1.30"
    assert any(name.startswith(loss) for name in names)
    assert any(name.startswith("Accuracy by step: ") for name in names)
    assert page.values("role").count("img") == Page(without).values("role").count("img") + 2
    assert "language_model.best_step" in page.text
    # Markdown and JSON have the figures.
    assert "overfits" in render_markdown(tuned)
    assert json.loads(render_json(tuned))["provenance"]["language_model"]["curves"]["log_loss"][-1] == 1.3


def test_one_evaluation_makes_no_curve_and_hostile_words_stay_words() -> None:
    diagnosis = make_diagnosis()
    short = summary({**OVERFITS, "history": OVERFITS["history"][:1]})
    assert "was tuned" not in render_html(replace(diagnosis, provenance={"language_model": short}))
    hostile = {**summary(OVERFITS), "stopped": "<script>alert(1)</script>", "warnings": ["</svg><script>"]}
    page = Page(render_html(replace(diagnosis, provenance={"language_model": hostile})))
    check_harmless(page)
    assert "stopped: <script>alert(1)</script>" in page.text


def test_a_fit_tells_and_its_report_draws(tiny_lm: Path, plant: Any, tmp_path: Path) -> None:
    rows = plant(runs=4)
    made = Diagnoser(
        experts=("logistic-regression", "language-model"),
        folds=2,
        language={"model": str(tiny_lm), "steps": 6, "score_rows": 10},
    )
    made.fit(rows[["flow", "level", "temp"]], rows["fault"], rows["run"])
    # Random and six steps old: it guesses.
    notes = [note for note in made.model_.fitted.notes if note.startswith("The language model")]
    assert notes == warnings(made.model_.fitted.record["language_model"])
    assert any("language model learnt nothing" in note or "fell to one class" in note for note in notes)
    loaded = Diagnoser.load(made.save(tmp_path / "run"))
    html = render_html(loaded.diagnose(rows[["flow", "level", "temp"]], row=20, score_rows=0))
    page = Page(html)
    check_harmless(page)
    assert "How the language model was tuned" in page.text
    assert notes[0] in page.text
    assert any(name.startswith("Loss by step: training from ") for name in page.values("aria-label"))
