"""Fixtures that more than one test file needs."""

from __future__ import annotations

import os

# Before NumPy and torch load: on tiny data threads only wait for each other, up to a hundred times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of original data sets; tests that need it skip, saying so, where it is absent."""
    stated = os.environ.get("FAULTWISE_DATA")
    root = Path(stated) if stated else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no original data: set FAULTWISE_DATA to their folder (looked in {root})")
    return root


# A small plant: `flow` rises under fault 1, `level` falls under fault 2, `temp` tells nothing.
def _plant(runs: int = 3, rows: int = 16, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frames = []
    for label, flow, level in (("0", 0.0, 0.0), ("1", 4.0, 0.0), ("2", 0.0, -4.0)):
        for run in range(runs):
            values = {
                "flow": 10 + flow + rng.normal(size=rows),
                "level": 50 + level + rng.normal(size=rows),
                "temp": 300 + rng.normal(size=rows),
            }
            frames.append(pd.DataFrame({**values, "fault": label, "run": f"{label}{'abcdefgh'[run]}"}))
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="session")
def plant() -> Callable[..., pd.DataFrame]:
    """Make rows of the small plant: `plant(runs, rows, seed)`."""
    return _plant


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, stdout and stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run a command in this process: `cli("fit", path, ...)`."""

    def run(*argv: object) -> Ran:
        from faultwise.cli.main import main

        capsys.readouterr()
        code = main([str(part) for part in argv])
        return Ran(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def plant_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled file of the small plant."""
    path = tmp_path_factory.mktemp("plant") / "plant.csv"
    _plant().to_csv(path, index=False)
    return path


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, plant_csv: Path) -> Path:
    """A run folder fitted on `plant_csv` by the command line; tests copy it before they change it."""
    from faultwise.cli.main import main

    folder = tmp_path_factory.mktemp("runs") / "run"
    roles = ["--target", "fault", "--group", "run"]
    assert main(["fit", str(plant_csv), "--out", str(folder), *roles, *FAST, "--json"]) == 0
    return folder


FAST = ("--experts", "logistic-regression")
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="session")
def short_encoder() -> Iterator[None]:
    """Train the encoder of rows for a second at most: one teacher, few training samples, few steps."""
    from faultwise.language.classifier import distilling, token_input

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distilling, "TEACHERS", ("logistic-regression",))
        for name, value in {"_SAMPLES_PER_ROW": 4, "_FEWEST_SAMPLES": 600, "_ENCODER_STEPS": (60, 60)}.items():
            patch.setattr(token_input, name, value)
        yield


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory, short_encoder: None) -> Path:
    """A folder with a random two-layer LLaMA and a byte-level tokenizer without merges: one token a letter.

    What stands before it is trained shortly (see `short_encoder`), for so small a model needs no better.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate([*specials, *letters])}
    bare = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.add_special_tokens(specials)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )
    torch.manual_seed(0)
    torch.set_num_threads(1)  # threads cost far more than they give on so small a model
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512,
            bos_token_id=0, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def edges() -> Any:
    """A backbone that sees how grey each block is, and its edges: enough for parts of one texture."""
    import torch
    from torch.nn import functional

    from faultwise.images.detection.backbones import Backbone

    class Edges(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kept = torch.nn.Parameter(torch.ones(1), requires_grad=False)

        def forward(self, x: Any) -> list[Any]:
            grey = x.mean(dim=1, keepdim=True) * self.kept / 255
            parts = [grey, 1 - grey, grey.diff(dim=2, append=grey[:, :, -1:]).abs() * 9]
            parts.append(grey.diff(dim=3, append=grey[..., -1:]).abs() * 9)
            return [functional.avg_pool2d(torch.cat(parts, dim=1), stride) for stride in (4, 8, 16)]

    return Backbone("edges", Edges(), (4, 8, 16), (4, 4, 4))
