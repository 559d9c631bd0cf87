"""A model of the hub that knows images and texts (CLIP, SigLIP): the likelihood that a picture shows a damaged part.

The texts are the ensemble that WinCLIP (Jeong et al. 2023) and AnomalyGPT use: states of a flawless and of a damaged
part in two templates, averaged on each side. No good image is needed, and none is learnt from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from faultwise.contracts.errors import UserError
from faultwise.hub import resolve
from faultwise.images.detection.backbones import EMBEDDED, normalisation

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["TextJudge", "load_text_judge"]

FINE = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
DAMAGED = ("damaged {}", "broken {}", "{} with flaw", "{} with defect", "{} with damage")
MODELS = ("clip", "siglip", "siglip2")
TEMPLATES = ("a photo of a {}.", "a photo of the {}.")
_BATCH = 16
_SAME = 1 - 1e-6  # cosine of the two sides


class TextJudge:
    """A model with its tokenizer; `levels` are mean and standard deviation of its channels, `part` is what the pictures
    show.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        levels: tuple[list[float], list[float]],
        part: str,
    ) -> None:
        import torch

        self.model, self.size = model, int(model.config.vision_config.image_size)
        self.mean, self.spread = (torch.tensor(one)[:, None, None] * 255 for one in levels)
        with torch.inference_mode():
            self.sides = torch.stack([self._side(tokenizer, states, part) for states in (FINE, DAMAGED)])
            self.scale = float(model.logit_scale.exp())
        if float(self.sides[0] @ self.sides[1]) > _SAME:
            raise UserError(
                "The model makes no difference between texts about flawless and damaged parts: check that its folder "
                "holds the tokenizer's files."
            )

    def _side(self, tokenizer: PreTrainedTokenizerBase, states: tuple[str, ...], part: str) -> Tensor:
        from torch.nn import functional

        texts = [template.format(state.format(part)) for state in states for template in TEMPLATES]
        longest = self.model.config.text_config.max_position_embeddings
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
        known = {name: ids[name] for name in ("input_ids", "attention_mask") if name in ids}
        vectors = self.model.get_text_features(**known).pooler_output
        return functional.normalize(functional.normalize(vectors, dim=1).mean(dim=0), dim=0)

    def damaged(self, pictures: list[np.ndarray]) -> np.ndarray:
        """Return how likely each picture (height, width, 3; uint8) shows damage rather than none, (pictures,)."""
        import torch
        from PIL import Image as Pillow
        from torch.nn import functional

        side = (self.size, self.size)
        small = [np.asarray(Pillow.fromarray(one).resize(side, Pillow.Resampling.BICUBIC)) for one in pictures]
        made = []
        with torch.inference_mode():
            for some in torch.split(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float(), _BATCH):
                seen = self.model.get_image_features(pixel_values=(some - self.mean) / self.spread).pooler_output
                made.append((self.scale * functional.normalize(seen, dim=1) @ self.sides.T).softmax(dim=1)[:, 1])
        return np.asarray(torch.cat(made).numpy())


def load_text_judge(name: str, part: str) -> TextJudge:
    """Return the model of a folder or hub id with texts about a `part`. Raises UserError for a model without texts."""
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    folder = resolve(name)
    try:
        known = None if name == EMBEDDED else AutoConfig.from_pretrained(folder, local_files_only=True)
        seeing = known is not None and known.model_type in MODELS
        if seeing:
            model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"`{name}` cannot be loaded as a model ({str(error).splitlines()[0][:160]}).") from error
    if not seeing:
        raise UserError(
            f"`{name}` does not know images and texts: without good images give --backbone a CLIP or SigLIP model."
        )
    return TextJudge(model, tokenizer, normalisation(folder), part)
