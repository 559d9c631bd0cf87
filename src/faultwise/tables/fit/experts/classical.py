"""The classical classifiers, one small adapter around scikit-learn for all of them.

The thesis's five (random forest, logistic regression, SVM, k-NN, gradient boosting) and two stronger ones
(histogram boosting, extra trees). Scaling happens inside, where it matters. Large tables are thinned evenly
over classes and runs to what the method can digest; the rows of a run are much alike. Calibration is not done here but
in `fusion`, alike for all.
"""

from __future__ import annotations

import importlib
import json
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import config_context
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.validation import has_fit_parameter

from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.experts import ExpertContext
from faultwise.verdicts.drawing import draw_evenly

__all__ = [
    "ClassicalExpert",
    "Limits",
    "extra_trees",
    "gradient_boosting",
    "hist_gradient_boosting",
    "knn",
    "logistic_regression",
    "random_forest",
    "svm",
]

# skops refuses every type it does not know; these few of scikit-learn are needed by the seven above. A run
# folder that holds any other type is not loaded.
TRUSTED = [
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.MultinomialLogit",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfMultinomialLoss",
    "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",  # its nodes are looked at by `_sound` before anyone asks it
]


_FEWEST_ROWS = 2_000  # to fit on, if there are so many, whatever the number of features
_FEWEST_CANDIDATES = 24
_FEW_NUMBERS = 200_000  # with fewer, handing trees to threads takes longer than growing them


@dataclass(frozen=True, slots=True)
class Limits:
    """What a method is given at most: `rows`, `numbers` (rows times features), and `candidates`, features that a split
    of a tree chooses among.

    On simulated Tennessee Eastman runs (250 features of windows, training runs in folds) extra trees on 6,000 rows
    with 50 candidates of a split had the balanced accuracy of all rows with 75, in a third of the time.
    """

    rows: int
    numbers: int | None = None
    candidates: int = 1_000

    def rows_with(self, features: int) -> int:
        """Return how many rows of so many features are used at most."""
        if self.numbers is None:
            return self.rows
        return min(self.rows, max(_FEWEST_ROWS, self.numbers // max(1, features)))

    def share_of(self, features: int) -> float:
        """Return the share of so many features that a split chooses among: three tenths, but not too few of them.

        Extra trees that chose among two of the eight features of AI4I had a balanced accuracy of 0.55 in folds of the
        training rows, among all of them 0.75.

        >>> [Limits(20_000, candidates=50).share_of(features) for features in (8, 40, 100, 250)]
        [1.0, 0.6, 0.3, 0.2]
        """
        return min(1.0, max(0.3, _FEWEST_CANDIDATES / max(1, features)), self.candidates / max(1, features))


class ClassicalExpert:
    """A scikit-learn classifier (`unfitted`) as an expert, fitted on what its `limits` allow."""

    def __init__(self, name: str, unfitted: Any, limits: Limits, seed: int = 0) -> None:
        self.name = name
        self.limits = limits
        self.seed = seed
        self.classes_ = np.empty(0, dtype=object)
        self._unfitted = unfitted
        self._model: Any = None
        self._folder: Path | None = None

    def fit(
        self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> ClassicalExpert:
        """Learn from X (rows, features), labels y (rows,), runs groups (rows,); `sample_weight` (rows,) is left out of
        account by methods that know no weights (`weighted` tells).
        """
        rows = self.draw(X, y, groups)
        self.classes_, codes = np.unique(y[rows].astype(str), return_inverse=True)
        weights = None if sample_weight is None else sample_weight[rows]
        self._model = self._learn(X.to_numpy(np.float32)[rows], codes, weights)
        if hasattr(self._model, "n_jobs"):
            self._model.n_jobs = 1  # threads add trees up in the order they end: the last digits would vary
        return self

    def draw(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the positions of the rows that `fit` learns from, as many as the limits allow."""
        return draw_evenly(y, groups, self.limits.rows_with(X.shape[1]), self.seed)

    def _learn(self, X: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray | None) -> Any:
        weights = {} if sample_weight is None else _weights(self._unfitted, sample_weight)
        with config_context(enable_metadata_routing=False):  # it would ask each step of a pipeline for its requests
            return self._sized(X).fit(X, codes, **weights)

    def _sized(self, X: np.ndarray) -> Any:
        """Return an unfitted copy of the method, set for the size of X (rows, features)."""
        model = clone(self._unfitted)
        if hasattr(model, "n_jobs") and X.size < _FEW_NUMBERS:
            model.n_jobs = 1
        if isinstance(getattr(model, "max_features", None), float):
            model.max_features = self.limits.share_of(X.shape[1])
        return model

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes); margins (SVM) pass through a softmax."""
        values, model = X.to_numpy(np.float32), self._ready()
        if isinstance(model, RandomForestClassifier | ExtraTreesClassifier):
            return _forest_proba(model, values)
        if hasattr(model, "predict_proba"):
            return np.asarray(model.predict_proba(values), dtype=float)
        margins = model.decision_function(values)
        if margins.ndim == 1:
            margins = np.column_stack([-margins, margins])
        raised = np.exp(margins - margins.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def save(self, folder: Path) -> None:
        """Write `expert.skops` (no pickle) and `expert.json`."""
        _skops().dump(self._ready(), folder / "expert.skops", compression=zipfile.ZIP_DEFLATED, compresslevel=1)
        (folder / "expert.json").write_text(json.dumps({"classes": self.classes_.tolist()}))

    def load(self, folder: Path) -> ClassicalExpert:
        """Read what `save` wrote; the model itself is read when it is first used."""
        self._folder = folder
        self.classes_ = np.array(json.loads((folder / "expert.json").read_text())["classes"], dtype=str)
        return self

    @property
    def weighted(self) -> bool:
        """Whether the method takes sample weights."""
        return bool(_weights(self._unfitted, np.ones(1)))

    def __getstate__(self) -> dict[str, Any]:
        if self._folder is not None:
            self._ready()  # what is pickled must not depend on a folder that the other process may lack
        return {**self.__dict__, "_folder": None}

    def _ready(self) -> Any:
        if self._model is None:
            if self._folder is None:
                raise RunFolderError(f"The expert `{self.name}` was neither fitted nor loaded.")
            self._model = _read(self._folder / "expert.skops")
        return self._model


def _weights(unfitted: Any, sample_weight: np.ndarray) -> dict[str, np.ndarray]:
    """Return weights (rows,) by the names that a method's `fit` takes; none for a method without weights."""
    if not isinstance(unfitted, Pipeline):
        return {"sample_weight": sample_weight} if has_fit_parameter(unfitted, "sample_weight") else {}
    if not has_fit_parameter(unfitted[-1], "sample_weight"):
        return {}
    # The scaler takes part, so that a row of weight 2 counts like two rows.
    return {f"{name}__sample_weight": sample_weight for name, _ in unfitted.steps}


def _forest_proba(forest: Any, values: np.ndarray) -> np.ndarray:
    """Return what `forest.predict_proba` returns, without its checks and threads for each tree: ten times faster on one
    row.
    """
    made = np.zeros((len(values), len(forest.classes_)))
    for tree in forest.estimators_:
        made += tree.tree_.predict(values)[:, : made.shape[1]]
    return np.asarray(made / len(forest.estimators_))


def _skops() -> Any:
    """Import `skops.io` without torch: it looks through all of scikit-learn, whose adapter for torch takes seconds."""
    adapter = "sklearn.externals.array_api_compat.torch"
    hidden = adapter not in sys.modules
    if hidden:
        sys.modules[adapter] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("skops.io")
    finally:
        if hidden:
            del sys.modules[adapter]


def _read(path: Path) -> Any:
    """Read a skops file; one with types beyond the fixed list is refused."""
    skops = _skops()
    data = path.read_bytes()
    untrusted = sorted(set(skops.get_untrusted_types(data=data)) - set(TRUSTED))
    if untrusted:
        raise RunFolderError(
            f"`{path}` holds types that no fit writes ({', '.join(untrusted)[:200]}): it was not loaded. Fit again."
        )
    model = skops.loads(data, trusted=TRUSTED)
    for one in np.ravel(np.asarray(getattr(model, "estimators_", []), dtype=object)):
        if not _sound(one.tree_, model.n_features_in_):
            raise RunFolderError(f"`{path}` holds a tree whose nodes lead nowhere: it was not loaded. Fit again.")
    return model


def _sound(tree: Any, features: int) -> bool:
    """Tell whether every node leads to later nodes of the tree, by a feature that exists.

    scikit-learn does not check: a forged tree would read memory that is not its own.
    """
    if not 0 < tree.node_count <= tree.capacity:
        return False
    at, left, right = np.arange(tree.node_count), tree.children_left, tree.children_right
    inner = left != -1
    ends, used = np.stack([left, right])[:, inner], tree.feature[inner]
    return bool(
        ((right != -1) == inner).all()
        and ((ends > at[inner]) & (ends < tree.node_count)).all()
        and ((used >= 0) & (used < features)).all()
    )


def _expert(name: str, context: ExpertContext, limits: Limits, build: Callable[[], Any]) -> ClassicalExpert:
    return ClassicalExpert(name, build(), limits, context.seed)


def random_forest(context: ExpertContext) -> ClassicalExpert:
    """Breiman's forest."""
    return _expert(
        "random-forest",
        context,
        Limits(20_000),
        lambda: RandomForestClassifier(150, min_samples_leaf=2, n_jobs=-1, random_state=context.seed),
    )


def logistic_regression(context: ExpertContext) -> ClassicalExpert:
    """Multinomial logistic regression on standardised features."""
    return _expert(
        "logistic-regression",
        context,
        Limits(20_000),
        lambda: make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=300)),
    )


def svm(context: ExpertContext) -> ClassicalExpert:
    """Support vectors with a radial kernel; kernel methods grow with the square of the rows."""
    return _expert("svm", context, Limits(6_000), lambda: make_pipeline(StandardScaler(), SVC(C=3.0)))


def knn(context: ExpertContext) -> ClassicalExpert:
    """k nearest neighbours; brute force, because trees do not help in so many dimensions."""
    return _expert(
        "knn",
        context,
        Limits(10_000),
        lambda: make_pipeline(StandardScaler(), KNeighborsClassifier(5, weights="distance", algorithm="brute")),
    )


def gradient_boosting(context: ExpertContext) -> ClassicalExpert:
    """Friedman's exact boosting, as in the thesis; thinned hard, as it fits one tree a class and round."""
    return _expert(
        "gradient-boosting",
        context,
        Limits(2_000),
        lambda: GradientBoostingClassifier(
            n_estimators=50, learning_rate=0.2, max_features="sqrt", subsample=0.7, random_state=context.seed
        ),
    )


def hist_gradient_boosting(context: ExpertContext) -> ClassicalExpert:
    """Histogram boosting (the LightGBM way)."""
    return _expert(
        "hist-gradient-boosting",
        context,
        Limits(60_000, numbers=1_500_000),
        lambda: HistGradientBoostingClassifier(
            max_iter=60,
            learning_rate=0.15,
            max_leaf_nodes=15,
            # In folds of training rows no worse than 255; 64 lose on AI4I, where few values of a feature decide.
            max_bins=128,
            # Without it boosting can run away on many classes: pure leaves get huge values (recall 0.11 instead of 0.81
            # on a million noisy copies of simulated rows).
            l2_regularization=1.0,
            max_features=0.3,
            early_stopping=False,
            random_state=context.seed,
        ),
    )


def extra_trees(context: ExpertContext) -> ClassicalExpert:
    """Extremely randomised trees: the strongest single method on TEP windows so far."""
    return _expert(
        "extra-trees",
        context,
        Limits(20_000, numbers=1_500_000, candidates=50),
        lambda: ExtraTreesClassifier(100, max_features=0.3, n_jobs=-1, random_state=context.seed),
    )
