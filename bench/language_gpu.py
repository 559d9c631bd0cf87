"""The language model on a GPU beside the CPU of the same machine: every fine-tuning method, and runs that change sides.

Single rows of faults 0, 1, 4 and 5 of the shipped sample of simulated Tennessee Eastman runs, a third of the runs held
out. Each method is
tuned for the same steps on both devices with rows as short texts, and once with rows as tokens. Shown are the balanced
accuracy on 120 held-out rows, the seconds of the fit, and rows per second. Then the run of the GPU is saved, opened on
the CPU, and gives the same rows again: the largest difference of a probability is shown.

    python bench/language_gpu.py [--steps 80] [--methods lora,full]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import balanced_accuracy_score

from faultwise.contracts.language import METHODS, LanguageSettings
from faultwise.language.classifier.expert import LanguageExpert
from faultwise.tables.reading.benchmarks.samples import sample_path
from faultwise.verdicts.drawing import draw_evenly
from recipe import write_result

SEED, TRAINED, SCORED, MODEL = 0, 800, 120, "smollm2-135m-instruct"
CLASSES = ("0", "1", "4", "5")


def rows() -> tuple[tuple[pd.DataFrame, np.ndarray, np.ndarray], tuple[pd.DataFrame, np.ndarray]]:
    """Return features, labels and runs to train on, and features and labels of other runs."""
    frame = pd.read_parquet(sample_path("tep-sample"))
    frame = frame[frame["fault"].astype(str).isin(CLASSES)]
    columns = [name for name in frame.columns if str(name).startswith("XM")]
    X = frame[columns].astype(np.float32).add_prefix("value(").add_suffix(")")
    y, runs = frame["fault"].astype(str).to_numpy(), frame["run"].astype(str).to_numpy()
    held = np.isin(runs, np.unique(runs)[::3])
    train = np.flatnonzero(~held)[draw_evenly(y[~held], runs[~held], TRAINED, SEED)]
    test = np.flatnonzero(held)[draw_evenly(y[held], runs[held], SCORED, SEED)]
    return (X.iloc[train].reset_index(drop=True), y[train], runs[train]), (X.iloc[test].reset_index(drop=True), y[test])


def measured(settings: LanguageSettings, folder: Path) -> tuple[dict[str, float], np.ndarray]:
    """Fit, score the held-out rows and save; return figures and probabilities (rows, classes)."""
    folder.mkdir()
    training, (X, y) = rows()
    started = time.perf_counter()
    expert = LanguageExpert(settings, SEED).fit(*training)
    fit_s = time.perf_counter() - started
    expert.predict_proba(X.iloc[:32])
    started = time.perf_counter()
    p = expert.predict_proba(X)
    rate = len(X) / (time.perf_counter() - started)
    expert.save(folder)
    right = balanced_accuracy_score(y, expert.classes_[p.argmax(axis=1)])
    return {"balanced_accuracy": round(right, 3), "fit_s": round(fit_s, 1), "rows_per_s": round(rate, 1)}, p


def moved(folder: Path, device: str, p: np.ndarray) -> dict[str, float]:
    """Open a saved expert on another device; return how far its probabilities are from p."""
    again = LanguageExpert(LanguageSettings(device=device), SEED).load(folder).predict_proba(rows()[1][0])
    same = float((again.argmax(axis=1) == p.argmax(axis=1)).mean())
    return {"largest_difference": round(float(np.abs(again - p).max()), 5), "same_label": round(same, 4)}


def names() -> dict[str, str]:
    """Return what the devices are called."""
    import torch

    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {"cuda": gpu, "torch_cuda": str(torch.version.cuda)}


def main() -> None:
    """Measure, print and write results/language_gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--model", default=MODEL)
    args = parser.parse_args()
    config = {"model": args.model, "steps": args.steps, "trained_rows": TRAINED, "scored_rows": SCORED}
    data, found = sha256(sample_path("tep-sample").read_bytes()).hexdigest(), dict[str, Any]()
    for name in [*args.methods.split(","), "tokens"]:
        input_, method = ("tokens", "lora") if name == "tokens" else ("short", name)
        one = found.setdefault(name, {})
        with tempfile.TemporaryDirectory() as folder:
            for device in ("cpu", "cuda"):
                made = LanguageSettings(model=args.model, method=method, input=input_, steps=args.steps, device=device)
                one[device], p = measured(made, Path(folder) / device)
            one["opened_on_cpu"] = moved(Path(folder) / "cuda", "cpu", p)
        print(name, one, flush=True)
        write_result("language_gpu", config, data, {"devices": names(), "methods": found})


if __name__ == "__main__":
    main()
