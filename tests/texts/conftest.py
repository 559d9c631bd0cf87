"""Work orders of a small plant, and a sentence model of two layers with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

WORDS = {
    "Leaking": ("leaks", "drips", "lost oil", "is wet below"),
    "Noise": ("is noisy", "grinds", "squeals", "knocks loudly"),
    "Overheating": ("is hot", "overheats", "smokes", "burns"),
}
PARTS = ("pump", "gearbox", "motor", "seal", "compressor", "fan", "valve", "bearing", "coupling", "hose")
AFTER = ("", "again", "since monday", "at start", "near the drain", "under load")


def _orders(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(WORDS), rows)
    texts = [f"{rng.choice(PARTS)} {rng.choice(WORDS[label])} {rng.choice(AFTER)}".strip() for label in labels]
    return pd.DataFrame({"note": texts, "mode": labels, "priority": rng.integers(1, 5, rows)})


@pytest.fixture(scope="session")
def orders() -> Callable[..., pd.DataFrame]:
    """Make work orders: `orders(rows, seed)`."""
    return _orders


@pytest.fixture(scope="session")
def orders_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file of work orders."""
    path = tmp_path_factory.mktemp("orders") / "orders.csv"
    _orders().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def text_run(tmp_path_factory: pytest.TempPathFactory, orders_csv: Path) -> Path:
    """A run folder fitted on `orders_csv` with the simplest expert."""
    from faultwise.cli.main import main

    folder = tmp_path_factory.mktemp("runs") / "texts"
    assert main(["fit", str(orders_csv), "--target", "mode", "--out", str(folder), "--experts", "words"]) == 0
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random two-layer encoder; one token a letter."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789<>[]-.,"]
    known = {token: at for at, token in enumerate([*specials, *letters])}
    bare = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    bare.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    bare.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = BertConfig(
        vocab_size=len(known), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    tokenizer.save_pretrained(folder)
    BertModel(config).save_pretrained(folder)
    return folder
