"""What is needed to make a verdict on a table again: versions, hashes, seeds, settings."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from faultwise import __version__
from faultwise.contracts.settings import flattened
from faultwise.language.classifier import curves
from faultwise.runs.folders import commit
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.fit.settings import TableSettings

__all__ = ["provenance"]

_PACKAGES = ("numpy", "pandas", "scikit-learn", "torch", "transformers")


def provenance(settings: TableSettings, fitted: Fitted) -> dict[str, object]:
    """Return versions, hashes, seeds and settings of a fit."""
    record = fitted.record
    tuned = record.get("language_model")
    return {
        "faultwise": __version__,
        "commit": commit(),
        "data_hash": record.get("data_hash"),
        "trained_on": Path(str(record.get("source") or "")).name,
        "training_rows": record.get("train_rows"),
        "settings": flattened(settings),
        "packages": {name: version(name) for name in _PACKAGES},
        "weights": fitted.ensemble.fusion.weights,
        "chosen_on_validation": record.get("chosen"),
        **({"language_model": curves.summary(tuned)} if tuned else {}),
    }
