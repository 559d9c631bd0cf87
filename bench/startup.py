"""How long `faultwise --help` takes: median of ten starts, in seconds.

python bench/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from recipe import write_result


def main() -> None:
    """Measure and write results/startup.json."""
    command = [sys.executable, "-m", "faultwise.cli.main", "--help"]
    subprocess.run(command, check=True, capture_output=True)  # compiles the modules once
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    figures = {"help_s": round(statistics.median(seconds), 3), "slowest_s": round(max(seconds), 3)}
    print(figures, write_result("startup", {"starts": 10}, "", figures))


if __name__ == "__main__":
    main()
