"""An expert of your own, found like the built-in ones.

The expert is a package of its own (`examples/own_expert`: one class and four lines of pyproject.toml). It knows what
no classifier learns from eight short runs: how flow, head and power go with speed. Installed, it is found by its name,
calibrated, weighted in the fusion by its likelihood on held-out runs, saved and loaded like any other. Notice its
weight, which nobody chose, and that the fused verdict is about as good as the best of them.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from charts import expert_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.tables.evaluate.protocol import evaluate_table
from faultwise.tables.reading.table import Roles, Table
from faultwise.verdicts.registry import available
from pump import SENSORS, pump_runs

PACKAGE = Path(__file__).parent / "own_expert"


def install(package: Path, site: Path) -> None:
    """Stand in for `pip install examples/own_expert`: write the two files that make its entry points known."""
    project = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path[:0] = [str(site), str(package)]


def main() -> None:
    """Install, fit with others beside it, judge, save, load."""
    picture, work = places(__file__, __doc__)
    install(PACKAGE, work / "site")
    print("Experts by name:", ", ".join(available()))
    training, test = pump_runs(each=2, seed=1), pump_runs(each=6, seed=5000)
    experts = ("extra-trees", "knn", "logistic-regression", "pump-balance")
    diagnoser = Diagnoser(experts=experts, folds=2).fit(training[SENSORS], training["state"], groups=training["run"])

    result = evaluate_table(diagnoser.model_.fitted, Table(test, Roles("state", "run")))
    recall = {name: figures["mean_recall"] for name, figures in result["experts"].items()}
    recall["fused"] = result["verdict"]["mean_recall"]
    weights = diagnoser.model_.provenance()["weights"]
    for name, value in recall.items():
        print(f"{name:<24} mean recall {value:.3f}, weight {weights.get(name, 0):.2f}")

    again = Diagnoser.load(diagnoser.save(work / "run"))
    print("Loaded again, same labels:", bool((again.predict(test[SENSORS]) == diagnoser.predict(test[SENSORS])).all()))

    from pump_balance import balances  # its package is known since `install`

    seen = balances(test[SENSORS].rename(columns="value({})".format))
    save(expert_chart(test, seen, recall, weights), picture)


if __name__ == "__main__":
    main()
