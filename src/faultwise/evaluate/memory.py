"""The most memory that a piece of work takes up, beyond what the process held before it.

Linux counts a process's peak itself and can be told to begin anew, so no child process and no sampling is needed;
memory freed by earlier work is given back first, or it would be used again unnoticed. Elsewhere nothing is measured.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Peak", "peak_memory"]

_SELF = Path("/proc/self")


@dataclass(slots=True)
class Peak:
    """`mb` is in MiB, and None while the work goes on or where it cannot be measured."""

    mb: float | None = None


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """Measure the body: all resident memory of this process at its peak, less that at the start.

    Libraries and thread pools that the body is the first to need are part of it.
    """
    made = Peak()
    start = _begin()
    yield made
    if start is not None:
        made.mb = round(max(0.0, _status("VmHWM") - start), 1)


def _begin() -> float | None:
    """Give back what is free, set the peak to what is held now, and return that in MiB."""
    try:
        with contextlib.suppress(AttributeError):  # only glibc keeps freed memory, and has this
            ctypes.CDLL(None).malloc_trim(0)
        (_SELF / "clear_refs").write_text("5")
        return _status("VmRSS")
    except OSError:
        return None


def _status(key: str) -> float:
    for line in (_SELF / "status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"no {key}")
