"""Files of tuned models: PEFT's layout where PEFT has the method, else safetensors; never a pickle.

`method.json` beside them holds the configuration. A folder written by PEFT itself has none and is read too.
What belongs in which parameter is decided in `adapters`.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from faultwise.contracts.errors import RunFolderError
from faultwise.language import nf4

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

    Config = TypeVar("Config", bound=DataclassInstance)

__all__ = [
    "read_config",
    "read_lora",
    "read_prompt",
    "read_trained",
    "write_config",
    "write_lora",
    "write_prompt",
    "write_trained",
]

_CONFIG, _TRAINED = "method.json", "trained.safetensors"
_PEFT_CONFIG, _PEFT_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def write_config(folder: Path, config: DataclassInstance) -> None:
    """Write a configuration (a dataclass)."""
    (folder / _CONFIG).write_text(json.dumps(dataclasses.asdict(config), indent=1))


def read_config(folder: Path, kind: type[Config]) -> Config:
    """Return the configuration, a dataclass of this `kind`; of a folder of PEFT's own, as far as PEFT has it.

    Raises RunFolderError where there is none, or one that this version does not know.
    """
    if not (folder / _CONFIG).exists():
        return kind(**_read_peft_config(folder))
    found = _json(folder / _CONFIG)
    expected: dict[str, type] = {field.name: type(field.default) for field in dataclasses.fields(kind)}
    unknown = sorted(found.keys() - expected.keys())
    wrong = [name for name in expected.keys() & found.keys() if not _fits(found[name], expected[name])]
    if unknown or wrong:
        raise RunFolderError(
            f"`{(unknown or wrong)[0]}` in {folder / _CONFIG} is not understood: the file was edited, or written by a "
            "newer version. Update Faultwise, or tune again."
        )
    return kind(**found)


def _fits(value: object, kind: type) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float) if kind is float else kind)


def _read_peft_config(folder: Path) -> dict[str, object]:
    if not (folder / _PEFT_CONFIG).exists():
        raise RunFolderError(f"{folder} holds no tuned model: it has neither `{_CONFIG}` nor `{_PEFT_CONFIG}`.")
    found = _json(folder / _PEFT_CONFIG)
    if found.get("peft_type") == "LORA":
        named = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout"}
        return {"method": "lora"} | {ours: found[theirs] for ours, theirs in named.items() if theirs in found}
    if found.get("peft_type") == "PROMPT_TUNING":
        return {"method": "prompt", "virtual_tokens": found.get("num_virtual_tokens", 0)}
    raise RunFolderError(
        f"{folder / _PEFT_CONFIG} is of the kind `{found.get('peft_type')}`: only LORA and PROMPT_TUNING are read."
    )


def write_lora(folder: Path, model: PeftModel, base: str | None) -> None:
    """Write the LoRA matrices of a PEFT model. Merging changed the base's weights only, which are not written."""
    if base is not None:
        for config in model.peft_config.values():
            config.base_model_name_or_path = base
    # Embeddings are not tuned; asking PEFT to find that out by itself makes it look for the base on a hub.
    model.save_pretrained(str(folder), save_embedding_layers=False)


def read_lora(folder: Path, model: PreTrainedModel) -> PeftModel:
    """Return the model with the LoRA of the folder, trainable. Raises RunFolderError where they do not fit."""
    _expect(folder / _PEFT_CONFIG)
    _expect(folder / _PEFT_WEIGHTS)
    nf4.import_quietly()
    from peft import PeftModel
    from safetensors import SafetensorError

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        warnings.filterwarnings("error", message="Found missing adapter keys")
        try:
            return PeftModel.from_pretrained(model, folder, is_trainable=True, autocast_adapter_dtype=False)
        except (RuntimeError, ValueError, TypeError, KeyError, UserWarning, SafetensorError) as error:
            first = str(error).strip().splitlines()[0][:200]
            raise RunFolderError(
                f"The adapter in {folder} does not fit {type(model).__name__}, or is damaged ({first}): load it onto "
                "the base model that it was trained on."
            ) from error


def write_prompt(folder: Path, vectors: Tensor, model: PreTrainedModel, base: str | None) -> None:
    """Write the vectors (n, hidden) of a prompt tuning of `model`, so that PEFT reads them."""
    nf4.import_quietly()
    from peft import PromptTuningConfig

    shape = model.config.get_text_config()
    PromptTuningConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
        num_virtual_tokens=len(vectors),
        token_dim=vectors.shape[1],
        num_transformer_submodules=1,
        num_attention_heads=shape.num_attention_heads,
        num_layers=shape.num_hidden_layers,
    ).save_pretrained(str(folder))
    _write(folder / _PEFT_WEIGHTS, {"prompt_embeddings": vectors})


def read_prompt(folder: Path) -> dict[str, Tensor]:
    """Return the vectors as `soft_prompt`."""
    found = _read(folder / _PEFT_WEIGHTS)
    return {"soft_prompt": found["prompt_embeddings"]} if "prompt_embeddings" in found else {}


def write_trained(folder: Path, parameters: Mapping[str, Tensor]) -> None:
    """Write trained parameters of the base model by name. Tied ones have one name in torch and come once."""
    _write(folder / _TRAINED, parameters)


def read_trained(folder: Path) -> dict[str, Tensor]:
    """Return what `write_trained` wrote."""
    return _read(folder / _TRAINED)


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, metadata={"format": "pt"})


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    _expect(path)
    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise RunFolderError(f"{path} is damaged ({error}): copy the folder again, or tune again.") from error


def _json(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunFolderError(f"{path} is not JSON ({error}): copy the folder again, or tune again.") from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} holds a {type(found).__name__}, not an object: copy the folder again.")
    return found


def _expect(path: Path) -> None:
    if not path.exists():
        raise RunFolderError(f"{path.parent} is incomplete: it has no `{path.name}`. Copy the folder again.")
