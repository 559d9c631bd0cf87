"""The language model's replies about images: yes or no, place and count, on simulated defects and on Magnetic Tile.

The good images of Magnetic Tile are split as in `images_magnetic_tile.py` (seed 0); simulated defects (NSA, published
parameters, seed 100) are put into test images that nothing was learnt from. Beside it: always "yes", and the same
model without the image.

    python bench/image_replies.py [--minutes 3]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from faultwise.images.data.image_converting import convert
from faultwise.images.data.image_folders import read_image_set
from faultwise.images.data.image_sets import GOOD
from faultwise.images.data.images import read_image
from faultwise.images.data.simulated_defects import simulated
from faultwise.images.dialogue.dialogues import QUESTIONS, Reply, read_reply, shares_of_places
from faultwise.images.inspector import Inspector
from faultwise.images.settings import ImageSettings, TalkSettings
from recipe import data_folder, write_result

QUESTION = QUESTIONS["whether"][0]
SEED = 100


def graded(replies: Sequence[Reply], bad: np.ndarray, places: Sequence[list[dict[str, float]]]) -> dict[str, Any]:
    """Accuracy of yes or no; of places, over all defective images and over those flagged; and of the count.

    Places are right where there is one, and each holds a quarter of a defect at least.
    """
    yes = np.array([one.defective is True for one in replies])
    right, counted = [], []
    for reply, where in zip(replies, places, strict=True):
        allowed = set().union(*where)
        right.append(bool(reply.places) and set(reply.places) <= allowed)
        counted.append(reply.count == len({max(one, key=lambda name: one[name]) for one in where[:2]}))
    at = np.array(right)[bad]
    return {
        "yes_no": float((yes == bad).mean()),
        "recall": float(yes[bad].mean()),
        "false_alarms": float(yes[~bad].mean()) if not bad.all() else None,
        "place": float(at.mean()),
        "place_where_yes": float(at[yes[bad]].mean()) if yes[bad].any() else None,
        "count": float(np.mean(counted)),
        "unreadable": float(np.mean([one.defective is None for one in replies])),
    }


def main() -> None:
    """Fit, ask and write results/image_replies.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=TalkSettings().minutes)
    parser.add_argument("--most", type=int, default=10_000, help="images of each set")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (made,) = convert(data_folder("magnetic-tile"), folder, 0)
        images = read_image_set(made)
        inspector = Inspector(ImageSettings(talk=True, language=TalkSettings(minutes=args.minutes)))
        started = time.perf_counter()
        inspector.fit([item.path for item in images.train])
        figures: dict[str, Any] = {"fit_s": time.perf_counter() - started}
        assert inspector.reply_model is not None
        figures["steps"] = inspector.reply_model.log.steps
        rng = np.random.default_rng(SEED)
        fine = [inspector.resized(read_image(item.path).pixels) for item in images.test if item.label == GOOD]
        fine = fine[: args.most]
        shown, places = list(fine), [list[dict[str, float]]() for _ in fine]
        while len(shown) < 2 * len(fine):
            picture, source = fine[len(shown) - len(fine)], fine[int(rng.integers(len(fine)))]
            picture_made, labels = simulated(picture, source, rng)
            where = shares_of_places(labels)
            if where:
                shown.append(picture_made)
                places.append(where)
        bad = np.arange(len(shown)) >= len(fine)
        vectors = inspector.image_vectors(shown)
        started = time.perf_counter()
        written = inspector.reply_model.replies(vectors, [QUESTION] * len(shown))
        figures["reply_ms"] = 1000 * (time.perf_counter() - started) / len(shown)
        print(written[:3], written[-8:], flush=True)
        figures["simulated"] = graded([read_reply(one) for one in written], bad, places)
        without = read_reply(inspector.reply_model.reply(None, QUESTION))
        empty = read_reply(inspector.reply_model.reply(np.zeros_like(vectors[0]), QUESTION))
        figures["beside"] = {
            "always_yes": graded([Reply(True, (), None)] * len(bad), bad, places)["yes_no"],
            "without_image": graded([without] * len(bad), bad, places),
            "with_an_empty_map": graded([empty] * len(bad), bad, places),
            "expert": float(((inspector.scores(shown) > inspector.threshold.value) == bad).mean()),
        }
        print(figures, flush=True)
        test = images.test[:: 1 + len(images.test) // args.most]
        labels_ = np.array([item.label != GOOD for item in test])
        written = inspector.reply_model.replies(
            inspector.image_vectors([item.path for item in test]), [QUESTION] * len(test)
        )
        yes = np.array([read_reply(one).defective is True for one in written])
        figures["magnetic_tile"] = {
            "replies": float((yes == labels_).mean()),
            "always_yes": float(labels_.mean()),
            "expert": float(
                ((inspector.scores([item.path for item in test]) > inspector.threshold.value) == labels_).mean()
            ),
        }
    print(figures["magnetic_tile"])
    write_result("image_replies", {"minutes": args.minutes, "seed": SEED}, "magnetic-tile", figures)


if __name__ == "__main__":
    main()
