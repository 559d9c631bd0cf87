"""AI4I 2020: columns that give the label away are left out, and a rare failure is evaluated by PR-AUC.

The milling machine of S. Matzka (UCI Machine Learning Repository, doi:10.24432/C5HS5C, CC BY 4.0) fails in 3.4% of
10,000 rows, so that "never" is right in 96.6%. Five columns say which failure it was: known only when the label is,
they would make any model look perfect. Notice that they are named and left out, and which score they would have given.

The data set is not shipped: FAULTWISE_DATA names the folder that holds `ai4i/`. Without it the script makes a table of
the same layout, whose figures mean nothing for the real one, and its picture has another name.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from charts import precision_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.tables.reading.readers import read_source

FLAGS = ("TWF", "HDF", "PWF", "OSF")


def generated(rows: int = 10_000, seed: int = 3) -> pd.DataFrame:
    """Return a table in the layout of AI4I 2020, by rules of our own."""
    rng = np.random.default_rng(seed)
    air = rng.normal(300, 2, rows)
    process, speed, wear = air + rng.normal(10, 1, rows), 1380 + rng.gamma(2, 80, rows), rng.uniform(0, 250, rows)
    torque = np.maximum(60_000 / speed + rng.normal(0, 9, rows), 4)
    failed = [wear > 246, (process - air < 8.4) & (speed < 1480), torque * speed > 86_000, wear * torque > 12_500]
    measured = {
        "UDI": np.arange(1, rows + 1), "Product ID": [f"L{47180 + at}" for at in range(rows)],
        "Type": rng.choice(["L", "M", "H"], rows, p=[0.6, 0.3, 0.1]), "Air temperature [K]": air,
        "Process temperature [K]": process, "Rotational speed [rpm]": speed, "Torque [Nm]": torque,
        "Tool wear [min]": wear, "Machine failure": np.any(failed, axis=0).astype(int),
    }  # fmt: skip
    return pd.DataFrame({**measured, **dict(zip(FLAGS, np.array(failed).astype(int), strict=True)), "RNF": 0}).round(1)


def main() -> None:
    """Read or make the table, learn from one half, judge the other."""
    picture, work = places(__file__, __doc__)
    source = Path(os.environ.get("FAULTWISE_DATA", "")) / "ai4i" / "ai4i2020.csv"
    title = "AI4I 2020: half of the rows judged, learnt from the other half"
    if not source.is_file():
        print("FAULTWISE_DATA names no folder with ai4i/ai4i2020.csv: this is a GENERATED table of the same layout.")
        source, picture = work / "generated.csv", picture.with_stem("03_ai4i_generated")
        generated().to_csv(source, index=False)
        title = "A generated table in the layout of AI4I 2020"
    table = read_source(source)
    print("The reader says:", *table.notes, sep="\n  ")
    test = np.random.default_rng(0).random(len(table.frame)) < 0.5
    truth = table.y[test] == "1"
    scores = {}
    for name, keep in (("measurements alone", ()), ("with the flags that give it away", FLAGS)):
        diagnoser = Diagnoser(experts=("hist-gradient-boosting",), keep=keep).fit(table.rows(~test))
        if not keep:
            print("The fit says:", *diagnoser.model_.fitted.notes, sep="\n  ")
        scores[name] = diagnoser.model_.label_rows(table.rows(test))["fault_score"].to_numpy()
    for name, score in scores.items():
        print(f"PR-AUC, {name}: {average_precision_score(truth, score):.3f}")
    save(precision_chart(scores, truth, title), picture)


if __name__ == "__main__":
    main()
