"""What a classifier must offer to take part in the fusion, and what it is told when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from faultwise.contracts.language import LanguageSettings

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

__all__ = ["MOST_MISSING", "DrawsRows", "Expert", "ExpertContext", "takes_weights"]

MOST_MISSING = 0.6  # share of variables that an expert trained with missing sensors may have to do without


@dataclass(frozen=True, slots=True)
class ExpertContext:
    """What a factory may want to know: the seed, whether to show progress, the language model's settings, `about`,
    words for columns from a companion file ("pressure [kPa]: of the reactor"), and the sentence model for texts.
    """

    seed: int = 0
    progress: bool = False
    language: LanguageSettings = field(default_factory=LanguageSettings)
    about: Mapping[str, str] = field(default_factory=dict)
    sentence_model: str = "all-minilm-l6-v2"


@runtime_checkable
class Expert(Protocol):
    """What a classifier must offer to take part in the fusion.

    `fit` takes features X of shape (rows, features) as a named, purely numeric DataFrame without missing
    values, labels y of shape (rows,) as strings, and groups of shape (rows,). `predict_proba` returns shape
    (rows, classes) with columns in the order of `classes_`, each row adding up to one. A `fit` that also has the
    keyword `sample_weight` gets weights of shape (rows,) where there are any (see `takes_weights`). `save` writes into
    an empty folder without pickle; the class is built anew by its plug-in name and `load` reads the folder.
    """

    name: str
    classes_: np.ndarray

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> Expert:
        """Learn from labelled rows."""
        ...

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return class probabilities, shape (rows, classes)."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything `load` needs into `folder`."""
        ...

    def load(self, folder: Path) -> Expert:
        """Read what `save` wrote."""
        ...


@runtime_checkable
class DrawsRows(Protocol):
    """An expert that learns from some of the rows only, where there are many."""

    def draw(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Return the positions of the rows (rows,) that a fit on all of them would learn from."""
        ...


def takes_weights(expert: Expert) -> bool:
    """Tell whether an expert learns from sample weights: its `fit` has `sample_weight`, and no attribute `weighted`
    denies it.
    """
    return "sample_weight" in signature(expert.fit).parameters and bool(getattr(expert, "weighted", True))
