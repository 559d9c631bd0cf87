"""Experts on identical splits: whole runs where there are runs, several repeats of two halves, each judged once unseen.

The usual 5 x 2 folds (Dietterich 1998) unless asked for otherwise. Windows are those of a fit and never cross an onset;
columns are learnt from each split's training rows only, once for all experts. What each expert says of the held-out
rows is kept in a few bytes a row. How experts stand is `standing`; nothing is printed or written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from faultwise import hub
from faultwise.contracts.errors import UserError
from faultwise.evaluate.memory import peak_memory
from faultwise.evaluate.metrics import metrics
from faultwise.evaluate.packing import packed, unpacked
from faultwise.evaluate.record import unfinished
from faultwise.evaluate.risk import aurc, risk_curve
from faultwise.tables.checks.checks import check, training_problems
from faultwise.tables.checks.target_leakage import without_answers
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.settings import FitSettings
from faultwise.tables.fit.training import every_class, language_settings, normal_label, split_kind
from faultwise.tables.reading.table import Table
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.ensemble import aligned
from faultwise.verdicts.folds import folds
from faultwise.verdicts.registry import LANGUAGE_MODEL, ExpertContext, make
from faultwise.verdicts.stretches import stretches

__all__ = ["FOLDS", "Plan", "Split", "check_results", "compared", "doubts", "plan", "predictions"]

FOLDS = 2
_LABEL, _DOUBT, _ROW = np.dtype("<u2"), np.dtype("<f2"), np.dtype("<u4")


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
    """What is compared on: the table, its labels (`y` (rows,), sorted `classes`), the splits, and what to say of it."""

    table: Table
    y: np.ndarray
    classes: np.ndarray
    normal: str | None
    kind: str
    settings: FitSettings
    splits: dict[tuple[int, int], Split]
    notes: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Held-out rows per training row, the mean over splits."""
        return float(np.mean([len(split.test) / len(split.train) for split in self.splits.values()]))

    @property
    def config(self) -> dict[str, Any]:
        """What must be the same for results to stand in one record; seeds and experts may be added later."""
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

    def told(self) -> list[dict[str, Any]]:
        """Tell, for a record, which rows of the source each split holds out (`rows`, from 1, 32-bit) and the position
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

    def split(self, result: Mapping[str, Any]) -> Split:
        """The split that a result is of."""
        return self.splits[result["seed"], result["fold"]]


def plan(table: Table, settings: FitSettings, repeats: int = 5) -> Plan:
    """Split a labelled table `repeats` times in two; the seeds are those from `settings.seed` on.

    Columns that give the label away are left out as in a fit. Raises DataError or UserError as a fit does: one class
    only, a class in one run only, no run column (and no `split`), no full window of a class, and so on.
    """
    known = normal_label(set(table.y), FitSettings(), None)[0]
    table = without_answers(table, settings.keep, settings.normal or table.about.normal or known)
    notes = [*training_problems(table), *check(table).lines()]
    y = table.y.astype(str)
    normal, note = normal_label(set(y), settings, table.about.normal)
    notes += [note] if note else []
    kind = split_kind(settings, table)
    if kind == "row" and settings.window > 1:
        raise UserError("Windows over rows that were split one by one would overlap: pass --group COL or --window 1.")
    encoder = WindowEncoder(settings.window).fit(table.X)
    notes += encoder.learnt.left_out_notes()
    gap = settings.window - 1 if kind == "block" else 0
    splits: dict[tuple[int, int], Split] = {}
    said: list[str] = []
    # The last part of a stretch is the same whatever the seed.
    for seed in range(settings.seed, settings.seed + (1 if kind == "block" else repeats)):
        made, said = folds(y, table.groups, kind, FOLDS, seed, gap)
        for fold, (train, test) in enumerate(made):
            part = np.zeros(len(y), int)
            part[train], part[test] = 1, 2
            # No window reaches from a block's training part into its held-out part, or over an onset.
            pieces = stretches(table.runs, pd.MultiIndex.from_arrays([y, part]).factorize()[0])
            full = encoder.full(pieces)
            sides = full[part[full] == 1], full[part[full] == 2]
            for rows in sides:
                every_class(y, rows, settings.window)
            splits[seed, fold] = Split(seed, fold, *sides, pieces)
    return Plan(table, y, np.array(sorted(set(y))), normal, kind, settings, splits, (*notes, *said))


def compared(
    given: Plan,
    experts: Sequence[str],
    finished: Collection[tuple[tuple[int, int], str]] = (),
    progress: bool = False,
    starting: Callable[[tuple[int, int], str], object] | None = None,
) -> Iterator[dict[str, Any]]:
    """Fit each expert on each split and judge it on the held-out rows; yield one result each.

    A result has `seed`, `fold`, `expert`, `figures` (those of `metrics`, and `aurc`), `fit_s`, `rows_per_s` (of
    predicting), `peak_rss_mb`, `log`, and `held_out` for `predictions` and `doubts`. What stands in `finished` is not
    run again; `starting` is told what is about to run. Raises UserError for an unknown expert and HubError for a
    missing model before anything is fitted, and UserError for probabilities that are not numbers.
    """
    language = language_settings(given.settings)
    for name in experts:
        make(name, ExpertContext(language=language))
    if LANGUAGE_MODEL in experts:
        hub.resolve(language.model)
    table = given.table
    groups = table.groups if table.groups is not None else np.arange(len(given.y)).astype(str)
    for at, todo in unfinished(list(given.splits), experts, finished):
        split, context = given.splits[at], ExpertContext(at[0], progress, language)
        train = split.train[draw_evenly(given.y[split.train], groups[split.train], given.settings.most_rows, at[0])]
        encoder = WindowEncoder(given.settings.window).fit(table.X.iloc[split.train])
        made = encoder.transform(table.X, split.pieces, np.union1d(train, split.test))
        a, b = (made.frame[np.isin(made.rows, rows)].reset_index(drop=True) for rows in (train, split.test))
        for name in todo:
            if starting is not None:
                starting(at, name)
            expert = make(name, context)
            with peak_memory() as peak:
                started = time.perf_counter()
                expert = expert.fit(a, given.y[train], groups[train])
                fitted = time.perf_counter()
                p = expert.predict_proba(b)
                ended = time.perf_counter()
            p = aligned(p, expert.classes_, given.classes)
            if not np.isfinite(p).all():
                raise UserError(f"The expert `{name}` gave probabilities that are not numbers: leave it out.")
            yield {
                "seed": at[0],
                "fold": at[1],
                "expert": name,
                "drawn": split.drawn,
                "train_rows": len(train),
                "test_rows": len(split.test),
                **_judged(given, given.y[split.test], p),
                "fit_s": round(fitted - started, 3),
                "rows_per_s": round(len(b) / max(ended - fitted, 1e-9), 1),
                "peak_rss_mb": peak.mb,
                "log": getattr(expert, "log", {}),
            }


def _judged(given: Plan, truth: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    """Return figures and what is kept of the probabilities p (rows, classes): the likeliest label, and the doubt of it.

    Doubt, 1 - p, in half precision is finest where experts are surest; the area is of the doubt that is kept.
    """
    called = p.argmax(axis=1).astype(_LABEL)
    doubt = np.clip(1 - p.max(axis=1), 0, 1).astype(_DOUBT)
    labels = given.classes[called]
    figures = metrics(truth, labels, p, given.classes, given.normal)
    figures["aurc"] = aurc(risk_curve(doubt, labels != truth))
    return {"figures": figures, "held_out": {"label": packed(called), "doubt": packed(doubt)}}


def predictions(given: Plan, result: Mapping[str, Any]) -> np.ndarray:
    """Return the labels that a result's expert gave the held-out rows, in the order of the split, shape (rows,)."""
    codes = unpacked(result["held_out"]["label"], _LABEL, len(given.split(result).test))
    if len(codes) and codes.max() >= len(given.classes):
        raise ValueError("a label beyond the classes")
    return np.asarray(given.classes[codes])


def doubts(given: Plan, result: Mapping[str, Any]) -> np.ndarray:
    """Return 1 minus the probability of each of these labels, in half precision, shape (rows,)."""
    return unpacked(result["held_out"]["doubt"], _DOUBT, len(given.split(result).test))


def check_results(given: Plan, results: Sequence[Mapping[str, Any]], place: object) -> None:
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
            predictions(given, one), doubts(given, one)
        except ValueError:
            raise UserError(
                f"`{place}` holds predictions of `{one['expert']}` that cannot be read: choose another --out, it was "
                "not touched."
            ) from None
