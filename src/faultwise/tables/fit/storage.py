"""A fitted diagnosis as files of a run folder, and back. What makes the folder whole and trusted is `runs`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from faultwise.contracts.about import About
from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.experts import ExpertContext
from faultwise.evidence.normal import NormalBand
from faultwise.tables.checks.input_checks import InputChecks
from faultwise.tables.checks.rules import Rules
from faultwise.tables.fit.features.columns import ColumnEncoder
from faultwise.tables.fit.features.windows import WindowEncoder
from faultwise.tables.fit.fitted import Fitted
from faultwise.tables.reading.table import Roles
from faultwise.tables.reading.time.clock import Clock
from faultwise.verdicts.calibration import Calibration
from faultwise.verdicts.detection import Detector
from faultwise.verdicts.ensemble import Ensemble
from faultwise.verdicts.fusion import Fusion
from faultwise.verdicts.novelty import Novelty
from faultwise.verdicts.registry import make

__all__ = ["read_fitted", "write_fitted"]


def write_fitted(folder: Path, fitted: Fitted, about: About, roles: Roles) -> None:
    """Write experts, rows and state into an empty folder."""
    for name, expert in fitted.ensemble.experts.items():
        (folder / "experts" / name).mkdir(parents=True)
        expert.save(folder / "experts" / name)
    # safetensors writes memory as it lies, and pandas keeps columns together: without this the rows of the
    # reference come back as a jumble.
    reference = np.ascontiguousarray(fitted.reference.to_numpy(np.float32))
    save_file({"reference": reference, "seen": np.ascontiguousarray(fitted.seen)}, folder / "rows.safetensors")
    if fitted.novelty is not None:
        novelty = {key: np.ascontiguousarray(value) for key, value in asdict(fitted.novelty).items()}
        save_file(novelty, folder / "novelty.safetensors")
    arrays, inputs = fitted.inputs.state()
    if arrays:
        save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / "sensors.safetensors")
    state = {
        "inputs": inputs,
        "encoder": {
            "window": fitted.encoder.window,
            "columns": fitted.encoder.learnt.to_dict(),
            "span": fitted.encoder.span,
            "clock": None if fitted.encoder.clock is None else fitted.encoder.clock.to_dict(),
        },
        "fusion": fitted.ensemble.fusion.to_dict(),
        "detector": asdict(fitted.ensemble.detector),
        "alone": fitted.ensemble.alone,
        "band": fitted.band.to_dict(),
        "rules": fitted.rules.to_dict(),
        "calibration": None if fitted.calibration is None else fitted.calibration.to_dict(),
        "about": about.to_dict(),
        "roles": asdict(roles),
        "notes": fitted.notes,
    }
    (folder / "state.json").write_text(json.dumps(state, allow_nan=False), encoding="utf-8")


def read_fitted(folder: Path, manifest: dict[str, Any], context: ExpertContext) -> tuple[Fitted, About, Roles]:
    """Read what `write_fitted` wrote. Raises RunFolderError when it cannot be understood."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        own = state["encoder"]
        clock = Clock.from_dict(own.get("clock"))
        encoder = WindowEncoder(own["window"], ColumnEncoder(**own["columns"]), own.get("span"), clock)
        classes = np.array(manifest["labels"], dtype=str)
        ensemble = Ensemble(
            classes, Detector(**state["detector"]), fusion=Fusion(**state["fusion"]), alone=state["alone"]
        )
        for name in manifest["experts"]:
            ensemble.experts[name] = make(name, context).load(folder / "experts" / name)
        rows = load_file(folder / "rows.safetensors")
        reference = pd.DataFrame(rows["reference"], columns=encoder.names)
        band, about = NormalBand(**state["band"]), About.from_dict(state["about"])
        rules = Rules.from_dict(state["rules"]) if state["rules"]["rules"] else Rules()
        known = folder / "novelty.safetensors"
        novelty = Novelty(**load_file(known)) if known.exists() else None
        sensors = folder / "sensors.safetensors"
        inputs = InputChecks.restored(load_file(sensors) if sensors.exists() else {}, state["inputs"])
        calibration = state["calibration"] and Calibration.from_dict(state["calibration"])
        roles = Roles(**{**state["roles"], "ignored": tuple(state["roles"]["ignored"])})
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise RunFolderError(f"`{folder}` cannot be understood ({error}): fit again.") from error
    fitted = Fitted(
        encoder,
        ensemble,
        band,
        reference,
        rows["seen"],
        state["notes"],
        manifest,
        rules,
        novelty,
        calibration,
        inputs,
    )
    return fitted, about, roles
