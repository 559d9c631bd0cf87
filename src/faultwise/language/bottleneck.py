"""Bottleneck adapters (Houlsby et al. 2019): a narrow network after the attention and after the MLP of a layer.

PEFT has none. They are attached to the modules by forward hooks, so that the base's parameters keep their names and the
inner decoder can be called directly. They cannot be merged into the base, because there is a GELU between.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from faultwise.contracts.errors import UserError
from faultwise.language.anatomy import returns_width, upper_layers

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

    Output = torch.Tensor | tuple[torch.Tensor, ...]

__all__ = ["insert"]

_NAME = "bottleneck"


def insert(model: PreTrainedModel, share: float, width: int, dropout: float) -> dict[str, nn.Parameter]:
    """Add o + up(gelu(down(o))) to the output o of attention and MLP in the upper `share` of the layers.

    Returns the new parameters by name: `down` (width, hidden) and `up` (hidden, width) with their biases, in the
    base's dtype and place. `up` starts at zero, so that the model begins unchanged. Raises UserError for a model
    without a place for them.
    """
    hidden = int(model.config.get_text_config().hidden_size)
    added: dict[str, nn.Parameter] = {}
    for name, layer in upper_layers(model, share):
        for child, module in layer.named_children():
            if not returns_width(module, hidden):
                continue  # norms, and the first half of an MLP that is no module of its own (OPT)
            like = next(p for p in module.parameters() if p.is_floating_point())
            adapter = _adapter(hidden, width, dropout, like)
            module.add_module(_NAME, adapter)
            module.register_forward_hook(_add)
            added |= {f"{name}.{child}.{_NAME}.{inner}": p for inner, p in adapter.named_parameters()}
    if not added:
        raise UserError(
            f"No linear layers were found in the layers of {type(model).__name__} to put adapters behind: use the "
            "method `prompt` or `full`, or another model."
        )
    return added


def _adapter(hidden: int, width: int, dropout: float, like: torch.Tensor) -> nn.Module:
    from torch import nn

    up = nn.Linear(width, hidden)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    parts = OrderedDict(down=nn.Linear(hidden, width), gelu=nn.GELU(), dropout=nn.Dropout(dropout), up=up)
    return nn.Sequential(parts).to(like.device, like.dtype)


def _add(module: nn.Module, _: object, output: Output) -> Output:
    """Forward hook. Attention returns its weights along with its output."""
    first = output[0] if isinstance(output, tuple) else output
    adapted: torch.Tensor = first + module.get_submodule(_NAME)(first)
    return (adapted, *output[1:]) if isinstance(output, tuple) else adapted
