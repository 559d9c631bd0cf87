"""Sensor or machine? Broken sensors are told apart from machine faults, on raw rows, before any verdict.

A sensor that holds its value, jumps for single samples, stands far outside anything seen, is exchanged with another or
drifts away from what the others say is named; a machine fault moves several variables together, in ways that are learnt
from rows with machine faults. A run is judged in stretches about as long as those of training
(at most `LONGEST` rows), and limits are set on clean training stretches: some 6 in 100 of those would be accused.

What it does not do: a machine fault that training never showed and that moves one variable alone looks like its sensor;
two sensors that read alike cannot be seen exchanged, nor those exchanged for part of a stretch only. Columns that never
vary in training are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, RunFolderError, closest, listing
from faultwise.tables.checks.sensor_models import FEWEST_BLOCKS, DriftModel, blocks_of
from faultwise.tables.checks.sensor_signs import exchange_gains, jumps, levels_of, longest_holds, normal_range, spikes

__all__ = ["LONGEST", "SensorCheck", "SensorFault"]

Kind = Literal["frozen", "drifting", "spiking", "out of range", "swapped"]
LONGEST = 160  # rows of a stretch
_BLOCKS = 16  # of a stretch; the slow drift needs few of them, and noise wants them long
_FEWEST = 20  # stretches, without which relations between sensors are not learnt
_DRIFT = 0.06  # share of clean stretches that may be accused of a drift
_HOLD = 2  # times the longest hold of training, and at least `_HOLD_MORE` samples longer
_HOLD_MORE = 4
_JUMP = 1.2  # times the highest lone jump of training
_GAIN = 2.0  # times the largest gain of an exchange, and the largest distance, among the stretches of training
_MARGIN = 1.0  # widths of the range of training beyond it
_AT_ONCE = 2  # variables; more that leave their range together are no broken sensor
_LEAST_NOISE = 0.25  # normal spreads; a held or noiseless sensor never jumps, and rounding must be no spike
_LARGEST = 1e30  # beyond it no sensor measures anything: taken as missing


@dataclass(frozen=True, slots=True)
class SensorFault:
    """One accusation: `variable` (and `other`, when swapped) of `run`, rows `first` to `last` of it, counted from 1.

    `score` is how many times its limit the sign is.
    """

    variable: str
    kind: Kind
    other: str | None
    run: str
    first: int
    last: int
    score: float
    sentence: str


class SensorCheck:
    """Learns clean rows and names broken sensors.

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
        numbers = _numbers(X, list(map(str, X.columns)))
        _same_length(X, runs, "runs")
        with np.errstate(invalid="ignore"):
            varied = np.array([len(np.unique(part[np.isfinite(part)])) > 1 for part in numbers.T], dtype=bool)
        if not varied.any():
            raise DataError(f"No column of {listing(X.columns)} varies: expected at least one sensor that does.")
        self.columns = [str(name) for name, kept in zip(X.columns, varied, strict=True) if kept]
        still = [str(name) for name, kept in zip(X.columns, varied, strict=True) if not kept]
        self.notes = [f"Sensors of constant columns are not judged: {listing(still)}."] if still else []
        numbers = numbers[:, varied]
        used = np.ones(len(numbers), dtype=bool)
        if normal is not None:
            _same_length(X, normal, "marks of normal rows")
            used = np.asarray(normal, dtype=bool)
        low, high = np.nanmin(numbers, axis=0), np.nanmax(numbers, axis=0)
        center, spread = normal_range(numbers, used)
        pieces = _runs(runs)
        lengths = [len(rows) for _, rows in pieces]
        self.rows = int(min(np.quantile(lengths, 0.25, method="lower"), LONGEST))
        holds = np.max([longest_holds(numbers[rows])[0] for _, rows in pieces], axis=0)
        cut = [
            (number, rows[at : at + self.rows])
            for number, rows in enumerate(rows for _, rows in pieces)
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

    def _relate(self, stretches: np.ndarray, owners: np.ndarray) -> None:
        """Learn what needs many stretches (n, rows, variables): levels for exchanges, relations for drifts."""
        n, rows, p = stretches.shape
        self._drift = None
        if n < _FEWEST or rows < FEWEST_BLOCKS or p < 2:
            self.notes.append(
                f"Exchanged and drifting sensors are not sought: found {n} stretches of {rows} rows and {p} varying "
                f"columns; expected {_FEWEST} of {FEWEST_BLOCKS} rows, and 2 columns, at least."
            )
            return
        levels = levels_of(stretches)
        middle = np.median(levels, axis=0)
        covariance = (levels - middle).T @ (levels - middle) / n
        # A little of each variance keeps what hardly ever moved apart from proof.
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
        """Return what is wrong with the sensors of X (rows, variables), run after run, the surest of each run first.

        `runs` (rows,) is the run of each row; rows of a run stand in time order. Columns unknown from training are
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
        _same_length(X, runs, "runs")
        values = (_numbers(X, self.columns) - state["center"]) / state["spread"]
        found: list[SensorFault] = []
        for run, rows in _runs(runs):
            mine = values[rows]
            faults = self._frozen(mine, run)
            held = np.isin(self.columns, [fault.variable for fault in faults])
            for at in _cuts(len(mine), self.rows):
                faults += self._judge(mine[at : at + self.rows], held, run, at)
            found += sorted(_merged(faults), key=lambda fault: -fault.score)
        return found

    def _frozen(self, values: np.ndarray, run: str) -> list[SensorFault]:
        """Name sensors of a run (rows, variables) that hold a value too long, and blank what they hold."""
        longest, first, last = longest_holds(values)
        most = np.maximum(_HOLD * self._state["holds"], self._state["holds"] + _HOLD_MORE)
        faults = []
        for j in map(int, np.flatnonzero(longest > most)):
            held = values[first[j], j] * self._state["spread"][j] + self._state["center"][j]
            told = (
                f"reads {held:.6g} without any change for {longest[j]} samples; "
                f"in training it held no value for more than {self._state['holds'][j]:.0f}"
            )
            faults.append(self._told(j, "frozen", run, first[j], last[j], longest[j] / most[j], told))
            values[first[j] : last[j] + 1, j] = np.nan
        return faults

    def _judge(self, stretch: np.ndarray, held: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Name the other broken sensors of one stretch (rows, variables) that starts `at` rows into its run.

        Sensors that are known to be frozen, `held` (variables,), are not looked at again.
        """
        state, end = self._state, at + len(stretch) - 1
        stretch = stretch.copy()
        barred = held | (np.isnan(stretch).sum(axis=0) * 2 > len(stretch))
        faults = []
        # Half a stretch at least: the level of a few rows is no level.
        if self._drift is not None and len(stretch) * 2 >= self.rows:
            gain, one, two = self._exchange(levels_of(stretch[None])[0], barred)
            if gain > state["gain"][0]:
                told = f"and `{self.columns[two]}` read like each other's values, as if they were exchanged"
                fault = self._told(one, "swapped", run, at, end, gain / state["gain"][0], told)
                faults.append(replace(fault, other=self.columns[two]))
                units = stretch[:, [two, one]] * state["spread"][[two, one]] + state["center"][[two, one]]
                stretch[:, [one, two]] = (units - state["center"][[one, two]]) / state["spread"][[one, two]]
                barred[[one, two]] = True
        height = spikes(stretch, state["noise"]) / state["spike"]
        where = height > 1
        for j in map(int, np.flatnonzero(where.any(axis=0))):
            rows = np.flatnonzero(where[:, j])
            count = f"{len(rows)} single samples" if len(rows) > 1 else "a single sample"
            told = f"jumps away and back in {count}, up to {height[:, j].max():.2g} times its limit"
            faults.append(self._told(j, "spiking", run, at + rows[0], at + rows[-1], height[:, j].max(), told))
        stretch[where] = np.nan
        beyond = self._beyond(stretch, run, at)
        faults += beyond
        barred |= np.isin(self.columns, [fault.variable for fault in beyond])
        if self._drift is not None and len(stretch) // self._block >= FEWEST_BLOCKS:
            found = self._drift.judge(blocks_of(stretch[None], self._block)[0], barred)
            if found is not None and found.score > 1:
                first = at + found.start * self._block
                slope = found.slope / self._block * state["spread"][found.variable]
                told = f"drifts by about {slope:.3g} per sample, while the other sensors say that it should not"
                faults.append(self._told(found.variable, "drifting", run, first, end, found.score, told))
        return faults

    def _beyond(self, stretch: np.ndarray, run: str, at: int) -> list[SensorFault]:
        """Name sensors that read far outside the range of all training rows, and blank them."""
        state = self._state
        low, high = ((state[name] - state["center"]) / state["spread"] for name in ("low", "high"))
        margin = _MARGIN * (high - low)
        with np.errstate(invalid="ignore"):
            outside = (stretch < low - margin) | (stretch > high + margin)
        accused = np.flatnonzero(outside.any(axis=0))
        if len(accused) > _AT_ONCE:
            return []
        faults = []
        for j in map(int, accused):
            rows = np.flatnonzero(outside[:, j])
            far = np.nanmax(np.maximum(low[j] - stretch[rows, j], stretch[rows, j] - high[j])) / margin[j]
            told = f"leaves the range of all training rows, {state['low'][j]:.6g} to {state['high'][j]:.6g}, by far"
            faults.append(self._told(j, "out of range", run, at + rows[0], at + rows[-1], far, told))
            stretch[:, j] = np.nan
        return faults

    def _exchange(self, level: np.ndarray, barred: np.ndarray) -> tuple[float, int, int]:
        """Return the largest gain of exchanging two sensors and which they are, from levels (variables,)."""
        state = self._state
        gains = exchange_gains(level, state["center"], state["spread"], state["middle"], state["precision"])
        away = level - state["middle"]
        # An exchange must explain the stretch: one that only brings it a little nearer is no exchange.
        gains[away @ state["precision"] @ away - gains > state["far"][0]] = 0.0
        gains[barred] = gains[:, barred] = 0.0
        one, two = np.unravel_index(int(gains.argmax()), gains.shape)
        return float(gains[one, two]), int(min(one, two)), int(max(one, two))

    def _told(self, j: int, kind: Kind, run: str, first: int, last: int, score: float, told: str) -> SensorFault:
        """Make the record; positions come in from 0."""
        name = self.columns[j]
        return SensorFault(name, kind, None, run, int(first) + 1, int(last) + 1, float(score), f"`{name}` {told}.")

    def to_arrays(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the state as arrays (for safetensors) and as a dict that is ready for JSON."""
        arrays = dict(self._ready())
        if self._drift is not None:
            arrays |= {f"drift.{name}": part for name, part in self._drift.to_arrays().items()}
        arrays = {name: np.ascontiguousarray(part) for name, part in arrays.items()}
        return arrays, {"columns": self.columns, "rows": self.rows, "notes": self.notes}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], told: dict[str, Any]) -> SensorCheck:
        """Build the check that `to_arrays` described."""
        made = cls()
        made.columns, made.rows, made.notes = list(told["columns"]), int(told["rows"]), list(told["notes"])
        made._state = {name: part for name, part in arrays.items() if not name.startswith("drift.")}
        drift = {name.removeprefix("drift."): part for name, part in arrays.items() if name.startswith("drift.")}
        made._drift = DriftModel.from_arrays(drift) if drift else None
        return made

    def _ready(self) -> dict[str, np.ndarray]:
        if not self._state:
            raise RunFolderError("The sensor check was neither fitted nor loaded.")
        return self._state


def _numbers(X: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """Return float64 of shape (rows, columns) with NaN for what no sensor measures. Raises DataError for texts."""
    named = X.set_axis(list(map(str, X.columns)), axis=1)[columns]
    texts = [name for name in columns if not pd.api.types.is_numeric_dtype(named[name])]
    if texts:
        raise DataError(f"Sensors must be numbers; these columns are not: {listing(texts)}: leave them out.")
    numbers = named.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.abs(numbers) > _LARGEST, np.nan, numbers)


def _same_length(X: pd.DataFrame, other: np.ndarray, what: str) -> None:
    if len(other) != len(X) or len(X) == 0:
        raise DataError(f"Found {len(X)} rows and {len(other)} {what}; expected one of each per row, and a row.")


def _runs(runs: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return each run and its rows, in order of first appearance."""
    codes, names = pd.factorize(np.asarray(runs), use_na_sentinel=False)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(names)))
    return [(str(name), part) for name, part in zip(names, np.split(order, ends[:-1]), strict=True)]


def _cuts(rows: int, length: int) -> list[int]:
    """Return where stretches start: one after the other, the last one ending with the run."""
    starts = list(range(0, max(rows - length, 0) + 1, length))
    return starts if starts[-1] + length >= rows else [*starts, rows - length]


def _merged(faults: list[SensorFault]) -> list[SensorFault]:
    """Join accusations of neighbouring stretches of one run that name the same sensor and kind."""
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
