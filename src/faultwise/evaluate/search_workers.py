"""Several processes on one search, on this machine: each takes the next trial until there are enough.

They share the folder and nothing else. When the first process ends for any reason, the others end after their
evaluation.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from faultwise.contracts.errors import UserError
from faultwise.contracts.threads import NUMBERS, chosen_threads, cores
from faultwise.evaluate.search import Job, Search, Trial, end_with_parent, opened_trials, resume_state, search

__all__ = ["search_with"]

_LOOK = 0.5  # seconds between looks at the trials of the workers
_PATIENCE = 10.0  # seconds that a worker may take to end and release its locks


def search_with(workers: int, job: Job, report: Callable[[list[Trial]], object] | None = None) -> Search:
    """Do what `search` does with this many processes, `job.build` being something that can be sent to them.

    The cores (or the threads of --threads) are shared out among them, unless OMP_NUM_THREADS and the like are set.
    Raises UserError as `search` does, and RuntimeError with a worker's traceback, or where it was killed; finished
    trials are kept.
    """
    if workers < 1:
        raise UserError(f"workers is {workers}: choose 1 or more.")
    if workers == 1:
        return search(job, report)
    # Opened here first: the folder exists when the workers start, and a wrong one is refused once.
    with opened_trials(job) as trials, _running(workers, job) as started:
        while any(process.is_alive() for process, _ in started):
            _raise_failures(started)
            time.sleep(_LOOK)
            if report is not None:
                report(trials())
        _raise_failures(started)
    return resume_state(job)


@contextlib.contextmanager
def _running(workers: int, job: Job) -> Iterator[list[tuple[SpawnProcess, Connection]]]:
    """Start the workers; at the end there is none."""
    spawning = multiprocessing.get_context("spawn")
    started: list[tuple[SpawnProcess, Connection]] = []
    try:
        with _shared_cores(workers):
            for _ in range(min(workers, job.trials)):
                receiver, sender = spawning.Pipe(duplex=False)
                process = spawning.Process(target=_work, args=(job, sender), daemon=True)
                process.start()
                sender.close()
                started.append((process, receiver))
        yield started
    finally:
        for process, _ in started:
            process.terminate()
        for process, _ in started:
            process.join(_PATIENCE)
            process.kill()
            process.join()


def _work(job: Job, sender: Connection) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that locks are released
    try:
        search(job, lambda trials: end_with_parent())
        sender.send(("done", ""))
    except KeyboardInterrupt:
        sender.send(("done", ""))  # the first process was interrupted too, and reports it
    except UserError as error:
        sender.send(("user", str(error)))
    except Exception:
        sender.send(("bug", traceback.format_exc()))


def _raise_failures(started: Sequence[tuple[SpawnProcess, Connection]]) -> None:
    for process, receiver in started:
        kind, words = "", ""
        with contextlib.suppress(EOFError, OSError):
            if receiver.poll():
                kind, words = receiver.recv()
        if kind == "user":
            raise UserError(words)
        if kind == "bug":
            raise RuntimeError(f"A worker of the search failed:\n{words}")
        if not kind and process.exitcode not in (None, 0):
            raise RuntimeError(
                f"A worker of the search was ended from outside (code {process.exitcode}; out of memory?): start again "
                "with fewer --workers; finished trials are kept."
            )


@contextlib.contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Processes started meanwhile use their share of the cores: more threads than cores only wait for each other."""
    chosen = chosen_threads()
    share = str(max(1, (chosen or cores()) // workers))
    before = {name: os.environ.get(name) for name in NUMBERS if chosen is not None or name not in os.environ}
    os.environ.update(dict.fromkeys(before, share))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
