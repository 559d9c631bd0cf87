"""The linear modules of a loaded model in four bits (NF4 with double quantisation: Dettmers et al. 2023, QLoRA).

The model is quantised after loading, so that any model and any file format will do, offline; it must fit into memory
once in full. Embeddings, norms and the output layer are not quantised. bitsandbytes is an extra.
"""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import TYPE_CHECKING

from faultwise.contracts.errors import UserError
from faultwise.language.anatomy import is_linear, linear_names

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["import_quietly", "keep_trainable", "quantise"]


def quantise(model: PreTrainedModel) -> None:
    """Replace the linear modules in the model's layers by 4-bit ones, in place, where they are (CPU or GPU).

    Modules that are in four bits already stay. Raises UserError where bitsandbytes is missing, or there is no
    linear module.
    """
    bnb = import_quietly()
    if bnb is None:
        raise UserError(
            "The method `qlora` needs bitsandbytes, which is not installed: `pip install 'faultwise[qlora]'`, or use "
            "the method `lora`."
        )
    for name in linear_names(model):
        parent, _, child = name.rpartition(".")
        old = model.get_submodule(name)
        if not isinstance(old, bnb.nn.Linear4bit):
            setattr(model.get_submodule(parent), child, _four_bits(bnb, old))
    model.is_loaded_in_4bit = True  # type: ignore[assignment]  # PEFT reads it before it chooses a LoRA module
    keep_trainable(model)


def keep_trainable(model: nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in evaluation mode.

    On CPUs with AVX512-BF16 it does so at the first forward pass outside training, for a kernel that has no backward
    pass: from then on no gradient comes through the module, and narrow modules do not run at all.
    """
    for module in model.modules():
        if getattr(module, "support_avx512bf16_for_cpu", False):
            setattr(module, "support_avx512bf16_for_cpu", False)  # noqa: B010


def import_quietly() -> ModuleType | None:
    """Import bitsandbytes, or return None. PEFT imports it too wherever it is installed: call this first.

    On such a CPU importing it looks for the package `kernels`, with which it would fetch compiled code over the net
    that is not needed here, and without which it prints a warning. Both are prevented.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    level, absent = logger.level, "kernels" not in sys.modules
    logger.setLevel(logging.ERROR)
    if absent:
        sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        import bitsandbytes
    except ImportError:
        return None
    finally:
        logger.setLevel(level)
        if absent:
            del sys.modules["kernels"]
    return bitsandbytes


def _four_bits(bnb: ModuleType, old: nn.Module) -> nn.Module:
    import torch

    assert is_linear(old)
    weight, bias = old.get_parameter("weight").data, getattr(old, "bias", None)
    if type(old).__name__ == "Conv1D":  # GPT-2's keeps its weight as (inputs, outputs)
        weight = weight.T.contiguous()
    outputs, inputs = weight.shape
    # PEFT makes its LoRA matrices in the dtype that the module computes in.
    new = bnb.nn.Linear4bit(
        inputs, outputs, bias=bias is not None, compute_dtype=weight.dtype, quant_type="nf4", device="meta"
    )
    new.weight = bnb.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=True, module=new
    ).to(weight.device)
    new.bias = bias
    assert isinstance(new, torch.nn.Module)
    return new.train(old.training)
