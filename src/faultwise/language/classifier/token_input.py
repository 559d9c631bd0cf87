"""Rows as tokens: an encoder of the row and a projector write embeddings into the prompt.

No column name, cell text or fault name is read by the model. The encoder learns from trees (see `distilling`) and has
variables hidden while it learns, so that any subset of sensors gives a verdict. Answers are single letters of our own.
"""

from __future__ import annotations

import json
import string
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.experts import MOST_MISSING
from faultwise.contracts.language import LanguageSettings
from faultwise.contracts.progress import ProgressBar
from faultwise.language.classifier.distilling import Teacher, perturbed

if TYPE_CHECKING:
    from torch import Tensor, nn

    from faultwise.language.classifier.projector import Projector
    from faultwise.language.classifier.row_encoder import RowEncoder
    from faultwise.language.labels import LabelTree, Tokens
    from faultwise.language.loading import LanguageModel
    from faultwise.language.prompts import PromptBuilder
    from faultwise.language.questions import TokenQuestions

__all__ = ["TokenInput"]

_MOST_SAMPLES, _SAMPLES_PER_ROW, _FEWEST_SAMPLES = 240_000, 40, 30_000
_ENCODER_STEPS = (3000, 4000)
_MINUTES = 3.0  # the budget with which the encoder gets these samples and steps; with less it gets as much less
_MODEL_SAMPLES = 8_000  # training samples that the language model itself can get to see in its minutes
_VALIDATION_SAMPLES = 400
_MISSING_ROWS = 0.4  # in this share of samples up to `MOST_MISSING` of the variables are hidden
_WEIGHTS, _STATE = "token_input.safetensors", "token_input.json"


class TokenInput:
    """Rows as `settings.tokens` embeddings. `modules` before the model: the projector, once `prepare` was called."""

    system: ClassVar[dict[str, str]] = {"tokens": "Name the fault."}
    learning_rate, batch = 2e-4, 32

    def __init__(self, settings: LanguageSettings) -> None:
        self.settings = settings
        self.modules: list[Projector] = []
        self.log: dict[str, object] = {}
        self._encoder: RowEncoder | None = None
        self._features: list[str] = []
        self._training: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._validation: tuple[np.ndarray, np.ndarray] | None = None
        self._projector_state: dict[str, Tensor] | None = None

    @property
    def encoder(self) -> RowEncoder:
        """The encoder of rows, once `fit` or `load` was called."""
        assert self._encoder is not None
        return self._encoder

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int, progress: bool) -> None:
        """Train teacher and encoder on rows X (rows, features) without gaps and their labels y (rows,)."""
        from faultwise.language.classifier.row_encoder import variables

        self._features = [str(name) for name in X.columns]
        values = X.to_numpy(np.float32)
        codes = np.unique(y, return_inverse=True)[1]
        teacher = Teacher(seed).fit(X, y, groups)
        of = variables(self._features)
        count = round(self._share * min(_MOST_SAMPLES, max(_FEWEST_SAMPLES, _SAMPLES_PER_ROW * len(X))))
        samples = np.concatenate([values, perturbed(values, codes, of, count, seed)])
        parts = np.array_split(samples, len(samples) // 20_000 + 1)
        soft = np.concatenate([teacher.proba(pd.DataFrame(part, columns=X.columns)) for part in parts])
        # The label of a real row counts as much as the teacher's opinion of it.
        soft[: len(values)] = (soft[: len(values)] + np.eye(soft.shape[1])[codes]) / 2
        self._training = samples, soft, _to_hide(len(values), count)
        self._fit_encoder(values, codes, of, seed, progress)
        fresh = perturbed(values, codes, of, _VALIDATION_SAMPLES, seed + 1)
        self._validation = fresh, teacher.proba(pd.DataFrame(fresh, columns=X.columns))
        self.log = {"teacher": teacher.weights, "training_samples": len(samples)}

    def _fit_encoder(self, values: np.ndarray, codes: np.ndarray, of: np.ndarray, seed: int, progress: bool) -> None:
        """Train the encoder on the training samples; its scale is that of the real rows `values` (rows, features)."""
        from faultwise.language.classifier import row_encoder

        assert self._training is not None
        samples, soft, to_hide = self._training
        logged = [name.startswith(("spread(", "jitter(")) for name in self._features]
        scale = row_encoder.RowScale.of(values, codes, logged)
        fewest, most = _ENCODER_STEPS
        steps = int(np.clip(len(samples) / 60, self._share * fewest, self._share * most))
        with ProgressBar(total=steps, desc="row encoder", disable=not progress) as bar:
            self._encoder = row_encoder.fit(
                samples,
                soft,
                scale,
                of,
                steps,
                MOST_MISSING,
                _MISSING_ROWS,
                to_hide,
                seed=seed,
                step=bar.update,
            )

    @property
    def _share(self) -> float:
        """The part of samples and steps that the budget pays for; all where steps are given instead of minutes."""
        return 1.0 if self.settings.steps else max(0.2, min(1.0, self.settings.minutes / _MINUTES))

    def prepare(self, language_model: LanguageModel, labels: Sequence[Sequence[int]], seed: int) -> None:
        """Put the projector before a loaded model; `labels` are the answers' tokens."""
        import torch

        from faultwise.language.classifier.projector import Projector

        torch.manual_seed(seed)
        table, device = language_model.model.get_input_embeddings(), language_model.device
        with torch.no_grad():
            words = torch.stack([table(torch.tensor(label, device=device)).float().mean(0) for label in labels])
        projector = Projector(self.encoder.sizes["width"], self.settings.tokens, words.cpu(), self.encoder.head)
        if self._projector_state is not None:
            projector.load_state_dict(self._projector_state)
        self.modules = [projector.to(device)]

    def answers(self, classes: Sequence[str], builder: PromptBuilder) -> tuple[list[Tokens], Tokens]:
        """Return each label's tokens: letters, then pairs, that are one token each; beyond those, numbers."""
        singles: list[Tokens] = []
        letters = string.ascii_uppercase
        for texts in (letters, ["".join(pair) for pair in product(string.ascii_letters, repeat=2)]):
            spelled, end = builder.answers(list(texts))
            known = set(singles)
            singles += [label for label in dict.fromkeys(spelled) if len(label) == 1 and label not in known]
            if len(singles) >= len(classes):
                return singles[: len(classes)], end
        return builder.answers([str(n) for n in range(len(classes))])

    def training_samples(self, X: pd.DataFrame, codes: np.ndarray, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return rows to train the language model on, variables hidden in some, and soft targets."""
        assert self._training is not None
        rng = np.random.default_rng(seed)
        samples, soft, to_hide = self._training
        hiding = round(_MISSING_ROWS * min(_MODEL_SAMPLES, len(samples)))
        at = np.concatenate([rng.choice(to_hide, hiding), rng.permutation(len(samples))[: _MODEL_SAMPLES - hiding]])
        share = np.where(np.arange(len(at)) < hiding, rng.random(len(at)) * MOST_MISSING, 0.0)
        self._training = None
        return self._hidden(samples[at], share, rng), soft[at]

    def validation_samples(self, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return freshly perturbed rows, and labels (rows,) drawn with the teacher's probabilities.

        Where hardly any real row could be held out they show better how well the teacher was followed. Of few rows some
        are perturbed into themselves, and were learnt.
        """
        assert self._validation is not None
        rows, soft = self._validation
        drawn = np.random.default_rng(seed).random((len(soft), 1))
        codes = (soft.cumsum(axis=1) < drawn * soft.sum(axis=1, keepdims=True)).sum(axis=1)
        return pd.DataFrame(rows, columns=self._features), codes

    def with_missing(self, X: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Return the rows with up to as many variables hidden as in training, others and another share in each row."""
        rng = np.random.default_rng(seed)
        values = X[self._features].to_numpy(np.float32)
        return self._hidden(values, rng.random(len(values)) * MOST_MISSING, rng)

    def missing_share(self, X: pd.DataFrame) -> np.ndarray:
        """Return the share of variables that are missing in each row, (rows,)."""
        from faultwise.language.classifier.row_encoder import variables

        of = variables(self._features)
        gaps = np.isnan(X[self._features].to_numpy(np.float32))
        missing = np.zeros((len(X), int(of.max()) + 1), bool)
        for at, variable in enumerate(of):
            missing[:, variable] |= gaps[:, at]
        return np.asarray(missing.mean(axis=1))

    def _hidden(self, values: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        from faultwise.language.classifier.row_encoder import hide, variables

        return pd.DataFrame(hide(values, variables(self._features), share, rng), columns=self._features)

    def questions(
        self, X: pd.DataFrame, language_model: LanguageModel, builder: PromptBuilder, tree: LabelTree
    ) -> TokenQuestions:
        """Return the rows' questions; NaN marks what was not measured. Raises UserError where the model has no room."""
        from faultwise.language.questions import TokenQuestions

        before, after = builder.around()
        room = getattr(language_model.model.config, "max_position_embeddings", None)
        length = len(before) + self.settings.tokens + len(after) + tree.depth
        if room is not None and length > room:
            raise UserError(
                f"A row is {length} tokens with {self.settings.tokens} embeddings, but `{self.settings.model}` takes "
                f"{room} at most: choose a smaller --set language.tokens=K."
            )
        vectors = self.encoder.vectors(X[self._features].to_numpy(np.float32))
        return TokenQuestions(vectors, self.modules[0], before, after, tree.root)

    def quick_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return the encoder's own probabilities (rows, classes); NaN marks what was not measured."""
        return self.encoder.proba(X[self._features].to_numpy(np.float32))

    def save(self, folder: Path) -> None:
        """Write encoder and projector: weights as safetensors, the rest as JSON."""
        from safetensors.torch import save_file

        parts: dict[str, nn.Module] = {"encoder": self.encoder, "projector": self.modules[0]}
        weights = {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, module in parts.items()
            for name, value in module.state_dict().items()
        }
        save_file(weights, folder / _WEIGHTS)
        (folder / _STATE).write_text(json.dumps({"features": self._features, **self.encoder.state()}))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote. Raises RunFolderError for weights that do not fit."""
        from safetensors.torch import load_file

        from faultwise.language.classifier.row_encoder import RowEncoder, RowScale

        state = json.loads((folder / _STATE).read_text())
        weights = load_file(folder / _WEIGHTS)
        self._features = state["features"]
        try:
            encoder = RowEncoder(RowScale(**state["scale"]), **state["sizes"])
            encoder.load_state_dict(_under("encoder.", weights))
        except (RuntimeError, TypeError) as error:
            raise RunFolderError(f"`{folder}` holds weights that do not fit each other: fit again.") from error
        self._encoder = encoder.eval()
        self._projector_state = _under("projector.", weights)


def _to_hide(rows: int, perturbed_rows: int) -> np.ndarray:
    """Return the positions of the real rows and of those perturbed within their class (see `perturbed`)."""
    third = perturbed_rows // 3
    return np.concatenate([np.arange(rows), np.arange(rows + third, rows + 2 * third)])


def _under(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
