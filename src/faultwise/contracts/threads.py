"""The threads of all numerical libraries together: how many there are, and how they wait for each other.

By default the threads of OpenMP (in torch and scikit-learn) wait by spinning. Beside another busy process they then
burn the time that the thread they wait for would need: a fit took five times as long. Here they sleep while they wait.
Their number is that of the cores at hand (which processors this process may use, and the quota of its container), not
the load of the moment: sums over another number of threads differ in their last digits, and a fit is to be repeatable.
Nothing is set when this is imported.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from faultwise.contracts.errors import UserError

__all__ = ["NUMBERS", "OWN", "chosen_threads", "cores", "set_threads"]

OWN = "FAULTWISE_THREADS"
NUMBERS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
# GNU's OpenMP, LLVM's and Intel's, and OpenBLAS (2 to the power of this many clock ticks, of 4 to 30).
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}


def set_threads(number: int | None = None) -> int:
    """Let all libraries use this many threads, by default one for each core at hand; return how many.

    To be called before numpy, scikit-learn and torch are loaded: how threads wait is read when these start. Those that
    are loaded get the number. What the environment sets already is kept, but for the number where one is given here.
    Raises UserError for fewer than one.
    """
    for name, value in _WAITING.items():
        os.environ.setdefault(name, value)
    given = number if number is not None else chosen_threads()
    if given is None:
        free = [name for name in NUMBERS if name not in os.environ]
        given = cores()
        if given < (os.cpu_count() or 1):  # else the libraries' own number is this one
            os.environ.update(dict.fromkeys((OWN, *free), str(given)))
        return given
    if given < 1:
        raise UserError(f"The number of threads (--threads) is {given}: choose 1 or more.")
    os.environ.update(dict.fromkeys((OWN, *NUMBERS), str(given)))
    _limit_loaded(given)
    return given


def cores() -> int:
    """Return how many cores this process may use: its processors, and not more than the quota of its container."""
    some = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(Path("/sys/fs/cgroup"))
    return max(1, some if quota is None else min(some, math.ceil(quota)))


def chosen_threads() -> int | None:
    """Return the number of threads that was chosen by --threads or FAULTWISE_THREADS; None where none was.

    Raises UserError for text that is no number.
    """
    text = os.environ.get(OWN)
    if not text:
        return None
    if not text.isdecimal():
        raise UserError(f"{OWN} is `{text[:20]}`: expected a whole number of 1 or more.")
    return int(text)


def _quota(folder: Path) -> float | None:
    """Return how many cores' time a container may use, by Linux's control groups (version 2, or 1); None for all."""
    try:
        if (folder / "cpu.max").is_file():
            most, period = (folder / "cpu.max").read_text(encoding="ascii").split()[:2]
        else:
            most = (folder / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (folder / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        return int(most) / int(period) if most != "max" and int(most) > 0 and int(period) > 0 else None
    except (OSError, ValueError):  # no such groups, or others than these
        return None


def _limit_loaded(number: int) -> None:
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(number)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(number)
