"""The settings of the language model, which every modality that uses one shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

from faultwise.contracts.settings import option, refuse_problems

__all__ = ["DEVICES", "INPUTS", "METHODS", "SCORINGS", "LanguageSettings"]

INPUTS = ("tokens", "short", "statistics", "thesis", "text")
METHODS = ("context", "prompt", "lora", "qlora", "adapter", "partial", "full")
SCORINGS = ("labels", "generate")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """How the language model takes part.

    `input` is how rows reach it: "tokens" (an encoder writes `tokens` embeddings into the prompt), "short" (then
    `digits` and `features` count), "statistics" (all measures of the most decisive variables), "thesis" (a published
    study's sentence; then `column_names` and `normalise` count) or, for written texts alone, "text". An empty `system`
    is the input's own system message. `method` is how it is fine-tuned (see `language.adapters`). `scoring` is "labels"
    (their probabilities are computed) or "generate" (a published study's way: up to five tokens are generated and must
    read exactly as an answer; for texts only). With the method "context", `examples` training rows of each class stand
    in the prompt.

    Raises UserError for values out of range, or for a scoring that the input does not have.
    """

    model: str = option("smollm2-135m-instruct", "registered name, hub id, folder or .gguf file", "NAME", was="model")
    minutes: float = option(3.0, "training budget in minutes", "M", above=0, below=math.inf, was="lm_minutes")
    steps: int | None = option(
        None, "training steps instead of minutes: exactly repeatable", "N", low=1, was="lm_steps"
    )
    rows: int = option(30_000, "rows that it is trained on at most", "N", low=1)
    score_rows: int = option(512, "rows that it scores per command at most", "N", low=0, was="lm_score_rows")
    digits: int = option(1, "digits per variable in the text", "N", choices=(1, 2), was="lm_digits")
    features: int = option(8, "features in the text", "N", low=1, was="lm_features")
    input: str = option("tokens", "how rows reach it", "INPUT", choices=INPUTS, was="lm_text")
    column_names: bool = option(True, "name the columns in the thesis text", was="lm_names")
    normalise: bool = option(True, "scale values to 0 .. 1 in the thesis text", was="lm_normalise")
    system: str = option("", "system message; empty: the input's own", "TEXT")
    method: str = option("lora", "fine-tuning method", "METHOD", choices=METHODS, was="lm_form")
    scoring: str = option(
        "labels", "score the labels, or generate five tokens as the thesis did", "HOW", choices=SCORINGS, was="lm_judge"
    )
    tokens: int = option(2, "embeddings per row, where rows come as tokens", "K", low=1, was="lm_tokens")
    learning_rate: float | None = option(
        None,
        "learning rate of LoRA; other methods take a multiple of it",
        "RATE",
        above=0,
        below=math.inf,
        was="lm_learning_rate",
    )
    rank: int = option(16, "rank of LoRA", "R", low=1, was="lm_lora_r")
    alpha: int = option(32, "scale of LoRA, divided by its rank", "A", low=1, was="lm_lora_alpha")
    dropout: float = option(0.0, "dropout of LoRA", "SHARE", low=0, below=1, was="lm_lora_dropout")
    examples: int = option(
        2, "training rows of each class in the prompt, with the method context", "N", low=1, was="lm_examples"
    )
    missing_rate: float = option(
        0.0,
        "share of training rows in whose text up to half of the variables are hidden",
        "SHARE",
        low=0,
        high=1,
        was="lm_lost",
    )
    device: str = option("auto", "where it runs", "DEVICE", choices=DEVICES, was="lm_device")

    def __post_init__(self) -> None:
        texts = self.scoring == "generate" and self.input == "tokens"
        refuse_problems(
            self,
            "language.scoring is `generate`, which writes answers to texts, and language.input is `tokens`: choose "
            "--set language.input=short, statistics or thesis, or language.scoring=labels"
            if texts
            else "",
        )
