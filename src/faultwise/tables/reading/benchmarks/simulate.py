"""Simulated Tennessee Eastman runs, with the extra `tep-studio`.

The plant is the revised model of Bathelt, Ricker and Jelali ("Revision of the Tennessee Eastman Process
Model", IFAC-PapersOnLine 48(8), 2015) of the process of Downs and Vogel ("A plant-wide industrial process
control problem", Computers & Chemical Engineering 17(3), 1993), under Ricker's decentralised control, mode 1.

Set points and operating mode are never changed, one fault per run is started and never ended, and the classical files
(Braatz, Rieth) are not reproduced: they come from the older model and another controller.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import numpy as np
import pandas as pd

from faultwise.contracts.errors import DataError, UserError, listing

__all__ = ["FAULTS", "VARIABLES", "simulate"]

FAULTS = 28
VARIABLES = tuple(f"XMEAS({i})" for i in range(1, 42)) + tuple(f"XMV({i})" for i in range(1, 13))

# The plant needs about 10 h to settle from its tabulated start; those rows are discarded.
_START_UP_H = 10.0
# Longest control step: at 0.01 h the loop is stable and five times faster than at the package's 0.0005 h.
_CONTROL_H = 0.01
# A worker process costs a second to start, a run half a second: few runs stay in this process.
_RUNS_PER_WORKER = 4


@dataclass(frozen=True, slots=True)
class _Job:
    """One run: start-up, onset and rows are counted in samples, `interval` is in hours."""

    fault: int
    run: int
    noise: float
    start_up: int
    onset: int
    rows: int
    interval: float


def simulate(
    faults: Iterable[int],
    runs: int,
    hours: float = 8.0,
    onset: float | None = None,
    *,
    seed: int = 0,
    interval_minutes: float = 3.0,
    workers: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Simulate `runs` runs of each fault and return them one below the other.

    Args:
        faults: disturbance numbers (IDV) 1 to 28, 0 for normal operation; repeated numbers count once.
        runs: runs of each fault, at least 1; they are numbered from 1.
        hours: length of a run in plant hours, after the 10 h of start-up that are discarded.
        onset: hour at which the fault sets in, rounded to the sampling interval; None draws it for each run
            between 1 h and 2 h.
        seed: not negative. Each run has its own generator from (seed, fault, run), so a run is the same
            whichever others are requested.
        interval_minutes: time between two rows.
        workers: processes; None takes one per core but none for a handful of runs, 1 stays in this process.
        progress: show a bar on stderr.

    Returns:
        One row per sample: `run` (text, like `fault04-run02`), `hour` (h since the end of start-up; the
        first row is one interval in), XMEAS(1) to XMEAS(41) and XMV(1) to XMV(12) in the units of the shipped
        companion file `tep.yaml`, and `fault`. The row at the onset is still 0: the fault starts at that
        moment and no measurement shows it yet. A run that trips the plant (fault 6 does, about 7.5 h
        after its onset) ends at the trip.

    Raises:
        UserError: the extra is not installed, or worker processes cannot start.
        DataError: a fault outside 0 to 28, runs below 1, hours not above 0, an onset not before the end, ...

    >>> simulate([29], runs=1)
    Traceback (most recent call last):
        ...
    faultwise.contracts.errors.DataError: Unknown TEP fault `29`: the model has 0 (normal) to 28.
    """
    jobs = _plan(list(faults), runs, hours, onset, seed, interval_minutes)
    _need_simulator()
    count = _worker_count(workers, len(jobs))
    frames: list[pd.DataFrame | None] = [None] * len(jobs)
    for index, frame in _finished(jobs, count, progress):
        frames[index] = frame
    return pd.concat([frame for frame in frames if frame is not None], ignore_index=True)


def _plan(faults: list[int], runs: int, hours: float, onset: float | None, seed: int, minutes: float) -> list[_Job]:
    """Check the request and return one job per run. Raises DataError."""
    _check_faults(faults)
    _check_numbers(runs, seed, hours, minutes)
    interval = minutes / 60
    rows = math.floor(hours / interval + 1e-9)
    if rows < 1:
        raise DataError(f"{hours} h are shorter than one interval of {minutes} min: ask for longer runs.")
    fixed = None
    if onset is not None:
        if not (math.isfinite(onset) and 0 <= onset < hours):
            raise DataError(f"The onset is {onset} h in a run of {hours} h: expected 0 or more and below it.")
        fixed = round(onset / interval)
    first, last = math.ceil(1 / interval - 1e-9), math.floor(2 / interval + 1e-9)
    if fixed is None and any(faults) and (first > last or last >= rows):
        raise DataError(
            f"A random onset lies between 1 h and 2 h, which does not fit runs of {hours} h sampled every "
            f"{minutes} min: pass `onset` in hours, or longer runs."
        )
    start_up = math.ceil(_START_UP_H / interval - 1e-9)
    jobs = []
    for fault in dict.fromkeys(int(f) for f in faults):
        for run in range(1, runs + 1):
            rng = np.random.default_rng(np.random.SeedSequence([seed, fault, run]))
            # Large seeds only: the model's own generator gives biased noise from small ones.
            noise = float(rng.integers(10**6, 2**31))
            drawn = int(rng.integers(first, last + 1)) if fixed is None and fault else 0
            start = (drawn if fixed is None else fixed) if fault else rows
            jobs.append(_Job(fault, run, noise, start_up, start, rows, interval))
    return jobs


def _check_faults(faults: list[int]) -> None:
    whole = [f for f in faults if isinstance(f, int | np.integer) and not isinstance(f, bool)]
    wrong = [f for f in faults if f not in whole or not 0 <= f <= FAULTS]
    if wrong:
        raise DataError(f"Unknown TEP fault {listing(wrong)}: the model has 0 (normal) to {FAULTS}.")
    if not faults:
        raise DataError("No fault was requested: name at least one of 0 (normal) to 28.")


def _check_numbers(runs: int, seed: int, hours: float, minutes: float) -> None:
    if runs < 1:
        raise DataError(f"{runs} runs of each fault were requested: expected at least 1.")
    if seed < 0:
        raise DataError(f"The seed is {seed}: expected 0 or a positive whole number.")
    if not (math.isfinite(minutes) and minutes > 0):
        raise DataError(f"The sampling interval is {minutes} min: expected a positive number, such as 3.")
    if not (math.isfinite(hours) and hours > 0):
        raise DataError(f"A run of {hours} h was requested: expected a positive number of hours, such as 8.")


def _need_simulator() -> None:
    """Raise UserError when the extra is absent."""
    try:
        import tep_studio  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'The simulator `tep-studio` cannot be imported ({error}): pip install "faultwise[simulate]".'
        ) from None


def _worker_count(workers: int | None, jobs: int) -> int:
    """Return how many processes to use. Raises DataError for less than one."""
    if workers is not None:
        if workers < 1:
            raise DataError(f"{workers} workers were requested: expected at least 1.")
        return min(workers, jobs)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, jobs // _RUNS_PER_WORKER))


def _finished(jobs: list[_Job], workers: int, progress: bool) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield (position, rows) of each job as it gets done, in any order."""
    from faultwise.contracts.progress import ProgressBar

    with ProgressBar(total=len(jobs), desc="simulate", disable=not progress) as bar:
        if workers == 1:
            for index, job in enumerate(jobs):
                yield index, _one(job)
                bar.update()
            return
        # "spawn" everywhere: forking a process that has started torch or other threads can hang.
        pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_ignore_ctrl_c)
        try:
            waiting = {pool.submit(_one, job): index for index, job in enumerate(jobs)}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
                bar.update()
        except BrokenProcessPool as error:
            raise UserError(
                "The worker processes could not start or were killed: in a script, call simulate() under "
                '`if __name__ == "__main__":`, or pass workers=1.'
            ) from error
        except (KeyboardInterrupt, GeneratorExit):
            # Cancelling would wait for the runs that have started or were handed over, for seconds.
            # From Python 3.14 on pool.terminate_workers() is the public way.
            for process in list((getattr(pool, "_processes", None) or {}).values()):
                process.terminate()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _ignore_ctrl_c() -> None:
    """Leave Ctrl-C to the parent process, which cancels the waiting runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(job: _Job) -> pd.DataFrame:
    """Simulate one run; a top-level function, so that a spawned process can find it."""
    from tep_studio import ClosedLoopSimulation

    # A whole number of control steps between samples, so that rows lie on the grid exactly.
    steps = math.ceil(job.interval / _CONTROL_H - 1e-9)
    control = job.interval / steps
    starts = (job.start_up + job.onset) * job.interval - control / 2
    off = np.zeros(FAULTS)
    on = off.copy()
    if job.fault:
        on[job.fault - 1] = 1.0
    plant = ClosedLoopSimulation(control_interval=control, horizon=(job.start_up + job.rows) * job.interval)
    outcome = plant.run(seed=job.noise, disturbance_schedule=lambda time: on if time > starts else off)
    # The step in which the plant trips is not a normal measurement any more.
    steps_done = outcome.results[:-1] if outcome.terminated else outcome.results
    samples = steps_done[steps - 1 :: steps][job.start_up : job.start_up + job.rows]
    values = [np.r_[step.measurements[:41], step.implemented_action[:12]] for step in samples]
    frame = pd.DataFrame(np.array(values).reshape(-1, len(VARIABLES)), columns=list(VARIABLES))
    position = np.arange(1, len(frame) + 1)
    frame.insert(0, "run", f"fault{job.fault:02d}-run{job.run:02d}")
    frame.insert(1, "hour", np.round(position * job.interval, 6))
    frame["fault"] = np.where(position > job.onset, job.fault, 0)
    return frame
