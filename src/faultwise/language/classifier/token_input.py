"""The way in by modality tokens: an encoder of the row and a projector write embeddings into the prompt.

No column name, cell text or fault name is read by the model. The encoder learns from trees (see `distilling`) and has
variables hidden while it learns, so that any subset of sensors gives a verdict. Answers are single letters of our own.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.language.classifier.distilling import Teacher, perturbed
from faultwise.language.settings import LanguageSettings

__all__ = ["MOST_LOST", "TokenWay"]

_LESSONS, _LESSONS_A_ROW, _FEWEST_LESSONS = 240_000, 40, 30_000
_STEPS = (3000, 4000)  # of the encoder
_FOR_MODEL = 8_000  # lessons that the language model itself can get to see in its minutes
_EXAM = 400
MOST_LOST, _LOST_ROWS = 0.6, 0.4  # in this share of lessons up to that share of variables is hidden


class TokenWay:
    """Rows as `settings.tokens` embeddings. `modules` before the model: the projector, once `ready` was called."""

    system: ClassVar = {"tokens": "Name the fault."}
    learning_rate, batch = 2e-4, 32

    def __init__(self, settings: LanguageSettings) -> None:
        self.settings = settings
        self.modules: list[Any] = []
        self.log: dict[str, Any] = {}
        self.encoder: Any = None
        self._features: list[str] = []
        self._lessons: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._exam: tuple[np.ndarray, np.ndarray] | None = None
        self._projector_state: dict[str, Any] | None = None

    def fit(self, X: pd.DataFrame, y: np.ndarray, groups: np.ndarray, seed: int, progress: bool) -> None:
        """Train teacher and encoder on rows without gaps."""
        from faultwise.language.classifier import row_encoder

        self._features = [str(name) for name in X.columns]
        values = X.to_numpy(np.float32)
        codes = np.unique(y, return_inverse=True)[1]
        teacher = Teacher(seed).fit(X, y, groups)
        variables = row_encoder.variables(self._features)
        count = min(_LESSONS, max(_FEWEST_LESSONS, _LESSONS_A_ROW * len(X)))
        made = np.concatenate([values, perturbed(values, codes, variables, count, seed)])
        parts = np.array_split(made, len(made) // 20_000 + 1)
        soft = np.concatenate([teacher.proba(pd.DataFrame(part, columns=X.columns)) for part in parts])
        # What is known of a real row counts as much as what the teacher thinks of it.
        soft[: len(values)] = (soft[: len(values)] + np.eye(soft.shape[1])[codes]) / 2
        logged = [name.startswith(("spread(", "jitter(")) for name in self._features]
        scale = row_encoder.RowScale.of(values, codes, logged)
        to_hide = _to_hide(len(values), count)
        steps = int(np.clip(len(made) / 60, *_STEPS))
        with tqdm(total=steps, desc="row encoder", disable=not progress, leave=False, file=sys.stderr) as bar:
            self.encoder = row_encoder.fit(
                made,
                soft,
                scale,
                variables,
                steps,
                MOST_LOST,
                _LOST_ROWS,
                to_hide,
                seed=seed,
                step=bar.update,
            )
        self._lessons = made, soft, to_hide
        fresh = perturbed(values, codes, variables, _EXAM, seed + 1)
        self._exam = fresh, teacher.proba(pd.DataFrame(fresh, columns=X.columns))
        self.log = {"teacher": teacher.weights, "lessons": len(made)}

    def ready(self, lm: Any, labels: Sequence[Sequence[int]], seed: int) -> None:
        """Put the projector before a loaded model; `labels` are the answers' tokens."""
        import torch

        from faultwise.language.classifier.projector import Projector

        torch.manual_seed(seed)
        table = lm.model.get_input_embeddings()
        with torch.no_grad():
            words = torch.stack([table(torch.tensor(label, device=lm.device)).float().mean(0) for label in labels])
        projector = Projector(self.encoder.sizes["width"], self.settings.tokens, words.cpu(), self.encoder.head)
        if self._projector_state is not None:
            projector.load_state_dict(self._projector_state)
        self.modules = [projector.to(lm.device)]

    def answers(self, classes: Sequence[str], builder: Any) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Return each label's tokens: letters, then pairs, that are one token each; beyond those, numbers."""
        singles: list[tuple[int, ...]] = []
        letters = string.ascii_uppercase
        for texts in (letters, ["".join(pair) for pair in product(string.ascii_letters, repeat=2)]):
            made, end = builder.answers(list(texts))
            known = set(singles)
            singles += [label for label in dict.fromkeys(made) if len(label) == 1 and label not in known]
            if len(singles) >= len(classes):
                return singles[: len(classes)], end
        numbered: tuple[list[tuple[int, ...]], tuple[int, ...]] = builder.answers([str(n) for n in range(len(classes))])
        return numbered

    def lessons(self, X: pd.DataFrame, codes: np.ndarray, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return rows to train the language model on, variables hidden in some, and soft targets."""
        assert self._lessons is not None
        rng = np.random.default_rng(seed)
        rows, soft, to_hide = self._lessons
        hiding = round(_LOST_ROWS * min(_FOR_MODEL, len(rows)))
        at = np.concatenate([rng.choice(to_hide, hiding), rng.permutation(len(rows))[: _FOR_MODEL - hiding]])
        share = np.where(np.arange(len(at)) < hiding, rng.random(len(at)) * MOST_LOST, 0.0)
        self._lessons = None
        return self._hidden(rows[at], share, rng), soft[at]

    def exam(self, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Return freshly perturbed rows, and labels (rows,) drawn as likely as the teacher thinks them.

        Where hardly any real row could be held out they say better how well the teacher was followed. Of few rows some
        come out as they went in, and were learnt.
        """
        assert self._exam is not None
        rows, soft = self._exam
        drawn = np.random.default_rng(seed).random((len(soft), 1))
        return pd.DataFrame(rows, columns=self._features), (
            soft.cumsum(axis=1) < drawn * soft.sum(axis=1, keepdims=True)
        ).sum(axis=1)

    def without_some(self, X: pd.DataFrame, seed: int) -> pd.DataFrame:
        """Return the rows with up to as many variables hidden as were in training, in each others and another share."""
        rng = np.random.default_rng(seed)
        values = X[self._features].to_numpy(np.float32)
        return self._hidden(values, rng.random(len(values)) * MOST_LOST, rng)

    def lost_share(self, X: pd.DataFrame) -> np.ndarray:
        """Return the share of variables that are missing in each row, (rows,)."""
        from faultwise.language.classifier.row_encoder import variables

        of = variables(self._features)
        gaps = np.isnan(X[self._features].to_numpy(np.float32))
        lost = np.zeros((len(X), int(of.max()) + 1), bool)
        for at, variable in enumerate(of):
            lost[:, variable] |= gaps[:, at]
        made: np.ndarray = lost.mean(axis=1)
        return made

    def _hidden(self, values: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        from faultwise.language.classifier.row_encoder import hide, variables

        return pd.DataFrame(hide(values, variables(self._features), share, rng), columns=self._features)

    def asked(self, X: pd.DataFrame, lm: Any, builder: Any, tree: Any) -> Any:
        """Return the rows' questions; NaN marks what was not measured. Raises UserError where the model has no room."""
        from faultwise.language.questions import TokenQuestions

        before, after = builder.around()
        room = getattr(lm.model.config, "max_position_embeddings", None)
        length = len(before) + self.settings.tokens + len(after) + tree.depth
        if room is not None and length > room:
            raise UserError(
                f"A row is {length} tokens with {self.settings.tokens} embeddings, but `{self.settings.model}` takes "
                f"{room} at most: choose a smaller --lm-tokens."
            )
        vectors = self.encoder.vectors(X[self._features].to_numpy(np.float32))
        return TokenQuestions(vectors, self.modules[0], before, after, tree.root)

    def quick_proba(self, X: pd.DataFrame) -> np.ndarray:
        """Return what the encoder alone says of rows, NaN where nothing was measured: (rows, classes)."""
        made: np.ndarray = self.encoder.proba(X[self._features].to_numpy(np.float32))
        return made

    def save(self, folder: Path) -> None:
        """Write encoder and projector: weights as safetensors, the rest as JSON."""
        from safetensors.torch import save_file

        parts = {"encoder": self.encoder, "projector": self.modules[0]}
        weights = {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, module in parts.items()
            for name, value in module.state_dict().items()
        }
        save_file(weights, folder / "door.safetensors")
        (folder / "door.json").write_text(json.dumps({"features": self._features, **self.encoder.state()}))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote. Raises RunFolderError for weights that do not fit."""
        from safetensors.torch import load_file

        from faultwise.language.classifier.row_encoder import RowEncoder, RowScale

        state = json.loads((folder / "door.json").read_text())
        weights = load_file(folder / "door.safetensors")
        self._features = state["features"]
        try:
            self.encoder = RowEncoder(RowScale(**state["scale"]), **state["sizes"])
            self.encoder.load_state_dict(_under("encoder.", weights))
        except (RuntimeError, TypeError) as error:
            raise RunFolderError(f"`{folder}` holds weights that do not fit each other: fit again.") from error
        self.encoder.eval()
        self._projector_state = _under("projector.", weights)


def _to_hide(rows: int, lessons: int) -> np.ndarray:
    """Return the positions of the real rows and of those perturbed within their class (see `perturbed`)."""
    third = lessons // 3
    return np.concatenate([np.arange(rows), np.arange(rows + third, rows + 2 * third)])


def _under(prefix: str, weights: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
