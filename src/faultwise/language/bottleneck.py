"""Bottleneck adapters (Houlsby et al. 2019): a narrow detour after the attention and after the MLP of a layer.

PEFT has none. They hang on the modules by forward hooks, so that the base's parameters keep their names and the inner
decoder can be called directly. They cannot be merged into the base: there is a GELU between.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from faultwise.contracts.errors import UserError
from faultwise.language.anatomy import gives_back, upper

__all__ = ["insert"]

_NAME = "bottleneck"


def insert(model: Any, share: float, width: int, dropout: float) -> dict[str, Any]:
    """Add o + up(gelu(down(o))) to the output o of attention and MLP in the upper `share` of the layers.

    Returns the new parameters by name: `down` (width, hidden) and `up` (hidden, width) with their biases, in the
    base's dtype and place. `up` starts at zero, so that the model begins as it was. Raises UserError for a model
    without a place for them.
    """
    hidden = model.config.get_text_config().hidden_size
    made: dict[str, Any] = {}
    for name, layer in upper(model, share):
        for child, module in layer.named_children():
            if not gives_back(module, hidden):
                continue  # norms, and the first half of an MLP that is no module of its own (OPT)
            like = next(p for p in module.parameters() if p.is_floating_point())
            detour = _detour(hidden, width, dropout, like)
            module.add_module(_NAME, detour)
            module.register_forward_hook(_add)
            made |= {f"{name}.{child}.{_NAME}.{inner}": p for inner, p in detour.named_parameters()}
    if not made:
        raise UserError(
            f"No linear layers were found in the layers of {type(model).__name__} to put adapters behind: use the "
            "form `prompt` or `full`, or another model."
        )
    return made


def _detour(hidden: int, width: int, dropout: float, like: Any) -> Any:
    from torch import nn

    up = nn.Linear(width, hidden)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    parts = OrderedDict(down=nn.Linear(hidden, width), gelu=nn.GELU(), dropout=nn.Dropout(dropout), up=up)
    return nn.Sequential(parts).to(like.device, like.dtype)


def _add(module: Any, _: Any, output: Any) -> Any:
    """Forward hook. Attention gives its weights along with its output."""
    detour = getattr(module, _NAME)
    if isinstance(output, tuple):
        return (output[0] + detour(output[0]), *output[1:])
    return output + detour(output)
