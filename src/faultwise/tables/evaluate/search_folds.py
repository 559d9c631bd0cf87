"""The folds of a search, made from a labelled table as a comparison splits it, and the language model of a trial.

Columns are learnt from each fold's training rows only. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.contracts.records import Expert
from faultwise.evaluate.search import Part
from faultwise.language.settings import LanguageSettings
from faultwise.tables.evaluate.comparison import FOLDS, Plan, plan
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import FitSettings
from faultwise.tables.fit.training import every_class
from faultwise.tables.reading.table import Table
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.folds import folds
from faultwise.verdicts.registry import LANGUAGE_MODEL, ExpertContext, make
from faultwise.verdicts.stretches import stretches

__all__ = ["Folded", "LanguageBuild", "folded"]


@dataclass(frozen=True)
class Folded:
    """The folds, what must be the same for trials to stand beside each other, and what is to be said of the rows."""

    parts: list[Part]
    config: dict[str, Any]
    notes: list[str]


def folded(table: Table, settings: FitSettings) -> Folded:
    """Return `settings.folds` folds of a labelled table, whole runs held out where there are runs.

    At most `settings.most_rows` rows are learnt from and `settings.lm_score_rows` judged in each, drawn evenly over
    classes and runs. Raises DataError or UserError as a comparison does.
    """
    made = plan(table, settings, repeats=1)
    gap = settings.window - 1 if made.kind == "block" else 0
    split = (made.y, made.table.groups, made.kind)
    pairs, said = folds(*split, settings.folds, settings.seed, gap)
    # What the comparison says of its own two halves is not true of these.
    halves = folds(*split, FOLDS, settings.seed, gap)[1]
    notes = [note for note in made.notes if note not in halves]
    parts = [_part(made, train, held, settings) for train, held in pairs]
    config = {**made.config, "folds": len(parts), "seed": settings.seed, "score_rows": settings.lm_score_rows}
    return Folded(parts, config | {"data_hash": made.table.hash()}, [*notes, *said])


def _part(made: Plan, train: np.ndarray, held: np.ndarray, settings: FitSettings) -> Part:
    y, table, window = made.y, made.table, settings.window
    runs = table.groups if table.groups is not None else np.arange(len(y)).astype(str)
    side = np.zeros(len(y), int)
    side[train], side[held] = 1, 2
    # No window reaches from a block's training part into its held-out part, or over an onset.
    pieces = stretches(table.runs, pd.MultiIndex.from_arrays([y, side]).factorize()[0])
    encoder = WindowEncoder(window).fit(table.X.iloc[train])
    full = encoder.full(pieces)
    train, held = full[side[full] == 1], full[side[full] == 2]
    every_class(y, train, window)
    train = train[draw_evenly(y[train], runs[train], settings.most_rows, settings.seed)]
    held = held[draw_evenly(y[held], runs[held], settings.lm_score_rows, settings.seed)]
    if not len(held):
        raise UserError(
            f"A fold holds out no full window of {window} samples: use a smaller --window or fewer --folds."
        )
    encoded = encoder.transform(table.X, pieces, np.union1d(train, held))
    a, b = (encoded.frame[np.isin(encoded.rows, rows)].reset_index(drop=True) for rows in (train, held))
    return Part(a, y[train], runs[train], b, y[held])


@dataclass(frozen=True)
class LanguageBuild:
    """Builds the language model of a trial: these settings with the trial's parameters in their place."""

    settings: LanguageSettings
    seed: int = 0

    def __post_init__(self) -> None:
        make(LANGUAGE_MODEL, ExpertContext(language=self.settings))

    def __call__(self, params: Mapping[str, Any]) -> Expert:
        """Return an unfitted expert."""
        return make(LANGUAGE_MODEL, ExpertContext(self.seed, False, replace(self.settings, **params)))

    def check(self, names: Mapping[str, Any]) -> None:
        """Raise UserError for a parameter that the language model does not have."""
        unknown = sorted(set(names) - {one.name for one in fields(LanguageSettings)})
        if unknown:
            raise UserError(f"The language model has no setting {', '.join(f'`{name}`' for name in unknown)}.")
