"""All forms of fine-tuning behind one door: what is trained, how fast, and how it is kept.

| form | what is trained | rate | kept as |
|---|---|---|---|
| `context` | nothing: examples in the prompt are the caller's | | `form.json` |
| `prompt` | vectors before the prompt (Lester et al. 2021) | 50 | PEFT's prompt tuning |
| `lora` | low-rank additions to the linear modules (Hu et al. 2022) | 1, B `plus` | PEFT's LoRA |
| `qlora` | the same on a base in four bits (Dettmers et al. 2023) | 1, B `plus` | PEFT's LoRA |
| `adapter` | bottlenecks after attention and MLP (Houlsby et al. 2019) | 1, `up` `plus` | `trained.safetensors` |
| `partial` | the upper layers and the last norm | 1/20 | `trained.safetensors` |
| `full` | everything, embeddings too, once where they are tied | 1/20 | `trained.safetensors` |

The rate is a factor on the learning rate, which is LoRA's. All forms work when the inner decoder is called directly.
Memory beside the model: 16 bytes a trained parameter (float32 copy, gradient, two moments; 12 where the model is
float32), so `full` takes 2.2 GB for 135 million and 112 GB for 7 billion parameters.
This module trains nothing and knows no prompts; see `tuning`. How forms are kept is in `form_files`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faultwise.contracts.errors import RunFolderError, UserError, closest
from faultwise.language import adapter_files as form_files
from faultwise.language import anatomy, bottleneck, nf4
from faultwise.language.float32_weights import Masters

__all__ = ["FORMS", "FormConfig", "Tuned", "attach"]

FORMS = ("context", "prompt", "lora", "qlora", "adapter", "partial", "full")
_PEFT_LORA = ("lora", "qlora")
# Of the learning rate. Pretrained weights bear small steps only; vectors before the prompt need large ones to matter.
_FACTORS = {"prompt": 50.0, "partial": 0.05, "full": 0.05}
# The half that starts at zero has to grow before the other gets a gradient (Hayou et al. 2024, LoRA+).
_ZERO_AT_FIRST = ("lora_B", "bottleneck.up")
_COMMON_WORDS = 5000


@dataclass(frozen=True, slots=True)
class FormConfig:
    """A form of fine-tuning. Raises UserError, naming everything that is wrong with it.

    `upper_layers` is the share of the layers, from the top, that `lora`, `qlora`, `adapter` and `partial` touch;
    `virtual_tokens` belongs to `prompt`, `width` to `adapter`; `r`, `alpha` to LoRA, `dropout` to LoRA and `adapter`;
    `plus` is how much faster the half that starts at zero learns (LoRA+).
    """

    form: str = "lora"
    r: int = 16
    alpha: int = 32
    dropout: float = 0.0
    upper_layers: float = 1.0
    virtual_tokens: int = 16
    width: int = 32
    plus: float = 8.0

    def __post_init__(self) -> None:
        wrong = []
        if self.form not in FORMS:
            near = closest(self.form, FORMS)
            meant = f" Did you mean `{near}`?" if near else ""
            wrong.append(f"There is no form `{self.form}` of tuning: choose one of {', '.join(FORMS)}.{meant}")
        for name in ("r", "alpha", "virtual_tokens", "width"):
            if getattr(self, name) < 1:
                wrong.append(f"`{name}` is {getattr(self, name)}: give 1 or more.")
        if not 0 <= self.dropout < 1:
            wrong.append(f"`dropout` is {self.dropout:g}: give a share from 0 to below 1.")
        if not 0 < self.upper_layers <= 1:
            wrong.append(f"`upper_layers` is {self.upper_layers:g}: give a share of the layers above 0, at most 1.")
        if not self.plus > 0:
            wrong.append(f"`plus` is {self.plus:g}: give a factor above 0.")
        if wrong:
            raise UserError(" ".join(wrong))


def attach(model: Any, config: FormConfig, words: Sequence[int] | None = None) -> Tuned:
    """Prepare a causal model of transformers for a form of tuning, in place: the rest of it is frozen.

    For `prompt`, `words` are the token ids that the vectors start from (repeated or cut to the number of vectors);
    without them, tokens are drawn from the 5,000 first of the vocabulary, which are the common ones in most. Draws
    use torch's generator: seed it before. Raises UserError where the model has no part that the form could tune, or
    bitsandbytes is missing.
    """
    base = model
    model.requires_grad_(False)
    trained: dict[str, Any] = {}
    if config.form == "prompt":
        trained = {"soft": _first_vectors(base, config.virtual_tokens, words)}
    elif config.form in _PEFT_LORA:
        model = _with_lora(base, config)
    elif config.form == "adapter":
        trained = bottleneck.insert(base, config.upper_layers, config.width, config.dropout)
    elif config.form == "partial":
        for module in [layer for _, layer in anatomy.upper(base, config.upper_layers)] + anatomy.norms(base):
            _thaw(module)
    elif config.form == "full":
        _thaw(base)
    return Tuned(model, base, config, trained)


class Tuned:
    """A model with what is trained of it. `model` runs forward passes; `backbone()` is its inner decoder.

    Trained parameters of a model in 16 bits have float32 copies (see `masters`): `parameters`, `groups`, `weights` and
    `restore` deal with these, and gradients are found there after a backward pass. The decoder and the embeddings take
    the copies over by themselves when they are next called.
    """

    def __init__(self, model: Any, base: Any, config: FormConfig, trained: Mapping[str, Any] | None = None) -> None:
        self.model = model
        self.config = config
        self.merged = False
        self._base = base
        found = trained or {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._masters = Masters(found)
        around = [base.get_input_embeddings(), base.get_output_embeddings()]
        self._masters.follow(self.backbone(), *(module for module in around if module is not None))
        nf4.keep_trainable(base)

    def backbone(self) -> Any:
        """Return the inner decoder, with whatever was added inside its layers."""
        return anatomy.decoder(self._base)

    @property
    def soft(self) -> Any:
        """The vectors (n, hidden) to put before `inputs_embeds`, in the model's dtype; None for other forms."""
        if self.config.form != "prompt":
            return None
        return self._masters.named["soft"].to(self._base.get_input_embeddings().weight.dtype)

    def parameters(self) -> list[Any]:
        """Return what the optimiser moves; empty for `context`."""
        return list(self._masters.named.values())

    def groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Return groups for an optimiser with `lr`, and `full_lr` for a schedule to start from; empty for `context`.

        `learning_rate` is LoRA's; other forms get a multiple of it (see the table above).
        """
        plain: list[Any] = []
        faster: list[Any] = []
        for name, parameter in self._masters.named.items():
            (faster if any(part in name for part in _ZERO_AT_FIRST) else plain).append(parameter)
        rate = learning_rate * _FACTORS.get(self.config.form, 1.0)
        pairs = ((plain, rate), (faster, rate * self.config.plus))
        return [{"params": parameters, "lr": lr, "full_lr": lr} for parameters, lr in pairs if parameters]

    def weights(self) -> dict[str, Any]:
        """Return copies of the trained parameters by name."""
        return {name: p.detach().clone() for name, p in self._masters.named.items()}

    def restore(self, weights: Mapping[str, Any]) -> None:
        """Set the trained parameters to what `weights` returned. Raises ValueError after `merge`."""
        import torch

        if self.merged:
            raise ValueError("merged for inference: the base already holds what was trained")
        with torch.no_grad():
            for name, parameter in self._masters.named.items():
                parameter.copy_(weights[name])
        self._masters.push()

    def merge(self) -> None:
        """End training and make inference as fast as the form allows; once is enough.

        LoRA is added to the base's weights, rounded to their dtype. Four bits are too coarse for that, bottlenecks have
        a GELU between, and the other forms have nothing to add: these only drop their float32 copies.
        """
        if self.merged:
            return
        self._masters.release()
        if self.config.form == "lora":
            self.model.merge_adapter()
        self.merged = True

    def save(self, folder: Path, base: str | None = None) -> None:
        """Write what was trained and `form.json`. `base` is the name of the base model to note for PEFT's readers.

        The layout is PEFT's for `lora`, `qlora` and `prompt` (the quantised base is not written: it is made anew).
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._masters.push()
        if self.config.form in _PEFT_LORA:
            form_files.write_lora(folder, self.model, base)
        elif self.config.form == "prompt":
            form_files.write_prompt(folder, self._masters.named["soft"], self._base, base)
        elif self.config.form != "context":
            own = dict(self._base.named_parameters())
            form_files.write_trained(folder, {name: own[name] for name in self._masters.named})
        form_files.write_form(folder, self.config)

    @classmethod
    def load(cls, model: Any, folder: Path) -> Tuned:
        """Attach what `save`, or PEFT (LoRA, prompt tuning), wrote to a freshly loaded base model, ready to go on.

        Raises RunFolderError for a folder that is incomplete, was edited, or belongs to another model.
        """
        import torch

        config = FormConfig(**form_files.read_form(folder, FormConfig))
        if config.form in _PEFT_LORA:
            model.requires_grad_(False)
            if config.form == "qlora":
                nf4.quantise(model)
            return cls(form_files.read_lora(folder, model), model, config)
        tuned = attach(model, config)
        if config.form == "context":
            return tuned
        read = form_files.read_prompt(folder) if config.form == "prompt" else form_files.read_trained(folder)
        own = tuned._masters.named
        other = sorted({name for name, p in own.items() if name not in read or read[name].shape != p.shape})
        if other or read.keys() - own.keys():
            name = other[0] if other else sorted(read.keys() - own.keys())[0]
            raise RunFolderError(
                f"The weights in {folder} do not fit {type(model).__name__} (`{name}`): load them onto the base model "
                "that they were trained on."
            )
        with torch.no_grad():
            tuned.restore(read)
        return tuned


def _first_vectors(model: Any, count: int, words: Sequence[int] | None) -> Any:
    """Return embeddings of words as a float32 parameter (count, hidden)."""
    import torch

    embed = model.get_input_embeddings()
    if words is None:
        common = min(_COMMON_WORDS, embed.num_embeddings)
        words = torch.randperm(common)[:count].tolist()
    if not len(words):
        raise UserError("No words to start the prompt's vectors from: give at least one token id, or None.")
    ids = torch.tensor([words[at % len(words)] for at in range(count)], device=embed.weight.device)
    with torch.no_grad():  # through the module: some scale what they look up
        return torch.nn.Parameter(embed(ids).float().clone())


def _with_lora(model: Any, config: FormConfig) -> Any:
    if config.form == "qlora":
        nf4.quantise(model)
    names = anatomy.linears(model, config.upper_layers)
    nf4.import_quietly()
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(
        r=config.r,
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
        return get_peft_model(model, lora, autocast_adapter_dtype=False)


def _thaw(module: Any) -> None:
    for parameter in module.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
