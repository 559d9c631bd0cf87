"""A language model that speaks of an image: whether there is a defect, where, how many; and still of other things.

It sees an image through the prompt learner, never pixels, and learns from dialogues on simulated defects with plain
conversation between them. What it says is its own and is reported beside the verdict, which it does not touch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from faultwise.contracts.errors import RunFolderError, UserError
from faultwise.images.dialogue.dialogues import PLACES, PLAIN, QUESTIONS, answer, read_reply

__all__ = ["ImageReplies"]

_SYSTEM = "You look at images of parts and answer briefly."
_RATE, _BATCH = 5e-4, 8
_PLAIN_SHARE = 0.2  # of what is learnt: as many turns as of each kind of question
_HELD, _MOST_HELD = 0.1, 24  # images
_LONGEST = 40  # tokens of a reply

Turn = tuple[str, str]


class ImageReplies:
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
        self.log: dict[str, Any] = {}
        self._lm: Any = None
        self._tuned: Any = None
        self._learner: Any = None
        self._folder: Path | None = None
        self._width = 0

    def fit(self, vectors: np.ndarray, places: Sequence[Sequence[Mapping[str, float]]]) -> ImageReplies:
        """Learn from images as vectors (images, width) and each one's defects: how much of each lies where."""
        import torch

        from faultwise.images.dialogue.prompt_learner import taught
        from faultwise.language.adapters import FormConfig, attach
        from faultwise.language.labels import LabelTree
        from faultwise.language.tuning import TuneConfig, tune

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
        fine, odd = (used[[bool(places[at]) is wanted for at in used]] for wanted in (False, True))
        rarer = fine if len(fine) < len(odd) else odd  # shown again, so that half of what is seen is good
        used = np.concatenate([used, np.resize(rarer, abs(len(odd) - len(fine)))]) if len(rarer) else used
        taught(self._learner, seen[used], found[used], (cells[used] > 0).float(), self.seed)
        turns = self._turns(used, places, rng)
        exam = [
            (at, QUESTIONS[kind][0], answer(kind, _main(places[at]))) for at in held for kind in ("whether", "where")
        ]
        texts = list(dict.fromkeys(text for _, _, text in [*turns, *exam]))
        builder = self._builder()
        paths, close = builder.answers(texts)
        objective = _speaking(self._lm.tokenizer, paths, close)
        position = {text: at for at, text in enumerate(texts)}
        tuned = attach(self._lm.model, FormConfig("lora"))
        with tqdm(
            total=100, desc="language model", unit="%", disable=not self.progress, leave=False, file=sys.stderr
        ) as bar:
            log = tune(
                tuned,
                self._asked(turns, seen),
                np.array([position[text] for _, _, text in turns]),
                LabelTree([(*path, *close) for path in paths], close),
                (self._asked(exam, seen), np.array([position[text] for _, _, text in exam])),
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
        said = [read_reply(one).defective for one in self.replies(vectors[held], [QUESTIONS["whether"][0]] * len(held))]
        known = [bool(places[at]) for at in held]
        self.log = {"steps": log.steps, "seconds": log.seconds, "history": log.history, "images": count}
        self.log["right"] = float(np.mean([one is true for one, true in zip(said, known, strict=True)]))
        self.log["dead"] = len(set(said)) < 2
        return self

    @property
    def note(self) -> str:
        """How the replies fare on images kept out; a dead one is called out, for no AUROC would show it."""
        if self.log["dead"]:
            return (
                "The language model gives one reply to every image, whatever the maps show: its replies are dead. The "
                "verdicts do not depend on them. Give it more --lm-minutes."
            )
        return f"The language model says yes or no rightly of {self.log['right']:.0%} of simulated images kept out."

    def reply(self, vector: np.ndarray | None, question: str, history: Sequence[Turn] = ()) -> str:
        """Return the reply to a question about an image as a vector (width,), or about nothing that is seen.

        `history` are earlier turns (question, reply) of the same conversation.
        """
        return self.replies(None if vector is None else vector[None], [question], [history])[0]

    def replies(
        self, vectors: np.ndarray | None, questions: Sequence[str], histories: Sequence[Sequence[Turn]] | None = None
    ) -> list[str]:
        """Return a reply to each question, about the image (vectors (images, width)) at its position."""
        import torch

        from faultwise.language.generating import generate

        self._load_model()
        histories = histories or [()] * len(questions)
        seen = torch.from_numpy(np.asarray(vectors, np.float32)) if vectors is not None else torch.zeros(1, self._width)
        turns = [(at if vectors is not None else None, question, "") for at, question in enumerate(questions)]
        asked = self._asked(turns, seen, histories)
        self._tuned.model.eval()
        hide = not self.progress or len(turns) < 10
        written = generate(self._tuned, asked, _LONGEST, self._end())
        watched = tqdm(
            written, total=len(turns), desc="replies", unit="reply", disable=hide, leave=False, file=sys.stderr
        )
        return [str(self._lm.tokenizer.decode(ids)).strip() for ids in watched]

    def save(self, folder: Path) -> None:
        """Write the adapter, the prompt learner and what it was trained with."""
        from safetensors.torch import save_file

        self._tuned.save(folder / "adapter", self.model)
        save_file(self._learner.state_dict(), folder / "learner.safetensors")
        state = {"model": self.model, "width": self._width, "log": self.log}
        (folder / "replies.json").write_text(json.dumps(state), encoding="utf-8")

    def load(self, folder: Path) -> ImageReplies:
        """Read what `save` wrote; the model itself is loaded for the first reply."""
        try:
            state = json.loads((folder / "replies.json").read_text(encoding="utf-8"))
            self.model, self._width, self.log = state["model"], state["width"], state["log"]
        except (OSError, ValueError, KeyError) as error:
            raise RunFolderError(f"`{folder}` holds no replies that can be read ({error}): fit again.") from error
        self._folder = folder
        return self

    def _load_model(self) -> None:
        if self._tuned is not None:
            return
        if self._folder is None:
            raise UserError("The language model has not learnt to speak of images: call fit, or load a run.")
        from safetensors.torch import load_file

        from faultwise.language.adapters import Tuned

        self._ready(self._width)
        self._learner.load_state_dict(load_file(self._folder / "learner.safetensors"))
        self._tuned = Tuned.load(self._lm.model, self._folder / "adapter")
        self._tuned.merge()

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

    def _builder(self) -> Any:
        from faultwise.language.prompts import PromptBuilder

        return PromptBuilder(self._lm.tokenizer, _SYSTEM)

    def _end(self) -> int:
        return int(self._builder().answers(["Yes."])[1][-1])

    def _turns(
        self, used: np.ndarray, places: Sequence[Sequence[Mapping[str, float]]], rng: np.random.Generator
    ) -> list[tuple[int | None, str, str]]:
        """Return turns (image or None, question, answer): every image with every kind of question, and plain ones."""
        made = list[tuple[int | None, str, str]]()
        for at in used.tolist():
            again = ("whether",) if places[at] else ()  # a missed defect costs more than a false alarm
            for kind in (*again, *QUESTIONS):
                ways = QUESTIONS[kind]
                made.append((at, ways[int(rng.integers(len(ways)))], answer(kind, _main(places[at]))))
        plain = round(_PLAIN_SHARE / (1 - _PLAIN_SHARE) * len(made))
        made += [(None, *PLAIN[int(rng.integers(len(PLAIN)))]) for _ in range(plain)]
        return made

    def _asked(
        self, turns: Sequence[tuple[int | None, str, str]], seen: Any, histories: Sequence[Sequence[Turn]] | None = None
    ) -> Any:
        from faultwise.language.questions import Conversations

        builder = self._builder()
        before, _ = builder.around()
        rows = builder.encode([question for _, question, _ in turns])
        if histories:
            for at, history in enumerate(histories):
                if history:
                    rows[at] = [*before, *self._told(builder, history), *rows[at][len(before) :]]
        front = len(before) if all(row[: len(before)] == before for row in rows) else 0
        return Conversations(rows, front, [at for at, _, _ in turns], seen, self._learner)

    def _told(self, builder: Any, history: Sequence[Turn]) -> list[int]:
        """Return the ids of earlier turns, from the first question to where the next one begins."""
        before, after = builder.around()
        made = list[int]()
        for question, said in history:
            (answer_,), close = builder.answers([said])
            again = before[_system_length(builder) :]
            made += [
                *builder.encode([question])[0][len(before) : -len(after) or None],
                *after,
                *answer_,
                *close,
                *again,
            ]
        return made


def _system_length(builder: Any) -> int:
    """Return how many ids before a question belong to the system's turn, for it is told once."""
    before, _ = builder.around()
    text = builder.tokenizer.decode(before)
    at = text.rfind(_SYSTEM)
    if at < 0:
        return 0
    for length in range(len(before) + 1):
        if len(builder.tokenizer.decode(before[:length])) >= at + len(_SYSTEM):
            return length
    return 0


def _main(places: Sequence[Mapping[str, float]]) -> list[str]:
    """Return where the largest two defects lie mostly; two in one place are named once."""
    return list(dict.fromkeys(max(one, key=lambda place: one[place]) for one in places[:2]))


def _speaking(tokenizer: Any, paths: Sequence[Sequence[int]], close: Sequence[int]) -> Any:
    """Return the objective of answers in whole sentences; what would be written is read off the teacher's course."""
    import torch

    from faultwise.language.generating import Writing
    from faultwise.language.scoring import batch_size, batches, run_prefix

    class Speaking(Writing):
        def figures(self, tuned: Any, asked: Any, labels: np.ndarray) -> dict[str, float]:
            right, losses = 0, 0.0
            with torch.inference_mode():
                prefix = run_prefix(tuned, asked)
                for rows in batches(asked.lengths, batch_size(asked, 32)):
                    each, hits = self._losses(tuned, asked, rows.tolist(), labels[rows].tolist(), prefix)
                    right, losses = right + hits, losses + float(each.sum())
            return {"accuracy": right / len(labels), "log_loss": losses / len(labels), "likeliest": 0.0}

    return Speaking(tokenizer, paths, close)
