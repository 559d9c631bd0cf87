"""A feed pump to practise on: seven sensors, one row a minute, and three ways to fail that creep in after an onset.

Load changes move every sensor, so limits on single values see little: what a fault breaks are the relations. This is
no model of a real pump, only one whose answers are known.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["FAULTS", "SENSORS", "UNITS", "pump_run", "pump_runs"]

FAULTS = ("clogged strainer", "worn bearing", "worn impeller")
UNITS = {
    "speed": "rpm", "suction": "bar", "discharge": "bar", "flow": "m3/h", "power": "kW", "bearing": "°C",
    "vibration": "mm/s",
}  # fmt: skip
SENSORS = list(UNITS)


def pump_run(fault: str = "normal", seed: int = 0, rows: int = 180, onset: int | None = None) -> pd.DataFrame:
    """Return one run: the sensors, `run`, and `state` (what is true; "normal" before the onset), shape (rows, 9)."""
    rng = np.random.default_rng(seed)
    onset = int(rng.integers(rows // 4, rows // 2)) if onset is None else onset
    minute = np.arange(rows)
    # The fault grows for 40 minutes to a strength of its own.
    grown = np.clip((minute - onset) / 40, 0, 1) * rng.uniform(0.6, 1.0)
    clog, bearing, wear = (grown * (fault == name) for name in FAULTS)

    load = rng.uniform(2500, 3000, rows)[np.cumsum(rng.random(rows) < 1 / 30)]  # a new set point every half hour or so
    speed = _lagged(load, 4) + rng.normal(0, 4, rows)
    share = speed / 2900
    flow = 110 * share * (1 - 0.10 * clog) * (1 - 0.08 * wear) + _wander(rng, rows, 0.7)
    suction = 1.6 - 4e-5 * flow**2 * (1 + 1.0 * clog) + _wander(rng, rows, 0.015)
    rise = 5.5 * share**2 * (1 - 0.05 * wear) + _wander(rng, rows, 0.03)
    power = flow * rise / 36 / (0.72 * (1 - 0.05 * wear)) + 0.4 * bearing + _wander(rng, rows, 0.25)
    warm = _lagged(32 + 26 * share**2 + 9 * bearing, 12) + _wander(rng, rows, 0.6)
    shaking = 1.1 + 0.9 * share + 0.7 * clog + 0.5 * bearing + rng.normal(0, 0.12, rows)
    columns = (speed, suction, suction + rise, flow, power, warm, shaking)
    frame = pd.DataFrame(dict(zip(SENSORS, columns, strict=True))).round(3)
    return frame.assign(run=f"{fault} {seed}", state=np.where(minute < onset, "normal", fault))


def pump_runs(each: int, seed: int = 0, rows: int = 180) -> pd.DataFrame:
    """Return `each` runs of every fault and of normal operation, one below the other."""
    kinds = ("normal", *FAULTS)
    made = [pump_run(kind, seed + 100 * at + number, rows) for at, kind in enumerate(kinds) for number in range(each)]
    return pd.concat(made, ignore_index=True)


def _lagged(target: np.ndarray, minutes: float) -> np.ndarray:
    """Follow a target (rows,) with a first-order lag."""
    made = np.empty(len(target))
    value = target[0]
    for at, wanted in enumerate(target):
        value += (wanted - value) / minutes
        made[at] = value
    return made


def _wander(rng: np.random.Generator, rows: int, spread: float) -> np.ndarray:
    """Return noise (rows,) that keeps some of its last value, as process noise does."""
    return _lagged(rng.normal(0, spread * 2, rows), 2.5)
