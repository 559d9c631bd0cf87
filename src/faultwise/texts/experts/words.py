"""Words and pieces of words with a linear model: what a pretrained model has to beat."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.experts import ExpertContext
from faultwise.texts.experts.linear import LinearClassifier

__all__ = ["TEXT", "WORDS", "WordExpert", "words"]

TEXT = "text"  # the one column of X of a text expert
WORDS = "words"
_MOST_CHARACTERS = 20_000  # of a text: letters beyond change nothing and cost minutes
_C = 10.0
_KINDS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"(?u)\S+"},
    "pieces": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}


class WordExpert:
    """Logistic regression on how often words, pairs of words and pieces of two to five letters occur (tf-idf)."""

    name = WORDS

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.classes_ = np.empty(0, dtype=object)
        self._vectorizers: list[Any] = []
        self._linear: LinearClassifier | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> WordExpert:
        """Learn from texts (rows,) in the column `text` of X."""
        self._vectorizers = [_vectorizer(kind) for kind in _KINDS]
        texts = _texts(X)
        features = _beside([one.fit_transform(texts) for one in self._vectorizers])
        self.classes_ = np.unique(y.astype(str))
        self._linear = LinearClassifier.fit(features, y.astype(str), _C, self.seed)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes)."""
        texts = _texts(X)
        return self._ready().predict_proba(_beside([one.transform(texts) for one in self._vectorizers]))

    def save(self, folder: Path) -> None:
        """Write words, their rarity and the weights."""
        state = {
            "classes": self.classes_.tolist(),
            "words": [one.get_feature_names_out().tolist() for one in self._vectorizers],
        }
        (folder / "expert.json").write_text(json.dumps(state), encoding="utf-8")
        rarity = {f"rarity{at}": np.asarray(one.idf_) for at, one in enumerate(self._vectorizers)}
        parts = {name: np.ascontiguousarray(part) for name, part in rarity.items()}
        save_file({**parts, **self._ready().arrays()}, folder / "words.safetensors")

    def load(self, folder: Path) -> WordExpert:
        """Read what `save` wrote."""
        state = json.loads((folder / "expert.json").read_text(encoding="utf-8"))
        parts = load_file(folder / "words.safetensors")
        self.classes_ = np.array(state["classes"], dtype=str)
        self._vectorizers = []
        for at, (kind, known) in enumerate(zip(_KINDS, state["words"], strict=True)):
            one = _vectorizer(kind, known)
            one.idf_ = parts[f"rarity{at}"]
            self._vectorizers.append(one)
        self._linear = LinearClassifier(parts["weights"], parts["bias"])
        return self

    def _ready(self) -> LinearClassifier:
        if self._linear is None:
            raise RunFolderError(f"The expert `{self.name}` was neither fitted nor loaded.")
        return self._linear


def _beside(features: list[Any]) -> Any:
    from scipy import sparse

    return sparse.hstack(features, format="csr")


def _vectorizer(kind: str, known: list[str] | None = None) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(**_KINDS[kind], sublinear_tf=True, lowercase=False, vocabulary=known)


def _texts(X: pd.DataFrame) -> list[str]:
    return [str(text)[:_MOST_CHARACTERS] for text in X[TEXT]]


def words(context: ExpertContext) -> WordExpert:
    """Factory for the registry of experts."""
    return WordExpert(context.seed)
