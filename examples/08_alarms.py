"""From verdicts to alarms: how late they come, how often they are false, and what waiting costs. Commands only.

A flagged row is no alarm yet: so many of the last few rows have to be flagged. Notice the trade-off on the left, false
alarms per day of operation against the delay of the true ones, and that a fault counts as found by chance, too, where
false alarms are frequent enough to meet it.
"""

from __future__ import annotations

import json

from charts import alarms_chart
from drawing import places, save
from faultwise.cli.main import main as faultwise
from pump import pump_runs


def run(*words: object) -> None:
    """Run a command as on the command line, saying which."""
    print("$ faultwise", *words)
    code = faultwise([str(word) for word in words])
    if code:
        raise SystemExit(code)


def main() -> None:
    """Write tables, fit, look at alarms on new runs, draw what a debounce costs."""
    picture, work = places(__file__, __doc__)
    history, new, told = work / "history.csv", work / "new.csv", work / "alarms.json"
    pump_runs(each=6, seed=1).to_csv(history, index=False)
    pump_runs(each=12, seed=5000).to_csv(new, index=False)

    roles = ("--target", "state", "--group", "run", "--window", 10)
    run("fit", history, "--out", work / "run", *roles, "--experts", "logistic-regression,svm")
    run("evaluate", work / "run", new)
    run("alarms", work / "run", new, "--minutes", 1, "--debounce", "2/3", "--out", told)

    save(alarms_chart(json.loads(told.read_text("utf-8"))), picture)


if __name__ == "__main__":
    main()
