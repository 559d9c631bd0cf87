"""Write the README's results from `results/*.json`, between its two marks; a test checks that they agree.

python bench/tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
START, END = "<!-- results: made by bench/tables.py -->", "<!-- end of results -->"


def load(name: str) -> dict[str, Any]:
    """Read one result file."""
    return json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))


def rows_table() -> list[str]:
    """Faults 0, 1, 4, 5 on single rows, with the thesis's figures beside."""
    result = load("braatz_rows")
    mean, runs, published = result["mean"], result["runs"], result["published"]
    beside = {
        "random-forest": published["random forest"],
        "gradient-boosting": published["gradient boosting"],
        "language-model": published["LLaMA 2 7B, QLoRA"],
    }
    lines = [
        f"**Single rows, faults 0, 1, 4, 5**, 100 training and 40 test rows a class, mean of {len(runs)} seeds "
        "(`python bench/braatz_rows.py`). The study's figures stand beside for orientation only: they were measured "
        "on the harder Rieth rows, with one 160-row test set.",
        "",
        "| expert | accuracy | published, other data |",
        "|---|---|---|",
        f"| classical, chosen by cross-validation on the training rows | {mean['chosen_mean']:.3f} | |",
    ]
    for name in sorted((n for n in mean if n != "chosen_mean"), key=lambda n: -mean[n]):
        words = {"language-model": "language model (SmolLM2-135M, LoRA)"}.get(name, name)
        other = f"{beside[name]:.3f}" if name in beside else ""
        lines.append(f"| {words} | {mean[name]:.3f} | {other} |")
    seconds = [run["seconds"]["language-model"] for run in runs if "language-model" in run["seconds"]]
    if seconds:
        lines += ["", f"The language model trained {sum(seconds) / len(seconds):.0f} s a seed on two CPU cores."]
    return lines


def windows_table() -> list[str]:
    """All 21 classes on windows."""
    result = load("braatz_windows")
    chosen, verdict = result["chosen"], result["verdict"]
    recall = result["recall_by_class"][chosen]
    return [
        "",
        f"**Windows of 20 samples, classes 0 to 20** (`python bench/braatz_windows.py`): mean recall "
        f"{result['mean_recall']:.3f} with {chosen}, chosen on held-out parts of the training files. The fused "
        f"verdict, which detects first: mean recall {verdict['mean_recall']:.3f}, {verdict['fdr']:.1%} of fault rows "
        f"detected at {verdict['far']:.1%} false alarms (2% were asked for).",
        "",
        "| class | " + " | ".join(str(n) for n in range(21)) + " |",
        "|---|" + "---|" * 21,
        "| recall | " + " | ".join(f"{recall[str(n)]:.2f}" for n in range(21)) + " |",
        "",
        "Faults 3, 9 and 15 hardly differ from normal (0), as everyone finds. "
        + " ".join(
            f"Of {p['examined']} rows rightly diagnosed as fault {fault}, {p['among_first_five']:.0%} have "
            f"{p['variable']} among the first five findings."
            for fault, p in result["physics"].items()
        ),
    ]


def results() -> str:
    """Return the whole part between the marks."""
    return "\n".join([START, "", *rows_table(), *windows_table(), "", END])


def main() -> None:
    """Replace the part in the README."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(before + results() + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
