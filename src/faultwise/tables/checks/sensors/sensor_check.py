"""Sensor faults are told apart from machine faults, on raw rows, before any verdict.

Reported are sensors that hold their value, jump for single samples, leave the range of training by far, are exchanged
with another one, or drift away from what the other sensors predict. A machine fault moves several variables together,
in ways that are learnt from rows with machine faults. A run is checked in stretches about as long as those of training
(at most `LONGEST` rows). Limits are set on clean training stretches, so that about 6 in 100 of those would be reported.

Not distinguished are a sensor fault and a machine fault that training never showed and that moves one variable alone.
Not found are exchanges of sensors that read alike, and exchanges for a part of a stretch only. Columns that never vary
in training are not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, RunFolderError, closest, listing
from faultwise.tables.checks.sensors.drift_model import FEWEST_BLOCKS, DriftModel, blocks_of
from faultwise.tables.checks.sensors.signs import exchange_gains, jumps, levels_of, longest_holds, normal_range, spikes
from faultwise.tables.checks.sensors.stretches import numbers_of, require_same_length, rows_by_run, stretch_starts

__all__ = ["LONGEST", "SensorCheck", "SensorCheckState", "SensorFault"]

Kind = Literal["frozen", "drifting", "spiking", "out of range", "swapped"]
LONGEST = 160  # rows of a stretch
_BLOCKS = 16  # of a stretch; the slow drift needs few of them, and noise wants them long
_FEWEST = 20  # stretches, without which relations between sensors are not learnt
_DRIFT = 0.06  # share of clean stretches that may be reported as drifting
_HOLD = 2  # times the longest hold of training, and at least `_HOLD_MORE` samples longer
_HOLD_MORE = 4
_JUMP = 1.2  # times the highest lone jump of training
_GAIN = 2.0  # times the largest gain of an exchange, and the largest distance, among the stretches of training
_MARGIN = 1.0  # widths of the range of training beyond it
_AT_ONCE = 2  # variables; more that leave their range together are no broken sensor
_LEAST_NOISE = 0.25  # normal spreads; a held or noiseless sensor never jumps, and rounding must be no spike


@dataclass(frozen=True, slots=True)
class SensorFault:
    """One sensor that looks broken: `variable` (and `other`, when swapped) in rows `first` to `last` of `run`, from 1.

    `score` is the strength of the sign in units of its limit.
    """

    variable: str
    kind: Kind
    other: str | None
    run: str
    first: int
    last: int
    score: float
    sentence: str


class SensorCheckState(TypedDict):
    """What JSON holds of a fitted check: the checked columns, the rows of a stretch, and notes of the fit."""

    columns: list[str]
    rows: int
    notes: list[str]


class SensorCheck:
    """Learns from rows with sound sensors and reports broken sensors in other rows.

    >>> rng = np.random.default_rng(0)
    >>> flow = rng.normal(size=(40, 32)).cumsum(axis=1)
    >>> rows = pd.DataFrame({"a": flow.ravel(), "b": 2 * flow.ravel() + rng.normal(size=flow.size)})
    >>> check = SensorCheck().fit(rows, np.repeat(np.arange(40), 32))
    >>> stuck = rows.iloc[:32].assign(b=lambda f: f["b"].where(np.arange(32) < 12, f["b"].iloc[12]))
    >>> [(fault.variable, fault.kind, fault.first, fault.last) for fault in check.check(stuck, np.zeros(32))]
    [('b', 'frozen', 13, 32)]
    """

    def __init__(self) -> None:
        self.columns: list[str] = []
        self.notes: list[str] = []
        self.rows = 0  # of a stretch
        self._state: dict[str, np.ndarray] = {}
        self._drift: DriftModel | None = None

    def fit(self, X: pd.DataFrame, runs: np.ndarray, normal: np.ndarray | None = None) -> SensorCheck:
        """Learn from X (rows, variables), all numeric, with the run of each row, shape (rows,), in time order.

        `normal` (rows,) marks the rows without a machine fault; they set each variable's normal range. All rows should
        have sound sensors. Raises DataError for texts, wrong lengths, and when nothing varies.
        """
        numbers = numbers_of(X, list(map(str, X.columns)))
        require_same_length(X, runs, "runs")
        numbers = self._varying(X.columns, numbers)
        used = np.ones(len(numbers), dtype=bool)
        if normal is not None:
            require_same_length(X, normal, "marks of normal rows")
            used = np.asarray(normal, dtype=bool)
        low, high = np.nanmin(numbers, axis=0), np.nanmax(numbers, axis=0)
        center, spread = normal_range(numbers, used)
        pieces = [rows for _, rows in rows_by_run(runs)]
        self.rows = int(min(np.quantile([len(rows) for rows in pieces], 0.25, method="lower"), LONGEST))
        holds = np.max([longest_holds(numbers[rows])[0] for rows in pieces], axis=0)
        cut = [
            (number, rows[at : at + self.rows])
            for number, rows in enumerate(pieces)
            for at in range(0, len(rows) - self.rows + 1, self.rows)
        ]
        stretches = (np.array([numbers[rows] for _, rows in cut]) - center) / spread
        owners = np.array([number for number, _ in cut])
        steps = np.array([jumps(stretch) for stretch in stretches]).max(axis=1)
        noise = np.maximum(np.median(steps, axis=0), _LEAST_NOISE)
        tops = np.max([spikes(stretch, noise).max(axis=0) for stretch in stretches], axis=0)
        self._state = {
            "low": low, "high": high, "center": center, "spread": spread, "holds": holds.astype(float),
            "noise": noise, "spike": _JUMP * np.maximum(tops, 1.0),
        }  # fmt: skip
        self._relate(stretches, owners)
        return self

    def _varying(self, names: pd.Index, numbers: np.ndarray) -> np.ndarray:
        """Keep the names of the columns that vary and return their numbers (rows, columns). Raises DataError."""
        with np.errstate(invalid="ignore"):
            varied = np.array([len(np.unique(part[np.isfinite(part)])) > 1 for part in numbers.T], dtype=bool)
        if not varied.any():
            raise DataError(f"No column of {listing(names)} varies: expected at least one sensor that does.")
        self.columns = [str(name) for name, kept in zip(names, varied, strict=True) if kept]
        constant = [str(name) for name, kept in zip(names, varied, strict=True) if not kept]
        self.notes = [f"Sensors of constant columns are not checked: {listing(constant)}."] if constant else []
        return np.asarray(numbers[:, varied])

    def _relate(self, stretches: np.ndarray, owners: np.ndarray) -> None:
        """Learn what needs many stretches (n, rows, variables): levels for exchanges, relations for drifts."""
        n, rows, p = stretches.shape
        self._drift = None
        if n < _FEWEST or rows < FEWEST_BLOCKS or p < 2:
            self.notes.append(
                f"Exchanged and drifting sensors are not looked for: found {n} stretches of {rows} rows and {p} "
                f"varying columns; expected at least {_FEWEST} of {FEWEST_BLOCKS} rows, and 2 columns."
            )
            return
        levels = levels_of(stretches)
        middle = np.median(levels, axis=0)
        covariance = (levels - middle).T @ (levels - middle) / n
        # A little of each variance is added, so that a variable that hardly ever moved proves nothing.
        precision = np.linalg.inv(covariance + np.diag(0.05 * np.diag(covariance) + 0.01))
        far = np.einsum("ni,ij,nj->n", levels - middle, precision, levels - middle)
        self._state |= {"middle": middle, "precision": precision, "far": np.array([_GAIN * far.max()])}
        gains = [self._exchange(level, np.zeros(p, dtype=bool))[0] for level in levels]
        self._state["gain"] = np.array([max(_GAIN * max(gains), float(p))])
        self._drift = DriftModel().fit(blocks_of(stretches, self._block), owners, _DRIFT)

    @property
    def _block(self) -> int:
        return max(self.rows // _BLOCKS, 1)

    def check(self, X: pd.DataFrame, runs: np.ndarray) -> list[SensorFault]:
        """Return the sensors of X (rows, variables) that look broken, run after run, the surest of each run first.

        `runs` (rows,) is the run of each row; rows of a run are in time order. Columns unknown from training are
        ignored. Raises DataError for missing columns, texts and wrong lengths.
        """
        state = self._ready()
        missing = [name for name in self.columns if name not in X.columns]
        if missing:
            near = closest(missing[0], X.columns)
            hint = f" Perhaps `{near}` is `{missing[0]}`." if near else ""
            raise DataError(
                f"{len(missing)} of {len(self.columns)} sensors known from training are missing: {listing(missing)}."
                f"{hint} Rename or add them."
            )
        require_same_length(X, runs, "runs")
        values = (numbers_of(X, self.columns) - state["center"]) / state["spread"]
        found: list[SensorFault] = []
        for run, rows in rows_by_run(runs):
            mine = values[rows]
            faults = self._frozen(mine, run)
            held = np.isin(self.columns, [fault.variable for fault in faults])
            for at in stretch_starts(len(mine), self.rows):
                faults += self._of_stretch(mine[at : at + self.rows], held, run, at)
            found += sorted(_merged(faults), key=lambda fault: -fault.score)
        return found

    def _frozen(self, values: np.ndarray, run: str) -> list[SensorFault]:
        """Report sensors of a run (rows, variables) that hold a value too long, and blank what they hold."""
        longest, first, last = longest_holds(values)
        most = np.maximum(_HOLD * self._state["holds"], self._state["holds"] + _HOLD_MORE)
        faults = []
        for j in map(int, np.flatnonzero(longest > most)):
            held = values[first[j], j] * self._state["spread"][j] + self._state["center"][j]
            what = (
                f"reads {held:.6g} without any change for {longest[j]} samples; "
                f"in training it held no value for more than {self._state['holds'][j]:.0f}"
            )
            faults.append(self._fault(j, "frozen", run, first[j], last[j], longest[j] / most[j], what))
            values[first[j] : last[j] + 1, j] = np.nan
        return faults

    def _of_stretch(self, stretch: np.ndarray, held: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Report the other broken sensors of one stretch (rows, variables) that starts `at` rows into its run.

        Sensors that are known to be frozen, `held` (variables,), are not checked again.
        """
        stretch = stretch.copy()
        excluded = held | (np.isnan(stretch).sum(axis=0) * 2 > len(stretch))
        faults = self._swapped(stretch, excluded, run, at)
        faults += self._spiking(stretch, run, at)
        beyond = self._beyond(stretch, run, at)
        faults += beyond
        excluded |= np.isin(self.columns, [fault.variable for fault in beyond])
        return faults + self._drifting(stretch, excluded, run, at)

    def _swapped(self, stretch: np.ndarray, excluded: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Report two exchanged sensors; in `stretch` they are exchanged back, in `excluded` they are marked."""
        state = self._state
        # Half a stretch at least: a few rows give no level.
        if self._drift is None or len(stretch) * 2 < self.rows:
            return []
        gain, one, two = self._exchange(levels_of(stretch[None])[0], excluded)
        if gain <= state["gain"][0]:
            return []
        end, score = at + len(stretch) - 1, gain / state["gain"][0]
        what = f"and `{self.columns[two]}` read like each other's values, as if they were exchanged"
        fault = self._fault(one, "swapped", run, at, end, score, what)
        units = stretch[:, [two, one]] * state["spread"][[two, one]] + state["center"][[two, one]]
        stretch[:, [one, two]] = (units - state["center"][[one, two]]) / state["spread"][[one, two]]
        excluded[[one, two]] = True
        return [replace(fault, other=self.columns[two])]

    def _spiking(self, stretch: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Report sensors that jump for single samples, and blank these samples."""
        height = spikes(stretch, self._state["noise"]) / self._state["spike"]
        where = height > 1
        faults = []
        for j in map(int, np.flatnonzero(where.any(axis=0))):
            rows = np.flatnonzero(where[:, j])
            count = f"{len(rows)} single samples" if len(rows) > 1 else "a single sample"
            what = f"jumps away and back in {count}, up to {height[:, j].max():.2g} times its limit"
            faults.append(self._fault(j, "spiking", run, at + rows[0], at + rows[-1], height[:, j].max(), what))
        stretch[where] = np.nan
        return faults

    def _drifting(self, stretch: np.ndarray, excluded: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Report the sensor that drifts away from what the others predict."""
        if self._drift is None or len(stretch) // self._block < FEWEST_BLOCKS:
            return []
        found = self._drift.strongest(blocks_of(stretch[None], self._block)[0], excluded)
        if found is None or found.score <= 1:
            return []
        slope = found.slope / self._block * self._state["spread"][found.variable]
        what = f"drifts by about {slope:.3g} per sample, while the other sensors show no such change"
        first, end = at + found.start * self._block, at + len(stretch) - 1
        return [self._fault(found.variable, "drifting", run, first, end, found.score, what)]

    def _beyond(self, stretch: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Report sensors that read far outside the range of all training rows, and blank them."""
        state = self._state
        low, high = ((state[name] - state["center"]) / state["spread"] for name in ("low", "high"))
        margin = _MARGIN * (high - low)
        with np.errstate(invalid="ignore"):
            outside = (stretch < low - margin) | (stretch > high + margin)
        beyond = np.flatnonzero(outside.any(axis=0))
        if len(beyond) > _AT_ONCE:
            return []
        faults = []
        for j in map(int, beyond):
            rows = np.flatnonzero(outside[:, j])
            far = np.nanmax(np.maximum(low[j] - stretch[rows, j], stretch[rows, j] - high[j])) / margin[j]
            what = f"leaves the range of all training rows, {state['low'][j]:.6g} to {state['high'][j]:.6g}, by far"
            faults.append(self._fault(j, "out of range", run, at + rows[0], at + rows[-1], far, what))
            stretch[:, j] = np.nan
        return faults

    def _exchange(self, level: np.ndarray, excluded: np.ndarray) -> tuple[float, int, int]:
        """Return the largest gain of exchanging two sensors and which they are, from levels (variables,)."""
        state = self._state
        gains = exchange_gains(level, state["center"], state["spread"], state["middle"], state["precision"])
        away = level - state["middle"]
        # An exchange must explain the stretch: one that only brings it a little nearer is no exchange.
        gains[away @ state["precision"] @ away - gains > state["far"][0]] = 0.0
        gains[excluded] = gains[:, excluded] = 0.0
        one, two = np.unravel_index(int(gains.argmax()), gains.shape)
        return float(gains[one, two]), int(min(one, two)), int(max(one, two))

    def _fault(self, j: int, kind: Kind, run: str, first: int, last: int, score: float, what: str) -> SensorFault:
        """Return the record; positions are given from 0."""
        name = self.columns[j]
        return SensorFault(name, kind, None, run, int(first) + 1, int(last) + 1, float(score), f"`{name}` {what}.")

    def to_arrays(self) -> tuple[dict[str, np.ndarray], SensorCheckState]:
        """Return the state as arrays (for safetensors) and as a dict that is ready for JSON."""
        arrays = dict(self._ready())
        if self._drift is not None:
            arrays |= {f"drift.{name}": part for name, part in self._drift.to_arrays().items()}
        arrays = {name: np.ascontiguousarray(part) for name, part in arrays.items()}
        return arrays, {"columns": self.columns, "rows": self.rows, "notes": self.notes}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], state: SensorCheckState) -> SensorCheck:
        """Build the check from what `to_arrays` returned."""
        made = cls()
        made.columns, made.rows, made.notes = list(state["columns"]), int(state["rows"]), list(state["notes"])
        made._state = {name: part for name, part in arrays.items() if not name.startswith("drift.")}
        drift = {name.removeprefix("drift."): part for name, part in arrays.items() if name.startswith("drift.")}
        made._drift = DriftModel.from_arrays(drift) if drift else None
        return made

    def _ready(self) -> dict[str, np.ndarray]:
        if not self._state:
            raise RunFolderError("The sensor check was neither fitted nor loaded.")
        return self._state


def _merged(faults: list[SensorFault]) -> list[SensorFault]:
    """Join faults of neighbouring stretches of one run that concern the same sensor and kind."""
    made: dict[tuple[str, str, str | None], SensorFault] = {}
    for fault in faults:
        key = (fault.variable, fault.kind, fault.other)
        before = made.get(key)
        if before is None:
            made[key] = fault
            continue
        surer = fault if fault.score > before.score else before
        made[key] = replace(surer, first=min(fault.first, before.first), last=max(fault.last, before.last))
    return list(made.values())
