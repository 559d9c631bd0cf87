"""How fast the language model predicts rows: beside its raw forward pass, beside the published recipe, and by size.

One process, one model, one dtype, and batches of 32 rows everywhere but in the recipe, which goes row by row. The
weights need no training for this: speed does not depend on them.

- *raw*: the decoder's forward pass on ids of the same shape, without an output layer. (With it, and logits of the last
  token only, transformers' own forward is many times slower on a CPU: a sliced bfloat16 state makes the product copy
  the vocabulary once a row.) The share is scored tokens behind the shared beginning per second, over raw tokens per
  second.
- *recipe*: the published study's full sentence of 52 variables, five tokens generated greedily with a cache, one row
  at a time.
- *growth*: rows per second against rows, variables, classes and K, everything else as in the default.

    python bench/language_speed.py
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from faultwise.contracts.language import LanguageSettings
from faultwise.language.adapters import MethodConfig, attach
from faultwise.language.classifier.sentence import Sentence
from faultwise.language.classifier.text import ShortText
from faultwise.language.classifier.token_input import TokenInput
from faultwise.language.labels import LabelTree
from faultwise.language.loading import fast_dtype, load
from faultwise.language.prompts import PromptBuilder
from faultwise.language.questions import TextQuestions
from faultwise.language.scoring import score
from recipe import RESULTS, write_result

MODEL, ROWS, BATCH, VARIABLES, CLASSES = "smollm2-135m-instruct", 512, 32, 52, 4


def rate(work: Callable[[], object], units: float, repeats: int = 3) -> float:
    """Units per second, the best of several repeats after one that is not counted: what the machine can do."""
    work()
    best = np.inf
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return round(units / best, 2)


def table(rows: int, variables: int, classes: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Random rows: speed does not depend on their values."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        rng.normal(size=(rows, variables)), columns=[f"value(XMEAS({n}))" for n in range(1, variables + 1)]
    )
    return X, np.arange(rows) % classes


class Sides:
    """The model and what is measured of it."""

    def __init__(self) -> None:
        self.lm = load(MODEL)
        self.builder = PromptBuilder(self.lm.tokenizer, "Name the fault.")
        self.tuned = attach(self.lm.model, MethodConfig("context"))

    def raw(self, length: int) -> float:
        """Tokens per second of the decoder alone on batches of this length."""
        import torch

        ids = torch.randint(0, 1000, (BATCH, length))

        def forward() -> None:
            with torch.inference_mode():
                for _ in range(4):
                    self.tuned.backbone()(input_ids=ids, use_cache=False)

        return rate(forward, 4 * BATCH * length)

    def tokens(
        self, rows: int = ROWS, variables: int = VARIABLES, classes: int = CLASSES, k: int = 2
    ) -> tuple[float, int]:
        """Rows per second from features to probabilities, and tokens per row."""
        from faultwise.language.classifier.row_encoder import RowEncoder, RowScale

        X, codes = table(rows, variables, classes)
        tokens = TokenInput(LanguageSettings(tokens=k))
        tokens._features = list(X.columns)
        tokens._encoder = RowEncoder(RowScale.of(X.to_numpy(np.float32), codes, [False] * variables), classes).eval()
        labels, end = tokens.answers([str(n) for n in range(classes)], self.builder)
        tree = LabelTree(labels, end)
        tokens.prepare(self.lm, labels, 0)
        made = rate(lambda: score(self.tuned, tokens.questions(X, self.lm, self.builder, tree), tree, BATCH), rows)
        return made, tokens.questions(X.iloc[:1], self.lm, self.builder, tree).lengths[0]

    def short(self) -> tuple[float, int]:
        """Rows per second of the short text with its default settings, and its tokens per row."""
        X, codes = table(ROWS, VARIABLES, CLASSES)
        text = ShortText(1, LanguageSettings().features).fit(X, codes.astype(str))
        labels, end = self.builder.answers(text.answers([str(n) for n in range(CLASSES)]))
        tree = LabelTree(labels, end)

        def questions() -> TextQuestions:
            return TextQuestions(self.builder.encode(text.write(X)), self.lm.tokenizer.pad_token_id, tree.root)

        return rate(lambda: score(self.tuned, questions(), tree, BATCH), ROWS), max(questions().lengths)

    def recipe(self, rows: int = 6) -> tuple[float, int]:
        """Rows per second of the published recipe, and tokens per row."""
        import torch

        X, codes = table(64, VARIABLES, CLASSES)
        sentence = Sentence().fit(X, codes.astype(str))
        system = "You are an expert in diagnosing the faults of this plant."
        prompts = PromptBuilder(self.lm.tokenizer, system).encode(sentence.write(X.iloc[:rows]))

        def generate() -> None:
            with torch.inference_mode():
                for prompt in prompts:
                    self.lm.model.generate(
                        input_ids=torch.tensor([prompt]),
                        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                        max_new_tokens=5, min_new_tokens=5, do_sample=False,
                        pad_token_id=self.lm.tokenizer.pad_token_id,
                    )  # fmt: skip

        return rate(generate, rows, 2), max(map(len, prompts))


def growth(sides: Sides) -> dict[str, dict[str, float]]:
    """Rows per second by size; a sweep's other sizes are the default's."""
    sweeps: dict[str, tuple[str, list[int]]] = {
        "rows": ("rows", [64, 256, 1024]),
        "variables": ("variables", [13, 52, 208, 832]),
        "classes": ("classes", [2, 21, 100, 400]),
        "K": ("k", [1, 2, 4, 8, 16]),
    }
    return {name: {str(n): sides.tokens(**{key: n})[0] for n in sizes} for name, (key, sizes) in sweeps.items()}


def exponents(found: dict[str, dict[str, float]]) -> dict[str, float]:
    """The power of the size that the time for a fixed number of rows (of all rows: `rows`) grows with: 1 is linear."""
    made = {}
    for name, points in found.items():
        sizes = np.log([int(n) for n in points])
        times = -np.log(list(points.values())) + (sizes if name == "rows" else 0)
        made[name] = round(float(np.polyfit(sizes, times, 1)[0]), 3)
    return made


def chart(found: dict[str, dict[str, float]]) -> Any:
    """Seconds per row against each size, beside a line of linear growth from the first point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axis, (name, points) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        sizes = [int(n) for n in points]
        whole = [(int(n) if name == "rows" else 1) / v * (1 if name == "rows" else 1000) for n, v in points.items()]
        axis.plot(sizes, whole, "o-", color="#1f6f8b", label="measured")
        axis.plot(sizes, [whole[0] * n / sizes[0] for n in sizes], ":", color="#888888", label="linear")
        axis.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds" if name == "rows" else "ms per row")
    figure.axes[0].legend(frameon=False)
    return figure


def main() -> None:
    """Measure, print, and write results/language_speed.json and .svg."""
    import torch

    argparse.ArgumentParser(description=__doc__).parse_args()
    sides = Sides()
    tokens, width = sides.tokens()
    raw_tokens = sides.raw(width)
    short, length = sides.short()
    raw_short = sides.raw(length)
    recipe, sentence = sides.recipe()
    found = growth(sides)
    figures = {
        "dtype": str(fast_dtype()),
        "threads": torch.get_num_threads(),
        "tokens": {
            "rows_per_s": tokens,
            "tokens_per_row": width,
            "share_of_raw": round(tokens * width / raw_tokens, 3),
        },
        "short": {"rows_per_s": short, "tokens_per_row": length, "share_of_raw": round(short * length / raw_short, 3)},
        "raw_tokens_per_s": {str(width): raw_tokens, str(length): raw_short},
        "recipe": {"rows_per_s": recipe, "tokens_per_row": sentence},
        "tokens_over_recipe": round(tokens / recipe, 1),
        "short_over_recipe": round(short / recipe, 1),
        "growth": found,
        "growth_exponent": exponents(found),
    }
    print(figures)
    config = {"model": MODEL, "rows": ROWS, "batch": BATCH, "variables": VARIABLES, "classes": CLASSES}
    write_result("language_speed", config, "random rows", figures)
    chart(found).savefig(RESULTS / "language_speed.svg")


if __name__ == "__main__":
    main()
