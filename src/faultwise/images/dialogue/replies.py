"""The reply model: a language model that answers questions about an image (whether it shows a defect, where, how many).

The image comes through the prompt learner, never as pixels. The model learns from dialogues on simulated defects with
plain conversation between them. Its replies are shown beside the verdict, which they do not change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.contracts.progress import ProgressBar, tracked
from faultwise.images.dialogue.dialogues import (
    PLACES,
    QUESTIONS,
    Question,
    Turn,
    read_reply,
    samples,
    validation_samples,
)
from faultwise.images.dialogue.encoding import SYSTEM, SentenceObjective, conversations

if TYPE_CHECKING:
    from torch import Tensor

    from faultwise.images.dialogue.prompt_learner import PromptLearner
    from faultwise.language.adapters import TunedModel
    from faultwise.language.loading import LanguageModel
    from faultwise.language.prompts import PromptBuilder
    from faultwise.language.tuning import TuneLog

__all__ = ["ReplyLog", "ReplyModel"]

_RATE, _BATCH = 5e-4, 8
_HELD, _MOST_HELD = 0.1, 24  # images
_LONGEST = 40  # tokens of a reply


@dataclass(frozen=True, slots=True)
class ReplyLog:
    """How the fit went: `right` is the share of held-out images with a right yes or no, `constant` says that all of
    them got the same reply.
    """

    steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    images: int = 0
    right: float = 0.0
    constant: bool = True


class ReplyModel:
    """`model` is a language model's name; `minutes`, or `steps`, bound its tuning."""

    def __init__(
        self,
        model: str,
        minutes: float = 3.0,
        steps: int | None = None,
        device: str = "auto",
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.model, self.minutes, self.steps, self.device = model, minutes, steps, device
        self.seed, self.progress = seed, progress
        self.log = ReplyLog()
        self._lm: LanguageModel
        self._learner: PromptLearner
        self._tuned: TunedModel | None = None
        self._folder: Path | None = None
        self._width = 0

    def fit(self, vectors: np.ndarray, places: Sequence[Sequence[Mapping[str, float]]]) -> ReplyModel:
        """Learn from image vectors (images, width) and each image's defects: how much of each lies in which place."""
        import torch

        from faultwise.images.dialogue.prompt_learner import taught

        if not any(places) or all(places):
            raise UserError("Replies are learnt from good images and from defects: give both.")
        torch.manual_seed(self.seed)
        vectors = np.asarray(vectors, np.float32)
        count, seen = len(vectors), torch.from_numpy(vectors)
        self._ready(seen.shape[1])
        cells = torch.tensor([[max((one.get(p, 0.0) for one in of), default=0.0) for p in PLACES] for of in places])
        found = torch.tensor([float(bool(of)) for of in places])
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(count)
        held, used = np.split(order, [min(_MOST_HELD, max(2, round(_HELD * count)))])
        used = _balanced(used, [bool(of) for of in places])
        taught(self._learner, seen[used], found[used], (cells[used] > 0).float(), self.seed)
        turns = samples(used, places, rng)
        validation = validation_samples(held, places)
        log = self._tune(turns, validation, seen)
        written = self.replies(vectors[held], [QUESTIONS["whether"][0]] * len(held))
        defective = [read_reply(one).defective for one in written]
        known = [bool(places[at]) for at in held]
        right = float(np.mean([one is true for one, true in zip(defective, known, strict=True)]))
        self.log = ReplyLog(log.steps, log.seconds, log.history, count, right, constant=len(set(defective)) < 2)
        return self

    def _tune(self, turns: Sequence[Question], validation: Sequence[Question], seen: Tensor) -> TuneLog:
        """Fine-tune the language model on the answers of `turns`; `seen` are the image vectors (images, width)."""
        from faultwise.language.adapters import MethodConfig, attach
        from faultwise.language.labels import LabelTree
        from faultwise.language.tuning import TuneConfig, tune

        texts = list(dict.fromkeys(text for _, _, text in [*turns, *validation]))
        builder = self._builder()
        paths, close = builder.answers(texts)
        objective = SentenceObjective(self._lm.tokenizer, paths, close)
        position = {text: at for at, text in enumerate(texts)}
        tuned = attach(self._lm.model, MethodConfig("lora"))
        with ProgressBar(total=100, desc="language model", disable=not self.progress) as bar:
            log = tune(
                tuned,
                conversations(builder, turns, seen, self._learner),
                np.array([position[text] for _, _, text in turns]),
                LabelTree([(*path, *close) for path in paths], close),
                (
                    conversations(builder, validation, seen, self._learner),
                    np.array([position[text] for _, _, text in validation]),
                ),
                TuneConfig(
                    minutes=self.minutes,
                    steps=self.steps,
                    batch=_BATCH,
                    learning_rate=_RATE,
                    evaluations=3,
                    patience=3,
                    seed=self.seed,
                ),
                [self._learner],
                report=lambda part, _: bar.update(round(100 * part) - bar.n),
                objective=objective,
            )
        tuned.merge()
        self._tuned = tuned
        return log

    @property
    def note(self) -> str:
        """How good the replies are on held-out images; one reply to all of them is named: no AUROC would show it."""
        if self.log.constant:
            return (
                "The language model gives one reply to every image, whatever the maps show, so its replies are of no "
                "use. The verdicts do not depend on them. Give it more minutes (--set language.minutes=M)."
            )
        return f"The language model is right about yes or no for {self.log.right:.0%} of the held-out simulated images."

    def reply(self, vector: np.ndarray | None, question: str, history: Sequence[Turn] = ()) -> str:
        """Return the reply to a question about an image vector (width,), or to a question without an image.

        `history` are earlier turns (question, reply) of the same conversation.
        """
        return self.replies(None if vector is None else vector[None], [question], [history])[0]

    def replies(
        self, vectors: np.ndarray | None, questions: Sequence[str], histories: Sequence[Sequence[Turn]] | None = None
    ) -> list[str]:
        """Return a reply to each question, about the image vector (of vectors (images, width)) at its position."""
        import torch

        from faultwise.language.generating import generate

        tuned = self._load_model()
        histories = histories or [()] * len(questions)
        seen = torch.from_numpy(np.asarray(vectors, np.float32)) if vectors is not None else torch.zeros(1, self._width)
        turns = [(at if vectors is not None else None, question, "") for at, question in enumerate(questions)]
        encoded = conversations(self._builder(), turns, seen, self._learner, histories)
        tuned.model.train(False)
        hide = not self.progress or len(turns) < 10
        written = generate(tuned, encoded, _LONGEST, self._end())
        watched = tracked(written, total=len(turns), desc="replies", disable=hide)
        return [str(self._lm.tokenizer.decode(ids)).strip() for ids in watched]

    def save(self, folder: Path) -> None:
        """Write the adapter, the prompt learner and what it was trained with."""
        from safetensors.torch import save_file

        self._load_model().save(folder / "adapter", self.model)
        save_file(self._learner.state_dict(), folder / "learner.safetensors")
        state = {"model": self.model, "width": self._width, "log": asdict(self.log)}
        (folder / "replies.json").write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> ReplyModel:
        """Read what `save` wrote; the model itself is loaded for the first reply."""
        try:
            state = json.loads((folder / "replies.json").read_text(encoding="utf-8"))
            self.model, self._width, self.log = state["model"], state["width"], ReplyLog(**state["log"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"`{folder}` holds no replies that can be read ({error}): fit again.") from error
        self._folder = folder
        return self

    def _load_model(self) -> TunedModel:
        if self._tuned is not None:
            return self._tuned
        if self._folder is None:
            raise UserError("The language model has not learnt to answer questions: call fit, or load a run.")
        from safetensors.torch import load_file

        from faultwise.language.adapters import TunedModel

        self._ready(self._width)
        self._learner.load_state_dict(load_file(self._folder / "learner.safetensors"))
        self._tuned = TunedModel.load(self._lm.model, self._folder / "adapter")
        self._tuned.merge()
        return self._tuned

    def _ready(self, width: int) -> None:
        """Load the language model and put a new prompt learner before it."""
        import torch

        from faultwise.images.detection.anomaly_scores import SIDE
        from faultwise.images.dialogue.prompt_learner import PromptLearner
        from faultwise.language.loading import load

        self._lm, self._width = load(self.model, self.device), width
        table = self._lm.model.get_input_embeddings()
        with torch.no_grad():
            words = {
                name: table(torch.tensor(self._lm.tokenizer(f" {name}", add_special_tokens=False).input_ids))
                .float()
                .mean(0)
                for name in ("yes", "no", "none", *PLACES)
            }
        self._learner = PromptLearner(width - SIDE * SIDE, {name: one.cpu() for name, one in words.items()})
        self._learner.to(self._lm.device)

    def _builder(self) -> PromptBuilder:
        from faultwise.language.prompts import PromptBuilder

        return PromptBuilder(self._lm.tokenizer, SYSTEM)

    def _end(self) -> int:
        return int(self._builder().answers(["Yes."])[1][-1])


def _balanced(used: np.ndarray, defective: Sequence[bool]) -> np.ndarray:
    """Return the positions of images with the rarer ones repeated, so that half of them show a defect."""
    good, bad = (used[[defective[at] is wanted for at in used]] for wanted in (False, True))
    rarer = good if len(good) < len(bad) else bad
    return np.concatenate([used, np.resize(rarer, abs(len(bad) - len(good)))]) if len(rarer) else used
