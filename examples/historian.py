"""From an Excel export of a historian to a report in two commands: makes the workbooks, runs them, writes the page.

    python examples/historian.py [--page docs/how-to/historian.md]

The workbooks are simulated: eight pumps, three tags in a long table with quality codes, failures in a second sheet.
Writing them needs `openpyxl`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from transcript import transcript

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "historian.md"
_FIT = "fit plant.xlsx --group pump --time time --events plant.xlsx --out runs/pumps"
_DIAGNOSE = "diagnose runs/pumps new.xlsx --report report.html"
_HEAD = """# From a historian's export to a report

<!-- made by examples/historian.py: change that and run it again -->

A workbook holds what a historian exports: a line for each measurement (time, pump, tag, value, quality), and a
second sheet with the failures that people noted (pump, start, end, fault). Two commands lead to a report. What
follows is their output on simulated pumps, unchanged but for the length.
"""


def record(seed: int, pumps: int = 8, rows: int = 360) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a long table of measurements every ten minutes, and the failures."""
    rng = np.random.default_rng(seed)
    lines, failures = [], []
    for number in range(pumps):
        times = pd.Timestamp("2026-03-02 06:00") + pd.to_timedelta(np.arange(rows) * 10, "min")
        fault, first = ("bearing wear", "leak")[number % 2], int(rng.integers(rows // 3, 2 * rows // 3))
        broken = (np.arange(rows) >= first) & (np.arange(rows) < first + 60)
        tags = {
            "vibration [mm/s]": 2 + 0.4 * rng.normal(size=rows) + 0.6 * (broken & (fault == "bearing wear")),
            "flow [m3/h]": 40 + 2 * rng.normal(size=rows) - 2.5 * (broken & (fault == "leak")),
            "temperature [°C]": 55 + rng.normal() + rng.normal(size=rows),
        }
        pump = f"P-{number + 1}"
        failures.append((pump, times[first], times[first] + pd.Timedelta(hours=10), fault))
        for tag, values in tags.items():
            quality = np.where(rng.random(rows) < 0.005, "Bad", "Good")
            made = {"time": times, "pump": pump, "tag": tag, "value": values.round(3), "quality": quality}
            lines.append(pd.DataFrame(made))
    whole = pd.concat(lines).sort_values("time", kind="stable")
    return whole, pd.DataFrame(failures, columns=["pump", "start", "end", "fault"])


def write(folder: Path) -> None:
    """Write `plant.xlsx` with both sheets, and `new.xlsx` with measurements of other pumps alone."""
    for name, seed in (("plant", 0), ("new", 1)):
        lines, failures = record(seed)
        with pd.ExcelWriter(folder / f"{name}.xlsx") as book:
            lines.to_excel(book, sheet_name="measurements", index=False)
            if name == "plant":
                failures.to_excel(book, sheet_name="failures", index=False)


def main() -> None:
    """Run both commands in a new folder and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    parts = [_HEAD]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for command, most in ((_FIT, 60), (_DIAGNOSE, 40)):
            parts.append(transcript(command, Path(folder), most))
    args.page.write_text("\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
