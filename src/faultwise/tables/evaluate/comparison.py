"""Experts on identical splits: several repeats of two halves, of whole runs where there are runs, each held out once.

Five repeats (5 x 2 folds, Dietterich 1998) by default. Windows are those of a fit and never cross an onset; columns are
learnt from each split's training rows only, once for all experts. The predictions on held-out rows are kept in a few
bytes a row. `ranking` orders the experts; nothing is printed or written here.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise import hub
from faultwise.contracts.errors import UserError
from faultwise.contracts.experts import ExpertContext
from faultwise.evaluate.memory import peak_memory
from faultwise.evaluate.packing import packed, unpacked
from faultwise.evaluate.record import Entries, Entry, unfinished
from faultwise.evaluate.risk import aurc, risk_curve
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.checks.leaks.target_leakage import without_leaking_columns
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.preparing import every_class, normal_label, split_kind
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import Labelled, aligned
from faultwise.verdicts.folds import folds
from faultwise.verdicts.metrics import metrics
from faultwise.verdicts.registry import LANGUAGE_MODEL, make

__all__ = ["FOLDS", "Plan", "Split", "check_results", "compared", "plan", "predictions", "split_sides", "uncertainties"]

FOLDS = 2
_LABEL, _UNCERTAINTY, _ROW = np.dtype("<u2"), np.dtype("<f2"), np.dtype("<u4")


@dataclass(frozen=True)
class Split:
    """Positions of training and held-out rows with a full window, and the stretch of every row (rows,)."""

    seed: int
    fold: int
    train: np.ndarray
    test: np.ndarray
    pieces: np.ndarray

    @property
    def drawn(self) -> str:
        """A hash of which rows are where: a result of other rows is not this split's."""
        whole = b"|".join(part.astype("<i8").tobytes() for part in (self.train, self.test))
        return hashlib.sha256(whole).hexdigest()[:16]


@dataclass(frozen=True)
class Plan:
    """Data and splits of a comparison: the table, its labels (`y` (rows,), sorted `classes`), splits, and notes."""

    table: Table
    y: np.ndarray
    classes: np.ndarray
    normal: str | None
    kind: str
    settings: TableSettings
    splits: dict[tuple[int, int], Split]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Held-out rows per training row, the mean over splits."""
        return float(np.mean([len(split.test) / len(split.train) for split in self.splits.values()]))

    @property
    def config(self) -> Entry:
        """What must be the same for all results of one record; seeds and experts may be added later."""
        settings = self.settings
        return {
            "folds": FOLDS,
            "split": self.kind,
            "window": settings.window,
            "most_rows": settings.most_rows,
            "normal": self.normal,
            "labels": self.classes.tolist(),
            "columns": self.table.features,
        }

    def plain_splits(self) -> list[Entry]:
        """Return, for a record, which rows of the source each split holds out (`rows`, from 1, 32-bit) and the position
        of their labels among the `labels` of the configuration (`truth`, 16-bit), both as `packing.packed` writes them.
        """
        return [
            {
                "seed": split.seed,
                "fold": split.fold,
                "drawn": split.drawn,
                "rows": packed(self.table.row_numbers[split.test].astype(_ROW)),
                "truth": packed(np.searchsorted(self.classes, self.y[split.test]).astype(_LABEL)),
            }
            for split in self.splits.values()
        ]

    def split(self, result: Entry) -> Split:
        """Return the split that a result belongs to."""
        return self.splits[result["seed"], result["fold"]]


def plan(table: Table, settings: TableSettings, repeats: int = 5) -> Plan:
    """Split a labelled table `repeats` times in two; the seeds are those from `settings.seed` on.

    Columns that give the label away are left out as in a fit. Raises DataError or UserError as a fit does: one class
    only, no two classes in several runs, rows in no order without a `split`, no full window of a class, and so on.
    """
    known = normal_label(set(table.y), TableSettings(), None)[0]
    table = without_leaking_columns(table, settings.keep, settings.normal or table.about.normal or known)
    notes = [*training_problems(table), *check(table).lines()]
    y = table.y.astype(str)
    normal, note = normal_label(set(y), settings, table.about.normal)
    notes += [note] if note else []
    kind = split_kind(settings, table)
    if kind == "row" and settings.window not in (1, "auto"):
        raise UserError("Windows over rows that were split one by one would overlap: pass --group COL or --window 1.")
    encoder = encoder_of(settings.window, table).fit(table.X)
    notes += encoder.learnt.left_out_notes()
    gap = encoder.window - 1 if kind == "block" else 0
    splits: dict[tuple[int, int], Split] = {}
    fold_notes: list[str] = []
    # The last part of a stretch is the same whatever the seed.
    for seed in range(settings.seed, settings.seed + (1 if kind == "block" else repeats)):
        pairs, fold_notes = folds(y, table.groups, kind, FOLDS, seed, gap)
        for fold, pair in enumerate(pairs):
            train, test, pieces = split_sides(table, y, encoder, *pair)
            every_class(y, train if len(test) else test, encoder.words())
            splits[seed, fold] = Split(seed, fold, train, test, pieces)
    return Plan(table, y, np.array(sorted(set(y))), normal, kind, settings, splits, (*notes, *fold_notes))


def split_sides(
    table: Table, y: np.ndarray, encoder: WindowEncoder, train: np.ndarray, held: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the positions of training and of held-out rows with a full window, and the stretch of every row (rows,).

    No window reaches from a block's training part into its held-out part, or over an onset.
    """
    side = np.zeros(len(y), int)
    side[train], side[held] = 1, 2
    pieces, at = encoder.laid_out(table, pd.MultiIndex.from_arrays([y, side]).factorize()[0])
    full = encoder.full(pieces, at)
    return full[side[full] == 1], full[side[full] == 2], pieces


def compared(
    given: Plan,
    experts: Sequence[str],
    finished: Collection[tuple[tuple[int, int], str]] = (),
    progress: bool = False,
    starting: Callable[[tuple[int, int], str], object] | None = None,
) -> Iterator[Entry]:
    """Fit each expert on each split and evaluate it on the held-out rows; yield one result each.

    A result has `seed`, `fold`, `expert`, `figures` (those of `metrics`, and `aurc`), `fit_s`, `rows_per_s` (of
    predicting), `peak_rss_mb`, `log`, and `held_out` for `predictions` and `uncertainties`. Fits in `finished` are left
    out; `starting` is called with the split and the expert before each fit. Raises UserError for an unknown expert and
    HubError for a missing model before anything is fitted, and UserError for probabilities that are not numbers.
    """
    language = given.settings.language
    for name in experts:
        make(name, ExpertContext(language=language))
    if LANGUAGE_MODEL in experts:
        hub.resolve(language.model)
    table = given.table
    groups = table.groups if table.groups is not None else np.arange(len(given.y)).astype(str)
    for at, todo in unfinished(list(given.splits), experts, finished):
        split, context = given.splits[at], ExpertContext(at[0], progress, language)
        train = split.train[draw_evenly(given.y[split.train], groups[split.train], given.settings.most_rows, at[0])]
        encoder = encoder_of(given.settings.window, table).fit(table.X.iloc[split.train])
        made = encoder.transform(table.X, split.pieces, np.union1d(train, split.test), at=encoder.seconds(table))
        a, b = (made.frame[np.isin(made.rows, rows)].reset_index(drop=True) for rows in (train, split.test))
        data = Labelled(a, given.y[train], groups[train])
        for name in todo:
            if starting is not None:
                starting(at, name)
            yield _fitted_and_evaluated(given, split, name, context, data, b)


def _fitted_and_evaluated(
    given: Plan, split: Split, name: str, context: ExpertContext, data: Labelled, X: pd.DataFrame
) -> Entry:
    """Return the result of one expert on one split, whose held-out rows have the features X (rows, features)."""
    expert = make(name, context)
    with peak_memory() as peak:
        started = time.perf_counter()
        expert = expert.fit(data.X, data.y, data.groups)
        fitted = time.perf_counter()
        p = expert.predict_proba(X)
        ended = time.perf_counter()
    p = aligned(p, expert.classes_, given.classes)
    if not np.isfinite(p).all():
        raise UserError(f"The expert `{name}` gave probabilities that are not numbers: leave it out.")
    return {
        "seed": split.seed,
        "fold": split.fold,
        "expert": name,
        "drawn": split.drawn,
        "train_rows": len(data.y),
        "test_rows": len(split.test),
        **_evaluated(given, given.y[split.test], p),
        "fit_s": round(fitted - started, 3),
        "rows_per_s": round(len(X) / max(ended - fitted, 1e-9), 1),
        "peak_rss_mb": peak.mb,
        "log": getattr(expert, "log", {}),
    }


def _evaluated(given: Plan, truth: np.ndarray, p: np.ndarray) -> Entry:
    """Return figures, and the predictions that are kept of probabilities p (rows, classes): label and uncertainty.

    The uncertainty, 1 - p, in half precision is finest where experts are most certain; the area is that of the kept
    uncertainties.
    """
    predicted = p.argmax(axis=1).astype(_LABEL)
    uncertainty = np.clip(1 - p.max(axis=1), 0, 1).astype(_UNCERTAINTY)
    labels = given.classes[predicted]
    figures = metrics(truth, labels, p, given.classes, given.normal)
    figures["aurc"] = aurc(risk_curve(uncertainty, labels != truth))
    return {"figures": figures, "held_out": {"label": packed(predicted), "uncertainty": packed(uncertainty)}}


def predictions(given: Plan, result: Entry) -> np.ndarray:
    """Return the labels that a result's expert gave the held-out rows, in the order of the split, shape (rows,)."""
    codes = unpacked(result["held_out"]["label"], _LABEL, len(given.split(result).test))
    if len(codes) and codes.max() >= len(given.classes):
        raise ValueError("a label beyond the classes")
    return np.asarray(given.classes[codes])


def uncertainties(given: Plan, result: Entry) -> np.ndarray:
    """Return 1 minus the probability of each of these labels, in half precision, shape (rows,)."""
    return unpacked(result["held_out"]["uncertainty"], _UNCERTAINTY, len(given.split(result).test))


def check_results(given: Plan, results: Entries, place: object) -> None:
    """Refuse results of these splits that are of other rows, or that cannot be read. Raises UserError."""
    for one in results:
        if (one["seed"], one["fold"]) not in given.splits:
            continue
        if one["drawn"] != given.split(one).drawn:
            raise UserError(
                f"`{place}` holds results of other splits of the same rows (made with another version of a library?): "
                "choose another --out, or delete the file to begin anew."
            )
        try:
            predictions(given, one), uncertainties(given, one)
        except ValueError:
            raise UserError(
                f"`{place}` holds predictions of `{one['expert']}` that cannot be read: choose another --out; it was "
                "not changed."
            ) from None
