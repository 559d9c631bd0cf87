"""What every benchmark shares: where the data is, and a result file that carries its recipe."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from faultwise.runs.folders import commit

__all__ = ["RESULTS", "data_folder", "read_result", "write_result"]

RESULTS = Path(__file__).parent / "results"
_FALLBACK = Path(__file__).parents[2] / "shared" / "data"


def data_folder(name: str) -> Path:
    """Return the folder of a data set under $FAULTWISE_DATA; exits with a message where it is absent."""
    root = Path(os.environ.get("FAULTWISE_DATA") or _FALLBACK)
    if not (root / name).is_dir():
        sys.exit(f"This benchmark needs `{name}`: set FAULTWISE_DATA to the folder that holds it.")
    return root / name


def read_result(name: str) -> dict[str, Any]:
    """Read `results/NAME.json`."""
    made: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return made


def write_result(name: str, config: dict[str, Any], data_hash: str, figures: dict[str, Any]) -> Path:
    """Write `results/NAME.json` with config, data hash, commit, versions and figures."""
    RESULTS.mkdir(exist_ok=True)
    packages = {p: version(p) for p in ("numpy", "scikit-learn", "torch", "transformers", "peft")}
    whole = {
        "benchmark": name,
        "commit": commit(),
        "config": config,
        "data_hash": data_hash,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "packages": packages,
        **figures,
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path
