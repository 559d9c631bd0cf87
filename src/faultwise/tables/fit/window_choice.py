"""How long a window is to be: a few lengths are tried on held-out runs, and the shortest of the best is taken.

All lengths are judged on the same rows, those whose window is full at the longest. What is tried is kept, to be shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import balanced_accuracy_score

from faultwise.contracts.errors import DataError
from faultwise.contracts.progress import tracked
from faultwise.tables.fit.experts.classical import Limits
from faultwise.tables.fit.features.sizes import encoder_of
from faultwise.tables.fit.settings import TableSettings
from faultwise.tables.reading.table import Table
from faultwise.tables.reading.time.clock import Clock
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.folds import Fold, folds
from faultwise.verdicts.stretches import stretches

__all__ = ["WindowTried", "choose_window"]

_SIZES = (1, 5, 10, 20, 40)
_ROWS = 4000
_TREES, _LIMITS = 50, Limits(_ROWS, candidates=30)
_GAIN = 0.005  # of balanced accuracy: what a longer window has to win at the least
_PART = 4  # a window is at most this part of the usual stretch: rows at its beginning get no verdict


@dataclass(frozen=True, slots=True)
class WindowTried:
    """A length of windows in samples, and its balanced accuracy on held-out rows: mean and spread over the folds."""

    window: int
    balanced_accuracy: float
    standard_error: float


def choose_window(
    table: Table, settings: TableSettings, kind: str, notes: list[str], progress: bool = False
) -> tuple[TableSettings, list[dict[str, object]]]:
    """Return settings whose window is chosen where it is `auto`, and what was tried; a note tells of it.

    Without a time column, or with rows that are split one by one, windows are single rows.
    """
    if settings.window != "auto":
        return settings, []
    clock, single = Clock.of(table), replace(settings, window=1)
    if clock is None or kind == "row":
        return single, []
    sizes = _possible(table, clock)
    rows = _rows(table, sizes[-1], settings.seed)
    if len(sizes) < 2 or rows is None:
        return single, []
    try:
        gap = sizes[-1] - 1 if kind == "block" else 0
        pairs, _ = folds(table.y, table.groups, kind, settings.folds, settings.seed, gap)
    except DataError:  # the fit itself says what is wrong with the runs
        return single, []
    scores = {}
    for size in tracked(sizes, desc="window", disable=not progress):
        scores[size] = _scores(table, size, rows, pairs, settings.seed)
    tried = [
        WindowTried(size, float(s.mean()), float(s.std() / max(1, len(s) - 1) ** 0.5)) for size, s in scores.items()
    ]
    chosen = _best(scores)
    figures = ", ".join(f"{one.window}: {one.balanced_accuracy:.3f}" for one in tried)
    length = f" ({clock.span_text(chosen * clock.step)})" if chosen > 1 and not clock.mixed else ""
    words = f"Windows of {chosen} samples{length} were" if chosen > 1 else "Single rows (a window of 1) were"
    notes.append(
        f"{words} chosen on held-out {'runs' if kind == 'group' else 'blocks'}; balanced accuracy by window: {figures}."
    )
    return replace(settings, window=chosen), [asdict(one) for one in tried]


def _possible(table: Table, clock: Clock) -> list[int]:
    """Return the lengths that leave most rows of the usual stretch, and some of every label, a full window."""
    at = clock.seconds_in(table)
    marks = pd.MultiIndex.from_arrays([table.y, clock.gaps(table.runs, at)]).factorize()[0]
    pieces = stretches(table.runs, marks)
    lengths = (
        pd.DataFrame({"piece": pieces, "label": table.y})
        .groupby("piece")
        .agg(n=("label", "size"), y=("label", "first"))
    )
    usual, longest = lengths["n"].median(), lengths.groupby("y")["n"].max().min()
    return [size for size in _SIZES if size == 1 or size <= min(usual / _PART, longest / 2)]


def _rows(table: Table, size: int, seed: int) -> np.ndarray | None:
    """Return rows with a full window of the longest length, drawn evenly; None where a label has none."""
    encoder = encoder_of(size, table)
    pieces, at = encoder.laid_out(table, table.y)
    full = encoder.full(pieces, at)
    if set(table.y[full]) != set(table.y):
        return None
    return np.asarray(full[draw_evenly(table.y[full], table.runs[full], _ROWS, seed)])


def _scores(table: Table, size: int, rows: np.ndarray, pairs: Sequence[Fold], seed: int) -> np.ndarray:
    """Return the balanced accuracy of each fold with windows of one length."""
    encoder = encoder_of(size, table).fit(table.X)
    pieces, at = encoder.laid_out(table, table.y)
    made = encoder.transform(table.X, pieces, np.sort(rows), at=at)
    X, y = made.frame.to_numpy(np.float32), table.y[made.rows].astype(str)
    share = _LIMITS.share_of(X.shape[1])
    found = []
    for train, held in pairs:
        learn, judge = np.isin(made.rows, train), np.isin(made.rows, held)
        if len(set(y[learn])) < 2 or not judge.any():
            continue
        trees = ExtraTreesClassifier(_TREES, max_features=share, min_samples_leaf=2, random_state=seed)
        found.append(balanced_accuracy_score(y[judge], trees.fit(X[learn], y[learn]).predict(X[judge])))
    return np.array(found or [0.0])


def _best(scores: dict[int, np.ndarray]) -> int:
    """Return the shortest length within `_GAIN` of the best, where the best clearly beats single rows."""
    means = {size: float(found.mean()) for size, found in scores.items()}
    best = max(means, key=lambda size: means[size])
    gain = scores[best] - scores[1]
    error = float(gain.std(ddof=1) / len(gain) ** 0.5) if len(gain) > 1 else 0.0
    if means[best] - means[1] < max(_GAIN, error):
        return 1
    return next(size for size in sorted(means) if means[size] >= means[best] - _GAIN)
