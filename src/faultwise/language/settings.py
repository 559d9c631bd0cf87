"""The language-model expert's settings: one dataclass for defaults, flags and the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from faultwise.contracts.errors import UserError

__all__ = ["DEVICES", "FORMS", "JUDGES", "TEXTS", "LanguageSettings"]

TEXTS = ("tokens", "short", "statistics", "thesis")
FORMS = ("context", "prompt", "lora", "qlora", "adapter", "partial", "full")
JUDGES = ("score", "generate")
DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """How the language model takes part.

    `minutes` bounds its training (from the measured speed; `steps` fixes it instead and makes it exactly
    repeatable), `rows` how many rows it trains on at most, `score_rows` how many rows it scores per command.

    `text` is the way in: "tokens" (an encoder writes `tokens` embeddings into the prompt), "short" (then `digits` and
    `features` count), "statistics" (all measures of the most telling variables) or "thesis" (then `names` and
    `normalise` count); an empty `system` is the way's own system message. `form` is how it is tuned (see `llm.forms`);
    `learning_rate` is LoRA's, other forms take a multiple of it, None is the way's own. `judge` is "score" (labels are
    scored) or "generate" (the thesis's way: up to five tokens are generated and must read exactly as an answer, and the
    loss is that of free text; for texts only). With the form "context", `examples` training rows of each class stand in
    the prompt. Of a share `lost` of the rows trained on, up to half of the variables are hidden in the text. `device`
    is where the model is tuned; a loaded run takes what there is.

    Raises UserError for a judge that the way in does not have.
    """

    model: str = "smollm2-135m-instruct"
    minutes: float = 3.0
    steps: int | None = None
    rows: int = 30_000
    score_rows: int = 512
    digits: int = 1
    features: int = 8
    text: str = "tokens"
    names: bool = True
    normalise: bool = True
    system: str = ""
    form: str = "lora"
    judge: str = "score"
    tokens: int = 2
    learning_rate: float | None = None
    lora_r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    examples: int = 2
    lost: float = 0.0
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.judge == "generate" and self.text == "tokens":
            raise UserError(
                "The judge is generate, which writes answers to texts, and rows come in as tokens: choose "
                "--lm-text short, statistics or thesis, or --lm-judge score."
            )
