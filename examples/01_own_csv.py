"""A CSV file of your own: from a badly formatted export to a verdict with reasons.

The file is the kind that loggers leave behind: a title line, semicolons, decimal commas, units in the header, cells
that are empty or hold `n/a`, and a column that names the run of each row. Every guess of the reader leaves a note.
Notice that the verdict names the sensors that it rests on, what is normal for them, and what contradicts it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from charts import verdict_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.report.save import save_report
from faultwise.report.words import headline
from faultwise.tables.reading.readers import read_source
from pump import SENSORS, UNITS, pump_run, pump_runs


def write_ugly(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as a logger would, with a few cells missing."""
    gone = np.random.default_rng(8).random((len(rows), len(SENSORS))) < 0.003
    cells = rows[SENSORS].map(lambda value: f"{value:.2f}".replace(".", ",")).mask(gone, "n/a")
    cells = cells.rename(columns={name: f"{name} [{unit}]" for name, unit in UNITS.items()})
    text = cells.join(rows.drop(columns=SENSORS)).to_csv(index=False, sep=";", lineterminator="\n")
    path.write_text("Export of feed pump 2, all times local\n" + text, "utf-8")


def main() -> None:
    """Write the files, learn from one, diagnose the other."""
    picture, work = places(__file__, __doc__)
    write_ugly(pump_runs(each=6, seed=1), work / "history.csv")
    write_ugly(pump_run("worn bearing", seed=1204).drop(columns="state"), work / "today.csv")

    table = read_source(work / "history.csv", target="state", group="run")
    print("The reader says:", *table.notes, sep="\n  ")
    diagnoser = Diagnoser(window=15, experts=("extra-trees", "logistic-regression")).fit(table)
    print("The fit says:", *diagnoser.model_.fitted.notes, sep="\n  ")

    diagnosis = diagnoser.diagnose(work / "today.csv")
    case = diagnosis.cases[0]
    print(f"Today: {headline(case.verdict)}", *(sentence.text for sentence in case.narrative), sep="\n  ")
    print("Report:", save_report(diagnosis, work / "report.html"))
    save(verdict_chart(diagnosis), picture)


if __name__ == "__main__":
    main()
