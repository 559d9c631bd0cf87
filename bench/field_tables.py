"""The tables of `field.py`: real ones from FAULTWISE_DATA, simulated ones with fixed seeds, all as plain frames.

A table says which column is the label, the run and the time, how its rows are divided, and which rows are one unit of
the bootstrap: a run, a row where rows are separate, or a block of rows where a class has one run only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import hilbert
from scipy.stats import kurtosis, skew

from faultwise.tables.reading.benchmarks.samples import sample_path
from faultwise.tables.reading.readers import read_source
from faultwise.verdicts.drawing import draw_evenly
from faultwise.verdicts.splits import split
from recipe import data_folder

__all__ = ["MOST_ROWS", "TABLES", "FieldTable", "divided"]

MOST_ROWS = 30_000  # rows to learn from at most
_TEST = 1 / 3
_BLOCK = 40  # rows that resample together where a class has one run only


@dataclass(frozen=True)
class FieldTable:
    """Rows (`frame`) with the names of the label, the run and the time (None: rows are separate measurements).

    `part` (rows,) says "train" or "test" where the benchmark itself divides its rows. `needs` are settings without
    which a fit refuses such rows, or takes rows sorted by label for one record. `normal` is the label of normal rows.
    """

    name: str
    words: str
    real: bool
    frame: pd.DataFrame
    target: str = "fault"
    group: str | None = None
    time: str | None = None
    normal: str | None = None
    part: np.ndarray | None = None

    @property
    def needs(self) -> dict[str, str]:
        """How validation rows are held out, where the rows do not have several runs of each class."""
        if self.group is None:
            return {"split": "row"}
        return {} if self.part is None else {"split": "block"}

    @property
    def measured(self) -> list[str]:
        """The columns that are neither label nor run nor time."""
        return [name for name in self.frame.columns if name not in (self.target, self.group, self.time)]


def divided(table: FieldTable, seed: int) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Return training rows, test rows, and the unit (text) of each test row for the bootstrap.

    A third of the runs is for the test, or of the rows where they are separate, stratified by class. Runs are drawn
    until the training rows are no more than MOST_ROWS; separate rows are drawn evenly.
    """
    frame, labels = table.frame, table.frame[table.target].astype(str).to_numpy()
    runs = None if table.group is None else frame[table.group].astype(str).to_numpy()
    if table.part is not None:
        train, test = (np.flatnonzero(table.part == part) for part in ("train", "test"))
    else:
        train, test, _ = split(labels, runs, "row" if runs is None else "group", _TEST, seed)
    if runs is None and len(train) > MOST_ROWS:
        train = np.sort(train[draw_evenly(labels[train], train.astype(str), MOST_ROWS, seed)])
    elif runs is not None:
        train = _fewer_runs(train, runs, seed)
    if runs is None:
        unit = test.astype(str)
    elif table.part is None:
        unit = runs[test]
    else:
        block = pd.Series(runs[test]).groupby(runs[test]).cumcount().to_numpy() // _BLOCK
        unit = np.char.add(np.char.add(runs[test].astype(str), " "), block.astype(str))
    return frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True), np.asarray(unit)


def _fewer_runs(train: np.ndarray, runs: np.ndarray, seed: int) -> np.ndarray:
    """Leave out whole runs, drawn at random, while there are more than MOST_ROWS rows."""
    names = np.random.default_rng(seed).permutation(np.unique(runs[train]))
    sizes = pd.Series(runs[train]).value_counts()[names].cumsum()
    return train[np.isin(runs[train], names[(sizes <= MOST_ROWS).to_numpy()])]


def _ai4i(by_mode: bool) -> FieldTable:
    """AI4I 2020, machine failure or its mode: rows with two modes at once, and random failures, which nothing tells,
    are left out of the modes.
    """
    frame = pd.read_csv(data_folder("ai4i") / "ai4i2020.csv")
    modes = ["TWF", "HDF", "PWF", "OSF"]
    flags = ["UDI", "Product ID", "Machine failure", "RNF", *modes]
    if not by_mode:
        fault = np.where(frame["Machine failure"] == 1, "failure", "normal")
        words = "AI4I 2020: does the milling machine fail?"
        return FieldTable("ai4i-failure", words, True, frame.drop(columns=flags).assign(fault=fault), normal="normal")
    frame = frame[(frame[modes].sum(axis=1) <= 1) & (frame["RNF"] == 0)].reset_index(drop=True)
    fault = np.where(frame[modes].any(axis=1), frame[modes].idxmax(axis=1), "normal")
    words = "AI4I 2020: which failure mode does the milling machine have, if any?"
    return FieldTable("ai4i-modes", words, True, frame.drop(columns=flags).assign(fault=fault), normal="normal")


def _steel() -> FieldTable:
    """Seven kinds of faults of steel plates; there are no plates without one."""
    path = data_folder("steel-plates") / "steel-plates-fault.arff"
    rows = pd.read_csv(path, skiprows=1 + _data_line(path), header=None).to_numpy(dtype=float)
    kinds = ["pastry", "z-scratch", "k-scratch", "stains", "dirtiness", "bumps", "other"]
    flags = np.column_stack([rows[:, 27:33], 1 - rows[:, 27:33].sum(axis=1)])
    frame = pd.DataFrame(rows[:, :27], columns=[f"V{number}" for number in range(1, 28)])
    words = "Steel plates: seven kinds of surface faults"
    return FieldTable("steel-plates", words, True, frame.assign(fault=np.array(kinds)[flags.argmax(axis=1)]))


def _data_line(path: Path) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(at for at, line in enumerate(lines) if line.strip().lower() == "@data")


def _braatz(name: str, faults: range | tuple[int, ...]) -> FieldTable:
    """Classical Tennessee Eastman files: learnt from `dNN.dat`, judged on `dNN_te.dat` from the onset on."""
    folder, parts = data_folder("tep-braatz"), ("train", "test")
    frames = [read_source(folder, part=part).frame for part in parts]
    part = np.repeat(parts, [len(frame) for frame in frames])
    frame = pd.concat(frames, ignore_index=True)
    keep = frame["fault"].isin([str(fault) for fault in faults]).to_numpy()
    words = f"Tennessee Eastman, Braatz files, {len(faults)} classes"
    frame, part = frame[keep].reset_index(drop=True), part[keep]
    return FieldTable(name, words, True, frame, "fault", "run", "sample", "0", part)


def _tep() -> FieldTable:
    """The simulated Tennessee Eastman runs that travel with the package: 21 classes, six runs each."""
    frame = pd.read_parquet(sample_path("tep-sample"))
    words = "Tennessee Eastman, simulated, 21 classes, 126 runs"
    return FieldTable("tep-simulated", words, False, frame, "fault", "run", "hour", "0")


def _cmapss() -> FieldTable:
    """Turbofan engines run to failure: does this engine fail within 30 cycles?"""
    settings, sensors = [f"setting{n}" for n in range(1, 4)], [f"s{n}" for n in range(1, 22)]
    path = data_folder("cmapss") / "train_FD001.txt"
    frame = pd.read_csv(path, sep=r"\s+", header=None, names=["engine", "cycle", *settings, *sensors])
    left = frame.groupby("engine")["cycle"].transform("max") - frame["cycle"]
    frame["state"] = np.where(left < 30, "fails soon", "normal")
    words = "C-MAPSS FD001: does the engine fail within 30 cycles?"
    return FieldTable("cmapss", words, True, frame, "state", "engine", "cycle", "normal")


def _hdfs() -> FieldTable:
    """HDFS sessions as counts of events: normal ones, and 1,500 of the abnormal ones."""
    folder, rng = data_folder("hdfs"), np.random.default_rng(0)
    sessions = {}
    for label, name in (("normal", "hdfs_train"), ("abnormal", "hdfs_test_abnormal")):
        lines = [line.split() for line in (folder / name).read_text(encoding="utf-8").splitlines() if line.strip()]
        sessions[label] = lines if label == "normal" else [lines[at] for at in rng.permutation(len(lines))[:1500]]
    both = [(Counter(line), label) for label, lines in sessions.items() for line in lines]
    events = sorted({event for counts, _ in both for event in counts}, key=int)
    frame = pd.DataFrame([[counts[event] for event in events] for counts, _ in both], columns=events)
    frame.columns = pd.Index([f"E{event}" for event in events])
    frame["state"] = [label for _, label in both]
    words = "HDFS: abnormal sessions by counts of log events"
    return FieldTable("hdfs", words, True, frame, "state", normal="normal")


def _bearings(name: str, by_load: bool) -> FieldTable:
    """CWRU bearings, features of pieces of 2,048 samples.

    By load: place and size of the fault are to be named in recordings at a load that is not in training. By bearing:
    the place of the fault is to be named for bearings that are not in training, at any load.
    """
    pieces = []
    for path in sorted(data_folder("cwru").glob("*.npz")):
        bearing, load = path.stem.rsplit("_", 1)
        place = {"B": "ball", "I": "inner race", "O": "outer race"}[bearing[0]]
        made = _vibration(path).assign(load_hp=int(load), recording=path.stem, bearing=bearing)
        made["fault"] = f"{place} {bearing.lstrip('BIOR')[:3]}" if by_load else place
        pieces.append(made)
    frame = pd.concat(pieces, ignore_index=True)
    group, other = ("recording", "bearing") if by_load else ("bearing", "recording")
    frame = frame.drop(columns=other)
    frame["piece"] = frame.groupby(group).cumcount() + 1
    words = {
        True: "CWRU bearings: place and size of the fault, new recordings",
        False: "CWRU bearings: place of the fault, new bearings",
    }[by_load]
    return FieldTable(name, words, True, frame, "fault", group, "piece")


def _vibration(path: Path, length: int = 2048) -> pd.DataFrame:
    """Return statistics, energies of eight bands and envelope lines at the bearing's frequencies, one row a piece."""
    with np.load(path) as held:
        signal, rate, rpm = held["signal"] * float(held["scale"]), float(held["rate"]), float(held["rpm"])
    pieces = signal[: len(signal) // length * length].reshape(-1, length)
    pieces = pieces - pieces.mean(axis=1, keepdims=True)
    rms, peak = np.sqrt((pieces**2).mean(axis=1)), np.abs(pieces).max(axis=1)
    made = {"rpm": np.full(len(pieces), rpm), "rms": rms, "crest": peak / rms}
    made |= {"kurtosis": kurtosis(pieces, axis=1), "skew": skew(pieces, axis=1)}
    power = np.abs(np.fft.rfft(pieces, axis=1))[:, 1:] ** 2
    for number, band in enumerate(np.array_split(power, 8, axis=1), 1):
        made[f"band{number}"] = np.log(band.sum(axis=1) / length)
    envelope = np.abs(hilbert(pieces, axis=1))
    lines = np.abs(np.fft.rfft(envelope - envelope.mean(axis=1, keepdims=True), 4 * length, axis=1))
    step, floor = rate / (4 * length), np.median(lines[:, :2000], axis=1)
    for words, order in (("bpfo", 3.5848), ("bpfi", 5.4152), ("bsf2", 4.7135), ("ftf", 0.39828)):
        at = round(order * rpm / 60 / step)
        made[f"envelope_{words}"] = lines[:, max(1, at - 4) : at + 5].max(axis=1) / floor
    return pd.DataFrame(made)


_PUMP = ("pressure", "flow", "current", "voltage", "vibration_1", "vibration_2", "bearing_temp", "fluid_temp")


def _pump(runs: int = 34, seed: int = 20_261_127) -> FieldTable:
    """Records of a pump bench as one finds them: 1 Hz, first normal, then one of four disturbances, small beside the
    differences between runs, with slow drift and autocorrelated noise.
    """
    rng, frames = np.random.default_rng(seed), []
    shifts = rng.normal(0, 1.0, (4, len(_PUMP))) * (rng.random((4, len(_PUMP))) < 0.5)
    louder = 1 + 0.8 * (rng.random((4, len(_PUMP))) < 0.3)
    mixing = np.eye(len(_PUMP)) + 0.3 * rng.normal(size=(len(_PUMP), len(_PUMP)))
    for run in range(runs):
        rows, kind = int(rng.integers(800, 1201)), run % 4
        onset = int(rows * rng.uniform(0.4, 0.7))
        strength = np.clip((np.arange(rows) - onset) / 60, 0, 1)[:, None] * rng.uniform(0.6, 1.4)
        noise, slow = np.zeros((rows, len(_PUMP))), rng.normal(0, 0.02, (rows, len(_PUMP))).cumsum(axis=0)
        steps = rng.normal(0, np.sqrt(1 - 0.8**2), (rows, len(_PUMP)))
        for at in range(1, rows):
            noise[at] = 0.8 * noise[at - 1] + steps[at]
        values = rng.normal(0, 0.7, len(_PUMP)) + slow + noise @ mixing.T * (1 + strength * (louder[kind] - 1))
        frame = pd.DataFrame(np.round(values + strength * shifts[kind], 4), columns=list(_PUMP))
        frame.insert(0, "run", f"run{run + 1:02d}")
        frame.insert(1, "second", np.arange(rows))
        frames.append(frame.assign(state=np.where(np.arange(rows) >= onset, "fault", "normal")))
    words = "Pump bench, simulated: 34 runs at 1 Hz, offsets between runs, drift"
    frame = pd.concat(frames, ignore_index=True)
    return FieldTable("pump", words, False, frame, "state", "run", "second", "normal")


TABLES: dict[str, Callable[[], FieldTable]] = {
    "ai4i-failure": lambda: _ai4i(False),
    "ai4i-modes": lambda: _ai4i(True),
    "steel-plates": _steel,
    "braatz-4": lambda: _braatz("braatz-4", (0, 1, 4, 5)),
    "braatz-21": lambda: _braatz("braatz-21", range(21)),
    "tep-simulated": _tep,
    "cmapss": _cmapss,
    "hdfs": _hdfs,
    "cwru-recordings": lambda: _bearings("cwru-recordings", True),
    "cwru-bearings": lambda: _bearings("cwru-bearings", False),
    "pump": _pump,
}
