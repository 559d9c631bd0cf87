"""A linear classifier on features of texts, kept as arrays: logistic regression without a pickle."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["LinearClassifier"]


class LinearClassifier:
    """Multinomial logistic regression: `weights` (classes, features) and `bias` (classes,) in 32 bits."""

    def __init__(self, weights: np.ndarray, bias: np.ndarray) -> None:
        self.weights, self.bias = weights, bias

    @classmethod
    def fit(cls, features: Any, y: np.ndarray, strength: float, seed: int) -> LinearClassifier:
        """Learn labels y (rows,) from features (rows, features), an array or a sparse matrix; `strength` is C."""
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=strength, max_iter=500, random_state=seed).fit(features, y)
        weights, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # one row of weights stands for both classes
            weights, bias = np.vstack([-weights, weights]) / 2, np.r_[-bias, bias] / 2
        return cls(weights.astype(np.float32), bias.astype(np.float32))

    def predict_proba(self, features: Any) -> np.ndarray:
        """Return probabilities of shape (rows, classes)."""
        scores = np.asarray(features @ self.weights.T.astype(float) + self.bias, float)
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what the constructor takes back, by name."""
        return {"weights": np.ascontiguousarray(self.weights), "bias": np.ascontiguousarray(self.bias)}
