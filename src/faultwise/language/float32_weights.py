"""Float32 copies of trained parameters that a model holds in 16 bits.

A bfloat16 number moves in steps of about 1/256 of itself. An optimiser's step on a pretrained weight is smaller than
half of that as soon as the learning rate is low, is rounded away, and the weight never moves. So gradients go to
float32 copies, the optimiser moves these, and the model takes them over, rounded, before its next forward pass.
This module neither chooses nor trains parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

__all__ = ["Masters"]


class Masters:
    """`named` holds a float32 parameter for each one given; a parameter that is float32 already is its own copy.

    A backward pass leaves the gradients in `named` and none on a 16-bit parameter. Costs eight bytes a parameter.
    """

    def __init__(self, trained: Mapping[str, Any]) -> None:
        import torch

        self.named: dict[str, Any] = {}
        self._trained = dict(trained)
        self._taken: dict[str, int] = {}
        self._hooks: list[Any] = []
        for name, parameter in trained.items():
            if parameter.dtype not in (torch.bfloat16, torch.float16):
                self.named[name] = parameter
                continue
            copy = torch.nn.Parameter(parameter.detach().float())
            self.named[name], self._taken[name] = copy, copy._version
            self._hooks.append(parameter.register_post_accumulate_grad_hook(partial(_hand_over, copy)))

    def follow(self, *modules: Any) -> None:
        """Take the copies over before each forward pass of these modules, when they have changed."""
        if self._taken:
            self._hooks += [module.register_forward_pre_hook(lambda *_: self.push()) for module in modules]

    def push(self) -> None:
        """Round the copies that have changed into the model."""
        import torch

        with torch.no_grad():
            for name, version in self._taken.items():
                copy = self.named[name]
                # torch counts the changes of each tensor; comparing counts is much cheaper than copying.
                if copy._version != version:
                    self._trained[name].copy_(copy)
                    self._taken[name] = copy._version

    def release(self) -> None:
        """Round the copies into the model once more and drop them: training is over."""
        self.push()
        for hook in self._hooks:
            hook.remove()
        self._hooks, self._taken, self.named = [], {}, self._trained


def _hand_over(copy: Any, parameter: Any) -> None:
    """Add the gradient of the 16-bit parameter to its copy's, and take it away."""
    gradient = parameter.grad.to(copy.device, copy.dtype)
    copy.grad = gradient if copy.grad is None else copy.grad.add_(gradient)
    parameter.grad = None
