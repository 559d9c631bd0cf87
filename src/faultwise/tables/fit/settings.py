"""Settings of a fit on tables and options of a diagnosis: defaults, flags, YAML, manifest."""

from __future__ import annotations

from dataclasses import dataclass

from faultwise.contracts.language import LanguageSettings
from faultwise.contracts.settings import nested, option, refuse_problems
from faultwise.tables.reading.time.spans import is_span

__all__ = ["DEFAULT_EXPERTS", "TableQuery", "TableSettings"]

DEFAULT_EXPERTS = ("extra-trees", "hist-gradient-boosting", "logistic-regression")


@dataclass(frozen=True, slots=True)
class TableSettings:
    """All settings of a fit on tables beside the data and the roles of columns.

    Raises UserError that names all values out of range.
    """

    window: int | str = option(
        "auto",
        "samples per window (1: single rows), a duration such as 10min, or auto: chosen on validation runs "
        "where there is a time column, else 1",
        "W",
        low=1,
        flags=("fit",),
    )
    normal: str | None = option(
        None, "the label that means normal (default: found by its name)", "LABEL", flags=("fit",)
    )
    normal_only: bool = option(
        False, "learn from normal rows alone: limits, T2 and SPE instead of fault names", flags=("fit",)
    )
    split: str = option(
        "auto", "how validation rows are held out", "KIND", choices=("auto", "group", "block", "row"), flags=("fit",)
    )
    folds: int = option(3, "folds in which every run is held out once for validation", "N", low=2)
    false_alarm_rate: float = option(
        0.02,
        "share of normal rows that may be flagged as a fault",
        "RATE",
        above=0,
        below=1,
        flags=("fit", "calibrate"),
    )
    false_alarm_per: str = option(
        "row",
        "what the rate counts: rows, or (with normal_only) runs with any alarm",
        "UNIT",
        choices=("row", "run"),
    )
    calibration: float | None = option(
        None,
        "share of runs held out for calibration; 0: none (default: 0.25 with 8 runs a class, else all in turn)",
        "SHARE",
        low=0,
        high=0.8,
    )
    coverage: float = option(
        0.9,
        "share of rows whose true label the fault set is to hold",
        "SHARE",
        above=0,
        below=1,
        flags=("calibrate",),
        quiet=("fit",),
    )
    coverage_per: str = option(
        "all",
        "what the coverage holds for: all classes together, or each class",
        "UNIT",
        choices=("all", "class"),
        flags=("calibrate",),
    )
    novel_rate: float = option(
        0.05,
        "share of rows of known classes that may be classified as unknown",
        "RATE",
        above=0,
        below=1,
        flags=("calibrate",),
    )
    keep: tuple[str, ...] = option(
        (), "columns to keep although they seem to give the label away", "A,B", quiet=("fit",)
    )
    experts: tuple[str, ...] = option(
        DEFAULT_EXPERTS,
        "experts by name, or the path of a classifier such as xgboost.XGBClassifier",
        "A,B",
        flags=("fit",),
    )
    lm: bool | None = option(
        None, "let the language model take part: minutes more (default: if it is among the experts)", flags=("fit",)
    )
    seed: int = option(0, "seed of everything random", "N", low=0, flags=("fit",))
    most_rows: int = option(60_000, "rows drawn for training at most, evenly over classes and runs", "N", low=1)
    language: LanguageSettings = nested(LanguageSettings)

    def __post_init__(self) -> None:
        if self.lm is not None:
            others = tuple(name for name in self.experts if name != "language-model")
            object.__setattr__(self, "experts", (*others, "language-model") if self.lm else others)
        per_run = self.false_alarm_per == "run" and not self.normal_only
        calibrated = bool(self.calibration) and self.normal_only
        refuse_problems(
            self,
            "false_alarm_per is `run`, which needs normal_only (--normal-only)" if per_run else "",
            "calibration holds labelled runs out, and normal_only knows no labels" if calibrated else "",
            "" if self.experts else "no expert is named",
            "language.input is `text`, which is for written texts" if self.language.input == "text" else "",
            "" if _is_window(self.window) else f"window is `{self.window}`, expected a number, 10min or auto",
        )


def _is_window(window: int | str) -> bool:
    return isinstance(window, int) or window == "auto" or is_span(window)


@dataclass(frozen=True, slots=True)
class TableQuery:
    """Options of a diagnosis of tables."""

    row: int | None = option(None, "explain this row (counted from 1)", "N", flags=("diagnose",))
    cases: int = option(3, "runs to explain in detail", "N", low=1, flags=("diagnose",))
    expert: str | None = option(None, "use this expert alone, calibrated (fast)", "NAME", flags=("diagnose",))
    score_rows: int | None = option(
        None, "rows the language model scores at most (0: none)", "N", low=0, flags=("diagnose", "evaluate")
    )

    def __post_init__(self) -> None:
        refuse_problems(self)
