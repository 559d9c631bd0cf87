"""The one entry point: fit, predict, diagnose, evaluate, save, load.

Follows scikit-learn's conventions; the command line does the same through `fit_table` and `diagnose`.
"""

from __future__ import annotations

from copy import copy
from dataclasses import asdict, fields, replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from faultwise.contracts.errors import DataError, RunFolderError, UserError, closest
from faultwise.contracts.records import Diagnosis
from faultwise.evidence.about import About, read_about
from faultwise.language import curves
from faultwise.runs.folders import located, read_manifest, write_run
from faultwise.tables.checks.rules import Rules, read_rules
from faultwise.tables.checks.target_leakage import without_answers
from faultwise.tables.fit.diagnosis import diagnose_table
from faultwise.tables.fit.features.windows import Features
from faultwise.tables.fit.monitoring import fit_normal
from faultwise.tables.fit.predicting import asked, completed, encoded, judge, judged_lines, spread
from faultwise.tables.fit.recalibration import recalibrated
from faultwise.tables.fit.settings import FitSettings, from_mapping
from faultwise.tables.fit.storage import read_fitted, write_fitted
from faultwise.tables.fit.stream import RowStream
from faultwise.tables.fit.training import Fitted, fit_table, language_settings, normal_label
from faultwise.tables.reading.batches import is_large, rows_up_to
from faultwise.tables.reading.frames import as_frame, unused_name
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Roles, Table, label_text
from faultwise.verdicts.registry import ExpertContext
from faultwise.verdicts.stretches import stretches

__all__ = ["Diagnoser"]

_NEAR = 5000  # rows up to the asked one that are judged at most: what its plots show


def _signature() -> Signature:
    """Return the parameters of `Diagnoser`: the settings of a fit, and `progress`."""
    kind = Parameter.KEYWORD_ONLY
    own = [Parameter(f.name, kind, default=f.default, annotation=f.type) for f in fields(FitSettings)]
    progress = Parameter("progress", Parameter.POSITIONAL_OR_KEYWORD, default=False, annotation=bool)
    return Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), progress, *own])


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

    def __init__(self, progress: bool = False, **settings: Any) -> None:
        defaults = asdict(FitSettings())
        for name in settings:
            if name not in defaults:
                near = closest(name, defaults)
                raise TypeError(f"Diagnoser has no parameter `{name}`" + (f": did you mean `{near}`?" if near else "."))
        for name, value in {"progress": progress, **defaults, **settings}.items():
            setattr(self, name, value)

    # scikit-learn, and who asks for help, read the parameters from here: `FitSettings` is their one list.
    __init__.__signature__ = _signature()  # type: ignore[attr-defined]

    @property
    def settings(self) -> FitSettings:
        """The parameters, checked. Raises UserError naming all that is wrong."""
        values = {key: value for key, value in self.get_params().items() if key != "progress"}
        return from_mapping(values, "Diagnoser")

    def fit(
        self,
        X: pd.DataFrame | np.ndarray,
        y: Any = None,
        groups: Any = None,
        about: About | str | Path | None = None,
        rules: Rules | str | Path | None = None,
    ) -> Diagnoser:
        """Fit on X (rows, variables), labels y (rows,) and runs groups (rows,). Raises UserError.

        `y` may be left out with `normal_only`: all rows are then taken to be normal.
        """
        if y is None and not self.normal_only:
            raise UserError("There are no labels y: pass them, or learn normal rows alone with normal_only=True.")
        if (y is not None and len(X) != len(y)) or (groups is not None and len(groups) != len(X)):
            labels = "no" if y is None else len(y)
            raise DataError(f"X has {len(X)} rows, y {labels}: every row needs one label (and one run).")
        frame = as_frame(X).reset_index(drop=True)
        target, group = unused_name(frame, "fault"), unused_name(frame, "run")
        if y is not None:
            frame[target] = np.asarray(y)
        if groups is not None:
            frame[group] = np.asarray(groups)
        roles = Roles(None if y is None else target, None if groups is None else group)
        known = about if isinstance(about, About) else About() if about is None else read_about(about)
        return self.fit_table(Table(frame, roles, "X", about=known), rules)

    def fit_table(self, table: Table, rules: Rules | str | Path | None = None) -> Diagnoser:
        """Fit on a table that knows its roles, as `read_source` returns it; `rules` may be a file's path."""
        given = rules if isinstance(rules, Rules) or rules is None else read_rules(rules)
        settings = self.settings
        labels = set() if table.roles.target is None else set(table.y)
        known = normal_label(labels, replace(settings, normal=None), None)[0]
        table = without_answers(table, settings.keep, settings.normal or table.about.normal or known)
        if settings.normal_only:
            self.fitted_: Fitted = fit_normal(table, settings, given, self.progress)
        else:
            if given is not None:
                given.check(table.frame.columns)
            self.fitted_ = replace(fit_table(table, settings, self.progress), rules=given or Rules())
        self.about_ = table.about
        self.roles_ = table.roles
        self.classes_ = self.fitted_.ensemble.classes
        self.manifest_: dict[str, Any] = {}
        return self

    def stream(self, roles: Roles | None = None, every: bool = False, **options: Any) -> RowStream:
        """Return a judge of rows as they come: `stream.push(rows)` gives a line per row with a full window.

        It gives what `label_rows` gives for the same rows at once, without the language model. `options` are those of
        `stream.RowStream`.
        """
        self._check_fitted()
        return RowStream(self.fitted_, roles or replace(self.roles_, target=None), every, **options)

    def predict_proba(self, X: pd.DataFrame | np.ndarray, groups: Any = None) -> np.ndarray:
        """Return fused probabilities (rows, classes) in the order of `classes_`.

        Rows of X are taken to be one run in time order unless `groups` says otherwise. Rows whose window is
        not full yet, or which the language model alone could judge and did not, are NaN. The language model
        scores up to `lm_score_rows` rows, spread evenly.
        """
        made = self._encode(as_frame(X), groups)
        p = np.full((len(X), len(self.classes_)), np.nan)
        if len(made.rows):
            ensemble = self.fitted_.ensemble
            most = self.lm_score_rows if ensemble.asks_language_model(bool(made.lost)) else 0
            scored = spread(len(made.rows), most, np.empty(0, int))
            if ensemble.language_only and not made.lost:  # nobody else can judge the rows that it does not score
                made, scored = Features(made.frame[scored], made.rows[scored]), scored[scored]
            p[made.rows] = ensemble.fuse(asked(ensemble, made, scored), scored)
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
        most = max(_NEAR, self.fitted_.encoder.window, self.fitted_.rules.memory + 1)
        if isinstance(source, Table):
            table = source
        elif isinstance(source, pd.DataFrame):
            frame = as_frame(source).reset_index(drop=True)
            table = Table(frame, self.roles_in(frame.columns), "frame", about=self.about_)
        elif row is not None and row > 0 and is_large(source):
            table = rows_up_to(source, row, most, self.roles_, part="test", as_text=self.texts)
            table = replace(table, about=self.about_)
        else:
            table = self.read(source)
        if row is not None and table.numbers is None and most < row <= len(table.frame):
            table = table.up_to(row, most)
        budget = self.lm_score_rows if lm_score_rows is None else lm_score_rows
        return diagnose_table(self.fitted_, table, self.about_, budget, row, cases, self.provenance())

    def calibrate(self, table: Table) -> list[str]:
        """Calibrate threshold, fault sets and novelty anew on a labelled table (see `calibrating`); return what to say.

        The settings false_alarm_rate, coverage, coverage_per and novel_rate hold as they are now. Raises DataError.
        """
        self._check_fitted()
        self.fitted_, notes = recalibrated(self.fitted_, table, self.settings)
        return notes

    def label_rows(self, table: Table) -> pd.DataFrame:
        """Return one line per judged row: row (from 1), run, label, its probability, fault score."""
        self._check_fitted()
        judged = judge(self.fitted_, completed(self.fitted_, table), self.lm_score_rows)
        return judged_lines(self.fitted_, judged, judged.features.rows + 1)

    @property
    def texts(self) -> list[str]:
        """Columns of the fit that are words, whatever they look like in a new file: labels, runs, times, categories."""
        named = (self.roles_.target, self.roles_.group, self.roles_.time)
        return [*(name for name in named if name is not None), *self.fitted_.encoder.learnt.categories]

    def read(self, source: str | Path, part: str = "test", labelled: bool = False, target: str | None = None) -> Table:
        """Read a file with the columns' roles as they were in training; `target` names the label's column anew.

        Raises DataError, also where labels are asked for (`labelled`) and there are none.
        """
        self._check_fitted()
        table = read_source(source, part=part, target=target, as_text=self.texts)
        names = table.frame.columns
        roles = self.roles_in(names, table.roles)
        roles = replace(roles, target=target or roles.target)
        if labelled and roles.target is None:
            lacks = f"no column `{self.roles_.target}`" if self.roles_.target else "no column known to hold the label"
            raise DataError(f"`{source}` has {lacks} to judge against, so it has no labels: pass --target COL.")
        if roles.target is not None:
            frame = table.frame.assign(**{roles.target: label_text(table.frame[roles.target])})
            table = replace(table, frame=frame)
        return replace(table, roles=roles, about=self.about_)

    def provenance(self) -> dict[str, Any]:
        """Return versions, hashes, seeds and settings: what is needed to make this verdict again."""
        from importlib.metadata import version

        from faultwise import __version__
        from faultwise.runs.folders import commit

        packages = ("numpy", "pandas", "scikit-learn", "torch", "transformers")
        record = self.fitted_.record
        tuned = record.get("language_model")
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
            **({"language_model": curves.summary(tuned)} if tuned else {}),
        }

    def save(self, folder: str | Path) -> Path:
        """Write a run folder (see `runs`). Raises RunFolderError when the target is something else."""
        self._check_fitted()
        fitted = self.fitted_
        manifest = {"settings": asdict(self.settings), "experts": list(fitted.ensemble.experts), **fitted.record}
        return write_run(Path(folder), manifest, lambda to: write_fitted(to, fitted, self.about_, self.roles_))

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False) -> Diagnoser:
        """Read a run folder. Raises RunFolderError when it is incomplete, edited or newer."""
        folder = located(Path(folder))
        manifest = read_manifest(folder)
        if manifest.get("kind") == "images":
            raise RunFolderError(f"`{folder}` is a run on images: this is for runs on tables.")
        try:
            stored = manifest["settings"].items()
            settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored}
            made = cls(**settings, progress=progress)
            language = language_settings(made.settings)
            # Where a run was tuned says nothing of where it is used.
            language = replace(language, device="cpu" if language.device == "cpu" else "auto")
            context = ExpertContext(made.seed, progress, language)
        except (KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"`{folder}` cannot be understood ({error}): fit again.") from error
        made.fitted_, made.about_, made.roles_ = read_fitted(folder, manifest, context)
        made.classes_, made.manifest_ = made.fitted_.ensemble.classes, manifest
        return made

    def only(self, expert: str) -> Diagnoser:
        """Return this diagnoser with one classical expert judging alone, calibrated and with its own threshold.

        Raises UserError for an expert that the fit did not have.
        """
        self._check_fitted()
        made = copy(self)
        # Sets and novelty were calibrated for the fused verdict.
        made.fitted_ = replace(self.fitted_, ensemble=self.fitted_.ensemble.only(expert), calibration=None)
        return made

    def roles_in(self, columns: Any, own: Roles | None = None) -> Roles:
        """Return the roles of the fit that these columns can play; where there is none, the source's `own`."""
        mine = self.roles_
        here = set(columns)
        target, group, time = (name if name in here else None for name in (mine.target, mine.group, mine.time))
        own = own or Roles()
        ignored = tuple(name for name in mine.ignored if name in here)
        return Roles(target or own.target, group or own.group, time or own.time, ignored)

    def _encode(self, X: pd.DataFrame, groups: Any) -> Features:
        self._check_fitted()
        runs = np.zeros(len(X), int) if groups is None else np.asarray(groups)
        return encoded(self.fitted_, X, stretches(runs))

    def _check_fitted(self) -> None:
        if not hasattr(self, "fitted_"):
            raise UserError("This Diagnoser has not been fitted: call fit, or Diagnoser.load(folder).")
