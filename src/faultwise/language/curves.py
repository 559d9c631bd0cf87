"""What the course of a tuning says: plain warnings with figures and a next step, and a summary for the report.

Reads the log that `tuning` keeps, one entry per evaluation, also an older one that lacks figures: what is not there is
not judged. A model that is merely weak gets no warning, and neither does a tuning that stopped early. Rows of one run
resemble each other, so the noise of held-out figures is larger than the binomial one that is reckoned with here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["COLUMNS", "summary", "warnings"]

# Figures of an evaluation: the step and epoch it came after, the running loss (nats) and accuracy on training rows,
# both on held-out rows, the share of held-out rows given the most frequent answer, and the learning rate.
COLUMNS = ("step", "epoch", "loss", "train_accuracy", "log_loss", "accuracy", "likeliest", "learning_rate")
_SHARES = ("train_accuracy", "accuracy", "likeliest")

# Half a nat more than guessing evenly costs: the true label gets 0.6 of its even share. The running loss averages
# over some hundred rows, whose losses differ by about one nat: 0.5 is five of its standard errors.
_ABOVE_GUESSING = 0.5
# Two nats above guessing evenly: an eighth of the even share. An untuned model may start there, none stays there.
# Three times the warm-up of the learning rate have to be over.
_FAR_ABOVE_GUESSING, _FEWEST_STEPS = 2.0, 30
# Held-out loss has to go along: the loss of a few steps can jump by itself. A tenth of a nat is beyond its noise from
# one evaluation to the next, which judge the same rows.
_HELD_OUT_RISES = 0.1
# All rows but a few of a hundred alike, where the commonest true label has at least a fifth less.
_ONE_CLASS, _ONE_CLASS_GAP = 0.95, 0.2
# How improbable a figure has to be before it counts: of a healthy model's answers, and of a guessing one's.
_RARE, _BY_LUCK = 0.01, 0.05
# A constant answer cannot have a lower loss than the entropy of the true labels; a tenth below is no luck.
_BELOW_ENTROPY = 0.9
# Training loss that falls "clearly": three standard errors of the running loss, and a fifth.
_FALLS, _FALLS_SHARE = 0.3, 0.2
# Held-out loss that rises "clearly": a tenth above its lowest, at both of the last two evaluations.
_RISES, _RISES_SHARE = 0.05, 0.1
# Training above held-out accuracy by 2.6 standard errors (one chance in a hundred); 0.15 are of practical interest.
_GAP_ERRORS, _GAP = 2.6, 0.15
# Still climbing: two held-out rows more than two evaluations ago and 2% of all, and a held-out loss that fell by a
# twentieth or more each time. Above 0.95 the noise of a hundred held-out rows is all there is left to win.
_CLIMB_ROWS, _CLIMB, _CLIMB_LOSS, _HIGH_ENOUGH = 2, 0.02, 0.05, 0.95
# Held-out rows where the log does not say how many: the fewest that long prompts leave; beyond the most, no noise.
_HELD_UNKNOWN, _MOST_HELD = 24, 10_000
_LARGEST = 1e9  # figures beyond this are not told apart; their arithmetic would overflow


@dataclass(frozen=True)
class _Course:
    """A log as arrays (evaluations,), NaN where a figure is missing; `broken` is a step whose loss was no number."""

    at: dict[str, np.ndarray]
    broken: float | None
    steps: float
    planned: float
    stopped: str
    held: int | None
    classes: int | None
    share: float | None
    best: int | None
    text: str = "short"  # the way in: what can be done about it differs
    judged_on: str = "held-out rows"

    @property
    def of_text(self) -> str:
        """Flags that change what the model reads, in brackets; empty for rows as tokens, which have none."""
        flags = {
            "short": " (--lm-features, --lm-digits 2)",
            "statistics": " (--lm-features)",
            "thesis": " (--lm-names)",
        }
        return flags.get(self.text, "")

    @property
    def sample(self) -> int:
        """Held-out rows to reckon noise with."""
        return min(self.held, _MOST_HELD) if self.held else _HELD_UNKNOWN

    @property
    def held_rows(self) -> str:
        return f"{self.held:,} {self.judged_on}" if self.held else self.judged_on

    def last(self, name: str) -> float:
        return float(self.at[name][-1])

    @property
    def guess(self) -> float | None:
        """Loss of guessing evenly among the labels, in nats."""
        return math.log(self.classes) if self.classes else None

    @property
    def chance(self) -> float | None:
        """Accuracy of always giving the most frequent label."""
        even = 1 / self.classes if self.classes else None
        return max((p for p in (even, self.share) if p is not None), default=None)


def warnings(log: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a tuning, the gravest first, at most one sentence of each kind; [] if nothing is.

    `log` is a `TuneLog` as a mapping. A tuning that diverged, fell to one class or learnt nothing gets that one
    warning: the others would only follow from it. Never raises, whatever the figures are.
    """
    course = _course(log)
    if not len(course.at["step"]):
        return []
    for grave in (_diverged, _one_class, _learnt_nothing):
        if said := grave(course):
            return [said]
    return [said for said in (_overfits(course), _still_climbing(course)) if said]


def summary(log: Mapping[str, Any]) -> dict[str, Any]:
    """Return counts, the best and the last evaluation, `warnings`, and `curves`, ready for strict JSON.

    `curves` has a list (evaluations,) of each of `COLUMNS`; None stands for what is missing or no number. The best
    evaluation is the first with the highest held-out accuracy, then with the lowest held-out loss, as in `tuning`.
    """
    course = _course(log)
    best, epochs = course.best, course.at["epoch"]
    made: dict[str, Any] = {
        "evaluations": len(course.at["step"]),
        "steps": _whole(log.get("steps")),
        "planned_steps": _whole(log.get("planned_steps")),
        "epochs": _known(epochs[-1]) if len(epochs) else None,
        "rows": _whole(log.get("rows")),
        "held": _whole(log.get("held")),
        "judged_on": course.judged_on,
        "classes": course.classes,
        "chance": None if course.chance is None else _known(course.chance),
        "seconds": _known(_number(log.get("seconds"))),
        "stopped": course.stopped,
    }
    for name, key in (("step", "best_step"), ("accuracy", "best_accuracy"), ("log_loss", "best_log_loss")):
        made[key] = None if best is None else _known(course.at[name][best])
    for name in ("accuracy", "log_loss", "train_accuracy", "loss"):
        made[f"last_{name}"] = _known(course.at[name][-1]) if len(epochs) else None
    made["warnings"] = warnings(log)
    made["curves"] = {name: [_known(value) for value in course.at[name]] for name in COLUMNS}
    return made


def _course(log: Mapping[str, Any]) -> _Course:
    history = log.get("history")
    entries = [entry for entry in history if isinstance(entry, Mapping)] if isinstance(history, list | tuple) else []
    at = {name: np.array([_number(entry.get(name)) for entry in entries], dtype=float) for name in COLUMNS}
    steps = at["step"]
    bad = [
        at["step"][place]
        for place, entry in enumerate(entries)
        if any(_is_no_number(entry.get(name)) for name in ("loss", "log_loss"))
    ]
    at["step"] = np.where(np.isnan(steps), np.arange(1, len(steps) + 1), steps)  # evaluations, where steps are unknown
    for name in _SHARES:
        at[name] = np.clip(at[name], 0.0, 1.0)
    classes, held, share = _whole(log.get("classes")), _whole(log.get("held")), _number(log.get("likeliest_share"))
    best = None
    for place, (accuracy, loss) in enumerate(zip(at["accuracy"], at["log_loss"], strict=True)):
        now = (accuracy, -loss if loss == loss else -math.inf)
        if accuracy == accuracy and (best is None or now > best[0]):
            best = now, place
    return _Course(
        at,
        None if not bad else float(bad[0]),
        _number(log.get("steps")),
        _number(log.get("planned_steps")),
        str(log.get("stopped") or ""),
        held or None,
        classes if classes and classes > 1 else None,
        min(1.0, share) if share > 0 else None,
        None if best is None else best[1],
        str(log.get("text") or "short"),
        str(log.get("judged_on") or "held-out rows"),
    )


def _diverged(course: _Course) -> str | None:
    next_step = "lower the learning rate, or leave the language model out with --no-lm."
    if course.broken is not None:
        step = f" at step {course.broken:.0f}" if course.broken == course.broken else ""
        return f"The language model's tuning diverged: its loss became no number{step}: {next_step}"
    loss, held, guess = course.at["loss"], course.at["log_loss"], course.guess
    losses = loss[~np.isnan(loss)]
    if guess is None or not len(losses):
        return None
    last, lowest = float(losses[-1]), float(losses.min())
    risen = last > lowest + _ABOVE_GUESSING and last > guess + _ABOVE_GUESSING
    # Well above its start: half the way from knowing to guessing, and close to guessing or beyond it.
    risen |= last > float(losses[0]) + max(_ABOVE_GUESSING, guess / 2) and last > 0.9 * guess
    held = held[~np.isnan(held)]
    risen &= len(held) == 0 or float(held[-1]) > float(held.min()) + _HELD_OUT_RISES
    run = course.steps if course.steps == course.steps else course.last("step")
    stuck = run >= _FEWEST_STEPS and last > guess + _FAR_ABOVE_GUESSING and last > float(losses[0]) - _FALLS
    if not (risen or stuck):
        return None
    came = f"rose from {lowest:.2f} to {last:.2f}" if risen else f"stayed at {last:.2f}"
    return (
        f"The language model's tuning diverged: its training loss {came}, and guessing evenly among "
        f"{course.classes} labels costs {guess:.2f}. {_kept(course)}{next_step[0].upper()}{next_step[1:]}"
    )


def _one_class(course: _Course) -> str | None:
    likeliest, true = course.last("likeliest"), course.share
    if true is None or not likeliest >= _ONE_CLASS or likeliest - true < _ONE_CLASS_GAP:
        return None
    if _at_least(likeliest, course.sample, true) > _RARE:
        return None
    return (
        f"The language model fell to one class: it gives {likeliest:.0%} of {course.held_rows} the same "
        f"label, and no label has more than {true:.0%} of them. {_kept(course)}Lower the learning rate or give it more "
        f"time with --lm-minutes, and look whether what it reads tells the classes apart{course.of_text}; or "
        "leave it out with --no-lm."
    )


def _learnt_nothing(course: _Course) -> str | None:
    """Judge the best evaluation, which is the one that is kept. Being the best of several it is allowed more luck."""
    if course.best is None or course.chance is None:
        return None
    accuracy, held_loss = (float(course.at[name][course.best]) for name in ("accuracy", "log_loss"))
    if _at_least(accuracy, course.sample, course.chance) <= _BY_LUCK / min(10, len(course.at["step"])):
        return None
    # Few held-out rows, or one class that has nearly all, leave accuracy no room to show what the loss shows.
    entropy = _least_entropy(course.share or course.chance)
    if held_loss < _BELOW_ENTROPY * entropy:
        return None
    steps = f"{course.steps:.0f} steps" if course.steps == course.steps else "its steps"
    guess = "guessing evenly" if course.share is None else "giving all the most frequent label"
    among = f"among {course.classes} labels, " if course.classes else ""
    chance = f"{among}{accuracy:.0%} of {course.held_rows} are right at best, and {guess} gets {course.chance:.0%}"
    losses = course.at["loss"][~np.isnan(course.at["loss"])]
    fell = len(losses) > 1 and losses[0] - losses[-1] > max(_FALLS, _FALLS_SHARE * losses[0])
    if not fell:
        return (
            f"The language model learnt nothing that held-out rows can show in {steps}: {chance}. Give it more time "
            "with --lm-minutes, or leave it out with --no-lm."
        )
    told = f"its training loss fell from {losses[0]:.2f} to {losses[-1]:.2f}, but {chance}"
    # Knowing how frequent labels are brings the loss down to their entropy and no further.
    if losses[-1] >= _BELOW_ENTROPY * entropy:
        return (
            f"The language model learnt how frequent labels are and no more in {steps}: {told}. Give it more time with "
            f"--lm-minutes{f' or more to read{course.of_text}' if course.of_text else ''}, or leave it out with "
            "--no-lm."
        )
    return (
        f"The language model learnt its training rows by heart in {steps}: {told}. More time will not help: give it "
        "more runs of each label, check that labels mean the same in all runs, or leave it out with --no-lm."
    )


def _overfits(course: _Course) -> str | None:
    held, loss, step = course.at["log_loss"], course.at["loss"], course.at["step"]
    if len(held) < 3 or np.isnan(held).all():
        return None
    lowest = int(np.nanargmin(held))
    # Two evaluations in a row: one may be an outlier.
    stalled = lowest < len(held) - 2
    rises = stalled and bool((held[-2:] > held[lowest] * (1 + _RISES_SHARE) + _RISES).all())
    falls = bool(loss[-1] < loss[lowest])
    trained, accuracy = course.last("train_accuracy"), course.last("accuracy")
    gap = trained - accuracy > max(_GAP, _GAP_ERRORS * _error(accuracy, course.sample))
    # Without training accuracies the losses have to do; with them the gap has to be there as well. A wide gap alone
    # is a fault once the held-out loss has stopped falling: then nothing is left to be learnt from these rows.
    unknown = trained != trained or accuracy != accuracy
    if not ((rises and falls and (gap or unknown)) or (gap and stalled)):
        return None
    right = "" if unknown else f"right on {trained:.0%} of training rows, {accuracy:.0%} of {course.held_rows}"
    course_of = f"held-out loss {held[lowest]:.2f} at step {step[lowest]:.0f}, {held[-1]:.2f} at the end"
    told = "; ".join(filter(None, (right, course_of)))
    fewer = " or fewer features (--lm-features)" if "--lm-features" in course.of_text else ""
    return (
        f"The language model overfits: {told}. {_kept(course)}Give it more runs of each label{fewer}; more time will "
        "not help."
    )


def _still_climbing(course: _Course) -> str | None:
    """Say so only where the budget ended the tuning."""
    if not 0 < course.planned <= course.steps or len(course.at["step"]) < 3:
        return None
    accuracy, loss = course.at["accuracy"][-3:], course.at["log_loss"][-3:]
    if not (np.diff(accuracy) >= 0).all() or not (loss[1:] < (1 - _CLIMB_LOSS) * loss[:-1]).all():
        return None
    gained = accuracy[-1] - accuracy[0]
    # A hair less than two rows, since shares are rounded.
    if gained < max(_CLIMB, (_CLIMB_ROWS - 0.01) / course.sample) or accuracy[-1] > _HIGH_ENOUGH:
        return None
    return (
        f"The language model was still learning when its budget of {course.planned:.0f} steps ended: held-out accuracy "
        f"rose from {accuracy[0]:.0%} to {accuracy[-1]:.0%} over the last three evaluations. Give it more time with "
        "--lm-minutes (or --lm-steps)."
    )


def _kept(course: _Course) -> str:
    if course.best is None or course.best == len(course.at["step"]) - 1:
        return ""
    return f"The adapter of step {course.at['step'][course.best]:.0f} is kept, the best on held-out rows. "


def _at_least(share: float, rows: int, p: float) -> float:
    """Return the probability of at least so large a share of rows when each counts with probability p."""
    from scipy.stats import binom

    return float(binom.sf(round(share * rows) - 1, rows, p))


def _error(share: float, rows: int) -> float:
    """Standard error of a share; one row is added to either side, so that it is never zero."""
    p = (share * rows + 1) / (rows + 2)
    return math.sqrt(p * (1 - p) / rows)


def _least_entropy(share: float) -> float:
    """Return the lowest entropy (nats) that labels can have of which the most frequent has this share."""
    share = max(share, 1 / _MOST_HELD)
    times = int(1 / share + 1e-9)
    rest = max(0.0, 1 - times * share)
    return -times * share * math.log(share) - (rest * math.log(rest) if rest > 0 else 0.0)


def _number(value: Any) -> float:
    """Return a figure within bounds; NaN for what is missing, infinite or no number."""
    try:
        made = math.nan if value is None or isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return max(-_LARGEST, min(_LARGEST, made)) if math.isfinite(made) else math.nan


def _is_no_number(value: Any) -> bool:
    """Whether a figure is there and is NaN or infinite, as opposed to missing."""
    return isinstance(value, float | np.floating) and not math.isfinite(value)


def _whole(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number >= 0 else None


def _known(value: float) -> float | None:
    """Return a figure to six digits, None where it is NaN."""
    return float(f"{value:.6g}") if value == value else None
