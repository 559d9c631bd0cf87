"""Any classifier with scikit-learn's interface as an expert, by the path of its class: `xgboost.XGBClassifier`.

A run folder holds no pickle, so such an expert is kept as the rows it learnt from, and fitted again when it is first
used after loading: the same rows and the same seed give the same model.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from faultwise.contracts.errors import UserError, closest
from faultwise.contracts.experts import ExpertContext
from faultwise.tables.fit.experts.classical import ClassicalExpert, Limits

__all__ = ["NamedExpert", "named"]

_MOST = 20_000


class NamedExpert(ClassicalExpert):
    """A classifier of another package with its defaults (and the fit's seed, where it takes one)."""

    _rows: tuple[np.ndarray, np.ndarray, np.ndarray | None] | None = None

    def _learn(self, X: np.ndarray, codes: np.ndarray, sample_weight: np.ndarray | None) -> Any:
        self._rows = X, codes, sample_weight
        return super()._learn(X, codes, sample_weight)

    def save(self, folder: Path) -> None:
        """Write the rows that were learnt from, and `expert.json`."""
        names = ("X", "codes", "sample_weight")
        rows = {name: part for name, part in zip(names, self._learnt(), strict=True) if part is not None}
        save_file({name: np.ascontiguousarray(part) for name, part in rows.items()}, folder / "rows.safetensors")
        (folder / "expert.json").write_text(json.dumps({"classes": self.classes_.tolist()}))

    def _ready(self) -> Any:
        if self._model is None:
            self._model = self._learn(*self._learnt())
        return self._model

    def _learnt(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        if self._rows is None:
            if self._folder is None:
                raise UserError(f"The expert `{self.name}` was neither fitted nor loaded.")
            rows = load_file(self._folder / "rows.safetensors")
            self._rows = rows["X"], rows["codes"], rows.get("sample_weight")
        return self._rows


def named(context: ExpertContext, path: str) -> NamedExpert:
    """Return an unfitted expert for the path of a class. Raises UserError for what is not a classifier."""
    kind = _class_at(path)

    def build() -> Any:
        parameters = kind().get_params()
        seed = {"random_state": context.seed} if "random_state" in parameters else {}
        quiet = {"verbosity": 0} if path.startswith("xgboost.") else {"verbose": -1} if "lightgbm" in path else {}
        return kind(**seed, **quiet)

    return NamedExpert(path, build(), Limits(_MOST), context.seed)


def _class_at(path: str) -> Any:
    """Import the class at a dotted path; nothing but a classifier in scikit-learn's sense is taken."""
    from sklearn.base import BaseEstimator, is_classifier

    module, _, name = path.rpartition(".")
    package = module.partition(".")[0]
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        missing = error.name or package
        raise UserError(
            f"The expert `{path}` needs the package `{missing}`, which is not installed: pip install {package}."
        ) from None
    if found is None:
        near = closest(name, [one for one in dir(importlib.import_module(module)) if not one.startswith("_")])
        hint = f": did you mean `{module}.{near}`?" if near else "."
        raise UserError(f"`{module}` has no class `{name}`{hint}")
    scikit = isinstance(found, type) and (issubclass(found, BaseEstimator) or hasattr(found, "get_params"))
    if not scikit or not is_classifier(found()) or not hasattr(found, "predict_proba"):
        raise UserError(f"`{path}` is no classifier with probabilities (fit, predict_proba): name another class.")
    return found
