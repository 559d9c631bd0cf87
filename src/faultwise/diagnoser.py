"""The one entry point: fit, predict, diagnose, evaluate, save, load.

Follows scikit-learn's conventions; the command line does the same through `fit_table` and `diagnose`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from sklearn.base import BaseEstimator, ClassifierMixin

from faultwise.contracts import Diagnosis
from faultwise.data.about import About
from faultwise.data.readers import read_source
from faultwise.data.stretches import stretches
from faultwise.data.table import Roles, Table, label_text
from faultwise.diagnosis import diagnose_table, judge, spread
from faultwise.encoders.columns import ColumnEncoder
from faultwise.encoders.windows import Features, WindowEncoder
from faultwise.errors import DataError, RunFolderError, UserError, listing
from faultwise.evidence.normal import NormalBand
from faultwise.experts.detection import Detector
from faultwise.experts.ensemble import Ensemble
from faultwise.experts.fusion import Fusion
from faultwise.experts.registry import ExpertContext, make
from faultwise.runs import read_manifest, write_run
from faultwise.settings import DEFAULT_EXPERTS, FitSettings, from_mapping
from faultwise.training import Fitted, fit_table, language_settings

__all__ = ["Diagnoser"]


class Diagnoser(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Diagnoses faults from rows of measurements.

    Parameters are those of `FitSettings` (see there for what each means); `progress` shows bars on stderr.

    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"flow": np.r_[rng.normal(5, 1, 60), rng.normal(9, 1, 60)], "noise": rng.normal(size=120)})
    >>> y, runs = np.repeat(["normal", "leak"], 60), np.repeat(np.arange(8), 15)
    >>> diagnoser = Diagnoser(experts=("logistic-regression",)).fit(X, y, groups=runs)
    >>> [str(label) for label in diagnoser.predict(pd.DataFrame({"noise": [0.0, 0.0], "flow": [5.0, 9.5]}))]
    ['normal', 'leak']
    """

    def __init__(
        self,
        window: int = 1,
        normal: str | None = None,
        split: str = "auto",
        folds: int = 3,
        false_alarm_rate: float = 0.02,
        experts: tuple[str, ...] = DEFAULT_EXPERTS,
        seed: int = 0,
        most_rows: int = 60_000,
        model: str = "smollm2-135m-instruct",
        lm_minutes: float = 3.0,
        lm_steps: int | None = None,
        lm_score_rows: int = 128,
        lm_digits: int = 1,
        lm_features: int = 8,
        progress: bool = False,
    ) -> None:
        self.window = window
        self.normal = normal
        self.split = split
        self.folds = folds
        self.false_alarm_rate = false_alarm_rate
        self.experts = experts
        self.seed = seed
        self.most_rows = most_rows
        self.model = model
        self.lm_minutes = lm_minutes
        self.lm_steps = lm_steps
        self.lm_score_rows = lm_score_rows
        self.lm_digits = lm_digits
        self.lm_features = lm_features
        self.progress = progress

    @property
    def settings(self) -> FitSettings:
        """The parameters, checked. Raises UserError naming all that is wrong."""
        values = {key: value for key, value in self.get_params().items() if key != "progress"}
        return from_mapping(values, "Diagnoser")

    def fit(
        self,
        X: pd.DataFrame | np.ndarray,
        y: Any,
        groups: Any = None,
        about: About | str | Path | None = None,
    ) -> Diagnoser:
        """Fit on X (rows, variables), labels y (rows,) and runs groups (rows,). Raises UserError."""
        if len(X) != len(y) or (groups is not None and len(groups) != len(y)):
            raise DataError(f"X has {len(X)} rows, y {len(y)}: every row needs one label (and one run).")
        frame = _frame(X).reset_index(drop=True)
        target, group = _unused(frame, "fault"), _unused(frame, "run")
        frame[target] = np.asarray(y)
        if groups is not None:
            frame[group] = np.asarray(groups)
        roles = Roles(target=target, group=None if groups is None else group)
        known = about if isinstance(about, About) else _about(about)
        return self.fit_table(Table(frame, roles, "X", about=known))

    def fit_table(self, table: Table) -> Diagnoser:
        """Fit on a table that knows its roles, as `read_source` returns it."""
        self.fitted_: Fitted = fit_table(table, self.settings, self.progress)
        self.about_ = table.about
        self.roles_ = table.roles
        self.classes_ = self.fitted_.ensemble.classes
        self.manifest_: dict[str, Any] = {}
        return self

    def predict_proba(self, X: pd.DataFrame | np.ndarray, groups: Any = None) -> np.ndarray:
        """Return fused probabilities (rows, classes) in the order of `classes_`.

        Rows of X are taken to be one run in time order unless `groups` says otherwise. Rows whose window is
        not full yet, or which the language model alone could judge and did not, are NaN. The language model
        scores up to `lm_score_rows` rows, spread evenly.
        """
        made = self._encode(_frame(X), groups)
        p = np.full((len(X), len(self.classes_)), np.nan)
        if len(made.rows):
            ensemble = self.fitted_.ensemble
            most = self.lm_score_rows if ensemble.uses_language_model else 0
            scored = spread(len(made.rows), most, np.empty(0, int))
            if ensemble.language_only:  # nobody else can judge the rows that it does not score
                made, scored = Features(made.frame[scored], made.rows[scored]), scored[scored]
            p[made.rows] = ensemble.fuse(ensemble.by_expert(made.frame, scored), scored)
        return p

    def predict(self, X: pd.DataFrame | np.ndarray, groups: Any = None) -> np.ndarray:
        """Return labels (rows,): normal unless a fault is detected; None where the window is not full yet."""
        p = self.predict_proba(X, groups)
        known = ~np.isnan(p).any(axis=1)
        labels = np.full(len(p), None, dtype=object)
        labels[known] = self.fitted_.ensemble.detector.decide(p[known], self.classes_)
        return labels

    def score(self, X: Any, y: Any, sample_weight: Any = None, groups: Any = None) -> float:
        """Return the accuracy over the rows that have a full window."""
        labels = self.predict(X, groups)
        known = np.array([label is not None for label in labels])
        truth = label_text(pd.Series(np.asarray(y))).to_numpy(dtype=object)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(np.average(labels[known] == truth[known], weights=weights))

    def diagnose(
        self,
        source: Table | pd.DataFrame | str | Path,
        row: int | None = None,
        cases: int = 3,
        lm_score_rows: int | None = None,
    ) -> Diagnosis:
        """Return verdicts with findings and narrative for a table, a frame, or a file.

        `row` picks one row; `lm_score_rows` (0: none) stands in for the setting. Raises DataError.
        """
        self._check_fitted()
        if isinstance(source, Table):
            table = source
        elif isinstance(source, pd.DataFrame):
            frame = _frame(source).reset_index(drop=True)
            table = Table(frame, self._roles_in(frame.columns), "frame", about=self.about_)
        else:
            table = self.read(source)
        budget = self.lm_score_rows if lm_score_rows is None else lm_score_rows
        return diagnose_table(self.fitted_, table, self.about_, budget, row, cases, self.provenance())

    def label_rows(self, table: Table) -> pd.DataFrame:
        """Return one line per judged row: row (from 1), run, label, its probability, fault score."""
        self._check_fitted()
        judged = judge(self.fitted_, table, self.lm_score_rows)
        column = np.searchsorted(self.classes_, judged.labels.astype(str))
        lines = {
            "row": judged.features.rows + 1,
            "run": judged.runs,
            "label": judged.labels,
            "probability": judged.p[np.arange(len(column)), column].round(6),
        }
        if judged.scores is not None:
            lines["fault_score"] = judged.scores.round(6)
        return pd.DataFrame(lines)

    def read(self, source: str | Path, part: str = "test", labelled: bool = False) -> Table:
        """Read a file with the columns' roles as they were in training. Raises DataError."""
        self._check_fitted()
        table = read_source(source, part=part)
        names = table.frame.columns
        roles = table.roles if table.roles.target else self._roles_in(names)
        if labelled and roles.target is None:
            raise DataError(f"`{source}` has no column `{self.roles_.target}` to judge against: it has no labels.")
        if roles.target in names:
            frame = table.frame.assign(**{str(roles.target): label_text(table.frame[roles.target])})
            table = Table(frame, roles, table.source, table.notes, table.about, table.split)
        return Table(table.frame, roles, table.source, table.notes, self.about_, table.split)

    def provenance(self) -> dict[str, Any]:
        """Return versions, hashes, seeds and settings: what is needed to make this verdict again."""
        from importlib.metadata import version

        from faultwise import __version__
        from faultwise.runs import commit

        packages = ("numpy", "pandas", "scikit-learn", "torch", "transformers")
        record = self.fitted_.record
        return {
            "faultwise": __version__,
            "commit": commit(),
            "data_hash": record.get("data_hash"),
            "trained_on": record.get("source"),
            "training_rows": record.get("train_rows"),
            "settings": asdict(self.settings),
            "packages": {name: version(name) for name in packages},
            "weights": self.fitted_.ensemble.fusion.weights,
            "chosen_on_validation": record.get("chosen"),
        }

    def save(self, folder: str | Path) -> Path:
        """Write a run folder (see `runs`). Raises RunFolderError when the target is something else."""
        self._check_fitted()
        fitted = self.fitted_

        def write(target: Path) -> None:
            for name, expert in fitted.ensemble.experts.items():
                (target / "experts" / name).mkdir(parents=True)
                expert.save(target / "experts" / name)
            # safetensors writes memory as it lies, and pandas keeps columns together: without this the rows of the
            # reference come back as a jumble.
            reference = np.ascontiguousarray(fitted.reference.to_numpy(np.float32))
            rows = {"reference": reference, "seen": np.ascontiguousarray(fitted.seen)}
            save_file(rows, target / "rows.safetensors")
            state = {
                "encoder": {"window": fitted.encoder.window, "columns": fitted.encoder.learnt.to_dict()},
                "fusion": fitted.ensemble.fusion.to_dict(),
                "detector": asdict(fitted.ensemble.detector),
                "band": fitted.band.to_dict(),
                "about": self.about_.to_dict(),
                "roles": asdict(self.roles_),
                "notes": fitted.notes,
            }
            (target / "state.json").write_text(json.dumps(state, allow_nan=False), encoding="utf-8")

        settings = asdict(self.settings)
        manifest = {"settings": settings, "experts": list(fitted.ensemble.experts), **fitted.record}
        return write_run(Path(folder), manifest, write)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False) -> Diagnoser:
        """Read a run folder. Raises RunFolderError when it is incomplete, edited or newer."""
        folder = Path(folder)
        manifest = read_manifest(folder)
        try:
            settings = manifest["settings"]
            made = cls(**{**settings, "experts": tuple(settings["experts"])}, progress=progress)
            state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
            encoder = WindowEncoder(state["encoder"]["window"], ColumnEncoder(**state["encoder"]["columns"]))
            classes = np.array(manifest["labels"], dtype=str)
            ensemble = Ensemble(classes, Detector(**state["detector"]), fusion=Fusion(**state["fusion"]))
            context = ExpertContext(made.seed, progress, language_settings(made.settings))
            for name in manifest["experts"]:
                ensemble.experts[name] = make(name, context).load(folder / "experts" / name)
            rows = load_file(folder / "rows.safetensors")
            reference = pd.DataFrame(rows["reference"], columns=encoder.names)
            band, about = NormalBand(**state["band"]), About.from_dict(state["about"])
            roles = Roles(**{**state["roles"], "ignored": tuple(state["roles"]["ignored"])})
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise RunFolderError(f"`{folder}` cannot be understood ({error}): fit again.") from error
        made.fitted_ = Fitted(encoder, ensemble, band, reference, rows["seen"], state["notes"], manifest)
        made.about_, made.roles_, made.classes_, made.manifest_ = about, roles, classes, manifest
        return made

    def _encode(self, X: pd.DataFrame, groups: Any) -> Features:
        self._check_fitted()
        runs = np.zeros(len(X), int) if groups is None else np.asarray(groups)
        return self.fitted_.encoder.transform(X, stretches(runs))

    def _roles_in(self, columns: Any) -> Roles:
        mine = self.roles_
        here = set(columns)
        target, group, time = (name if name in here else None for name in (mine.target, mine.group, mine.time))
        return Roles(target, group, time, tuple(name for name in mine.ignored if name in here))

    def _check_fitted(self) -> None:
        if not hasattr(self, "fitted_"):
            raise UserError("This Diagnoser has not been fitted: call fit, or Diagnoser.load(folder).")


def _frame(X: pd.DataFrame | np.ndarray) -> pd.DataFrame:
    if isinstance(X, pd.DataFrame):
        frame = X.rename(columns=str)
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()].unique()
            raise DataError(f"X has several columns named {listing(twice)}: rename them.")
        return frame
    values = np.asarray(X)
    if values.ndim != 2:
        raise DataError(f"X has {values.ndim} dimensions, expected 2: (rows, variables).")
    return pd.DataFrame(values, columns=[f"x{at}" for at in range(values.shape[1])])


def _unused(frame: pd.DataFrame, name: str) -> str:
    while name in frame.columns:
        name = f"_{name}"
    return name


def _about(source: str | Path | None) -> About:
    from faultwise.data.about import read_about

    return About() if source is None else read_about(source)
