"""Settings of a fit on texts, how a source of texts is read, and options of a diagnosis."""

from __future__ import annotations

from dataclasses import dataclass

from faultwise.contracts.language import LanguageSettings
from faultwise.contracts.settings import nested, option, refuse_problems

__all__ = ["DEFAULT_EXPERTS", "TextQuery", "TextReading", "TextSettings"]

DEFAULT_EXPERTS = ("words", "sentence-embeddings", "sentence-model")
_ALL = ("fit", "evaluate", "diagnose")


@dataclass(frozen=True, slots=True)
class TextSettings:
    """All settings of a fit on texts. Raises UserError that names all values out of range."""

    experts: tuple[str, ...] = option(DEFAULT_EXPERTS, "experts by name", "A,B", flags=("fit",))
    lm: bool | None = option(
        None, "let the language model take part: minutes more (default: if it is among the experts)", flags=("fit",)
    )
    cleaning: bool = option(True, "unify letters, mark tags, dates and numbers, and correct misspellings")
    folds: int = option(3, "folds in which every text is held out once for validation", "N", low=2)
    normal: str | None = option(None, "the label that means no failure, if there is one", "LABEL", flags=("fit",))
    false_alarm_rate: float = option(
        0.02, "share of normal texts that may be flagged as a failure", "RATE", above=0, below=1, flags=("fit",)
    )
    coverage: float = option(
        0.9, "share of texts whose true label the set of labels is to hold", "SHARE", above=0, below=1, quiet=("fit",)
    )
    novel_rate: float = option(
        0.05, "share of texts of known labels that may be classified as unknown", "RATE", above=0, below=1
    )
    seed: int = option(0, "seed of everything random", "N", low=0, flags=("fit",))
    sentence_model: str = option(
        "all-minilm-l6-v2", "sentence model: registered name, hub id or folder", "NAME", quiet=("fit",)
    )
    language: LanguageSettings = nested(LanguageSettings)

    def __post_init__(self) -> None:
        if self.lm is not None:
            others = tuple(name for name in self.experts if name != "language-model")
            object.__setattr__(self, "experts", (*others, "language-model") if self.lm else others)
        refuse_problems(self, "" if self.experts else "no expert is named")


@dataclass(frozen=True, slots=True)
class TextReading:
    """Which columns of a table of texts play which role, and what is known of its labels."""

    target: str | None = option(None, "column with the label (failure mode)", "COL", flags=("fit", "evaluate"))
    text: str | None = option(None, "column with the text (default: found)", "COL", quiet=_ALL)
    group: str | None = option(
        None, "column with the asset: texts of one asset are learnt from or judged together", "COL", flags=("fit",)
    )
    codes: str | None = option(
        None, "table of labels (code, description, perhaps parent) that may be given", "FILE", quiet=("fit",)
    )
    synonyms: str | None = option(
        None, "list of words and what stands for them (default: learnt from the texts)", "FILE", quiet=("fit",)
    )
    accepted: str | None = option(
        None, "table of settled labels (row, label) that replace those of the source", "FILE", quiet=("fit",)
    )
    sheet: str | None = option(None, "sheet of a workbook", "NAME", quiet=_ALL)

    def __post_init__(self) -> None:
        refuse_problems(self)


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Options of a diagnosis of texts."""

    row: int | None = option(None, "explain this text (counted from 1)", "N", flags=("diagnose",))
    cases: int = option(3, "texts to explain in detail", "N", low=1, flags=("diagnose",))
    score_rows: int | None = option(
        None, "texts the language model scores at most (0: none)", "N", low=0, flags=("diagnose", "evaluate")
    )

    def __post_init__(self) -> None:
        refuse_problems(self)
