"""The settings of a fit on tables: one dataclass gives defaults, flags, YAML and the manifest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faultwise.contracts.errors import UserError
from faultwise.contracts.settings import built, flag
from faultwise.language.settings import DEVICES, FORMS, JUDGES, TEXTS

__all__ = ["FitSettings", "from_mapping"]

UNITS = ("row", "run")
COVERAGES = ("all", "class")
SPLITS = ("auto", "group", "block", "row")
DEFAULT_EXPERTS = (
    "extra-trees",
    "gradient-boosting",
    "hist-gradient-boosting",
    "knn",
    "logistic-regression",
    "random-forest",
    "svm",
    "language-model",
)


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Everything a fit can be told beside the data and its roles."""

    window: int = flag(1, "samples per window; 1 looks at single rows", "W")
    normal: str | None = flag(None, "the label that means normal (default: found by its name)", "LABEL")
    split: str = flag("auto", f"how validation rows are held out: {', '.join(SPLITS)}", "KIND")
    folds: int = flag(3, "folds in which every run is held out once for validation", "N")
    false_alarm_rate: float = flag(
        0.02, "share of normal rows that may be called a fault; of good images: 0.05", "RATE"
    )
    false_alarm_per: str = flag("row", "what the rate counts: row, or (--normal-only) run: no alarm in the run", "UNIT")
    calibration: float | None = flag(
        None, "share of runs set aside to calibrate promises (default: 0.25 with 8 runs a class, else 0)", "SHARE"
    )
    coverage: float = flag(0.9, "share of rows whose true label the fault set is to hold", "SHARE")
    coverage_per: str = flag("all", "what the coverage is promised for: all classes together, or each class", "UNIT")
    novel_rate: float = flag(0.05, "share of rows of known classes that may be called unknown", "RATE")
    normal_only: bool = flag(False, "learn from normal rows alone: limits, T2 and SPE instead of fault names")
    keep: tuple[str, ...] = flag((), "columns to keep although they seem to give the label away", "A,B")
    experts: tuple[str, ...] = flag(DEFAULT_EXPERTS, "experts by name, separated by commas", "A,B")
    seed: int = flag(0, "seed of everything random", "N")
    most_rows: int = flag(60_000, "rows drawn for training at most, evenly over classes and runs", "N")
    model: str = flag("smollm2-135m-instruct", "language model: registered name, hub id, folder or .gguf file", "NAME")
    lm_minutes: float = flag(3.0, "training budget of the language model in minutes", "M")
    lm_steps: int | None = flag(None, "training steps instead of minutes: exactly repeatable", "N")
    lm_score_rows: int = flag(512, "rows the language model scores per command at most", "N")
    lm_digits: int = flag(1, "digits per variable in the language model's text (1 or 2)", "N")
    lm_features: int = flag(8, "features in the language model's text", "N")
    lm_text: str = flag("tokens", f"how rows reach the language model: {', '.join(TEXTS)}", "WAY")
    lm_tokens: int = flag(2, "embeddings per row, where rows come as tokens", "K")
    lm_form: str = flag("lora", f"form of tuning: {', '.join(FORMS)}", "FORM")
    lm_judge: str = flag("score", "score the labels, or generate five tokens as the thesis did", "HOW")
    lm_learning_rate: float | None = flag(None, "learning rate of LoRA; other forms take a multiple of it", "RATE")
    lm_lora_r: int = flag(16, "rank of LoRA", "R")
    lm_lora_alpha: int = flag(32, "scale of LoRA, divided by its rank", "A")
    lm_lora_dropout: float = flag(0.0, "dropout of LoRA", "SHARE")
    lm_names: bool = flag(True, "name the columns in the thesis text")
    lm_normalise: bool = flag(True, "scale values to 0 .. 1 in the thesis text")
    lm_examples: int = flag(2, "training rows of each class in the prompt, with the form context", "N")
    lm_device: str = flag("auto", f"where the language model runs: {', '.join(DEVICES)}", "WHERE")
    lm_lost: float = flag(0.0, "share of training rows in whose text up to half of the variables are hidden", "SHARE")

    def __post_init__(self) -> None:
        errors = []
        if self.window < 1:
            errors.append(f"window is {self.window}, expected 1 or more")
        if self.split not in SPLITS:
            errors.append(f"split is `{self.split}`, expected one of {', '.join(SPLITS)}")
        if self.folds < 2:
            errors.append(f"folds is {self.folds}, expected 2 or more")
        if not 0 < self.false_alarm_rate < 1:
            errors.append(f"false_alarm_rate is {self.false_alarm_rate:g}, expected between 0 and 1")
        if self.false_alarm_per not in UNITS:
            errors.append(f"false_alarm_per is `{self.false_alarm_per}`, expected {' or '.join(UNITS)}")
        elif self.false_alarm_per == "run" and not self.normal_only:
            errors.append("false_alarm_per is `run` (--false-alarm-per run), which needs normal_only (--normal-only)")
        if self.calibration is not None and not 0 <= self.calibration <= 0.8:
            errors.append(f"calibration is {self.calibration:g}, expected 0 (none) to 0.8")
        if self.calibration and self.normal_only:
            errors.append("calibration (--calibration) sets labelled runs aside, and normal_only knows no labels")
        if self.coverage_per not in COVERAGES:
            errors.append(f"coverage_per is `{self.coverage_per}`, expected {' or '.join(COVERAGES)}")
        for name in ("coverage", "novel_rate"):
            if not 0 < getattr(self, name) < 1:
                errors.append(f"{name} is {getattr(self, name):g}, expected between 0 and 1")
        if not self.experts:
            errors.append("no expert is named")
        if not 0 < self.lm_minutes < math.inf:
            errors.append(f"lm_minutes is {self.lm_minutes:g}, expected more than 0")
        if self.seed < 0:
            errors.append(f"seed is {self.seed}, expected 0 or more")
        if self.lm_steps is not None and self.lm_steps < 1:
            errors.append(f"lm_steps is {self.lm_steps}, expected 1 or more")
        if self.lm_digits not in (1, 2):
            errors.append(f"lm_digits is {self.lm_digits}, expected 1 or 2")
        if self.lm_text not in TEXTS:
            errors.append(f"lm_text is `{self.lm_text}`, expected one of {', '.join(TEXTS)}")
        if self.lm_form not in FORMS:
            errors.append(f"lm_form is `{self.lm_form}`, expected one of {', '.join(FORMS)}")
        if self.lm_judge not in JUDGES:
            errors.append(f"lm_judge is `{self.lm_judge}`, expected {' or '.join(JUDGES)}")
        if self.lm_device not in DEVICES:
            errors.append(f"lm_device is `{self.lm_device}`, expected one of {', '.join(DEVICES)}")
        if self.lm_judge == "generate" and self.lm_text == "tokens":
            errors.append(
                "lm_judge is `generate` (--lm-judge generate), which writes answers to texts, and lm_text is `tokens`: "
                "choose --lm-text short, statistics or thesis"
            )
        if not 0 <= self.lm_lost <= 1:
            errors.append(f"lm_lost is {self.lm_lost:g}, expected from 0 to 1")
        if self.lm_learning_rate is not None and not 0 < self.lm_learning_rate < math.inf:
            errors.append(f"lm_learning_rate is {self.lm_learning_rate:g}, expected more than 0")
        if not 0 <= self.lm_lora_dropout < 1:
            errors.append(f"lm_lora_dropout is {self.lm_lora_dropout:g}, expected from 0 to below 1")
        positive = ("lm_features", "lm_tokens", "lm_lora_r", "lm_lora_alpha", "lm_examples")
        for name in ("most_rows", "lm_score_rows", *positive):
            if getattr(self, name) < 1:
                errors.append(f"{name} is {getattr(self, name)}, expected 1 or more")
        if errors:
            raise UserError("Settings: " + "; ".join(errors) + ".")


def from_mapping(raw: Mapping[str, Any], source: str = "settings") -> FitSettings:
    """Build the settings of a fit on tables from plain values; wrong types and unknown keys are told together.

    >>> from_mapping({"window": 20, "seeds": 1})
    Traceback (most recent call last):
    ...
    faultwise.contracts.errors.UserError: settings: unknown key `seeds` (did you mean `seed`?).
    """
    return built(FitSettings, raw, source)
