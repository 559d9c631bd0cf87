"""Tables as plants have them: the verdict of the default call beside plain classifiers with their defaults.

Every table is divided by run (separate rows: by class), a third for the test, anew for each seed; the Braatz files keep
their own division. `Diagnoser` gets the names of the columns and nothing else, and is asked like anybody would ask it:
`predict_proba`, whose largest value names the class, which is how plain classifiers decide, and `predict`, which names
a fault where one is detected at the false-alarm rate asked for. Balanced accuracy at different rates of false alarms is
not comparable, so the latter stands beside plain classifiers at the rate that it had. Plain classifiers get the
measured columns of each row, and are judged on the rows that have a verdict.

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
from field_plain import EXTRA, PLAIN, classifier
from field_summary import chart, lines_of, summary
from field_tables import MOST_ROWS, TABLES, FieldTable, divided
from recipe import RESULTS, write_result

# What is set beyond the names of columns: nothing.
SETTINGS: dict[str, Any] = {}
MINUTES = 20
CACHE = Path(__file__).parents[1] / "build" / "field"


def measured(table: FieldTable, seed: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return figures by method, and for each test row with a verdict: `y`, `unit` and the label by method, as text."""
    train, test, unit = divided(table, seed)
    roles = {"target": table.target, "group": table.group, "time": table.time}
    started = time.monotonic()
    diagnoser = Diagnoser(seed=seed, **table.needs, **SETTINGS)
    diagnoser.fit(train, **{role: name for role, name in roles.items() if name is not None})
    fit_s = time.monotonic() - started
    X, groups = test.drop(columns=table.target), None if table.group is None else test[table.group]
    started = time.monotonic()
    names = np.asarray(diagnoser.classes_).astype(str)
    order = np.argsort(names)  # as text 10 comes before 2
    p, classes = np.asarray(diagnoser.predict_proba(X, groups))[:, order], names[order]
    predict_s = time.monotonic() - started
    known = ~np.isnan(p).any(axis=1)
    if not known.any():
        raise RuntimeError("no row has a verdict")
    y = test[table.target].astype(str).to_numpy()[known]
    named = np.asarray(diagnoser.predict(X, groups), dtype=object)[known].astype(str)
    methods = {"verdict": p[known].argmax(axis=1), "verdict detected": np.searchsorted(classes, named)}
    shares = {"verdict": p[known]}
    # Each expert alone, on the same rows; `evaluate` would leave out windows that reach over a change of label.
    for name in diagnoser.model_.fitted.ensemble.alone:
        alone = diagnoser.model_.only(name)
        q = shares[f"expert {name}"] = np.asarray(alone.predict_proba(X, groups))[known][:, order]
        methods[f"expert {name}"] = q.argmax(axis=1)
        named = np.asarray(alone.predict(X, groups), dtype=object)[known].astype(str)
        methods[f"expert {name} detected"] = np.searchsorted(classes, named)
    rows = test.iloc[np.flatnonzero(known)]
    made, seconds = beside(table, {name: classifier(name, seed) for name in PLAIN}, train, rows, classes)
    for name, q in made.items():
        shares[name], methods[name] = q, q.argmax(axis=1)
        methods[f"{name} detected"] = detected(q, y, classes, table.normal, classes[methods["verdict detected"]])
    labels = {name: classes[codes] for name, codes in methods.items()}
    figures = figures_of(table, y, labels, shares, classes, seconds)
    encoder = diagnoser.model_.fitted.encoder
    record = {
        "fit_s": round(fit_s, 1),
        "predict_s": round(predict_s, 2),
        "train_rows": len(train),
        "test_rows": len(test),
        "share_with_verdict": float(known.mean()),
        "window": "1 row" if encoder.window == 1 else encoder.words(),
        "notes": list(diagnoser.model_.notes),
        "figures": figures,
    }
    return record, {"y": y, "unit": unit[known], "known": known, **labels}


def beside(
    table: FieldTable, plain: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame, classes: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Fit plain classifiers on the measured columns; return probabilities (rows, classes) and seconds by name."""
    made, seconds = {}, {}
    codes = np.searchsorted(classes, train[table.target].astype(str))
    for name, model in plain.items():
        started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            p = model.fit(train[table.measured], codes).predict_proba(test[table.measured])
        made[name] = aligned(np.asarray(p, dtype=float), classes[model.classes_], classes)
        seconds[name] = round(time.monotonic() - started, 1)
    return made, seconds


def detected(p: np.ndarray, y: np.ndarray, classes: np.ndarray, normal: str | None, verdict: np.ndarray) -> np.ndarray:
    """Return codes (rows,) where a fault is named for the rows least likely normal, as many normal ones among them as
    the labels `verdict` have: what a plain classifier gives at the same false-alarm rate. The threshold is taken from
    the test itself, which favours it. Without a normal class these are the likeliest classes.
    """
    if normal is None:
        return np.asarray(p.argmax(axis=1))
    at = int(np.searchsorted(classes, normal))
    healthy, score = y == normal, 1 - p[:, at]
    alarms = int((verdict[healthy] != normal).sum())
    least = np.sort(score[healthy])[::-1][min(alarms, healthy.sum() - 1)]
    faults = p.copy()
    faults[:, at] = -1
    return np.where(score > least, faults.argmax(axis=1), at)


def figures_of(
    table: FieldTable,
    y: np.ndarray,
    labels: dict[str, np.ndarray],
    shares: dict[str, np.ndarray],
    classes: np.ndarray,
    seconds: dict[str, float],
) -> dict[str, dict[str, Any]]:
    """Return the figures of labels by method; `shares` has the probabilities of each, without ` detected`."""
    made: dict[str, dict[str, Any]] = {}
    for name, given in labels.items():
        made[name] = {**metrics(y, given, shares[name.removesuffix(" detected")], classes, table.normal)}
        if name in seconds:
            made[name]["seconds"] = seconds[name]
    return made


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
            known, verdict = held["known"], held["verdict detected"]
        train, test, _ = divided(table, seed)
        classes = np.array(sorted(set(train[table.target].astype(str))))
        rows = test.iloc[np.flatnonzero(known)]
        p, seconds = beside(table, {extra: classifier(extra, seed)}, train, rows, classes)
        y = rows[table.target].astype(str).to_numpy()
        codes = detected(p[extra], y, classes, table.normal, verdict)
        arrays = {extra: classes[p[extra].argmax(axis=1)], f"{extra} detected": classes[codes]}
        record = {"figures": figures_of(table, y, arrays, p, classes, seconds)}
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
