"""From a spreadsheet of work orders to coded failure modes: makes the workbook, runs the commands, writes the page.

    python examples/work_orders.py [--page docs/how-to/work-orders.md]

The work orders are simulated as people write them: abbreviations, tags, misspellings, some labels wrong. Writing the
workbooks needs `openpyxl`; the sentence model (91 MB) is fetched on the first run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from transcript import transcript

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "work-orders.md"
_COMMANDS = (
    (
        "fit orders.xlsx --target failure_mode --codes codes.csv --experts words,sentence-embeddings --out runs/orders",
        60,
    ),
    ("diagnose runs/orders new.xlsx --out coded.csv", 30),
    ("diagnose runs/orders new.xlsx --row 3", 40),
)
_HEAD = """# From a spreadsheet of work orders to failure modes

<!-- made by examples/work_orders.py: change that and run it again -->

A workbook holds work orders as people write them, with the failure mode that somebody chose for each. One command
learns from it, one codes new work orders, and one explains a single code. What follows is their output on simulated
work orders, unchanged but for the length. Two fast experts take part here; without `--experts` the sentence model is
fine-tuned, too, which takes minutes and is more accurate on real work orders ([benchmark](../benchmarks/texts.md)).
"""
_TAIL = """
The file `label_issues.csv` in the run folder lists the work orders whose code the others contradict. Look at them,
write the rows and the right labels into a table with the columns `row` and `label`, and fit again with
`--accepted FILE`. The list of spellings that was learnt is `synonyms.csv`; edited, it goes back in with
`--synonyms FILE`. A folder of notes (`.txt` or `.md`, in folders named by their label) and JSON lines are read the same
way; `--text COL` names the column of texts where several could be it.
"""
_PARTS = (
    "pump",
    "gearbox",
    "motor",
    "seal",
    "conveyor",
    "fan",
    "valve",
    "bearing",
    "cplg",
    "hose",
    "hyd cyl",
    "engine",
)
_SAID = {
    "LEK": ("leaking", "oil leak", "drips on floor", "lost coolant", "leaks under load", "wet below"),
    "NOI": ("noisy", "grinding noise", "squeals at start", "knocking", "strange sound"),
    "OHE": ("running hot", "overheated", "smoke seen", "temp too high", "hot to touch"),
    "STD": ("cracked", "bent bracket", "corroded through", "torn", "hole in housing"),
    "FTS": ("wont start", "failed to start", "no start on demand", "does not start"),
}
_CODES = {
    "LEK": ("External leakage", "Loss of containment"),
    "NOI": ("Abnormal noise", "Degraded"),
    "OHE": ("Overheating", "Degraded"),
    "STD": ("Structural deficiency", "Loss of containment"),
    "FTS": ("Failure to start on demand", "Function"),
}


def orders(rows: int, seed: int) -> pd.DataFrame:
    """Return work orders; of the labels one in thirty is wrong."""
    rng, codes = np.random.default_rng(seed), list(_SAID)
    truth = rng.choice(codes, rows)
    lines = []
    for code in truth:
        part, said = rng.choice(_PARTS), rng.choice(_SAID[code])
        tag = f"{rng.choice(['P', 'K', 'M'])}-{rng.integers(100, 140)}{rng.choice(['A', 'B'])}"
        text = rng.choice([f"{tag} {part} {said}", f"{part} {said}, pls check", f"{said} - {part} {tag}"])
        if rng.random() < 0.15:  # two neighbouring letters exchanged
            at = int(rng.integers(1, len(text) - 2))
            text = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
        lines.append(text)
    given = np.where(rng.random(rows) < 1 / 30, rng.choice(codes, rows), truth)
    return pd.DataFrame({"order": np.arange(40_001, 40_001 + rows), "description": lines, "failure_mode": given})


def write(folder: Path) -> None:
    """Write the labelled work orders, new ones without labels, and the code list."""
    orders(300, 0).to_excel(folder / "orders.xlsx", index=False)
    orders(40, 1).drop(columns="failure_mode").to_excel(folder / "new.xlsx", index=False)
    rows = [(code, *words) for code, words in _CODES.items()]
    pd.DataFrame(rows, columns=["code", "description", "parent"]).to_csv(folder / "codes.csv", index=False)


def main() -> None:
    """Run the commands in a new folder and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    parts = [_HEAD]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for command, most in _COMMANDS:
            parts.append(transcript(command, Path(folder), most))
        coded = (Path(folder) / "coded.csv").read_text(encoding="utf-8").splitlines()[:6]
        parts.append("\n".join(["", "The first lines of `coded.csv`:", "", "```", *coded, "```"]))
    args.page.write_text("\n".join(parts) + "\n" + _TAIL, encoding="utf-8")


if __name__ == "__main__":
    main()
