"""The classifiers that `field.py` sets beside the verdict: scikit-learn's, and those of other packages if asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

__all__ = ["EXTRA", "PLAIN", "classifier"]

PLAIN = ("boosting", "forest", "logistic")
EXTRA = ("xgboost", "lightgbm", "catboost", "autogluon")


def _prepared(model: Any, scaled: bool = False) -> Any:
    """Return a classifier behind one-hot columns for texts, medians for gaps and, if asked for, scaling."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), *([StandardScaler()] if scaled else []))
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (texts, make_column_selector(dtype_exclude="number")),
        verbose_feature_names_out=False,
    )
    return make_pipeline(columns, model)


def classifier(name: str, seed: int) -> Any:
    """Return a classifier with its defaults, on one core; its `fit` takes a frame (rows, columns) and codes (rows,)."""
    if name == "autogluon":
        return _AutoGluon()
    if name == "boosting":
        from sklearn.ensemble import HistGradientBoostingClassifier

        return _prepared(HistGradientBoostingClassifier(random_state=seed))
    if name == "forest":
        from sklearn.ensemble import RandomForestClassifier

        return _prepared(RandomForestClassifier(random_state=seed))
    if name == "logistic":
        from sklearn.linear_model import LogisticRegression

        # More iterations than the default, which ends before it converges.
        return _prepared(LogisticRegression(max_iter=1000), scaled=True)
    if name == "xgboost":
        from xgboost import XGBClassifier

        return _prepared(XGBClassifier(random_state=seed, n_jobs=1))
    if name == "lightgbm":
        from lightgbm import LGBMClassifier

        return _prepared(LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1))
    from catboost import CatBoostClassifier

    return _prepared(CatBoostClassifier(random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False))


class _AutoGluon:
    """AutoGluon's tables with its defaults and ten minutes, as a classifier."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> _AutoGluon:
        """Learn from X (rows, columns) and codes y (rows,)."""
        from tempfile import mkdtemp

        from autogluon.tabular import TabularPredictor

        made = TabularPredictor(label="code of the label", path=mkdtemp(), verbosity=0)
        self.predictor = made.fit(X.assign(**{"code of the label": y}), time_limit=600, num_cpus=1)
        self.classes_ = np.array(self.predictor.class_labels)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities (rows, classes)."""
        return np.asarray(self.predictor.predict_proba(X))
