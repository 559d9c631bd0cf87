"""The Tennessee Eastman sample: verdicts on unseen runs, and how far each can be relied on.

Twenty of the 21 classes are learnt from five runs each, of which one is held out for calibration: it makes fault sets
hold the true label in 90% of the rows. Notice the pale stretches, where several faults stay possible and the set still
holds the correct one (3, 9 and 15 hardly differ from normal), the red ones soon after an onset, and fault 11, which the
fit has not seen: most of its rows get the status unknown, instead of a wrong name with high confidence. Not every new
fault is noticed so well; put 14 in its place to see.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from charts import strips_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.tables.evaluate.protocol import evaluate_table
from faultwise.tables.reading.benchmarks.samples import companion_path, sample_path
from faultwise.tables.reading.readers import read_source
from faultwise.tables.reading.table import Table
from faultwise.verdicts.metrics import leaderboard

NEW = "11"


def judged(diagnoser: Diagnoser, test: Table) -> pd.DataFrame:
    """Return run, hour, truth, the kind of verdict and whether its set holds the truth, for rows with a full window."""
    lines = diagnoser.model_.label_rows(test)
    rows = test.frame.iloc[lines["row"] - 1].reset_index(drop=True)
    held = [one in among.split("; ") for one, among in zip(rows["fault"], lines["fault_set"], strict=True)]
    named, unknown = lines["status"] == "named", lines["status"] == "unknown"
    kind = np.select([unknown, ~np.array(held), named], [2, 3, 0], 1)
    return rows[["run", "hour", "fault"]].assign(kind=kind, held=held)


def main() -> None:
    """Learn, judge unseen runs, draw."""
    picture, _ = places(__file__, __doc__)
    about = companion_path("tep-sample")
    table = read_source(sample_path("tep-sample"), target="fault", group="run", time="hour", about=about)
    fault, number = table.frame["run"].str[5:7].astype(int).astype(str), table.frame["run"].str[-2:].astype(int)
    training, test = table.rows(((number < 6) & (fault != NEW)).to_numpy()), table.rows((number == 6).to_numpy())

    settings = {"window": 20, "experts": ("extra-trees",), "folds": 2, "most_rows": 4000, "calibration": 0.2}
    diagnoser = Diagnoser(**settings).fit(training)
    print("The fit says:", *diagnoser.model_.fitted.notes, sep="\n  ")
    result = evaluate_table(diagnoser.model_.fitted, test)
    for line in leaderboard(result):
        print(f"{line['expert']:<36} mean recall {line['mean_recall']:.2f}, false alarms {line['far']:.1%}")
    lines = judged(diagnoser, test)
    # A window that reaches over an onset has no one right label, so no promise is about it.
    clear = lines[(lines.groupby(["run", "fault"]).cumcount() >= 19) & (lines["run"].str[5:7] != NEW)]
    print(
        f"Fault sets hold the truth in {clear['held'].mean():.1%} of the rows of these {clear['run'].nunique()} runs."
    )
    after = lines[(lines["run"].str[5:7] == NEW) & (lines["fault"] == NEW)]
    print(f"Fault {NEW}, never seen: {(after['kind'] == 2).mean():.0%} of its rows are called unknown.")
    save(strips_chart(lines, table.about.faults, NEW), picture)


if __name__ == "__main__":
    main()
