"""Make the shipped Tennessee Eastman sample anew: `python bench/make_sample.py [OUT.parquet]`.

Faults 0 to 20, 6 runs each, 8 h at one row in 3 min, seed 20261121, onset drawn between 1 h and 2 h. Values
keep four significant digits (five where the noise would otherwise vanish) and are stored as float32, which is
what makes the file small enough to ship. The companion file `tep.yaml` is kept by hand and not written here.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from faultwise.tables.reading.benchmarks.simulate import VARIABLES, simulate

SEED = 20261121
# Reactor temperature and the pressures move by less than two units of their fourth digit in normal operation.
FIVE_DIGITS = ("XMEAS(7)", "XMEAS(9)", "XMEAS(13)", "XMEAS(16)")
OUT = Path(__file__).resolve().parents[1] / "src/faultwise/tables/reading/benchmarks/shipped/tep-sample.parquet"


def rounded(values: pd.Series, digits: int) -> pd.Series:
    """Round each value to significant digits and store it as float32."""
    raw = values.to_numpy(dtype=float)
    size = np.floor(np.log10(np.abs(np.where(raw == 0, 1.0, raw))))
    scale = 10.0 ** (digits - 1 - size)
    return pd.Series((np.round(raw * scale) / scale).astype(np.float32), index=values.index)


def main(out: Path) -> None:
    """Simulate, round, write, and print size and hash."""
    frame = simulate(range(21), runs=6, hours=8.0, seed=SEED, progress=True)
    for column in VARIABLES:
        frame[column] = rounded(frame[column], 5 if column in FIVE_DIGITS else 4)
    frame["hour"] = frame["hour"].astype(np.float32)
    frame["fault"] = frame["fault"].astype(np.int8)
    out.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(out, index=False, compression="zstd", compression_level=19)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f"{out.name}: {len(frame)} rows, {frame['run'].nunique()} runs, {out.stat().st_size} bytes, {digest}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
