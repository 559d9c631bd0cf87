"""Which classifier is best here? The same splits for all, whole runs held out, and tests of the differences.

`faultwise compare` divides the runs in two halves, three times over, and fits every expert on each half. Notice the
intervals: they are those for repeated splits of the same runs, wider than six independent results would give. The words
beside each name come from a paired test: experts are compared half by half, so that two intervals may overlap and one
expert still be the worse. On the right: how often each is wrong among the rows it is surest of.
"""

from __future__ import annotations

import json

from charts import comparison_chart
from drawing import places, save
from faultwise.cli.main import main as faultwise
from pump import pump_runs

EXPERTS = ("gradient-boosting", "knn", "logistic-regression", "svm")


def main() -> None:
    """Write a table, compare by the command line, draw the record."""
    picture, work = places(__file__, __doc__)
    table, out = work / "pump.csv", work / "comparison.json"
    pump_runs(each=6, seed=1, rows=120).to_csv(table, index=False)
    out.unlink(missing_ok=True)  # a comparison that was interrupted would be gone on with
    command = ["compare", table, "--target", "state", "--group", "run", "--window", "10", "--repeats", "3"]
    code = faultwise([str(word) for word in (*command, "--experts", ",".join(EXPERTS), "--out", out)])
    if code:
        raise SystemExit(code)

    record = json.loads(out.read_text("utf-8"))
    for line in record["summary"]:
        print(f"{line['expert']:<20} {line['mean_recall']:.3f}  {line['against_best']}")
    save(comparison_chart(record), picture)


if __name__ == "__main__":
    main()
