"""All fine-tuning methods behind one interface: what is trained, how fast, and how it is kept.

| method | what is trained | rate | kept as |
|---|---|---|---|
| `context` | nothing: the caller puts examples into the prompt | | `method.json` |
| `prompt` | vectors before the prompt (Lester et al. 2021) | 50 | PEFT's prompt tuning |
| `lora` | low-rank additions to the linear modules (Hu et al. 2022) | 1, B `lr_ratio` | PEFT's LoRA |
| `qlora` | the same on a base in four bits (Dettmers et al. 2023) | 1, B `lr_ratio` | PEFT's LoRA |
| `adapter` | bottlenecks after attention and MLP (Houlsby et al. 2019) | 1, `up` `lr_ratio` | `trained.safetensors` |
| `partial` | the upper layers and the last norm | 1/20 | `trained.safetensors` |
| `full` | everything, embeddings too, once where they are tied | 1/20 | `trained.safetensors` |

The rate is a factor on the learning rate, which is LoRA's. All methods work when the inner decoder is called directly.
Memory beside the model: 16 bytes a trained parameter (float32 master weight, gradient, two moments; 12 where the model
is float32), so `full` takes 2.2 GB for 135 million and 112 GB for 7 billion parameters.
This module trains nothing and knows no prompts; see `tuning`. The files are those of `adapter_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from faultwise.contracts.errors import RunFolderError, UserError, closest
from faultwise.contracts.language import METHODS
from faultwise.language import adapter_files, anatomy, bottleneck, nf4
from faultwise.language.float32_weights import Float32Weights

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel

__all__ = ["MethodConfig", "ParameterGroup", "TunedModel", "attach"]

_PEFT_LORA = ("lora", "qlora")
# Of the learning rate. Pretrained weights bear small steps only; vectors before the prompt need large ones to matter.
_FACTORS = {"prompt": 50.0, "partial": 0.05, "full": 0.05}
# The half that starts at zero has to grow before the other gets a gradient (Hayou et al. 2024, LoRA+).
_ZERO_AT_FIRST = ("lora_B", "bottleneck.up")
_COMMON_WORDS = 5000


class ParameterGroup(TypedDict):
    """Parameters of an optimiser with their learning rate; `full_lr` is the rate that a schedule starts from."""

    params: list[nn.Parameter]
    lr: float
    full_lr: float


@dataclass(frozen=True, slots=True)
class MethodConfig:
    """A fine-tuning method. Raises UserError, naming everything that is wrong with it.

    `upper_layers` is the share of the layers, from the top, that `lora`, `qlora`, `adapter` and `partial` touch;
    `virtual_tokens` belongs to `prompt`, `width` to `adapter`; `rank`, `alpha` to LoRA, `dropout` to LoRA and
    `adapter`; `lr_ratio` is how many times faster the half that starts at zero learns (LoRA+).
    """

    method: str = "lora"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    upper_layers: float = 1.0
    virtual_tokens: int = 16
    width: int = 32
    lr_ratio: float = 8.0

    def __post_init__(self) -> None:
        wrong = []
        if self.method not in METHODS:
            near = closest(self.method, METHODS)
            meant = f" Did you mean `{near}`?" if near else ""
            wrong.append(f"There is no fine-tuning method `{self.method}`: choose one of {', '.join(METHODS)}.{meant}")
        for name in ("rank", "alpha", "virtual_tokens", "width"):
            if getattr(self, name) < 1:
                wrong.append(f"`{name}` is {getattr(self, name)}: give 1 or more.")
        if not 0 <= self.dropout < 1:
            wrong.append(f"`dropout` is {self.dropout:g}: give a share from 0 to below 1.")
        if not 0 < self.upper_layers <= 1:
            wrong.append(f"`upper_layers` is {self.upper_layers:g}: give a share of the layers above 0, at most 1.")
        if not self.lr_ratio > 0:
            wrong.append(f"`lr_ratio` is {self.lr_ratio:g}: give a factor above 0.")
        if wrong:
            raise UserError(" ".join(wrong))


def attach(model: PreTrainedModel, config: MethodConfig, words: Sequence[int] | None = None) -> TunedModel:
    """Prepare a causal model of transformers for a fine-tuning method, in place: the rest of it is frozen.

    For `prompt`, `words` are the token ids that the vectors start from (repeated or cut to the number of vectors);
    without them, tokens are drawn from the 5,000 first of the vocabulary, which are the common ones in most. Draws
    use torch's generator: seed it before. Raises UserError where the model has no part that the method could tune, or
    bitsandbytes is missing.
    """
    base = model
    model.requires_grad_(False)
    trained: dict[str, nn.Parameter] = {}
    if config.method == "prompt":
        trained = {"soft_prompt": _first_vectors(base, config.virtual_tokens, words)}
    elif config.method in _PEFT_LORA:
        model = _with_lora(base, config)
    elif config.method == "adapter":
        trained = bottleneck.insert(base, config.upper_layers, config.width, config.dropout)
    elif config.method == "partial":
        layers = [layer for _, layer in anatomy.upper_layers(base, config.upper_layers)]
        for module in layers + anatomy.norms(base):
            _unfreeze(module)
    elif config.method == "full":
        _unfreeze(base)
    return TunedModel(model, base, config, trained)


class TunedModel:
    """A model with its trained parameters. `model` runs forward passes; `backbone()` is its inner decoder.

    Trained parameters of a model in 16 bits have float32 master weights (see `float32_weights`): `parameters`,
    `groups`, `weights` and `restore` deal with these, and gradients are found there after a backward pass. The decoder
    and the embeddings take the master weights over by themselves when they are next called.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        base: PreTrainedModel,
        config: MethodConfig,
        trained: Mapping[str, nn.Parameter] | None = None,
    ) -> None:
        self.model = model
        self.config = config
        self.merged = False
        self._base = base
        found = trained or {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._float32 = Float32Weights(found)
        around: list[nn.Module | None] = [base.get_input_embeddings(), _output_layer(base)]
        self._float32.follow(self.backbone(), *(module for module in around if module is not None))
        nf4.keep_trainable(base)

    def backbone(self) -> nn.Module:
        """Return the inner decoder, with whatever was added inside its layers."""
        return anatomy.decoder(self._base)

    @property
    def embeddings(self) -> nn.Embedding:
        """The module from token ids to embeddings."""
        return cast("nn.Embedding", self.model.get_input_embeddings())

    @property
    def output_layer(self) -> nn.Linear:
        """The module from states to logits over the vocabulary."""
        return cast("nn.Linear", _output_layer(self.model))

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """What the optimiser moves, by name; empty for `context`."""
        return self._float32.named

    @property
    def soft_prompt(self) -> torch.Tensor | None:
        """The vectors (n, hidden) to put before `inputs_embeds`, in the model's dtype; None for other methods."""
        if self.config.method != "prompt":
            return None
        return self._float32.named["soft_prompt"].to(self.embeddings.weight.dtype)

    def parameters(self) -> list[nn.Parameter]:
        """Return what the optimiser moves; empty for `context`."""
        return list(self._float32.named.values())

    def groups(self, learning_rate: float) -> list[ParameterGroup]:
        """Return groups of parameters for an optimiser; empty for `context`.

        `learning_rate` is LoRA's; other methods get a multiple of it (see the table above).
        """
        plain: list[nn.Parameter] = []
        faster: list[nn.Parameter] = []
        for name, parameter in self._float32.named.items():
            (faster if any(part in name for part in _ZERO_AT_FIRST) else plain).append(parameter)
        rate = learning_rate * _FACTORS.get(self.config.method, 1.0)
        pairs = ((plain, rate), (faster, rate * self.config.lr_ratio))
        return [ParameterGroup(params=parameters, lr=lr, full_lr=lr) for parameters, lr in pairs if parameters]

    def weights(self) -> dict[str, torch.Tensor]:
        """Return copies of the trained parameters by name."""
        return {name: p.detach().clone() for name, p in self._float32.named.items()}

    def restore(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Set the trained parameters to what `weights` returned. Raises ValueError after `merge`."""
        import torch

        if self.merged:
            raise ValueError("merged for inference: the base already holds the trained parameters")
        with torch.no_grad():
            for name, parameter in self._float32.named.items():
                parameter.copy_(weights[name])
        self._float32.push()

    def merge(self) -> None:
        """End training and make inference as fast as the method allows; once is enough.

        LoRA is added to the base's weights, rounded to their dtype. Four bits are too coarse for that, bottlenecks have
        a GELU between, and the other methods have nothing to add: these only drop their master weights.
        """
        if self.merged:
            return
        self._float32.release()
        if self.config.method == "lora":
            cast("PeftModel", self.model).merge_adapter()
        self.merged = True

    def save(self, folder: Path, base: str | None = None) -> None:
        """Write the trained parameters and `method.json`. `base` is the base model's name for PEFT's readers.

        The layout is PEFT's for `lora`, `qlora` and `prompt` (the quantised base is not written: it is made anew).
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._float32.push()
        if self.config.method in _PEFT_LORA:
            adapter_files.write_lora(folder, cast("PeftModel", self.model), base)
        elif self.config.method == "prompt":
            adapter_files.write_prompt(folder, self._float32.named["soft_prompt"], self._base, base)
        elif self.config.method != "context":
            own = dict(self._base.named_parameters())
            adapter_files.write_trained(folder, {name: own[name] for name in self._float32.named})
        adapter_files.write_config(folder, self.config)

    @classmethod
    def load(cls, model: PreTrainedModel, folder: Path) -> TunedModel:
        """Attach the files of `save`, or of PEFT (LoRA, prompt tuning), to a freshly loaded base model; it can be tuned
        further.

        Raises RunFolderError for a folder that is incomplete, was edited, or belongs to another model.
        """
        import torch

        config = adapter_files.read_config(folder, MethodConfig)
        if config.method in _PEFT_LORA:
            model.requires_grad_(False)
            if config.method == "qlora":
                nf4.quantise(model)
            return cls(cast("PreTrainedModel", adapter_files.read_lora(folder, model)), model, config)
        tuned = attach(model, config)
        if config.method == "context":
            return tuned
        read = (adapter_files.read_prompt if config.method == "prompt" else adapter_files.read_trained)(folder)
        misfit = _misfit(tuned._float32.named, read)
        if misfit is not None:
            raise RunFolderError(
                f"The weights in {folder} do not fit {type(model).__name__} (`{misfit}`): load them onto the base "
                "model that they were trained on."
            )
        with torch.no_grad():
            tuned.restore(read)
        return tuned


def _output_layer(model: PreTrainedModel) -> nn.Module | None:
    found: nn.Module | None = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    return found


def _misfit(own: Mapping[str, torch.Tensor], read: Mapping[str, torch.Tensor]) -> str | None:
    """Return the first name that is missing, too much, or of another shape in what was read; None where all fit."""
    other = sorted({name for name, p in own.items() if name not in read or read[name].shape != p.shape})
    return next(iter(other or sorted(read.keys() - own.keys())), None)


def _first_vectors(model: PreTrainedModel, count: int, words: Sequence[int] | None) -> nn.Parameter:
    """Return embeddings of words as a float32 parameter (count, hidden)."""
    import torch

    embed = cast("nn.Embedding", model.get_input_embeddings())
    if words is None:
        common = min(_COMMON_WORDS, embed.num_embeddings)
        words = torch.randperm(common)[:count].tolist()
    if not len(words):
        raise UserError("No words to start the prompt's vectors from: give at least one token id, or None.")
    ids = torch.tensor([words[at % len(words)] for at in range(count)], device=embed.weight.device)
    with torch.no_grad():  # through the module: some scale what they look up
        return torch.nn.Parameter(embed(ids).float().clone())


def _with_lora(model: PreTrainedModel, config: MethodConfig) -> PreTrainedModel:
    if config.method == "qlora":
        nf4.quantise(model)
    names = anatomy.linear_names(model, config.upper_layers)
    nf4.import_quietly()
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=names,
        fan_in_fan_out=all(type(model.get_submodule(name)).__name__ == "Conv1D" for name in names),
        task_type="CAUSAL_LM",
    )
    # autocast_adapter_dtype off: float32 adapters on a bfloat16 base run at a third of the speed.
    with warnings.catch_warnings():
        # peft asks transformers by an attribute name that transformers has begun to rename.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        return cast("PreTrainedModel", get_peft_model(model, lora, autocast_adapter_dtype=False))


def _unfreeze(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
