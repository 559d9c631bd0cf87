"""What the course of a tuning shows: plain warnings with figures and a next step, and a summary for the report.

Reads the log that `language.tuning` keeps, one entry per evaluation, also an older one that lacks figures: what is not
there is not assessed. A model that is merely weak gets no warning, and neither does a tuning that stopped early. Rows
of one run resemble each other, so the noise of validation figures is larger than the binomial one that is assumed here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from faultwise.language.classifier.course import COLUMNS, MOST_ROWS, Course, known, read_course, whole

__all__ = ["COLUMNS", "summary", "warnings"]

# Half a nat more than guessing evenly costs: the true label gets 0.6 of its even share. The running loss averages
# over some hundred rows, whose losses differ by about one nat: 0.5 is five of its standard errors.
_ABOVE_GUESSING = 0.5
# Two nats above guessing evenly: an eighth of the even share. An untuned model may start there, none stays there.
# Three times the warm-up of the learning rate have to be over.
_FAR_ABOVE_GUESSING, _FEWEST_STEPS = 2.0, 30
# The validation loss has to go along: the loss of a few steps can jump by itself. A tenth of a nat is beyond its noise
# from one evaluation to the next, which use the same rows.
_VALIDATION_RISES = 0.1
# All rows but a few of a hundred alike, where the commonest true label has at least a fifth less.
_ONE_CLASS, _ONE_CLASS_GAP = 0.95, 0.2
# How improbable a figure has to be before it counts: of a healthy model's answers, and of a guessing one's.
_RARE, _BY_LUCK = 0.01, 0.05
# A constant answer cannot have a lower loss than the entropy of the true labels; a tenth below is no luck.
_BELOW_ENTROPY = 0.9
# Training loss that falls "clearly": three standard errors of the running loss, and a fifth.
_FALLS, _FALLS_SHARE = 0.3, 0.2
# Validation loss that rises "clearly": a tenth above its lowest, at both of the last two evaluations.
_RISES, _RISES_SHARE = 0.05, 0.1
# Training above validation accuracy by 2.6 standard errors (one chance in a hundred); 0.15 are of practical interest.
_GAP_ERRORS, _GAP = 2.6, 0.15
# Still climbing: two validation rows more than two evaluations ago and 2% of all, and a validation loss that fell by a
# twentieth or more each time. Above 0.95 the noise of a hundred validation rows is all there is left to win.
_CLIMB_ROWS, _CLIMB, _CLIMB_LOSS, _HIGH_ENOUGH = 2, 0.02, 0.05, 0.95

_MORE_TIME = "Give it more time (--set language.minutes=N)"
_LEAVE_OUT = "leave it out with --no-lm."


def warnings(log: Mapping[str, object]) -> list[str]:
    """Return what is wrong with a tuning, the gravest first, at most one sentence of each kind; [] if nothing is.

    `log` is a `TuneLog` as a mapping. A tuning that diverged, fell to one class or learnt nothing gets that one
    warning: the others would only follow from it. Never raises, whatever the figures are.
    """
    return _warnings(read_course(log))


def _warnings(course: Course) -> list[str]:
    if not len(course.at["step"]):
        return []
    for grave in (_diverged, _one_class, _learnt_nothing):
        if warning := grave(course):
            return [warning]
    return [warning for warning in (_overfits(course), _still_climbing(course)) if warning]


def summary(log: Mapping[str, object]) -> dict[str, object]:
    """Return counts, the best and the last evaluation, `warnings`, and `curves`, ready for strict JSON.

    `curves` has a list (evaluations,) of each of `COLUMNS`; None stands for what is missing or no number. The best
    evaluation is the first with the highest validation accuracy, then with the lowest validation loss, as in `tuning`.
    """
    course = read_course(log)
    best, epochs = course.best, course.at["epoch"]
    made: dict[str, object] = {
        "evaluations": len(course.at["step"]),
        "steps": whole(log.get("steps")),
        "planned_steps": whole(log.get("planned_steps")),
        "epochs": known(epochs[-1]) if len(epochs) else None,
        "rows": whole(log.get("rows")),
        "validation_rows": whole(log.get("validation_rows")),
        "validated_on": course.validated_on,
        "classes": course.classes,
        "chance": None if course.chance is None else known(course.chance),
        "seconds": known(course.seconds),
        "stopped": course.stopped,
    }
    for name, key in (("step", "best_step"), ("accuracy", "best_accuracy"), ("log_loss", "best_log_loss")):
        made[key] = None if best is None else known(course.at[name][best])
    for name in ("accuracy", "log_loss", "train_accuracy", "loss"):
        made[f"last_{name}"] = known(course.at[name][-1]) if len(epochs) else None
    made["warnings"] = _warnings(course)
    made["curves"] = {name: [known(value) for value in course.at[name]] for name in COLUMNS}
    return made


def _diverged(course: Course) -> str | None:
    if course.broken is not None:
        step = f" at step {course.broken:.0f}" if course.broken == course.broken else ""
        return (
            f"The language model's tuning diverged: its loss became no number{step}: lower the learning rate, or leave "
            "the language model out with --no-lm."
        )
    guess, losses = course.guess, course.at["loss"][~np.isnan(course.at["loss"])]
    if guess is None or not len(losses):
        return None
    last, lowest, first = float(losses[-1]), float(losses.min()), float(losses[0])
    risen = _has_risen(course, first, lowest, last, guess)
    run = course.steps if course.steps == course.steps else course.last("step")
    stuck = run >= _FEWEST_STEPS and last > guess + _FAR_ABOVE_GUESSING and last > first - _FALLS
    if not (risen or stuck):
        return None
    came = f"rose from {lowest:.2f} to {last:.2f}" if risen else f"stayed at {last:.2f}"
    return (
        f"The language model's tuning diverged: its training loss {came}, and guessing evenly among "
        f"{course.classes} labels costs {guess:.2f}. {_kept(course)}Lower the learning rate, or leave the language "
        "model out with --no-lm."
    )


def _has_risen(course: Course, first: float, lowest: float, last: float, guess: float) -> bool:
    """Whether the training loss, and the validation loss with it, is far above what it was."""
    risen = last > lowest + _ABOVE_GUESSING and last > guess + _ABOVE_GUESSING
    # Well above its start: half the distance from knowing to guessing, and close to guessing or beyond it.
    risen |= last > first + max(_ABOVE_GUESSING, guess / 2) and last > 0.9 * guess
    losses = course.at["log_loss"][~np.isnan(course.at["log_loss"])]
    return risen and (len(losses) == 0 or float(losses[-1]) > float(losses.min()) + _VALIDATION_RISES)


def _one_class(course: Course) -> str | None:
    likeliest, true = course.last("likeliest"), course.share
    if true is None or not likeliest >= _ONE_CLASS or likeliest - true < _ONE_CLASS_GAP:
        return None
    if _at_least(likeliest, course.sample, true) > _RARE:
        return None
    return (
        f"The language model fell to one class: it gives {likeliest:.0%} of {course.validation_rows} the same "
        f"label, and no label has more than {true:.0%} of them. {_kept(course)}Lower the learning rate or give it more "
        "time (--set language.minutes=N), and check whether its input distinguishes the classes"
        f"{course.text_settings}; or {_LEAVE_OUT}"
    )


def _learnt_nothing(course: Course) -> str | None:
    """Assess the best evaluation, which is the one that is kept. Being the best of several it is allowed more luck."""
    if course.best is None or course.chance is None:
        return None
    accuracy, validation_loss = (float(course.at[name][course.best]) for name in ("accuracy", "log_loss"))
    if _at_least(accuracy, course.sample, course.chance) <= _BY_LUCK / min(10, len(course.at["step"])):
        return None
    # Few validation rows, or one class that has nearly all, leave accuracy no room to show what the loss shows.
    entropy = _least_entropy(course.share or course.chance)
    if validation_loss < _BELOW_ENTROPY * entropy:
        return None
    return _no_better_than_chance(course, accuracy, course.chance, entropy)


def _no_better_than_chance(course: Course, accuracy: float, chance: float, entropy: float) -> str:
    """Return the warning for a model that is right as often as chance, by what its training loss did."""
    steps = f"{course.steps:.0f} steps" if course.steps == course.steps else "its steps"
    guess = "guessing evenly" if course.share is None else "giving all the most frequent label"
    among = f"among {course.classes} labels, " if course.classes else ""
    right = f"{among}{accuracy:.0%} of {course.validation_rows} are right at best, and {guess} gets {chance:.0%}"
    losses = course.at["loss"][~np.isnan(course.at["loss"])]
    fell = len(losses) > 1 and losses[0] - losses[-1] > max(_FALLS, _FALLS_SHARE * losses[0])
    if not fell:
        return (
            f"The language model learnt nothing that validation rows can show in {steps}: {right}. {_MORE_TIME}, or "
            f"{_LEAVE_OUT}"
        )
    figures = f"its training loss fell from {losses[0]:.2f} to {losses[-1]:.2f}, but {right}"
    # Knowing how frequent labels are brings the loss down to their entropy and no further.
    if losses[-1] >= _BELOW_ENTROPY * entropy:
        more = f" or more to read{course.text_settings}" if course.text_settings else ""
        return (
            f"The language model learnt how frequent labels are and no more in {steps}: {figures}. {_MORE_TIME}{more}, "
            f"or {_LEAVE_OUT}"
        )
    return (
        f"The language model learnt its training rows by heart in {steps}: {figures}. More time will not help: give it "
        f"more runs of each label, check that labels mean the same in all runs, or {_LEAVE_OUT}"
    )


def _overfits(course: Course) -> str | None:
    losses, step = course.at["log_loss"], course.at["step"]
    if len(losses) < 3 or np.isnan(losses).all():
        return None
    lowest = int(np.nanargmin(losses))
    trained, accuracy = course.last("train_accuracy"), course.last("accuracy")
    unknown = trained != trained or accuracy != accuracy
    if not _is_overfitted(course, lowest, unknown):
        return None
    right = "" if unknown else f"right on {trained:.0%} of training rows, {accuracy:.0%} of {course.validation_rows}"
    where = "at its lowest" if np.isnan(step[lowest]) else f"at step {step[lowest]:.0f}"
    course_of = f"validation loss {losses[lowest]:.2f} {where}, {losses[~np.isnan(losses)][-1]:.2f} at the end"
    figures = "; ".join(filter(None, (right, course_of)))
    fewer = " or fewer features (--set language.features=N)" if "language.features" in course.text_settings else ""
    return (
        f"The language model overfits: {figures}. {_kept(course)}Give it more runs of each label{fewer}; more time "
        "will not help."
    )


def _is_overfitted(course: Course, lowest: int, unknown: bool) -> bool:
    """Whether the validation figures got worse, or lag far behind, while the training figures went on.

    `lowest` is the evaluation with the lowest validation loss. Without training accuracies (`unknown`) the losses have
    to do; with them the gap has to be there as well. A wide gap alone is a fault once the validation loss has stopped
    falling: then nothing is left to be learnt from these rows.
    """
    losses, loss = course.at["log_loss"], course.at["loss"]
    # Two evaluations in a row: one may be an outlier.
    stalled = lowest < len(losses) - 2
    rises = stalled and bool((losses[-2:] > losses[lowest] * (1 + _RISES_SHARE) + _RISES).all())
    falls = bool(loss[-1] < loss[lowest])
    trained, accuracy = course.last("train_accuracy"), course.last("accuracy")
    gap = trained - accuracy > max(_GAP, _GAP_ERRORS * _error(accuracy, course.sample))
    return (rises and falls and (gap or unknown)) or (gap and stalled)


def _still_climbing(course: Course) -> str | None:
    """Only where the budget ended the tuning."""
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
        f"The language model was still learning when its budget of {course.planned:.0f} steps ended: validation "
        f"accuracy rose from {accuracy[0]:.0%} to {accuracy[-1]:.0%} over the last three evaluations. Give it more "
        "time (--set language.minutes=N, or language.steps=N)."
    )


def _kept(course: Course) -> str:
    if course.best is None or course.best == len(course.at["step"]) - 1:
        return ""
    return f"The adapter of step {course.at['step'][course.best]:.0f} is kept, the best on validation rows. "


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
    share = max(share, 1 / MOST_ROWS)
    times = int(1 / share + 1e-9)
    rest = max(0.0, 1 - times * share)
    return -times * share * math.log(share) - (rest * math.log(rest) if rest > 0 else 0.0)
