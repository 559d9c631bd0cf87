"""Float32 master weights of trained parameters that a model holds in 16 bits.

A bfloat16 number moves in steps of about 1/256 of itself. An optimiser's step on a pretrained weight is smaller than
half of that as soon as the learning rate is low, is rounded away, and the weight never moves. So gradients go to
float32 master weights, the optimiser moves these, and the model takes them over, rounded, before its next forward pass.
This module neither chooses nor trains parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.hooks import RemovableHandle

__all__ = ["Float32Weights"]


class Float32Weights:
    """`named` holds a float32 parameter for each one given; a parameter that is float32 already is its own.

    A backward pass leaves the gradients in `named` and none on a 16-bit parameter. Costs eight bytes a parameter.
    """

    def __init__(self, trained: Mapping[str, nn.Parameter]) -> None:
        import torch

        self.named: dict[str, nn.Parameter] = {}
        self._trained = dict(trained)
        self._versions: dict[str, int] = {}
        self._hooks: list[RemovableHandle] = []
        for name, parameter in trained.items():
            if parameter.dtype not in (torch.bfloat16, torch.float16):
                self.named[name] = parameter
                continue
            master = torch.nn.Parameter(parameter.detach().float())
            self.named[name], self._versions[name] = master, master._version
            hook = partial(_move_gradient, master)
            self._hooks.append(parameter.register_post_accumulate_grad_hook(hook))  # type: ignore[no-untyped-call]

    def follow(self, *modules: nn.Module) -> None:
        """Round changed master weights into the model before each forward pass of these modules."""
        if self._versions:
            self._hooks += [module.register_forward_pre_hook(lambda *_: self.push()) for module in modules]

    def push(self) -> None:
        """Round the master weights that have changed into the model."""
        import torch

        with torch.no_grad():
            for name, version in self._versions.items():
                master = self.named[name]
                # torch counts the changes of each tensor; comparing counts is much cheaper than copying.
                if master._version != version:
                    self._trained[name].copy_(master)
                    self._versions[name] = master._version

    def release(self) -> None:
        """Round the master weights into the model once more and drop them: training is over."""
        self.push()
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._versions, self.named = [], {}, self._trained


def _move_gradient(master: nn.Parameter, parameter: torch.Tensor) -> None:
    """Add the gradient of the 16-bit parameter to that of its master weight, and remove it from the parameter."""
    assert parameter.grad is not None
    gradient = parameter.grad.to(master.device, master.dtype)
    master.grad = gradient if master.grad is None else master.grad.add_(gradient)
    parameter.grad = None
