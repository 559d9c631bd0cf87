"""The settings of a fit, on tables or on images: one dataclass each gives defaults, flags, YAML and the manifest.

Unknown keys are refused and all errors are told at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from faultwise.errors import UserError, closest

__all__ = ["FitSettings", "ImageSettings", "built", "from_mapping", "read_settings"]

UNITS = ("row", "run")
COVERAGES = ("all", "class")
SPLITS = ("auto", "group", "block", "row")
TEXTS = ("tokens", "short", "statistics", "thesis")
FORMS = ("context", "prompt", "lora", "qlora", "adapter", "partial", "full")
JUDGES = ("score", "generate")
DEVICES = ("auto", "cpu", "cuda")
AUGMENTS = ("auto", "none", "mirrored", "flipped", "turned")
RESIZINGS = ("auto", "square", "aspect", "tiles")
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


def _flag(default: Any, words: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"help": words, "metavar": metavar})


@dataclass(frozen=True, slots=True)
class FitSettings:
    """Everything a fit can be told beside the data and its roles."""

    window: int = _flag(1, "samples per window; 1 looks at single rows", "W")
    normal: str | None = _flag(None, "the label that means normal (default: found by its name)", "LABEL")
    split: str = _flag("auto", f"how validation rows are held out: {', '.join(SPLITS)}", "KIND")
    folds: int = _flag(3, "folds in which every run is held out once for validation", "N")
    false_alarm_rate: float = _flag(
        0.02, "share of normal rows that may be called a fault; of good images: 0.05", "RATE"
    )
    false_alarm_per: str = _flag(
        "row", "what the rate counts: row, or (--normal-only) run: no alarm in the run", "UNIT"
    )
    calibration: float | None = _flag(
        None, "share of runs set aside to calibrate promises (default: 0.25 with 8 runs a class, else 0)", "SHARE"
    )
    coverage: float = _flag(0.9, "share of rows whose true label the fault set is to hold", "SHARE")
    coverage_per: str = _flag("all", "what the coverage is promised for: all classes together, or each class", "UNIT")
    novel_rate: float = _flag(0.05, "share of rows of known classes that may be called unknown", "RATE")
    normal_only: bool = _flag(False, "learn from normal rows alone: limits, T2 and SPE instead of fault names")
    keep: tuple[str, ...] = _flag((), "columns to keep although they seem to give the label away", "A,B")
    experts: tuple[str, ...] = _flag(DEFAULT_EXPERTS, "experts by name, separated by commas", "A,B")
    seed: int = _flag(0, "seed of everything random", "N")
    most_rows: int = _flag(60_000, "rows drawn for training at most, evenly over classes and runs", "N")
    model: str = _flag("smollm2-135m-instruct", "language model: registered name, hub id, folder or .gguf file", "NAME")
    lm_minutes: float = _flag(3.0, "training budget of the language model in minutes", "M")
    lm_steps: int | None = _flag(None, "training steps instead of minutes: exactly repeatable", "N")
    lm_score_rows: int = _flag(512, "rows the language model scores per command at most", "N")
    lm_digits: int = _flag(1, "digits per variable in the language model's text (1 or 2)", "N")
    lm_features: int = _flag(8, "features in the language model's text", "N")
    lm_text: str = _flag("tokens", f"how rows reach the language model: {', '.join(TEXTS)}", "WAY")
    lm_tokens: int = _flag(2, "embeddings per row, where rows come as tokens", "K")
    lm_form: str = _flag("lora", f"form of tuning: {', '.join(FORMS)}", "FORM")
    lm_judge: str = _flag("score", "score the labels, or generate five tokens as the thesis did", "HOW")
    lm_learning_rate: float | None = _flag(None, "learning rate of LoRA; other forms take a multiple of it", "RATE")
    lm_lora_r: int = _flag(16, "rank of LoRA", "R")
    lm_lora_alpha: int = _flag(32, "scale of LoRA, divided by its rank", "A")
    lm_lora_dropout: float = _flag(0.0, "dropout of LoRA", "SHARE")
    lm_names: bool = _flag(True, "name the columns in the thesis text")
    lm_normalise: bool = _flag(True, "scale values to 0 .. 1 in the thesis text")
    lm_examples: int = _flag(2, "training rows of each class in the prompt, with the form context", "N")
    lm_device: str = _flag("auto", f"where the language model runs: {', '.join(DEVICES)}", "WHERE")
    lm_lost: float = _flag(0.0, "share of training rows in whose text up to half of the variables are hidden", "SHARE")

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


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """Everything a fit on images can be told beside the images."""

    backbone: str = _flag("efficientnet-lite0", "image backbone: registered name, hub id or folder", "NAME")
    resizing: str = _flag(
        "auto", f"how images are resized: {', '.join(RESIZINGS)}; auto compares them on the good images", "WAY"
    )
    side: int = _flag(256, "images get as many pixels as a square of this side", "N")
    augment: str = _flag(
        "auto", f"views of 16 good images or fewer: {', '.join(AUGMENTS)}; auto takes what does not look odd", "RECIPE"
    )
    bank: int = _flag(32_000, "patches of good images that are remembered at most", "N")
    simulated: int = _flag(120, "simulated defects of each kind that the decoder learns from; 0: no decoder", "N")
    held_out: float = _flag(0.2, "share of good images (20 or more) set aside for the limits", "SHARE")
    false_alarm_rate: float = _flag(0.05, "share of good images that may be called defective", "RATE")
    seed: int = _flag(0, "seed of everything random", "N")
    talk: bool = _flag(False, "teach the language model to speak of images, for `chat`")
    model: str = _flag("smollm2-135m-instruct", "language model: registered name, hub id, folder or .gguf file", "NAME")
    lm_minutes: float = _flag(3.0, "training budget of the language model in minutes", "M")
    lm_steps: int | None = _flag(None, "training steps instead of minutes: exactly repeatable", "N")
    lm_device: str = _flag("auto", f"where the language model runs: {', '.join(DEVICES)}", "WHERE")

    def __post_init__(self) -> None:
        errors = []
        if not 64 <= self.side <= 1024:
            errors.append(f"side is {self.side}, expected 64 to 1024")
        if self.resizing not in RESIZINGS:
            errors.append(f"resizing is `{self.resizing}`, expected one of {', '.join(RESIZINGS)}")
        if self.augment not in AUGMENTS:
            errors.append(f"augment is `{self.augment}`, expected one of {', '.join(AUGMENTS)}")
        if self.bank < 100:
            errors.append(f"bank is {self.bank}, expected 100 or more")
        if not 0 < self.lm_minutes < math.inf:
            errors.append(f"lm_minutes is {self.lm_minutes:g}, expected more than 0")
        if self.lm_steps is not None and self.lm_steps < 1:
            errors.append(f"lm_steps is {self.lm_steps}, expected 1 or more")
        if self.lm_device not in DEVICES:
            errors.append(f"lm_device is `{self.lm_device}`, expected one of {', '.join(DEVICES)}")
        if self.talk and not self.simulated:
            errors.append("talk (--talk) is learnt on simulated defects, and simulated (--simulated) is 0")
        if self.simulated < 0:
            errors.append(f"simulated is {self.simulated}, expected 0 or more")
        if not 0.05 <= self.held_out <= 0.8:
            errors.append(f"held_out is {self.held_out:g}, expected 0.05 to 0.8")
        if not 0.0001 <= self.false_alarm_rate <= 0.5:
            errors.append(f"false_alarm_rate is {self.false_alarm_rate:g}, expected 0.0001 to 0.5")
        if self.seed < 0:
            errors.append(f"seed is {self.seed}, expected 0 or more")
        if errors:
            raise UserError("Settings: " + "; ".join(errors) + ".")


Kind = TypeVar("Kind", FitSettings, ImageSettings)


def from_mapping(raw: Mapping[str, Any], source: str = "settings") -> FitSettings:
    """Build the settings of a fit on tables from plain values; wrong types and unknown keys are told together.

    >>> from_mapping({"window": 20, "seeds": 1})
    Traceback (most recent call last):
    ...
    faultwise.errors.UserError: settings: unknown key `seeds` (did you mean `seed`?).
    """
    return built(FitSettings, raw, source)


def built(kind: type[Kind], raw: Mapping[str, Any], source: str = "settings") -> Kind:
    """Build settings of either kind from plain values; wrong types and unknown keys are told together."""
    fields = {f.name: f for f in dataclasses.fields(kind)}
    values: dict[str, Any] = {}
    errors: list[str] = []
    for key, value in raw.items():
        if key not in fields:
            near = closest(str(key), fields)
            errors.append(f"unknown key `{key}`" + (f" (did you mean `{near}`?)" if near else ""))
        elif not _fits(value, str(fields[key].type)):
            errors.append(f"`{key}` is {value!r}, expected {fields[key].type}")
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    if errors:
        raise UserError(f"{source}: " + "; ".join(errors) + ".")
    return kind(**values)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a YAML file of settings. Raises UserError when it is no mapping."""
    import yaml

    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"`{path}` is no readable YAML file ({str(error).splitlines()[0]}).") from None
    if not isinstance(raw, dict):
        raise UserError(f"`{path}` holds no settings: expected lines such as `window: 20`.")
    return raw


def _fits(value: Any, kind: str) -> bool:
    if value is None:
        return "None" in kind
    if isinstance(value, bool) or kind.startswith("bool"):
        return isinstance(value, bool) and kind.startswith("bool")
    if kind.startswith("int"):
        return isinstance(value, int)
    if kind.startswith("float"):
        return isinstance(value, int | float)
    if kind.startswith("tuple"):
        return isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return isinstance(value, str)
