"""Sensor or machine? A broken sensor is named before anybody takes the machine apart.

The check learns what sensors of the pump read when they are sound, in normal runs and in runs with machine faults. Then
one sensor of a new run is broken in four ways. Notice that each is named with its type and its approximate beginning,
that a clogged strainer, which moves several sensors together, is not reported as a fault of one of them, and that there
are errors: the script counts how many new runs with sound sensors get a sensor finding.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from charts import sensors_chart
from drawing import places, save
from faultwise.tables.checks.sensors.sensor_check import SensorCheck
from pump import SENSORS, pump_run, pump_runs

AT = 90


def broken(rows: pd.DataFrame) -> dict[str, tuple[str, pd.DataFrame]]:
    """Return for each kind which sensor was broken from minute 90 on, and the rows."""
    after = np.arange(len(rows)) >= AT
    drift = np.where(after, (np.arange(len(rows)) - AT) / 90 * 8, 0)
    spike = np.where(np.isin(np.arange(len(rows)), [100, 117, 149]), 0.9, 0)
    return {
        "frozen": ("flow", rows.assign(flow=rows["flow"].where(~after, rows["flow"].iloc[AT]))),
        "drifting": ("flow", rows.assign(flow=rows["flow"] + drift)),
        "spiking": ("suction", rows.assign(suction=rows["suction"] + spike)),
        "out of range": ("bearing", rows.assign(bearing=rows["bearing"] + 80 * after)),
    }


def main() -> None:
    """Learn sound sensors, break some, check."""
    picture, _ = places(__file__, __doc__)
    sound = pump_runs(each=50, seed=1, rows=160)
    check = SensorCheck().fit(sound[SENSORS], sound["run"], sound["state"] == "normal")
    cases = []
    for kind, (variable, rows) in broken(pump_run(seed=4321, rows=160)).items():
        cases.append((f"Sensor {kind}", variable, rows, check.check(rows[SENSORS], rows["run"])))
    clogged = pump_run("clogged strainer", seed=4323, rows=160, onset=AT)
    cases.append(("Clogged strainer", "suction", clogged, check.check(clogged[SENSORS], clogged["run"])))
    for what, variable, _, faults in cases:
        print(f"{what} ({variable}):", *([fault.sentence for fault in faults] or ["no sensor is broken"]), sep="\n  ")

    new = pump_runs(each=25, seed=7000, rows=160)
    blamed = {fault.run for fault in check.check(new[SENSORS], new["run"])}
    print(
        f"Of {new['run'].nunique()} new runs with sound sensors {len(blamed)} are blamed; limits are set for some 6%."
    )
    save(sensors_chart(cases, AT), picture)


if __name__ == "__main__":
    main()
