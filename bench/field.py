"""Tables as plants have them: the verdict of the default call beside plain classifiers with their defaults.

Every table is divided by run (separate rows: by class), a third for the test, anew for each seed; the Braatz files keep
their own division. `Diagnoser` gets the names of the columns and nothing else, and is asked like anybody would ask it:
`predict` (a fault is named where one is detected at the false-alarm rate asked for) and `predict_proba` (its largest
value names the class, which is how plain classifiers decide). Plain classifiers get the measured columns of each row,
and are judged on the rows that have a verdict.

A table and seed run in a process of their own, for 20 minutes at most, and what is in the cache is not run again; what
is printed and written at the end (results/field.json, field.svg) is made from the cache alone.

    python bench/field.py [--table NAME] [--seeds 3] [--against extra] [--cache FOLDER] [--fresh] [--out NAME]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.errors import UserError
from faultwise.diagnoser import Diagnoser
from faultwise.runs.folders import commit
from faultwise.verdicts.ensemble import aligned
from faultwise.verdicts.metrics import metrics
from field_summary import chart, lines_of, summary
from field_tables import MOST_ROWS, TABLES, FieldTable, divided
from recipe import RESULTS, write_result

# What is set beyond the names of columns: the language model costs minutes and takes no part in these figures.
SETTINGS: dict[str, Any] = {"lm": False}
MINUTES = 20
CACHE = Path(__file__).parents[1] / "build" / "field"
EXTRA = ("xgboost", "lightgbm", "catboost", "autogluon")


def measured(table: FieldTable, seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return figures by method, and for each test row with a verdict: `y`, `unit` and the label by method, as text."""
    train, test, unit = divided(table, seed)
    names = {"target": table.target, "group": table.group, "time": table.time}
    started = time.monotonic()
    diagnoser = Diagnoser(seed=seed, **table.needs, **SETTINGS)
    diagnoser.fit(train, **{role: name for role, name in names.items() if name is not None})
    fit_s = time.monotonic() - started
    X, groups = test.drop(columns=table.target), None if table.group is None else test[table.group]
    started = time.monotonic()
    p, classes = np.asarray(diagnoser.predict_proba(X, groups)), np.asarray(diagnoser.classes_).astype(str)
    predict_s = time.monotonic() - started
    known = ~np.isnan(p).any(axis=1)
    if not known.any():
        raise RuntimeError("no row has a verdict")
    y = test[table.target].astype(str).to_numpy()[known]
    labels = {"verdict": classes[p[known].argmax(axis=1)]}
    figures: dict[str, Any] = {"verdict": metrics(y, labels["verdict"], p[known], classes, table.normal)}
    labels["detected"] = np.asarray(diagnoser.predict(X, groups), dtype=object)[known].astype(str)
    figures["detected"] = metrics(y, labels["detected"], p[known], classes, table.normal)
    # Each expert alone, on the same rows; `evaluate` would leave out windows that reach over a change of label.
    for name in diagnoser.model_.fitted.ensemble.alone:
        q = np.asarray(diagnoser.model_.only(name).predict_proba(X, groups))[known]
        labels[f"expert {name}"] = classes[q.argmax(axis=1)]
        figures[f"expert {name}"] = metrics(y, labels[f"expert {name}"], q, classes, table.normal)
    plain = {name: build(seed) for name, build in _PLAIN.items()}
    more, made = beside(table, plain, train, test.iloc[np.flatnonzero(known)], classes)
    record = {
        "fit_s": round(fit_s, 1),
        "predict_s": round(predict_s, 2),
        "train_rows": len(train),
        "test_rows": len(test),
        "share_with_verdict": float(known.mean()),
        "window": diagnoser.model_.fitted.encoder.window,
        "notes": list(diagnoser.model_.notes),
        "figures": {**figures, **more},
    }
    return record, {"y": y, "unit": unit[known], "known": known, **labels, **made}


def beside(
    table: FieldTable, plain: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame, classes: np.ndarray
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Fit plain classifiers on the measured columns; return figures and labels of the rows `test`, by name."""
    figures, labels = {}, {}
    codes = np.searchsorted(classes, train[table.target].astype(str))
    y = test[table.target].astype(str).to_numpy()
    for name, model in plain.items():
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p = model.fit(train[table.measured], codes).predict_proba(test[table.measured])
        p = aligned(np.asarray(p, dtype=float), classes[model.classes_], classes)
        labels[name] = classes[p.argmax(axis=1)]
        figures[name] = {
            **metrics(y, labels[name], p, classes, table.normal),
            "seconds": round(time.monotonic() - started, 1),
        }
    return figures, labels


def _prepared(model: Any, scaled: bool = False) -> Any:
    """Return a classifier behind one-hot columns for texts, medians for gaps and, if asked for, scaling."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(strategy="median"), *([StandardScaler()] if scaled else []))
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (texts, make_column_selector(dtype_exclude="number")),
        verbose_feature_names_out=False,
    )
    return make_pipeline(columns, model)


def _boosting(seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _prepared(HistGradientBoostingClassifier(random_state=seed))


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return _prepared(RandomForestClassifier(random_state=seed))


def _logistic(seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    # More iterations than the default, which ends before it converges.
    return _prepared(LogisticRegression(max_iter=1000), scaled=True)


_PLAIN: dict[str, Callable[[int], Any]] = {"boosting": _boosting, "forest": _forest, "logistic": _logistic}


def _extra(name: str, seed: int) -> Any:
    """Return a classifier of another package with its defaults, on one core."""
    if name == "xgboost":
        from xgboost import XGBClassifier

        return _prepared(XGBClassifier(random_state=seed, n_jobs=1))
    if name == "lightgbm":
        from lightgbm import LGBMClassifier

        return _prepared(LGBMClassifier(random_state=seed, n_jobs=1, verbose=-1))
    if name == "catboost":
        from catboost import CatBoostClassifier

        return _prepared(CatBoostClassifier(random_seed=seed, thread_count=1, verbose=False, allow_writing_files=False))
    return _AutoGluon(seed)


class _AutoGluon:
    """AutoGluon's tables with its defaults and ten minutes, as a classifier."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> _AutoGluon:
        """Learn from X (rows, columns) and codes y (rows,)."""
        from tempfile import mkdtemp

        from autogluon.tabular import TabularPredictor

        made = TabularPredictor(label="code of the label", path=mkdtemp(), verbosity=0)
        self.predictor = made.fit(X.assign(**{"code of the label": y}), time_limit=600, num_cpus=1)
        self.classes_ = np.array(self.predictor.class_labels)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities (rows, classes)."""
        return np.asarray(self.predictor.predict_proba(X))


def piece(name: str, seed: int, cache: Path, extra: str | None) -> None:
    """Run one table and seed, or one other package on it, and write it into the cache, whole or not at all."""
    table, base = TABLES[name](), {"table": name, "seed": seed, "commit": commit(), "settings": SETTINGS}
    path = _path(cache, name, seed, extra)
    if extra is None:
        try:
            record, arrays = measured(table, seed)
        except (UserError, RuntimeError) as error:
            record, arrays = {"refused": str(error)}, {}
        base |= {"words": table.words, "real": table.real, "normal": table.normal, "data_hash": _hash(table)}
    else:
        with np.load(_path(cache, name, seed).with_suffix(".npz")) as held:
            known = held["known"]
        train, test, _ = divided(table, seed)
        classes = np.array(sorted(set(train[table.target].astype(str))))
        rows = test.iloc[np.flatnonzero(known)]
        figures, arrays = beside(table, {extra: _extra(extra, seed)}, train, rows, classes)
        record = {"figures": figures}
    making = path.with_suffix(".making.npz")
    np.savez_compressed(making, **{key: v if v.dtype == bool else v.astype(str) for key, v in arrays.items()})
    os.replace(making, path.with_suffix(".npz"))
    _write(path, {**base, **record})


def _write(path: Path, content: dict[str, Any]) -> None:
    making = path.with_suffix(".making")
    making.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(making, path)


def _hash(table: FieldTable) -> str:
    from faultwise.tables.reading.table import Table

    return Table(table.frame).hash()


def _path(cache: Path, name: str, seed: int, extra: str | None = None) -> Path:
    return cache / (f"{name}-{seed}.json" if extra is None else f"{name}-{seed}-{extra}.json")


def run_pieces(names: list[str], seeds: int, extras: list[str], cache: Path, fresh: bool) -> None:
    """Run what is not in the cache yet, each in a process of its own with a limit of time."""
    for name, seed in [(name, seed) for seed in range(seeds) for name in names]:
        base = _path(cache, name, seed)
        if fresh or "failed" in _read(base):
            base.unlink(missing_ok=True)
        if not base.exists():
            # Their rows are those with a verdict, which may be others now.
            for extra in EXTRA:
                _path(cache, name, seed, extra).unlink(missing_ok=True)
                _path(cache, name, seed, extra).with_suffix(".npz").unlink(missing_ok=True)
            _run(name, seed, cache, None)
        for extra in extras:
            path = _path(cache, name, seed, extra)
            if "figures" in _read(base) and (not path.exists() or "failed" in _read(path)):
                _run(name, seed, cache, extra)


def _run(name: str, seed: int, cache: Path, extra: str | None) -> None:
    """Run one piece; what keeps it from its end is written in its place, so that nothing is silently left out."""
    command = [sys.executable, __file__, "--piece", f"{name}:{seed}:{extra or ''}", "--cache", str(cache)]
    content: dict[str, Any] = {"table": name, "seed": seed, "commit": commit()}
    started, words = time.monotonic(), ""
    try:
        done = subprocess.run(command, timeout=60 * MINUTES, env={"OMP_NUM_THREADS": "1", **os.environ}, check=False)
        if done.returncode:
            words = f"it ended with exit code {done.returncode}"
            _write(_path(cache, name, seed, extra), {**content, "failed": True, "refused": words})
    except subprocess.TimeoutExpired:
        words = f"it was not done after {MINUTES} minutes"
        _write(_path(cache, name, seed, extra), {**content, "refused": words})
    print(f"{name} {seed} {extra or ''} {time.monotonic() - started:.0f} s {words}", flush=True)


def _read(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return made


def pieces_of(names: list[str], seeds: int, cache: Path) -> list[dict[str, Any]]:
    """Return the pieces in the cache, with the figures and labels of other packages that they have."""
    pieces = []
    for name, seed in [(name, seed) for name in names for seed in range(seeds)]:
        one: dict[str, Any] = {**_read(_path(cache, name, seed)), "rows": {}}
        for extra in (None, *EXTRA):
            path = _path(cache, name, seed, extra)
            found = _read(path).get("figures", {})
            if found:
                one["figures"].update(found)
                with np.load(path.with_suffix(".npz")) as held:
                    one["rows"].update(dict(held))
        pieces.append(one)
    return pieces


def main() -> None:
    """Run the pieces, print the tables and checks, write results/NAME.json and NAME.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="append", choices=list(TABLES), help="this one alone; may be repeated")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--against", choices=("extra",), help="other packages, too: " + ", ".join(EXTRA))
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--fresh", action="store_true", help="run again what is in the cache")
    parser.add_argument("--out", default="field", help="name of the result files")
    parser.add_argument("--piece", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    if args.piece:
        name, seed, extra = args.piece.split(":")
        piece(name, int(seed), args.cache, extra or None)
        return
    extras = [name for name in EXTRA if find_spec(name)] if args.against else []
    absent = [name for name in EXTRA if not find_spec(name)]
    if args.against and absent:
        print(f"Not installed, and therefore not measured: {', '.join(absent)}.")
    names = args.table or list(TABLES)
    run_pieces(names, args.seeds, extras, args.cache, args.fresh)
    pieces = pieces_of(names, args.seeds, args.cache)
    made = summary(pieces)
    print("\n".join(lines_of(made)))
    config = {
        "seeds": args.seeds,
        "settings": SETTINGS,
        "most_rows": MOST_ROWS,
        "extra": {name: version(name) for name in extras},
        "not_measured": absent if args.against else list(EXTRA),
    }
    hashes = "".join(str(one.get("data_hash")) for one in pieces)
    print(write_result(args.out, config, sha256(hashes.encode()).hexdigest(), made))
    if args.out == "field":
        chart(made, RESULTS / "field.svg")


if __name__ == "__main__":
    main()
