"""Do the verdicts stay the same? `diagnose --json` of fixed inputs, recorded once, compared with what it gives now.

`python bench/verdicts.py record` writes `results/verdicts.json`, `python bench/verdicts.py` compares with it: every
number must agree to 1e-6 and every label exactly. Names of keys may differ: numbers and labels are compared in order of
appearance, by kind of input. FAULTWISE_DATA names the folder of original data.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as Pillow

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "verdicts.json"
DATA = Path(os.environ.get("FAULTWISE_DATA") or HERE.parents[1] / "shared" / "data")
TOLERANCE = 1e-6
KINDS_OF_TILE = ("Blowhole", "Crack", "Fray")


def faultwise(*argv: object) -> str:
    """Run a command and return what it prints."""
    command = [sys.executable, "-m", "faultwise.cli.main", *map(str, argv)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout


def tep(folder: Path) -> tuple[Path, Path, Path]:
    """Write the shipped sample as a training and a test file; return them and the companion."""
    import faultwise

    root = Path(faultwise.__file__).parent
    sample, about = next(root.rglob("tep-sample.parquet")), next(root.rglob("tep.yaml"))
    rows = pd.read_parquet(sample)
    test = rows["run"].str[-2:].astype(int) % 3 == 2
    rows[~test].to_csv(folder / "train.csv", index=False)
    faulty = sorted(set(rows.loc[test, "run"]))
    rows[test & rows["run"].isin(faulty[::4])].to_csv(folder / "test.csv", index=False)
    return folder / "train.csv", folder / "test.csv", about


ROLES = ("--target", "fault", "--group", "run", "--time", "hour")


def tables(folder: Path) -> Any:
    """TEP without the language model, windows of 20."""
    train, test, about = tep(folder)
    faultwise("fit", train, "--out", folder / "run", *ROLES, "--about", about, "--window", 20,
              "--experts", "extra-trees,logistic-regression")  # fmt: skip
    return json.loads(faultwise("diagnose", folder / "run", test, "--cases", 6, "--json"))


def tables_language(folder: Path) -> Any:
    """TEP, four classes, with the language model."""
    train, test, about = tep(folder)
    for file in (train, test):
        rows = pd.read_csv(file, dtype={"fault": str})
        rows[rows["fault"].isin(["0", "1", "4", "5"])].to_csv(file, index=False)
    faultwise("fit", train, "--out", folder / "run", *ROLES, "--about", about, *steps(12),
              "--experts", "logistic-regression,language-model")  # fmt: skip
    return json.loads(faultwise("diagnose", folder / "run", test, "--cases", 3, *score_rows(48), "--json"))


def steps(count: int) -> list[object]:
    """Options that fix the language model's training steps."""
    return ["--set", f"language.steps={count}"]


def score_rows(count: int) -> list[object]:
    """Options that bound the rows that the language model scores."""
    return ["--score-rows", count]


def ai4i(folder: Path) -> Any:
    """AI4I 2020, all classical experts, a row explained."""
    rows = pd.read_csv(DATA / "ai4i" / "ai4i2020.csv")
    rows[:3000].to_csv(folder / "train.csv", index=False)
    rows[3000:4500].to_csv(folder / "test.csv", index=False)
    faultwise("fit", folder / "train.csv", "--out", folder / "run", "--no-lm")
    return json.loads(faultwise("diagnose", folder / "run", folder / "test.csv", "--cases", 4, "--json"))


def steel(folder: Path) -> Any:
    """Steel plates, seven kinds."""
    source = next((DATA / "steel-plates").iterdir())
    lines = [line for line in source.read_text().splitlines() if line and line[0] not in "@%"]
    rows = pd.DataFrame([line.split(",") for line in lines]).astype(float)
    kinds = rows.iloc[:, 27:33].to_numpy()
    label = np.where(kinds.any(axis=1), kinds.argmax(axis=1), 6)
    table = (
        rows.iloc[:, :27].set_axis([f"V{n}" for n in range(1, 28)], axis=1).assign(kind=[f"k{one}" for one in label])
    )
    table = table.sample(frac=1, random_state=0)
    table[:1200].to_csv(folder / "train.csv", index=False)
    table[1200:].drop(columns="kind").to_csv(folder / "test.csv", index=False)
    faultwise("fit", folder / "train.csv", "--out", folder / "run", "--target", "kind", "--split", "row",
              "--experts", "extra-trees,hist-gradient-boosting,knn")  # fmt: skip
    return json.loads(faultwise("diagnose", folder / "run", folder / "test.csv", "--cases", 4, "--json"))


def monitor(folder: Path) -> Any:
    """Normal rows alone, with a rule of the user's."""
    train, test, about = tep(folder)
    (folder / "rules.yaml").write_text("rules:\n  - {name: Reactor hot, variable: XMEAS(9), above: 120.6}\n")
    faultwise("fit", train, "--out", folder / "run", *ROLES, "--about", about, "--window", 10, "--normal-only",
              "--rules", folder / "rules.yaml")  # fmt: skip
    return json.loads(faultwise("diagnose", folder / "run", test, "--cases", 4, "--json"))


def stream(folder: Path) -> Any:
    """One run followed row by row."""
    train, test, _ = tep(folder)
    faultwise("fit", train, "--out", folder / "run", *ROLES, "--window", 5, "--experts", "extra-trees")
    rows = pd.read_csv(test)
    rows[rows["run"] == rows["run"].iloc[-1]].to_csv(folder / "log.csv", index=False)
    said = faultwise("diagnose", folder / "run", folder / "log.csv", "--follow", "--idle", 0.5, "--poll", 0.1, "--json")
    return [json.loads(line) for line in said.splitlines()]


def _tiles(folder: Path, supervised: bool) -> Path:
    """Some Magnetic Tile images in the MVTec layout."""
    root, parts = DATA / "magnetic-tile", folder / "parts"

    def copied(kind: str, where: str, which: slice) -> None:
        (parts / where).mkdir(parents=True)
        for one in sorted((root / kind).rglob("*.jpg"))[which]:
            shutil.copy(one, parts / where / one.name)

    copied("MT_Free", "train/good", slice(0, 60))
    copied("MT_Free", "test/good", slice(60, 66))
    for kind in KINDS_OF_TILE:
        copied(f"MT_{kind}", f"test/{kind}", slice(0, 4))
        if supervised:
            copied(f"MT_{kind}", f"train/{kind}", slice(4, 10))
    return parts


def tiles(folder: Path) -> Any:
    """Magnetic Tile, good images alone."""
    parts = _tiles(folder, supervised=False)
    faultwise("fit", parts, "--out", folder / "run")
    return json.loads(faultwise("diagnose", folder / "run", parts, "--json"))


def tiles_supervised(folder: Path) -> Any:
    """Magnetic Tile, with examples of three kinds."""
    parts = _tiles(folder, supervised=True)
    faultwise("fit", parts, "--out", folder / "run")
    return json.loads(faultwise("diagnose", folder / "run", parts, "--json"))


def pairs(folder: Path) -> Any:
    """DeepPCB boards beside their templates, with marked boxes."""
    root = DATA / "deeppcb" / "group00041"
    (folder / "boards").mkdir()
    for one in sorted((root / "00041").glob("*_test.jpg"))[:14]:
        name = one.name.removesuffix("_test.jpg")
        for part in ("test", "temp"):
            shutil.copy(root / "00041" / f"{name}_{part}.jpg", folder / "boards")
        shutil.copy(root / "00041_not" / f"{name}.txt", folder / "boards")
    faultwise("fit", folder / "boards", "--out", folder / "run")
    return json.loads(faultwise("diagnose", folder / "run", folder / "boards", "--json"))


def zero_shot(folder: Path) -> Any:
    """No good image: a tiny CLIP with random weights judges by texts."""
    rng = np.random.default_rng(0)
    (folder / "new").mkdir()
    for number in range(3):
        Pillow.fromarray(rng.integers(80, 120, (90, 60, 3), dtype=np.uint8)).save(folder / "new" / f"{number}.png")
    faultwise(
        "fit", folder / "new", "--zero-shot", "nut", "--backbone", tiny_clip(folder / "clip"), "--out", folder / "run"
    )
    return json.loads(faultwise("diagnose", folder / "run", folder / "new", "--json"))


def tiny_clip(folder: Path) -> Path:
    """Save a model of images and texts with random weights, and a tokenizer that knows letters."""
    import torch
    import transformers as hf
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    known = {token: at for at, token in enumerate(["<pad>", "<end>", "<unk>", *"abcdefghijklmnopqrstuvwxyz ."])}
    made = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.post_processor = processors.TemplateProcessing(single="$A <end>", special_tokens=[("<end>", 1)])
    hf.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
    ).save_pretrained(folder)
    small: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
    }
    eyes = {**small, "image_size": 32, "patch_size": 8, "projection_dim": 16}
    text = {**small, "vocab_size": len(known), "max_position_embeddings": 128, "eos_token_id": 1, "pad_token_id": 0}
    torch.manual_seed(0)
    hf.CLIPModel(
        hf.CLIPConfig(vision_config=eyes, text_config={**text, "projection_dim": 16}, projection_dim=16)
    ).save_pretrained(folder)
    return folder


INPUTS: dict[str, Callable[[Path], Any]] = {
    "tep": tables, "tep_language": tables_language, "ai4i": ai4i, "steel_plates": steel, "monitor": monitor,
    "stream": stream, "magnetic_tile": tiles, "magnetic_tile_kinds": tiles_supervised, "pcb_pairs": pairs,
    "zero_shot": zero_shot,
}  # fmt: skip
# What says where and when, not what was concluded.
_LEFT_OUT = re.compile(
    r"commit|version|hash|checksum|created|seconds|source|path|note|reason|words|text|narrative|provenance|curve|description|memory|explanation|finding_ids|sentence|^sensor$"
)


def leaves(value: Any, way: str = "") -> Iterator[tuple[str, Any]]:
    """Yield numbers, truth values and short texts with the way to them, in order of appearance."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not _LEFT_OUT.search(key):
                yield from leaves(inner, f"{way}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, way)
    elif value is not None:
        yield way, value


def as_recorded(made: Any) -> Any:
    """Return a diagnosis in the form that the record was made in, with today's names put back."""
    if isinstance(made, dict) and made.get("modality") == "images":
        return images_as_recorded(made)
    if not (isinstance(made, dict) and "cases" in made and made.get("modality") == "tables"):
        return made
    cases = []
    for case in made["cases"]:
        verdict = {("standing" if key == "status" else key): value for key, value in case["verdict"].items()}
        findings = [{key: value for key, value in one.items() if key != "kind"} for one in case["findings"]]
        first = {"run": case["name"], "row": case["row"], "interval": case["interval"], "verdict": verdict}
        cases.append({**first, "findings": findings, "series": case["series"]})
    return {"runs": made["runs"], "cases": cases, "leaderboard": made["leaderboard"]}


def images_as_recorded(made: dict[str, Any]) -> dict[str, Any]:
    """Return a diagnosis of images in the form that the record was made in."""
    same, renamed = ("box", "area", "contrast", "place", "peak"), {"value": "score", "defect": "kind"}
    images = []
    for case in made["cases"]:
        verdict, regions = case["verdict"], []
        for one in case["findings"]:
            regions.append({name: one[name] for name in same} | {old: one[name] for name, old in renamed.items()})
            regions[-1]["sure"] = one["probability"]
        of_image = {"image": case["name"], "defective": verdict["detected"], "score": verdict["fault_score"]}
        of_image |= {"limit": verdict["threshold"], "as_odd": verdict["p_known"]}
        images.append({**of_image, "kind": regions[0]["kind"] if regions else None, "regions": regions})
    threshold = made["provenance"]["threshold"]
    names = {"requested": "asked", "confidence": "sure"}
    return {"images": images, "limit": {names.get(name, name): value for name, value in threshold.items()}}


def last_part(value: Any) -> Any:
    """Return a text without the folders before it: those of images are temporary."""
    return value.rpartition("/")[2] if isinstance(value, str) else value


def figures(said: Any) -> dict[str, list[Any]]:
    """Return what is compared, by name of the value (the last part of its way)."""
    found: dict[str, list[Any]] = {}
    for way, value in leaves(as_recorded(said)):
        found.setdefault(way.rpartition(".")[2], []).append(value)
    return found


def apart(before: dict[str, list[Any]], now: dict[str, list[Any]]) -> tuple[int, float, list[str]]:
    """Return how many values were compared, the largest difference, and what does not agree."""
    count, most, wrong = 0, 0.0, []
    for name, values in ((name, values) for name, values in before.items() if not _LEFT_OUT.search(name)):
        others = now.get(name)
        if others is None or len(others) != len(values):
            wrong.append(f"{name}: {len(values)} values, now {'none' if others is None else len(others)}")
            continue
        for one, other in zip(values, others, strict=True):
            count += 1
            if isinstance(one, float | int) and not isinstance(one, bool) and isinstance(other, float | int):
                gap = (
                    0.0
                    if one == other or (math.isnan(one) and math.isnan(other))
                    else abs(one - other) / max(1.0, abs(one))
                )
                most = max(most, gap)
                if not gap <= TOLERANCE:
                    wrong.append(f"{name}: {one} became {other}")
            elif last_part(one) != last_part(other):
                wrong.append(f"{name}: {one!r} became {other!r}")
    return count, most, wrong


def main() -> int:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", nargs="?", choices=("record", "compare"), default="compare")
    parser.add_argument("--only", help="these inputs, separated by commas")
    args = parser.parse_args()
    recorded = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    failed = 0
    for name, make in INPUTS.items():
        if args.only and name not in args.only.split(","):
            continue
        with tempfile.TemporaryDirectory() as folder:
            made = figures(make(Path(folder)))
        if args.action == "record":
            recorded[name] = made
            RESULT.write_text(json.dumps(recorded, indent=None, separators=(",", ":")) + "\n")
            print(f"{name}: {sum(map(len, made.values()))} values recorded", flush=True)
            continue
        count, most, wrong = apart(recorded[name], made)
        failed += bool(wrong)
        print(f"{name}: {count} values, largest relative difference {most:.1e}, {len(wrong)} do not agree", flush=True)
        for line in wrong[:8]:
            print(f"  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
