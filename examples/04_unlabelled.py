"""Without fault labels: a monitor of normal runs with T2 and SPE, and rules of your own.

Only forty runs of normal operation are learnt: what is usual, alone and together. The threshold is set so that at
most one normal run in twenty raises any alarm. Rules from a YAML file are checked beside it, on every row.
Notice that the first alarm comes while each sensor by itself still reads what it may read: flow, speed and suction no
longer fit together, which is what SPE measures. The rule holds what the engineer knows and the data do not show.
"""

from __future__ import annotations

import pandas as pd

from charts import monitor_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.report.words import headline
from faultwise.tables.reading.table import Roles, Table
from pump import SENSORS, pump_run

RULES = """
rules:
  - name: Low flow at speed
    all:
      - {variable: flow, below: 96}
      - {variable: speed, above: 2650}
    for: 8
    note: Check impeller and strainer.
  - {name: Bearing hot, variable: bearing, above: 75}
"""
ONSET = 60


def main() -> None:
    """Learn normal runs, look at the first alarm of a faulty one, count alarms in normal ones."""
    picture, work = places(__file__, __doc__)
    (work / "rules.yaml").write_text(RULES, "utf-8")
    normal = pd.concat([pump_run(seed=seed) for seed in range(40)])
    diagnoser = Diagnoser(normal_only=True, window=15, false_alarm_rate=0.05, false_alarm_per="run")
    diagnoser.fit(normal[SENSORS], groups=normal["run"], rules=work / "rules.yaml")
    print("The fit says:", *diagnoser.model_.fitted.notes, sep="\n  ")

    faulty = Table(pump_run("worn impeller", seed=77, onset=ONSET), Roles("state", "run"))
    first = diagnoser.diagnose(faulty).runs[0].first_flag
    case = diagnoser.diagnose(faulty, row=first).cases[0]
    print(f"Wear begins in minute {ONSET}; first alarm in minute {first}: {headline(case.verdict)}")
    print(*(sentence.text for sentence in case.narrative), sep="\n")

    quiet = pd.concat([pump_run(seed=seed) for seed in range(500, 540)])
    runs = diagnoser.diagnose(Table(quiet, Roles(group="run", ignored=("state",))), cases=1).runs
    print(f"Of {len(runs)} new normal runs {sum(run.flagged > 0 for run in runs)} raised an alarm; 5% were asked for.")
    save(monitor_chart(diagnoser.model_.label_rows(faulty), case, ONSET), picture)


if __name__ == "__main__":
    main()
