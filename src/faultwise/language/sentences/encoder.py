"""Sentence models: short texts as vectors, by a pretrained encoder, mean over tokens (Reimers and Gurevych 2019).

Texts are plain text here: nothing in them is taken for a control token. This module trains nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from faultwise import hub
from faultwise.contracts.errors import HubError
from faultwise.contracts.progress import ProgressBar

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["DEFAULT", "MOST_TOKENS", "SentenceEncoder", "load"]

DEFAULT = "all-minilm-l6-v2"
MOST_TOKENS = 256  # of a text: what the default model was trained with
_BATCH = 64


@dataclass
class SentenceEncoder:
    """An encoder with its tokenizer; `source` is the name it was asked for by."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: str

    @property
    def width(self) -> int:
        """The length of a vector."""
        return int(self.model.config.hidden_size)

    def pooled(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the mean over the tokens of each text, shape (texts, width), with a gradient where one is wanted."""
        ids = self.tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=MOST_TOKENS,
            split_special_tokens=True,
            return_tensors="pt",
        ).to(self.model.device)
        states = self.model(**ids).last_hidden_state
        mask = ids["attention_mask"][..., None]
        return cast("torch.Tensor", (states * mask).sum(1) / mask.sum(1).clamp(min=1))

    def embed(self, texts: Sequence[str], progress: bool = False) -> np.ndarray:
        """Return vectors of length one, shape (texts, width), in float32. Long texts are read up to MOST_TOKENS."""
        import torch

        made = np.zeros((len(texts), self.width), np.float32)
        # Texts of like length together: a batch is as long as its longest.
        order = np.argsort([len(text) for text in texts], kind="stable")
        self.model.eval()  # type: ignore[no-untyped-call]
        with torch.inference_mode(), ProgressBar(total=len(texts), desc="embedding", disable=not progress) as bar:
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                vectors = torch.nn.functional.normalize(self.pooled([texts[at] for at in rows]), dim=1)
                made[rows] = vectors.float().cpu().numpy()
                bar.update(len(rows))
        return made


def load(source: str = DEFAULT, device: str = "auto") -> SentenceEncoder:
    """Load an encoder by registered name, hub id or folder. Raises HubError for what transformers cannot load."""
    from transformers import AutoModel, AutoTokenizer

    from faultwise.language.loading import device_named, quiet

    path = hub.resolve(source)
    folder = path if path.is_dir() else path.parent
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model: PreTrainedModel = AutoModel.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise HubError(
            f"`{source}` is no sentence model that transformers can load ({first}): give a registered name "
            "(`faultwise models list`), a hub id or a folder."
        ) from error
    model.float()  # type: ignore[no-untyped-call]
    return SentenceEncoder(model.to(device_named(device)), tokenizer, source)  # type: ignore[arg-type]
