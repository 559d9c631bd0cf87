"""Where the parts of a causal model of transformers are, whatever its architecture calls them.

Nothing is changed here: the decoder, its layers, their linear modules and the norms around them are found.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from faultwise.contracts.errors import UserError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["decoder", "is_linear", "linear_names", "norms", "returns_width", "upper_layers"]


def decoder(model: PreTrainedModel) -> nn.Module:
    """Return the inner decoder of a causal model: it takes ids or embeddings and returns `last_hidden_state`."""
    get = getattr(model, "get_decoder", None)
    found: nn.Module = model.base_model if get is None else get()
    return found


def upper_layers(model: PreTrainedModel, share: float = 1.0) -> list[tuple[str, nn.Module]]:
    """Return the names (within `model`) and modules of the upper `share` of the layers, at least one, from below.

    Raises UserError for a model whose layers are not found.
    """
    import torch

    count = int(model.config.get_text_config().num_hidden_layers)
    inner = decoder(model)
    # Within the decoder only: the image tower of a vision-language model may have as many layers.
    within = {id(module) for module in inner.modules()}
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and id(module) in within
    ]
    if not lists:
        raise UserError(
            f"The layers of {type(model).__name__} were not found (no list of {count} modules), and this fine-tuning "
            "method needs them. Use the method `prompt` or `full`, or another model."
        )
    # An architecture may also keep, say, its norms in a list: the layers are the list that holds most weights.
    name, layers = max(lists, key=lambda named: sum(p.numel() for p in named[1].parameters()))
    touched = max(1, math.ceil(count * share - 1e-9))
    return [(f"{name}.{at}", layers[at]) for at in range(count - touched, count)]


def linear_names(model: PreTrainedModel, share: float = 1.0) -> list[str]:
    """Return the names of the linear modules in the upper layers: the backward pass ends where they begin.

    Raises UserError for a model that has none.
    """
    names = [
        f"{name}.{inner}" if inner else name
        for name, layer in upper_layers(model, share)
        for inner, module in layer.named_modules()
        if is_linear(module)
    ]
    if not names:
        raise UserError(
            f"No linear layers were found in the layers of {type(model).__name__}, and this fine-tuning method adds "
            "to them. Use the method `prompt` or `full`, or another model."
        )
    return names


def is_linear(module: nn.Module) -> bool:
    """Recognise a linear module: torch's own, the one of bitsandbytes (a subclass), and the transposed one of GPT-2."""
    import torch

    # transformers' Conv1D has a 2-D weight too but is no Linear; PEFT takes both.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def returns_width(module: nn.Module, width: int) -> bool:
    """Return whether the last linear module in `module` returns vectors of the model's own width."""
    found = [inner for inner in module.modules() if is_linear(inner)]
    return bool(found) and getattr(found[-1], "out_features", getattr(found[-1], "nf", None)) == width


def norms(model: PreTrainedModel) -> list[nn.Module]:
    """Return the decoder's modules outside its layers and embeddings that hold nothing but vectors: the last norm."""
    found = []
    for name, module in decoder(model).named_children():
        dimensions = [p.ndim for p in module.parameters()]
        if dimensions and max(dimensions) == 1 and "emb" not in name:
            found.append(module)
    return found
