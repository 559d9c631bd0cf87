"""Which known texts a text is like: similarities by a sentence model, or by pieces of words where none takes part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from faultwise.language.sentences import encoder as sentences

__all__ = ["Likeness"]

_WIDTH = 1024  # of vectors of pieces


@dataclass
class Likeness:
    """The vectors (texts, width) of the texts of a fit; `source` names the sentence model, "" for pieces of words."""

    source: str
    vectors: np.ndarray
    device: str = "auto"
    _encoder: sentences.SentenceEncoder | None = field(default=None, repr=False)

    @classmethod
    def fit(cls, texts: list[str], source: str, device: str = "auto", progress: bool = False) -> Likeness:
        """Learn the texts that later ones are compared with."""
        made = cls(source, np.empty((0, 0), np.float32), device)
        made.vectors = made.of(texts, progress).astype(np.float16)  # as they are kept
        return made

    def of(self, texts: list[str], progress: bool = False) -> np.ndarray:
        """Return vectors of length one, shape (texts, width)."""
        if not self.source:
            from sklearn.feature_extraction.text import HashingVectorizer

            made = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 3), n_features=_WIDTH, alternate_sign=False)
            return np.asarray(made.transform(texts).toarray(), np.float32)
        if self._encoder is None:
            self._encoder = sentences.load(self.source, self.device)
        return self._encoder.embed(texts, progress and len(texts) > 1000)

    def to_known(self, texts: list[str]) -> np.ndarray:
        """Return cosine similarities to the known texts, shape (texts, known)."""
        return self.of(texts) @ self.vectors.T.astype(np.float32)

    def among(self, groups: np.ndarray) -> np.ndarray:
        """Return how like each known text is to the most similar one of another group, shape (known,)."""
        vectors, made = self.vectors.astype(np.float32), np.zeros(len(self.vectors))
        for start in range(0, len(vectors), 512):
            like = vectors[start : start + 512] @ vectors.T
            like[groups[start : start + 512, None] == groups[None, :]] = 0.0
            made[start : start + 512] = like.max(axis=1)
        return made
