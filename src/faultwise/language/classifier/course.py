"""The course of a tuning as arrays, read from its log, also from an older one that lacks figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["COLUMNS", "MOST_ROWS", "Course", "known", "read_course", "whole"]

# Figures of an evaluation: the step and epoch it came after, the running loss (nats) and accuracy on training rows,
# both on validation rows, the share of validation rows with the most frequent answer, and the learning rate.
COLUMNS = ("step", "epoch", "loss", "train_accuracy", "log_loss", "accuracy", "likeliest", "learning_rate")
_SHARES = ("train_accuracy", "accuracy", "likeliest")
# Validation rows where the log does not have their number: the fewest that long prompts leave; beyond the most, no
# noise.
_ROWS_UNKNOWN, MOST_ROWS = 24, 10_000
_LARGEST = 1e9  # figures beyond this are not distinguished; their arithmetic would overflow
# Settings that change what the model reads, by input; rows as tokens have none.
_TEXT_SETTINGS = {
    "short": " (--set language.features=N or language.digits=2)",
    "statistics": " (--set language.features=N)",
    "thesis": " (--set language.column_names=yes)",
}


@dataclass(frozen=True)
class Course:
    """A log as arrays (evaluations,), NaN where a figure is missing; `broken` is a step whose loss was no number.

    `best` is the position of the evaluation whose weights are kept: the first with the highest validation accuracy,
    then with the lowest validation loss. `input` is how rows reach the model.
    """

    at: dict[str, np.ndarray]
    broken: float | None
    steps: float
    planned: float
    seconds: float
    stopped: str
    rows: int | None
    classes: int | None
    share: float | None
    best: int | None
    input: str
    validated_on: str

    @property
    def text_settings(self) -> str:
        """Settings that change what the model reads, in brackets; empty for rows as tokens, which have none."""
        return _TEXT_SETTINGS.get(self.input, "")

    @property
    def sample(self) -> int:
        """Number of validation rows from which noise is estimated."""
        return min(self.rows, MOST_ROWS) if self.rows else _ROWS_UNKNOWN

    @property
    def validation_rows(self) -> str:
        """The validation rows in words, with their number where it is known."""
        return f"{self.rows:,} {self.validated_on}" if self.rows else self.validated_on

    def last(self, name: str) -> float:
        """Return a figure of the last evaluation."""
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


def read_course(log: Mapping[str, object]) -> Course:
    """Return the course in a log, which is a `TuneLog` as a mapping. Never raises, whatever the figures are."""
    history = log.get("history")
    entries = [entry for entry in history if isinstance(entry, Mapping)] if isinstance(history, list | tuple) else []
    at = {name: np.array([_number(entry.get(name)) for entry in entries], dtype=float) for name in COLUMNS}
    steps = at["step"]
    bad = [
        steps[place]
        for place, entry in enumerate(entries)
        if any(_is_no_number(entry.get(name)) for name in ("loss", "log_loss"))
    ]
    at["step"] = np.where(np.isnan(steps), np.arange(1, len(steps) + 1), steps)  # evaluations, where steps are unknown
    for name in _SHARES:
        at[name] = np.clip(at[name], 0.0, 1.0)
    classes, share = whole(log.get("classes")), _number(log.get("likeliest_share"))
    return Course(
        at=at,
        broken=None if not bad else float(bad[0]),
        steps=_number(log.get("steps")),
        planned=_number(log.get("planned_steps")),
        seconds=_number(log.get("seconds")),
        stopped=str(log.get("stopped") or ""),
        rows=whole(log.get("validation_rows")) or None,
        classes=classes if classes and classes > 1 else None,
        share=min(1.0, share) if share > 0 else None,
        best=_best(at["accuracy"], at["log_loss"]),
        input=str(log.get("input") or "short"),
        validated_on=str(log.get("validated_on") or "validation rows"),
    )


def whole(value: object) -> int | None:
    """Return a count, None for what is missing, negative or no number."""
    number = _number(value)
    return int(number) if number >= 0 else None


def known(value: float) -> float | None:
    """Return a figure to six digits, None where it is NaN."""
    return float(f"{value:.6g}") if value == value else None


def _best(accuracies: Sequence[float] | np.ndarray, losses: Sequence[float] | np.ndarray) -> int | None:
    best: tuple[tuple[float, float], int] | None = None
    for place, (accuracy, loss) in enumerate(zip(accuracies, losses, strict=True)):
        now = (accuracy, -loss if loss == loss else -math.inf)
        if accuracy == accuracy and (best is None or now > best[0]):
            best = now, place
    return None if best is None else best[1]


def _number(value: object) -> float:
    """Return a figure within bounds; NaN for what is missing, infinite or no number."""
    try:
        number = math.nan if value is None or isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return max(-_LARGEST, min(_LARGEST, number)) if math.isfinite(number) else math.nan


def _is_no_number(value: object) -> bool:
    """Whether a figure is there and is NaN or infinite, as opposed to missing."""
    return isinstance(value, float | np.floating) and not math.isfinite(value)
