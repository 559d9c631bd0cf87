"""A conversation about one image: the verdict, the language model's own reply, and answers to further questions."""

from __future__ import annotations

from collections.abc import Mapping

from faultwise.contracts.errors import UserError
from faultwise.images.cases import case_of
from faultwise.images.data.images import Pixels
from faultwise.images.dialogue.dialogues import QUESTIONS, Turn, read_reply
from faultwise.images.inspector import Inspector

__all__ = ["ImageConversation"]


class ImageConversation:
    """Questions and answers about one image, which is encoded once.

    Raises UserError where the language model has not learnt to answer questions.
    """

    def __init__(self, inspector: Inspector, image: Pixels) -> None:
        if inspector.reply_model is None:
            raise UserError("This run cannot answer questions: fit again with --talk.")
        self._model = inspector.reply_model
        found, self._vector = inspector.look(image)
        own = self._model.reply(self._vector, QUESTIONS["whether"][0])
        agrees = read_reply(own).defective is found.defective
        self.verdict = found.words
        remark = f"The language model's own reply: {own}" + (
            "" if agrees else " The verdict does not depend on it; the two do not agree."
        )
        self.record: Mapping[str, object] = {
            "verdict": case_of(found, inspector).to_dict(),
            "own_reply": own,
            "agrees": agrees,
            "remark": remark,
        }
        self._turns = list[Turn]()

    def ask(self, question: str) -> str:
        """Return the answer; earlier questions are remembered."""
        reply = self._model.reply(self._vector, question, self._turns)
        self._turns.append((question, reply))
        return reply
