"""Causal language models from a name, a folder or a GGUF file, ready for this machine.

A GGUF file is unpacked once into a folder beside it (float16 safetensors and tokenizer), because unpacking
takes 20 seconds and loading the folder takes one. This module neither trains nor scores.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faultwise import hub
from faultwise.contracts.errors import HubError, UserError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LanguageModel", "device_named", "fast_dtype", "load"]

_PIECE = 1 << 20


@dataclass
class LanguageModel:
    """A loaded model with its tokenizer; `source` is the name it was requested by, `fingerprint` differs between
    versions of its files.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str
    fingerprint: str = ""

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next(self.model.parameters()).device


def device_named(name: str) -> torch.device:
    """Return the torch device for "auto" (a GPU if there is one), "cpu" or "cuda". Raises UserError without a GPU."""
    import torch

    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        kind = "is a CPU build" if torch.version.cuda is None and torch.version.hip is None else "finds no GPU"
        raise UserError(
            f"A GPU was requested (--set language.device=cuda), and PyTorch {torch.__version__} {kind} here: take "
            "--set language.device=auto or cpu, or install PyTorch for your GPU "
            "(https://pytorch.org/get-started/locally/)."
        )
    return torch.device("cuda" if there and name != "cpu" else "cpu")


def fast_dtype(device: str = "auto") -> torch.dtype:
    """Return the fastest dtype here that trains well: bfloat16 where the hardware has it, else float32.

    On a CPU without bfloat16 instructions bfloat16 is emulated and about eight times *slower* than float32.
    """
    import torch

    if device_named(device).type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if native() else torch.float32


def load(source: str, device: str = "auto") -> LanguageModel:
    """Load a model by registered name, hub id, folder or `.gguf` file, in `fast_dtype`, on a device of `device_named`.

    Raises HubError when it cannot be found, or is not a causal language model, UserError without the GPU requested.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    target = device_named(device)
    path = hub.resolve(source)
    folder = _unpacked(path) if path.suffix == ".gguf" else path
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype=fast_dtype(device))
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise HubError(
            f"`{source}` is not a causal language model that transformers can load ({first}): "
            "give a registered name (`faultwise models list`), a hub id, a model folder or a .gguf file."
        ) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    placed = model.to(target).eval()  # type: ignore[arg-type]
    return LanguageModel(placed, tokenizer, source, _fingerprint(folder))


def _fingerprint(folder: Path) -> str:
    """Return a hash of a model's configuration and of the size, beginning and end of its weight files: to read them
    whole would take as long as loading them.
    """
    made = hashlib.sha256()
    for file in sorted(Path(folder).glob("*")):
        if file.name == "config.json":
            made.update(file.read_bytes())
        elif file.suffix in (".safetensors", ".bin"):
            size = file.stat().st_size
            made.update(f"{file.name} {size}".encode())
            with file.open("rb") as opened:
                for start in (0, max(0, size // 2), max(0, size - _PIECE)):
                    opened.seek(start)
                    made.update(opened.read(_PIECE))
    return made.hexdigest()[:16]


def _unpacked(gguf: Path) -> Path:
    """Return a folder with the GGUF's weights and tokenizer, made on the first call, atomically."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder = gguf.with_suffix(".unpacked")
    if (folder / "config.json").exists():
        if folder.stat().st_mtime >= gguf.stat().st_mtime:
            return folder
        shutil.rmtree(folder, ignore_errors=True)  # another file has taken the name
    print(f"Unpacking {gguf.name} (once, about 20 s) ...", file=sys.stderr, flush=True)
    making = Path(tempfile.mkdtemp(prefix=f".{gguf.stem}-", dir=gguf.parent))
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
            model = AutoModelForCausalLM.from_pretrained(
                gguf.parent,
                gguf_file=gguf.name,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float16,
            )
            tokenizer.save_pretrained(making)
            model.save_pretrained(making)
        try:
            os.rename(making, folder)
        except OSError:
            if not (folder / "config.json").exists():  # another process was first: use its folder
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' bars and warnings off the terminal while loading; errors still come through."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
