"""`Diagnoser`, which follows scikit-learn's conventions.

`tests/test_scikit_learn.py` runs scikit-learn's own checks and lists those few that it does not pass, with reasons.
What a source is (a table, images, ...) is recognised by the modalities, which the command line uses too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from faultwise.contracts.errors import RunFolderError, UserError, closest
from faultwise.contracts.labels import label_of
from faultwise.contracts.modality import Calibrates, Items, Modality, Model, able, modalities, modality, recognised
from faultwise.contracts.settings import built, flattened, options_of
from faultwise.diagnoser.parameters import ModalitySignature, default_of, nested, options_for
from faultwise.diagnoser.parameters import known as known_settings
from faultwise.runs.folders import located, read_manifest, write_model

if TYPE_CHECKING:
    import numpy as np

    from faultwise.contracts.diagnosis import Diagnosis, Evaluation

__all__ = ["Diagnoser"]


class _NotFittedError(UserError, NotFittedError):  # type: ignore[misc]
    """As scikit-learn's, and one that the command line understands."""


class Diagnoser(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Diagnoses faults from what a machine leaves behind: rows of measurements, images, ...

    Parameters are the settings of a fit (`faultwise settings` lists them all; those of the language model as
    `language={"steps": 60}`), `modality` by name where it is not to be recognised, and `progress`, which shows bars on
    stderr. After a fit `model_` is the modality's own model, `classes_` the labels in the type they came in, and
    `n_features_in_` and `feature_names_in_` the columns of X, where it has some.

    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> X = pd.DataFrame({"flow": np.r_[rng.normal(5, 1, 60), rng.normal(9, 1, 60)], "noise": rng.normal(size=120)})
    >>> y, runs = np.repeat(["normal", "leak"], 60), np.repeat(np.arange(8), 15)
    >>> diagnoser = Diagnoser(experts=("logistic-regression",)).fit(X, y, groups=runs)
    >>> [str(label) for label in diagnoser.predict(pd.DataFrame({"noise": [0.0, 0.0], "flow": [5.0, 9.5]}))]
    ['normal', 'leak']
    """

    __signature__ = ModalitySignature()

    def __init__(self, progress: bool = False, modality: str | None = None, **settings: object) -> None:
        self.progress, self.modality = progress, modality
        self._named: list[str] = []
        known = known_settings()
        for name in settings:
            if name not in known:
                near = closest(name, known)
                raise TypeError(f"Diagnoser has no parameter `{name}`" + (f": did you mean `{near}`?" if near else "."))
        self.set_params(**settings)

    def get_params(self, deep: bool = True) -> dict[str, object]:
        """Return the parameters that were given (or, after `load`, differ from the modality's defaults)."""
        return {"progress": self.progress, "modality": self.modality, **self._given()}

    def set_params(self, **params: object) -> Self:
        """Change parameters. Raises ValueError for one that no modality knows, as scikit-learn does."""
        known = known_settings()
        for name, value in params.items():
            if name not in known and name not in ("progress", "modality"):
                near = closest(name, known)
                hint = f": did you mean `{near}`?" if near else "."
                raise ValueError(f"Invalid parameter {name!r} for Diagnoser{hint}")
            if hasattr(type(self), name):
                raise ValueError(f"The setting `{name}` has the name of a method: choose another one in its package.")
            if name in known and name not in self._named:
                self._named.append(name)
            setattr(self, name, value)  # as scikit-learn does
        return self

    def _given(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self._named}

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self._given().items())
        return f"Diagnoser({given})"

    def fit(
        self, X: object, y: object = None, groups: object = None, sample_weight: object = None, **reading: object
    ) -> Self:
        """Learn from a source: a path, rows X (rows, variables) with labels y (rows,) and runs groups (rows,), images.

        X may be an array or a dataframe (pandas, polars, Arrow, DuckDB, ...). Without `groups` each row counts as a
        separate measurement. `sample_weight` (rows,) reaches the experts that take weights. `reading` says how the
        source is to be understood (`target`, `about`, `category`, ...). Raises UserError.
        """
        with_labels = any(one is not None for one in (y, groups, sample_weight))
        if with_labels and isinstance(X, str | Path):
            raise UserError("Labels and runs of a file are columns of it: name them (target=..., group=...).")
        source = Items(X, y, groups, sample_weight) if with_labels else X
        found = recognised(X, self.modality).modality
        settings: object = built(found.settings, self._given(), "Diagnoser")
        self.model_: Model = found.fit(source, settings, options_for(found, "reading", reading, "fit"), self.progress)
        self.modality_ = found.name
        self._describe()
        return self

    def _describe(self) -> None:
        """Set what scikit-learn wants to know of a fit, as far as the modality has it."""
        for name in ("classes_", "n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        classes, columns = getattr(self.model_, "classes", None), getattr(self.model_, "columns", None)
        if classes is not None:
            self.classes_ = classes
        if columns is not None:
            self.n_features_in_ = len(columns.names)
            if columns.named:
                import numpy as np

                self.feature_names_in_ = np.array(columns.names, dtype=object)

    def predict_proba(self, X: object, groups: object = None) -> np.ndarray:
        """Return probabilities (items, classes) in the order of `classes_`. Raises UserError where none are claimed."""
        made: np.ndarray = self._rows_of("predict_proba")(X, groups)
        return made

    def predict(self, X: object, groups: object = None) -> np.ndarray:
        """Return labels (items,) in the type they came in, None where nothing can be concluded."""
        made: np.ndarray = self._rows_of("predict")(X, groups)
        return made

    def stream(self, **options: object) -> Any:
        """Return a classifier of items as they come: `stream.push(rows)` gives a line for each that gets a verdict.

        Raises UserError for a modality without streams.
        """
        return self._rows_of("stream")(**options)

    def score(self, X: object, y: object, sample_weight: object = None, groups: object = None) -> float:
        """Return the accuracy over the items that get a label."""
        import numpy as np

        labels = np.array([label_of(value) for value in self.predict(X, groups)], dtype=object)
        known = np.array([label is not None for label in labels])
        truth = np.array([label_of(value) for value in np.asarray(y)], dtype=object)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(np.average(labels[known] == truth[known], weights=weights))

    def diagnose(self, source: object, **options: object) -> Diagnosis:
        """Return verdicts with findings and narrative for a path or for something in memory.

        `options` are the modality's: for tables `row`, `cases`, `expert`, `score_rows`. Raises DataError.
        """
        found, (reading, query) = self._found(), self._split(options)
        how, what = options_for(found, "reading", reading, "diagnose"), options_for(found, "query", query, "diagnose")
        return self._model().diagnose(source, how, what)

    def evaluate(self, source: object, y: object = None, groups: object = None, **options: object) -> Evaluation:
        """Judge the model on labelled items that the fit has not seen. Raises DataError without labels."""
        found, (reading, query) = self._found(), self._split(options)
        source = source if y is None and groups is None else Items(source, y, groups)
        how, what = options_for(found, "reading", reading, "evaluate"), options_for(found, "query", query, "evaluate")
        return self._model().evaluate(source, how, what)

    def calibrate(self, source: object, changes: Mapping[str, object] | None = None, **reading: object) -> Evaluation:
        """Learn anew what verdicts promise, from labelled items the fit has not seen; `changes` are settings.

        Parameters changed by `set_params` since the fit count too. Raises UserError for a modality without it.
        """
        model = able(self._model(), Calibrates, "be calibrated anew")  # type: ignore[type-abstract]
        given = {name: value for name, value in self._given().items() if name in model.changeable}
        made = model.calibrate(
            source, options_for(self._found(), "reading", reading, "calibrate"), {**given, **(changes or {})}
        )
        self._take_settings()
        return made

    def save(self, folder: str | Path) -> Path:
        """Write a run folder. Raises RunFolderError when the target is something else."""
        model = self._model()
        return write_model(Path(folder), self.modality_, model)

    @classmethod
    def load(cls, folder: str | Path, progress: bool = False) -> Diagnoser:
        """Read a run folder. Raises RunFolderError when it is incomplete, edited, newer or of no known modality."""
        folder = located(Path(folder))
        manifest = read_manifest(folder)
        name = str(manifest.get("modality"))
        if name not in modalities():
            why = f"holds a model of `{name}`, which is not installed here"
            raise RunFolderError(f"`{folder}` {why}: install the package that provides it.")
        made = cls(progress)
        made.model_ = modality(name).load(folder, manifest, progress)
        made.modality_ = name
        made._take_settings()
        made._describe()
        return made

    def _take_settings(self) -> None:
        """Make the parameters those of the model that differ from the modality's defaults."""
        default = flattened(built(modality(self.modality_).settings, {}))
        stored = flattened(self._model().settings)
        self.set_params(**nested({key: value for key, value in stored.items() if value != default[key]}))

    def __getattr__(self, name: str) -> object:
        # A parameter that was not given has its default, as scikit-learn expects of attributes.
        if not name.startswith("_") and not name.endswith("_"):
            try:
                return default_of(name)
            except KeyError:
                pass
        raise AttributeError(f"Diagnoser has no attribute `{name}`")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = True
        tags.target_tags.required = not self.normal_only
        return tags

    def _model(self) -> Model:
        if not hasattr(self, "model_"):
            raise _NotFittedError("This Diagnoser has not been fitted: call fit, or Diagnoser.load(folder).")
        return self.model_

    def _found(self) -> Modality:
        self._model()
        return modality(self.modality_)

    def _split(self, options: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
        """Return which options say how a source is read, and which what is asked of it."""
        names = {option.name for option in options_of(self._found().reading)}
        reading = {name: value for name, value in options.items() if name in names}
        return reading, {name: value for name, value in options.items() if name not in names}

    def _rows_of(self, name: str) -> Any:
        made = getattr(self._model(), name, None)
        if made is None:
            raise UserError(
                f"Models of {self.modality_} have no `{name}`: call diagnose, whose cases hold the verdicts."
            )
        return made
