"""Rows as they come: a stream in pieces of any size, and a file that is followed while it grows.

What a window reaches back to is kept between the pieces, so that a row is classified as it would be with the whole run
at hand. Notice that single rows, bursts and the whole table give the same labels, with probabilities that differ by
rounding at most, and that a half-written line of the growing file is waited for, instead of being read.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

from charts import stream_chart
from drawing import places, save
from faultwise import Diagnoser
from faultwise.tables.follow import Follower
from faultwise.tables.reading.table import Roles, Table
from pump import SENSORS, pump_run, pump_runs

ONSET = 70


def write_slowly(rows: pd.DataFrame, path: Path) -> None:
    """Add rows to a file as a logger does: in bursts that end anywhere, also in the middle of a line."""
    text = rows.to_csv(index=False)
    cuts = np.sort(np.random.default_rng(5).integers(0, len(text), 25))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text[start:end])
        time.sleep(0.02)


def followed(diagnoser: Diagnoser, rows: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Follow a file while a thread writes it; return all lines."""
    path.unlink(missing_ok=True)
    writer = threading.Thread(target=write_slowly, args=(rows, path))
    writer.start()
    pieces, label = [], ""
    for lines in Follower(diagnoser.model_, path, poll=0.02, idle=1.5):
        pieces.append(lines)
        for line in lines.itertuples():
            if line.label != label:
                label = line.label
                print(f"  minute {line.row}: {label} ({line.probability:.0%})")
    writer.join()
    return pd.concat(pieces, ignore_index=True)


def pushed(diagnoser: Diagnoser, rows: pd.DataFrame, sizes: list[int]) -> pd.DataFrame:
    """Push rows in pieces of the given sizes; return all lines, with the probabilities of all labels."""
    stream = diagnoser.stream(every=True)
    ends = np.cumsum(sizes)
    made = [stream.push(rows.iloc[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    return pd.concat([lines for lines in made if len(lines)], ignore_index=True)


def compare(what: str, lines: pd.DataFrame, whole: pd.DataFrame) -> None:
    """Say how far lines are from those of the whole table."""
    same = (lines["label"] == whole["label"]).mean()
    apart = (lines["probability"] - whole["probability"]).abs().max()
    print(f"{what}: {same:.0%} of the labels as for the whole table; probabilities differ by {apart:.6f} at most.")


def main() -> None:
    """Learn, follow a growing file, push pieces, compare with the whole."""
    picture, work = places(__file__, __doc__)
    history = pump_runs(each=5, seed=1)
    diagnoser = Diagnoser(window=10, experts=("logistic-regression", "svm"))
    diagnoser.fit(history[SENSORS], history["state"], groups=history["run"])
    today = pump_run("clogged strainer", seed=2222, onset=ONSET)[[*SENSORS, "run"]]
    batch = diagnoser.model_.label_rows(Table(today, Roles(group="run")))

    print("Following a file while it grows:")
    compare("the followed file", followed(diagnoser, today, work / "growing.csv"), batch)
    bursts = np.random.default_rng(1).multinomial(len(today), np.full(14, 1 / 14)).tolist()
    for sizes in ([1] * len(today), bursts, [len(today)]):
        lines = pushed(diagnoser, today, sizes)
        compare(f"{len(sizes)} pieces", lines, batch)
    save(stream_chart(pushed(diagnoser, today, bursts), lines, bursts, ONSET), picture)


if __name__ == "__main__":
    main()
