"""The check for leaks: leaks planted one at a time into four clean sets, and no reports on the clean sets.

Clean sets: the Tennessee Eastman files of Braatz (training runs 0 to 21 against test runs), AI4I 2020 without the five
flags, the shipped sample of simulated Tennessee Eastman runs, and the generated set of the HST layout. Planted are a
run that is in both sources or occurs under two names, 1% of rows copied with noise (relative to each column's standard
deviation), columns that give the label, and columns that look ahead. A plant counts as found when the right columns
or runs are named, or nine in ten of the planted pairs; whatever else is reported counts as false.

    python bench/leaks.py [--seeds 2]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from faultwise.tables.checks.leaks.leak_report import LeakReport, find_leaks
from faultwise.tables.checks.leaks.target_leakage import leaking_columns
from faultwise.tables.evaluate.leakage import side_by_side
from faultwise.tables.reading.benchmarks.samples import sample_path
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Roles, Table
from make_hst import make_hst
from recipe import data_folder, write_result

NOISES = (0.0, 1e-6, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2)
AHEAD = 5
Planted = tuple[Table, Table | None, set[str], int]  # tables, columns to be reported, pairs of rows planted


def clean_sets() -> dict[str, tuple[Table, Table | None, str]]:
    """Return the four sets: table, the table to check against (or None), the label of normal."""
    folder = data_folder("tep-braatz")
    braatz = [read_source(folder, part=part, faults=range(22)) for part in ("train", "test")]
    ai4i = read_source(data_folder("ai4i") / "ai4i2020.csv")
    ai4i = replace(ai4i, roles=replace(ai4i.roles, ignored=(*ai4i.roles.ignored, *leaking_columns(ai4i))))
    sample = read_source(sample_path("tep-sample"), target="fault", group="run", time="hour")
    hst = Table(make_hst(seed=0), Roles(target="Y"), "hst-like")
    return {
        "tep-braatz": (braatz[0], braatz[1], "0"),
        "ai4i": (ai4i, None, "0"),
        "tep-sample": (sample, None, "0"),
        "hst-like": (hst, None, "0"),
    }


def with_column(table: Table, values: np.ndarray) -> Table:
    """Return the table with a column `planted`."""
    return replace(table, frame=table.frame.assign(planted=values))


def noisy(frame: pd.DataFrame, noise: float, rng: np.random.Generator, spread: pd.Series) -> pd.DataFrame:
    """Add normal noise to the measured numbers (columns of more than 20 values) of rows."""
    made = frame.copy()
    for name, value in spread.items():
        made[name] = made[name].astype(float) + noise * value * rng.normal(size=len(made)) if noise else made[name]
    return made


def spreads(table: Table) -> pd.Series:
    """Standard deviations of the columns that measure."""
    numbers = table.X.select_dtypes("number")
    return numbers.loc[:, numbers.nunique() > 20].std()


def near_duplicates(table: Table, against: Table | None, noise: float, rng: np.random.Generator) -> Planted:
    """Overwrite 1% of rows (of the other source, if there is one) with rows of other runs, labels kept."""
    goal = against or table
    count = len(goal.frame) // 100
    rows = rng.choice(len(goal.frame), count, replace=False)
    free = np.arange(len(table.frame)) if against is not None else np.setdiff1d(np.arange(len(table.frame)), rows)
    origin = rng.choice(free, count, replace=False)
    if against is None and table.groups is not None:
        other = table.groups[rows] != table.groups[origin]
        rows, origin = rows[other], origin[other]
    copied = noisy(table.X.iloc[origin], noise, rng, spreads(table))
    frame = goal.frame.astype(dict.fromkeys(spreads(table).index, float)) if noise else goal.frame.copy()
    for name in table.features:
        values = frame[name].to_numpy(copy=True)
        values[rows] = copied[name].to_numpy()
        frame[name] = values
    planted = replace(goal, frame=frame)
    return (table, planted, set(), len(rows)) if against is not None else (planted, None, set(), len(rows))


def duplicated_run(table: Table, against: Table | None, rng: np.random.Generator, name: str, noise: float) -> Planted:
    """Append one run of the table again, to the other source if there is one, under `name` ("" keeps its own)."""
    goal = against or table
    run = rng.choice(np.unique(table.groups))
    column = str(table.roles.group)
    copied = noisy(table.frame[table.groups == run], noise, rng, spreads(table)).assign(**{column: name or run})
    planted = replace(goal, frame=pd.concat([goal.frame, copied], ignore_index=True))
    return (table, planted, set(), 0) if against is not None else (planted, None, set(), 0)


def target_leaks(table: Table, normal: str, rng: np.random.Generator) -> Iterator[tuple[str, Table]]:
    """Yield leaks of the target: a code one to one, a flag of half the faults, a flag wrong in 1% of rows."""
    fault = table.y != normal
    yield "code", with_column(table, "c" + pd.Series(table.y).astype(str).to_numpy(dtype=object))
    yield "flag", with_column(table, (fault & (rng.random(len(fault)) < 0.5)).astype(int))
    wrong = np.zeros(len(fault), bool)
    for side in (fault, ~fault):  # as many wrong rows as a rare fault leaves room for
        few = max(1, int(0.01 * min(fault.sum(), (~fault).sum())))
        wrong[rng.choice(np.flatnonzero(side), few, replace=False)] = True
    yield "flag, few wrong", with_column(table, (fault ^ wrong).astype(int))


def ahead(table: Table, normal: str, rng: np.random.Generator) -> Iterator[tuple[str, Table]]:
    """Yield columns that look ahead: a value later (run ends empty, held or cut off), labels, countdowns."""
    runs = table.runs
    name = str(rng.choice(spreads(table).index))
    values = table.frame[name].astype(float)
    later = values.groupby(runs).shift(-AHEAD)
    spread = float(values.std())
    yield "value, ends empty", with_column(table, later.to_numpy())
    yield "value, ends held", with_column(table, later.groupby(runs).ffill().to_numpy())
    yield "value, ends cut", with_column(table, later.to_numpy()).rows(later.notna().to_numpy())
    noise = 1e-3 * spread * rng.normal(size=len(values))
    yield "value, noise 0.001", with_column(table, later.to_numpy() + noise)
    noise = 1e-2 * spread * rng.normal(size=len(values))
    yield "value, noise 0.01", with_column(table, later.to_numpy() + noise)
    fault = pd.Series((table.y != normal).astype(float))
    place = fault.groupby(runs).cumcount()
    if table.groups is None or not (fault.groupby(runs).nunique() > 1).any():
        return
    code = pd.Series(pd.factorize(table.y)[0]).groupby(runs).shift(-AHEAD)
    yield "label", with_column(table, code.groupby(runs).ffill().to_numpy())
    soft = fault.groupby(runs).shift(-AHEAD).groupby(runs).ffill() + 0.02 * rng.normal(size=len(fault))
    yield "label, noise", with_column(table, soft.to_numpy())
    onset = (1 - fault).groupby(runs).transform("sum")
    left = (onset - place).where(fault.groupby(runs).transform("max") > 0, 1000.0)
    yield "countdown", with_column(table, left.to_numpy())
    yield "countdown, held at 0", with_column(table, left.clip(lower=0).to_numpy())
    yield "countdown, held at 20", with_column(table, left.clip(lower=0, upper=20).to_numpy())
    yield "countdown, logarithm", with_column(table, np.log1p(left.clip(lower=0)).to_numpy())


def scored(report: LeakReport, kind: str, columns: set[str], pairs: int) -> dict[str, Any]:
    """Return whether a plant was found, and how many other leaks were reported."""
    right = [leak for leak in report.leaks if leak.kind == kind and set(leak.columns) == columns]
    count = sum(leak.count for leak in right)
    return {
        "found": bool(right) and count >= 0.9 * pairs,
        "share": round(count / pairs, 3) if pairs else float(bool(right)),
        "false": len(report.leaks) - len(right),
        "severity": right[0].severity if right else None,
    }


def plants(name: str, table: Table, against: Table | None, normal: str, seed: int) -> dict[str, dict[str, Any]]:
    """Return for every plant into one set whether it was found."""
    rng = np.random.default_rng(seed)
    made: dict[str, dict[str, Any]] = {}

    def note(what: str, kind: str, planted: Planted) -> None:
        first, second, columns, pairs = planted
        made[what] = scored(find_leaks(first, second, normal), kind, columns, pairs)
        print(f"  {name}, {what}: {made[what]}", flush=True)

    if table.groups is not None:
        names = {"own name": "", "other name": "copy"} if against is not None else {"other name": "copy"}
        for name_of_run, new in names.items():
            for noise in (0.0, 1e-3):
                what = f"shared run, {name_of_run}, noise {noise:g}"
                note(what, "duplicated runs", duplicated_run(table, against, rng, new, noise))
    for noise in NOISES:
        note(f"1% of rows, noise {noise:g}", "near-duplicate rows", near_duplicates(table, against, noise, rng))
    kinds: dict[str, Callable[..., Iterator[tuple[str, Table]]]] = {"target leakage": target_leaks}
    if name != "hst-like":  # its rows are not in time order
        kinds["look-ahead columns"] = ahead
    for kind, made_by in kinds.items():
        for what, planted in made_by(table, normal, rng):
            note(what, kind, (planted, None, {"planted"}, 0))
    return made


def speed(rows: int = 100_000) -> float:
    """Return the seconds for 100,000 rows of 52 columns in 100 runs, scores left out."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 52)) @ rng.normal(size=(52, 52)) / 7
    frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(52)])
    frame["run"] = np.repeat([f"r{i}" for i in range(100)], rows // 100)
    frame["fault"] = np.where(np.arange(rows) % 1000 < 500, "0", "1")
    started = time.monotonic()
    find_leaks(Table(frame, Roles("fault", "run")), normal="0")
    return round(time.monotonic() - started, 1)


def main() -> None:
    """Check the clean sets, plant, measure the scores once per set, print and write results/leaks.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    sets = clean_sets()
    figures: dict[str, Any] = {"clean": {}, "planted": {}}
    for name, (table, against, normal) in sets.items():
        started = time.monotonic()
        both = {"checked": find_leaks(table, against, normal)}
        if against is not None:
            both["other way round"] = find_leaks(against, table, normal)
        seconds = round(time.monotonic() - started, 1)
        accused = {direction: [leak.line() for leak in report.leaks] for direction, report in both.items()}
        figures["clean"][name] = {"rows": len(table.frame), "accused": accused, "seconds": seconds}
        figures["clean"][name]["not_checked"] = both["checked"].not_checked
        print(name, figures["clean"][name], flush=True)
        results = [plants(name, table, against, normal, seed) for seed in range(args.seeds)]
        figures["planted"][name] = {
            what: {
                "found": sum(one[what]["found"] for one in results),
                "of": len(results),
                "share": round(float(np.mean([one[what]["share"] for one in results])), 3),
                "false": sum(one[what]["false"] for one in results),
                "severity": results[0][what]["severity"],
            }
            for what in results[0]
        }
    table, _, normal = sets["tep-sample"]
    leaky = dict(ahead(table, normal, np.random.default_rng(0)))["label, noise"]
    figures["scores"] = side_by_side(leaky, find_leaks(leaky, normal=normal))
    figures["seconds_100000_rows"] = speed()
    for name, found in figures["planted"].items():
        print(name)
        for what, one in found.items():
            print(f"  {what:32s} {one['found']} of {one['of']}, share {one['share']}, false {one['false']}")
    print({key: figures["scores"][key] for key in ("inflated", "honest")}, figures["seconds_100000_rows"], "s")
    hashes = "-".join(table.hash()[:16] for table, _, _ in sets.values())
    write_result("leaks", {"seeds": args.seeds, "noises": NOISES, "ahead": AHEAD}, hashes, figures)


if __name__ == "__main__":
    main()
