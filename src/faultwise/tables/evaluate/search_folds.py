"""The folds of a search, made from a labelled table as a comparison splits it, and the language model of a trial.

Columns are learnt from each fold's training rows only. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.contracts.experts import Expert, ExpertContext
from faultwise.contracts.language import LanguageSettings
from faultwise.evaluate.record import Entry
from faultwise.evaluate.search import Params, Part
from faultwise.tables.evaluate.comparison import FOLDS, Plan, plan, split_sides
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.fit.preparing import every_class
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.folds import folds
from faultwise.verdicts.registry import LANGUAGE_MODEL, make

__all__ = ["Folded", "LanguageBuild", "folded"]


@dataclass(frozen=True)
class Folded:
    """The folds, the configuration that all trials of a search share, and notes on the rows."""

    parts: list[Part]
    config: Entry
    notes: list[str]


def folded(table: Table, settings: TableSettings) -> Folded:
    """Return `settings.folds` folds of a labelled table, whole runs held out where there are runs.

    At most `settings.most_rows` rows are training rows of a fold and `settings.language.score_rows` are
    held out, drawn evenly over classes and runs. Raises DataError or UserError as a comparison does.
    """
    made = plan(table, settings, repeats=1)
    gap = encoder_of(settings.window, table).window - 1 if made.kind == "block" else 0
    split = (made.y, made.table.groups, made.kind)
    pairs, fold_notes = folds(*split, settings.folds, settings.seed, gap)
    # The notes of the comparison on its own two halves do not hold for these folds.
    halves = folds(*split, FOLDS, settings.seed, gap)[1]
    notes = [note for note in made.notes if note not in halves]
    parts = [_part(made, train, held, settings) for train, held in pairs]
    config = {**made.config, "folds": len(parts), "seed": settings.seed, "score_rows": settings.language.score_rows}
    return Folded(parts, config | {"data_hash": made.table.hash()}, [*notes, *fold_notes])


def _part(made: Plan, train: np.ndarray, held: np.ndarray, settings: TableSettings) -> Part:
    y, table = made.y, made.table
    runs = table.groups if table.groups is not None else np.arange(len(y)).astype(str)
    encoder = encoder_of(settings.window, table).fit(table.X.iloc[train])
    train, held, pieces = split_sides(table, y, encoder, train, held)
    every_class(y, train, encoder.words())
    train = train[draw_evenly(y[train], runs[train], settings.most_rows, settings.seed)]
    held = held[draw_evenly(y[held], runs[held], settings.language.score_rows, settings.seed)]
    if not len(held):
        raise UserError(
            f"A fold holds out no full window of {encoder.words()}: use a smaller --window or fewer --folds."
        )
    encoded = encoder.transform(table.X, pieces, np.union1d(train, held), at=encoder.seconds(table))
    a, b = (encoded.frame[np.isin(encoded.rows, rows)].reset_index(drop=True) for rows in (train, held))
    return Part(a, y[train], runs[train], b, y[held])


@dataclass(frozen=True)
class LanguageBuild:
    """Builds the language model of a trial: these settings with the trial's parameters in their place."""

    settings: LanguageSettings
    seed: int = 0

    def __post_init__(self) -> None:
        make(LANGUAGE_MODEL, ExpertContext(language=self.settings))

    def __call__(self, params: Params) -> Expert:
        """Return an unfitted expert."""
        return make(LANGUAGE_MODEL, ExpertContext(self.seed, False, replace(self.settings, **params)))

    def check(self, names: Iterable[str]) -> None:
        """Raise UserError for a parameter that the language model does not have."""
        unknown = sorted(set(names) - {one.name for one in fields(LanguageSettings)})
        if unknown:
            raise UserError(f"The language model has no setting {', '.join(f'`{name}`' for name in unknown)}.")
