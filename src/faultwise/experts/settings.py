"""The language-model expert's settings: one dataclass for defaults, flags and the manifest."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LanguageSettings"]


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """How the language model takes part.

    `minutes` bounds its training (from the measured speed; `steps` fixes it instead and makes it exactly
    repeatable), `rows` how many rows it trains on at most, `score_rows` how many rows it scores per command. `text`
    is "short" (then `digits` and `features` count) or "thesis" (then `names` and `normalise`); an empty `system` is the
    text's own system message.
    """

    model: str = "smollm2-135m-instruct"
    minutes: float = 3.0
    steps: int | None = None
    rows: int = 4000
    score_rows: int = 128
    digits: int = 1
    features: int = 8
    text: str = "short"
    names: bool = True
    normalise: bool = True
    system: str = ""
