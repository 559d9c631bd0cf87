"""Where things are inside a causal model of transformers, whatever its architecture calls them.

Nothing is changed here: the decoder, its layers, their linear modules and the norms around them are found.
"""

from __future__ import annotations

import math
from typing import Any

from faultwise.contracts.errors import UserError

__all__ = ["decoder", "gives_back", "is_linear", "linears", "norms", "upper"]


def decoder(model: Any) -> Any:
    """Return the inner decoder of a causal model: what takes ids or embeddings and gives `last_hidden_state`."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model.base_model


def upper(model: Any, share: float = 1.0) -> list[tuple[str, Any]]:
    """Return the names (within `model`) and modules of the upper `share` of the layers, at least one, from below.

    Raises UserError for a model whose layers cannot be told.
    """
    import torch

    count = model.config.get_text_config().num_hidden_layers
    inner = decoder(model)
    # Within the decoder only: the image tower of a model that sees may have as many layers.
    within = {id(module) for module in inner.modules()}
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and id(module) in within
    ]
    if not lists:
        raise UserError(
            f"The layers of {type(model).__name__} were not found (no list of {count} modules): this form of tuning "
            "needs to know them. Use the form `prompt` or `full`, or another model."
        )
    # An architecture may also keep, say, its norms in a list: the layers are what holds the weights.
    name, layers = max(lists, key=lambda named: sum(p.numel() for p in named[1].parameters()))
    touched = max(1, math.ceil(count * share - 1e-9))
    return [(f"{name}.{at}", layers[at]) for at in range(count - touched, count)]


def linears(model: Any, share: float = 1.0) -> list[str]:
    """Return the names of the linear modules in the upper layers: the backward pass ends where they begin.

    Raises UserError for a model that has none.
    """
    names = [
        f"{name}.{inner}" if inner else name
        for name, layer in upper(model, share)
        for inner, module in layer.named_modules()
        if is_linear(module)
    ]
    if not names:
        raise UserError(
            f"No linear layers were found in the layers of {type(model).__name__}: this form of tuning has nothing "
            "to add to. Use the form `prompt` or `full`, or another model."
        )
    return names


def is_linear(module: Any) -> bool:
    """Tell a linear module: torch's own, bitsandbytes' (a kind of torch's), and the transposed one of GPT-2."""
    import torch

    # transformers' Conv1D has a 2-D weight too but is no Linear; PEFT takes both.
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"


def gives_back(module: Any, width: int) -> bool:
    """Tell whether the last linear module in `module` gives vectors of the model's own width."""
    found = [inner for inner in module.modules() if is_linear(inner)]
    return bool(found) and getattr(found[-1], "out_features", getattr(found[-1], "nf", None)) == width


def norms(model: Any) -> list[Any]:
    """Return the decoder's modules outside its layers and embeddings that hold nothing but vectors: the last norm."""
    found = []
    for name, module in decoder(model).named_children():
        shapes = [p.ndim for p in module.parameters()]
        if shapes and max(shapes) == 1 and "emb" not in name:
            found.append(module)
    return found
