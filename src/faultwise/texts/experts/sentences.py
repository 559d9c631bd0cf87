"""A pretrained sentence model as an expert: frozen under a linear model, or fine-tuned whole but for its word vectors.

The recipe did best on failure modes of work orders in folds (`bench/texts.py`): mean over tokens, a linear head,
cross-entropy with smoothed labels. Word vectors stay as they were pretrained: they are half of the parameters, and
words that no training text has would move away from those that one has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from faultwise.contracts.errors import RunFolderError
from faultwise.contracts.experts import ExpertContext
from faultwise.contracts.progress import ProgressBar
from faultwise.hub import lasting_name
from faultwise.language.sentences import encoder as sentences
from faultwise.texts.experts.linear import LinearClassifier
from faultwise.texts.experts.words import TEXT

if TYPE_CHECKING:
    import torch

__all__ = ["EMBEDDINGS", "SENTENCE_MODEL", "EmbeddingExpert", "SentenceExpert", "embeddings", "sentence_model"]

EMBEDDINGS, SENTENCE_MODEL = "sentence-embeddings", "sentence-model"
_C = 10.0  # of the linear model on frozen vectors
_EPOCHS, _RATE, _HEAD_RATE, _BATCH, _SMOOTHING, _WARM_UP = 8, 2e-4, 1e-3, 16, 0.05, 0.1
_MOST_STEPS = 3_000  # many texts are seen fewer times


class EmbeddingExpert:
    """Logistic regression on the vectors of a frozen sentence model."""

    name = EMBEDDINGS

    def __init__(self, source: str = sentences.DEFAULT, seed: int = 0, progress: bool = False, device: str = "auto"):
        self.source, self.seed, self.progress, self.device = source, seed, progress, device
        self.classes_ = np.empty(0, dtype=object)
        self._linear: LinearClassifier | None = None
        self._encoder: sentences.SentenceEncoder | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> EmbeddingExpert:
        """Learn from texts (rows,) in the column `text` of X."""
        vectors = self._encoded().embed(list(X[TEXT]), self.progress and len(X) > 1000)
        self.classes_ = np.unique(y.astype(str))
        self._linear = LinearClassifier.fit(vectors, y.astype(str), _C, self.seed)
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes)."""
        return self._ready().predict_proba(self._encoded().embed(list(X[TEXT])))

    def save(self, folder: Path) -> None:
        """Write the linear model; the sentence model is only named."""
        save_file(self._ready().arrays(), folder / "head.safetensors")
        _write_state(folder, self.classes_, self.source)

    def load(self, folder: Path) -> EmbeddingExpert:
        """Read what `save` wrote."""
        self.classes_, self.source = _read_state(folder)
        self._linear = LinearClassifier(**load_file(folder / "head.safetensors"))
        return self

    def _ready(self) -> LinearClassifier:
        if self._linear is None:
            raise RunFolderError(f"The expert `{self.name}` was neither fitted nor loaded.")
        return self._linear

    def _encoded(self) -> sentences.SentenceEncoder:
        if self._encoder is None:
            self._encoder = sentences.load(self.source, self.device)
        return self._encoder


class SentenceExpert:
    """A sentence model fine-tuned to the labels."""

    name = SENTENCE_MODEL

    def __init__(self, source: str = sentences.DEFAULT, seed: int = 0, progress: bool = False, device: str = "auto"):
        self.source, self.seed, self.progress, self.device = source, seed, progress, device
        self.classes_ = np.empty(0, dtype=object)
        self._encoder: sentences.SentenceEncoder | None = None
        self._head: torch.nn.Linear | None = None
        self._folder: Path | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray) -> SentenceExpert:
        """Fine-tune on texts (rows,) in the column `text` of X."""
        import torch

        texts = np.array(list(X[TEXT]), dtype=object)
        self.classes_, codes = np.unique(y.astype(str), return_inverse=True)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self._encoder = sentences.load(self.source, self.device)
            head = torch.nn.Linear(self._encoder.width, len(self.classes_)).to(self._encoder.model.device)
            self._head = head
            self._tune(texts, torch.as_tensor(codes, device=self._encoder.model.device))
        return self

    def _tune(self, texts: np.ndarray, codes: torch.Tensor) -> None:
        import torch

        assert self._encoder is not None
        assert self._head is not None
        model, head, rng = self._encoder.model, self._head, np.random.default_rng(self.seed)
        model.train()
        model.get_input_embeddings().requires_grad_(False)  # type: ignore[no-untyped-call]
        moved = [one for one in model.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(
            [{"params": moved, "lr": _RATE}, {"params": head.parameters(), "lr": _HEAD_RATE}],
            weight_decay=0.01,
            fused=True,
        )
        per_epoch = -(-len(texts) // _BATCH)
        steps = min(_EPOCHS * per_epoch, max(_MOST_STEPS, 2 * per_epoch))
        warm = max(1, int(_WARM_UP * steps))
        plan = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, (steps - step) / max(1, steps - warm))
        )
        order: list[int] = []
        with ProgressBar(total=steps, desc=SENTENCE_MODEL, disable=not self.progress) as bar:
            for _ in range(steps):
                order = order or rng.permutation(len(texts)).tolist()
                rows, order = order[:_BATCH], order[_BATCH:]
                loss = torch.nn.functional.cross_entropy(
                    head(self._encoder.pooled(texts[rows].tolist())), codes[rows], label_smoothing=_SMOOTHING
                )
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(moved, 1.0)
                optimizer.step()
                plan.step()
                bar.update()
        model.eval()  # type: ignore[no-untyped-call]

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return probabilities of shape (rows, classes)."""
        import torch

        encoder, head = self._ready()
        texts = list(X[TEXT])
        made = np.zeros((len(texts), len(self.classes_)))
        order = np.argsort([len(text) for text in texts], kind="stable")
        with torch.inference_mode():
            for start in range(0, len(order), 64):
                rows = order[start : start + 64]
                logits = head(encoder.pooled([texts[at] for at in rows]))
                made[rows] = torch.softmax(logits.double(), 1).cpu().numpy()
        return made

    def save(self, folder: Path) -> None:
        """Write what was fine-tuned (not the word vectors, which are those of the sentence model)."""
        encoder, head = self._ready()
        frozen = {id(one) for one in encoder.model.get_input_embeddings().parameters()}  # type: ignore[no-untyped-call]
        parts: dict[str, torch.Tensor] = {
            f"model.{name}": one for name, one in encoder.model.named_parameters() if id(one) not in frozen
        }
        parts |= {"head.weight": head.weight, "head.bias": head.bias}
        arrays = {name: np.ascontiguousarray(one.detach().float().cpu().numpy()) for name, one in parts.items()}
        save_file(arrays, folder / "tuned.safetensors")
        _write_state(folder, self.classes_, self.source)

    def load(self, folder: Path) -> SentenceExpert:
        """Read what `save` wrote; the model itself is loaded when the first text is classified."""
        self.classes_, self.source = _read_state(folder)
        self._folder = folder
        return self

    def _ready(self) -> tuple[sentences.SentenceEncoder, torch.nn.Linear]:
        import torch

        if self._encoder is None or self._head is None:
            if self._folder is None:
                raise RunFolderError("The sentence model was neither fitted nor loaded.")
            arrays = load_file(self._folder / "tuned.safetensors")
            encoder = sentences.load(self.source, self.device)
            head = torch.nn.Linear(encoder.width, len(self.classes_)).to(encoder.model.device)
            tuned = {name.removeprefix("model."): torch.from_numpy(one) for name, one in arrays.items()}
            head.load_state_dict({"weight": tuned.pop("head.weight"), "bias": tuned.pop("head.bias")})
            unknown = encoder.model.load_state_dict(tuned, strict=False).unexpected_keys
            if unknown:
                raise RunFolderError(
                    f"`{self._folder}` was fine-tuned on another model than `{self.source}`: fit again."
                )
            encoder.model.eval()  # type: ignore[no-untyped-call]
            self._encoder, self._head = encoder, head
        return self._encoder, self._head


def _write_state(folder: Path, classes: np.ndarray, source: str) -> None:
    state = {"classes": classes.tolist(), "model": lasting_name(source)}
    (folder / "expert.json").write_text(json.dumps(state), encoding="utf-8")


def _read_state(folder: Path) -> tuple[np.ndarray, str]:
    state: dict[str, Any] = json.loads((folder / "expert.json").read_text(encoding="utf-8"))
    return np.array(state["classes"], dtype=str), str(state["model"])


def embeddings(context: ExpertContext) -> EmbeddingExpert:
    """Factory for the registry of experts."""
    return EmbeddingExpert(context.sentence_model, context.seed, context.progress, context.language.device)


def sentence_model(context: ExpertContext) -> SentenceExpert:
    """Factory for the registry of experts."""
    return SentenceExpert(context.sentence_model, context.seed, context.progress, context.language.device)
