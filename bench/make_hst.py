"""Generate a file with the layout of HST: `python bench/make_hst.py OUT.csv [--balanced]`. It is NOT the real data.

The real set (braking of a high-speed train) has no public address known to us. What is made here has its
shape only: 22,368 rows (389 anomalous), 15 continuous and 31 categorical features, label Y. Figures measured on it
show that the path from file to verdict works, and nothing about trains.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

__all__ = ["make_hst"]

CONTINUOUS, CATEGORICAL = 15, 31
SHIFTED, TILTED = 5, 6  # continuous and categorical features that depend on the label
SHIFT, TILT = 1.2, 0.35  # a random forest reaches about 0.87 to 0.90 on 150 rows of each label


def make_hst(seed: int, rows: int = 22_368, faulty: int = 389) -> pd.DataFrame:
    """Return generated rows of the HST layout, in random order.

    Columns setting_1 to setting_15 (continuous, correlated), setting_16 to setting_46 (small integers) and Y (0
    normal, 1 anomalous). Of the faulty rows five continuous features are shifted by `SHIFT` standard deviations
    and six categorical ones take another value with probability `TILT`. Raises ValueError for impossible counts.
    """
    if not 0 <= faulty <= rows:
        raise ValueError(f"{faulty} faulty of {rows} rows; expected 0 to {rows}: choose fewer.")
    # The meaning of the features stays the same; the seed only draws rows.
    world, rng = np.random.default_rng(46), np.random.default_rng(seed)
    label = np.zeros(rows, dtype=int)
    label[rng.choice(rows, faulty, replace=False)] = 1
    hit = label == 1
    mixing = np.eye(CONTINUOUS) + 0.3 * world.normal(size=(CONTINUOUS, CONTINUOUS)) / np.sqrt(CONTINUOUS)
    values = rng.normal(size=(rows, CONTINUOUS)) @ mixing
    values[:, :SHIFTED] += SHIFT * hit[:, None] * world.choice([-1.0, 1.0], SHIFTED)
    values = values * world.uniform(0.5, 20, CONTINUOUS) + world.uniform(-50, 200, CONTINUOUS)
    columns = {f"setting_{i + 1}": np.round(values[:, i], 4) for i in range(CONTINUOUS)}
    for i in range(CATEGORICAL):
        levels = int(world.integers(2, 7))
        chances = world.dirichlet(np.full(levels, 2.0))
        codes = rng.choice(levels, rows, p=chances)
        if i < TILTED:
            moved = hit & (rng.random(rows) < TILT)
            codes = np.where(moved, int(np.argmin(chances)), codes)
        columns[f"setting_{CONTINUOUS + i + 1}"] = codes
    return pd.DataFrame({**columns, "Y": label})


def main(out: Path, balanced: bool = False) -> None:
    """Write the whole set, or 150 rows of each label, and say what it is."""
    frame = make_hst(seed=0)
    if balanced:
        frame = frame.groupby("Y").sample(150, random_state=0).sample(frac=1, random_state=0)
    frame.to_csv(out, index=False)
    print(f"{out}: {len(frame)} generated rows with the layout of HST, not the real data")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(str(__doc__).partition("\n")[0])
    main(Path(sys.argv[1]), "--balanced" in sys.argv[2:])
