"""Questions and answers about an image with known defects, and plain conversation beside them; replies read back.

Answers are worded as AnomalyGPT's, but shorter: yes or no, and the ninth of the image in which each defect lies.
Replies are graded on yes or no, on places and on the count; the original grades the first alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

__all__ = [
    "PLACES",
    "PLAIN",
    "QUESTIONS",
    "Question",
    "Reply",
    "Turn",
    "answer",
    "read_reply",
    "samples",
    "shares_of_places",
    "validation_samples",
]

Turn = tuple[str, str]  # question and reply
Question = tuple[int | None, str, str]  # the image's position (None: plain conversation), question and answer
Places = Sequence[Mapping[str, float]]  # of each defect of an image how much of it lies in which place

PLACES = ("top left", "top", "top right", "left", "center", "right", "bottom left", "bottom", "bottom right")
QUESTIONS = {
    "whether": (
        "Is there any anomaly in the image?",
        "Is this part defective?",
        "Do you see a defect?",
        "Is the part in the image fine?",
    ),
    "where": ("Where is the defect?", "At which place is the anomaly?", "Where should I look?"),
    "count": ("How many defects are there?", "How many anomalies do you see?"),
}
_PLAIN_SHARE = 0.2  # of training samples: as many turns as of each type of question
_COUNTS = ("None.", "One.", "Two.")
_MARKED = 0.3
_LEAST = 0.25  # of a defect that must lie in a ninth, for this to be one of its places
_SPECK = 4e-4  # of the image: smaller bits of a label are rims of another defect
# Plain conversation, so that a model that has learnt to speak of images can still talk.
PLAIN = (
    ("Hello!", "Hello! How can I help you?"),
    ("Thank you.", "You are welcome."),
    ("What is a false alarm?", "A false alarm is a good part that is called defective."),
    ("What is two plus three?", "Two plus three is five."),
    ("What is the capital of France?", "The capital of France is Paris."),
    ("What is a bearing?", "A bearing holds a turning shaft and lets it turn with little friction."),
    ("Why does a motor get hot?", "Losses in its windings and friction in its bearings turn into heat."),
    ("What is a blowhole?", "A blowhole is a cavity left by gas that was trapped in a casting."),
    ("What is a scratch?", "A scratch is a thin line where something sharp has moved along a surface."),
    ("Name three colours.", "Red, green and blue."),
    ("What does a thermometer measure?", "A thermometer measures temperature."),
    ("What is a crack?", "A crack is a narrow break that goes into the material."),
    ("How many days has a week?", "A week has seven days."),
    ("What is maintenance?", "Maintenance keeps a machine in the state in which it can do its work."),
    ("Who should check a verdict?", "A person who knows the part should check it before anything is thrown away."),
    ("What is a threshold?", "A threshold is the value above which something is reported."),
    ("What is vibration?", "Vibration is motion to and fro around a rest position."),
    ("Say goodbye.", "Goodbye!"),
    ("What is steel made of?", "Steel is made of iron and a little carbon."),
    ("What is a pump for?", "A pump moves a liquid or a gas from one place to another."),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """The content of a reply: `defective` (None for neither yes nor no), the `places` in order, and the count."""

    defective: bool | None
    places: tuple[str, ...]
    count: int | None


def answer(question: str, places: Sequence[str]) -> str:
    """Return the answer to one type of `QUESTIONS` about an image with defects at these places (none: a good one).

    >>> answer("whether", ["top left", "center"])
    'Yes, there are two anomalies, at the top left and at the center.'
    """
    listed = " and ".join(f"at the {place}" for place in places)
    if question == "count":
        return _COUNTS[min(len(places), 2)]
    if not places:
        return "No, there is no anomaly." if question == "whether" else "There is no defect."
    if question == "where":
        return f"{listed[0].upper()}{listed[1:]}."
    return f"Yes, there is an anomaly {listed}." if len(places) == 1 else f"Yes, there are two anomalies, {listed}."


def read_reply(text: str) -> Reply:
    """Return the content of a reply, whatever its wording: its first yes or no, and the places it names.

    >>> read_reply("Yes, there is an anomaly in the image, at the bottom left.")
    Reply(defective=True, places=('bottom left',), count=1)
    """
    low = text.lower()
    found = re.search(r"\b(yes|no|none|not)\b", low)
    longest = sorted(PLACES, key=len, reverse=True)
    places = tuple(dict.fromkeys(re.findall(rf"\bat the ({'|'.join(longest)})\b", low)))
    defective = None if found is None else found[1] == "yes"
    if defective is None and places:
        defective = True
    count = len(places) if places else (0 if defective is False else None)
    return Reply(defective, places, count)


def samples(used: np.ndarray, places: Sequence[Places], rng: np.random.Generator) -> list[Question]:
    """Return training samples: every image with every type of question, and plain conversation."""
    made = list[Question]()
    for at in used.tolist():
        again = ("whether",) if places[at] else ()  # a missed defect costs more than a false alarm
        for kind in (*again, *QUESTIONS):
            wordings = QUESTIONS[kind]
            made.append((at, wordings[int(rng.integers(len(wordings)))], answer(kind, _main(places[at]))))
    plain = round(_PLAIN_SHARE / (1 - _PLAIN_SHARE) * len(made))
    made += [(None, *PLAIN[int(rng.integers(len(PLAIN)))]) for _ in range(plain)]
    return made


def validation_samples(held_out: np.ndarray, places: Sequence[Places]) -> list[Question]:
    """Return two questions about each held-out image, with the right answers."""
    return [
        (int(at), QUESTIONS[kind][0], answer(kind, _main(places[at])))
        for at in held_out
        for kind in ("whether", "where")
    ]


def _main(places: Sequence[Mapping[str, float]]) -> list[str]:
    """Return where the largest two defects lie mostly; two in one place are named once."""
    return list(dict.fromkeys(max(one, key=lambda place: one[place]) for one in places[:2]))


def shares_of_places(labels: np.ndarray) -> list[dict[str, float]]:
    """Return for each defect in labels (height, width; 0 to 1) how much of it lies in which place, the largest first.

    Parts that touch are one defect; specks are left out.
    """
    marked, count = ndimage.label(labels > _MARKED, np.ones((3, 3)))
    high, wide = labels.shape
    made = []
    for number in range(1, count + 1):
        rows, columns = np.nonzero(marked == number)
        if len(rows) < max(4, _SPECK * labels.size):
            continue
        ninths = np.bincount(3 * (3 * rows // high) + 3 * columns // wide, minlength=9) / len(rows)
        of = {PLACES[at]: float(share) for at, share in enumerate(ninths) if share >= _LEAST}
        best = PLACES[int(ninths.argmax())]
        made.append((len(rows), {best: float(ninths.max()), **of}))
    return [shares for _, shares in sorted(made, key=lambda one: -one[0])]
