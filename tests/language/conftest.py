"""Fixtures of the language model's tests: the tiny model in memory, its tokenizer, and rows that are easy to learn."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

Rows = tuple[pd.DataFrame, np.ndarray, np.ndarray]


@pytest.fixture(scope="session")
def tokenizer(tiny_lm: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_lm)


@pytest.fixture(scope="session")
def tiny(tiny_lm: Path) -> Callable[..., LlamaForCausalLM]:
    """Make an untouched copy of the tiny model, because tuning changes it: `tiny("bfloat16")`."""
    import torch
    from transformers import LlamaForCausalLM

    dtypes = ("float32", "bfloat16")
    loaded = {name: LlamaForCausalLM.from_pretrained(tiny_lm, dtype=getattr(torch, name)).eval() for name in dtypes}
    return lambda dtype="float32": copy.deepcopy(loaded[dtype])


@pytest.fixture(scope="session")
def rows() -> Callable[..., Rows]:
    """Make features, labels and runs whose first variable separates the classes: `rows(classes, per_class, seed)`.

    There is also a variable of noise and, with `mixed`, a category and a constant; two rows are a run.
    """

    def make(classes: int = 3, per_class: int = 14, seed: int = 0, mixed: bool = False) -> Rows:
        rng = np.random.default_rng(seed)
        codes = np.repeat(np.arange(classes), per_class)
        on = rng.random(len(codes)) < 0.5
        X = pd.DataFrame({"value(a)": codes + rng.normal(size=len(codes)) / 5, "value(b)": rng.normal(size=len(codes))})
        if mixed:
            X = X.assign(**{"value(still)": 7.0, "is(state=off)": ~on, "is(state=on)": on})
        y = np.array([f"fault {code:03d}" for code in codes])
        return X.astype(np.float32), y, np.arange(len(codes)) // 2

    return make
