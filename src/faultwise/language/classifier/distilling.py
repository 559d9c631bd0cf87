"""Trees as teachers: soft labels of fitted classical experts on real and on perturbed rows.

A student that learns from a teacher's soft labels on many perturbed rows comes closer to it, and on small sets past
it, than one that learns from hard labels on few. A perturbed row mixes two observed rows, or takes some of its
variables from another observed row, so every value stays within the observed range of its variable. The teacher's
experts are weighted on rows that were held out of their training. Nothing of the language model is known here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError
from faultwise.contracts.experts import Expert, ExpertContext
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.folds import Fold, folds
from faultwise.verdicts.fusion import Fusion
from faultwise.verdicts.registry import make

__all__ = ["TEACHERS", "Teacher", "perturbed"]

TEACHERS = ("extra-trees", "gradient-boosting", "hist-gradient-boosting", "logistic-regression")
_SLOW, _MOST_CLASSES = (
    "gradient-boosting",
    10,
)  # it grows a tree for each class and round, and is slower than all others
_WEIGHTING_ROWS = 5_000  # cross-fitting is for weights, which need few rows
_FEW_ROWS, _FOLDS, _FOLDS_OF_FEW = 200, 2, 5  # half of a handful of rows does not show how all would do
_MIXING = 0.4  # of the beta distribution of mixtures (Zhang et al. 2018, mixup)
_SWAPPED = {"within": 0.5, "across": 0.3}  # share of variables taken from another row at most


@dataclass
class Teacher:
    """Classical experts and their fusion; `weights` are those of the experts that teach."""

    seed: int = 0
    experts: dict[str, Expert] = field(default_factory=dict)
    fusion: Fusion = field(default_factory=Fusion)
    classes: np.ndarray = field(default_factory=lambda: np.empty(0, object))

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each expert that teaches, by name."""
        return {name: round(weight, 3) for name, weight in self.fusion.weights.items()}

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Teacher:
        """Weight the experts on folds of X (rows, features), then fit those with a weight on all rows.

        With a single row of each class no weights can be estimated, and logistic regression teaches alone.
        """
        self.classes = np.unique(y)
        at = draw_evenly(y, groups, _WEIGHTING_ROWS, self.seed)
        parts = _parts(y[at], groups[at], self.seed)
        if not parts:
            name = "logistic-regression"
            self.fusion = Fusion({name: 1.0}, {name: 1.0}, {name: 1.0})
            self.experts = {name: self._fitted(name, X, y, groups)}
            return self
        held = np.concatenate([rows for _, rows in parts])
        by_expert: dict[str, np.ndarray] = {}
        few = len(self.classes) <= _MOST_CLASSES
        for name in (name for name in TEACHERS if few or name != _SLOW):
            p = np.full((len(at), len(self.classes)), np.nan)
            for train, rows in parts:
                expert = self._fitted(name, X.iloc[at[train]], y[at[train]], groups[at[train]])
                p[rows] = self._aligned(expert, X.iloc[at[rows]])
            if np.isfinite(p[held]).all():  # boosting can diverge on outlying rows: then it does not teach
                by_expert[name] = p[held]
        self.fusion.fit(by_expert, np.searchsorted(self.classes, y[at][held]))
        self.fusion.drop_light(0.05)
        self.experts = {name: self._fitted(name, X, y, groups) for name in self.fusion.weights}
        return self

    def proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return soft labels (rows, classes)."""
        return self.fusion.mix({name: self._aligned(expert, X) for name, expert in self.experts.items()})

    def _fitted(self, name: str, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Expert:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=UserWarning)
            return make(name, ExpertContext(self.seed)).fit(X, y, groups)

    def _aligned(self, expert: Expert, X: pd.DataFrame) -> np.ndarray:
        made = np.zeros((len(X), len(self.classes)))
        made[:, np.searchsorted(self.classes, expert.classes_)] = expert.predict_proba(X)
        return made


def _parts(y: np.ndarray, groups: np.ndarray, seed: int) -> list[Fold]:
    """Return folds that hold out whole runs where the runs allow it, else rows, but never the only row of a class."""
    runs = pd.DataFrame({"y": y, "g": groups}).drop_duplicates().groupby("y").size()
    if len(np.unique(groups)) < len(y) and runs.min() >= 2:
        try:
            return folds(y, groups, "group", _FOLDS, seed)[0]
        except DataError:  # runs that share classes can make it impossible
            pass
    counts = pd.Series(y).map(pd.Series(y).value_counts()).to_numpy()
    several, single = np.flatnonzero(counts > 1), np.flatnonzero(counts == 1)
    if not len(several):
        return []
    parts = folds(y[several], None, "row", _FOLDS if len(y) >= _FEW_ROWS else _FOLDS_OF_FEW, seed)[0]
    return [(np.concatenate([several[train], single]), several[held]) for train, held in parts]


def perturbed(X: np.ndarray, codes: np.ndarray, variables: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return `count` rows (count, features) made of the rows X (rows, features) of classes `codes` (rows,).

    A third each: mixtures of two rows; rows with up to half of their variables from a row of the same class; with up
    to three tenths from any row. `variables` (features,) has the number of each feature's variable: its features move
    together. Classes are drawn as frequently as they occur, but none more rarely than a third of an even share, because
    rare faults would hardly be learnt otherwise.
    """
    rng = np.random.default_rng(seed)
    present, position = np.unique(codes, return_inverse=True)
    counts = np.bincount(position)
    even = 1 / (3 * len(present))
    share = np.maximum(counts / len(codes), even)
    first = rng.choice(len(codes), size=count, p=(share / share.sum() / counts)[position])
    order = np.argsort(position, kind="stable")
    starts = np.searchsorted(position[order], np.arange(len(present)))
    mate = order[starts[position[first]] + (rng.random(count) * counts[position[first]]).astype(int)]
    other = rng.integers(len(codes), size=count)
    third = count // 3
    made = np.empty((count, X.shape[1]), np.float32)
    pull = rng.beta(_MIXING, _MIXING, size=(third, 1)).astype(np.float32)
    made[:third] = pull * X[first[:third]] + (1 - pull) * X[other[:third]]
    width = int(variables.max()) + 1
    for part, giver, most in (
        (slice(third, 2 * third), mate, _SWAPPED["within"]),
        (slice(2 * third, count), other, _SWAPPED["across"]),
    ):
        a, b = first[part], giver[part]
        swapped = rng.random((len(a), width)) < rng.random((len(a), 1)) * most
        made[part] = np.where(swapped[:, variables], X[b], X[a])
    # A mixture of 0 and 1 is no category.
    whole = ((X == 0) | (X == 1)).all(axis=0)
    made[:third][:, whole] = made[:third][:, whole].round()
    return made
